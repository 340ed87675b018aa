//! Attention on tiles: both products in bf16, the softmax between them in `f32` vectors.
//!
//! ```text
//! for each group of heads whose packed keys and values fit PACK_BYTES:
//!   pack k as panels of 16 keys, v as panels of 16 head dims             (in parallel)
//!   for each task, up to BLOCKS blocks of QUERIES queries of a head:     (in parallel)
//!     pack q, times scale · log2 e
//!     for each KEYS keys, each block of queries:
//!       scores = q strips · k panels
//!       new max; p = 2^(score − max); sum, output *= 2^(old max − new max); sum += p
//!       output += p strips · v panels
//!     output / sum
//! ```
//!
//! Exponentials decide the speed: [`simd::Simd::exp2_rough`] is as exact as weights in bf16 need.
#![expect(
    unsafe_code,
    reason = "tasks write disjoint keys of the packed heads, and disjoint queries of the output"
)]

use std::f32::consts::LOG2_E;
use std::ops::Range;

use rayon::prelude::*;
use simd::{Kernel, Level, dispatch};

use super::gemm::TileProduct;
use super::{Factors, Left, SIDE, STRIP, Square, TILE, TileUnit};
use crate::attention::{Attention, Heads};
use crate::gemm::product::Bf16Pairs;
use crate::scratch::Scratch;
use crate::shared::SharedOut;
use crate::tile::Tiles;

/// Queries of a block: their weights by a block of keys are 64 KiB, their scores 128.
const QUERIES: usize = 128;
/// Keys of a block: packed keys and values are 64 KiB each where a head is 128 wide.
const KEYS: usize = 256;
/// Keys of a step of the second product.
const STEP: usize = 2 * SIDE;
/// Blocks of queries that a task takes through the keys together.
const BLOCKS: usize = 4;
/// Bytes of packed keys and values at a time, where one head doesn't take more.
const PACK_BYTES: usize = 32 << 20;
/// Multiplications below which threads cost more than they bring.
const SERIAL: usize = 1 << 16;
/// Stands for −∞ in scores, and leaves room for differences.
const MASKED: f32 = -1e30;
/// A maximum of at least this makes weights of 0 of masked scores.
const LOWEST: f32 = -1e29;

/// Attention of checked, non-empty views.
pub(crate) fn run<U: TileUnit>(
    unit: U,
    level: Level,
    [q, k, v]: [Heads<'_>; 3],
    options: &Attention<'_>,
    out: &mut [f32],
) {
    let shape = Shape::new(&k);
    let serial = q.heads.saturating_mul(q.len).saturating_mul(k.len).saturating_mul(q.dim) < SERIAL;
    let at_once = (PACK_BYTES / 4 / shape.head_words()).clamp(1, q.heads);
    let mut packed = Scratch::<u32>::new(at_once * shape.head_words());
    // Masks are added to scores; so are those of keys that only fill a step.
    let adjusted = options.bias.is_some() || options.key_mask.is_some();
    let mask: Vec<f32> = (0..if adjusted { shape.keys } else { 0 })
        .map(|key| {
            let open = key < k.len && options.key_mask.is_none_or(|mask| mask[key]);
            if open { 0.0 } else { MASKED }
        })
        .collect();
    let out = SharedOut::new(out);
    let blocks = q.len.div_ceil(QUERIES);
    for head0 in (0..q.heads).step_by(at_once) {
        let heads = at_once.min(q.heads - head0);
        let key_blocks = shape.keys.div_ceil(KEYS);
        let to = SharedOut::new(&mut packed);
        let pack = |i: usize| {
            let (head, block) = (i / key_blocks, i % key_blocks);
            dispatch(level, PackKeys { k: &k, v: &v, shape, head: head0 + head, slot: head, block, to });
        };
        if serial {
            (0..heads * key_blocks).for_each(pack);
        } else {
            (0..heads * key_blocks).into_par_iter().for_each(pack);
        }
        let wanted = if serial { 1 } else { 4 * rayon::current_num_threads() };
        let per_task = (heads * blocks / wanted).clamp(1, BLOCKS);
        let per_head = blocks.div_ceil(per_task);
        let packed = &packed[..];
        let attend = |i: usize| {
            let (slot, first) = (i / per_head, i % per_head * per_task * QUERIES);
            let rows = first..(first + per_task * QUERIES).min(q.len);
            let packed = &packed[slot * shape.head_words()..][..shape.head_words()];
            unit.with_tiles(|tiles| {
                let head = head0 + slot;
                let task =
                    Task { q: &q, k_len: k.len, shape, head, rows, packed, options, mask: &mask, out, tiles };
                dispatch(level, On::<U>(task));
            });
        };
        if serial {
            (0..heads * per_head).for_each(attend);
        } else {
            (0..heads * per_head).into_par_iter().with_max_len(1).for_each(attend);
        }
    }
}

/// Sizes of packed heads.
#[derive(Clone, Copy)]
struct Shape {
    dim: usize,
    /// Keys, with those that fill the last step.
    keys: usize,
    /// Steps of a panel of keys, along the head dim.
    key_steps: usize,
    /// Panels of values, an even number.
    value_panels: usize,
}

impl Shape {
    fn new(k: &Heads<'_>) -> Self {
        Self {
            dim: k.dim,
            keys: k.len.next_multiple_of(STEP),
            key_steps: k.dim.div_ceil(2 * SIDE),
            value_panels: k.dim.div_ceil(2 * SIDE) * 2,
        }
    }

    /// Words of a panel of 16 keys.
    fn key_panel(&self) -> usize {
        self.key_steps * TILE
    }

    /// Words of a panel of 16 head dims.
    fn value_panel(&self) -> usize {
        self.keys / STEP * TILE
    }

    fn key_words(&self) -> usize {
        self.keys / SIDE * self.key_panel()
    }

    fn head_words(&self) -> usize {
        self.key_words() + self.value_panels * self.value_panel()
    }
}

/// Packs a block of keys and values of a head.
struct PackKeys<'a> {
    k: &'a Heads<'a>,
    v: &'a Heads<'a>,
    shape: Shape,
    head: usize,
    /// The head's place among the packed ones.
    slot: usize,
    block: usize,
    to: SharedOut<'a, u32>,
}

impl<S: Tiles> Kernel<S> for PackKeys<'_> {
    #[inline(always)]
    fn run(self, s: S) {
        let Self { k, v, shape, head, slot, block, to } = self;
        let keys = block * KEYS..((block + 1) * KEYS).min(shape.keys);
        let start = slot * shape.head_words();
        let (dim, width) = (shape.dim, shape.key_steps * SIDE);
        let mut rows = Scratch::<u32>::new(SIDE * width);
        for key0 in keys.clone().step_by(SIDE) {
            for (key, row) in (key0..).zip(rows.chunks_exact_mut(width)) {
                if key < k.len {
                    round_row(&k.rows(key, head).data[..dim], row);
                } else {
                    row.fill(0);
                }
            }
            // SAFETY: tasks have disjoint keys of disjoint heads, and this task makes one piece at a time.
            let panel = unsafe { to.piece(start + key0 / SIDE * shape.key_panel(), shape.key_panel()) };
            s.transpose16(&rows, width, width, panel);
        }
        let zeros = [0.0; SIDE];
        for panel in 0..shape.value_panels {
            let d = panel * SIDE;
            let len = dim.saturating_sub(d).min(SIDE);
            let at = start + shape.key_words() + panel * shape.value_panel() + keys.start / 2 * SIDE;
            // SAFETY: as above: two keys are a row of the panel.
            let rows = unsafe { to.piece(at, keys.len() / 2 * SIDE) };
            for (key, dst) in keys.clone().step_by(2).zip(rows.chunks_exact_mut(SIDE)) {
                let values = |key: usize| {
                    if key < v.len { &v.rows(key, head).data[d..d + len] } else { &zeros[..len] }
                };
                if len == 0 {
                    dst.fill(0);
                } else if len == SIDE {
                    s.pack_pairs(values(key), values(key + 1), dst);
                } else {
                    let (mut even, mut odd) = (zeros, zeros);
                    even[..len].copy_from_slice(values(key));
                    odd[..len].copy_from_slice(values(key + 1));
                    s.pack_pairs(&even, &odd, dst);
                }
            }
        }
    }
}

/// Rounds a row to words of pairs; what is missing of them is 0.
#[inline(always)]
fn round_row(x: &[f32], words: &mut [u32]) {
    for (x, words) in x.chunks(2 * SIDE).zip(words.as_chunks_mut().0) {
        Bf16Pairs.round(0, x, words);
    }
}

/// Queries `rows` of a head.
struct Task<'a, T> {
    q: &'a Heads<'a>,
    k_len: usize,
    shape: Shape,
    head: usize,
    rows: Range<usize>,
    packed: &'a [u32],
    options: &'a Attention<'a>,
    /// For each key what is added to its scores, where there is anything to add.
    mask: &'a [f32],
    out: SharedOut<'a>,
    tiles: &'a T,
}

/// [`Task`] with what multiplies.
struct On<'a, U: TileUnit>(Task<'a, U::Tiles>);

/// The state of a block of queries.
struct Block<'a> {
    /// `[strip][step][upper tile, lower tile]`
    q: &'a [u32],
    /// `[QUERIES, 16 · value_panels]`, not yet divided by the sums.
    out: &'a mut [f32],
    max: &'a mut [f32],
    sum: &'a mut [f32],
}

impl<S: Tiles, U: TileUnit> Kernel<S> for On<'_, U> {
    #[inline(always)]
    fn run(self, s: S) {
        let task = self.0;
        let shape = task.shape;
        let blocks = task.rows.len().div_ceil(QUERIES);
        let (strip_words, width) = (2 * shape.key_panel(), shape.value_panels * SIDE);
        let block_words = QUERIES / STRIP * strip_words;
        let mut q = Scratch::<u32>::new(blocks * block_words);
        let mut out = Scratch::<f32>::new(blocks * QUERIES * width);
        let (mut max, mut sum) =
            (Scratch::<f32>::new(blocks * QUERIES), Scratch::<f32>::new(blocks * QUERIES));
        let mut scores = Scratch::<f32>::new(QUERIES * KEYS);
        let mut weights = Scratch::<u32>::new(QUERIES * KEYS / 2);
        max.fill(LOWEST);
        sum.fill(0.0);
        task.pack_queries(&mut q);
        let (keys, values) = task.packed.split_at(shape.key_words());
        for key0 in (0..shape.keys).step_by(KEYS) {
            let steps = KEYS.min(shape.keys - key0) / STEP;
            for i in 0..blocks {
                let mut block = Block {
                    q: &q[i * block_words..][..block_words],
                    out: &mut out[i * QUERIES * width..][..QUERIES * width],
                    max: &mut max[i * QUERIES..][..QUERIES],
                    sum: &mut sum[i * QUERIES..][..QUERIES],
                };
                let row0 = task.rows.start + i * QUERIES;
                let rows = QUERIES.min(task.rows.end - row0);
                let strips = rows.div_ceil(STRIP);
                for pair in 0..steps {
                    let panel = (key0 / SIDE + 2 * pair) * shape.key_panel();
                    for strip in 0..strips {
                        let square = Square {
                            a: &block.q[strip * strip_words..],
                            left: Left::Near,
                            b: [&keys[panel..], &keys[panel + shape.key_panel()..]],
                            steps: shape.key_steps,
                            c: &mut scores[strip * STRIP * KEYS + pair * STEP..],
                            stride: KEYS,
                            next: [SIDE, SIDE * KEYS],
                            accumulate: false,
                            ahead: None,
                        };
                        U::multiply(task.tiles, Factors::Bf16, square);
                    }
                }
                task.adjust(&mut scores, row0, rows, key0, steps * STEP);
                softmax(s, &mut scores, rows, steps, &mut block, &mut weights);
                for pair in 0..shape.value_panels / 2 {
                    let panel = 2 * pair * shape.value_panel() + key0 / STEP * TILE;
                    for strip in 0..strips {
                        let square = Square {
                            a: &weights[strip * STRIP * KEYS / 2..],
                            left: Left::Near,
                            b: [&values[panel..], &values[panel + shape.value_panel()..]],
                            steps,
                            c: &mut block.out[strip * STRIP * width + pair * 2 * SIDE..],
                            stride: width,
                            next: [SIDE, SIDE * width],
                            accumulate: key0 > 0,
                            ahead: None,
                        };
                        U::multiply(task.tiles, Factors::Bf16, square);
                    }
                }
            }
        }
        for (i, l) in task.rows.clone().enumerate() {
            let inverse = if sum[i] == 0.0 { 0.0 } else { 1.0 / sum[i] };
            // SAFETY: tasks have disjoint (query, head) pairs, and this task makes one piece at a time.
            let to = unsafe { task.out.piece((l * task.q.heads + task.head) * shape.dim, shape.dim) };
            to.iter_mut().zip(&out[i * width..]).for_each(|(to, x)| *to = x * inverse);
        }
    }
}

impl<T> Task<'_, T> {
    /// Strips of queries, times what makes their scores exponents of 2; rows beyond the last are 0.
    #[inline(always)]
    fn pack_queries(&self, words: &mut [u32]) {
        let factor = self.options.scale * LOG2_E;
        let steps = self.shape.key_steps;
        let rows = self.rows.len().next_multiple_of(STRIP);
        for i in 0..rows {
            let strip = &mut words[i / STRIP * steps * 2 * TILE..][..steps * 2 * TILE];
            let to = strip.as_chunks_mut::<SIDE>().0.iter_mut().skip(i % STRIP).step_by(STRIP);
            if i >= self.rows.len() {
                to.for_each(|words| words.fill(0));
                continue;
            }
            let x = &self.q.rows(self.rows.start + i, self.head).data[..self.shape.dim];
            for (x, words) in x.chunks(2 * SIDE).zip(to) {
                let mut scaled = [0.0; 2 * SIDE];
                scaled.iter_mut().zip(x).for_each(|(scaled, x)| *scaled = x * factor);
                Bf16Pairs.round(0, &scaled, words);
            }
        }
    }

    /// Adds bias and mask, and masks the keys that only fill a step.
    #[inline(always)]
    fn adjust(&self, scores: &mut [f32], row0: usize, rows: usize, key0: usize, keys: usize) {
        let given = keys.min(self.k_len - key0);
        for (i, scores) in scores.chunks_exact_mut(KEYS).take(rows).enumerate() {
            if let Some(bias) = self.options.bias {
                let per_head = self.q.len * self.k_len;
                let head = if bias.len() == per_head { 0 } else { self.head };
                let bias = &bias[head * per_head + (row0 + i) * self.k_len + key0..][..given];
                // −∞ is a mask too.
                scores.iter_mut().zip(bias).for_each(|(score, bias)| *score = least(*score + bias * LOG2_E));
            }
            if self.mask.is_empty() {
                scores[given..keys].fill(MASKED);
            } else {
                let mask = &self.mask[key0..key0 + keys];
                scores.iter_mut().zip(mask).for_each(|(score, mask)| *score = least(*score + mask));
            }
        }
    }
}

/// At least [`MASKED`]; NaN stays.
#[inline(always)]
fn least(x: f32) -> f32 {
    if x < MASKED { MASKED } else { x }
}

/// The softmax step of a block of queries and `steps` of keys: weights as strips of the second product.
#[inline(always)]
fn softmax<S: Tiles>(
    s: S,
    scores: &mut [f32],
    rows: usize,
    steps: usize,
    block: &mut Block<'_>,
    weights: &mut [u32],
) {
    let Block { out, max, sum, .. } = block;
    let width = out.len() / QUERIES;
    let vectors = |line: &'_ [f32]| (s.load(line), s.load(&line[S::LANES..]));
    for (i, scores) in scores.chunks_exact_mut(KEYS).take(rows).enumerate() {
        let scores = &scores[..steps * STEP];
        let mut most = [s.splat(f32::NEG_INFINITY); 4];
        for line in scores.chunks_exact(2 * S::LANES) {
            let (low, high) = vectors(line);
            // A NaN score takes the place of what was there, and becomes the row's maximum.
            (most[0], most[1]) = (s.max(most[0], low), s.max(most[1], high));
            most.swap(0, 2);
            most.swap(1, 3);
        }
        let most = s.max_lane(s.max(s.max(most[0], most[1]), s.max(most[2], most[3])));
        let old = max[i];
        let new = if most > old { most } else { old };
        max[i] = new;
        let minus = s.splat(new);
        let mut sums = [s.splat(0.0); 2];
        let strip = &mut weights[i / STRIP * STRIP * KEYS / 2..][..steps * 2 * TILE];
        let words = strip.as_chunks_mut::<SIDE>().0.iter_mut().skip(i % STRIP).step_by(STRIP);
        for (line, words) in scores.chunks_exact(STEP).zip(words) {
            let halves: &mut [u16] = bytemuck::cast_slice_mut(words);
            for (line, halves) in line.chunks_exact(2 * S::LANES).zip(halves.chunks_exact_mut(2 * S::LANES)) {
                let (low, high) = vectors(line);
                let (low, high) = (s.exp2_rough(s.sub(low, minus)), s.exp2_rough(s.sub(high, minus)));
                sums = [s.add(sums[0], low), s.add(sums[1], high)];
                s.store_bf16(low, high, halves);
            }
        }
        let total = s.sum(s.add(sums[0], sums[1]));
        if new == old {
            sum[i] += total;
        } else {
            let correction = (old - new).exp2();
            sum[i] = sum[i] * correction + total;
            if correction != 1.0 {
                out[i * width..][..width].iter_mut().for_each(|x| *x *= correction);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Emulated, TileUnit};
    use super::run;
    use crate::attention::{Attention, Heads, blocked};
    use crate::gemm::product::F32;
    use simd::Level;

    /// On a unit against `f32` products: edges of strips, blocks, steps and head dims; bias and masks.
    fn agrees<U: TileUnit>(unit: U, levels: &[Level]) {
        let value = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 504.5 - 1.0;
        for (q_len, k_len, heads, dim) in
            [(1, 1, 1, 1), (20, 33, 2, 7), (50, 257, 1, 80), (129, 300, 2, 64), (140, 513, 1, 128)]
        {
            let data =
                |len: usize, from: usize| (0..len * heads * dim).map(|i| value(i + from)).collect::<Vec<_>>();
            let (q, k, v) = (data(q_len, 0), data(k_len, 5), data(k_len, 77));
            let views = [&q, &k, &v].map(|x| Heads::new(x, heads, dim));
            let mut bias: Vec<f32> = (0..heads * q_len * k_len).map(|i| value(3 * i)).collect();
            bias[0] = f32::NEG_INFINITY;
            let some: Vec<bool> = (0..k_len).map(|i| i % 3 > 0).collect();
            let none = vec![false; k_len];
            let plain = Attention { scale: 2.0 / (dim as f32).sqrt(), ..Attention::new(dim) };
            for options in [
                plain,
                Attention { bias: Some(&bias), ..plain },
                Attention { bias: Some(&bias[..q_len * k_len]), key_mask: Some(&some), ..plain },
                Attention { key_mask: Some(&some), ..plain },
                Attention { key_mask: Some(&none), ..plain },
            ] {
                for &level in levels {
                    let (mut single, mut tiles) = (vec![0.0; q.len()], vec![f32::NAN; q.len()]);
                    blocked::run(level, F32, views, &options, &mut single);
                    run(unit, level, views, &options, &mut tiles);
                    for (i, (single, tiles)) in single.iter().zip(&tiles).enumerate() {
                        // As for pairs: factors are rounded to 2^-9 of themselves.
                        assert!(
                            (single - tiles).abs() < 0.02,
                            "{q_len}×{k_len}×{dim}, {i} at {level:?}: {single} in f32, {tiles} on tiles"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn attention_on_tiles_agrees_with_single_products() {
        agrees(Emulated, &Level::supported().collect::<Vec<_>>());
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn attention_by_tile_instructions_agrees_with_single_products() {
        if let Some(amx) = simd::Amx::detect() {
            agrees(amx, &[Level::Amx]);
        }
    }
}
