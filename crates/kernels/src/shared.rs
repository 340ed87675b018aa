//! An output slice that parallel tasks write in disjoint pieces.
#![expect(unsafe_code, reason = "tasks of one call write disjoint ranges of the same slice")]

use std::marker::PhantomData;

/// A mutable slice whose pieces are handed out to tasks.
pub(crate) struct SharedOut<'a, T = f32> {
    start: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

impl<T> Clone for SharedOut<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for SharedOut<'_, T> {}

// SAFETY: it is a `&mut [T]` by another name; `piece` asks its callers for disjointness.
unsafe impl<T: Send> Send for SharedOut<'_, T> {}
// SAFETY: the same: what threads reach through it are pieces of their own.
unsafe impl<T: Send> Sync for SharedOut<'_, T> {}

impl<'a, T> SharedOut<'a, T> {
    pub(crate) fn new(out: &'a mut [T]) -> Self {
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
    pub(crate) unsafe fn piece(&self, at: usize, len: usize) -> &'a mut [T] {
        assert!(at <= self.len && len <= self.len - at, "the piece reaches beyond the output");
        // SAFETY: in bounds of a slice that is borrowed mutably for `'a` (checked above), disjoint by this function's
        // contract.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(at), len) }
    }
}
