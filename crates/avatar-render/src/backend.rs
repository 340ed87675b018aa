//! One renderer over both back ends, chosen at run time.

use crate::{
    Camera, Error, Frame, Gaussians, Mesh, MeshFrame, MeshOptions, MeshRenderer, Result, SplatOptions,
    SplatRenderer,
};
use std::str::FromStr;

/// Which back end to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RendererChoice {
    /// A real GPU where there is one and this build has the feature `gpu`, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A real GPU, or an error.
    Gpu,
    /// A GPU or a software adapter, or an error: for tests.
    SoftwareGpu,
}

impl FromStr for RendererChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "gpu" => Ok(Self::Gpu),
            "software-gpu" => Ok(Self::SoftwareGpu),
            other => Err(Error::NoRenderer {
                wanted: "such",
                why: format!("{other:?} is none of auto, cpu, gpu, software-gpu"),
            }),
        }
    }
}

/// Renders Gaussians and meshes. Keep it from frame to frame.
#[derive(Debug)]
pub struct Renderer {
    backend: Backend,
}

#[derive(Debug)]
enum Backend {
    Cpu(Box<(SplatRenderer, MeshRenderer)>),
    #[cfg(feature = "gpu")]
    Gpu(Box<Gpu>),
}

#[cfg(feature = "gpu")]
#[derive(Debug)]
struct Gpu {
    context: crate::gpu::GpuContext,
    splat: crate::gpu::GpuSplat,
    mesh: crate::gpu::GpuMesh,
}

impl Renderer {
    /// Opens the back end.
    ///
    /// # Errors
    /// [`Error::NoRenderer`] when a GPU was asked for and there is none, or this build has no feature `gpu`.
    pub fn new(choice: RendererChoice) -> Result<Self> {
        match choice {
            RendererChoice::Cpu => Ok(Self::cpu()),
            RendererChoice::Gpu => gpu(false),
            RendererChoice::SoftwareGpu => gpu(true),
            RendererChoice::Auto => Ok(gpu(false).unwrap_or_else(|_| Self::cpu())),
        }
    }

    fn cpu() -> Self {
        Self { backend: Backend::Cpu(Box::default()) }
    }

    /// What renders: the instruction set, or the adapter.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.backend {
            Backend::Cpu(cpu) => format!("CPU ({:?})", cpu.0.level()),
            #[cfg(feature = "gpu")]
            Backend::Gpu(gpu) => gpu.context.name(),
        }
    }

    /// Splats Gaussians.
    ///
    /// # Errors
    /// When columns don't fit each other, or the GPU fails.
    pub fn splat(
        &mut self,
        gaussians: &Gaussians,
        camera: &Camera,
        options: &SplatOptions,
        frame: &mut Frame,
    ) -> Result<()> {
        match &mut self.backend {
            Backend::Cpu(cpu) => cpu.0.render(gaussians, camera, options, frame),
            #[cfg(feature = "gpu")]
            Backend::Gpu(gpu) => gpu.splat.render(gaussians, camera, options, frame),
        }
    }

    /// Draws a mesh.
    ///
    /// # Errors
    /// When a triangle names a vertex that doesn't exist, or the GPU fails.
    pub fn mesh(
        &mut self,
        mesh: &Mesh<'_>,
        camera: &Camera,
        options: &MeshOptions,
        frame: &mut MeshFrame,
    ) -> Result<()> {
        match &mut self.backend {
            Backend::Cpu(cpu) => cpu.1.render(mesh, camera, options, frame),
            #[cfg(feature = "gpu")]
            Backend::Gpu(gpu) => gpu.mesh.render(mesh, camera, options, frame),
        }
    }
}

#[cfg(feature = "gpu")]
fn gpu(software: bool) -> Result<Renderer> {
    use crate::gpu::{Adapters, GpuContext, GpuMesh, GpuSplat};
    let context = GpuContext::open(if software { Adapters::AlsoSoftware } else { Adapters::Hardware })?;
    let (splat, mesh) = (GpuSplat::new(&context)?, GpuMesh::new(&context)?);
    Ok(Renderer { backend: Backend::Gpu(Box::new(Gpu { context, splat, mesh })) })
}

#[cfg(not(feature = "gpu"))]
fn gpu(_software: bool) -> Result<Renderer> {
    Err(Error::NoRenderer { wanted: "gpu", why: "this build lacks the feature \"gpu\"".into() })
}
