//! The mesh renderer against geometry that can be worked out by hand.
#![allow(clippy::unwrap_used, reason = "tests")]

use anicrafter_avatar_render::synthetic;
use anicrafter_avatar_render::{Camera, Mesh, MeshFrame, MeshOptions, MeshRenderer};

fn render(vertices: &[[f32; 3]], faces: &[[u32; 3]], camera: &Camera, options: &MeshOptions) -> MeshFrame {
    let mut frame = MeshFrame::new();
    MeshRenderer::new().render(&Mesh { vertices, faces }, camera, options, &mut frame).unwrap();
    frame
}

fn with_normals() -> MeshOptions {
    MeshOptions { normals: true, ..MeshOptions::default() }
}

/// Where the ray through the centre of pixel (x, y) meets the plane `z = z0 + slope · x`.
fn slanted(x: usize, size: usize, focal: f32, z0: f32, slope: f32) -> f32 {
    let u = (x as f32 + 0.5 - size as f32 / 2.0) / focal;
    z0 / (1.0 - slope * u)
}

#[test]
fn a_slanted_plane_has_its_depth_everywhere() {
    let (size, focal, z0, slope) = (48, 40.0, 2.0, 0.5);
    let camera = synthetic::camera(size, size, focal).unwrap();
    let at = |x: f32, y: f32| [x, y, z0 + slope * x];
    let vertices = [at(-3.0, -3.0), at(3.0, -3.0), at(3.0, 3.0), at(-3.0, 3.0)];
    let frame = render(&vertices, &[[0, 2, 1], [0, 3, 2]], &camera, &with_normals());
    let length = (1.0_f32 + slope * slope).sqrt();
    for (i, &depth) in frame.depth().iter().enumerate() {
        let expected = slanted(i % size, size, focal, z0, slope);
        assert!((depth / expected - 1.0).abs() < 1e-3, "{i}: {depth} {expected}");
        let n = &frame.normals()[3 * i..3 * i + 3];
        assert!((n[0] - slope / length).abs() < 1e-3 && (n[2] + 1.0 / length).abs() < 1e-3, "{n:?}");
    }
    assert!(frame.silhouette().iter().all(|&s| s == 255));
}

#[test]
fn covered_pixels_are_never_black_and_others_always_are() {
    let camera = synthetic::camera(160, 240, 300.0).unwrap();
    let (vertices, faces) = synthetic::body(2.5);
    for antialias in [false, true] {
        for color in [[1.0; 3], [0.0; 3]] {
            let options = MeshOptions { color, antialias, ..MeshOptions::default() };
            let frame = render(&vertices, &faces, &camera, &options);
            let (pixels, _) = frame.rgb8().as_chunks::<3>();
            for (pixel, covered) in pixels.iter().zip(frame.silhouette()) {
                match covered {
                    0 => assert_eq!(*pixel, [0; 3]),
                    _ => assert!(pixel.iter().all(|&c| c > 1), "{pixel:?}"),
                }
            }
            assert!(frame.silhouette().iter().filter(|&&s| s == 255).count() > 5_000);
        }
    }
}

#[test]
fn neighbours_leave_no_gap_and_the_nearer_wins() {
    // A fan of thin triangles around odd points covers every pixel once more than needed.
    let camera = synthetic::camera(100, 100, 100.0).unwrap();
    let n = 97;
    let mut vertices = vec![[0.013, -0.007, 1.0]];
    vertices.extend((0..n).map(|i| {
        let a = std::f32::consts::TAU * i as f32 / n as f32;
        [3.0 * a.cos(), 3.0 * a.sin(), 1.0]
    }));
    let faces: Vec<[u32; 3]> = (0..n).map(|i| [0, 1 + i, 1 + (i + 1) % n]).collect();
    let frame = render(&vertices, &faces, &camera, &MeshOptions::default());
    assert!(frame.silhouette().iter().all(|&s| s == 255));
    // A patch in front of it.
    let first = vertices.len() as u32;
    vertices.extend([[-0.1, -0.1, 0.5], [0.1, -0.1, 0.5], [0.0, 0.1, 0.5]]);
    let mut with_patch = faces.clone();
    with_patch.insert(0, [first, first + 1, first + 2]);
    let frame = render(&vertices, &with_patch, &camera, &MeshOptions::default());
    assert!((frame.depth()[50 * 100 + 50] - 0.5).abs() < 1e-4);
    assert!((frame.depth()[5 * 100 + 5] - 1.0).abs() < 1e-4);
}

#[test]
fn what_crosses_the_camera_is_cut() {
    let camera = synthetic::camera(64, 64, 60.0).unwrap();
    // A floor from behind the camera to far in front of it.
    let vertices = [[-50.0, 1.0, -5.0], [50.0, 1.0, -5.0], [50.0, 1.0, 100.0], [-50.0, 1.0, 100.0]];
    let frame = render(&vertices, &[[0, 1, 2], [0, 2, 3]], &camera, &MeshOptions::default());
    for y in 0..64 {
        let v = (y as f32 + 0.5 - 32.0) / 60.0;
        let depth = frame.depth()[y * 64 + 32];
        if v < 0.005 {
            assert_eq!(depth, 0.0, "{y}");
        } else if v > 0.03 {
            assert!((depth * v - 1.0).abs() < 0.01, "{y} {depth}");
        }
    }
}

#[test]
fn hostile_meshes() {
    let camera = synthetic::camera(32, 32, 30.0).unwrap();
    let mut frame = MeshFrame::new();
    let vertices = [[0.0, 0.0, 1.0]; 2];
    let mesh = Mesh { vertices: &vertices, faces: &[[0, 1, 2]] };
    let error = MeshRenderer::new().render(&mesh, &camera, &with_normals(), &mut frame).unwrap_err();
    assert_eq!(error.to_string(), "triangle 0 names vertex 2 of 2");
    for poison in [f32::NAN, f32::INFINITY, f32::MAX, -f32::MAX, f32::MIN_POSITIVE] {
        for k in 0..3 {
            let mut vertices = [[-0.5, -0.5, 1.0], [0.5, -0.5, 1.0], [0.0, 0.5, 1.0]];
            vertices[1][k] = poison;
            let frame = render(&vertices, &[[0, 1, 2], [0, 0, 0]], &camera, &with_normals());
            assert!(frame.depth().iter().chain(frame.normals()).all(|x| x.is_finite()));
        }
    }
}

#[test]
fn frames_are_reused_without_traces_and_threads_do_not_matter() {
    let camera = synthetic::camera(90, 130, 150.0).unwrap();
    let (vertices, faces) = synthetic::body(2.5);
    let small: Vec<[f32; 3]> = vertices.iter().map(|v| [v[0], v[1], v[2] + 3.0]).collect();
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (mut renderer, mut frame) = (MeshRenderer::new(), MeshFrame::new());
            for (vertices, antialias) in [(&vertices, true), (&vertices, false), (&small, false)] {
                let options = MeshOptions { antialias, ..with_normals() };
                renderer.render(&Mesh { vertices, faces: &faces }, &camera, &options, &mut frame).unwrap();
            }
            frame
        })
    };
    let fresh = render(&small, &faces, &camera, &with_normals());
    assert_eq!(on(1), fresh);
    assert_eq!(on(4), fresh);
}
