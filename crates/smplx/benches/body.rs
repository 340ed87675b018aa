//! `smplx_forward/1`, `smplx_forward/81`: a synthetic body of the official size, every table dense.
//! `skin_points/40000`: a Gaussian avatar's points on the same body.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use smplx::synthetic::{self, Size};
use smplx::{Frame, PosedJoints, Rotations};

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
                model.forward_batch_into(&frames[..n], &mut vertices, &mut joints).expect("valid frames")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, forward);
criterion_main!(benches);
