//! Triangle meshes: the shaded body on exact black that the video model is conditioned on, with its silhouette, depth
//! and normals.

mod band;
mod frame;
mod geometry;
mod renderer;

pub use frame::MeshFrame;
pub use renderer::MeshRenderer;

#[cfg(feature = "gpu")]
pub(crate) use geometry::{SUBPIXEL, ScreenTriangle, Setup};

use crate::{Error, Result};

/// Triangles in world space.
#[derive(Clone, Copy, Debug)]
pub struct Mesh<'a> {
    /// `[V]` positions in metres.
    pub vertices: &'a [[f32; 3]],
    /// Triangles as indices of vertices.
    pub faces: &'a [[u32; 3]],
}

impl Mesh<'_> {
    /// Checks that every triangle's vertices exist.
    ///
    /// # Errors
    /// With the first that don't.
    pub fn check(&self) -> Result<()> {
        let vertices = self.vertices.len();
        for (count, what) in [(vertices, "vertices"), (self.faces.len(), "triangles")] {
            if count > i32::MAX as usize {
                return Err(Error::TooMany { what, count });
            }
        }
        let missing = |face: &[u32; 3]| face.iter().copied().find(|&v| v as usize >= vertices);
        match self.faces.iter().enumerate().find_map(|(face, f)| Some((face, missing(f)?))) {
            Some((face, vertex)) => Err(Error::Face { face, vertex, vertices }),
            None => Ok(()),
        }
    }
}

/// How to shade a mesh.
///
/// Brightness = colour · (ambient + diffuse · max(0, n·l)), with a light that stays with the camera. The defaults were
/// fitted to the look of the reference's body videos: light grey, 142 where no light falls and 202 facing it.
#[derive(Clone, Debug, PartialEq)]
pub struct MeshOptions {
    /// Colour of the surface, 0 to 1.
    pub color: [f32; 3],
    /// Share of light that comes from everywhere, 0 to 1.
    pub ambient: f32,
    /// Share that comes from the light, 0 to 1.
    pub diffuse: f32,
    /// Direction towards the light in camera axes (x right, y down, z forward), any length.
    pub light: [f32; 3],
    /// Smooth edges with 2×2 samples a pixel.
    pub antialias: bool,
    /// Also write normals.
    pub normals: bool,
}

impl Default for MeshOptions {
    fn default() -> Self {
        Self {
            color: [1.0; 3],
            ambient: 142.0 / 255.0,
            diffuse: 60.0 / 255.0,
            light: [0.0, -0.3, -1.0],
            antialias: false,
            normals: false,
        }
    }
}

impl MeshOptions {
    /// Samples along one side of a pixel.
    pub(crate) fn samples(&self) -> usize {
        if self.antialias { 2 } else { 1 }
    }

    /// The colour of a surface with this unit normal, as bytes; a channel is at least [`MIN_LEVEL`], so that covered
    /// pixels differ from the black around them.
    pub(crate) fn shade(&self, normal: [f32; 3]) -> [f32; 3] {
        let l = self.light;
        let length = (l[0] * l[0] + l[1] * l[1] + l[2] * l[2]).sqrt().max(f32::MIN_POSITIVE);
        let facing = (normal[0] * l[0] + normal[1] * l[1] + normal[2] * l[2]) / length;
        let light = self.ambient + self.diffuse * facing.max(0.0);
        self.color.map(|c| (c * light * 255.0).clamp(MIN_LEVEL, 255.0))
    }
}

/// The darkest a covered sample gets, of 255. The reference takes a pixel for background if all channels are at most 1;
/// with one of four samples covered this still gives 2.
pub const MIN_LEVEL: f32 = 8.0;
