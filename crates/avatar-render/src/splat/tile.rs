//! Compositing one tile: the only hot loop of the crate.
//!
//! ```text
//! for each Gaussian of the tile, nearest first:
//!     which segments (8 or 16 pixels of a row) can reach opacity 1/255, by the row's maximum over the segment?
//!     for each such segment that is still alive:
//!         evaluate, blend, and mark the pixels that are full
//!     now and then: which segments are alive? stop when none is
//! ```
//!
//! A pixel that has stopped keeps its transmittance with the sign bit set: every later product is then negative
//! and fails the test against 1e-4 by itself.
#![expect(unsafe_code, reason = "calls functions compiled for instruction sets that were found at run time")]

use super::lanes::{CpuIsa, Lanes, portable::Portable};
use super::project::Projected;
use crate::constants::{MAX_ALPHA, MIN_ALPHA, MIN_TRANSMITTANCE, TILE};

const PIXELS: usize = TILE * TILE;
/// Segments of a tile when a register has 8 lanes.
const MAX_SEGMENTS: usize = PIXELS / 8;

/// What to composite.
pub(super) struct Input<'a> {
    pub(super) splats: &'a [Projected],
    /// Indices into `splats`, nearest first.
    pub(super) list: &'a [u32],
    /// The tile's first pixel.
    pub(super) origin: [usize; 2],
    /// Pixels of the tile inside the image.
    pub(super) size: [usize; 2],
    /// Count contributors too.
    pub(super) count: bool,
}

/// The tile's pixels, row-major planes of 16 by 16.
#[derive(Clone, Debug)]
pub(super) struct TilePixels {
    pub(super) red: [f32; PIXELS],
    pub(super) green: [f32; PIXELS],
    pub(super) blue: [f32; PIXELS],
    pub(super) depth: [f32; PIXELS],
    pub(super) transmittance: [f32; PIXELS],
    pub(super) contributors: [f32; PIXELS],
}

impl Default for TilePixels {
    fn default() -> Self {
        let zero = [0.0; PIXELS];
        Self { red: zero, green: zero, blue: zero, depth: zero, transmittance: zero, contributors: zero }
    }
}

/// Composites with the code for `isa`; falls back to the portable one where the machine doesn't have it.
pub(super) fn composite(isa: CpuIsa, input: &Input<'_>, out: &mut TilePixels) {
    match isa {
        #[cfg(target_arch = "x86_64")]
        CpuIsa::Avx512 if isa.is_available() => {
            // SAFETY: the guard has just asked the CPU for AVX-512F.
            unsafe { composite_avx512(input, out) }
        }
        #[cfg(target_arch = "x86_64")]
        CpuIsa::Avx2 if isa.is_available() => {
            // SAFETY: the guard has just asked the CPU for AVX2, FMA and BMI1.
            unsafe { composite_avx2(input, out) }
        }
        #[cfg(target_arch = "aarch64")]
        CpuIsa::Neon if isa.is_available() => {
            // SAFETY: the guard has just asked the CPU for NEON.
            unsafe { composite_neon(input, out) }
        }
        _ => counted::<Portable>(input, out),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn composite_avx512(input: &Input<'_>, out: &mut TilePixels) {
    counted::<super::lanes::avx512::Avx512>(input, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,bmi1")]
fn composite_avx2(input: &Input<'_>, out: &mut TilePixels) {
    counted::<super::lanes::avx2::Avx2>(input, out);
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn composite_neon(input: &Input<'_>, out: &mut TilePixels) {
    counted::<super::lanes::neon::Neon>(input, out);
}

#[inline(always)]
fn counted<V: Lanes>(input: &Input<'_>, out: &mut TilePixels) {
    if input.count { kernel::<V, true>(input, out) } else { kernel::<V, false>(input, out) }
}

/// The pixels of one segment.
#[derive(Clone, Copy)]
struct Cell<V> {
    transmittance: V,
    red: V,
    green: V,
    blue: V,
    depth: V,
}

// No closures here: they would not inherit the instruction set that this is inlined into.
#[inline(always)]
fn kernel<V: Lanes, const COUNT: bool>(input: &Input<'_>, out: &mut TilePixels) {
    let zero = V::splat(0.0);
    let empty = Cell { transmittance: V::splat(1.0), red: zero, green: zero, blue: zero, depth: zero };
    // Segment `column * 16 + row`, so that a mask over rows is a run of bits.
    let mut cells = [empty; MAX_SEGMENTS];
    let mut counts = [zero; MAX_SEGMENTS];
    let mut alive = start::<V>(&mut cells, input.size);

    let (min_alpha, max_alpha) = (V::splat(MIN_ALPHA), V::splat(MAX_ALPHA));
    let min_transmittance = V::splat(MIN_TRANSMITTANCE);
    let mut row_linear = [0.0; TILE];
    let mut row_constant = [0.0; TILE];
    for (turn, &index) in input.list.iter().enumerate() {
        if turn % REFRESH == REFRESH - 1 {
            alive = living::<V>(&cells);
            if alive == 0 {
                break;
            }
        }
        let s = &input.splats[index as usize];
        let form = Form::new(s, input.origin);
        let mut segments = reach::<V>(&form, s.log2_cut, &mut row_linear, &mut row_constant) & alive;
        if segments == 0 {
            continue;
        }
        let dx = [V::iota().sub(V::splat(form.x)), V::iota().sub(V::splat(form.x - 8.0))];
        let xx = V::splat(form.xx);
        let opacity = V::splat(s.opacity);
        let (red, green, blue) = (V::splat(s.color[0]), V::splat(s.color[1]), V::splat(s.color[2]));
        let depth = V::splat(s.depth);
        while segments != 0 {
            let segment = segments.trailing_zeros() as usize % MAX_SEGMENTS;
            segments &= segments - 1;
            let (column, row) = (segment / TILE, segment % TILE);
            let cell = &mut cells[segment];
            let dx = dx[column];
            let power = dx.mul_add(xx, V::splat(row_linear[row])).mul_add(dx, V::splat(row_constant[row]));
            let alpha = power.exp2().mul(opacity).min(max_alpha);
            let used = V::and(alpha.ge(min_alpha), zero.ge(power));
            let weight = alpha.keep(used).mul(cell.transmittance);
            let after = cell.transmittance.sub(weight);
            // An unused pixel loses nothing: it passes as long as it lives.
            let lives = after.ge(min_transmittance);
            let weight = weight.keep(lives);
            cell.red = weight.mul_add(red, cell.red);
            cell.green = weight.mul_add(green, cell.green);
            cell.blue = weight.mul_add(blue, cell.blue);
            cell.depth = weight.mul_add(depth, cell.depth);
            cell.transmittance = after.select(cell.transmittance.negative(), lives);
            if COUNT {
                counts[segment] = counts[segment].add(V::splat(1.0).keep(V::and(used, lives)));
            }
        }
    }
    write::<V, COUNT>(&cells, &counts, out);
}

/// Gaussians between two looks at which segments still live. Seldom, as it makes what follows wait for all arithmetic before.
const REFRESH: usize = 8;

/// The segments in which a pixel hasn't stopped.
#[inline(always)]
fn living<V: Lanes>(cells: &[Cell<V>; MAX_SEGMENTS]) -> u32 {
    let full = ((1_u64 << V::N) - 1) as u32;
    let mut alive = 0;
    for (segment, cell) in cells[..PIXELS / V::N].iter().enumerate() {
        alive |= u32::from(cell.transmittance.signs() != full) << segment;
    }
    alive
}

/// A Gaussian's log2 fall-off over the tile: `xx dx² + xy dx dy + yy dy²`, with its centre relative to the tile.
struct Form {
    x: f32,
    y: f32,
    xx: f32,
    xy: f32,
    yy: f32,
}

impl Form {
    #[inline(always)]
    fn new(s: &Projected, origin: [usize; 2]) -> Self {
        const HALF_LOG2_E: f32 = 0.5 * std::f32::consts::LOG2_E;
        Self {
            x: s.mean_px[0] - origin[0] as f32,
            y: s.mean_px[1] - origin[1] as f32,
            xx: -HALF_LOG2_E * s.conic[0],
            xy: -2.0 * HALF_LOG2_E * s.conic[1],
            yy: -HALF_LOG2_E * s.conic[2],
        }
    }
}

/// The segments whose highest value can reach `cut`, and each row's linear and constant term.
#[inline(always)]
fn reach<V: Lanes>(form: &Form, cut: f32, linear: &mut [f32; TILE], constant: &mut [f32; TILE]) -> u32 {
    let (xx, cut) = (V::splat(form.xx), V::splat(cut));
    let to_peak = V::splat(-0.5 / form.xx);
    let mut segments = 0;
    let mut first = 0;
    while first < TILE {
        let dy = V::iota().sub(V::splat(form.y - first as f32));
        let row_linear = dy.mul(V::splat(form.xy));
        let row_constant = dy.mul(dy.mul(V::splat(form.yy)));
        row_linear.store(&mut linear[first..]);
        row_constant.store(&mut constant[first..]);
        let peak = row_linear.mul(to_peak);
        let mut column = 0;
        while column * V::N < TILE {
            let left = (column * V::N) as f32 - form.x;
            let right = left + (V::N - 1) as f32;
            let at = peak.max(V::splat(left)).min(V::splat(right));
            let best = at.mul_add(xx, row_linear).mul_add(at, row_constant);
            segments |= V::bits(best.not_lt(cut)) << (column * TILE + first);
            column += 1;
        }
        first += V::N;
    }
    segments
}

/// Stops the pixels outside the image from the beginning; returns the segments with pixels inside.
#[inline(always)]
fn start<V: Lanes>(cells: &mut [Cell<V>; MAX_SEGMENTS], [width, height]: [usize; 2]) -> u32 {
    let mut alive = 0;
    let columns = TILE / V::N;
    for segment in 0..columns * TILE {
        let (column, row) = (segment / TILE, segment % TILE);
        let inside = width.saturating_sub(column * V::N).min(V::N);
        if row < height && inside > 0 {
            alive |= 1 << segment;
            let cell = &mut cells[segment];
            let outside = V::iota().ge(V::splat(inside as f32));
            cell.transmittance = cell.transmittance.negative().select(cell.transmittance, outside);
        }
    }
    alive
}

#[inline(always)]
fn write<V: Lanes, const COUNT: bool>(
    cells: &[Cell<V>; MAX_SEGMENTS],
    counts: &[V; MAX_SEGMENTS],
    out: &mut TilePixels,
) {
    let columns = TILE / V::N;
    for segment in 0..columns * TILE {
        let (column, row) = (segment / TILE, segment % TILE);
        let at = row * TILE + column * V::N;
        let cell = &cells[segment];
        cell.red.store(&mut out.red[at..]);
        cell.green.store(&mut out.green[at..]);
        cell.blue.store(&mut out.blue[at..]);
        cell.depth.store(&mut out.depth[at..]);
        let t = cell.transmittance;
        // Clears the sign of stopped pixels.
        t.max(V::splat(0.0).sub(t)).store(&mut out.transmittance[at..]);
        if COUNT {
            counts[segment].store(&mut out.contributors[at..]);
        }
    }
}
