//! `cargo run -p anicrafter-smplx --example skin_points [-- BODY.npz]`: 40,000 points bound to a body's surface and posed. Without a file,
//! a random body of the official size.
#![expect(clippy::print_stdout, reason = "a command-line example")]

use anicrafter_smplx::synthetic::{self, Size};
use anicrafter_smplx::{
    AvatarPoints, BodyModel, Frame, PointBinding, PointFrame, PointSkin, Rotations, neutral_pose,
    neutral_to_zero,
};
use std::time::Instant;

const N: usize = 40_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = match std::env::args().nth(1) {
        Some(path) => BodyModel::open(path)?,
        None => synthetic::body(Size::OFFICIAL, 1),
    };
    // Points near the surface of the body in the neutral pose.
    let neutral = neutral_pose();
    let posed = model.forward(&Frame { rotations: Rotations::AxisAngle(&neutral), ..Frame::REST })?;
    let noise = synthetic::numbers(N * 3, 0.01, 7);
    let query: Vec<[f32; 3]> = (0..N)
        .map(|i| {
            let v = posed.vertices[i % posed.vertices.len()];
            std::array::from_fn(|k| v[k] + noise[i * 3 + k])
        })
        .collect();
    let zeros = vec![[0.0; 3]; N];
    let upright = vec![[1.0, 0.0, 0.0, 0.0]; N];
    let back = neutral_to_zero(&model, &[])?;
    let avatar = AvatarPoints {
        query: &query,
        offset: &zeros,
        scaling: &zeros,
        rotation: &upright,
        neutral_to_zero: &back,
        constrained: &[],
    };
    let start = Instant::now();
    let binding = PointBinding::nearest_surface(&query, &posed.vertices, model.faces())?;
    println!("bound {N} points in {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    let skin = PointSkin::new(&model, binding, &avatar, &[])?;
    let pose = synthetic::pose(0.3, 3);
    let frame =
        PointFrame { rotations: Rotations::AxisAngle(&pose), expression: &[], translation: [0.0, 0.0, 2.5] };
    let mut out = skin.pose(&model, &frame)?;
    let start = Instant::now();
    skin.pose_into(&model, &frame, &mut out)?;
    println!(
        "posed them in {:.2} ms; the first is at {:?}",
        start.elapsed().as_secs_f64() * 1e3,
        out.means[0]
    );
    Ok(())
}
