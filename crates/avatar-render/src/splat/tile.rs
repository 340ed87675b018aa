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

use super::project::Projected;
use crate::constants::{MAX_ALPHA, MIN_ALPHA, MIN_TRANSMITTANCE, TILE};
use simd::{Kernel, Level, Simd, dispatch_wide};

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

/// Composites with the code for a level.
pub(super) fn composite(level: Level, input: &Input<'_>, out: &mut TilePixels) {
    dispatch_wide(level, Composite { input, out });
}

struct Composite<'a> {
    input: &'a Input<'a>,
    out: &'a mut TilePixels,
}

impl<S: Simd> Kernel<S> for Composite<'_> {
    #[inline(always)]
    fn run(self, s: S) {
        let Self { input, out } = self;
        if input.count { kernel::<S, true>(s, input, out) } else { kernel::<S, false>(s, input, out) }
    }
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
fn kernel<S: Simd, const COUNT: bool>(s: S, input: &Input<'_>, out: &mut TilePixels) {
    let zero = s.splat(0.0);
    let empty = Cell { transmittance: s.splat(1.0), red: zero, green: zero, blue: zero, depth: zero };
    // Segment `column * 16 + row`, so that a mask over rows is a run of bits.
    let mut cells = [empty; MAX_SEGMENTS];
    let mut counts = [zero; MAX_SEGMENTS];
    let mut alive = start(s, &mut cells, input.size);

    let (min_alpha, max_alpha) = (s.splat(MIN_ALPHA), s.splat(MAX_ALPHA));
    let min_transmittance = s.splat(MIN_TRANSMITTANCE);
    let mut row_linear = [0.0; TILE];
    let mut row_constant = [0.0; TILE];
    for (turn, &index) in input.list.iter().enumerate() {
        if turn % REFRESH == REFRESH - 1 {
            alive = living(s, &cells);
            if alive == 0 {
                break;
            }
        }
        let splat = &input.splats[index as usize];
        let form = Form::new(splat, input.origin);
        let mut segments = reach(s, &form, splat.log2_cut, &mut row_linear, &mut row_constant) & alive;
        if segments == 0 {
            continue;
        }
        let dx = [s.sub(s.iota(), s.splat(form.x)), s.sub(s.iota(), s.splat(form.x - 8.0))];
        let xx = s.splat(form.xx);
        let opacity = s.splat(splat.opacity);
        let (red, green, blue) = (s.splat(splat.color[0]), s.splat(splat.color[1]), s.splat(splat.color[2]));
        let depth = s.splat(splat.depth);
        while segments != 0 {
            let segment = segments.trailing_zeros() as usize % MAX_SEGMENTS;
            segments &= segments - 1;
            let (column, row) = (segment / TILE, segment % TILE);
            let cell = &mut cells[segment];
            let dx = dx[column];
            let linear = s.fma(dx, xx, s.splat(row_linear[row]));
            let power = s.fma(linear, dx, s.splat(row_constant[row]));
            let alpha = s.min(s.mul(exp2(s, power), opacity), max_alpha);
            let used = s.and(s.ge(alpha, min_alpha), s.ge(zero, power));
            let weight = s.mul(s.keep(used, alpha), cell.transmittance);
            let after = s.sub(cell.transmittance, weight);
            // An unused pixel loses nothing: it passes as long as it lives.
            let lives = s.ge(after, min_transmittance);
            let weight = s.keep(lives, weight);
            cell.red = s.fma(weight, red, cell.red);
            cell.green = s.fma(weight, green, cell.green);
            cell.blue = s.fma(weight, blue, cell.blue);
            cell.depth = s.fma(weight, depth, cell.depth);
            cell.transmittance = s.select(lives, after, s.negative(cell.transmittance));
            if COUNT {
                counts[segment] = s.add(counts[segment], s.keep(s.and(used, lives), s.splat(1.0)));
            }
        }
    }
    write::<S, COUNT>(s, &cells, &counts, out);
}

/// 2^x for lanes in -126 ..= 0, with a relative error below 2e-7. Smaller values and NaN give 2^-126.
#[inline(always)]
fn exp2<S: Simd>(s: S, x: S::V) -> S::V {
    let x = s.max(x, s.splat(-126.0));
    let shifted = s.add(x, s.splat(SHIFTER));
    let f = s.sub(x, s.sub(shifted, s.splat(SHIFTER)));
    // In pairs: a shorter chain of dependent operations than Horner's.
    let [a, b, c, d, e, one] = EXP2;
    let first = s.fma(s.splat(a), f, s.splat(b));
    let second = s.fma(s.splat(c), f, s.splat(d));
    let third = s.fma(s.splat(e), f, s.splat(one));
    let f2 = s.mul(f, f);
    s.scale_by_power(s.fma(s.fma(first, f2, second), f2, third), shifted)
}

/// 1.5 · 2^23: adding it rounds to an integer that then sits in the low bits.
const SHIFTER: f32 = 12_582_912.0;

/// 2^f on -0.5 ..= 0.5, highest power first; a minimax fit of relative error 2e-7.
#[expect(clippy::approx_constant, reason = "a fitted coefficient, not ln 2 itself")]
const EXP2: [f32; 6] = [0.001_326_472_4, 0.009_671_513, 0.055_507_337, 0.240_222_42, 0.693_147, 1.0];

/// Gaussians between two looks at which segments still live. Seldom, as it makes what follows wait for all arithmetic before.
const REFRESH: usize = 8;

/// The segments in which a pixel hasn't stopped.
#[inline(always)]
fn living<S: Simd>(s: S, cells: &[Cell<S::V>; MAX_SEGMENTS]) -> u32 {
    let full = ((1_u64 << S::LANES) - 1) as u32;
    let mut alive = 0;
    for (segment, cell) in cells[..PIXELS / S::LANES].iter().enumerate() {
        alive |= u32::from(s.signs(cell.transmittance) != full) << segment;
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
fn reach<S: Simd>(s: S, form: &Form, cut: f32, linear: &mut [f32; TILE], constant: &mut [f32; TILE]) -> u32 {
    let (xx, cut) = (s.splat(form.xx), s.splat(cut));
    let to_peak = s.splat(-0.5 / form.xx);
    let mut segments = 0;
    let mut first = 0;
    while first < TILE {
        let dy = s.sub(s.iota(), s.splat(form.y - first as f32));
        let row_linear = s.mul(dy, s.splat(form.xy));
        let row_constant = s.mul(dy, s.mul(dy, s.splat(form.yy)));
        s.store(row_linear, &mut linear[first..]);
        s.store(row_constant, &mut constant[first..]);
        let peak = s.mul(row_linear, to_peak);
        let mut column = 0;
        while column * S::LANES < TILE {
            let left = (column * S::LANES) as f32 - form.x;
            let right = left + (S::LANES - 1) as f32;
            let at = s.min(s.max(peak, s.splat(left)), s.splat(right));
            let best = s.fma(s.fma(at, xx, row_linear), at, row_constant);
            segments |= s.bits(s.not_lt(best, cut)) << (column * TILE + first);
            column += 1;
        }
        first += S::LANES;
    }
    segments
}

/// Stops the pixels outside the image from the beginning; returns the segments with pixels inside.
#[inline(always)]
fn start<S: Simd>(s: S, cells: &mut [Cell<S::V>; MAX_SEGMENTS], [width, height]: [usize; 2]) -> u32 {
    let mut alive = 0;
    let columns = TILE / S::LANES;
    for segment in 0..columns * TILE {
        let (column, row) = (segment / TILE, segment % TILE);
        let inside = width.saturating_sub(column * S::LANES).min(S::LANES);
        if row < height && inside > 0 {
            alive |= 1 << segment;
            let cell = &mut cells[segment];
            let outside = s.ge(s.iota(), s.splat(inside as f32));
            cell.transmittance = s.select(outside, s.negative(cell.transmittance), cell.transmittance);
        }
    }
    alive
}

#[inline(always)]
fn write<S: Simd, const COUNT: bool>(
    s: S,
    cells: &[Cell<S::V>; MAX_SEGMENTS],
    counts: &[S::V; MAX_SEGMENTS],
    out: &mut TilePixels,
) {
    let columns = TILE / S::LANES;
    for segment in 0..columns * TILE {
        let (column, row) = (segment / TILE, segment % TILE);
        let at = row * TILE + column * S::LANES;
        let cell = &cells[segment];
        s.store(cell.red, &mut out.red[at..]);
        s.store(cell.green, &mut out.green[at..]);
        s.store(cell.blue, &mut out.blue[at..]);
        s.store(cell.depth, &mut out.depth[at..]);
        let t = cell.transmittance;
        // Clears the sign of stopped pixels.
        s.store(s.max(t, s.sub(s.splat(0.0), t)), &mut out.transmittance[at..]);
        if COUNT {
            s.store(counts[segment], &mut out.contributors[at..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::exp2;
    use simd::{Kernel, Level, Simd, dispatch_wide};

    struct Exp2(f32);

    impl<S: Simd> Kernel<S, f32> for Exp2 {
        #[inline(always)]
        fn run(self, s: S) -> f32 {
            s.max_lane(exp2(s, s.splat(self.0)))
        }
    }

    #[test]
    fn powers_are_exact_enough_at_every_level() {
        for level in Level::supported() {
            for i in 0..=12_600 {
                let x = -(i as f32) / 100.0;
                let error = f64::from(dispatch_wide(level, Exp2(x))) / f64::from(x).exp2() - 1.0;
                assert!(error.abs() < 3e-7, "2^{x} at {level:?}: {error}");
            }
            for (x, expected) in [(f32::NAN, 2_f32.powi(-126)), (-1e9, 2_f32.powi(-126)), (0.0, 1.0)] {
                let got = dispatch_wide(level, Exp2(x));
                assert!((got / expected - 1.0).abs() < 1e-6, "2^{x} at {level:?}: {got}");
            }
        }
    }
}
