//! Points that can be found again, and where they went: corners and pyramidal Lucas–Kanade.

use super::gray::Gray;
use image::GrayImage;
use rayon::prelude::*;

/// Half the side of a window.
const RADIUS: i32 = 5;
const SIDE: usize = 2 * RADIUS as usize + 1;
const ITERATIONS: usize = 8;
/// Squares that give one corner each, in pixels.
const CELL: usize = 12;
/// The smaller eigenvalue of a corner's structure, mean over the window.
const MIN_CORNER: f32 = 12.0;
/// Mean difference of a window that was found again, in grey levels beyond its contrast.
const MAX_ERROR: f32 = 14.0;

/// The best corner of each cell outside of `hole`.
pub(super) fn corners(picture: &Gray, hole: &GrayImage) -> Vec<[f32; 2]> {
    let (w, h) = (picture.width, picture.height);
    let margin = RADIUS as usize + 2;
    let cells = (w / CELL, h / CELL);
    let found: Vec<Option<[f32; 2]>> = (0..cells.0 * cells.1)
        .into_par_iter()
        .map(|i| {
            let (x0, y0) = (i % cells.0 * CELL, i / cells.0 * CELL);
            let mut best = (MIN_CORNER, None);
            for y in (y0..y0 + CELL).step_by(3).filter(|y| (margin..h - margin).contains(y)) {
                for x in (x0..x0 + CELL).step_by(3).filter(|x| (margin..w - margin).contains(x)) {
                    let r = RADIUS as usize;
                    let clear = [(x - r, y - r), (x + r, y - r), (x - r, y + r), (x + r, y + r), (x, y)]
                        .iter()
                        .all(|&(x, y)| hole.as_raw()[y * w + x] < crate::THRESHOLD);
                    if !clear {
                        continue;
                    }
                    let score = corner(picture, x, y);
                    if score > best.0 {
                        best = (score, Some([x as f32, y as f32]));
                    }
                }
            }
            best.1
        })
        .collect();
    found.into_iter().flatten().collect()
}

/// The smaller eigenvalue of the structure tensor around a pixel.
fn corner(picture: &Gray, x: usize, y: usize) -> f32 {
    let (w, d) = (picture.width, &picture.data);
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for v in y - 3..=y + 3 {
        for u in x - 3..=x + 3 {
            let i = v * w + u;
            let (gx, gy) = ((d[i + 1] - d[i - 1]) * 0.5, (d[i + w] - d[i - w]) * 0.5);
            xx += gx * gx;
            xy += gx * gy;
            yy += gy * gy;
        }
    }
    let (half, part) = ((xx + yy) * 0.5, (xx - yy) * 0.5);
    (half - (part * part + xy * xy).sqrt()) / 49.0
}

/// No turn and no scale.
const SAME: [[f32; 2]; 2] = [[1.0, 0.0], [0.0, 1.0]];

/// Where the window around `p` of `from` is in `to`, beginning at `q`; offsets in the window are turned and scaled by
/// `affine`. `None` where it is lost.
pub(super) fn find(
    from: &Gray,
    p: [f32; 2],
    to: &Gray,
    q: [f32; 2],
    affine: [[f32; 2]; 2],
) -> Option<[f32; 2]> {
    let reach = RADIUS as f32 + 1.0;
    if !from.holds(p, reach) || !to.holds(q, 1.0) {
        return None;
    }
    let n = (SIDE * SIDE) as f32;
    // The window and one pixel around it, for the gradients.
    const WIDE: usize = SIDE + 2;
    let wide: [f32; WIDE * WIDE] = from.window(p);
    let mut window = [0.0; SIDE * SIDE];
    let mut gradient = [[0.0; 2]; SIDE * SIDE];
    let (mut xx, mut xy, mut yy, mut mean) = (0.0, 0.0, 0.0, 0.0);
    for (i, (value, g)) in window.iter_mut().zip(&mut gradient).enumerate() {
        let at = (i / SIDE + 1) * WIDE + i % SIDE + 1;
        *value = wide[at];
        *g = [(wide[at + 1] - wide[at - 1]) * 0.5, (wide[at + WIDE] - wide[at - WIDE]) * 0.5];
        mean += *value / n;
        xx += g[0] * g[0];
        xy += g[0] * g[1];
        yy += g[1] * g[1];
    }
    let determinant = xx * yy - xy * xy;
    if determinant < 1.0 {
        return None;
    }
    let mut at = q;
    let mut error = f32::INFINITY;
    for _ in 0..ITERATIONS {
        let values: [f32; SIDE * SIDE] =
            if affine == SAME { to.window(at) } else { to.turned_window(at, affine) };
        let mean_there = values.iter().sum::<f32>() / n;
        let (mut bx, mut by) = (0.0, 0.0);
        error = 0.0;
        for ((value, there), g) in window.iter().zip(&values).zip(&gradient) {
            let e = (value - mean) - (there - mean_there);
            bx += g[0] * e;
            by += g[1] * e;
            error += e.abs() / n;
        }
        let (dx, dy) = ((yy * bx - xy * by) / determinant, (xx * by - xy * bx) / determinant);
        let step = [affine[0][0] * dx + affine[0][1] * dy, affine[1][0] * dx + affine[1][1] * dy];
        at = [at[0] + step[0], at[1] + step[1]];
        if !at.iter().all(|v| v.is_finite()) || !to.holds(at, 1.0) {
            return None;
        }
        if step[0].hypot(step[1]) < 0.02 {
            break;
        }
    }
    (error < MAX_ERROR).then_some(at)
}

/// As [`find`] from the coarsest level of two pyramids to the finest, without turning.
pub(super) fn find_in_pyramid(from: &[Gray], p: [f32; 2], to: &[Gray], q: [f32; 2]) -> Option<[f32; 2]> {
    let mut at = q;
    for level in (0..from.len().min(to.len())).rev() {
        let scale = (1 << level) as f32;
        // Pixel centres of a coarser level lie between those of the finer one.
        let down = |v: [f32; 2]| v.map(|v| (v + 0.5) / scale - 0.5);
        let up = |v: [f32; 2]| v.map(|v| (v + 0.5) * scale - 0.5);
        match find(&from[level], down(p), &to[level], down(at), SAME) {
            Some(found) => at = up(found),
            None if level == 0 => return None,
            None => {}
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waves(dx: f32, dy: f32) -> Gray {
        let at = |i: usize| {
            let (x, y) = ((i % 160) as f32 - dx, (i / 160) as f32 - dy);
            128.0 + 50.0 * (x * 0.31).sin() * (y * 0.27).cos() + 30.0 * (x * 0.11 + y * 0.17).sin()
        };
        Gray { width: 160, height: 120, data: (0..160 * 120).map(at).collect() }
    }

    #[test]
    fn a_shift_is_found() {
        let (a, b) = (waves(0.0, 0.0).pyramid(3), waves(6.3, -3.6).pyramid(3));
        let points = corners(&a[0], &GrayImage::new(160, 120));
        assert!(points.len() > 40);
        let mut found = 0;
        for p in points.iter().filter(|p| a[0].holds(**p, 20.0)) {
            if let Some(q) = find_in_pyramid(&a, *p, &b, *p) {
                let error = (q[0] - p[0] - 6.3).hypot(q[1] - p[1] + 3.6);
                found += usize::from(error < 0.15);
            }
        }
        assert!(found > 20, "{found}");
    }

    #[test]
    fn holes_have_no_corners() {
        let all = GrayImage::from_pixel(160, 120, image::Luma([255]));
        assert!(corners(&waves(0.0, 0.0), &all).is_empty());
    }
}
