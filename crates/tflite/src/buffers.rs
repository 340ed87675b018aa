//! Buffers that a thread keeps from operator to operator and from run to run: what is freshly allocated must be fetched from the
//! system and filled with zeros each time, which costs small networks more than some of their operators.

use std::cell::RefCell;

/// Buffers that a thread keeps; the smallest is freed first.
const KEPT: usize = 8;

thread_local! {
    static POOL: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer of `n` numbers: of which kind isn't said.
pub(crate) fn take(n: usize) -> Vec<f32> {
    let found = POOL.with_borrow_mut(|pool| {
        let fits = (0..pool.len()).filter(|i| pool[*i].capacity() >= n);
        let best = fits.min_by_key(|i| pool[*i].capacity())?;
        Some(pool.swap_remove(best))
    });
    let mut buffer = found.unwrap_or_default();
    buffer.resize(n, 0.0);
    buffer
}

/// A copy.
pub(crate) fn copy(x: &[f32]) -> Vec<f32> {
    let mut buffer = take(x.len());
    buffer.copy_from_slice(x);
    buffer
}

/// Gives back what isn't needed any more.
pub(crate) fn give(buffer: Vec<f32>) {
    POOL.with_borrow_mut(|pool| {
        pool.push(buffer);
        if pool.len() > KEPT
            && let Some(smallest) = (0..pool.len()).min_by_key(|i| pool[*i].capacity())
        {
            pool.swap_remove(smallest);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back() {
        let mut first = take(100);
        first.fill(7.0);
        let at = first.as_ptr();
        give(first);
        give(vec![0.0; 1000]);
        let again = copy(&[1.0; 90]);
        assert_eq!((again.as_ptr(), again.len(), again[89]), (at, 90, 1.0));
        (0..20).for_each(|n| give(vec![0.0; 10 + n]));
        assert_eq!(POOL.with_borrow(Vec::len), KEPT);
        assert!(POOL.with_borrow(|pool| pool.iter().any(|buffer| buffer.capacity() == 1000)));
    }
}
