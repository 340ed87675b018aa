//! One frame of a synthetic avatar the size of a real one: 40,000 Gaussians 2.5 m away, 1360×768, focal 1178 px. Guards
//! the CPU rasterizers against slowing down.

use avatar_render::{
    CpuIsa, Frame, Mesh, MeshFrame, MeshOptions, MeshRenderer, SplatOptions, SplatRenderer, synthetic,
};
use criterion::{Criterion, criterion_group, criterion_main};

fn raster(c: &mut Criterion) {
    let gaussians = synthetic::avatar(40_000, 2.5, 1);
    let camera = synthetic::camera(1360, 768, 1178.0).expect("a valid camera");
    let options = SplatOptions::default();
    for isa in CpuIsa::available() {
        let mut renderer = SplatRenderer::with_isa(isa).expect("an available instruction set");
        let mut frame = Frame::new();
        c.bench_function(&format!("splat/cpu/{isa:?}/40k_1360x768"), |b| {
            b.iter(|| renderer.render(&gaussians, &camera, &options, &mut frame));
        });
    }
    let (vertices, faces) = synthetic::body(2.5);
    let mesh = Mesh { vertices: &vertices, faces: &faces };
    for antialias in [false, true] {
        let options = MeshOptions { antialias, ..MeshOptions::default() };
        let (mut renderer, mut frame) = (MeshRenderer::new(), MeshFrame::new());
        let name = if antialias { "mesh/cpu/antialiased" } else { "mesh/cpu/plain" };
        c.bench_function(name, |b| b.iter(|| renderer.render(&mesh, &camera, &options, &mut frame)));
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = raster
}
criterion_main!(benches);
