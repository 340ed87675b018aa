//! Plain Rust on arrays, for any CPU; the compiler may vectorise it for its baseline.

use crate::{Integers, Kernel, Simd};

/// Vectors of `N` lanes (4, 8 or 16) that need nothing of the CPU.
#[derive(Clone, Copy, Debug)]
pub struct Portable<const N: usize>(());

impl<const N: usize> Portable<N> {
    const CHECKED: () = assert!(N == 4 || N == 8 || N == 16, "vectors have 4, 8 or 16 lanes");

    /// The token.
    #[must_use]
    pub fn new() -> Self {
        let () = Self::CHECKED;
        Self(())
    }
}

impl<const N: usize> Default for Portable<N> {
    fn default() -> Self {
        Self::new()
    }
}

// Loops and not iterators or `array::from_fn`: these become vectors at every length.
#[inline(always)]
fn fill<T: Copy + Default, const N: usize>(f: impl Fn(usize) -> T) -> [T; N] {
    let mut out = [T::default(); N];
    for i in 0..N {
        out[i] = f(i);
    }
    out
}

/// One bit for each lane.
#[inline(always)]
fn gather<const N: usize>(f: impl Fn(usize) -> u32) -> u32 {
    let mut bits = 0;
    for i in 0..N {
        bits |= (f(i) & 1) << i;
    }
    bits
}

impl<const N: usize> Simd for Portable<N> {
    type V = [f32; N];
    /// All ones or all zeros in each lane.
    type Mask = [u32; N];
    const LANES: usize = N;
    const REGISTERS: usize = 32 / N;

    #[inline(always)]
    fn detect() -> Option<Self> {
        Some(Self::new())
    }
    #[inline]
    fn enter<K: Kernel<Self, Out>, Out>(self, kernel: K) -> Out {
        kernel.run(self)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> [f32; N] {
        [x; N]
    }
    #[inline(always)]
    fn iota(self) -> [f32; N] {
        fill(|i| i as f32)
    }
    #[inline(always)]
    fn load(self, src: &[f32]) -> [f32; N] {
        let src = &src[..N];
        fill(|i| src[i])
    }
    #[inline(always)]
    fn store(self, v: [f32; N], dst: &mut [f32]) {
        dst[..N].copy_from_slice(&v);
    }
    #[inline(always)]
    fn load_bf16(self, src: &[u16]) -> [f32; N] {
        let src = &src[..N];
        fill(|i| f32::from_bits(u32::from(src[i]) << 16))
    }
    #[inline(always)]
    fn load_dup(self, src: &[f32]) -> [f32; N] {
        let src = &src[..N / 2];
        fill(|i| src[i / 2])
    }
    #[inline(always)]
    fn split_pairs(self, pairs: &[u32]) -> ([f32; N], [f32; N]) {
        let pairs = &pairs[..N];
        (fill(|i| f32::from_bits(pairs[i] << 16)), fill(|i| f32::from_bits(pairs[i] & 0xffff_0000)))
    }

    #[inline(always)]
    fn add(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        fill(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn sub(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        fill(|i| a[i] - b[i])
    }
    #[inline(always)]
    fn mul(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        fill(|i| a[i] * b[i])
    }
    #[inline(always)]
    fn div(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        fill(|i| a[i] / b[i])
    }
    #[inline(always)]
    fn max(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        fill(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn min(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        fill(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn fma(self, a: [f32; N], b: [f32; N], c: [f32; N]) -> [f32; N] {
        // `f32::mul_add` is a library call where the CPU has no such instruction.
        fill(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    fn copysign(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        fill(|i| a[i].copysign(b[i]))
    }
    #[inline(always)]
    fn shl23(self, v: [f32; N]) -> [f32; N] {
        fill(|i| f32::from_bits(v[i].to_bits() << 23))
    }
    #[inline(always)]
    fn scale_by_power(self, v: [f32; N], n: [f32; N]) -> [f32; N] {
        fill(|i| f32::from_bits(v[i].to_bits().wrapping_add(n[i].to_bits() << 23)))
    }
    #[inline(always)]
    fn swap_pairs(self, v: [f32; N]) -> [f32; N] {
        fill(|i| v[i ^ 1])
    }
    #[inline(always)]
    fn addsub(self, a: [f32; N], b: [f32; N]) -> [f32; N] {
        fill(|i| if i % 2 == 0 { a[i] - b[i] } else { a[i] + b[i] })
    }

    #[inline(always)]
    fn ge(self, a: [f32; N], b: [f32; N]) -> [u32; N] {
        fill(|i| if a[i] >= b[i] { u32::MAX } else { 0 })
    }
    #[inline(always)]
    fn not_lt(self, a: [f32; N], b: [f32; N]) -> [u32; N] {
        fill(|i| if a[i] < b[i] { 0 } else { u32::MAX })
    }
    #[inline(always)]
    fn and(self, a: [u32; N], b: [u32; N]) -> [u32; N] {
        fill(|i| a[i] & b[i])
    }
    #[inline(always)]
    fn bits(self, mask: [u32; N]) -> u32 {
        gather::<N>(|i| mask[i])
    }
    #[inline(always)]
    fn keep(self, mask: [u32; N], v: [f32; N]) -> [f32; N] {
        fill(|i| f32::from_bits(v[i].to_bits() & mask[i]))
    }
    #[inline(always)]
    fn select(self, mask: [u32; N], a: [f32; N], b: [f32; N]) -> [f32; N] {
        fill(|i| if mask[i] != 0 { a[i] } else { b[i] })
    }
    #[inline(always)]
    fn signs(self, v: [f32; N]) -> u32 {
        gather::<N>(|i| v[i].to_bits() >> 31)
    }

    /// The second half on the first, until one is left.
    #[inline(always)]
    fn sum(self, mut v: [f32; N]) -> f32 {
        let mut half = N / 2;
        while half > 0 {
            for i in 0..half {
                v[i] += v[i + half];
            }
            half /= 2;
        }
        v[0]
    }
}

impl<const N: usize> Integers for Portable<N> {
    type I = [u32; N];
    type Sums = [u32; N];

    #[inline(always)]
    fn zero_sums(self) -> [u32; N] {
        [0; N]
    }
    #[inline(always)]
    fn load_words(self, src: &[u32]) -> [u32; N] {
        let src = &src[..N];
        fill(|i| src[i])
    }
    #[inline(always)]
    fn store_words(self, x: [u32; N], dst: &mut [u32]) {
        dst[..N].copy_from_slice(&x);
    }
    #[inline(always)]
    fn splat_word(self, x: u32) -> [u32; N] {
        [x; N]
    }
    #[inline(always)]
    fn add_pairs(self, sums: [u32; N], a: [u32; N], b: [u32; N]) -> [u32; N] {
        let low = |x: u32| i32::from(x as u16 as i16);
        let high = |x: u32| x.cast_signed() >> 16;
        fill(|i| sums[i].wrapping_add_signed(low(a[i]) * low(b[i]) + high(a[i]) * high(b[i])))
    }
    #[inline(always)]
    fn add_fours(self, sums: [u32; N], a: [u32; N], b: [u32; N]) -> [u32; N] {
        fill(|i| {
            let products = a[i].to_le_bytes().into_iter().zip(b[i].to_le_bytes());
            let sum = products.map(|(a, b)| i32::from(a.cast_signed()) * i32::from(b)).sum();
            sums[i].wrapping_add_signed(sum)
        })
    }
    const OFFSET: u8 = 0;
    #[inline(always)]
    fn add_signed_fours(self, sums: [u32; N], a: [u32; N], b: [u32; N]) -> [u32; N] {
        fill(|i| {
            let products = a[i].to_le_bytes().into_iter().zip(b[i].to_le_bytes());
            let sum = products.map(|(a, b)| i32::from(a.cast_signed()) * i32::from(b.cast_signed())).sum();
            sums[i].wrapping_add_signed(sum)
        })
    }
    #[inline(always)]
    fn pair_sums(self, sums: [u32; N]) -> [u32; N] {
        sums
    }
    #[inline(always)]
    fn four_sums(self, sums: [u32; N]) -> [u32; N] {
        sums
    }
    #[inline(always)]
    fn add_words(self, a: [u32; N], b: [u32; N]) -> [u32; N] {
        fill(|i| a[i].wrapping_add(b[i]))
    }
    #[inline(always)]
    fn to_f32(self, x: [u32; N]) -> [f32; N] {
        fill(|i| x[i].cast_signed() as f32)
    }
}
