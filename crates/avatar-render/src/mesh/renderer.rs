//! The CPU mesh renderer: stages in order, buffers kept from frame to frame.

use super::band::{Band, Job, ROWS};
use super::geometry::Setup;
use super::{Mesh, MeshFrame, MeshOptions};
use crate::{Camera, PixelRect, Result};
use rayon::prelude::*;

/// Draws meshes on the CPU. Keep it from frame to frame: its buffers are reused.
///
/// The picture depends on neither the number of threads nor what was rendered before.
#[derive(Debug, Default)]
pub struct MeshRenderer {
    setup: Setup,
    bands: Vec<Band>,
}

impl MeshRenderer {
    /// A renderer without buffers yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Renders into `frame`, on the current rayon thread pool. Vertices that aren't finite are drawn nowhere.
    ///
    /// # Errors
    /// When a triangle names a vertex that doesn't exist.
    pub fn render(
        &mut self,
        mesh: &Mesh<'_>,
        camera: &Camera,
        options: &MeshOptions,
        frame: &mut MeshFrame,
    ) -> Result<()> {
        mesh.check()?;
        let samples = options.samples();
        let (width, height) = (camera.width(), camera.height());
        self.setup.run(mesh, camera, samples);
        self.bands.resize_with(height.div_ceil(ROWS), Band::default);
        for band in &mut self.bands {
            band.triangles.clear();
        }
        let last = (height * samples) as i64;
        let rows = (ROWS * samples) as i64;
        for (index, triangle) in (0..).zip(&self.setup.triangles) {
            let [low, high] = triangle.reach()[1].map(|y| y.clamp(0, last));
            if low < high {
                for band in &mut self.bands[(low / rows) as usize..=((high - 1) / rows) as usize] {
                    band.triangles.push(index);
                }
            }
        }
        let stale = frame.prepare(width, height, options.normals);
        let job = Job { triangles: &self.setup.triangles, options, width, stale };
        frame.bands().into_par_iter().zip(&mut self.bands).enumerate().with_max_len(1).for_each(
            |(i, (rows, band))| {
                band.render(&job, i * ROWS, rows);
            },
        );
        frame.covered = self.bands.iter().fold(PixelRect::default(), |all, band| all.union(band.covered));
        Ok(())
    }
}
