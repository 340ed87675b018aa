//! Sixteen rows of the image: the depth test, then shading of what won it.

use super::MeshOptions;
use super::frame::MeshFrame;
use super::geometry::{SUBPIXEL, ScreenTriangle, normalized};
use crate::PixelRect;

/// Rows of pixels in a band.
pub(super) const ROWS: usize = 16;
const NOTHING: u32 = u32::MAX;

/// Scratch of one band, kept from frame to frame.
#[derive(Debug, Default)]
pub(super) struct Band {
    /// The triangles that may reach this band.
    pub(super) triangles: Vec<u32>,
    /// Nearest 1/z and its triangle, sample by sample.
    nearest: Vec<(f32, u32)>,
    /// Samples that were written.
    touched: PixelRect,
    /// Pixels that were written.
    pub(super) covered: PixelRect,
}

/// The band's rows of the frame.
pub(super) struct Rows<'a> {
    pub(super) rgb8: &'a mut [u8],
    pub(super) depth: &'a mut [f32],
    /// Empty where nobody asked.
    pub(super) normals: &'a mut [f32],
}

/// What all bands share.
pub(super) struct Job<'a> {
    pub(super) triangles: &'a [ScreenTriangle],
    pub(super) options: &'a MeshOptions,
    pub(super) width: usize,
    pub(super) stale: PixelRect,
}

impl Band {
    /// Draws the band whose first row of pixels is `y0`.
    pub(super) fn render(&mut self, job: &Job<'_>, y0: usize, mut rows: Rows<'_>) {
        let samples = job.options.samples();
        let height = rows.depth.len() / job.width;
        clear_stale(job, y0, height, &mut rows);
        self.covered = PixelRect::default();
        if self.triangles.is_empty() {
            return;
        }
        let (width, height) = (job.width * samples, height * samples);
        if self.nearest.len() != width * height {
            self.nearest.clear();
            self.nearest.resize(width * height, (0.0, NOTHING));
        }
        for &index in &self.triangles {
            let triangle = &job.triangles[index as usize];
            let done = fill(triangle, index, (y0 * samples) as i64, [width, height], &mut self.nearest);
            self.touched = self.touched.union(done);
        }
        self.resolve(job, y0, &mut rows);
    }

    /// Shades the samples, averages them into pixels and leaves the depth buffer clean.
    fn resolve(&mut self, job: &Job<'_>, y0: usize, rows: &mut Rows<'_>) {
        let s = job.options.samples();
        let touched = std::mem::take(&mut self.touched);
        if touched.is_empty() {
            return;
        }
        let width = job.width * s;
        self.covered = PixelRect {
            x0: touched.x0 / s,
            x1: touched.x1.div_ceil(s),
            y0: y0 + touched.y0 / s,
            y1: y0 + touched.y1.div_ceil(s),
        };
        for y in touched.y0 / s..touched.y1.div_ceil(s) {
            for x in touched.x0 / s..touched.x1.div_ceil(s) {
                let mut pixel = Pixel::default();
                for i in 0..s * s {
                    let (sx, sy) = (x * s + i % s, y * s + i / s);
                    let won = std::mem::replace(&mut self.nearest[sy * width + sx], (0.0, NOTHING));
                    if won.1 != NOTHING {
                        let at = [sx as i64, (y0 * s + sy) as i64];
                        pixel.add(&job.triangles[won.1 as usize], at, won.0, job.options);
                    }
                }
                if pixel.samples > 0 {
                    pixel.write(y * job.width + x, s * s, rows);
                }
            }
        }
    }
}

#[derive(Default)]
struct Pixel {
    color: [f32; 3],
    normal: [f32; 3],
    inverse_z: f32,
    samples: usize,
}

impl Pixel {
    fn add(&mut self, t: &ScreenTriangle, at: [i64; 2], inverse_z: f32, options: &MeshOptions) {
        let shares = t.shares(at);
        // Attributes over z are linear on the image; normalising takes the z out again.
        let normal: [f32; 3] =
            std::array::from_fn(|k| (0..3).map(|i| shares[i] * t.inverse_z[i] * t.normal[i][k]).sum());
        let mut normal = normalized(normal);
        // Both sides of a triangle are shown: the normal is turned to the viewer along the ray.
        if normal[2] > 0.0 && t.is_backward() {
            normal = normal.map(|x| -x);
        }
        for (sum, c) in self.color.iter_mut().zip(options.shade(normal)) {
            *sum += c;
        }
        for (sum, n) in self.normal.iter_mut().zip(normal) {
            *sum += n;
        }
        self.inverse_z = self.inverse_z.max(inverse_z);
        self.samples += 1;
    }

    fn write(&self, at: usize, all: usize, rows: &mut Rows<'_>) {
        rows.rgb8.as_chunks_mut::<3>().0[at] = self.color.map(|c| (c / all as f32).round() as u8);
        rows.depth[at] = 1.0 / self.inverse_z;
        if let Some(normal) = rows.normals.as_chunks_mut::<3>().0.get_mut(at) {
            *normal = normalized(self.normal);
        }
    }
}

impl ScreenTriangle {
    /// Twice the signed area of the corners before and after `i` with a point.
    fn edge(&self, i: usize, [x, y]: [i64; 2]) -> i64 {
        let (a, b) = (self.at[(i + 1) % 3], self.at[(i + 2) % 3]);
        (b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])
    }

    fn area(&self) -> i64 {
        self.edge(0, self.at[0])
    }

    /// Seen from behind, for meshes whose triangles are counter-clockwise from outside.
    fn is_backward(&self) -> bool {
        self.area() > 0
    }

    /// Barycentric coordinates on the image of a sample.
    fn shares(&self, sample: [i64; 2]) -> [f32; 3] {
        let at = sample.map(|x| x * SUBPIXEL);
        let scale = 1.0 / self.area() as f32;
        [0, 1, 2].map(|i| self.edge(i, at) as f32 * scale)
    }

    /// Columns and rows of samples that the triangle reaches: of each the first, and one past the last.
    pub(crate) fn reach(&self) -> [[i64; 2]; 2] {
        [0, 1].map(|axis| bounds(self.at.map(|p| p[axis])))
    }
}

/// First and one past the last sample in reach of three coordinates.
fn bounds([a, b, c]: [i64; 3]) -> [i64; 2] {
    let low = a.min(b).min(c);
    let high = a.max(b).max(c);
    [(low + SUBPIXEL - 1).div_euclid(SUBPIXEL), high.div_euclid(SUBPIXEL) + 1]
}

/// Depth-tests one triangle against the band's samples, of which the first row is `y0`. Returns what it reached.
fn fill(
    t: &ScreenTriangle,
    index: u32,
    y0: i64,
    [width, height]: [usize; 2],
    nearest: &mut [(f32, u32)],
) -> PixelRect {
    let area = t.area();
    if area == 0 {
        return PixelRect::default();
    }
    // With a positive sign all edges are positive inside.
    let sign = area.signum();
    let clamp = |v: i64, n: usize| v.clamp(0, n as i64);
    let [columns, rows] = t.reach();
    let [x_low, x_high] = columns.map(|x| clamp(x, width));
    let [y_low, y_high] = rows.map(|y| clamp(y - y0, height));
    if x_low >= x_high || y_low >= y_high {
        return PixelRect::default();
    }
    let step = [0, 1, 2].map(|i| {
        let (a, b) = (t.at[(i + 1) % 3], t.at[(i + 2) % 3]);
        [-(b[1] - a[1]) * sign * SUBPIXEL, (b[0] - a[0]) * sign * SUBPIXEL]
    });
    let scale = 1.0 / (area * sign) as f32;
    let z = t.inverse_z.map(|z| z * scale);
    let corner = [x_low * SUBPIXEL, (y_low + y0) * SUBPIXEL];
    let mut row_edges = [0, 1, 2].map(|i| t.edge(i, corner) * sign);
    for y in y_low..y_high {
        let mut edges = row_edges;
        let row = y as usize * width;
        for sample in &mut nearest[row + x_low as usize..row + x_high as usize] {
            if edges[0] | edges[1] | edges[2] >= 0 {
                let inverse_z = edges[0] as f32 * z[0] + edges[1] as f32 * z[1] + edges[2] as f32 * z[2];
                // The first of equals stays, so the order of triangles decides and nothing else.
                if inverse_z > sample.0 {
                    *sample = (inverse_z, index);
                }
            }
            for i in 0..3 {
                edges[i] += step[i][0];
            }
        }
        for i in 0..3 {
            row_edges[i] += step[i][1];
        }
    }
    let [x0, x1, y0, y1] = [x_low, x_high, y_low, y_high].map(|v| v as usize);
    PixelRect { x0, y0, x1, y1 }
}

fn clear_stale(job: &Job<'_>, y0: usize, height: usize, rows: &mut Rows<'_>) {
    let stale = job.stale;
    for y in stale.y0.max(y0)..stale.y1.min(y0 + height) {
        let row = (y - y0) * job.width;
        let at = row + stale.x0..row + stale.x1;
        rows.depth[at.clone()].fill(0.0);
        rows.rgb8[3 * at.start..3 * at.end].fill(0);
        if !rows.normals.is_empty() {
            rows.normals[3 * at.start..3 * at.end].fill(0.0);
        }
    }
}

impl MeshFrame {
    /// The frame cut into bands.
    pub(super) fn bands(&mut self) -> Vec<Rows<'_>> {
        let n = ROWS * self.width;
        let mut normals = self.normals.chunks_mut(3 * n);
        let pairs = self.rgb8.chunks_mut(3 * n).zip(self.depth.chunks_mut(n));
        pairs.map(|(rgb8, depth)| Rows { rgb8, depth, normals: normals.next().unwrap_or_default() }).collect()
    }
}
