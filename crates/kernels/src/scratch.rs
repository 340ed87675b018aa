//! Buffers whose first element starts a cache line, and those that threads keep from call to call, so that a steady state
//! allocates nothing.
//!
//! The allocator aligns to 16 bytes. A panel's vectors would then straddle cache lines, every second one of 256 bits and
//! every one of 512, which costs a matrix product a fifth of its speed with 256 bits.

use std::cell::RefCell;

/// Buffers a thread keeps of each type; more are freed.
const KEPT: usize = 6;

/// An element of scratch buffers.
pub(crate) trait Element: bytemuck::Zeroable + Copy + Default + Send + Sync + 'static {
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

/// Bytes of a cache line.
const LINE: usize = 64;

/// Elements to skip so that what follows starts a cache line; below `SLACK`.
pub(crate) fn to_line<T>(data: &[T]) -> usize {
    let skip = data.as_ptr().align_offset(LINE);
    if skip < SLACK { skip } else { 0 }
}

/// Elements that a buffer is longer than asked for, so that it can start at a cache line.
pub(crate) const SLACK: usize = LINE / 4;

/// Elements that start a cache line and stay there.
#[derive(Debug)]
pub(crate) struct Lined<T> {
    data: Vec<T>,
    start: usize,
}

impl<T: bytemuck::Zeroable + Copy> Lined<T> {
    /// `len` zeros, which take no memory until they are written.
    pub(crate) fn zeros(len: usize) -> Self {
        let mut data: Vec<T> = bytemuck::zeroed_vec(len + SLACK);
        let start = to_line(&data);
        data.truncate(start + len);
        Self { data, start }
    }
}

impl<T: bytemuck::Zeroable + Copy> Clone for Lined<T> {
    fn clone(&self) -> Self {
        let mut copy = Self::zeros(self.len());
        copy.copy_from_slice(self);
        copy
    }
}

impl<T> std::ops::Deref for Lined<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.data[self.start..]
    }
}

impl<T> std::ops::DerefMut for Lined<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.data[self.start..]
    }
}

/// A buffer with unspecified contents that starts a cache line; goes back to its thread's pool when dropped.
pub(crate) struct Scratch<T: Element> {
    data: Vec<T>,
    start: usize,
}

impl<T: Element> Scratch<T> {
    /// A buffer of `len` elements: the thread's smallest that is large enough, else its largest, grown.
    pub(crate) fn new(len: usize) -> Self {
        let room = len + SLACK;
        let mut data = T::with_pool(|pool| {
            let fitting =
                (0..pool.len()).filter(|&i| pool[i].capacity() >= room).min_by_key(|&i| pool[i].capacity());
            let best = fitting.or_else(|| (0..pool.len()).max_by_key(|&i| pool[i].capacity()));
            best.map(|i| pool.swap_remove(i)).unwrap_or_default()
        });
        if data.len() < room {
            if data.capacity() < room {
                data = Vec::new(); // nothing to copy
            }
            data.resize(room, T::default());
        }
        let start = to_line(&data);
        data.truncate(start + len);
        Self { data, start }
    }
}

impl<T: Element> Drop for Scratch<T> {
    fn drop(&mut self) {
        let data = std::mem::take(&mut self.data);
        T::with_pool(|pool| {
            if pool.len() < KEPT {
                pool.push(data);
            }
        });
    }
}

impl<T: Element> std::ops::Deref for Scratch<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.data[self.start..]
    }
}

impl<T: Element> std::ops::DerefMut for Scratch<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.data[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::{LINE, Lined, Scratch};

    #[test]
    fn buffers_start_cache_lines_and_have_the_length_asked_for() {
        for len in [0, 1, 15, 16, 1000, 100_000] {
            let (scratch, lined) = (Scratch::<f32>::new(len), Lined::<u32>::zeros(len));
            let copy = lined.clone();
            assert_eq!([scratch.len(), lined.len(), copy.len()], [len; 3]);
            let starts = [scratch.as_ptr().addr(), lined.as_ptr().addr(), copy.as_ptr().addr()];
            assert!(starts.iter().all(|start| start.is_multiple_of(LINE)), "{starts:?}");
        }
    }
}
