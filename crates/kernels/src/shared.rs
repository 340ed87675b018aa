//! An output slice that parallel tasks write in disjoint pieces.
#![expect(unsafe_code, reason = "tasks of one call write disjoint column ranges of the same rows")]

use std::marker::PhantomData;

/// A mutable slice whose pieces are handed out to tasks.
#[derive(Clone, Copy)]
pub(crate) struct SharedOut<'a> {
    start: *mut f32,
    len: usize,
    slice: PhantomData<&'a mut [f32]>,
}

// SAFETY: it is a `&mut [f32]` by another name; `piece` asks its callers for disjointness.
unsafe impl Send for SharedOut<'_> {}
// SAFETY: as above.
unsafe impl Sync for SharedOut<'_> {}

impl<'a> SharedOut<'a> {
    pub(crate) fn new(out: &'a mut [f32]) -> Self {
        Self { start: out.as_mut_ptr(), len: out.len(), slice: PhantomData }
    }

    /// `len` elements from `at`.
    ///
    /// # Panics
    /// If they reach beyond the slice.
    ///
    /// # Safety
    /// No other piece with an element in common is alive.
    #[inline(always)]
    pub(crate) unsafe fn piece(&self, at: usize, len: usize) -> &'a mut [f32] {
        assert!(at <= self.len && len <= self.len - at, "the piece reaches beyond the output");
        // SAFETY: in bounds of a slice that is borrowed mutably for `'a` (checked above), disjoint by this function's
        // contract.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(at), len) }
    }
}
