//! Buffers for feature maps, used again instead of allocated again.

use half::bf16;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How feature maps are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// Channels-last f32 buffers for the CPU kernels.
    F32,
    /// Channels-last bf16 buffers for the CPU kernels: half the memory; arithmetic stays f32.
    Bf16,
    /// Tensors, for candle's operations.
    Tensor,
}

/// Where the frames of one pass get their memory. Freed frames are kept for the next ones of the same size
/// until the workspace is dropped.
#[derive(Clone, Debug)]
pub struct Workspace {
    storage: Storage,
    free: Arc<Mutex<Free>>,
}

#[derive(Debug, Default)]
struct Free {
    single: BTreeMap<usize, Vec<Vec<f32>>>,
    half: BTreeMap<usize, Vec<Vec<bf16>>>,
    bytes: usize,
    peak: usize,
}

/// The elements of a frame.
#[derive(Debug)]
pub(crate) enum Values {
    F32(Vec<f32>),
    Bf16(Vec<bf16>),
}

/// One frame `[H, W, C]` that goes back to its workspace when the last owner lets go.
#[derive(Debug)]
pub(crate) struct Buffer {
    values: Values,
    home: Arc<Mutex<Free>>,
}

impl Workspace {
    /// A workspace that has no memory yet.
    #[must_use]
    pub fn new(storage: Storage) -> Self {
        Self { storage, free: Arc::default() }
    }

    /// What its frames are made of.
    #[must_use]
    pub fn storage(&self) -> Storage {
        self.storage
    }

    /// Most bytes of buffers that existed at one time, used or kept.
    #[must_use]
    pub fn peak_bytes(&self) -> usize {
        self.lock().peak
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A buffer of `len` elements with any content.
    pub(crate) fn buffer(&self, len: usize) -> Buffer {
        let mut free = self.lock();
        let values = if self.storage == Storage::Bf16 {
            let kept = free.half.get_mut(&len).and_then(Vec::pop);
            Values::Bf16(kept.unwrap_or_else(|| free.note(2 * len, || vec![bf16::ZERO; len])))
        } else {
            let kept = free.single.get_mut(&len).and_then(Vec::pop);
            Values::F32(kept.unwrap_or_else(|| free.note(4 * len, || vec![0.0; len])))
        };
        Buffer { values, home: self.free.clone() }
    }
}

impl Free {
    fn note<T>(&mut self, bytes: usize, make: impl FnOnce() -> T) -> T {
        self.bytes += bytes;
        self.peak = self.peak.max(self.bytes);
        make()
    }
}

impl Buffer {
    pub(crate) fn values(&self) -> &Values {
        &self.values
    }

    pub(crate) fn values_mut(&mut self) -> &mut Values {
        &mut self.values
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut free = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut self.values {
            Values::F32(values) => free.single.entry(values.len()).or_default().push(std::mem::take(values)),
            Values::Bf16(values) => free.half.entry(values.len()).or_default().push(std::mem::take(values)),
        }
    }
}
