//! The fast CPU path: stages in order, buffers kept from frame to frame.

use super::SplatOptions;
use super::band::{Band, Job, Rows};
use super::project::{Projected, floor, project};
use super::sort::{Keyed, sort_by_key};
use crate::constants::TILE;
use crate::{Camera, Frame, Gaussians, PixelRect, Result};
use rayon::prelude::*;
use simd::{Level, level};

/// Splats Gaussians on the CPU. Keep it from frame to frame: its buffers are reused.
///
/// The picture depends on neither the number of threads nor what was rendered before.
#[derive(Debug)]
pub struct SplatRenderer {
    level: Level,
    splats: Vec<Projected>,
    /// The visible ones of `splats`, nearest first: later stages walk through them in order, and caches like that.
    sorted: Vec<Projected>,
    /// Rows of tiles that each of `sorted` reaches.
    rows: Vec<[u16; 2]>,
    order: Vec<Keyed>,
    spare: Vec<Keyed>,
    bands: Vec<Band>,
}

impl Default for SplatRenderer {
    fn default() -> Self {
        Self::new()
    }
}

/// Gaussians that one thread projects at a time.
const PROJECT_CHUNK: usize = 512;

impl SplatRenderer {
    /// A renderer with the instruction set in use: the fastest of this machine, unless [`simd::set_level`] chose another.
    #[must_use]
    pub fn new() -> Self {
        Self::build(level())
    }

    /// A renderer with a chosen instruction set; `None` where this machine doesn't have it.
    #[must_use]
    pub fn with_level(level: Level) -> Option<Self> {
        level.is_supported().then(|| Self::build(level))
    }

    fn build(level: Level) -> Self {
        let (splats, sorted, rows) = (Vec::new(), Vec::new(), Vec::new());
        Self { level, splats, sorted, rows, order: Vec::new(), spare: Vec::new(), bands: Vec::new() }
    }

    /// The instruction set in use.
    #[must_use]
    pub fn level(&self) -> Level {
        self.level
    }

    /// The Gaussians of the last frame on the image, in their own order.
    #[must_use]
    pub fn projected(&self) -> &[Projected] {
        &self.splats
    }

    /// Renders into `frame`, on the current rayon thread pool.
    ///
    /// Gaussians with a number that isn't finite are left out.
    ///
    /// # Errors
    /// When the columns of `gaussians` don't fit each other.
    pub fn render(
        &mut self,
        gaussians: &Gaussians,
        camera: &Camera,
        options: &SplatOptions,
        frame: &mut Frame,
    ) -> Result<()> {
        gaussians.check()?;
        self.project(gaussians, camera, options);
        self.order_by_depth();
        self.fill_bands(camera.height());

        let (width, height) = (camera.width(), camera.height());
        let stale = frame.prepare(width, height, options.background);
        let job = Job {
            level: self.level,
            splats: &self.sorted,
            width,
            background: options.background,
            count: options.contributors,
            stale,
        };
        let rows = TILE * width;
        frame
            .color
            .par_chunks_mut(3 * rows)
            .zip(frame.alpha.par_chunks_mut(rows))
            .zip(frame.depth.par_chunks_mut(rows))
            .zip(self.bands.par_iter_mut())
            .enumerate()
            .with_max_len(1)
            .for_each(|(i, (((color, alpha), depth), band))| {
                band.render(&job, i * TILE, Rows { color, alpha, depth });
            });
        frame.covered = self.bands.iter().fold(PixelRect::default(), |all, band| all.union(band.covered));
        frame.contributors.clear();
        if options.contributors {
            for band in &self.bands {
                frame.contributors.extend_from_slice(&band.contributors);
            }
        }
        Ok(())
    }

    fn project(&mut self, gaussians: &Gaussians, camera: &Camera, options: &SplatOptions) {
        self.splats.resize(gaussians.len(), Projected::default());
        self.splats.par_chunks_mut(PROJECT_CHUNK).enumerate().for_each(|(chunk, splats)| {
            for (i, splat) in splats.iter_mut().enumerate() {
                *splat = project(gaussians, chunk * PROJECT_CHUNK + i, camera, options);
            }
        });
    }

    fn order_by_depth(&mut self) {
        self.order.clear();
        let visible = |s: &Projected| s.radius > 0 && s.half_extent[0] >= 0.0;
        let keyed = self.splats.iter().zip(0..).filter(|(s, _)| visible(s));
        self.order.extend(keyed.map(|(s, i)| (s.depth.to_bits(), i)));
        sort_by_key(&mut self.order, &mut self.spare);
        self.sorted.resize(self.order.len(), Projected::default());
        self.rows.resize(self.order.len(), [0; 2]);
        let chunks = self.sorted.par_chunks_mut(PROJECT_CHUNK).zip(self.rows.par_chunks_mut(PROJECT_CHUNK));
        chunks.zip(self.order.par_chunks(PROJECT_CHUNK)).for_each(|((sorted, rows), order)| {
            // Copies alone first: the processor waits for many of them at once.
            for (sorted, &(_, index)) in sorted.iter_mut().zip(order) {
                *sorted = self.splats[index as usize];
            }
            for (rows, splat) in rows.iter_mut().zip(sorted) {
                *rows = tile_rows(splat);
            }
        });
    }

    fn fill_bands(&mut self, height: usize) {
        self.bands.resize_with(height.div_ceil(TILE), Band::default);
        for band in &mut self.bands {
            band.splats.clear();
        }
        for (&[top, bottom], index) in self.rows.iter().zip(0..) {
            for band in &mut self.bands[top.into()..bottom.into()] {
                band.splats.push(index);
            }
        }
    }
}

/// Rows of tiles of the visible ellipse, with a hundredth of a pixel for rounding, within the reference's rectangle.
fn tile_rows(s: &Projected) -> [u16; 2] {
    let side = TILE as f32;
    let top = floor((s.mean_px[1] - s.half_extent[1] - 0.01) / side);
    let bottom = floor((s.mean_px[1] + s.half_extent[1] + 0.01) / side).saturating_add(1);
    let top = top.clamp(s.tiles.y0.into(), s.tiles.y1.into());
    // Both lie between two u16.
    [top as u16, bottom.clamp(top, s.tiles.y1.into()) as u16]
}
