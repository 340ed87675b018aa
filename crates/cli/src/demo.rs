//! `anicrafter demo`: the whole job on the embedded default.

use crate::animate::run_job;
use crate::progress::Style;
use anyhow::{Result, bail};
use avatar_render::RendererChoice;
use pipeline::{Actor, Blend, Job, LightSource, Preset, Session};
use std::path::PathBuf;

/// Runs the whole job on the embedded default: video, panels and report.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Another scene's folder: avatar.safetensors, motion.json, background.mp4, character.png, and light.json if its light is
    /// known. The embedded scene where there is none.
    #[arg(long)]
    scene: Option<PathBuf>,
    /// Where the results go.
    #[arg(short, long, default_value = "out/demo")]
    output: PathBuf,
    /// Frames of the demo.
    #[arg(long, default_value_t = 32)]
    frames: usize,
    /// Denoising steps.
    #[arg(long)]
    steps: Option<usize>,
    /// Leaves the avatar in the light that it was made in, without a shadow.
    #[arg(long)]
    plain: bool,
    /// Seed of the noise.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// What renders the avatar.
    #[arg(long, default_value = "auto")]
    renderer: RendererChoice,
}

/// The file of a scene that holds its light.
const LIGHT: &str = "light.json";

/// What the reader must know of the small weights.
const SMALL: &str = "Light, shadow and edges are the composite's: see the condition. The diffusion weights are this project's own small \
                     ones, trained on rendered clips; what they would change of a lit avatar is kept out, and little is left beside it. \
                     The real weights (--preset anicrafter) are larger by a thousand times.";

pub(crate) fn run(args: &Args, style: Style) -> Result<()> {
    let scene = match &args.scene {
        Some(folder) => folder.clone(),
        None => {
            let folder = args.output.join("scene");
            pipeline::work::unpack(anicrafter_demo::FILES, &folder)?;
            folder
        }
    };
    for (name, _) in anicrafter_demo::FILES.iter().filter(|(name, _)| *name != LIGHT) {
        if !scene.join(name).is_file() {
            bail!("{} isn't a demo scene: {name} is missing there", scene.display());
        }
    }
    let mut job = Job::new(Preset::Demo);
    job.input.actors = vec![Actor::new(scene.join("avatar.safetensors"), scene.join("motion.json"))];
    job.input.background = scene.join("background.mp4");
    job.input.character = Some(scene.join("character.png"));
    job.input.end = Some(args.frames);
    // The scene's light, shadow and edges are the composite's; the weights only tint what is there.
    job.video.blend = Blend::Over;
    let light = scene.join(LIGHT);
    if args.plain {
        job.light.source = LightSource::Off;
    } else if light.is_file() {
        job.light.file = Some(light);
    } else {
        job.light.source = LightSource::Auto;
    }
    job.sampling.seed = args.seed;
    if let Some(steps) = args.steps {
        job.sampling.steps = steps;
    }
    job.output.video = args.output.join("demo.mp4");
    job.output.work = Some(args.output.join("work"));
    job.output.panels = true;
    job.output.report = true;
    if style != Style::Json && style != Style::None {
        eprintln!("{SMALL}\n");
    }
    let session = Session::builder().renderer(args.renderer).note(SMALL).build()?;
    let finished = run_job(&session, &job, style)?;
    if style == Style::Json || style == Style::None {
        return Ok(());
    }
    let total: f64 = finished.stages.iter().map(|s| s.seconds).sum();
    println!("\n{:<24}{:>10}{:>8}{:>12}", "stage", "seconds", "share", "peak MiB");
    for stage in &finished.stages {
        println!(
            "{:<24}{:>10.2}{:>7.0}%{:>12}",
            stage.name,
            stage.seconds,
            100.0 * stage.seconds / total.max(1e-9),
            stage.peak_bytes >> 20
        );
    }
    println!("{:<24}{total:>10.2}", "total");
    let video = &job.output.video;
    println!(
        "\nvideo   {}\npanels  {}\nreport  {}",
        video.display(),
        pipeline::beside(video, "panels").display(),
        video.with_extension("html").display()
    );
    Ok(())
}
