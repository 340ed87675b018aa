//! `anicrafter composite`.

use crate::progress::{Display, Style, cancel_on_ctrl_c};
use crate::settings::{InputArgs, VideoArgs};
use anyhow::Result;
use avatar_render::RendererChoice;
use media::{AudioTrack, VideoWriter, WriteOptions};
use pipeline::composite::Compositor;
use pipeline::{Blend, Context, Event, Job, Preset, Stage};
use std::path::{Path, PathBuf};
use std::time::Instant;

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
    /// What renders the avatar.
    #[arg(long, default_value = "auto")]
    renderer: RendererChoice,
}

/// Frames that wait for the encoder.
const ENCODE_BEHIND: usize = 4;

pub(crate) fn run(args: Args, style: Style) -> Result<()> {
    let mut job = Job::new(Preset::Demo);
    // Without a size the video is as large as the background.
    let sized = args.video.size.is_some();
    // A video for people, not for the reference's weights, is blended correctly unless asked otherwise.
    job.video.blend = Blend::Over;
    args.input.apply(&mut job)?;
    args.video.apply(&mut job);
    if !sized {
        let info = media::VideoReader::open(&job.input.background)?.info().clone();
        (job.video.width, job.video.height) = (info.width / 2 * 2, info.height / 2 * 2);
    }
    let cancel = cancel_on_ctrl_c();
    let display = Display::new(style);
    let context = Context::new(&display, &cancel);
    let background = job.input.background.clone();
    let outputs = Outputs {
        condition: &args.output,
        sound: Some(&background),
        mesh: args.mesh.as_deref(),
        mask: args.mask.as_deref(),
    };
    write(&job, outputs, args.renderer, style, context)
}

/// Where a condition video goes, with the videos beside it.
pub(crate) struct Outputs<'a> {
    pub condition: &'a Path,
    /// The video whose sound goes with it.
    pub sound: Option<&'a Path>,
    pub mesh: Option<&'a Path>,
    pub mask: Option<&'a Path>,
}

/// Makes the condition video of a job.
pub(crate) fn write(
    job: &Job,
    outputs: Outputs<'_>,
    renderer: RendererChoice,
    style: Style,
    context: Context<'_>,
) -> Result<()> {
    let start = Instant::now();
    let mut compositor = Compositor::open(job, renderer)?;
    let total = compositor.len();
    context.tell(&Event::Started { stage: Stage::Composite, window: 0, total });
    let rate = pipeline::frame_rate(compositor.fps())?;
    let open = |path: &Path, audio: Option<AudioTrack>| -> Result<_> {
        let options = WriteOptions { audio, ..WriteOptions::new(rate) };
        Ok(VideoWriter::create(path, options)?.in_background(ENCODE_BEHIND))
    };
    let sound = outputs.sound.and_then(|path| pipeline::sound(path, job.input.start, compositor.fps()));
    let mut video = open(outputs.condition, sound)?;
    let mut mesh = outputs.mesh.map(|path| open(path, None)).transpose()?;
    let mut mask = outputs.mask.map(|path| open(path, None)).transpose()?;
    let mut done = 0;
    loop {
        if mesh.is_none() && mask.is_none() {
            let Some(blend) = compositor.next_blend()? else { break };
            video.push(blend)?;
        } else {
            let Some(frame) = compositor.next_frame()? else { break };
            video.push(frame.blend)?;
            if let Some(mesh) = &mut mesh {
                mesh.push(frame.mesh)?;
            }
            if let Some(mask) = &mut mask {
                mask.push(pipeline::composite::gray_to_rgb(&frame.mask))?;
            }
        }
        done += 1;
        context.advance(Stage::Composite, done as f64, total)?;
    }
    video.finish()?;
    for writer in [mesh, mask].into_iter().flatten() {
        writer.finish()?;
    }
    let seconds = start.elapsed().as_secs_f64();
    context.tell(&Event::Finished {
        stage: Stage::Composite,
        seconds,
        cached: false,
        peak_bytes: pipeline::peak_memory(),
    });
    for path in [Some(outputs.condition), outputs.mesh, outputs.mask].into_iter().flatten() {
        context.tell(&Event::Wrote { path: path.to_owned() });
    }
    if style != Style::Json && style != Style::None {
        eprintln!(
            "{done} frames, {:.1} frames a second, rendered by {}",
            done as f64 / seconds,
            compositor.renderer()
        );
    }
    Ok(())
}
