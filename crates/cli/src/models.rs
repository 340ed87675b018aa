//! `anicrafter models`: is an installation complete, and what would a job need?

use crate::progress::{Display, Style, cancel_on_ctrl_c};
use crate::settings::{SamplingArgs, VideoArgs, changes};
use anyhow::{Context as _, Result, bail};
use avatar_render::RendererChoice;
use clap::Subcommand;
use dit::cost::Cluster;
use pipeline::models::{GIB, ModelSet};
use pipeline::{
    Context, Estimate, Findings, Job, JobChanges, LHM_LICENCE, LhmRequest, LhmSetup, ModelChanges,
    OutputChanges, Prepare, Preset,
};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Looks at weights.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Says which files a job would take and why, and what is missing or wrong. Reads headers only.
    Check {
        /// The folder with the weights, as --wan; its subfolders are looked through too.
        folder: Option<PathBuf>,
        /// The folder is that of LHM's weights, which make avatars. A folder with LHM's network in it is taken so unless
        /// --preset says otherwise.
        #[arg(long)]
        lhm: bool,
        /// Which of LHM's models, where no config.json beside the file says it.
        #[arg(long, value_parser = crate::create::variant)]
        model: Option<lhm::Variant>,
        #[command(flatten)]
        models: Box<ModelChanges>,
    },
    /// Prepares the transformer's weights ahead, as a run that streams them does first: LoRAs merged, converted, packed.
    Prepare {
        #[command(flatten)]
        models: Box<ModelChanges>,
    },
    /// Says what a job would need before anything runs: memory, reading, arithmetic.
    Plan {
        #[command(flatten)]
        video: VideoArgs,
        #[command(flatten)]
        models: ModelChanges,
        #[command(flatten)]
        sampling: SamplingArgs,
    },
}

pub(crate) fn run(args: Args, style: Style) -> Result<()> {
    match args.command {
        Command::Check { folder, lhm, model, models } => {
            if let Some(folder) = &folder
                && models.preset.is_none()
                && (lhm || checkpoint::LhmFiles::find(folder).is_ok_and(|files| files.has_model()))
            {
                return check_lhm(folder, model);
            }
            if lhm || model.is_some() {
                bail!("--lhm and --model are about LHM's folder: name it, and no --preset");
            }
            let preset = Some(models.preset.unwrap_or(Preset::AniCrafter));
            let models = ModelChanges { preset, ..*models };
            let mut job = JobChanges { models, ..JobChanges::default() }.into_job();
            let models = &mut job.models;
            let given = if models.preset == Preset::Demo { &mut models.demo } else { &mut models.wan };
            if folder.is_some() && given.is_some() {
                bail!("the folder is given twice: without an option and with one");
            }
            *given = folder.or(given.take());
            let session = crate::animate::session(RendererChoice::default()).build()?;
            report(&pipeline::inspect_weights(&session.prepare(&job)?.models), "these weights can't be used")
        }
        Command::Prepare { models } => {
            if models.prepare == Some(Prepare::Never) {
                bail!("models prepare with --prepare never would do nothing");
            }
            let preset = Some(models.preset.unwrap_or(Preset::AniCrafter));
            let models = ModelChanges { preset, prepare: Some(Prepare::Always), ..*models };
            let job = JobChanges { models, ..JobChanges::default() }.into_job();
            let session = crate::animate::session(RendererChoice::default()).build()?;
            let (display, cancel) = (Display::new(style), cancel_on_ctrl_c());
            let place = session.prepare_weights(&job, Context::new(&display, &cancel))?;
            if let Some(place) = place {
                let (gib, folder) = (place.bytes as f64 / GIB, place.folder.display());
                println!("prepared  {gib:.2} GiB in {folder}");
            }
            Ok(())
        }
        Command::Plan { video, models, sampling } => {
            let preset = Some(models.preset.unwrap_or(Preset::AniCrafter));
            let models = ModelChanges { preset, ..models };
            let job = changes(video, models, sampling, OutputChanges::default()).into_job();
            let session = crate::animate::session(RendererChoice::default()).build()?;
            let job = session.prepare(&job)?;
            print!("{}", plan_text(&job)?);
            print!("{}", estimate_text(&session.estimate(&job)?));
            if job.models.preset == Preset::AniCrafter && job.models.wan.is_none() {
                println!("note: no weights were looked at; name their folder with --wan");
                return Ok(());
            }
            report(&pipeline::inspect_weights(&job.models), "these weights can't be used")
        }
    }
}

/// LHM's files, and what is wrong with them.
fn check_lhm(folder: &Path, variant: Option<lhm::Variant>) -> Result<()> {
    let request = LhmRequest { folder: folder.to_owned(), variant, ..LhmRequest::default() };
    let setup = LhmSetup::find(&request).context("LHM's weights can't be used")?;
    println!("{setup}");
    for note in &setup.notes {
        println!("note: {note}");
    }
    println!("note: {LHM_LICENCE}");
    let count = setup.points(None)?.positions.len();
    println!("{count} points stand on the body");
    Ok(())
}

/// What was chosen and found, on standard output; an error where something is wrong.
pub(crate) fn report(findings: &Findings, verdict: &str) -> Result<()> {
    for choice in &findings.choices {
        println!("{:<14} {choice}", choice.part.name());
    }
    for lora in &findings.loras {
        println!("{lora}");
    }
    if findings.is_clean() {
        return Ok(());
    }
    bail!("{verdict}:\n{findings}");
}

/// What a step of a job takes on each of several ranks, as text.
pub(crate) fn ranks_text(job: &Job, ranks: usize) -> Result<String> {
    let set = ModelSet::new(&job.models)?;
    // Only what doesn't depend on the machine is told: rates are one.
    let cluster = Cluster { ranks, flops: 1.0, bytes_per_second: 1.0, latency: 0.0, straggler: 0.0 };
    let step = dit::cost::step(set.dit_config(), &set.workload(job)?, &cluster)?;
    Ok(format!(
        "ranks        {ranks}: {} × {} that share the tokens; each {:.2} TFLOP and {:.2} GB to the others a step\n",
        step.groups,
        step.sharing,
        step.flops / 1e12,
        step.bytes / 1e9
    ))
}

/// The plan of a job, as text.
pub(crate) fn plan_text(job: &Job) -> Result<String> {
    let set = ModelSet::new(&job.models)?;
    let p = set.plan(job)?;
    let vae = set.vae_config();
    let (factor, w, h) = (vae.spatial_factor(), job.video.width as usize, job.video.height as usize);
    let latent = [vae.latent_frames(job.video.window), h / factor, w / factor];
    let branches = job.sampling.branches();
    let gib = |bytes: u64| bytes as f64 / GIB;
    let mut out = String::new();
    // Writing to a string can't fail.
    let _ = writeln!(out, "video        {w} × {h}, windows of {} frames", job.video.window);
    let _ = writeln!(out, "latents      {} × {} × {}, {} tokens", latent[0], latent[1], latent[2], p.tokens);
    let _ = writeln!(out, "steps        {} × {branches} branches", job.sampling.steps);
    let _ =
        writeln!(out, "transformer  {:.2} G parameters, {:?}", p.parameters as f64 / 1e9, job.models.dtype);
    let _ = writeln!(
        out,
        "  weights    {:.2} GiB in memory ({:.2} GiB a block, {:.2} GiB besides)",
        gib(p.weight_bytes),
        gib(p.block_bytes),
        gib(p.other_bytes)
    );
    let _ = writeln!(out, "  activations {:.2} GiB at the peak", gib(p.activation_bytes));
    let _ = writeln!(out, "  read       {:.1} GiB from disk over the job", gib(p.read_bytes));
    let _ = writeln!(
        out,
        "  arithmetic {:.2} TFLOP a step, {:.1} TFLOP in all",
        p.step_flops / 1e12,
        p.total_flops / 1e12
    );
    // Weights that aren't found are named by whoever asks for them.
    if let Ok(Some(place)) = set.prepared_place() {
        let when = if place.is_ready { "ready" } else { "to be written once, --prepare never does without" };
        let _ =
            writeln!(out, "  prepared   {:.2} GiB in {} ({when})", gib(place.bytes), place.folder.display());
    }
    let frames = job.video.window as f64 * f64::from(job.video.width) * f64::from(job.video.height);
    let _ =
        writeln!(out, "condition    {:.2} GiB of frames in the work folder a window", 12.0 * frames / GIB);
    if job.models.preset == Preset::AniCrafter && job.prompt.embeddings.is_none() {
        let text = gib(set.text_bytes()?);
        let _ = writeln!(out, "text encoder {text:.2} GiB while it runs; saved embeddings need none");
    }
    for advice in job.advice() {
        let _ = writeln!(out, "note: {advice}");
    }
    Ok(out)
}

/// How long a job will take, as text.
pub(crate) fn estimate_text(estimate: &Estimate) -> String {
    let mut out = String::new();
    let about = |seconds: f64| match seconds {
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7200.0 => format!("{:.1} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    };
    let frames = match estimate.frames {
        Some(frames) => format!("{frames} frames in {} windows", estimate.windows),
        None => "one window".to_owned(),
    };
    // Writing to a string can't fail.
    let _ = writeln!(out, "time         {} on this machine for {frames}", about(estimate.seconds()));
    for (stage, seconds) in &estimate.stages {
        let _ = writeln!(out, "  {:<10} {}", stage.name(), about(*seconds));
    }
    out
}
