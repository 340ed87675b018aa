//! From a Gaussian in space to an ellipse on the image (EWA splatting), with the arithmetic of the reference
//! (`preprocessCUDA` and `computeCov2D` of `ashawkey/diff-gaussian-rasterization`, commit 8829d14).

use super::SplatOptions;
use crate::constants::{
    EIGEN_FLOOR, FOV_CLAMP, LOW_PASS, MIN_ALPHA, NEAR_CULL, RADIUS_SIGMAS, TILE, W_EPSILON,
};
use crate::{Camera, Gaussians};

/// Tiles `x0..x1` by `y0..y1`: the only ones that a Gaussian may touch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TileRect {
    /// First column of tiles.
    pub x0: u16,
    /// First row of tiles.
    pub y0: u16,
    /// One past the last column.
    pub x1: u16,
    /// One past the last row.
    pub y1: u16,
}

/// A Gaussian on the image. All zero where it isn't visible.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C, align(64))]
pub struct Projected {
    /// Centre in pixels; pixel (i, j) sits at integer coordinates.
    pub mean_px: [f32; 2],
    /// Inverse covariance (xx, xy, yy) in 1/px².
    pub conic: [f32; 3],
    /// Peak opacity.
    pub opacity: f32,
    /// Colour.
    pub color: [f32; 3],
    /// View depth in metres.
    pub depth: f32,
    /// Reach in pixels; 0 for what isn't visible.
    pub radius: i32,
    /// The tiles in reach.
    pub tiles: TileRect,
    /// Where log2 of the Gaussian's fall-off is below this, its opacity is below 1/255 (with a margin for rounding).
    pub(crate) log2_cut: f32,
    /// Half the width and height, in pixels, of the ellipse inside of which the cut lies; infinite where unknown,
    /// negative where the Gaussian is below the cut everywhere.
    pub(crate) half_extent: [f32; 2],
}

/// Projects Gaussian `index`.
///
/// A Gaussian that is behind the near plane, degenerate, outside the image or not finite gives the default.
#[must_use]
pub fn project(gaussians: &Gaussians, index: usize, camera: &Camera, options: &SplatOptions) -> Projected {
    try_project(gaussians, index, camera, options).unwrap_or_default()
}

fn try_project(
    gaussians: &Gaussians,
    index: usize,
    camera: &Camera,
    options: &SplatOptions,
) -> Option<Projected> {
    let view = camera.view_from_world();
    let mean = gaussians.means[index];
    let t = transform_point(view, mean);
    // Written so that a NaN is dropped too.
    if !(t[2] > NEAR_CULL && t.iter().all(|x| x.is_finite())) {
        return None;
    }
    let sigma = covariance(gaussians.scales[index], gaussians.rotations[index], options.scale_modifier);
    let cov = project_covariance(&sigma, t, camera);
    let det = cov[0] * cov[2] - cov[1] * cov[1];
    if det == 0.0 || !det.is_finite() {
        return None;
    }
    let inverse = 1.0 / det;
    let conic = [cov[2] * inverse, -cov[1] * inverse, cov[0] * inverse];

    let mid = 0.5 * (cov[0] + cov[2]);
    let spread = (mid * mid - det).max(EIGEN_FLOOR).sqrt();
    let reach = (RADIUS_SIGMAS * (mid + spread).max(mid - spread).sqrt()).ceil();
    let mean_px = pixel(camera, mean);
    if !(reach.is_finite() && mean_px.iter().all(|x| x.is_finite())) {
        return None;
    }
    // Saturates for absurd sizes; the rectangle is clamped to the image anyway.
    let radius = reach as i32;
    let tiles = tile_rect(mean_px, radius, camera)?;

    let opacity = gaussians.opacities[index];
    let color = gaussians.color_from(index, camera.position());
    if !(opacity.is_finite() && color.iter().all(|x| x.is_finite()) && conic.iter().all(|x| x.is_finite())) {
        return None;
    }
    let log2_cut = log2_cut(conic, opacity, reach);
    let half_extent = half_extent(conic, log2_cut);
    Some(Projected { mean_px, conic, opacity, color, depth: t[2], radius, tiles, log2_cut, half_extent })
}

/// `log2(exp(power))` below which `opacity * exp(power)` can't reach 1/255, lowered by more than rounding can move
/// it. Minus infinity where the conic isn't positive definite, so that nothing is skipped unseen.
fn log2_cut(conic: [f32; 3], opacity: f32, reach: f32) -> f32 {
    let [a, b, c] = conic;
    let definite = a > 0.0 && c > 0.0 && a * c - b * b > 1e-6 * a * c;
    if !definite {
        return f32::NEG_INFINITY;
    }
    let margin = 1e-3 + 1e-6 * (a + c) * reach * reach;
    // An opacity of zero or below gives plus infinity or NaN: it never contributes.
    let cut = (MIN_ALPHA / opacity).log2() - margin;
    if opacity > 0.0 { cut } else { f32::INFINITY }
}

fn half_extent([a, b, c]: [f32; 3], log2_cut: f32) -> [f32; 2] {
    if log2_cut == f32::NEG_INFINITY {
        return [f32::INFINITY; 2];
    }
    if log2_cut > 0.0 {
        return [-1.0; 2];
    }
    // The quadratic form a dx² + 2 b dx dy + c dy² at the cut, over the determinant.
    let q = -2.0 * std::f32::consts::LN_2 * log2_cut / (a * c - b * b);
    [(q * c).sqrt(), (q * a).sqrt()]
}

fn transform_point(m: &[f32; 16], p: [f32; 3]) -> [f32; 3] {
    std::array::from_fn(|row| m[row] * p[0] + m[4 + row] * p[1] + m[8 + row] * p[2] + m[12 + row])
}

fn pixel(camera: &Camera, mean: [f32; 3]) -> [f32; 2] {
    let m = camera.clip_from_world();
    let hom = transform_point(m, mean);
    let w = m[3] * mean[0] + m[7] * mean[1] + m[11] * mean[2] + m[15];
    let inverse_w = 1.0 / (w + W_EPSILON);
    let to_pixel = |ndc: f32, size: usize| (((f64::from(ndc) + 1.0) * size as f64 - 1.0) * 0.5) as f32;
    [to_pixel(hom[0] * inverse_w, camera.width()), to_pixel(hom[1] * inverse_w, camera.height())]
}

/// R S S Rᵀ as (xx, xy, xz, yy, yz, zz).
fn covariance(scale: [f32; 3], [w, x, y, z]: [f32; 4], modifier: f32) -> [f32; 6] {
    let r = [
        [1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)],
        [2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)],
        [2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)],
    ];
    let s = scale.map(|s| modifier * s);
    let m = r.map(|row| [row[0] * s[0], row[1] * s[1], row[2] * s[2]]);
    let dot = |i: usize, j: usize| m[i][0] * m[j][0] + m[i][1] * m[j][1] + m[i][2] * m[j][2];
    [dot(0, 0), dot(0, 1), dot(0, 2), dot(1, 1), dot(1, 2), dot(2, 2)]
}

/// The covariance on the image (xx, xy, yy) in px², low-pass included.
fn project_covariance(sigma: &[f32; 6], t: [f32; 3], camera: &Camera) -> [f32; 3] {
    let [fx, fy] = camera.focal();
    let [tan_x, tan_y] = camera.tan_half_fov();
    let clamp = |v: f32, tan: f32| (v / t[2]).max(-FOV_CLAMP * tan).min(FOV_CLAMP * tan) * t[2];
    let (tx, ty, tz) = (clamp(t[0], tan_x), clamp(t[1], tan_y), t[2]);
    let j = [[fx / tz, -(fx * tx) / (tz * tz)], [fy / tz, -(fy * ty) / (tz * tz)]];
    let v = camera.view_from_world();
    // Rows of J W: how the pixel moves with the world position.
    let row = |axis: usize, [diagonal, depth]: [f32; 2]| -> [f32; 3] {
        std::array::from_fn(|k| diagonal * v[4 * k + axis] + depth * v[4 * k + 2])
    };
    let (a, b) = (row(0, j[0]), row(1, j[1]));
    let [xx, xy, xz, yy, yz, zz] = *sigma;
    let times = |u: [f32; 3]| {
        [
            xx * u[0] + xy * u[1] + xz * u[2],
            xy * u[0] + yy * u[1] + yz * u[2],
            xz * u[0] + yz * u[1] + zz * u[2],
        ]
    };
    let dot = |u: [f32; 3], w: [f32; 3]| u[0] * w[0] + u[1] * w[1] + u[2] * w[2];
    let (sa, sb) = (times(a), times(b));
    [dot(a, sa) + LOW_PASS, dot(a, sb), dot(b, sb) + LOW_PASS]
}

/// The largest whole number not above `x`, saturating; 0 for NaN. The standard library's may be a call on a plain x86-64.
#[inline]
pub(super) fn floor(x: f32) -> i32 {
    let towards_zero = x as i32;
    towards_zero.saturating_sub(i32::from(towards_zero as f32 > x))
}

fn tile_rect([x, y]: [f32; 2], radius: i32, camera: &Camera) -> Option<TileRect> {
    let side = TILE as f32;
    let r = radius as f32;
    // Truncation towards zero, then clamped to the grid; casts saturate.
    let span = |p: f32, size: usize| {
        let n = size.div_ceil(TILE) as i32;
        let low = (((p - r) / side) as i32).clamp(0, n);
        let high = (((p + r + (side - 1.0)) / side) as i32).clamp(0, n);
        (low as u16, high as u16)
    };
    let (x0, x1) = span(x, camera.width());
    let (y0, y1) = span(y, camera.height());
    (x0 < x1 && y0 < y1).then_some(TileRect { x0, y0, x1, y1 })
}
