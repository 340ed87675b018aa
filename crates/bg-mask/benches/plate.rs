//! Guards the time that a background without its person takes a frame, at the size of the real scene: frames are looked at around
//! each, so that what is timed is a whole short shot of a camera that follows somebody who walks.

use anicrafter_bg_mask::{PlateBuilder, PlateOptions};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use image::{GrayImage, Luma, Rgb, RgbImage};
use std::hint::black_box;

const SIZE: (u32, u32) = (1360, 768);
const FRAMES: usize = 24;

/// A wall with something to see everywhere, from a camera that moves on at a speed and turns a little.
fn frame(t: usize, speed: f32) -> (RgbImage, GrayImage) {
    let (shift, turn) = (6.0 * speed * t as f32, 0.002 * speed * t as f32);
    let walked = 300.0 + 14.0 * t as f32;
    let inside = |x: u32, y: u32, grow: f32| {
        let (dx, dy) = ((x as f32 - walked) / (110.0 + grow), (y as f32 - 420.0) / (300.0 + grow));
        dx * dx + dy * dy < 1.0
    };
    let frame = RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| {
        if inside(x, y, 0.0) {
            return Rgb([200, 40, 50]);
        }
        let (u, v) = (x as f32 + shift - turn * y as f32, y as f32 + 0.3 * shift + turn * x as f32);
        let a = (u * 0.11).sin() * (v * 0.09).cos()
            + 0.5 * (u * 0.27 + v * 0.16).sin()
            + 0.4 * (u * 0.035 - v * 0.05).cos();
        let b = (u * 0.05 + 1.0).cos() * (v * 0.11).sin();
        Rgb([128.0 + 50.0 * a, 120.0 + 40.0 * b, 100.0 + 30.0 * a - 20.0 * b].map(|v: f32| v as u8))
    });
    let hole = GrayImage::from_fn(SIZE.0, SIZE.1, |x, y| Luma([if inside(x, y, 12.0) { 255 } else { 0 }]));
    (frame, hole)
}

/// Makes all backgrounds.
fn plates(frames: &[(RgbImage, GrayImage)]) -> f32 {
    let mut builder = PlateBuilder::new(PlateOptions::default()).expect("the defaults");
    let mut seen = 0.0;
    for (frame, hole) in frames {
        builder.push(black_box(frame).clone(), hole, false).expect("frames of one size");
        while let Some(plate) = builder.next_plate().expect("a plate") {
            seen += plate.seen;
        }
    }
    builder.close();
    while let Some(plate) = builder.next_plate().expect("a plate") {
        seen += plate.seen;
    }
    seen
}

fn plate(c: &mut Criterion) {
    let mut group = c.benchmark_group("plate/1360x768");
    group.throughput(Throughput::Elements(FRAMES as u64)).sample_size(10);
    for (name, speed) in [("a moving camera, 24 frames", 1.0), ("a camera that stands still, 24 frames", 0.0)]
    {
        let frames: Vec<_> = (0..FRAMES).map(|t| frame(t, speed)).collect();
        group.bench_function(name, |b| b.iter(|| plates(&frames)));
    }
    group.finish();
}

criterion_group!(benches, plate);
criterion_main!(benches);
