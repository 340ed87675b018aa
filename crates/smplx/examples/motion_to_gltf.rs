//! `cargo run -p anicrafter-smplx --example motion_to_gltf -- BODY.npz MOTION OUT.glb`: a motion as an animated glTF. MOTION is a folder
//! of frame files (camera axes, taken as 15 frames a second) or an AMASS `.npz`.
#![expect(clippy::print_stdout, reason = "a command-line example")]

use anicrafter_smplx::export::{Axes, glb};
use anicrafter_smplx::{BodyModel, Gaps, LoadOptions, Motion};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [body, motion, out] = &args[..] else {
        return Err("usage: motion_to_gltf BODY.npz MOTION OUT.glb".into());
    };
    let model = BodyModel::open_with(body, LoadOptions::TEN)?;
    let (motion, axes) = if motion.ends_with(".npz") {
        (Motion::read_npz(motion)?, Axes::YUp)
    } else {
        (Motion::read_json_folder(motion, 15.0, Gaps::Refuse)?, Axes::Camera)
    };
    let bytes = glb(&model, &motion, axes)?;
    std::fs::write(out, &bytes)?;
    println!("{} frames, {:.2} s, {} bytes", motion.len(), motion.duration_s(), bytes.len());
    Ok(())
}
