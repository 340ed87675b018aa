//! `anicrafter eval-replace`: how good masks, background and motion of a raw video are.

use crate::progress::{Display, Style, cancel_on_ctrl_c};
use anyhow::Result;
use pipeline::{Context, Job, Preset, Replace, Scene, Stage, peak_memory};
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
    let mut job = Job::new(Preset::Demo);
    job.replace = Some(Replace { video: args.video.clone(), ..Replace::default() });
    job.output.work = Some(args.work.clone());
    let made = pipeline::replace(&job, Stage::Plate, context)?;
    let measured = made.measure(&job, &Scene::new(&args.scene))?;
    print!("{}", measured.to_table());
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
