//! Products of quantised weights by activations of 8 bits: integer sums over groups of 32 steps of K, then scales in `f32`.
//!
//! With activations `x ≈ s · a` (`a` in -127..=127, `s` one for each row and group) and weights `w = d · q` or
//! `w = d · q - m` (`d`, `m` one for each column and group):
//!
//! ```text
//! for each group: c = c + (Σ a·q · d) · s              [- (Σ a · s) · m]
//! ```
//!
//! The sums are exact, and so are their conversions to `f32` (they stay below 2^24). The rest is done in this order by
//! multiplications and additions that aren't fused, so that every level makes the same bytes.
//!
//! A group of a packed strip or panel is its words of factors, [`Layout::WORDS`], then the bits of the scales and, where
//! there are minima, those of the scaled sums or the minima.

mod quantize;
mod unpack;

use self::quantize::pack_strip;
pub(super) use self::quantize::{nearest, scale_and_factor};
use super::Mat;
use super::product::Product;
use super::source::Source;
use crate::scratch::Scratch;
use crate::tile::{PANEL, Tile, Tiles};

/// Steps of K that share an activation's scale.
pub(crate) const GROUP: usize = 32;

/// How the weights of a kind are held while they are multiplied.
pub(crate) trait Layout: Copy + Send + Sync + 'static {
    /// Factors in a word: 2 signed ones of 16 bits, or 4 of 8 bits, unsigned in a panel and signed in a strip.
    const FACTORS: usize;
    /// Words of factors in a group.
    const WORDS: usize = GROUP / Self::FACTORS;
    /// Whether weights have minima.
    const MINIMA: bool;
    /// Words of a group.
    const GROUP_WORDS: usize = Self::WORDS + 1 + Self::MINIMA as usize;
    /// Words whose products can be summed in 16 bits, two products a sum. (Only layouts of 8 bits do that.)
    const NARROW: usize;
}

/// Pairs of 16 bits: Q8_0.
#[derive(Clone, Copy)]
pub(crate) struct Signed;

/// Fours of 8 bits, at most 15, with minima: Q4_K; Q4_0, whose minimum is 8 times its scale.
#[derive(Clone, Copy)]
pub(crate) struct Nibbles;

/// Fours of 8 bits, at most 31, with minima: Q5_K.
#[derive(Clone, Copy)]
pub(crate) struct FiveBits;

impl Layout for Signed {
    const FACTORS: usize = 2;
    const MINIMA: bool = false;
    const NARROW: usize = Self::WORDS;
}

impl Layout for Nibbles {
    const FACTORS: usize = 4;
    const MINIMA: bool = true;
    const NARROW: usize = 8; // 8 · 2 · 15 · 127 < 2^15
}

impl Layout for FiveBits {
    const FACTORS: usize = 4;
    const MINIMA: bool = true;
    const NARROW: usize = 4; // 4 · 2 · 31 · 127 < 2^15
}

/// Products with activations of 8 bits.
#[derive(Clone, Copy)]
pub(crate) struct Int8<L>(pub(crate) L);

impl<L: Layout> Product for Int8<L> {
    type T = u32;
    const STEPS: usize = L::FACTORS;
    /// A whole number of blocks of every format.
    const K_BLOCK: usize = 512;

    fn units(k: usize) -> usize {
        k / GROUP * L::GROUP_WORDS
    }

    #[inline(always)]
    fn direct<'a>(self, _: &Source<'a>, _: usize, _: usize) -> Option<(&'a [u32], usize)> {
        None
    }

    #[inline(always)]
    fn fill<S: Tiles>(self, s: S, source: &Source<'_>, panel: usize, k0: usize, kc: usize, dst: &mut [u32]) {
        let Source::Quantized { kind, bytes, n, k } = *source else {
            unreachable!("only quantised weights are multiplied in 8 bits")
        };
        let row_bytes = k / kind.block_len() * kind.block_bytes();
        let from = k0 / kind.block_len() * kind.block_bytes();
        let len = kc / kind.block_len() * kind.block_bytes();
        let row_words = kc / L::FACTORS;
        let mut rows = Scratch::<u32>::new(PANEL * row_words);
        for (j, row) in rows.chunks_exact_mut(row_words).enumerate() {
            let column = panel * PANEL + j;
            let mut scales = |group: usize, scale: f32, min: f32| {
                let at = (group * L::GROUP_WORDS + L::WORDS) * PANEL + j;
                dst[at] = scale.to_bits();
                if L::MINIMA {
                    dst[at + PANEL] = min.to_bits();
                }
            };
            if column < n {
                unpack::blocks(kind, &bytes[column * row_bytes + from..][..len], row, scales);
            } else {
                row.fill(0);
                (0..kc / GROUP).for_each(|group| scales(group, 0.0, 0.0));
            }
        }
        for (group, dst) in dst.chunks_exact_mut(L::GROUP_WORDS * PANEL).take(kc / GROUP).enumerate() {
            s.transpose16(&rows[group * L::WORDS..], row_words, L::WORDS, dst);
        }
    }

    #[inline(always)]
    fn pack_a<S: Tiles>(
        self,
        _: S,
        a: &Mat<'_>,
        row0: usize,
        mr: usize,
        k0: usize,
        kc: usize,
        dst: &mut [u32],
    ) {
        pack_strip::<L>(a, row0, mr, k0, kc, dst);
    }

    #[inline(always)]
    fn tile<S: Tiles>(self, s: S, tile: Tile<'_, u32>, c: &mut [f32]) {
        s.tile_int8::<L>(tile, c);
    }
}
