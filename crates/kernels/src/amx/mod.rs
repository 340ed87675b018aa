//! Products on tiles: matrix products and attention for CPUs with [`simd::Level::Amx`].
//!
//! A *tile* is 16 rows of 16 words, a word two bf16 or four 8-bit factors along K. A tile of the left side holds 16 rows and 16 words
//! of K, one of the right side 16 words of K and 16 columns: that is how [`crate::PackedBf16`] lies in memory anyway. Sums are
//! tiles of 32 bits. All are multiplied two by two ([`Square`]), so that four loads feed four products.
//!
//! What the blocking is made for, as measured on such CPUs: four loads from the second-level cache take as long as four
//! products, so the right side's two panels stay in the first level for all rows of a block, the left side is loaded past it
//! (`tileloaddt1`), sums are read and written only once for 16 steps, and the next steps of both sides are fetched into the second level meanwhile.

pub(crate) mod attention;
pub(crate) mod gemm;
#[cfg(target_arch = "x86_64")]
mod unit;

/// Rows of a tile, and words of each.
pub(crate) const SIDE: usize = 16;
/// Words of a tile.
pub(crate) const TILE: usize = SIDE * SIDE;
/// Rows of a strip of the left side: its tiles lie in pairs, upper and lower rows, one pair behind the other along K.
pub(crate) const STRIP: usize = 2 * SIDE;

/// What words are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Factors {
    /// Pairs of bf16, summed in `f32`.
    Bf16,
    /// Fours of signed 8-bit integers; sums are the bits of 32-bit ones.
    Int8,
}

/// How the left side of a [`Square`] lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// A strip that is read once: it is loaded past the first-level cache, and what is [`Square::ahead`] is fetched.
    Stream,
    /// A strip that stays in the first-level cache.
    Near,
    /// 32 rows, this many words from one to the next, which may be less than they are long.
    Rows(usize),
}

impl Left {
    /// Words from a row of a tile to the next.
    fn row(self) -> usize {
        if let Self::Rows(words) = self { words } else { SIDE }
    }

    /// Words from the upper tile to the lower one.
    fn lower(self) -> usize {
        if let Self::Rows(words) = self { SIDE * words } else { TILE }
    }

    /// Words from a step to the next.
    fn step(self) -> usize {
        if let Self::Rows(_) = self { SIDE } else { 2 * TILE }
    }
}

/// A product of 2 × 2 tiles.
pub(crate) struct Square<'a> {
    /// Upper and lower tiles of `steps`.
    pub(crate) a: &'a [u32],
    pub(crate) left: Left,
    /// `[steps]` tiles of the left and of the right columns.
    pub(crate) b: [&'a [u32]; 2],
    pub(crate) steps: usize,
    /// Sums.
    pub(crate) c: &'a mut [f32],
    /// Elements from a row of `c` to the next.
    pub(crate) stride: usize,
    /// Elements of `c` from the left tiles to the right ones, and from the upper tiles to the lower ones.
    pub(crate) next: [usize; 2],
    /// Whether to add to `c` instead of overwriting it.
    pub(crate) accumulate: bool,
    /// What will be needed soon.
    pub(crate) ahead: Option<Ahead<'a>>,
}

/// Memory to bring into the second-level cache during a product: 4 lines of a streamed `a` and one of each `b` a step, from these places
/// on. They may lie beyond what is there.
#[derive(Clone, Copy)]
pub(crate) struct Ahead<'a> {
    pub(crate) a: (&'a [u32], usize),
    pub(crate) b: [(&'a [u32], usize); 2],
}

impl Square<'_> {
    /// Panics if the product would read or write beyond its slices.
    #[inline(always)]
    fn check(&self) {
        let Self { a, left, b, steps, c, stride, next, .. } = self;
        let last = left.lower() + (SIDE - 1) * left.row() + steps.saturating_sub(1) * left.step();
        assert!(*steps > 0 && a.len() >= last + SIDE, "a strip of {steps} steps");
        assert!(b.iter().all(|b| b.len() >= steps * TILE), "two panels of {steps} steps");
        assert!(next[0] + next[1] + (SIDE - 1) * stride + SIDE <= c.len(), "four tiles of sums");
    }
}

/// What multiplies tiles.
pub(crate) trait TileUnit: Copy + Send + Sync {
    /// Proof that a thread's tiles are configured.
    type Tiles;

    /// Runs `f` with this thread's tiles configured.
    fn with_tiles<R>(self, f: impl FnOnce(&Self::Tiles) -> R) -> R;

    /// Multiplies. The left side of `Factors::Int8` is [`Left::Stream`].
    fn multiply(tiles: &Self::Tiles, factors: Factors, square: Square<'_>);
}

/// The portable twin: the same products in plain Rust.
#[cfg(test)]
#[derive(Clone, Copy)]
pub(crate) struct Emulated;

#[cfg(test)]
impl TileUnit for Emulated {
    type Tiles = ();

    fn with_tiles<R>(self, f: impl FnOnce(&()) -> R) -> R {
        f(&())
    }

    fn multiply((): &(), factors: Factors, square: Square<'_>) {
        square.check();
        let Square { a, left, b, steps, c, stride, next, accumulate, .. } = square;
        for (lower, right, row) in (0..4 * SIDE).map(|i| (i / 32, i / 16 % 2, i % 16)) {
            let place = &mut c[lower * next[1] + right * next[0] + row * stride..][..SIDE];
            let mut sums = [0.0; SIDE];
            if accumulate {
                sums.copy_from_slice(place);
            }
            for (step, word) in (0..steps * SIDE).map(|i| (i / SIDE, i % SIDE)) {
                let a = a[step * left.step() + lower * left.lower() + row * left.row() + word];
                let b = &b[right][step * TILE + word * SIDE..][..SIDE];
                let halves = |x: u32| [f32::from_bits(x << 16), f32::from_bits(x & 0xffff_0000)];
                let fours = |x: u32| x.to_le_bytes().map(|x| i32::from(x.cast_signed()));
                for (sum, b) in sums.iter_mut().zip(b) {
                    if factors == Factors::Bf16 {
                        let ([a0, a1], [b0, b1]) = (halves(a), halves(*b));
                        *sum += a0 * b0 + a1 * b1;
                    } else {
                        let products = fours(a).into_iter().zip(fours(*b)).map(|(a, b)| a * b);
                        *sum = f32::from_bits(sum.to_bits().wrapping_add_signed(products.sum()));
                    }
                }
            }
            place.copy_from_slice(&sums);
        }
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::{Ahead, Emulated, Factors, Left, Square, TILE, TileUnit};

    /// The instructions against their twin: every layout of sums, with and without what is ahead.
    #[test]
    fn tiles_multiply_as_their_twin_does() {
        let Some(amx) = simd::Amx::detect() else { return };
        let word = |i: usize| (i as u32).wrapping_mul(2_654_435_761) ^ 0x5bd1_e995;
        // Finite halves of moderate size.
        let bf16 = |i: usize| word(i) & 0xbfff_bfff & !0x4000_4000 | 0x3000_3000;
        for (factors, steps) in
            [(Factors::Bf16, 1), (Factors::Bf16, 5), (Factors::Int8, 1), (Factors::Int8, 16)]
        {
            let value = |i: usize| if factors == Factors::Bf16 { bf16(i) } else { word(i) };
            let a: Vec<u32> = (0..steps * 2 * TILE).map(value).collect();
            let b: [Vec<u32>; 2] =
                [1, 2].map(|panel| (0..steps * TILE).map(|i| value(i + 7919 * panel)).collect());
            for (stride, next) in [(16, [256, 512]), (40, [16, 640]), (256, [16, 4096])] {
                for accumulate in [false, true] {
                    let start: Vec<f32> = (0..next[0] + next[1] + 15 * stride + 16)
                        .map(|i| if factors == Factors::Bf16 { i as f32 } else { f32::from_bits(word(i)) })
                        .collect();
                    let ahead = Ahead { a: (&a, 3), b: [(&b[0], 5), (&b[1], 1 << 20)] };
                    let lefts = [Left::Stream, Left::Near, Left::Rows(16), Left::Rows(12)];
                    let integers = factors == Factors::Int8;
                    for left in lefts.into_iter().take(if integers { 1 } else { 4 }) {
                        let ahead = (left != Left::Near).then_some(ahead);
                        let (mut got, mut want) = (start.clone(), start.clone());
                        let square = |c| Square {
                            a: &a,
                            left,
                            b: [&b[0], &b[1]],
                            steps,
                            c,
                            stride,
                            next,
                            accumulate,
                            ahead,
                        };
                        Emulated::multiply(&(), factors, square(&mut want));
                        amx.with_tiles(|tiles| simd::Amx::multiply(tiles, factors, square(&mut got)));
                        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                            let same = got.to_bits() == want.to_bits();
                            let close =
                                factors == Factors::Bf16 && (got - want).abs() <= 1e-4 * (1.0 + want.abs());
                            assert!(same || close, "{factors:?}, stride {stride}, {i}: {got}, not {want}");
                        }
                    }
                }
            }
        }
    }
}
