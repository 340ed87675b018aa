//! `cargo run -p anicrafter-smplx --example rest_pose_obj -- BODY.npz OUT.obj`: the body at rest as OBJ.
#![expect(clippy::print_stdout, reason = "a command-line example")]

use anicrafter_smplx::{BodyModel, Frame, export};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(body), Some(out)) = (args.next(), args.next()) else {
        return Err("usage: rest_pose_obj BODY.npz OUT.obj".into());
    };
    let model = BodyModel::open(&body)?;
    let posed = model.forward(&Frame::REST)?;
    std::fs::write(&out, export::obj(&posed.vertices, model.faces())?)?;
    let height = |pick: fn(f32, f32) -> f32| posed.vertices.iter().map(|v| v[1]).reduce(pick).unwrap_or(0.0);
    let (low, high) = (height(f32::min), height(f32::max));
    println!(
        "{} vertices, {:.2} m tall, pelvis at y = {:.2}",
        model.n_vertices(),
        high - low,
        posed.joints.positions[0][1]
    );
    Ok(())
}
