//! Bringing memory into the first-level cache before it is needed.
#![cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "the instruction takes a pointer"))]

/// Asks for the cache line of element `at` of `data`, which may lie beyond its end; where the CPU has no way to ask, nothing
/// happens.
#[inline(always)]
pub fn prefetch<T>(data: &[T], at: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let line = data.as_ptr().wrapping_add(at);
        // SAFETY: a hint: it reads nothing that the program could see, and no address makes it fail.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (data, at);
}
