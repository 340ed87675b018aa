//! What a renderer writes: colour, alpha and depth.

/// A rectangle of pixels: columns `x0..x1`, rows `y0..y1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PixelRect {
    /// First column.
    pub x0: usize,
    /// First row.
    pub y0: usize,
    /// One past the last column.
    pub x1: usize,
    /// One past the last row.
    pub y1: usize,
}

impl PixelRect {
    /// Has it no pixels?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.x0 >= self.x1 || self.y0 >= self.y1
    }

    /// The smallest rectangle that holds both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        if self.is_empty() {
            return other;
        }
        if other.is_empty() {
            return self;
        }
        Self {
            x0: self.x0.min(other.x0),
            y0: self.y0.min(other.y0),
            x1: self.x1.max(other.x1),
            y1: self.y1.max(other.y1),
        }
    }
}

/// A rendered picture. Keep it from frame to frame: a renderer then reuses its buffers and clears only what the
/// picture before covered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frame {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) color: Vec<f32>,
    pub(crate) alpha: Vec<f32>,
    pub(crate) depth: Vec<f32>,
    pub(crate) contributors: Vec<u32>,
    pub(crate) covered: PixelRect,
    pub(crate) background: [f32; 3],
}

impl Frame {
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

    /// `[H, W, 3]` colour, premultiplied by alpha, plus the background seen through what is left.
    #[must_use]
    pub fn color(&self) -> &[f32] {
        &self.color
    }

    /// `[H, W]` alpha, 0 to 1.
    #[must_use]
    pub fn alpha(&self) -> &[f32] {
        &self.alpha
    }

    /// `[H, W]` view depth in metres, premultiplied by alpha: divide by alpha for the mean depth.
    #[must_use]
    pub fn depth(&self) -> &[f32] {
        &self.depth
    }

    /// `[H, W]` mean view depth in metres of what each pixel shows; 0 where there is nothing.
    #[must_use]
    pub fn mean_depth(&self) -> Vec<f32> {
        let mean = |(d, &a): (&f32, &f32)| if a > 0.0 { d / a } else { 0.0 };
        self.depth.iter().zip(&self.alpha).map(mean).collect()
    }

    /// `[H, W]` number of Gaussians blended into each pixel; empty unless it was asked for.
    #[must_use]
    pub fn contributors(&self) -> &[u32] {
        &self.contributors
    }

    /// A rectangle outside of which every pixel is background: alpha and depth are exactly 0 there.
    #[must_use]
    pub fn covered(&self) -> PixelRect {
        self.covered
    }

    /// Takes the buffers out: colour `[H, W, 3]`, alpha `[H, W]`, depth `[H, W]`.
    #[must_use]
    pub fn into_parts(self) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
        (self.color, self.alpha, self.depth)
    }

    /// The colours as bytes `[H, W, 3]`: clamped to 0 to 1, times 255, rounded.
    #[must_use]
    pub fn to_rgb8(&self) -> Vec<u8> {
        self.color.iter().map(|&x| byte(x)).collect()
    }

    /// `[H, W, 4]` bytes with straight (not premultiplied) colour, as PNG wants them. Meant for frames rendered on
    /// black.
    #[must_use]
    pub fn to_rgba8(&self) -> Vec<u8> {
        let (pixels, _) = self.color.as_chunks::<3>();
        let straight = |(c, &a): (&[f32; 3], &f32)| {
            let scale = if a > 0.0 { 1.0 / a } else { 0.0 };
            [byte(c[0] * scale), byte(c[1] * scale), byte(c[2] * scale), byte(a)]
        };
        pixels.iter().zip(&self.alpha).flat_map(straight).collect()
    }

    /// Gives the buffers their size and returns what may hold old content. With `contributors` they are counted.
    pub(crate) fn prepare(&mut self, width: usize, height: usize, background: [f32; 3]) -> PixelRect {
        let n = width * height;
        if (self.width, self.height) != (width, height) || self.alpha.len() != n {
            for (buffer, n) in [(&mut self.color, 3 * n), (&mut self.alpha, n), (&mut self.depth, n)] {
                buffer.clear();
                buffer.resize(n, 0.0);
            }
            (self.width, self.height) = (width, height);
            self.covered = PixelRect::default();
            self.background = [0.0; 3];
        }
        let same = self.background.map(f32::to_bits) == background.map(f32::to_bits);
        self.background = background;
        if same { self.covered } else { PixelRect { x0: 0, y0: 0, x1: width, y1: height } }
    }
}

pub(crate) fn byte(x: f32) -> u8 {
    // NaN becomes 0: float-to-integer casts saturate and send NaN there.
    (x.clamp(0.0, 1.0) * 255.0).round() as u8
}
