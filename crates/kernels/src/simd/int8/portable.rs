//! Plain Rust.

use super::Integers;
use crate::simd::portable::{L, Portable};

impl Integers for Portable {
    type F = [f32; L];
    type I = [u32; L];
    type Sums = [u32; L];

    #[inline(always)]
    fn zero_sums(self) -> [u32; L] {
        [0; L]
    }
    #[inline(always)]
    fn load_words(self, src: &[u32]) -> [u32; L] {
        std::array::from_fn(|i| src[i])
    }
    #[inline(always)]
    fn splat_word(self, x: u32) -> [u32; L] {
        [x; L]
    }
    #[inline(always)]
    fn add_pairs(self, sums: [u32; L], a: [u32; L], b: [u32; L]) -> [u32; L] {
        std::array::from_fn(|i| {
            let ([a0, a1], [b0, b1]): ([i16; 2], [i16; 2]) = (bytemuck::cast(a[i]), bytemuck::cast(b[i]));
            let sum = i32::from(a0) * i32::from(b0) + i32::from(a1) * i32::from(b1);
            sums[i].wrapping_add_signed(sum)
        })
    }
    #[inline(always)]
    fn add_fours(self, sums: [u32; L], a: [u32; L], b: [u32; L]) -> [u32; L] {
        std::array::from_fn(|i| {
            let (a, b): ([i8; 4], [u8; 4]) = (bytemuck::cast(a[i]), bytemuck::cast(b[i]));
            let sum = a.iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(b)).sum();
            sums[i].wrapping_add_signed(sum)
        })
    }
    #[inline(always)]
    fn pair_sums(self, sums: [u32; L]) -> [u32; L] {
        sums
    }
    #[inline(always)]
    fn four_sums(self, sums: [u32; L]) -> [u32; L] {
        sums
    }
    #[inline(always)]
    fn add_words(self, a: [u32; L], b: [u32; L]) -> [u32; L] {
        std::array::from_fn(|i| a[i].wrapping_add(b[i]))
    }
    #[inline(always)]
    fn to_f32(self, x: [u32; L]) -> [f32; L] {
        x.map(|x| x.cast_signed() as f32)
    }
}
