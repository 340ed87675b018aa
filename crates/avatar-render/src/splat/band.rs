//! A band of tiles, 16 rows of the image: bins its Gaussians into tiles, composites them, writes the pixels.

use super::project::{Projected, floor};
use super::tile::{self, TilePixels};
use crate::PixelRect;
use crate::constants::TILE;
use simd::Level;

/// Scratch and results of one band, kept from frame to frame.
#[derive(Debug, Default)]
pub(super) struct Band {
    /// The Gaussians that may reach this band, nearest first.
    pub(super) splats: Vec<u32>,
    /// Copies of them, side by side: a few hundred kilobytes, which stay in the core's cache while all tiles look at them.
    near: Vec<Projected>,
    /// The columns of tiles that each of them reaches.
    columns: Vec<[u16; 2]>,
    /// Where each tile's Gaussians begin in `listed`; one more than there are tiles.
    starts: Vec<u32>,
    /// Each tile's Gaussians, as places in `near`.
    listed: Vec<u32>,
    pixels: Box<TilePixels>,
    /// `[rows, W]`, filled where asked for.
    pub(super) contributors: Vec<u32>,
    /// Pixels of the tiles that have Gaussians.
    pub(super) covered: PixelRect,
}

/// What all bands of a frame share.
pub(super) struct Job<'a> {
    pub(super) level: Level,
    pub(super) splats: &'a [Projected],
    pub(super) width: usize,
    pub(super) background: [f32; 3],
    pub(super) count: bool,
    /// What may hold old pixels.
    pub(super) stale: PixelRect,
}

/// The band's rows of the frame.
pub(super) struct Rows<'a> {
    pub(super) color: &'a mut [f32],
    pub(super) alpha: &'a mut [f32],
    pub(super) depth: &'a mut [f32],
}

impl Band {
    /// Composites the band whose first row is `y0`.
    pub(super) fn render(&mut self, job: &Job<'_>, y0: usize, mut rows: Rows<'_>) {
        let height = rows.alpha.len() / job.width;
        self.covered = PixelRect::default();
        self.contributors.clear();
        if job.count {
            self.contributors.resize(rows.alpha.len(), 0);
        }
        self.bin(job, y0);
        for tile_x in 0..job.width.div_ceil(TILE) {
            let x0 = tile_x * TILE;
            let rect = PixelRect { x0, y0, x1: (x0 + TILE).min(job.width), y1: y0 + height };
            let list = &self.listed[self.starts[tile_x] as usize..self.starts[tile_x + 1] as usize];
            if list.is_empty() {
                if overlaps(rect, job.stale) {
                    clear(job, rect, &mut rows);
                }
                continue;
            }
            let size = [rect.x1 - x0, height];
            let input = tile::Input { splats: &self.near, list, origin: [x0, y0], size, count: job.count };
            tile::composite(job.level, &input, &mut self.pixels);
            write(job, &self.pixels, rect, &mut rows, &mut self.contributors);
            self.covered = self.covered.union(rect);
        }
    }

    /// Sorts the band's Gaussians into tiles, keeping their order.
    fn bin(&mut self, job: &Job<'_>, y0: usize) {
        let tiles = job.width.div_ceil(TILE);
        self.columns.clear();
        self.starts.clear();
        self.starts.resize(tiles + 1, 0);
        self.near.clear();
        self.near.extend(self.splats.iter().map(|index| job.splats[*index as usize]));
        for splat in &self.near {
            let [from, to] = columns(splat, y0);
            self.columns.push([from, to]);
            for start in &mut self.starts[from.into()..to.into()] {
                *start += 1;
            }
        }
        let mut sum = 0;
        for start in &mut self.starts {
            sum += std::mem::replace(start, sum);
        }
        self.listed.clear();
        self.listed.resize(sum as usize, 0);
        for (&[from, to], place) in self.columns.iter().zip(0..) {
            for start in &mut self.starts[from.into()..to.into()] {
                self.listed[*start as usize] = place;
                *start += 1;
            }
        }
        // Every start has moved to its tile's end, which is the next one's beginning.
        self.starts.rotate_right(1);
        self.starts[0] = 0;
    }
}

/// The columns of tiles that the visible part of a Gaussian touches in the band that begins at row `y0`: those of
/// the ellipse cut by the band, within the reference's rectangle.
fn columns(s: &Projected, y0: usize) -> [u16; 2] {
    let [from, to] = [s.tiles.x0, s.tiles.x1];
    if !s.half_extent[0].is_finite() {
        return [from, to];
    }
    let [a, b, c] = s.conic;
    let q = -2.0 * std::f32::consts::LN_2 * s.log2_cut;
    let low = y0 as f32 - s.mean_px[1];
    let high = low + (TILE - 1) as f32;
    // The ellipse's leftmost and rightmost points, or the band's edge nearest to them.
    let (tilt, inverse_a) = (-b / c, 1.0 / a);
    let side = |sign: f32| {
        let dy = (sign * s.half_extent[0] * tilt).clamp(low, high);
        let root = ((b * b - a * c) * dy * dy + a * q).max(0.0).sqrt();
        s.mean_px[0] + (sign * root - b * dy) * inverse_a
    };
    // A hundredth of a pixel for rounding.
    let tile = TILE as i32;
    let left = (-floor(0.01 - side(-1.0))).div_euclid(tile);
    let right = floor(side(1.0) + 0.01).div_euclid(tile) + 1;
    let left = left.clamp(from.into(), to.into());
    // Both lie between two u16.
    [left as u16, right.clamp(left, to.into()) as u16]
}

fn overlaps(a: PixelRect, b: PixelRect) -> bool {
    a.x0 < b.x1 && b.x0 < a.x1 && a.y0 < b.y1 && b.y0 < a.y1
}

fn clear(job: &Job<'_>, rect: PixelRect, rows: &mut Rows<'_>) {
    for row in 0..rect.y1 - rect.y0 {
        let at = row * job.width + rect.x0..row * job.width + rect.x1;
        rows.alpha[at.clone()].fill(0.0);
        rows.depth[at.clone()].fill(0.0);
        for pixel in rows.color.as_chunks_mut::<3>().0[at].iter_mut() {
            *pixel = job.background;
        }
    }
}

fn write(job: &Job<'_>, pixels: &TilePixels, rect: PixelRect, rows: &mut Rows<'_>, contributors: &mut [u32]) {
    let [red, green, blue] = job.background;
    let n = rect.x1 - rect.x0;
    for row in 0..rect.y1 - rect.y0 {
        let to = row * job.width + rect.x0..row * job.width + rect.x1;
        let from = row * TILE..row * TILE + n;
        rows.depth[to.clone()].copy_from_slice(&pixels.depth[from.clone()]);
        let t = &pixels.transmittance[from.clone()];
        for (alpha, t) in rows.alpha[to.clone()].iter_mut().zip(t) {
            *alpha = 1.0 - t;
        }
        let color = &mut rows.color.as_chunks_mut::<3>().0[to.clone()];
        let (r, g, b) = (&pixels.red[from.clone()], &pixels.green[from.clone()], &pixels.blue[from.clone()]);
        for i in 0..n {
            color[i] = [r[i] + t[i] * red, g[i] + t[i] * green, b[i] + t[i] * blue];
        }
        if job.count {
            for (to, &from) in contributors[to].iter_mut().zip(&pixels.contributors[from]) {
                *to = from as u32;
            }
        }
    }
}
