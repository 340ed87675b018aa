//! Gaussian splatting on the GPU.

use super::context::{GpuContext, Stages};
use crate::constants::TILE;
use crate::{Camera, Error, Frame, Gaussians, PixelRect, Result, SplatOptions};
use bytemuck::{Pod, Zeroable};

/// The uniform of `splat.wgsl`, in its layout.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    view: [f32; 16],
    clip: [f32; 16],
    focal: [f32; 2],
    tan_half_fov: [f32; 2],
    size: [u32; 2],
    tiles: [u32; 2],
    background: [f32; 3],
    scale_modifier: f32,
    count: u32,
    capacity: u32,
    pad: [u32; 2],
}
const _: () = assert!(size_of::<Params>() == 192);

/// A Gaussian of `splat.wgsl`, in its layout.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Gaussian {
    mean: [f32; 3],
    opacity: f32,
    scale: [f32; 3],
    red: f32,
    rotation: [f32; 4],
    green: f32,
    blue: f32,
    pad: [f32; 2],
}
const _: () = assert!(size_of::<Gaussian>() == 64);

const SPLAT_BYTES: u64 = 48;
const PAIR_BYTES: u64 = 8;
/// Threads of a workgroup over Gaussians.
const THREADS: usize = 256;
/// Workgroups along one axis that every device allows.
const MAX_GROUPS: usize = 65_535;

/// Splats Gaussians on a GPU. Keep it from frame to frame: buffers are reused.
#[derive(Debug)]
pub struct GpuSplat {
    gpu: GpuContext,
    stages: Stages,
    upload: Vec<Gaussian>,
    gaussians: Option<wgpu::Buffer>,
    splats: Option<wgpu::Buffer>,
    cursors: Option<wgpu::Buffer>,
    starts: Option<wgpu::Buffer>,
    pairs: Option<wgpu::Buffer>,
    colors: Option<wgpu::Buffer>,
    depths: Option<wgpu::Buffer>,
    staging: Option<wgpu::Buffer>,
    capacity: u32,
}

impl std::fmt::Debug for Gaussian {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gaussian at {:?}", self.mean)
    }
}

impl GpuSplat {
    /// Compiles the shaders.
    ///
    /// # Errors
    /// [`Error::Gpu`] when the driver refuses them.
    pub fn new(gpu: &GpuContext) -> Result<Self> {
        let [(_, source), _] = super::shaders();
        let stages = gpu.checked(|| {
            let entries = ["project", "scan", "scatter", "sort_tile", "composite"];
            let read_only = [true, false, false, false, false, false, false];
            Ok(Stages::new(gpu, source, &entries, &read_only))
        })?;
        Ok(Self {
            gpu: gpu.clone(),
            stages,
            upload: Vec::new(),
            gaussians: None,
            splats: None,
            cursors: None,
            starts: None,
            pairs: None,
            colors: None,
            depths: None,
            staging: None,
            capacity: 1 << 16,
        })
    }

    /// Renders into `frame`, like [`SplatRenderer::render`](crate::SplatRenderer::render).
    ///
    /// # Errors
    /// When columns don't fit each other, or the device fails or is too small.
    pub fn render(
        &mut self,
        gaussians: &Gaussians,
        camera: &Camera,
        options: &SplatOptions,
        frame: &mut Frame,
    ) -> Result<()> {
        gaussians.check()?;
        if gaussians.len() > MAX_GROUPS * THREADS {
            return Err(Error::TooMany { what: "Gaussians on the GPU", count: gaussians.len() });
        }
        let gpu = self.gpu.clone();
        gpu.checked(|| {
            self.fill_upload(gaussians, camera);
            loop {
                let needed = self.draw(camera, options, frame)?;
                if needed <= self.capacity {
                    return Ok(());
                }
                // The lists were cut short: once more with room for all of them.
                self.capacity = needed.saturating_add(needed / 4);
            }
        })
    }

    fn fill_upload(&mut self, g: &Gaussians, camera: &Camera) {
        let eye = camera.position();
        self.upload.clear();
        self.upload.extend((0..g.len()).map(|i| {
            let [red, green, blue] = g.color_from(i, eye);
            Gaussian {
                mean: g.means[i],
                opacity: g.opacities[i],
                scale: g.scales[i],
                red,
                rotation: g.rotations[i],
                green,
                blue,
                pad: [0.0; 2],
            }
        }));
    }

    /// One attempt; returns how many pairs of Gaussian and tile there are.
    fn draw(&mut self, camera: &Camera, options: &SplatOptions, frame: &mut Frame) -> Result<u32> {
        let gpu = self.gpu.clone();
        let (width, height) = (camera.width(), camera.height());
        let pixels = (width * height) as u64;
        let tiles = [width.div_ceil(TILE) as u32, height.div_ceil(TILE) as u32];
        let n_tiles = u64::from(tiles[0]) * u64::from(tiles[1]);
        let count = self.upload.len() as u32;
        let room = u64::from(count.max(1));
        let gaussians = gpu.reserve(&mut self.gaussians, room * size_of::<Gaussian>() as u64)?;
        let splats = gpu.reserve(&mut self.splats, room * SPLAT_BYTES)?;
        let cursors = gpu.reserve(&mut self.cursors, n_tiles * 4)?;
        let starts = gpu.reserve(&mut self.starts, (n_tiles + 1) * 4)?;
        let pairs = gpu.reserve(&mut self.pairs, u64::from(self.capacity) * PAIR_BYTES)?;
        let colors = gpu.reserve(&mut self.colors, pixels * 16)?;
        let depths = gpu.reserve(&mut self.depths, pixels * 8)?;
        let params = Params {
            view: *camera.view_from_world(),
            clip: *camera.clip_from_world(),
            focal: camera.focal(),
            tan_half_fov: camera.tan_half_fov(),
            size: [width as u32, height as u32],
            tiles,
            background: options.background,
            scale_modifier: options.scale_modifier,
            count,
            capacity: self.capacity,
            pad: [0; 2],
        };
        gpu.queue.write_buffer(&gaussians, 0, bytemuck::cast_slice(&self.upload));
        let uniform = gpu.uniform(bytemuck::bytes_of(&params));
        let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.clear_buffer(&cursors, 0, None);
        let over_gaussians = [count.div_ceil(THREADS as u32), 1];
        let groups = [over_gaussians, [1, 1], over_gaussians, tiles, tiles];
        let buffers = [&uniform, &gaussians, &splats, &cursors, &starts, &pairs, &colors, &depths];
        self.stages.record(&gpu, &mut encoder, &buffers, &groups);
        let parts = [(&starts, (n_tiles + 1) * 4), (&colors, pixels * 16), (&depths, pixels * 8)];
        let read = gpu.read(encoder, &parts, &mut self.staging)?;
        let [starts, colors, depths] = &read[..] else {
            return Err(Error::Gpu { what: "the read-back is incomplete".into() });
        };
        let needed = starts.as_chunks::<4>().0.last().map_or(0, |b| u32::from_le_bytes(*b));
        if needed <= self.capacity {
            unpack(colors, depths, [width, height], options, frame);
        }
        Ok(needed)
    }
}

fn unpack(
    colors: &[u8],
    depths: &[u8],
    [width, height]: [usize; 2],
    options: &SplatOptions,
    frame: &mut Frame,
) {
    frame.prepare(width, height, options.background);
    let number = |bytes: &[u8], i: usize| {
        let word: [u8; 4] = std::array::from_fn(|k| bytes[4 * i + k]);
        f32::from_le_bytes(word)
    };
    let mut covered = PixelRect::default();
    frame.contributors.clear();
    for i in 0..width * height {
        for k in 0..3 {
            frame.color[3 * i + k] = number(colors, 4 * i + k);
        }
        frame.alpha[i] = number(colors, 4 * i + 3);
        frame.depth[i] = number(depths, 2 * i);
        if options.contributors {
            frame.contributors.push(number(depths, 2 * i + 1) as u32);
        }
        if frame.alpha[i] > 0.0 {
            let (x, y) = (i % width, i / width);
            covered = covered.union(PixelRect { x0: x, y0: y, x1: x + 1, y1: y + 1 });
        }
    }
    frame.covered = covered;
}
