//! `anicrafter eval-replace`: how good masks, background and motion of a raw video are.

use crate::progress::{Display, Style, cancel_on_ctrl_c};
use anyhow::{Result, bail};
use pipeline::eval::replaced::{Measured, measure};
use pipeline::{Context, Replace, Stage, peak_memory};
use std::path::PathBuf;

/// Runs the three stages on a raw video and compares them with a scene folder: bkgd_video.mp4 and smplx_params/.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The raw video.
    #[arg(long)]
    video: PathBuf,
    /// The scene that another tool made of it.
    #[arg(long)]
    scene: PathBuf,
    /// The folder for finished stages: what lies there isn't made again.
    #[arg(long)]
    work: PathBuf,
    /// Writes the figures as JSON to this file too.
    #[arg(long)]
    json: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, style: Style) -> Result<()> {
    let cancel = cancel_on_ctrl_c();
    let display = Display::new(style);
    let context = Context::new(&display, &cancel);
    let settings = Replace { video: args.video.clone(), ..Replace::default() };
    let made = pipeline::replace(&settings, &args.work, Stage::Plate, context)?;
    let (Some(masks), Some(motion), Some(plate)) = (&made.masks, &made.motion, &made.plate) else {
        bail!("masks, motion and background didn't come together");
    };
    let measured = measure(&settings, masks, motion, plate, &args.scene)?;
    print!("{}", table(&measured));
    let fresh: f64 = made.stages.iter().filter(|s| !s.cached).map(|s| s.seconds).sum();
    if fresh > 0.0 && made.stages.iter().all(|s| !s.cached) {
        println!(
            "speed                  {:>9.2} frames/s ({} frames in {fresh:.1} s), peak {} MiB",
            measured.frames as f64 / fresh,
            measured.frames,
            peak_memory() >> 20
        );
    }
    if let Some(path) = &args.json {
        pipeline::work::write_atomically(path, serde_json::to_string_pretty(&measured)?.as_bytes())?;
    }
    Ok(())
}

fn table(m: &Measured) -> String {
    let mut text = String::new();
    let mut line = |what: &str, ours: String, other: String| {
        text.push_str(&format!("{what:<22} {ours:>9} {other:>9}\n"));
    };
    line("", "ours".to_owned(), "scene".to_owned());
    line("mask recall", format!("{:.4}", m.mask_recall), String::new());
    line("mask IoU", format!("{:.3}", m.mask_iou), String::new());
    line("plate PSNR (dB)", format!("{:.2}", m.plate_psnr), String::new());
    line("plate flicker", format!("{:.2}", m.flicker), format!("{:.2}", m.scene_flicker));
    line("plate sharpness", format!("{:.2}", m.sharpness), format!("{:.2}", m.scene_sharpness));
    line("motion 2D (px)", format!("{:.1}", m.motion_px), String::new());
    line("motion 3D (mm)", format!("{:.1}", m.motion_mm), String::new());
    line("joint rotation (deg)", format!("{:.1}", m.rotation_deg), String::new());
    line("root rotation (deg)", format!("{:.1}", m.root_deg), String::new());
    text
}
