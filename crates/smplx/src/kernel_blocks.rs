//! The two inner loops of the forward pass, compiled for AVX-512, AVX2 and the baseline and chosen at run time.
//!
//! Both compute `offsets += directions · coefficients` for one block of 16 vertices (48 rows):
//!
//! * few frames: for each column, 3 lanes of the table × 1 coefficient a frame. The table is read once, in order;
//!   for one frame that is what bounds it.
//! * many frames: for each group of 6 or 8 rows and 1–3 lanes of 16 frames, for each column, 8 broadcast elements of the
//!   table × the lanes of the coefficient panel, kept in up to 24 registers.
//!
//! and then skin the block while it's in the first-level cache.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "calls of functions compiled for instruction sets found at run time")
)]

use crate::kernel_lanes::Register;
#[cfg(target_arch = "x86_64")]
use crate::kernel_lanes::{Avx2, Avx512};
use crate::lanes::{Block, Lane};
use crate::weights::VertexWeight;

/// The instruction sets a loop is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Simd {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Baseline,
}

impl Simd {
    /// The best that this machine has.
    pub(crate) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("fma")
            {
                return Self::Avx512;
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Self::Avx2;
            }
        }
        Self::Baseline
    }

    /// All that this machine can run, for tests.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Self> {
        match Self::detect() {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => vec![Self::Avx512, Self::Avx2, Self::Baseline],
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => vec![Self::Avx2, Self::Baseline],
            Self::Baseline => vec![Self::Baseline],
        }
    }
}

/// A table's run for one block and the coefficients of `NF` frames for it, column by column.
pub(crate) struct Term<'a, const NF: usize> {
    pub(crate) directions: &'a [Block],
    pub(crate) coefficients: &'a [[f32; NF]],
}

/// Adds the terms to the offsets of `NF` frames.
pub(crate) fn add_few<const NF: usize>(simd: Simd, terms: &[Term<'_, NF>], offsets: &mut [Block; NF]) {
    match simd {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Simd::detect` found avx512f, avx512vl and fma on this machine.
        Simd::Avx512 => unsafe { add_few_avx512(terms, offsets) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Simd::detect` found avx2 and fma on this machine.
        Simd::Avx2 => unsafe { add_few_avx2(terms, offsets) },
        Simd::Baseline => add_few_body::<Lane, NF>(terms, offsets),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,fma")]
fn add_few_avx512<const NF: usize>(terms: &[Term<'_, NF>], offsets: &mut [Block; NF]) {
    add_few_body::<Avx512, NF>(terms, offsets);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn add_few_avx2<const NF: usize>(terms: &[Term<'_, NF>], offsets: &mut [Block; NF]) {
    add_few_body::<Avx2, NF>(terms, offsets);
}

#[inline(always)]
fn add_few_body<L: Register, const NF: usize>(terms: &[Term<'_, NF>], offsets: &mut [Block; NF]) {
    let mut acc = [[L::splat(0.0); 3]; NF];
    for (acc, block) in acc.iter_mut().zip(&*offsets) {
        *acc = [L::load(&block[0]), L::load(&block[1]), L::load(&block[2])];
    }
    for term in terms {
        for (block, coefficients) in term.directions.iter().zip(term.coefficients) {
            let lanes = [L::load(&block[0]), L::load(&block[1]), L::load(&block[2])];
            for (acc, c) in acc.iter_mut().zip(coefficients) {
                let c = L::splat(*c);
                for i in 0..3 {
                    acc[i] = lanes[i].mul_add(c, acc[i]);
                }
            }
        }
    }
    for (block, acc) in offsets.iter_mut().zip(acc) {
        for i in 0..3 {
            acc[i].store(&mut block[i]);
        }
    }
}

/// The transforms of one frame, by joint: four columns (x, y, z, translation) of four floats, the last unused.
pub(crate) type JointLanes = [Lane];

/// Skins one block of one frame: `out[v] = (Σ w · transform) · offsets[v] + translation`.
pub(crate) fn skin_few(
    simd: Simd,
    weights: &[&[VertexWeight]],
    joints: &JointLanes,
    translation: [f32; 3],
    offsets: &Block,
    out: &mut [[f32; 3]],
) {
    match simd {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Simd::detect` found avx512f, avx512vl and fma on this machine.
        Simd::Avx512 => unsafe { skin_few_avx512(weights, joints, translation, offsets, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Simd::detect` found avx2 and fma on this machine.
        Simd::Avx2 => unsafe { skin_few_avx2(weights, joints, translation, offsets, out) },
        Simd::Baseline => skin_few_body::<Lane>(weights, joints, translation, offsets, out),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,fma")]
fn skin_few_avx512(
    weights: &[&[VertexWeight]],
    joints: &JointLanes,
    translation: [f32; 3],
    offsets: &Block,
    out: &mut [[f32; 3]],
) {
    skin_few_body::<Avx512>(weights, joints, translation, offsets, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn skin_few_avx2(
    weights: &[&[VertexWeight]],
    joints: &JointLanes,
    translation: [f32; 3],
    offsets: &Block,
    out: &mut [[f32; 3]],
) {
    skin_few_body::<Avx2>(weights, joints, translation, offsets, out);
}

#[inline(always)]
fn skin_few_body<L: Register>(
    weights: &[&[VertexWeight]],
    joints: &JointLanes,
    translation: [f32; 3],
    offsets: &Block,
    out: &mut [[f32; 3]],
) {
    let offsets: &[f32; 48] = bytemuck::cast_ref(offsets);
    let points = offsets.as_chunks::<3>().0;
    for ((weights, [x, y, z]), out) in weights.iter().zip(points).zip(out) {
        let t = blend::<L>(weights, joints).0;
        for i in 0..3 {
            out[i] = t[i] * x + t[4 + i] * y + t[8 + i] * z + t[12 + i] + translation[i];
        }
    }
}

/// `Σ w · transform` of one vertex or point.
#[inline(always)]
fn blend<L: Register>(weights: &[VertexWeight], joints: &JointLanes) -> Lane {
    let mut t = L::splat(0.0);
    for w in weights {
        t = L::load(&joints[usize::from(w.joint)]).mul_add(L::splat(w.weight), t);
    }
    let mut out = Lane::ZERO;
    t.store(&mut out);
    out
}

/// One table's run for a block and its coefficient panel `[column][lane of 16 frames]`.
pub(crate) struct PanelTerm<'a> {
    pub(crate) directions: &'a [Block],
    pub(crate) panel: &'a [Lane],
}

/// What the many-frames loop needs besides the table.
pub(crate) struct Panel<'a> {
    /// Lanes of 16 frames.
    pub(crate) n_lanes: usize,
    /// Transforms `[joint][12][lane]`, 12 = the 3×4 matrix in row-major order.
    pub(crate) joints: &'a [Lane],
    /// Translations `[axis][lane]`.
    pub(crate) translations: &'a [Lane],
}

/// Adds the terms to the offsets `[48 rows][lane]` of one block.
pub(crate) fn add_many(simd: Simd, n_lanes: usize, terms: &[PanelTerm<'_>], offsets: &mut [Lane]) {
    match simd {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Simd::detect` found avx512f, avx512vl and fma on this machine.
        Simd::Avx512 => unsafe { add_many_avx512(n_lanes, terms, offsets) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Simd::detect` found avx2 and fma on this machine.
        Simd::Avx2 => unsafe { add_many_avx2(n_lanes, terms, offsets) },
        Simd::Baseline => add_many_body::<Lane, 2, 1>(n_lanes, terms, offsets),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,fma")]
fn add_many_avx512(n_lanes: usize, terms: &[PanelTerm<'_>], offsets: &mut [Lane]) {
    add_many_body::<Avx512, 8, 3>(n_lanes, terms, offsets);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn add_many_avx2(n_lanes: usize, terms: &[PanelTerm<'_>], offsets: &mut [Lane]) {
    add_many_body::<Avx2, 6, 1>(n_lanes, terms, offsets);
}

/// Columns worked on at a time: their part of the panel and of the table stay in the first-level cache.
const COLUMNS_AT_A_TIME: usize = 64;

#[inline(always)]
fn add_many_body<L: Register, const R: usize, const N: usize>(
    n_lanes: usize,
    terms: &[PanelTerm<'_>],
    offsets: &mut [Lane],
) {
    for term in terms {
        let runs = term.directions.chunks(COLUMNS_AT_A_TIME);
        let panels = term.panel.chunks(COLUMNS_AT_A_TIME * n_lanes);
        for (directions, panel) in runs.zip(panels) {
            let mut lane = 0;
            while lane + N <= n_lanes {
                add_rows::<L, R, N>(n_lanes, lane, directions, panel, offsets);
                lane += N;
            }
            match n_lanes - lane {
                2 => add_rows::<L, R, 2>(n_lanes, lane, directions, panel, offsets),
                1 => add_rows::<L, R, 1>(n_lanes, lane, directions, panel, offsets),
                _ => {}
            }
        }
    }
}

#[inline(always)]
fn add_rows<L: Register, const R: usize, const N: usize>(
    n_lanes: usize,
    lane: usize,
    directions: &[Block],
    panel: &[Lane],
    offsets: &mut [Lane],
) {
    let rows: &[[f32; 48]] = bytemuck::cast_slice(directions);
    for first in (0..48).step_by(R) {
        let mut sums = [[Lane::ZERO; N]; R];
        sum_columns::<L, R, N>(first, rows, panel, n_lanes, lane, &mut sums);
        for (r, sums) in sums.iter().enumerate() {
            let at = (first + r) * n_lanes + lane;
            for (sum, to) in sums.iter().zip(&mut offsets[at..at + N]) {
                L::load(to).add(L::load(sum)).store(to);
            }
        }
    }
}

/// `R` rows × `N` lanes over all columns. Nothing in here but the loop over columns has a number of steps that the compiler
/// doesn't know, so that the sums stay in registers.
#[inline(always)]
fn sum_columns<L: Register, const R: usize, const N: usize>(
    first: usize,
    rows: &[[f32; 48]],
    panel: &[Lane],
    n_lanes: usize,
    lane: usize,
    sums: &mut [[Lane; N]; R],
) {
    let mut acc = [[L::splat(0.0); N]; R];
    for (row, panel) in rows.iter().zip(panel.chunks_exact(n_lanes)) {
        let Some(elements) = row[first..].first_chunk::<R>() else { return };
        let Some(lanes) = panel[lane..].first_chunk::<N>() else { return };
        for r in 0..R {
            let element = L::splat(elements[r]);
            for n in 0..N {
                acc[r][n] = element.mul_add(L::load(&lanes[n]), acc[r][n]);
            }
        }
    }
    for r in 0..R {
        for n in 0..N {
            acc[r][n].store(&mut sums[r][n]);
        }
    }
}

/// Skins the offsets `[48 rows][lane]` of one block in place.
pub(crate) fn skin_many(simd: Simd, weights: &[&[VertexWeight]], panel: &Panel<'_>, offsets: &mut [Lane]) {
    match simd {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Simd::detect` found avx512f, avx512vl and fma on this machine.
        Simd::Avx512 => unsafe { skin_many_avx512(weights, panel, offsets) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: `Simd::detect` found avx2 and fma on this machine.
        Simd::Avx2 => unsafe { skin_many_avx2(weights, panel, offsets) },
        Simd::Baseline => skin_many_body::<Lane>(weights, panel, offsets),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vl,fma")]
fn skin_many_avx512(weights: &[&[VertexWeight]], panel: &Panel<'_>, offsets: &mut [Lane]) {
    skin_many_body::<Avx512>(weights, panel, offsets);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn skin_many_avx2(weights: &[&[VertexWeight]], panel: &Panel<'_>, offsets: &mut [Lane]) {
    skin_many_body::<Avx2>(weights, panel, offsets);
}

#[inline(always)]
fn skin_many_body<L: Register>(weights: &[&[VertexWeight]], panel: &Panel<'_>, offsets: &mut [Lane]) {
    let n = panel.n_lanes;
    for (weights, rows) in weights.iter().zip(offsets.chunks_exact_mut(3 * n)) {
        for lane in 0..n {
            let point = [L::load(&rows[lane]), L::load(&rows[n + lane]), L::load(&rows[2 * n + lane])];
            for axis in 0..3 {
                let mut t = [L::splat(0.0); 4];
                for w in *weights {
                    let share = L::splat(w.weight);
                    let joint = &panel.joints[(usize::from(w.joint) * 12 + axis * 4) * n..];
                    for (column, t) in t.iter_mut().enumerate() {
                        *t = L::load(&joint[column * n + lane]).mul_add(share, *t);
                    }
                }
                let turned = t[0].mul_add(point[0], t[1].mul_add(point[1], t[2].mul_add(point[2], t[3])));
                turned.add(L::load(&panel.translations[axis * n + lane])).store(&mut rows[axis * n + lane]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Simd;

    /// For runs under an emulator: the variable names the CPU's best instruction set as crate `kernels` does; here Arm's
    /// vectors belong to the baseline, and bf16 products don't matter.
    #[test]
    fn the_best_instruction_set_is_the_required_one() {
        let best = format!("{:?}", Simd::detect()).to_lowercase();
        if let Ok(required) = std::env::var("ANICRAFTER_REQUIRE_CPU") {
            let here = if matches!(&*required, "neon" | "portable") { "baseline" } else { &required };
            assert!(here.starts_with(&best), "{best} isn't the required {required}");
        }
        assert_eq!(Simd::all().first(), Some(&Simd::detect()));
    }
}
