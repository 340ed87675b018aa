//! Guards the time that one frame spends between the renderer and the encoder, at the size of the real scene.

use anicrafter_bg_mask::resample::Filter;
use anicrafter_bg_mask::{
    Layout, LockOptions, Render, composite_layers, grow, lock_background, over, person_mask, reference_blend,
    resize,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use image::{GrayImage, Luma, Rgb, RgbImage};
use std::hint::black_box;

const SIZE: (u32, u32) = (1360, 768);

fn plate() -> RgbImage {
    RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| Rgb([(x / 6) as u8, (y / 4) as u8, ((x ^ y) & 255) as u8]))
}

/// A standing ellipse of about a person's area.
fn inside(x: u32, y: u32) -> f32 {
    let (dx, dy) = ((x as f32 - 680.0) / 130.0, (y as f32 - 400.0) / 330.0);
    ((1.0 - dx * dx - dy * dy) * 20.0).clamp(0.0, 1.0)
}

fn composite(c: &mut Criterion) {
    let n = (SIZE.0 * SIZE.1) as usize;
    let alpha: Vec<f32> = (0..n as u32).map(|i| inside(i % SIZE.0, i / SIZE.0)).collect();
    let color: Vec<f32> = alpha.iter().flat_map(|&a| [0.7 * a, 0.5 * a, 0.3 * a]).collect();
    let depth = vec![3.0; n];
    let render = Render::new(SIZE, &color, Layout::Interleaved, &alpha).expect("sizes agree");
    let deep = render.with_depth(&depth).expect("sizes agree");
    let plate = plate();
    let person = GrayImage::from_fn(SIZE.0, SIZE.1, |x, y| Luma([(inside(x, y) * 255.0) as u8]));
    let mesh = RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| Rgb([(inside(x, y) * 200.0) as u8; 3]));
    let generated = resize(&plate, 680, 384, Filter::Bilinear).expect("not empty");
    let generated = resize(&generated, SIZE.0, SIZE.1, Filter::Bilinear).expect("not empty");
    let lock = LockOptions::default();

    let mut group = c.benchmark_group("composite/1360x768");
    group.throughput(Throughput::Elements(n as u64)).sample_size(20);
    group.bench_function("over", |b| b.iter(|| over(black_box(&render), &plate)));
    group.bench_function("reference blend", |b| b.iter(|| reference_blend(black_box(&render), &plate)));
    group.bench_function("two layers by depth", |b| {
        b.iter(|| composite_layers(&plate, black_box(&[deep, deep]), &[]));
    });
    group.bench_function("person mask", |b| b.iter(|| person_mask(black_box(&mesh))));
    group.bench_function("grow a mask by 14 + 18 px", |b| b.iter(|| grow(black_box(&person), 14.0, 18.0)));
    group.bench_function("background lock", |b| {
        b.iter(|| lock_background(black_box(&generated), &plate, &person, &lock));
    });
    group.bench_function("lanczos to 1280x720", |b| {
        b.iter(|| resize(black_box(&plate), 1280, 720, Filter::Lanczos));
    });
    group.finish();
}

criterion_group!(benches, composite);
criterion_main!(benches);
