//! The fast path against the plain statement of the same semantics, on random and on awkward scenes.
#![allow(clippy::unwrap_used, reason = "tests")]

use anicrafter_avatar_render::synthetic::{self, Random};
use anicrafter_avatar_render::{Camera, Colors, Frame, Gaussians, Level, SplatOptions, SplatRenderer, splat};

/// Away from decisions that rounding may flip: a few roundings of sums of up to a hundred terms.
const INSIDE: f32 = 2e-4;
/// A Gaussian more or less at the 1/255 or the 1e-4 cut.
const FLIP: f32 = 0.012;
/// Share of values that may flip. Needles half a millimetre thick, whose conics magnify the last bit of a product, need most of
/// it: with and without fused multiply-add they differ in 0.15 %.
const FLIPS: f64 = 0.002;

fn cloud(count: usize, seed: u64, sizes: [f32; 2]) -> Gaussians {
    let mut r = Random::new(seed);
    let mut g = Gaussians::default();
    let mut rgb = Vec::new();
    for _ in 0..count {
        g.means.push([r.within(-0.6, 0.6), r.within(-0.6, 0.6), r.within(0.1, 2.0)]);
        g.scales.push([0, 1, 2].map(|_| r.within(sizes[0], sizes[1])));
        g.rotations.push([0, 1, 2, 3].map(|_| r.within(-1.0, 1.0)));
        g.opacities.push(r.within(-0.05, 1.1));
        rgb.push([0, 1, 2].map(|_| r.within(0.0, 1.0)));
    }
    g.colors = Colors::Rgb(rgb);
    g
}

fn counted() -> SplatOptions {
    SplatOptions { background: [0.2, 0.4, 0.1], contributors: true, ..SplatOptions::default() }
}

/// How far a scene may be from the plain statement.
#[derive(Clone, Copy)]
struct Tolerance {
    inside: f32,
    share: f64,
}

const USUAL: Tolerance = Tolerance { inside: INSIDE, share: FLIPS };
/// Needles of a thousand to one: the terms of their fall-off are tens of thousands and cancel, so that f32 leaves three
/// digits of the opacity, whichever way the sum is written.
const ILL_CONDITIONED: Tolerance = Tolerance { inside: 5e-3, share: 0.01 };

fn assert_close(what: &str, actual: &Frame, expected: &Frame, tolerance: Tolerance) {
    let Tolerance { inside, share } = tolerance;
    assert_eq!((actual.width(), actual.height()), (expected.width(), expected.height()));
    let planes = [
        (actual.color(), expected.color()),
        (actual.alpha(), expected.alpha()),
        (actual.depth(), expected.depth()),
    ];
    for (a, e) in planes {
        let errors: Vec<f32> = a.iter().zip(e).map(|(a, e)| (a - e).abs()).collect();
        let flips = errors.iter().filter(|e| **e > inside).count();
        let worst = errors.iter().copied().fold(0.0, f32::max);
        assert!(errors.iter().all(|e| *e <= FLIP), "{what}: {worst}");
        assert!(flips as f64 <= share * errors.len() as f64 + 1.0, "{what}: {flips} of {}", errors.len());
    }
    if !actual.contributors().is_empty() {
        let pairs = actual.contributors().iter().zip(expected.contributors());
        let differ = pairs.filter(|(a, e)| a != e).count();
        assert!(differ as f64 <= share * actual.alpha().len() as f64 + 1.0, "{what}: {differ} counts");
    }
}

fn compare(what: &str, g: &Gaussians, camera: &Camera, options: &SplatOptions) {
    compare_within(what, g, camera, options, USUAL);
}

fn compare_within(what: &str, g: &Gaussians, camera: &Camera, options: &SplatOptions, tolerance: Tolerance) {
    let expected = splat::reference::render(g, camera, options).unwrap();
    for level in Level::supported() {
        let mut renderer = SplatRenderer::with_level(level).unwrap();
        let mut frame = Frame::new();
        renderer.render(g, camera, options, &mut frame).unwrap();
        assert_close(&format!("{what}, {level:?}"), &frame, &expected, tolerance);
    }
}

#[test]
fn random_clouds() {
    for (seed, count, sizes) in
        [(1, 800, [0.002, 0.02]), (2, 300, [0.01, 0.15]), (3, 200, [0.0001, 0.4]), (4, 40, [0.2, 3.0])]
    {
        for (w, h) in [(96, 64), (70, 101), (17, 15)] {
            let camera = synthetic::camera(w, h, 60.0).unwrap();
            compare(&format!("seed {seed}, {w}x{h}"), &cloud(count, seed, sizes), &camera, &counted());
        }
    }
}

#[test]
fn a_figure() {
    let camera = synthetic::camera(160, 240, 300.0).unwrap();
    compare("figure", &synthetic::avatar(6_000, 2.5, 7), &camera, &SplatOptions::default());
}

#[test]
fn needles_walls_and_fog() {
    let camera = synthetic::camera(80, 80, 70.0).unwrap();
    // Needles seen from the side, a wall that fills the view, faint fog below the cut, full opacity.
    for (what, scale, opacity) in [
        ("needles", [0.8, 0.0005, 0.0005], 0.9),
        ("wall", [50.0, 50.0, 0.001], 0.7),
        ("fog", [0.1, 0.1, 0.1], 0.003),
        ("solid", [0.05, 0.05, 0.05], 1.0),
        ("points", [0.0, 0.0, 0.0], 0.8),
    ] {
        let mut g = cloud(60, 11, [0.01, 0.02]);
        g.scales.fill(scale);
        g.opacities.fill(opacity);
        let tolerance = if what == "needles" { ILL_CONDITIONED } else { USUAL };
        compare_within(what, &g, &camera, &counted(), tolerance);
    }
}

#[test]
fn numbers_that_are_not_finite_are_left_out() {
    let camera = synthetic::camera(64, 48, 50.0).unwrap();
    let clean = cloud(50, 5, [0.02, 0.1]);
    let mut dirty = clean.clone();
    let Colors::Rgb(colors) = &mut dirty.colors else { panic!("a cloud has colours") };
    for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -f32::MAX] {
        for field in 0..5 {
            dirty.means.push([0.0, 0.0, 1.0]);
            dirty.scales.push([0.1; 3]);
            dirty.rotations.push([1.0, 0.0, 0.0, 0.0]);
            dirty.opacities.push(0.5);
            colors.push([0.5; 3]);
            match field {
                0 => *dirty.means.last_mut().unwrap() = [poison, 0.0, 1.0],
                1 => *dirty.scales.last_mut().unwrap() = [0.1, poison, 0.1],
                2 => *dirty.rotations.last_mut().unwrap() = [poison, 0.0, 0.0, 0.0],
                3 if poison != f32::MAX => *dirty.opacities.last_mut().unwrap() = poison,
                _ => *colors.last_mut().unwrap() = [if poison.is_finite() { f32::NAN } else { poison }; 3],
            }
        }
    }
    compare("poisoned", &dirty, &camera, &counted());
    let mut renderer = SplatRenderer::new();
    let (mut a, mut b) = (Frame::new(), Frame::new());
    renderer.render(&clean, &camera, &counted(), &mut a).unwrap();
    renderer.render(&dirty, &camera, &counted(), &mut b).unwrap();
    // f32::MAX as a mean or a scale is a number; it only overflows on the way. Nothing may reach the picture as NaN.
    assert!(b.color().iter().chain(b.depth()).all(|x| x.is_finite()));
    let unseen = dirty.means.iter().zip(renderer.projected()).skip(clean.len());
    assert!(unseen.filter(|(m, _)| !m[0].is_finite()).all(|(_, p)| p.radius == 0));
}

#[test]
fn the_picture_depends_on_the_scene_alone() {
    let camera = synthetic::camera(120, 90, 90.0).unwrap();
    let (first, second) = (cloud(400, 21, [0.01, 0.1]), cloud(30, 22, [0.01, 0.05]));
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (mut renderer, mut frame) = (SplatRenderer::new(), Frame::new());
            // What was in the frame before must not show.
            renderer.render(&first, &camera, &counted(), &mut frame).unwrap();
            let plain = SplatOptions { background: [0.0; 3], ..counted() };
            renderer.render(&second, &camera, &plain, &mut frame).unwrap();
            renderer.render(&second, &camera, &counted(), &mut frame).unwrap();
            frame
        })
    };
    let mut fresh = Frame::new();
    SplatRenderer::new().render(&second, &camera, &counted(), &mut fresh).unwrap();
    assert_eq!(on(1), fresh);
    assert_eq!(on(3), fresh);
    let rect = fresh.covered();
    for (i, &alpha) in fresh.alpha().iter().enumerate() {
        let (x, y) = (i % 120, i / 120);
        let inside = (rect.x0..rect.x1).contains(&x) && (rect.y0..rect.y1).contains(&y);
        assert!(inside || alpha == 0.0, "{x} {y}");
    }
}

#[test]
fn nothing_and_too_little() {
    let camera = synthetic::camera(1, 1, 1.0).unwrap();
    let mut frame = Frame::new();
    SplatRenderer::new().render(&Gaussians::default(), &camera, &counted(), &mut frame).unwrap();
    assert_eq!((frame.color(), frame.alpha()), (&[0.2, 0.4, 0.1][..], &[0.0][..]));
    assert!(frame.covered().is_empty());
    assert!(synthetic::camera(0, 10, 1.0).is_err());
    assert!(synthetic::camera(10, 1 << 20, 1.0).is_err());
    assert!(synthetic::camera(10, 10, 0.0).is_err());
    assert!(synthetic::camera(10, 10, f32::NAN).is_err());
    let mut short = cloud(3, 1, [0.1, 0.2]);
    short.opacities.pop();
    let error = SplatRenderer::new().render(&short, &camera, &counted(), &mut frame).unwrap_err();
    assert_eq!(error.to_string(), "opacities: expected 3 values, got 2");
}

#[test]
fn the_comparison_notices_a_shift() {
    let camera = synthetic::camera(64, 64, 60.0).unwrap();
    let g = cloud(100, 9, [0.02, 0.1]);
    let mut moved = g.clone();
    moved.means.iter_mut().for_each(|m| m[0] += 0.01);
    let expected = splat::reference::render(&g, &camera, &counted()).unwrap();
    let mut frame = Frame::new();
    SplatRenderer::new().render(&moved, &camera, &counted(), &mut frame).unwrap();
    let compared = std::panic::catch_unwind(|| assert_close("moved", &frame, &expected, USUAL));
    assert!(compared.is_err());
}
