//! `anicrafter replace`: from a raw video to the character in the person's place.

use crate::animate::{OutputArgs, Page, parse_stage, run_job};
use crate::composite::{Outputs, write};
use crate::progress::{Display, Style, cancel_on_ctrl_c};
use crate::settings::{ModelArgs, SamplingArgs, VideoArgs};
use anyhow::{Result, bail};
use avatar_render::RendererChoice;
use clap::ValueEnum;
use media::{VideoWriter, WriteOptions};
use pipeline::{Actor, Blend, Context, Event, Job, Preset, Replace, Stage};
use std::path::{Path, PathBuf};

/// Replaces the person in a raw video.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The raw video, or a folder of pictures.
    #[arg(long)]
    video: PathBuf,
    /// The avatar: `*_gaussian.pth`, `.ply` or `.safetensors`. Not needed for --until masks, motion or plate.
    #[arg(long)]
    avatar: Option<PathBuf>,
    /// A picture of the character; its alpha channel or --character-mask cuts the person out.
    #[arg(long)]
    character: Option<PathBuf>,
    /// A mask for the character picture, white on the person.
    #[arg(long)]
    character_mask: Option<PathBuf>,
    /// A body model in SMPL-X's format (.npz); the embedded CC0 body where there is none.
    #[arg(long)]
    body: Option<PathBuf>,
    /// Stops after this step; -o is then that step's result: a video, for masks also a folder, for motion a .json.
    #[arg(long, value_enum)]
    until: Option<Until>,
    #[command(flatten)]
    person: PersonArgs,
    #[command(flatten)]
    look: VideoArgs,
    #[command(flatten)]
    models: ModelArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    output: OutputArgs,
    /// Throws away what the work folder has of this stage and the later ones.
    #[arg(long, value_parser = parse_stage)]
    from: Option<Stage>,
    /// What renders the avatar.
    #[arg(long, default_value = "auto")]
    renderer: RendererChoice,
}

/// The person, and what is known of them already.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Person")]
struct PersonArgs {
    /// Which person where several are in view, from 1: the largest first.
    #[arg(long, default_value_t = 1)]
    person: usize,
    /// Masks made elsewhere, white on the person: a video or a folder of pictures.
    #[arg(long)]
    mask: Option<PathBuf>,
    /// A background made elsewhere, without the person.
    #[arg(long)]
    plate: Option<PathBuf>,
    /// A motion made elsewhere: a folder of parameter files, an AMASS .npz or a motion file.
    #[arg(long)]
    motion: Option<PathBuf>,
    /// Focal length of the raw video in pixels (60° across the width).
    #[arg(long)]
    focal: Option<f32>,
    /// How likely a pixel must be the person's to be taken out, 0..1.
    #[arg(long, default_value_t = 0.25)]
    mask_threshold: f32,
    /// Pixels by which the mask is grown before the background is filled in (a 55th of the longer side).
    #[arg(long)]
    mask_grow: Option<f32>,
    /// Also takes out the shadow: how far it reaches to each side of the feet, as part of the person's height.
    #[arg(long, default_value_t = 0.0)]
    shadow: f32,
}

/// Where to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Until {
    /// The person's masks.
    Masks,
    /// The motion.
    Motion,
    /// The background without the person.
    Plate,
    /// The condition video: the avatar over the background.
    Composite,
}

impl Until {
    fn stage(self) -> Stage {
        match self {
            Self::Masks => Stage::Masks,
            Self::Motion => Stage::Motion,
            Self::Plate | Self::Composite => Stage::Plate,
        }
    }
}

pub(crate) fn run(args: Args, style: Style) -> Result<()> {
    let mut job = Job::new(args.models.preset.map_or(Preset::Demo, Preset::from));
    let sized = args.look.size.is_some();
    let blended = args.look.blend.is_some();
    args.look.apply(&mut job);
    args.models.apply(&mut job);
    args.sampling.apply(&mut job);
    args.output.apply(&mut job);
    if args.avatar.is_none() && args.until.is_none_or(|u| u == Until::Composite) {
        bail!("an avatar is needed: give --avatar FILE, or stop earlier with --until plate");
    }
    let person = args.person;
    let settings = Replace {
        video: args.video,
        person: person.person,
        mask: person.mask,
        plate: person.plate,
        motion: person.motion,
        body: args.body.clone(),
        focal_px: person.focal,
        threshold: person.mask_threshold,
        grow_px: person.mask_grow,
        shadow: person.shadow,
    };
    if let Some(folder) = job.output.video.parent().filter(|f| !f.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    if let Some(stage) = args.from {
        pipeline::work::WorkDir::open(job.work_dir())?.forget_from(stage)?;
    }
    let cancel = cancel_on_ctrl_c();
    let display = Display::new(style);
    let context = Context::new(&display, &cancel);
    let until = args.until.map_or(Stage::Plate, Until::stage);
    let made = pipeline::replace(&settings, &job.work_dir(), until, context)?;
    let output = job.output.video.clone();
    let result = match args.until {
        Some(Until::Masks) => made.masks,
        Some(Until::Motion) => made.motion,
        Some(Until::Plate) => made.plate,
        Some(Until::Composite) | None => {
            let (Some(plate), Some(motion), Some(avatar)) =
                (made.plate.clone(), made.motion.clone(), args.avatar)
            else {
                bail!("masks, motion and background didn't come together");
            };
            job.input.background = plate;
            job.input.actors = vec![Actor { avatar, motion }];
            job.input.character = args.character;
            job.input.character_mask = args.character_mask;
            job.input.body = args.body;
            if args.until.is_none() {
                job.validate()?;
                let page = Page { note: None, raw: Some((&settings, &made)) };
                return run_job(&job, args.renderer, style, &cancel, page).map(|_| ());
            }
            // A video for people: as large as the raw one and blended correctly, unless asked otherwise.
            if !blended {
                job.video.blend = Blend::Over;
            }
            if !sized {
                let info = media::VideoReader::open(&job.input.background)?.info().clone();
                (job.video.width, job.video.height) = (info.width / 2 * 2, info.height / 2 * 2);
            }
            let sound = Some(&*settings.video);
            let outputs = Outputs { condition: &output, sound, mesh: None, mask: None };
            return write(&job, outputs, args.renderer, style, context);
        }
    };
    let Some(result) = result else { bail!("this step gave nothing") };
    if result.is_dir() && output.extension().is_some() {
        let rate = media::VideoReader::open(&settings.video)?.info().frame_rate;
        let mut writer = VideoWriter::create(&output, WriteOptions::new(rate))?;
        for picture in media::VideoReader::open(&result)? {
            writer.push(&picture?)?;
        }
        writer.finish()?;
    } else {
        copy(&result, &output)?;
    }
    context.tell(&Event::Wrote { path: output });
    Ok(())
}

/// Copies a file or a folder of files; a file appears under its name only when it is whole.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if from.is_dir() {
        std::fs::create_dir_all(to)?;
        for entry in std::fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    Ok(pipeline::work::copy_atomically(from, to)?)
}
