//! Meshes on the GPU. Normals, clipping and projection are the CPU renderer's own; samples and pixels are the GPU's.

use super::context::{GpuContext, Stages};
use crate::mesh::{ScreenTriangle, Setup};
use crate::{Camera, Error, Mesh, MeshFrame, MeshOptions, PixelRect, Result};
use bytemuck::{Pod, Zeroable};

/// The uniform of `mesh.wgsl`, in its layout.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    color: [f32; 3],
    ambient: f32,
    light: [f32; 3],
    diffuse: f32,
    size: [u32; 2],
    samples: u32,
    pieces: u32,
}
const _: () = assert!(size_of::<Params>() == 48);

/// A corner of a triangle of `mesh.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct Surface {
    normal: [f32; 3],
    inverse_z: f32,
}

/// A triangle of `mesh.wgsl`, in its layout.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct Triangle {
    at: [[i32; 2]; 3],
    pad: [i32; 2],
    corners: [Surface; 3],
}
const _: () = assert!(size_of::<Triangle>() == 80);

impl From<&ScreenTriangle> for Triangle {
    fn from(t: &ScreenTriangle) -> Self {
        Self {
            // Positions are clamped far inside of 32 bits.
            at: t.at.map(|p| p.map(|x| x as i32)),
            pad: [0; 2],
            corners: [0, 1, 2].map(|i| Surface { normal: t.normal[i], inverse_z: t.inverse_z[i] }),
        }
    }
}

/// A rectangle of samples that a triangle reaches, in the layout of `mesh.wgsl`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct Piece {
    triangle: u32,
    pad: u32,
    low: [u32; 2],
    high: [u32; 2],
}
const _: () = assert!(size_of::<Piece>() == 24);

/// Longest side of a piece in samples. A body's triangles are smaller; a wall becomes many threads' work. Software
/// drivers also end a shader's loops after some 65,000 rounds.
const PIECE: usize = 64;

/// Cuts what a triangle reaches of an image into pieces.
fn cut(triangle: u32, t: &ScreenTriangle, size: [usize; 2], pieces: &mut Vec<Piece>) {
    let [columns, rows] = t.reach();
    let within = |[low, high]: [i64; 2], n: usize| [low, high].map(|v| v.clamp(0, n as i64) as usize);
    let ([x0, x1], [y0, y1]) = (within(columns, size[0]), within(rows, size[1]));
    for y in (y0..y1).step_by(PIECE) {
        for x in (x0..x1).step_by(PIECE) {
            let high = [x1.min(x + PIECE) as u32, y1.min(y + PIECE) as u32];
            pieces.push(Piece { triangle, pad: 0, low: [x as u32, y as u32], high });
        }
    }
}

const THREADS: usize = 64;
const MAX_GROUPS: usize = 65_535;
/// Side of a workgroup of pixels.
const SIDE: u32 = 8;

/// Draws meshes on a GPU. Keep it from frame to frame: buffers are reused.
#[derive(Debug)]
pub struct GpuMesh {
    gpu: GpuContext,
    stages: Stages,
    setup: Setup,
    upload: Vec<Triangle>,
    pieces: Vec<Piece>,
    uploaded_pieces: Option<wgpu::Buffer>,
    triangles: Option<wgpu::Buffer>,
    nearest: Option<wgpu::Buffer>,
    winner: Option<wgpu::Buffer>,
    colors: Option<wgpu::Buffer>,
    surfaces: Option<wgpu::Buffer>,
    staging: Option<wgpu::Buffer>,
}

impl GpuMesh {
    /// Compiles the shaders.
    ///
    /// # Errors
    /// [`Error::Gpu`] when the driver refuses them.
    pub fn new(gpu: &GpuContext) -> Result<Self> {
        let [_, (_, source)] = super::shaders();
        let stages = gpu.checked(|| {
            let entries = ["find_depth", "find_winner", "shade"];
            Ok(Stages::new(gpu, source, &entries, &[true, false, false, false, false, true]))
        })?;
        Ok(Self {
            gpu: gpu.clone(),
            stages,
            setup: Setup::default(),
            upload: Vec::new(),
            pieces: Vec::new(),
            uploaded_pieces: None,
            triangles: None,
            nearest: None,
            winner: None,
            colors: None,
            surfaces: None,
            staging: None,
        })
    }

    /// Renders into `frame`, like [`MeshRenderer::render`](crate::MeshRenderer::render).
    ///
    /// # Errors
    /// When a triangle names a vertex that doesn't exist, or the device fails or is too small.
    pub fn render(
        &mut self,
        mesh: &Mesh<'_>,
        camera: &Camera,
        options: &MeshOptions,
        frame: &mut MeshFrame,
    ) -> Result<()> {
        mesh.check()?;
        self.setup.run(mesh, camera, options.samples());
        self.upload.clear();
        self.upload.extend(self.setup.triangles.iter().map(Triangle::from));
        self.pieces.clear();
        let size = [camera.width(), camera.height()].map(|n| n * options.samples());
        for (i, triangle) in (0..).zip(&self.setup.triangles) {
            cut(i, triangle, size, &mut self.pieces);
            if self.pieces.len() > MAX_GROUPS * THREADS {
                return Err(Error::TooMany {
                    what: "pieces of triangles on the GPU",
                    count: self.pieces.len(),
                });
            }
        }
        let gpu = self.gpu.clone();
        gpu.checked(|| self.draw(camera, options, frame))
    }

    fn draw(&mut self, camera: &Camera, options: &MeshOptions, frame: &mut MeshFrame) -> Result<()> {
        let gpu = self.gpu.clone();
        let (width, height) = (camera.width(), camera.height());
        let pixels = (width * height) as u64;
        let samples = options.samples();
        let all_samples = pixels * (samples * samples) as u64;
        let room = self.upload.len().max(1) * size_of::<Triangle>();
        let triangles = gpu.reserve(&mut self.triangles, room as u64)?;
        let room = self.pieces.len().max(1) * size_of::<Piece>();
        let pieces = gpu.reserve(&mut self.uploaded_pieces, room as u64)?;
        let nearest = gpu.reserve(&mut self.nearest, all_samples * 4)?;
        let winner = gpu.reserve(&mut self.winner, all_samples * 4)?;
        let colors = gpu.reserve(&mut self.colors, pixels * 4)?;
        let surfaces = gpu.reserve(&mut self.surfaces, pixels * 16)?;
        let l = options.light;
        let length = (l[0] * l[0] + l[1] * l[1] + l[2] * l[2]).sqrt().max(f32::MIN_POSITIVE);
        let params = Params {
            color: options.color,
            ambient: options.ambient,
            light: l.map(|x| x / length),
            diffuse: options.diffuse,
            size: [width as u32, height as u32],
            samples: samples as u32,
            pieces: self.pieces.len() as u32,
        };
        gpu.queue.write_buffer(&triangles, 0, bytemuck::cast_slice(&self.upload));
        gpu.queue.write_buffer(&pieces, 0, bytemuck::cast_slice(&self.pieces));
        let uniform = gpu.uniform(bytemuck::bytes_of(&params));
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.clear_buffer(&nearest, 0, None);
        encoder.clear_buffer(&winner, 0, None);
        let over_pieces = [params.pieces.div_ceil(THREADS as u32), 1];
        let groups = [over_pieces, over_pieces, params.size.map(|n| n.div_ceil(SIDE))];
        let buffers = [&uniform, &triangles, &nearest, &winner, &colors, &surfaces, &pieces];
        self.stages.record(&gpu, &mut encoder, &buffers, &groups);
        let parts = [(&colors, pixels * 4), (&surfaces, pixels * 16)];
        let read = gpu.read(encoder, &parts, &mut self.staging)?;
        let [colors, surfaces] = &read[..] else {
            return Err(Error::Gpu { what: "the read-back is incomplete".into() });
        };
        unpack(colors, surfaces, [width, height], options, frame);
        Ok(())
    }
}

fn unpack(
    colors: &[u8],
    surfaces: &[u8],
    [width, height]: [usize; 2],
    options: &MeshOptions,
    frame: &mut MeshFrame,
) {
    frame.prepare(width, height, options.normals);
    let mut covered = PixelRect::default();
    let pixels = colors.as_chunks::<4>().0.iter().zip(surfaces.as_chunks::<16>().0);
    for (i, (color, surface)) in pixels.enumerate().take(width * height) {
        let number = |k: usize| {
            f32::from_le_bytes([surface[4 * k], surface[4 * k + 1], surface[4 * k + 2], surface[4 * k + 3]])
        };
        frame.rgb8[3 * i..3 * i + 3].copy_from_slice(&color[..3]);
        frame.depth[i] = number(3);
        if options.normals {
            for k in 0..3 {
                frame.normals[3 * i + k] = number(k);
            }
        }
        if frame.depth[i] > 0.0 {
            let (x, y) = (i % width, i / width);
            covered = covered.union(PixelRect { x0: x, y0: y, x1: x + 1, y1: y + 1 });
        }
    }
    frame.covered = covered;
}
