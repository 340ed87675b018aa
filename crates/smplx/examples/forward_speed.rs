//! Times the forward pass of a model file and prints the peak memory, as `benches/against_pytorch/smplx_forward.py` does for the
//! Python package: `cargo run --release -p anicrafter-smplx --example forward_speed -- MODEL.npz`.
#![expect(clippy::print_stdout, reason = "a command-line example")]

use anicrafter_smplx::{BodyModel, Frame, PosedJoints, Rotations, synthetic};
use std::time::{Duration, Instant};

/// The process's peak memory in MiB, where the system tells.
fn peak_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok().map(|kib: f64| kib / 1024.0)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("which model? An official SMPL-X .npz")?;
    let before = peak_mib();
    let model = BodyModel::open(&path)?;
    let n_betas = model.n_betas().min(10);
    let n_expressions = model.n_expressions().min(10);
    // As in a clip: one person, whose face and pose change.
    let betas = synthetic::numbers(n_betas, 1.0, 2);
    let expressions: Vec<_> = (0..81).map(|i| synthetic::numbers(n_expressions, 1.0, 100 + i)).collect();
    let poses: Vec<_> = (0..81).map(|i| synthetic::pose(0.6, 10 + i)).collect();
    let frames: Vec<_> = poses
        .iter()
        .zip(&expressions)
        .map(|(pose, expression)| Frame {
            betas: &betas,
            expression,
            rotations: Rotations::AxisAngle(pose),
            translation: [0.0, 0.5, 2.0],
        })
        .collect();
    for n in [1, 81] {
        let mut vertices = vec![[0.0; 3]; n * model.n_vertices()];
        let mut joints = vec![PosedJoints::default(); n];
        let (mut times, end) = (Vec::new(), Instant::now() + Duration::from_secs(3));
        while Instant::now() < end || times.len() < 5 {
            let start = Instant::now();
            model.forward_batch_into(&frames[..n], &mut vertices, &mut joints)?;
            times.push(start.elapsed());
        }
        times.sort();
        println!("smplx_forward/{n}: {:.2} ms", 1e3 * times[times.len() / 2].as_secs_f64());
    }
    if let (Some(before), Some(after)) = (before, peak_mib()) {
        println!("peak memory over the start: {:.0} MiB", after - before);
    }
    Ok(())
}
