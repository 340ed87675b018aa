//! `anicrafter composite`.

use crate::animate::{run_job, session};
use crate::progress::Style;
use crate::settings::{InputArgs, VideoArgs};
use anyhow::{Result, bail};
use avatar_render::RendererChoice;
use pipeline::{Job, JobChanges};
use std::path::PathBuf;

/// Makes the avatar-background video.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    video: VideoArgs,
    /// The condition video.
    #[arg(short, long)]
    output: PathBuf,
    /// Also writes the body on black.
    #[arg(long)]
    mesh: Option<PathBuf>,
    /// Also writes the person mask.
    #[arg(long)]
    mask: Option<PathBuf>,
    /// Makes this frame of the video alone, counted from 0, as a picture (.png or .jpg).
    #[arg(long, conflicts_with_all = ["mesh", "mask"])]
    frame: Option<usize>,
    /// What renders the avatar.
    #[arg(long, default_value = "auto")]
    renderer: RendererChoice,
}

pub(crate) fn run(args: Args, style: Style) -> Result<()> {
    let mut job = Job::condition_video();
    job.change(JobChanges {
        input: args.input.changes()?,
        light: args.video.light.clone(),
        video: args.video.changes(),
        ..JobChanges::default()
    });
    job.output.video = args.output;
    (job.output.mesh, job.output.mask) = (args.mesh, args.mask);
    let session = session(args.renderer).build()?;
    let Some(frame) = args.frame else { return run_job(&session, &job, style).map(|_| ()) };
    job.validate()?;
    let path = &job.output.video;
    let Some(format) = media::PictureFormat::of(path) else {
        bail!("{}: one frame is written as .png or .jpg", path.display());
    };
    media::write_picture(path, &session.preview(&job, frame)?, format)?;
    println!("wrote {}", path.display());
    Ok(())
}
