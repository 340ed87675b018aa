//! What products of small integers need.

use crate::Simd;

/// Sums of products of integers of 8 or 16 bits, two or four to a 32-bit word. They are exact: the same at every level.
pub trait Integers: Simd {
    /// A vector of [`Simd::LANES`] words.
    type I: Copy;
    /// Sums in the making, in whatever form is cheap to add to.
    type Sums: Copy;

    /// Nothing summed yet.
    fn zero_sums(self) -> Self::Sums;
    /// The first `LANES` words.
    fn load_words(self, src: &[u32]) -> Self::I;
    /// Overwrites the first `LANES` words.
    fn store_words(self, x: Self::I, dst: &mut [u32]);
    /// `x` in each lane.
    fn splat_word(self, x: u32) -> Self::I;
    /// `sums + Σ` of the two products of signed 16-bit factors in each word.
    fn add_pairs(self, sums: Self::Sums, a: Self::I, b: Self::I) -> Self::Sums;
    /// `sums + Σ` of the four products of signed 8-bit factors `a` and unsigned ones `b` of at most 31. Some levels sum in 16
    /// bits: `8 · 31 / max b` steps are safe.
    fn add_fours(self, sums: Self::Sums, a: Self::I, b: Self::I) -> Self::Sums;
    /// What [`Integers::add_signed_fours`] takes factors `a` with added: 0, or the 128 that makes them unsigned.
    const OFFSET: u8;
    /// `sums + Σ` of the four products of 8-bit factors `a`, from −127 to 127 plus [`Integers::OFFSET`], and `b`, from −127 to 127.
    fn add_signed_fours(self, sums: Self::I, a: Self::I, b: Self::I) -> Self::I;
    /// What [`Integers::add_pairs`] summed.
    fn pair_sums(self, sums: Self::Sums) -> Self::I;
    /// What [`Integers::add_fours`] summed.
    fn four_sums(self, sums: Self::Sums) -> Self::I;
    /// `a + b`, wrapping.
    fn add_words(self, a: Self::I, b: Self::I) -> Self::I;
    /// Signed words as `f32`.
    fn to_f32(self, x: Self::I) -> Self::V;
}
