//! The same scenes on the CPU and on the GPU: tight inside, a bounded number of flips where a decision is
//! discontinuous. Without any adapter the tests say so and pass; `ANICRAFTER_REQUIRE_GPU=1` makes that a failure.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]
#![cfg(feature = "gpu")]

use anicrafter_avatar_render::{
    Frame, Mesh, MeshFrame, MeshOptions, MeshRenderer, Renderer, RendererChoice, SplatOptions, SplatRenderer,
    gpu, synthetic,
};

/// Positions are f32 on the GPU where the CPU rounds once from f64, and exp and division may be off by a few units.
const INSIDE: f32 = 4e-3;
/// A Gaussian more or less at the 1/255 cut, at a tile's border or in depth order.
const FLIP: f32 = 0.6;
const FLIPS: f64 = 0.003;

fn renderer() -> Option<Renderer> {
    match Renderer::new(RendererChoice::SoftwareGpu) {
        Ok(renderer) => {
            println!("GPU back end: {}", renderer.name());
            Some(renderer)
        }
        Err(error) => {
            let required = std::env::var("ANICRAFTER_REQUIRE_GPU").is_ok_and(|v| v == "1");
            assert!(!required, "ANICRAFTER_REQUIRE_GPU is set: {error}");
            println!("SKIPPED: {error}");
            None
        }
    }
}

fn assert_twins(what: &str, a: &[f32], b: &[f32], scale: f32) {
    assert_eq!(a.len(), b.len());
    let errors: Vec<f32> = a.iter().zip(b).map(|(a, b)| (a - b).abs() / scale).collect();
    let worst = errors.iter().copied().fold(0.0, f32::max);
    let flips = errors.iter().filter(|e| **e > INSIDE).count();
    println!("{what}: worst {worst:.5}, {flips} of {} beyond {INSIDE}", errors.len());
    assert!(errors.iter().all(|e| *e <= FLIP), "{what}: {worst}");
    assert!(flips as f64 <= FLIPS * errors.len() as f64, "{what}: {flips} of {}", errors.len());
}

#[test]
fn splats() {
    let Some(mut gpu) = renderer() else { return };
    let (mut cpu, mut a, mut b) = (SplatRenderer::new(), Frame::new(), Frame::new());
    let options = SplatOptions { background: [0.1, 0.2, 0.3], contributors: true, ..SplatOptions::default() };
    for (count, w, h, focal) in
        [(3_000, 160, 240, 250.0), (20_000, 333, 201, 300.0), (0, 20, 20, 9.0), (500, 31, 7, 9.0)]
    {
        let camera = synthetic::camera(w, h, focal).unwrap();
        let gaussians = synthetic::avatar(count, 2.5, 3);
        cpu.render(&gaussians, &camera, &options, &mut a).unwrap();
        gpu.splat(&gaussians, &camera, &options, &mut b).unwrap();
        assert_twins("color", a.color(), b.color(), 1.0);
        assert_twins("alpha", a.alpha(), b.alpha(), 1.0);
        assert_twins("depth", a.depth(), b.depth(), 2.5);
        let differ = a.contributors().iter().zip(b.contributors()).filter(|(a, b)| a != b).count();
        assert!(differ * 20 <= w * h, "{differ} counts of {}", w * h);
    }
}

#[test]
fn poison_stays_out_of_the_picture() {
    let Some(mut gpu) = renderer() else { return };
    let camera = synthetic::camera(40, 40, 40.0).unwrap();
    let mut gaussians = synthetic::avatar(300, 2.5, 3);
    for (i, x) in
        [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX].into_iter().cycle().take(60).enumerate()
    {
        match i % 4 {
            0 => gaussians.means[i][i % 3] = x,
            1 => gaussians.scales[i][i % 3] = x,
            2 => gaussians.rotations[i][i % 4] = x,
            _ => gaussians.opacities[i] = -x.abs(),
        }
    }
    let mut frame = Frame::new();
    gpu.splat(&gaussians, &camera, &SplatOptions::default(), &mut frame).unwrap();
    assert!(frame.color().iter().chain(frame.depth()).all(|x| x.is_finite()));
}

#[test]
fn meshes() {
    let Some(mut gpu) = renderer() else { return };
    let (mut cpu, mut a, mut b) = (MeshRenderer::new(), MeshFrame::new(), MeshFrame::new());
    let camera = synthetic::camera(150, 230, 250.0).unwrap();
    let (mut vertices, mut faces) = synthetic::body(2.5);
    // A wall behind: larger than 16 bits of fixed point can say, and more than one thread's work.
    let first = vertices.len() as u32;
    vertices.extend([[-9.0, -9.0, 4.0], [9.0, -9.0, 4.0], [0.0, 12.0, 4.5]]);
    faces.push([first, first + 1, first + 2]);
    for antialias in [false, true] {
        let options = MeshOptions { antialias, normals: true, ..MeshOptions::default() };
        let mesh = Mesh { vertices: &vertices, faces: &faces };
        cpu.render(&mesh, &camera, &options, &mut a).unwrap();
        gpu.mesh(&mesh, &camera, &options, &mut b).unwrap();
        let (ours, theirs) = (a.silhouette(), b.silhouette());
        let differ: Vec<usize> = (0..ours.len()).filter(|&i| ours[i] != theirs[i]).collect();
        assert!(differ.is_empty(), "antialias {antialias}: silhouettes differ at pixels {differ:?}");
        assert_twins("depth", a.depth(), b.depth(), 3.0);
        let level = |f: &MeshFrame| f.rgb8().iter().map(|&x| f32::from(x)).collect::<Vec<_>>();
        assert_twins("shading", &level(&a), &level(&b), 255.0);
        let pairs = a.normals().iter().zip(b.normals());
        let differ = pairs.filter(|(a, b)| (*a - *b).abs() > 0.02).count();
        assert!(differ * 200 <= a.normals().len(), "{differ} normals");
    }
}

#[test]
fn every_shader_is_valid() {
    for (name, source) in gpu::shaders() {
        let module = wgpu::naga::front::wgsl::parse_str(&source)
            .unwrap_or_else(|e| panic!("{name}: {}", e.emit_to_string(&source)));
        let flags = wgpu::naga::valid::ValidationFlags::all();
        let capabilities = wgpu::naga::valid::Capabilities::default();
        let checked = wgpu::naga::valid::Validator::new(flags, capabilities).validate(&module);
        assert!(checked.is_ok(), "{name}: {checked:?}");
        assert!(!module.entry_points.is_empty(), "{name}");
    }
}
