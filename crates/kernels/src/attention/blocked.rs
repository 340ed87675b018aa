//! The blocked kernel. Scores are made transposed, 16 queries to a panel, so that running maxima and sums are
//! vectors over queries and the weights of a block of keys are already a panel of the second product.
//!
//! ```text
//! for each task, a head and a range of queries:                         (in parallel)
//!   q panels = [16 queries][K] transposed
//!   for each block of KEYS keys:
//!     pack the block's k as strips of keys and its v as strips of head dims
//!     for each group of panels:
//!       scoresᵀ = k strips · q panels
//!       new max; p = 2^(score · scale · log2 e − max); sum, output *= 2^(old max − new max); sum += p
//!       outputᵀ += vᵀ strips · p panels
//!   output = outputᵀ transposed / sum
//! ```
#![expect(unsafe_code, reason = "tasks write disjoint heads and queries of the output")]

use std::ops::Range;

use rayon::prelude::*;
use simd::{Kernel, Level, dispatch};

use super::{Attention, Heads};
use crate::gemm::product::AttentionProduct;
use crate::gemm::source::Source;
use crate::scratch::Scratch;
use crate::shared::SharedOut;
use crate::tile::{PANEL, Tile, Tiles};

/// Keys of a block: a multiple of every level's strip. Scores and weights of a panel stay in the first-level cache,
/// packed keys and values of the block in the second.
const KEYS: usize = 192;
/// Queries of a task at most: enough to make packing keys and values cheap.
const TASK_QUERIES: usize = 2048;
/// Multiplications below which threads cost more than they bring.
const SERIAL: usize = 1 << 16;
/// A running maximum of at least this keeps `score − maximum` defined where all scores are −∞.
const LOWEST: f32 = -1e30;

/// Attention of checked, non-empty views.
pub(crate) fn run<P: AttentionProduct>(
    level: Level,
    product: P,
    [q, k, v]: [Heads<'_>; 3],
    options: &Attention<'_>,
    out: &mut [f32],
) {
    let serial = q.heads.saturating_mul(q.len).saturating_mul(k.len).saturating_mul(q.dim) < SERIAL;
    let wanted = if serial { 1 } else { 4 * rayon::current_num_threads() };
    // Equal ranges of at most TASK_QUERIES, more of them only to occupy the threads.
    let per_head = q.len.div_ceil(TASK_QUERIES).max(wanted.div_ceil(q.heads));
    let queries = q.len.div_ceil(per_head).next_multiple_of(3 * PANEL);
    let per_head = q.len.div_ceil(queries);
    let out = SharedOut::new(out);
    let task = |i: usize| {
        let (head, l0) = (i / per_head, i % per_head * queries);
        let rows = l0..(l0 + queries).min(q.len);
        dispatch(level, Task { product, q, k, v, head, rows, options, out });
    };
    if serial {
        (0..q.heads * per_head).for_each(task);
    } else {
        (0..q.heads * per_head).into_par_iter().with_max_len(1).for_each(task);
    }
}

/// Queries `rows` of a head.
struct Task<'a, P: AttentionProduct> {
    product: P,
    q: Heads<'a>,
    k: Heads<'a>,
    v: Heads<'a>,
    head: usize,
    rows: Range<usize>,
    options: &'a Attention<'a>,
    out: SharedOut<'a>,
}

impl<S: Tiles, P: AttentionProduct> Kernel<S> for Task<'_, P> {
    #[inline(always)]
    fn run(self, s: S) {
        let Self { product, q, k, v, head, .. } = self;
        let dim = q.dim;
        let (mr, np) = (S::ATTN_MR, S::ATTN_NP);
        let (dim_units, dim_rows) = (P::units(dim), dim.next_multiple_of(mr));
        let panels = self.rows.len().div_ceil(PANEL);
        let ld = np * PANEL;
        let groups = panels.div_ceil(np);

        let panel_len = dim_units * PANEL;
        let mut q_panels = Scratch::<P::T>::new(groups * np * panel_len);
        let queries =
            Source::Strided(super::Mat { rows: self.rows.len(), ..q.rows(self.rows.start, head) }.t());
        for (panel, dst) in q_panels.chunks_exact_mut(panel_len).take(panels).enumerate() {
            product.fill(s, &queries, panel, 0, dim, dst);
        }
        let mut k_strips = Scratch::<P::T>::new(KEYS * dim_units);
        let mut v_strips = Scratch::<P::T>::new(P::units(KEYS) * dim_rows);
        let mut scores = Scratch::<f32>::new(KEYS * ld);
        let p_len = P::units(KEYS) * PANEL;
        let mut p_panels = Scratch::<P::T>::new(np * p_len);
        let mut acc = Scratch::<f32>::new(groups * dim_rows * ld);
        let mut max = Scratch::<f32>::new(panels * PANEL);
        let mut sum = Scratch::<f32>::new(panels * PANEL);
        max.fill(f32::NEG_INFINITY);
        sum.fill(0.0);
        let mut bias = Scratch::<f32>::new(if self.options.bias.is_some() { KEYS * PANEL } else { 0 });

        for key0 in (0..k.len).step_by(KEYS) {
            let keys = KEYS.min(k.len - key0);
            let key_rows = super::Mat { rows: keys, ..k.rows(key0, head) };
            let strip_len = mr * dim_units;
            for (strip, dst) in k_strips.chunks_exact_mut(strip_len).take(keys.div_ceil(mr)).enumerate() {
                product.pack_a(s, &key_rows, strip * mr, mr, 0, dim, dst);
            }
            product.pack_a_transposed(&v.rows(key0, head), mr, keys, &mut v_strips);
            for group in 0..groups {
                let in_group = np.min(panels - group * np);
                for (strip, a) in k_strips.chunks_exact(strip_len).take(keys.div_ceil(mr)).enumerate() {
                    let tile = Tile {
                        a,
                        b: &q_panels[group * np * panel_len..],
                        panel_stride: panel_len,
                        rows: mr,
                        panels: in_group,
                        k: dim_units,
                        ldc: ld,
                        accumulate: false,
                    };
                    product.tile(s, tile, &mut scores[strip * mr * ld..]);
                }
                let acc = &mut acc[group * dim_rows * ld..][..dim_rows * ld];
                for j in 0..in_group {
                    let panel = group * np + j;
                    if self.options.bias.is_some() {
                        self.fill_bias(s, panel, key0, keys, &mut bias);
                    }
                    let block = Softmax {
                        scores: &mut scores[j * PANEL..],
                        ld,
                        keys,
                        scale: self.options.scale * std::f32::consts::LOG2_E,
                        bias: self.options.bias.map(|_| &bias[..]),
                        mask: self.options.key_mask.map(|mask| &mask[key0..key0 + keys]),
                    };
                    let (max, sum) = (&mut max[panel * PANEL..], &mut sum[panel * PANEL..]);
                    let rescale = if key0 > 0 { Some(&mut acc[j * PANEL..]) } else { None };
                    let p_panel = &mut p_panels[j * p_len..][..p_len];
                    match PANEL / S::LANES {
                        1 => block.run::<S, P, 1>(s, product, max, sum, rescale, p_panel),
                        2 => block.run::<S, P, 2>(s, product, max, sum, rescale, p_panel),
                        _ => block.run::<S, P, 4>(s, product, max, sum, rescale, p_panel),
                    }
                }
                let units = P::units(keys);
                for (strip, a) in v_strips.chunks_exact(units * mr).take(dim_rows / mr).enumerate() {
                    let tile = Tile {
                        a,
                        b: &p_panels,
                        panel_stride: p_len,
                        rows: mr,
                        panels: in_group,
                        k: units,
                        ldc: ld,
                        accumulate: key0 > 0,
                    };
                    product.tile(s, tile, &mut acc[strip * mr * ld..]);
                }
            }
        }

        for (panel, sum) in sum.chunks_exact(PANEL).enumerate() {
            let acc = &acc[panel / np * dim_rows * ld + panel % np * PANEL..];
            let tokens = self.rows.clone().skip(panel * PANEL);
            for d in (0..dim).step_by(PANEL) {
                let (acc, width) = (&acc[d * ld..], PANEL.min(dim - d));
                let mut rows = [[0.0; PANEL]; PANEL];
                if width == PANEL {
                    let rows = rows.as_flattened_mut();
                    s.transpose16(bytemuck::cast_slice(acc), ld, PANEL, bytemuck::cast_slice_mut(rows));
                } else {
                    for (i, acc) in acc.chunks(ld).take(width).enumerate() {
                        rows.iter_mut().zip(acc).for_each(|(row, x)| row[i] = *x);
                    }
                }
                for ((l, row), sum) in tokens.clone().zip(&rows).zip(sum) {
                    let inv = if *sum == 0.0 { 0.0 } else { 1.0 / sum };
                    // SAFETY: tasks have disjoint (query, head) pairs, and this task makes one piece at a time.
                    let out = unsafe { self.out.piece((l * q.heads + head) * dim + d, width) };
                    out.iter_mut().zip(row).for_each(|(out, x)| *out = x * inv);
                }
            }
        }
    }
}

impl<P: AttentionProduct> Task<'_, P> {
    /// Transposes the bias of a panel's queries and a block's keys into `[keys, 16]`, times log2 e.
    #[inline(always)]
    fn fill_bias<S: Tiles>(&self, s: S, panel: usize, key0: usize, keys: usize, dst: &mut [f32]) {
        let Some(bias) = self.options.bias else { return };
        let (q_len, k_len) = (self.q.len, self.k.len);
        let head = if bias.len() == q_len * k_len { 0 } else { self.head };
        let l0 = self.rows.start + panel * PANEL;
        let rows = &bias[(head * q_len + l0) * k_len + key0..];
        let n = PANEL.min(self.rows.end - l0);
        let dst = &mut dst[..keys * PANEL];
        if n == PANEL {
            s.transpose16(bytemuck::cast_slice(rows), k_len, keys, bytemuck::cast_slice_mut(dst));
        } else {
            for (key, dst) in dst.chunks_exact_mut(PANEL).enumerate() {
                for (j, dst) in dst.iter_mut().enumerate() {
                    *dst = if j < n { rows[j * k_len + key] } else { 0.0 };
                }
            }
        }
        dst.iter_mut().for_each(|x| *x *= std::f32::consts::LOG2_E);
    }
}

/// The softmax step of one panel and one block of keys.
struct Softmax<'a> {
    /// Row stride `ld`, 16 columns.
    scores: &'a mut [f32],
    ld: usize,
    keys: usize,
    /// With log2 e in it.
    scale: f32,
    /// `[keys, 16]`, with log2 e in it.
    bias: Option<&'a [f32]>,
    mask: Option<&'a [bool]>,
}

impl Softmax<'_> {
    /// The step with panels of `VP` vectors.
    #[inline(always)]
    fn run<S: Tiles, P: AttentionProduct, const VP: usize>(
        self,
        s: S,
        product: P,
        max: &mut [f32],
        sum: &mut [f32],
        rescale: Option<&mut [f32]>,
        p_panel: &mut [P::T],
    ) {
        let Self { scores, ld, keys, .. } = self;
        let scores = &mut scores[..(keys - 1) * ld + PANEL];
        let (zero, scale) = (s.splat(0.0), s.splat(self.scale));
        let old: [S::V; VP] = load(s, max);
        let mut new = old;
        let unscaled = self.bias.is_none() && self.mask.is_none();
        if unscaled {
            for row in scores.chunks(ld) {
                let row: [S::V; VP] = load(s, row);
                for v in 0..VP {
                    new[v] = s.max(s.mul(row[v], scale), new[v]);
                }
            }
        } else {
            for (key, row) in scores.chunks_mut(ld).enumerate() {
                let bias: [S::V; VP] = self.bias.map_or([zero; VP], |bias| load(s, &bias[key * PANEL..]));
                let mut score: [S::V; VP] = load(s, row);
                for v in 0..VP {
                    score[v] = s.fma(score[v], scale, bias[v]);
                    if self.mask.is_some_and(|mask| !mask[key]) {
                        score[v] = s.splat(f32::NEG_INFINITY);
                    }
                    new[v] = s.max(score[v], new[v]);
                }
                store(s, &score, row);
            }
        }
        // Weights are 2^(score · factor + minus), corrections of former sums 2^(old + minus).
        let factor = if unscaled { scale } else { s.splat(1.0) };
        let mut minus = [zero; VP];
        for v in 0..VP {
            minus[v] = s.sub(zero, s.max(new[v], s.splat(LOWEST)));
        }
        let mut total = [zero; VP];
        if let Some(p_panel) = P::as_f32(p_panel) {
            for (row, p_row) in scores.chunks(ld).zip(p_panel.chunks_exact_mut(PANEL)) {
                let p = weights(s, row, factor, &minus, &mut total);
                store(s, &p, p_row);
            }
        } else {
            let mut pair = [[0.0; PANEL]; 2];
            for (rows, dst) in scores.chunks(2 * ld).zip(p_panel.chunks_exact_mut(PANEL)) {
                let even = weights(s, rows, factor, &minus, &mut total);
                store(s, &even, &mut pair[0]);
                let mut odd = [zero; VP];
                if rows.len() > ld {
                    odd = weights(s, &rows[ld..], factor, &minus, &mut total);
                }
                store(s, &odd, &mut pair[1]);
                product.store_pair(s, &pair[0], &pair[1], dst);
            }
        }
        let mut sums: [S::V; VP] = load(s, sum);
        let mut correction = [zero; VP];
        for v in 0..VP {
            correction[v] = simd::math::exp2_below_one(s, s.add(old[v], minus[v]));
            sums[v] = s.fma(sums[v], correction[v], total[v]);
        }
        store(s, &sums, sum);
        store(s, &new, max);
        if let Some(acc) = rescale {
            for row in acc.chunks_mut(ld) {
                let mut sums: [S::V; VP] = load(s, row);
                for v in 0..VP {
                    sums[v] = s.mul(sums[v], correction[v]);
                }
                store(s, &sums, row);
            }
        }
    }
}

/// Softmax weights of a row of scores, not yet divided by their sum; adds them to `total`.
#[inline(always)]
fn weights<S: Tiles, const VP: usize>(
    s: S,
    row: &[f32],
    factor: S::V,
    minus: &[S::V; VP],
    total: &mut [S::V; VP],
) -> [S::V; VP] {
    let mut p: [S::V; VP] = load(s, row);
    for v in 0..VP {
        p[v] = simd::math::exp2_below_one(s, s.fma(p[v], factor, minus[v]));
        total[v] = s.add(total[v], p[v]);
    }
    p
}

/// The vectors of a panel's row.
#[inline(always)]
fn load<S: Tiles, const VP: usize>(s: S, row: &[f32]) -> [S::V; VP] {
    let row = &row[..PANEL];
    let mut vectors = [s.splat(0.0); VP];
    for (v, vector) in vectors.iter_mut().enumerate() {
        *vector = s.load(&row[v * S::LANES..]);
    }
    vectors
}

#[inline(always)]
fn store<S: Tiles, const VP: usize>(s: S, vectors: &[S::V; VP], row: &mut [f32]) {
    let row = &mut row[..PANEL];
    for (v, vector) in vectors.iter().enumerate() {
        s.store(*vector, &mut row[v * S::LANES..]);
    }
}
