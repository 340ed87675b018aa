//! The bridge between candle tensors in main memory and functions on plain slices.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, InplaceOp3, Layout, Result, Storage, Tensor, WithDType, bail};

/// Do these tensors go to the CPU kernels?
///
/// They do when they are in main memory and no gradient is recorded. Everything else (CUDA, Metal, training) takes
/// the candle operations, which compute the same.
pub(crate) fn on_kernels(tensors: &[&Tensor]) -> bool {
    tensors.iter().all(|t| t.device().is_cpu() && !t.track_op())
}

/// Hands a CPU tensor to `f` as a slice (copied only if it is strided).
pub(crate) fn read<T: WithDType, R>(tensor: &Tensor, f: impl FnOnce(&[T]) -> Result<R>) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else {
        bail!("a CPU kernel was handed a tensor on {:?}", tensor.device().location());
    };
    f(range(storage.as_slice::<T>()?, layout)?)
}

/// Hands several f32 CPU tensors to `f` as slices (copied only if they are strided).
pub(crate) fn read_f32<const N: usize, R>(
    tensors: [&Tensor; N],
    f: impl FnOnce([&[f32]; N]) -> Result<R>,
) -> Result<R> {
    let mut held = Vec::with_capacity(N);
    for tensor in tensors {
        held.push(tensor.contiguous()?);
    }
    let guards: Vec<_> = held.iter().map(Tensor::storage_and_layout).collect();
    let mut slices: [&[f32]; N] = [&[]; N];
    for (slice, (storage, layout)) in slices.iter_mut().zip(&guards) {
        let Storage::Cpu(storage) = &**storage else {
            bail!("a CPU kernel was handed a tensor on another device");
        };
        *slice = range(storage.as_slice::<f32>()?, layout)?;
    }
    f(slices)
}

/// Changes a contiguous f32 CPU tensor in place, reading two others, which mustn't share its
/// memory. Every tensor that shares the target's memory sees the change.
pub(crate) fn update_from(
    target: &Tensor,
    sources: [&Tensor; 2],
    f: impl Fn(&mut [f32], &[f32], &[f32]) -> Result<()>,
) -> Result<()> {
    let [a, b] = sources;
    target.inplace_op3(&a.contiguous()?, &b.contiguous()?, &InPlace(f))
}

struct InPlace<F>(F);

impl<F: Fn(&mut [f32], &[f32], &[f32]) -> Result<()>> InplaceOp3 for InPlace<F> {
    fn name(&self) -> &'static str {
        "in-place kernel"
    }

    fn cpu_fwd(
        &self,
        target: &mut CpuStorage,
        layout: &Layout,
        a: &CpuStorage,
        a_layout: &Layout,
        b: &CpuStorage,
        b_layout: &Layout,
    ) -> Result<()> {
        let a = range(a.as_slice::<f32>()?, a_layout)?;
        let b = range(b.as_slice::<f32>()?, b_layout)?;
        (self.0)(range_mut(target, layout)?, a, b)
    }
}

fn range<'a, T>(slice: &'a [T], layout: &Layout) -> Result<&'a [T]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&slice[start..end]),
        None => bail!("a CPU kernel was handed a strided tensor"),
    }
}

fn range_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&mut values[start..end]),
        (CpuStorage::F32(_), None) => bail!("a CPU kernel was asked to change a strided tensor in place"),
        (other, _) => bail!("a CPU kernel was asked to change a tensor of {:?} in place", other.dtype()),
    }
}
