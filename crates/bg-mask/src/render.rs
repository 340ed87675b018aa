//! What a renderer hands over: premultiplied colour, alpha and perhaps depth, as plain buffers.

use crate::error::{Result, same_length};

/// How a colour buffer lies in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `[3, H, W]`: a red plane, then green, then blue.
    Planar,
    /// `[H, W, 3]`: pixel by pixel.
    Interleaved,
}

/// A rendered frame, borrowed. Colour is premultiplied by alpha and display-coded (sRGB values, 0…1).
#[derive(Clone, Copy, Debug)]
pub struct Render<'a> {
    width: u32,
    height: u32,
    color: &'a [f32],
    layout: Layout,
    alpha: &'a [f32],
    depth: Option<&'a [f32]>,
}

impl<'a> Render<'a> {
    /// Borrows a renderer's buffers.
    ///
    /// # Shapes
    /// `color` as `layout` says, `alpha` `[H, W]`.
    ///
    /// # Errors
    /// When a buffer's length doesn't fit the size.
    pub fn new(
        (width, height): (u32, u32),
        color: &'a [f32],
        layout: Layout,
        alpha: &'a [f32],
    ) -> Result<Self> {
        let n = width as usize * height as usize;
        same_length("a render's colour", n * 3, color.len())?;
        same_length("a render's alpha", n, alpha.len())?;
        Ok(Self { width, height, color, layout, alpha, depth: None })
    }

    /// Adds the depth of every pixel in metres, `[H, W]`; only looked at where alpha is above zero.
    ///
    /// # Errors
    /// When the buffer's length doesn't fit the size.
    pub fn with_depth(mut self, depth: &'a [f32]) -> Result<Self> {
        same_length("a render's depth", self.alpha.len(), depth.len())?;
        self.depth = Some(depth);
        Ok(self)
    }

    /// Width and height in pixels.
    #[must_use]
    pub fn dimensions(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// Alpha, `[H, W]`.
    #[must_use]
    pub fn alpha(&self) -> &'a [f32] {
        self.alpha
    }

    /// Depth in metres, `[H, W]`, where the renderer gave it.
    #[must_use]
    pub fn depth(&self) -> Option<&'a [f32]> {
        self.depth
    }

    /// Premultiplied colour of the pixel with this index (`y * width + x`).
    #[inline]
    pub(crate) fn color_at(&self, index: usize) -> [f32; 3] {
        match self.layout {
            Layout::Planar => {
                let n = self.alpha.len();
                [self.color[index], self.color[n + index], self.color[2 * n + index]]
            }
            Layout::Interleaved => {
                let c = &self.color[3 * index..3 * index + 3];
                [c[0], c[1], c[2]]
            }
        }
    }

    /// The pixels of row `y`: indices into the buffers.
    pub(crate) fn row(&self, y: usize) -> std::ops::Range<usize> {
        let w = self.width as usize;
        y * w..(y + 1) * w
    }
}
