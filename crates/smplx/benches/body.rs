//! `smplx_forward/1`, `smplx_forward/81`: a synthetic body of the official size, every table dense.
//! `skin_points/40000`: a Gaussian avatar's points on the same body.

use anicrafter_smplx::synthetic::{self, Size};
use anicrafter_smplx::{
    AvatarPoints, Frame, PointBinding, PointFrame, PointSkin, PosedJoints, PosedPoints, Rotations,
    neutral_to_zero,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn forward(c: &mut Criterion) {
    let model = synthetic::body(Size::OFFICIAL, 1);
    let (betas, expression) = (synthetic::numbers(10, 1.0, 2), synthetic::numbers(10, 1.0, 3));
    let poses: Vec<_> = (0..81).map(|i| synthetic::pose(0.6, 10 + i)).collect();
    let frames: Vec<_> = poses
        .iter()
        .map(|pose| Frame {
            betas: &betas,
            expression: &expression,
            rotations: Rotations::AxisAngle(pose),
            translation: [0.0, 0.5, 2.0],
        })
        .collect();
    let mut group = c.benchmark_group("smplx_forward");
    for n in [1, 81] {
        let mut vertices = vec![[0.0; 3]; n * model.n_vertices()];
        let mut joints = vec![PosedJoints::default(); n];
        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(n.to_string(), |b| {
            b.iter(|| {
                model.forward_batch_into(&frames[..n], &mut vertices, &mut joints).expect("valid frames");
            });
        });
    }
    group.finish();
}

fn points(c: &mut Criterion) {
    const N: usize = 40_000;
    let model = synthetic::body(Size::OFFICIAL, 1);
    let numbers = |width: usize, scale, seed| synthetic::numbers(N * width, scale, seed);
    let query = numbers(3, 0.9, 20).as_chunks::<3>().0.to_vec();
    let offset = numbers(3, 0.01, 21).as_chunks::<3>().0.to_vec();
    let rotation = numbers(4, 1.0, 22).as_chunks::<4>().0.to_vec();
    let neutral_to_zero = neutral_to_zero(&model, &[]).expect("no betas are fine");
    let avatar = AvatarPoints {
        query: &query,
        offset: &offset,
        scaling: &offset,
        rotation: &rotation,
        neutral_to_zero: &neutral_to_zero,
        constrained: &[],
    };
    let binding = PointBinding::nearest_vertex(&query, model.v_template()).expect("finite points");
    let skin = PointSkin::new(&model, binding, &avatar, &[0.5; 10]).expect("a valid avatar");
    let pose = synthetic::pose(0.6, 10);
    let frame = PointFrame { rotations: Rotations::AxisAngle(&pose), expression: &[], translation: [0.0; 3] };
    let mut posed = PosedPoints::default();
    let mut group = c.benchmark_group("skin_points");
    group.throughput(Throughput::Elements(N as u64));
    group.bench_function(N.to_string(), |b| {
        b.iter(|| skin.pose_into(&model, &frame, &mut posed).expect("a valid frame"));
    });
    group.finish();
}

criterion_group!(benches, forward, points);
criterion_main!(benches);
