//! Buffers that threads keep from call to call, so that a steady state allocates nothing.

use std::cell::RefCell;

/// Buffers a thread keeps of each type; more are freed.
const KEPT: usize = 6;

/// An element of scratch buffers.
pub(crate) trait Element: Copy + Default + Send + Sync + 'static {
    fn with_pool<R>(f: impl FnOnce(&mut Vec<Vec<Self>>) -> R) -> R;
}

macro_rules! element {
    ($t:ty, $pool:ident) => {
        thread_local! {
            static $pool: RefCell<Vec<Vec<$t>>> = const { RefCell::new(Vec::new()) };
        }
        impl Element for $t {
            fn with_pool<R>(f: impl FnOnce(&mut Vec<Vec<Self>>) -> R) -> R {
                $pool.with_borrow_mut(f)
            }
        }
    };
}
element!(f32, POOL_F32);
element!(u32, POOL_U32);

/// A buffer with unspecified contents; goes back to its thread's pool when dropped.
pub(crate) struct Scratch<T: Element>(Vec<T>);

impl<T: Element> Scratch<T> {
    /// A buffer of `len` elements: the thread's smallest that is large enough, else its largest, grown.
    pub(crate) fn new(len: usize) -> Self {
        let mut buffer = T::with_pool(|pool| {
            let fitting =
                (0..pool.len()).filter(|&i| pool[i].capacity() >= len).min_by_key(|&i| pool[i].capacity());
            let best = fitting.or_else(|| (0..pool.len()).max_by_key(|&i| pool[i].capacity()));
            best.map(|i| pool.swap_remove(i)).unwrap_or_default()
        });
        if buffer.len() < len {
            if buffer.capacity() < len {
                buffer = Vec::new(); // nothing to copy
            }
            buffer.resize(len, T::default());
        } else {
            buffer.truncate(len);
        }
        Self(buffer)
    }
}

impl<T: Element> Drop for Scratch<T> {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        T::with_pool(|pool| {
            if pool.len() < KEPT {
                pool.push(buffer);
            }
        });
    }
}

impl<T: Element> std::ops::Deref for Scratch<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Element> std::ops::DerefMut for Scratch<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}
