//! Matrix products on tiles.
//!
//! ```text
//! for each chunk of rows whose packed form fits CHUNK_BYTES:
//!   pack a: [strip][step][upper tile, lower tile]                       (in parallel)
//!   for all panels of b, or as many as FILL_BYTES hold:
//!     fill them, unless the weight holds them as they are               (in parallel)
//!     for each task, a block of strips × pairs of panels:               (in parallel)
//!       for each BLOCK steps, each pair of panels, each strip: 2 × 2 tiles
//!       epilogue, row by row
//! ```
//!
//! As elsewhere, the bytes of a result don't depend on the number of threads.
#![expect(unsafe_code, reason = "tasks write disjoint blocks of the output")]

use std::ops::Range;

use rayon::prelude::*;
use simd::{Kernel, Level, dispatch};

use super::{Ahead, Factors, Left, SIDE, STRIP, Square, TILE, TileUnit};
use crate::gemm::Mat;
use crate::gemm::epilogue::Epilogue;
use crate::gemm::packed::fill_panel;
use crate::gemm::product::Product;
use crate::gemm::source::Source;
use crate::scratch::Scratch;
use crate::shared::SharedOut;
use crate::tile::{PANEL, Tiles};

/// Steps of a block: the two panels that a pass reads are 32 KiB.
const BLOCK: usize = 16;
/// Strips of a task: 256 rows, of which a block is 256 KiB.
const STRIPS: usize = 8;
/// Pairs of panels of a task: 256 columns, of which a block is 256 KiB, as the sums are.
const PAIRS: usize = 8;
/// Bytes of packed left side at a time.
const CHUNK_BYTES: usize = 64 << 20;
/// Bytes of panels that are filled at a time.
const FILL_BYTES: usize = 16 << 20;
/// Multiplications below which threads cost more than they bring.
const SERIAL: usize = 1 << 16;

/// Products whose factors are words of tiles.
pub(crate) trait TileProduct: Product<T = u32> {
    const FACTORS: Factors;

    /// Rounds up to 16 words of a row of the left side, its `row`th; what is missing of them is 0.
    fn round(&self, row: usize, x: &[f32], words: &mut [u32; SIDE]);
}

/// `a · b` through the epilogue into `out` `[M, N]`; K isn't 0.
pub(crate) fn product<U: TileUnit, P: TileProduct>(
    unit: U,
    level: Level,
    product: P,
    a: Mat<'_>,
    b: Source<'_>,
    n: usize,
    epilogue: &Epilogue<'_>,
    out: &mut [f32],
) {
    let units = P::units(a.cols);
    let steps = units.div_ceil(SIDE);
    let panels = n.div_ceil(PANEL);
    let direct = product.direct(&b, 0, 0);
    let panels_at_once = match direct {
        Some(_) => panels,
        None => (FILL_BYTES / 4 / (steps * TILE)).next_multiple_of(2 * PAIRS).min(panels),
    };
    let rows_at_once = (CHUNK_BYTES / 4 / (steps * 2 * TILE)).max(1) * STRIP;
    let serial = a.rows.saturating_mul(n).saturating_mul(a.cols) < SERIAL;
    let shared = SharedOut::new(out);
    let mut filled = Scratch::<u32>::new(if direct.is_some() { 0 } else { panels_at_once * steps * TILE });
    for row0 in (0..a.rows).step_by(rows_at_once) {
        let rows = rows_at_once.min(a.rows - row0);
        let strips = rows.div_ceil(STRIP);
        let mut packed = Scratch::<u32>::new(strips * steps * 2 * TILE);
        let a = Mat { data: &a.data[row0 * a.row_stride..], rows, ..a };
        let product = product.starting_at(row0);
        let strip =
            |(i, dst): (usize, &mut [u32])| dispatch(level, PackStrip { product, a: &a, strip: i, dst });
        let packed_strips = packed.chunks_exact_mut(steps * 2 * TILE);
        if serial {
            packed_strips.enumerate().for_each(strip);
        } else {
            packed.par_chunks_exact_mut(steps * 2 * TILE).enumerate().for_each(strip);
        }
        for panel0 in (0..panels).step_by(panels_at_once.max(1)) {
            let panels = panels_at_once.min(panels - panel0);
            let b = match direct {
                Some((words, stride)) => Panels { words, stride, whole: units / SIDE, tail: units % SIDE },
                None => {
                    let fill = |(i, dst): (usize, &mut [u32])| {
                        dst[units * SIDE..].fill(0);
                        fill_panel(level, product, b, panel0 + i, a.cols, dst);
                    };
                    if serial {
                        filled.chunks_exact_mut(steps * TILE).take(panels).enumerate().for_each(fill);
                    } else {
                        filled.par_chunks_exact_mut(steps * TILE).take(panels).enumerate().for_each(fill);
                    }
                    Panels { words: &filled, stride: steps * TILE, whole: steps, tail: 0 }
                }
            };
            let call = Call {
                product,
                packed: &packed,
                b,
                steps,
                rows,
                strips,
                panels,
                row0,
                col0: panel0 * PANEL,
                n,
                epilogue,
                out: shared,
            };
            call.run(unit, level, serial);
        }
    }
}

/// Packs a strip of `a` for all of K.
struct PackStrip<'a, P> {
    product: P,
    a: &'a Mat<'a>,
    strip: usize,
    dst: &'a mut [u32],
}

impl<S: Tiles, P: TileProduct> Kernel<S> for PackStrip<'_, P> {
    #[inline(always)]
    fn run(self, _: S) {
        let Self { product, a, strip, dst } = self;
        let width = SIDE * P::STEPS;
        for i in 0..STRIP {
            let row = strip * STRIP + i;
            let words = dst.as_chunks_mut::<SIDE>().0.iter_mut().skip(i).step_by(STRIP);
            if row >= a.rows {
                words.for_each(|words| words.fill(0));
                continue;
            }
            let x = &a.data[row * a.row_stride..];
            if a.col_stride == 1 {
                x[..a.cols].chunks(width).zip(words).for_each(|(x, words)| product.round(row, x, words));
            } else {
                for (step, words) in words.enumerate() {
                    let mut some = [0.0; 4 * SIDE];
                    let len = width.min(a.cols - step * width);
                    for (p, some) in some[..len].iter_mut().enumerate() {
                        *some = x[(step * width + p) * a.col_stride];
                    }
                    product.round(row, &some[..len], words);
                }
            }
        }
    }
}

/// The right side: panels of words, each as tiles behind each other.
#[derive(Clone, Copy)]
struct Panels<'a> {
    words: &'a [u32],
    /// Words from a panel to the next.
    stride: usize,
    /// Whole tiles of a panel.
    whole: usize,
    /// Rows of the tile that follows them.
    tail: usize,
}

/// What the tasks share.
struct Call<'a, P> {
    product: P,
    packed: &'a [u32],
    b: Panels<'a>,
    steps: usize,
    rows: usize,
    strips: usize,
    panels: usize,
    /// Of the output, where rows and panels start.
    row0: usize,
    col0: usize,
    n: usize,
    epilogue: &'a Epilogue<'a>,
    out: SharedOut<'a>,
}

/// A block of the output.
struct Task<'a, P, T> {
    call: &'a Call<'a, P>,
    strips: Range<usize>,
    pairs: Range<usize>,
    tiles: &'a T,
}

/// [`Task`] with what multiplies.
struct On<'a, U: TileUnit, P>(Task<'a, P, U::Tiles>);

impl<P: TileProduct> Call<'_, P> {
    fn run<U: TileUnit>(&self, unit: U, level: Level, serial: bool) {
        let pairs = self.panels.div_ceil(2);
        let wanted = if serial { 1 } else { 4 * rayon::current_num_threads() };
        let (mut of_strips, mut of_pairs) = (STRIPS, PAIRS);
        let tasks = |strips: usize, columns: usize| self.strips.div_ceil(strips) * pairs.div_ceil(columns);
        // Smaller blocks only to occupy the threads.
        while tasks(of_strips, of_pairs) < wanted && of_strips.max(of_pairs) > 2 {
            if of_pairs >= of_strips { of_pairs /= 2 } else { of_strips /= 2 }
        }
        let down = self.strips.div_ceil(of_strips);
        let task = |i: usize| {
            let (x, y) = (i / down * of_pairs, i % down * of_strips);
            let strips = y..(y + of_strips).min(self.strips);
            let pairs = x..(x + of_pairs).min(pairs);
            unit.with_tiles(|tiles| dispatch(level, On::<U, P>(Task { call: self, strips, pairs, tiles })));
        };
        let count = tasks(of_strips, of_pairs);
        if serial {
            (0..count).for_each(task);
        } else {
            (0..count).into_par_iter().with_max_len(1).for_each(task);
        }
    }
}

impl<S: Tiles, U: TileUnit, P: TileProduct> Kernel<S> for On<'_, U, P> {
    #[inline(always)]
    fn run(self, s: S) {
        let Task { call, strips, pairs, tiles } = self.0;
        let Call { b, steps, .. } = *call;
        let mut sums = Scratch::<f32>::new(pairs.len() * strips.len() * 4 * TILE);
        let strip_words = steps * 2 * TILE;
        // An odd last panel is multiplied twice; what the second product makes has no place in the output.
        let panel = |pair: usize, side: usize| (2 * pair + side).min(call.panels - 1);
        let mut tails = Scratch::<u32>::new(if b.tail > 0 { 2 * pairs.len() * TILE } else { 0 });
        for (i, tail) in tails.chunks_exact_mut(TILE).enumerate() {
            let from = panel(pairs.start + i / 2, i % 2) * b.stride + b.whole * TILE;
            let (rows, beyond) = tail.split_at_mut(b.tail * SIDE);
            rows.copy_from_slice(&b.words[from..from + rows.len()]);
            beyond.fill(0);
        }
        for step0 in (0..steps).step_by(BLOCK) {
            // Steps up to the tail, which is a block of its own.
            for (step0, block) in [
                (step0, BLOCK.min(b.whole.saturating_sub(step0))),
                (b.whole, usize::from(b.tail > 0 && (step0..step0 + BLOCK).contains(&b.whole))),
            ] {
                if block == 0 {
                    continue;
                }
                for (x, pair) in pairs.clone().enumerate() {
                    let right: [&[u32]; 2] = std::array::from_fn(|side| {
                        if step0 < b.whole {
                            &b.words[panel(pair, side) * b.stride + step0 * TILE..]
                        } else {
                            &tails[(2 * x + side) * TILE..]
                        }
                    });
                    for (y, strip) in strips.clone().enumerate() {
                        let left = &call.packed[strip * strip_words + step0 * 2 * TILE..];
                        // Each product fetches a part of the next block of its strip and of its panels.
                        let next_a = block * 2 * TILE / pairs.len() * x + block * 2 * TILE;
                        let next_b = block * TILE / strips.len() * y + block * TILE;
                        let square = Square {
                            a: left,
                            left: Left::Stream,
                            b: right,
                            steps: block,
                            c: &mut sums[(x * strips.len() + y) * 4 * TILE..][..4 * TILE],
                            stride: SIDE,
                            next: [TILE, 2 * TILE],
                            accumulate: step0 > 0,
                            ahead: Some(Ahead { a: (left, next_a), b: right.map(|right| (right, next_b)) }),
                        };
                        U::multiply(tiles, P::FACTORS, square);
                    }
                }
            }
        }
        let col0 = pairs.start * 2 * PANEL;
        let width = (pairs.len() * 2 * PANEL).min((call.panels * PANEL).min(call.n - call.col0) - col0);
        let mut line = [0.0; PAIRS * 2 * PANEL];
        for (y, strip) in strips.clone().enumerate() {
            for i in 0..STRIP.min(call.rows - strip * STRIP) {
                for (x, line) in line.chunks_exact_mut(2 * SIDE).take(pairs.len()).enumerate() {
                    let from =
                        &sums[(x * strips.len() + y) * 4 * TILE + i / SIDE * 2 * TILE + i % SIDE * SIDE..];
                    line[..SIDE].copy_from_slice(&from[..SIDE]);
                    line[SIDE..].copy_from_slice(&from[TILE..TILE + SIDE]);
                }
                let (line, row, col0) = (&mut line[..width], strip * STRIP + i, call.col0 + col0);
                call.product.finish(row, col0, 0, line);
                let row = call.row0 + row;
                // SAFETY: tasks have disjoint ranges of rows × columns, and this task makes one piece at a time.
                let out = unsafe { call.out.piece(row * call.n + col0, width) };
                call.epilogue.write(s, row, col0, call.n, line, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::super::{Emulated, TileUnit};
    use super::product;
    use crate::gemm::epilogue::{Combine, Epilogue};
    use crate::gemm::product::Bf16Pairs;
    use crate::gemm::source::Source;
    use crate::gemm::{Mat, PackedBf16};
    use crate::{Activation, Level};

    const PLAIN: Epilogue<'_> =
        Epilogue { bias: None, activation: Activation::None, combine: Combine::Store };

    fn value(i: usize) -> f32 {
        ((i * 7919 + 13) % 1009) as f32 / 504.5 - 1.0
    }

    /// bf16 products on a unit: edges of strips, panels, steps and blocks, every kind of right side.
    fn bf16_products<U: TileUnit>(unit: U, levels: &[Level]) {
        for [m, n, k] in SIZES {
            let a: Vec<f32> = (0..m * k).map(value).collect();
            let w: Vec<bf16> = (0..n * k).map(|i| bf16::from_f32(value(i * 3 + 1))).collect();
            let wide: Vec<f32> = w.iter().map(|w| w.to_f32()).collect();
            let rounded: Vec<f64> = a.iter().map(|a| bf16::from_f32(*a).to_f64()).collect();
            let packed = PackedBf16::new(&w, n, k);
            let a_t: Vec<f32> = (0..m * k).map(|i| a[i % m * k + i / m]).collect();
            for (kind, left, right) in [
                ("packed", Mat::new(&a, m, k), Source::PanelsBf16 { panels: packed.panels(), k }),
                ("rows", Mat::new(&a, m, k), Source::RowsBf16 { w: &w, n, k }),
                ("f32 rows", Mat::new(&a_t, k, m).t(), Source::Rows { w: &wide, n, k }),
            ] {
                for &level in levels {
                    let mut out = vec![f32::NAN; m * n];
                    product(unit, level, Bf16Pairs, left, right, n, &PLAIN, &mut out);
                    for (at, got) in out.iter().enumerate() {
                        let w = &wide[at % n * k..][..k];
                        let want: f64 =
                            rounded[at / n * k..][..k].iter().zip(w).map(|(x, w)| x * f64::from(*w)).sum();
                        let error = (f64::from(*got) - want).abs();
                        assert!(
                            error < 2e-4,
                            "{kind} {m}×{n}×{k}[{at}] at {level:?}: got {got}, want {want}"
                        );
                    }
                }
            }
        }
    }

    const SIZES: [[usize; 3]; 9] = [
        [1, 1, 1],
        [5, 16, 3],
        [7, 33, 130],
        [31, 70, 512],
        [33, 20, 515],
        [40, 48, 544],
        [16, 530, 64],
        [290, 35, 33],
        [64, 64, 1056],
    ];

    #[test]
    fn blocks_of_tiles_make_whole_products() {
        bf16_products(Emulated, &Level::supported().collect::<Vec<_>>());
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn tile_instructions_make_whole_products() {
        if let Some(amx) = simd::Amx::detect() {
            bf16_products(amx, &[Level::Amx]);
        }
    }
}
