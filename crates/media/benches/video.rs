//! Guards the time that a frame of the real scene's size takes to decode, to encode, and to change colour space.

use anicrafter_media::color::{ColorSpace, Yuv420Buffer, yuv420_to_rgb};
use anicrafter_media::{FrameRate, ReadOptions, VideoReader, VideoWriter, WriteOptions};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use image::{Rgb, RgbImage};
use std::hint::black_box;
use std::path::Path;

const SIZE: (u32, u32) = (1360, 768);
const FRAMES: u32 = 12;

/// A landscape-like picture that pans, with some grain.
fn frame(index: u32) -> RgbImage {
    RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| {
        let (u, v) = ((x + 3 * index) as f32 / 40.0, y as f32 / 31.0);
        let base = 120.0 + 60.0 * (u.sin() * v.cos()) + 20.0 * (3.1 * u + 1.7 * v).sin();
        let grain = ((x * 73 + y * 151 + index * 37).wrapping_mul(2_654_435_761) >> 29) as f32;
        Rgb([base + grain, base * 0.9 + grain, 200.0 - base * 0.6].map(|c| c as u8))
    })
}

fn encode(frames: &[RgbImage], path: &Path) {
    let mut writer = VideoWriter::create(path, WriteOptions::new(FrameRate::whole(25))).expect("writable");
    for frame in frames {
        writer.push(frame).expect("encodable");
    }
    writer.finish().expect("finished");
}

fn video(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("bench.mp4");
    let frames: Vec<RgbImage> = (0..FRAMES).map(frame).collect();
    encode(&frames, &path);

    let mut group = c.benchmark_group("video/1360x768");
    group.sample_size(10).throughput(Throughput::Elements(FRAMES.into()));
    group.bench_function("encode", |b| b.iter(|| encode(&frames, &folder.path().join("again.mp4"))));
    group.bench_function("decode", |b| {
        let options = ReadOptions { ffmpeg: None, ..ReadOptions::default() };
        b.iter(|| VideoReader::open_with(&path, &options).expect("readable").filter(Result::is_ok).count());
    });
    group.throughput(Throughput::Elements(1));
    let mut picture = Yuv420Buffer::new(SIZE.0 as usize, SIZE.1 as usize);
    group.bench_function("rgb to yuv", |b| {
        b.iter(|| picture.fill_from_rgb(black_box(frames[0].as_raw()), ColorSpace::BT709));
    });
    let mut rgb = frames[0].clone();
    group.bench_function("yuv to rgb", |b| {
        b.iter(|| yuv420_to_rgb(black_box(&picture.view()), ColorSpace::BT709, &mut rgb));
    });
    group.finish();
}

criterion_group!(benches, video);
criterion_main!(benches);
