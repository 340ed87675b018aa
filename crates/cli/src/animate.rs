//! `anicrafter animate`.

use crate::progress::{Display, Style, cancel_on_ctrl_c};
use crate::settings::{InputArgs, ModelArgs, SamplingArgs, VideoArgs, read_job};
use anyhow::{Result, bail};
use avatar_render::RendererChoice;
use pipeline::report::{RawSection, Report};
use pipeline::{CancelToken, Context, Job, Outcome, Preset, Replace, Replaced, Stage};
use std::path::{Path, PathBuf};

/// Animates an avatar in a scene.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A job file (TOML or JSON); options given besides it win.
    #[arg(long)]
    job: Option<PathBuf>,
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    video: VideoArgs,
    #[command(flatten)]
    models: ModelArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    output: OutputArgs,
    /// Writes the job to a file (TOML or JSON) and stops.
    #[arg(long)]
    write_job: Option<PathBuf>,
    /// Prints the plan (sizes, memory, arithmetic) and touches nothing.
    #[arg(long)]
    dry_run: bool,
    /// Throws away what the work folder has of this stage and the later ones.
    #[arg(long, value_parser = parse_stage)]
    from: Option<Stage>,
    /// What renders the avatar.
    #[arg(long, default_value = "auto")]
    renderer: RendererChoice,
}

/// What comes out.
#[derive(clap::Args, Default)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// The video.
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// The folder for finished stages; next to the video where it isn't given.
    #[arg(long)]
    work: Option<PathBuf>,
    /// Also writes the four panels: reference, body, condition, result.
    #[arg(long)]
    panels: bool,
    /// Puts the source background back outside the person, or leaves the model's.
    #[arg(long)]
    background_lock: Option<bool>,
    /// Adds what the VAE's round trip loses.
    #[arg(long)]
    detail_transfer: Option<bool>,
    /// Writes a self-contained report page.
    #[arg(long)]
    report: bool,
    /// Writes a preview picture every so many steps.
    #[arg(long)]
    preview_every: Option<usize>,
    /// Saves the latents every so many steps.
    #[arg(long)]
    save_every: Option<usize>,
}

pub(crate) fn parse_stage(name: &str) -> Result<Stage, String> {
    Stage::from_name(name).ok_or_else(|| {
        let known: Vec<&str> = Stage::ALL.iter().map(|s| s.name()).collect();
        format!("one of {}", known.join(", "))
    })
}

impl OutputArgs {
    pub(crate) fn apply(self, job: &mut Job) {
        let output = &mut job.output;
        if let Some(video) = self.output {
            output.video = video;
        }
        if self.work.is_some() {
            output.work = self.work;
        }
        output.panels |= self.panels;
        output.report |= self.report;
        output.background_lock = self.background_lock.unwrap_or(output.background_lock);
        output.detail_transfer = self.detail_transfer.unwrap_or(output.detail_transfer);
        output.preview_every = self.preview_every.unwrap_or(output.preview_every);
        output.save_every = self.save_every.unwrap_or(output.save_every);
    }
}

pub(crate) fn run(args: Args, style: Style) -> Result<()> {
    let mut job = match &args.job {
        Some(path) => read_job(path)?,
        None => Job::new(args.models.preset.map_or(Preset::Demo, Preset::from)),
    };
    args.input.apply(&mut job)?;
    args.video.apply(&mut job);
    args.models.apply(&mut job);
    args.sampling.apply(&mut job);
    args.output.apply(&mut job);
    job.validate()?;
    if let Some(path) = &args.write_job {
        job.write(path)?;
        println!("wrote {}", path.display());
        return Ok(());
    }
    if args.dry_run {
        print!("{}", crate::models::plan_text(&job)?);
        return Ok(());
    }
    if let Some(stage) = args.from {
        pipeline::work::WorkDir::open(job.work_dir())?.forget_from(stage)?;
    }
    let cancel = cancel_on_ctrl_c();
    run_job(&job, args.renderer, style, &cancel, Page::default()).map(|_| ())
}

/// What a report page shows beside the job itself.
#[derive(Default)]
pub(crate) struct Page<'a> {
    /// What the reader must know.
    pub note: Option<&'a str>,
    /// The raw video that the job's background and motion were made of.
    pub raw: Option<(&'a Replace, &'a Replaced)>,
}

/// Runs a job to its video and, where it asks for one, its report.
pub(crate) fn run_job(
    job: &Job,
    renderer: RendererChoice,
    style: Style,
    cancel: &CancelToken,
    page: Page<'_>,
) -> Result<Outcome> {
    if let Some(folder) = job.output.video.parent().filter(|f| !f.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    let display = Display::new(style);
    let context = Context::new(&display, cancel);
    let mut outcome = pipeline::animate(job, renderer, context)?;
    for (i, drift) in outcome.drift.iter().enumerate() {
        let [r, g, b] = drift.colour;
        context.warn(format!(
            "window {} → {}: colour shift R {r:+.2} G {g:+.2} B {b:+.2}, mean difference {:.2} of 255",
            i + 1,
            i + 2,
            drift.difference
        ));
    }
    let written = pipeline::write_video(job, &mut outcome, context)?;
    if written.is_empty() {
        bail!("no video was written");
    }
    if job.output.report {
        let path = job.output.video.with_extension("html");
        write_report(job, &outcome, &page, &path)?;
        context.tell(&pipeline::Event::Wrote { path });
    }
    Ok(outcome)
}

/// The report page of a finished job.
fn write_report(job: &Job, outcome: &Outcome, page: &Page<'_>, path: &Path) -> Result<()> {
    let work = job.work_dir();
    let video = |name: &str, mut frames: pipeline::work::FrameFile| -> Result<PathBuf> {
        let path = work.join(format!("{name}.mp4"));
        let options = media::WriteOptions::new(pipeline::frame_rate(outcome.fps)?);
        let mut writer = media::VideoWriter::create(&path, options)?;
        for i in 0..frames.len() {
            writer.push(&frames.frame(i)?)?;
        }
        writer.finish()?;
        Ok(path)
    };
    let condition = video("condition", outcome.condition.blend()?)?;
    let body = video("body", outcome.condition.mesh()?)?;
    let frames = media::VideoReader::open(&job.output.video)?.map(|f| Ok(f?));
    let mut blend = outcome.condition.blend()?;
    let count = blend.len();
    let first = usize::from(job.video.first_frame == pipeline::FirstFrame::Keep);
    let against = (0..count).map(|i| blend.frame(i.saturating_sub(first)));
    let mut mask = outcome.condition.mask()?;
    let masks = (0..count).map(|i| Ok(pipeline::gray(&mask.frame(i.saturating_sub(first))?)));
    let seam = (job.video.height / 90).max(2);
    let metrics = pipeline::eval::evaluate(frames, against, Some(masks), seam, &[])?;
    let report = Report {
        title: format!("AniCrafter: {}", job.output.video.file_name().unwrap_or_default().to_string_lossy()),
        note: page.note.map(str::to_owned),
        reference: Some(outcome.condition.reference_path()),
        body: Some(body),
        condition,
        result: job.output.video.clone(),
        raw: page.raw.map(|(settings, made)| RawSection::new(settings, made)).transpose()?,
        fps: outcome.fps,
        stages: outcome.stages.clone(),
        metrics: vec![("Result against the condition".to_owned(), metrics)],
        settings: toml::to_string_pretty(job)?,
        environment: vec![
            ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            ("system".to_owned(), format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)),
            ("threads".to_owned(), rayon::current_num_threads().to_string()),
            ("device".to_owned(), job.models.device.clone()),
        ],
    };
    Ok(report.write(path)?)
}
