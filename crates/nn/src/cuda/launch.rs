//! What launching a kernel takes: the compiled module, views of tensors, the grid.

use candle_core::cuda_backend::cudarc::driver::sys::CUfunction_attribute_enum;
use candle_core::cuda_backend::cudarc::driver::{
    CudaFunction, CudaView, CudaViewMut, DevicePtr, LaunchConfig,
};
use candle_core::cuda_backend::{CudaDType, CudaDevice, CudaStorage, WrapErr};
use candle_core::{Layout, Result, Storage, Tensor, bail};
use std::ops::Deref;

/// A compiled source file.
pub(super) struct Module {
    name: &'static str,
    ptx: &'static str,
}

pub(super) const ATTENTION: Module =
    Module { name: "nn_attention", ptx: include_str!(concat!(env!("OUT_DIR"), "/attention.ptx")) };
pub(super) const ROWS: Module =
    Module { name: "nn_rows", ptx: include_str!(concat!(env!("OUT_DIR"), "/rows.ptx")) };

/// A kernel, its module loaded on first use.
pub(super) fn function(device: &CudaDevice, module: &Module, name: &str) -> Result<CudaFunction> {
    Ok(device.get_or_load_custom_func(name, module.name, module.ptx)?.into_cuda_function())
}

/// More than 48 KiB of shared memory have to be asked for.
pub(super) fn allow_shared(function: &CudaFunction, bytes: u32) -> Result<()> {
    let attribute = CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
    function.set_attribute(attribute, bytes as i32).w()
}

pub(super) fn one_block_a_row(rows: usize) -> LaunchConfig {
    LaunchConfig { grid_dim: (rows as u32, 1, 1), block_dim: (super::THREADS, 1, 1), shared_mem_bytes: 0 }
}

/// Rows and their width.
pub(super) fn rows(layout: &Layout) -> (usize, usize) {
    let d = layout.dims().last().copied().unwrap_or(1).max(1);
    (layout.shape().elem_count() / d, d)
}

fn range(layout: &Layout) -> Result<(usize, usize)> {
    match layout.contiguous_offsets() {
        Some(range) => Ok(range),
        None => bail!("a CUDA kernel was handed a strided tensor"),
    }
}

/// A contiguous tensor's elements.
pub(super) fn view<'a, T: CudaDType>(storage: &'a CudaStorage, layout: &Layout) -> Result<CudaView<'a, T>> {
    let (start, end) = range(layout)?;
    Ok(storage.as_cuda_slice::<T>()?.slice(start..end))
}

/// A contiguous f32 tensor's elements, to be changed.
pub(super) fn view_mut<'a>(storage: &'a mut CudaStorage, layout: &Layout) -> Result<CudaViewMut<'a, f32>> {
    let (start, end) = range(layout)?;
    Ok(storage.as_cuda_slice_mut::<f32>()?.slice_mut(start..end))
}

/// Holds a further input while its kernel is launched; all work of a device goes to one stream, in order.
pub(super) struct Read<'a>(Option<(Box<dyn Deref<Target = Storage> + 'a>, &'a Layout)>);

impl<'a> Read<'a> {
    pub(super) fn f32(tensor: Option<&'a Tensor>) -> Result<Self> {
        let Some(tensor) = tensor else { return Ok(Self(None)) };
        range(tensor.layout())?;
        let (storage, layout) = tensor.storage_and_layout();
        Ok(Self(Some((Box::new(storage), layout))))
    }

    /// Address of the first element, null where there is no input.
    pub(super) fn pointer(&self) -> Result<u64> {
        let Some((storage, layout)) = &self.0 else { return Ok(0) };
        let Storage::Cuda(storage) = &***storage else {
            bail!("a CUDA kernel was handed a tensor elsewhere")
        };
        let view = view::<f32>(storage, layout)?;
        let stream = storage.device.cuda_stream();
        let (pointer, _guard) = view.device_ptr(&stream);
        Ok(pointer)
    }
}
