//! Pictures for looking at the demo: four frames of the walk over the street and the avatar from four sides.
//!
//! `cargo run --release -p demo-builder --example look -- OUT_DIR`

use demo_builder::{avatar, body, portrait, scene, stage, walk};
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: look OUT_DIR")?);
    std::fs::create_dir_all(&folder)?;
    let model = body()?;
    let avatar = avatar::dress(&model)?;
    for side in 0..4 {
        let turn = side as f32 * std::f32::consts::FRAC_PI_2;
        portrait::portrait(&model, &avatar, turn)?.save(folder.join(format!("side_{side}.png")))?;
    }
    let motion = walk::Walker::new(&model)?.motion()?;
    let street = scene::Street::new();
    let mut puppet = portrait::Puppet::new(&model, &avatar)?;
    for index in (0..stage::FRAMES).step_by(8) {
        let plate = street.render(&stage::View::of_frame(index));
        let frame = &motion.frames[index];
        let camera = frame.camera.ok_or("no camera")?;
        puppet.over(frame, &camera, &plate)?.save(folder.join(format!("frame_{index:02}.png")))?;
    }
    Ok(())
}
