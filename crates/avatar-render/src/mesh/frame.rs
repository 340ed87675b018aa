//! What the mesh renderer writes.

use crate::PixelRect;

/// A rendered mesh. Keep it from frame to frame: its buffers are reused.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MeshFrame {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) rgb8: Vec<u8>,
    pub(crate) depth: Vec<f32>,
    pub(crate) normals: Vec<f32>,
    pub(crate) covered: PixelRect,
}

impl MeshFrame {
    /// An empty frame, for any renderer to fill.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Width in pixels.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    #[must_use]
    pub fn height(&self) -> usize {
        self.height
    }

    /// `[H, W, 3]` bytes: exactly 0 outside the mesh, above 1 in every channel inside.
    #[must_use]
    pub fn rgb8(&self) -> &[u8] {
        &self.rgb8
    }

    /// `[H, W]` distance along the view axis in metres; 0 where there is nothing.
    #[must_use]
    pub fn depth(&self) -> &[f32] {
        &self.depth
    }

    /// `[H, W, 3]` unit normals in camera axes, towards the viewer; 0 where there is nothing. Empty unless asked for.
    #[must_use]
    pub fn normals(&self) -> &[f32] {
        &self.normals
    }

    /// `[H, W]`: 255 on the mesh, 0 elsewhere.
    #[must_use]
    pub fn silhouette(&self) -> Vec<u8> {
        self.depth.iter().map(|&d| if d > 0.0 { 255 } else { 0 }).collect()
    }

    /// A rectangle outside of which there is nothing.
    #[must_use]
    pub fn covered(&self) -> PixelRect {
        self.covered
    }

    /// Gives the buffers their size; returns what holds an older picture.
    pub(crate) fn prepare(&mut self, width: usize, height: usize, normals: bool) -> PixelRect {
        let n = width * height;
        let n_normals = if normals { 3 * n } else { 0 };
        if (self.width, self.height) != (width, height)
            || self.depth.len() != n
            || self.normals.len() != n_normals
        {
            (self.width, self.height) = (width, height);
            self.rgb8.clear();
            self.rgb8.resize(3 * n, 0);
            self.depth.clear();
            self.depth.resize(n, 0.0);
            self.normals.clear();
            self.normals.resize(n_normals, 0.0);
            self.covered = PixelRect::default();
        }
        self.covered
    }
}
