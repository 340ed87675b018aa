//! A small z-buffer renderer for looking at bodies: grey, lit from the camera. Not fast, not the project's renderer.

/// A picture in the making.
pub struct Raster {
    /// Size in pixels.
    pub width: usize,
    /// Size in pixels.
    pub height: usize,
    /// Depth of the nearest surface, row by row; infinite where there is none.
    pub depth: Vec<f32>,
    /// Brightness of the nearest surface, 0..=1.
    pub shade: Vec<f32>,
}

impl Raster {
    pub fn new(width: u32, height: u32) -> Self {
        let (width, height) = (width as usize, height as usize);
        Self { width, height, depth: vec![f32::INFINITY; width * height], shade: vec![0.0; width * height] }
    }

    /// Draws a triangle. Corners are pixels and depth; pixel centres are at half-integers. `shade` is 0..=1.
    pub fn triangle(&mut self, corners: [[f32; 3]; 3], shade: f32) {
        let [a, b, c] = corners;
        let area = cross(a, b, c);
        if !area.is_finite() || area == 0.0 {
            return;
        }
        let range = |axis: usize, size: usize| {
            let low = a[axis].min(b[axis]).min(c[axis]).floor().max(0.0) as usize;
            let high = a[axis].max(b[axis]).max(c[axis]).ceil().clamp(0.0, size as f32) as usize;
            low..high
        };
        let columns = range(0, self.width);
        for y in range(1, self.height) {
            for x in columns.clone() {
                let p = [x as f32 + 0.5, y as f32 + 0.5, 0.0];
                let weights = [cross(b, c, p) / area, cross(c, a, p) / area, cross(a, b, p) / area];
                if weights.iter().any(|w| *w < 0.0) {
                    continue;
                }
                let depth = weights[0] * a[2] + weights[1] * b[2] + weights[2] * c[2];
                let pixel = y * self.width + x;
                if depth < self.depth[pixel] {
                    self.depth[pixel] = depth;
                    self.shade[pixel] = shade;
                }
            }
        }
    }

    /// Draws a mesh: `pixels` are its vertices on the picture and their depth, `world` the same vertices in space, where
    /// the light comes from `toward`.
    pub fn mesh(&mut self, faces: &[[u32; 3]], pixels: &[[f32; 3]], world: &[[f32; 3]], toward: [f32; 3]) {
        for face in faces {
            let [a, b, c] = face.map(|v| world[v as usize]);
            let (u, v) = (sub(b, a), sub(c, a));
            let n = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
            let length = (n[0] * n[0] + n[1] * n[1] + n[2] * n[2]).sqrt().max(1e-12);
            let cosine = (n[0] * toward[0] + n[1] * toward[1] + n[2] * toward[2]) / length;
            self.triangle(face.map(|v| pixels[v as usize]), 0.25 + 0.75 * cosine.abs());
        }
    }
}

fn sub(a: [f32; 3], b: [f32; 3]) -> [f32; 3] {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

fn cross(a: [f32; 3], b: [f32; 3], p: [f32; 3]) -> f32 {
    (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])
}
