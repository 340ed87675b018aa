//! Kernels of our own for CUDA, for what candle's operations would do in many passes: attention with heads of 64 or
//! 128 elements, norms with RoPE or modulation, the end of a linear layer, gated sums; and questions to the driver.
//!
//! Every function answers `None` where its kernel doesn't apply (another device or type, an older card, a recorded
//! gradient); the caller then takes candle's operations.
#![expect(unsafe_code, reason = "kernel launches, and calls of the driver and the dynamic loader")]

mod launch;

use crate::Activation;
use candle_core::cuda_backend::cudarc::driver::sys::{CUdevice_attribute, CUmemPool_attribute};
use candle_core::cuda_backend::cudarc::driver::{LaunchConfig, PushKernelArg, result};
use candle_core::cuda_backend::{CudaDevice, CudaStorage, WrapErr};
use candle_core::{
    CpuStorage, CustomOp1, CustomOp3, DType, Device, InplaceOp2, Layout, Result, Shape, Tensor, bail,
};
use half::bf16;
use launch::{ATTENTION, ROWS, Read};

/// Elements of a head that the attention kernel is made for, and what it is called for each.
const HEADS: [(usize, &str); 2] = [(64, "attention_head64"), (128, "attention_head128")];
/// Queries of a block of the attention kernel.
const TILE_QUERIES: usize = 128;
/// Shared memory of the attention kernel for each element of a head: two tiles each of 64 keys and values in bf16.
const ATTENTION_SHARED: usize = 4 * 64 * 2;
/// Threads of a block of the attention kernel and of the row kernels alike.
const THREADS: u32 = 256;

/// `softmax(scale · q kᵀ) v` in bf16, sums in f32: `q` `[B, Lq, N·K]`, `k`, `v` `[B, Lk, N·K]` → f32, K one of [`HEADS`].
pub(crate) fn attention([q, k, v]: [&Tensor; 3], n_heads: usize, scale: f64) -> Option<Result<Tensor>> {
    let width = q.dims().last().copied().unwrap_or(0);
    let &(head, kernel) = HEADS.iter().find(|(head, _)| width == n_heads * head)?;
    // The grid's second and third extents end at 65,535.
    let in_grid = n_heads < 65_536 && q.dims()[0] < 65_536 && q.dims()[1] < i32::MAX as usize;
    if !in_grid || scale <= 0.0 || !usable(&[q, k, v]) || k.dims()[1] > i32::MAX as usize - 64 {
        return None;
    }
    let half = |x: &Tensor| x.to_dtype(DType::BF16)?.contiguous();
    let run =
        || half(q)?.apply_op3_no_bwd(&half(k)?, &half(v)?, &FusedAttention { n_heads, head, kernel, scale });
    Some(run())
}

/// RMS norm over rows of f32, and RoPE where tables `[L, K/2]` are given; `x` is `[.., L, d]`.
pub(crate) fn rms_norm_rope(
    x: &Tensor,
    weight: &Tensor,
    rope: Option<(&Tensor, &Tensor)>,
    eps: f64,
) -> Option<Result<Tensor>> {
    let mut all = vec![x, weight];
    all.extend(rope.into_iter().flat_map(|(cos, sin)| [cos, sin]));
    if !usable_rows(x, &all) {
        return None;
    }
    Some(x.contiguous().and_then(|x| x.apply_op1_no_bwd(&RmsNormRope { weight, rope, eps })))
}

/// Layer norm over rows of f32, then `· (scale + more) + shift` where they are given.
pub(crate) fn layer_norm(
    x: &Tensor,
    affine: Option<(&Tensor, &Tensor)>,
    more: f64,
    eps: f64,
) -> Option<Result<Tensor>> {
    let mut all = vec![x];
    all.extend(affine.into_iter().flat_map(|(scale, shift)| [scale, shift]));
    if !usable_rows(x, &all) {
        return None;
    }
    Some(x.contiguous().and_then(|x| x.apply_op1_no_bwd(&LayerNorm { affine, more, eps })))
}

/// `activation(product + bias)` in f32 of a `product` `[rows, d]` in bf16.
pub(crate) fn finish_product(
    product: &Tensor,
    bias: Option<&Tensor>,
    activation: Activation,
) -> Option<Result<Tensor>> {
    let mut all = vec![product];
    all.extend(bias);
    if product.dtype() != DType::BF16 || !usable_rows(product, &all) {
        return None;
    }
    Some(product.contiguous().and_then(|p| p.apply_op1_no_bwd(&FinishProduct { bias, activation })))
}

/// `x[:, first .. first + l] += gate · y` in place; shapes as [`crate::add_gated`] has checked them.
pub(crate) fn gate_add(x: &Tensor, first: usize, y: &Tensor, gate: Option<&Tensor>) -> Option<Result<()>> {
    let mut all = vec![x, y];
    all.extend(gate);
    if x.dtype() != DType::F32 || !usable_rows(y, &all) || !x.is_contiguous() {
        return None;
    }
    let rows = x.narrow(1, first, y.dims()[1]);
    Some(rows.and_then(|rows| rows.inplace_op2(&y.contiguous()?, &GateAdd { gate })))
}

fn usable(tensors: &[&Tensor]) -> bool {
    let Device::Cuda(device) = tensors[0].device() else { return false };
    tensors.iter().all(|t| t.device().is_cuda() && !t.track_op() && t.elem_count() > 0) && is_ampere(device)
}

/// The same, for rows that one block each works on.
fn usable_rows(x: &Tensor, tensors: &[&Tensor]) -> bool {
    let d = x.dims().last().copied().unwrap_or(0);
    let rows = x.elem_count() / d.max(1);
    usable(tensors)
        && tensors.iter().all(|t| t.dtype() == DType::F32 || t.dtype() == DType::BF16 && std::ptr::eq(*t, x))
        && rows < i32::MAX as usize
        && d < i32::MAX as usize
}

/// Compute capability 8.0 or newer: what the kernels are compiled for.
fn is_ampere(device: &CudaDevice) -> bool {
    let major = CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR;
    device.cuda_stream().context().attribute(major).is_ok_and(|major| major >= 8)
}

/// The first library of the driver and the toolkit that can't be loaded.
pub(crate) fn missing_library() -> Option<&'static str> {
    if cfg!(windows) {
        return (!loads(&["nvcuda.dll"])).then_some("nvcuda.dll");
    }
    let wanted: [(&str, &[&str]); 3] = [
        ("libcuda (NVIDIA's driver)", &["libcuda.so", "libcuda.so.1"]),
        ("libcublas", &["libcublas.so", "libcublas.so.13", "libcublas.so.12"]),
        ("libcurand", &["libcurand.so", "libcurand.so.10"]),
    ];
    wanted.into_iter().find(|(_, names)| !loads(names)).map(|(library, _)| library)
}

fn loads(names: &[&str]) -> bool {
    // SAFETY: loading NVIDIA's libraries runs their initialisers only, which have no preconditions; the same libraries
    // are loaded by the bindings right afterwards.
    names.iter().any(|name| unsafe { libloading::Library::new(*name) }.is_ok())
}

/// Memory of dropped tensors stays in the process's pool for the next ones: giving it back at every wait for the
/// device, and mapping it again, costs more than many an operation.
pub(crate) fn keep_freed_memory(device: &CudaDevice) -> Result<()> {
    let mut all = u64::MAX;
    let threshold = CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: the device of a live context has a default pool; the attribute is a 64-bit number of bytes.
    unsafe {
        let pool = result::device::get_default_mem_pool(device.cuda_stream().context().cu_device()).w()?;
        result::mem_pool::set_attribute(pool, threshold, (&raw mut all).cast()).w()
    }
}

/// Most bytes in use in the device's default memory pool since the last call; the count starts anew.
pub(crate) fn take_peak(device: &CudaDevice) -> Result<u64> {
    let stream = device.cuda_stream();
    stream.synchronize().w()?;
    let (mut peak, mut zero) = (0_u64, 0_u64);
    let high = CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH;
    // SAFETY: the device of a live context has a default pool; the attribute is a 64-bit number, and 0 is the one value
    // that it can be set to.
    unsafe {
        let pool = result::device::get_default_mem_pool(stream.context().cu_device()).w()?;
        result::mem_pool::get_attribute(pool, high, (&raw mut peak).cast()).w()?;
        result::mem_pool::set_attribute(pool, high, (&raw mut zero).cast()).w()?;
    }
    Ok(peak)
}

struct FusedAttention {
    n_heads: usize,
    head: usize,
    kernel: &'static str,
    scale: f64,
}

impl CustomOp3 for FusedAttention {
    fn name(&self) -> &'static str {
        "fused attention"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        bail!("the fused attention is a CUDA kernel")
    }

    fn cuda_fwd(
        &self,
        q: &CudaStorage,
        q_layout: &Layout,
        k: &CudaStorage,
        k_layout: &Layout,
        v: &CudaStorage,
        v_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let device = &q.device;
        let (b, lq, _) = q_layout.shape().dims3()?;
        let lk = k_layout.dims()[1];
        let function = launch::function(device, &ATTENTION, self.kernel)?;
        let shared = (ATTENTION_SHARED * self.head) as u32;
        launch::allow_shared(&function, shared)?;
        let (q, k, v) = (
            launch::view::<bf16>(q, q_layout)?,
            launch::view::<bf16>(k, k_layout)?,
            launch::view::<bf16>(v, v_layout)?,
        );
        // SAFETY: the kernel writes every element.
        let out = unsafe { device.alloc::<f32>(q_layout.shape().elem_count())? };
        let config = LaunchConfig {
            grid_dim: (lq.div_ceil(TILE_QUERIES) as u32, self.n_heads as u32, b as u32),
            block_dim: (THREADS, 1, 1),
            shared_mem_bytes: shared,
        };
        let (lq, lk, heads) = (lq as i32, lk as i32, self.n_heads as i32);
        let scale = (self.scale * std::f64::consts::LOG2_E) as f32;
        let stream = device.cuda_stream();
        let mut builder = stream.launch_builder(&function);
        builder.arg(&q).arg(&k).arg(&v).arg(&out).arg(&lq).arg(&lk).arg(&heads).arg(&scale);
        // SAFETY: arguments in the kernel's order and types; the views hold B · L · N · K elements each.
        unsafe { builder.launch(config) }.w()?;
        Ok((CudaStorage::wrap_cuda_slice(out, device.clone()), q_layout.shape().clone()))
    }
}

struct RmsNormRope<'a> {
    weight: &'a Tensor,
    rope: Option<(&'a Tensor, &'a Tensor)>,
    eps: f64,
}

impl CustomOp1 for RmsNormRope<'_> {
    fn name(&self) -> &'static str {
        "RMS norm and RoPE"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        bail!("a CUDA kernel")
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (rows, d) = launch::rows(layout);
        let (weight, cos, sin) = (
            Read::f32(Some(self.weight))?,
            Read::f32(self.rope.map(|r| r.0))?,
            Read::f32(self.rope.map(|r| r.1))?,
        );
        let [weight, cos, sin] = [weight.pointer()?, cos.pointer()?, sin.pointer()?];
        let half = self.rope.map_or(1, |(cos, _)| cos.dims()[1]);
        let tokens = self.rope.map_or(1, |(cos, _)| cos.dims()[0]);
        if self.weight.elem_count() != d || self.rope.is_some() && (d % (2 * half) != 0 || rows % tokens != 0)
        {
            bail!(
                "an RMS norm of width {} and heads of {} for rows of {d}",
                self.weight.elem_count(),
                2 * half
            );
        }
        let from = launch::view::<f32>(x, layout)?;
        // SAFETY: the kernel writes every element.
        let out = unsafe { x.device.alloc::<f32>(rows * d)? };
        let function = launch::function(&x.device, &ROWS, "rms_norm_rope")?;
        let (d, half, tokens, eps) = (d as i32, half as i32, tokens as i32, self.eps as f32);
        let stream = x.device.cuda_stream();
        let mut builder = stream.launch_builder(&function);
        builder
            .arg(&from)
            .arg(&weight)
            .arg(&cos)
            .arg(&sin)
            .arg(&out)
            .arg(&d)
            .arg(&half)
            .arg(&tokens)
            .arg(&eps);
        // SAFETY: arguments in the kernel's order and types, sizes checked above; rows begin at even elements, since
        // tensors start at multiples of a row and a rotated row is a whole number of pairs.
        unsafe { builder.launch(launch::one_block_a_row(rows)) }.w()?;
        Ok((CudaStorage::wrap_cuda_slice(out, x.device.clone()), layout.shape().clone()))
    }
}

struct LayerNorm<'a> {
    affine: Option<(&'a Tensor, &'a Tensor)>,
    more: f64,
    eps: f64,
}

impl CustomOp1 for LayerNorm<'_> {
    fn name(&self) -> &'static str {
        "layer norm"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        bail!("a CUDA kernel")
    }

    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (rows, d) = launch::rows(layout);
        if self.affine.is_some_and(|(a, b)| a.elem_count() != d || b.elem_count() != d) {
            bail!("a layer norm's scale and shift don't fit rows of {d}");
        }
        let (scale, shift) = (Read::f32(self.affine.map(|a| a.0))?, Read::f32(self.affine.map(|a| a.1))?);
        let [scale, shift] = [scale.pointer()?, shift.pointer()?];
        let from = launch::view::<f32>(x, layout)?;
        // SAFETY: the kernel writes every element.
        let out = unsafe { x.device.alloc::<f32>(rows * d)? };
        let function = launch::function(&x.device, &ROWS, "layer_norm")?;
        let (d, more, eps) = (d as i32, self.more as f32, self.eps as f32);
        let stream = x.device.cuda_stream();
        let mut builder = stream.launch_builder(&function);
        builder.arg(&from).arg(&scale).arg(&shift).arg(&out).arg(&d).arg(&more).arg(&eps);
        // SAFETY: arguments in the kernel's order and types, sizes checked above.
        unsafe { builder.launch(launch::one_block_a_row(rows)) }.w()?;
        Ok((CudaStorage::wrap_cuda_slice(out, x.device.clone()), layout.shape().clone()))
    }
}

struct FinishProduct<'a> {
    bias: Option<&'a Tensor>,
    activation: Activation,
}

impl CustomOp1 for FinishProduct<'_> {
    fn name(&self) -> &'static str {
        "bias and activation"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        bail!("a CUDA kernel")
    }

    fn cuda_fwd(&self, product: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let (rows, d) = launch::rows(layout);
        if self.bias.is_some_and(|b| b.elem_count() != d) {
            bail!("a bias doesn't fit rows of {d}");
        }
        let bias = Read::f32(self.bias)?;
        let bias = bias.pointer()?;
        let from = launch::view::<bf16>(product, layout)?;
        // SAFETY: the kernel writes every element.
        let out = unsafe { product.device.alloc::<f32>(rows * d)? };
        let function = launch::function(&product.device, &ROWS, "finish_product")?;
        let activation = match self.activation {
            Activation::None => 0_i32,
            Activation::GeluTanh => 1,
            Activation::GeluErf => 2,
            Activation::Silu => 3,
        };
        let d = d as i32;
        let stream = product.device.cuda_stream();
        let mut builder = stream.launch_builder(&function);
        builder.arg(&from).arg(&bias).arg(&out).arg(&d).arg(&activation);
        // SAFETY: arguments in the kernel's order and types, sizes checked above.
        unsafe { builder.launch(launch::one_block_a_row(rows)) }.w()?;
        Ok((CudaStorage::wrap_cuda_slice(out, product.device.clone()), layout.shape().clone()))
    }
}

struct GateAdd<'a> {
    gate: Option<&'a Tensor>,
}

impl InplaceOp2 for GateAdd<'_> {
    fn name(&self) -> &'static str {
        "gated sum"
    }

    fn cpu_fwd(&self, _: &mut CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<()> {
        bail!("a CUDA kernel")
    }

    fn cuda_fwd(
        &self,
        x: &mut CudaStorage,
        x_layout: &Layout,
        y: &CudaStorage,
        y_layout: &Layout,
    ) -> Result<()> {
        let (rows, d) = launch::rows(y_layout);
        if x_layout.shape().elem_count() != rows * d || self.gate.is_some_and(|g| g.elem_count() != d) {
            bail!("a gated sum of {:?} and {:?}", x_layout.shape(), y_layout.shape());
        }
        let gate = Read::f32(self.gate)?;
        let gate = gate.pointer()?;
        let function = launch::function(&x.device, &ROWS, "gate_add")?;
        let from = launch::view::<f32>(y, y_layout)?;
        let stream = x.device.cuda_stream();
        let mut to = launch::view_mut(x, x_layout)?;
        let d = d as i32;
        let mut builder = stream.launch_builder(&function);
        builder.arg(&mut to).arg(&from).arg(&gate).arg(&d);
        // SAFETY: arguments in the kernel's order and types, sizes checked above.
        unsafe { builder.launch(launch::one_block_a_row(rows)) }.w()?;
        Ok(())
    }
}
