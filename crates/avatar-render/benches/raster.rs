//! One frame of a synthetic avatar the size of a real one: 40,000 Gaussians 2.5 m away, 1360×768, focal 1178 px. Guards
//! the rasterizers against slowing down; with `--features gpu` the wgpu ones too.

use anicrafter_avatar_render::{
    Frame, Level, Mesh, MeshFrame, MeshOptions, MeshRenderer, SplatOptions, SplatRenderer, synthetic,
};
use criterion::{Criterion, criterion_group, criterion_main};

fn raster(c: &mut Criterion) {
    let gaussians = synthetic::avatar(40_000, 2.5, 1);
    let camera = synthetic::camera(1360, 768, 1178.0).expect("a valid camera");
    let options = SplatOptions::default();
    for level in Level::supported() {
        let mut renderer = SplatRenderer::with_level(level).expect("an available instruction set");
        let mut frame = Frame::new();
        c.bench_function(&format!("splat/cpu/{level:?}/40k_1360x768"), |b| {
            b.iter(|| renderer.render(&gaussians, &camera, &options, &mut frame));
        });
    }
    let (vertices, faces) = synthetic::body(2.5);
    let mesh = Mesh { vertices: &vertices, faces: &faces };
    #[cfg(feature = "gpu")]
    wgpu(c, &gaussians, &mesh, &camera);
    for antialias in [false, true] {
        let options = MeshOptions { antialias, ..MeshOptions::default() };
        let (mut renderer, mut frame) = (MeshRenderer::new(), MeshFrame::new());
        let name = if antialias { "mesh/cpu/antialiased" } else { "mesh/cpu/plain" };
        c.bench_function(name, |b| b.iter(|| renderer.render(&mesh, &camera, &options, &mut frame)));
    }
}

/// The same frame on a GPU, or on a software adapter where there is none; readback included.
#[cfg(feature = "gpu")]
#[expect(clippy::print_stderr, reason = "says on what it ran, or why it didn't")]
fn wgpu(
    c: &mut Criterion,
    gaussians: &anicrafter_avatar_render::Gaussians,
    mesh: &Mesh<'_>,
    camera: &anicrafter_avatar_render::Camera,
) {
    let mut renderer = match anicrafter_avatar_render::Renderer::new(
        anicrafter_avatar_render::RendererChoice::SoftwareGpu,
    ) {
        Ok(renderer) => renderer,
        Err(error) => {
            eprintln!("no wgpu benches: {error}");
            return;
        }
    };
    eprintln!("wgpu on {}", renderer.name());
    let (mut frame, mut picture) = (Frame::new(), MeshFrame::new());
    let options = SplatOptions::default();
    c.bench_function("splat/wgpu/40k_1360x768", |b| {
        b.iter(|| renderer.splat(gaussians, camera, &options, &mut frame));
    });
    let options = MeshOptions::default();
    c.bench_function("mesh/wgpu/plain", |b| b.iter(|| renderer.mesh(mesh, camera, &options, &mut picture)));
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = raster
}
criterion_main!(benches);
