//! `anicrafter animate`.

use crate::progress::{Display, Style, cancel_on_ctrl_c};
use crate::ranks;
use crate::settings::{InputArgs, SamplingArgs, VideoArgs, changes, read_job};
use ::ranks::Collectives;
use anyhow::{Result, bail};
use avatar_render::RendererChoice;
use pipeline::{
    Context, Finished, Job, JobChanges, ModelChanges, OutputChanges, Session, SessionBuilder, Stage,
};
use std::path::PathBuf;

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
    models: ModelChanges,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    output: OutputChanges,
    #[command(flatten)]
    run: RunArgs,
}

/// What is done with a job.
#[derive(clap::Args)]
#[command(next_help_heading = "Run")]
pub(crate) struct RunArgs {
    /// Writes the job to a file (TOML or JSON) and stops.
    #[arg(long)]
    write_job: Option<PathBuf>,
    /// Prints the plan (sizes, memory, arithmetic) and touches nothing.
    #[arg(long)]
    dry_run: bool,
    /// Throws away what the work folder has of this stage and the later ones.
    #[arg(long, value_parser = parse_stage)]
    from: Option<Stage>,
    /// Makes this stage alone, from what the work folder has of the others. May be given several times.
    #[arg(long, value_parser = parse_stage)]
    only: Vec<Stage>,
    /// What renders the avatar.
    #[arg(long, default_value = "auto")]
    renderer: RendererChoice,
    /// Ranks that share the transformer's work: threads of this process, or the processes that mpirun or srun has started, which
    /// must be as many. Their number divides the model's heads (40); with guidance, half of it.
    #[arg(long)]
    ranks: Option<usize>,
}

pub(crate) fn parse_stage(name: &str) -> Result<Stage, String> {
    Stage::from_name(name).ok_or_else(|| {
        let known: Vec<&str> = Stage::ALL.iter().map(|s| s.name()).collect();
        format!("one of {}", known.join(", "))
    })
}

/// The session that a command works in.
pub(crate) fn session(renderer: RendererChoice) -> SessionBuilder {
    let builder = Session::builder().renderer(renderer);
    match dirs::cache_dir() {
        Some(cache) => {
            let own = cache.join("anicrafter");
            builder.rates_file(own.join("rates.json")).prepared_root(own)
        }
        None => builder,
    }
}

pub(crate) fn run(args: Args, style: Style) -> Result<()> {
    let changes = JobChanges {
        input: args.input.changes()?,
        ..changes(args.video, args.models, args.sampling, args.output)
    };
    let job = match &args.job {
        Some(path) => {
            let mut job = read_job(path)?;
            job.change(changes);
            job
        }
        None => changes.into_job(),
    };
    args.run.run(&job, style).map(|_| ())
}

impl RunArgs {
    /// Runs a job, or does with it what is asked for instead.
    pub(crate) fn run(self, job: &Job, style: Style) -> Result<Option<Finished>> {
        if let Some(world) = ranks::join(self.ranks)? {
            return ranks::told(&*world, self.run_among(&*world, job, style));
        }
        let builder = session(self.renderer);
        let session = match self.ranks {
            Some(ranks) => builder.ranks(ranks).build()?,
            None => builder.build()?,
        };
        job.validate()?;
        if let Some(path) = &self.write_job {
            session.prepare(job)?.write(path)?;
            println!("wrote {}", path.display());
            return Ok(None);
        }
        if self.dry_run {
            let findings = session.inspect(job)?;
            let plan = crate::models::plan_text(&session.prepare(job)?);
            match plan {
                Ok(plan) => print!("{plan}"),
                // What stands in the way of a plan is among the findings.
                Err(_) if !findings.is_clean() => {}
                Err(error) => return Err(error),
            }
            if let (Some(ranks), None, true) = (self.ranks, job.output.until, findings.is_clean()) {
                print!("{}", crate::models::ranks_text(&session.prepare(job)?, ranks)?);
            }
            if findings.is_clean() && job.output.until.is_none() {
                print!("{}", crate::models::estimate_text(&session.estimate(job)?));
            }
            crate::models::report(&findings, "the job can't run")?;
            return Ok(None);
        }
        if let Some(stage) = self.from {
            session.forget_from(job, stage)?;
        }
        run_stages(&session, job, &self.only, style).map(Some)
    }

    /// Runs a job as a rank of a world.
    fn run_among(&self, world: &dyn Collectives, job: &Job, style: Style) -> Result<Option<Finished>> {
        if self.write_job.is_some() || self.dry_run || self.from.is_some() || !self.only.is_empty() {
            bail!(
                "--write-job, --dry-run, --from and --only are for one process: run them without the launcher"
            );
        }
        let job = ranks::with_own_card(job);
        let session = session(self.renderer).build()?;
        let cancel = cancel_on_ctrl_c();
        let display = Display::new(if world.rank() == 0 { style } else { Style::None });
        Ok(session.run_among(world, &job, Context::new(&display, &cancel))?)
    }
}

/// Runs a job and shows how far it is.
pub(crate) fn run_job(session: &Session, job: &Job, style: Style) -> Result<Finished> {
    run_stages(session, job, &[], style)
}

/// Runs a job, or some of its stages alone, and shows how far it is.
fn run_stages(session: &Session, job: &Job, stages: &[Stage], style: Style) -> Result<Finished> {
    let cancel = cancel_on_ctrl_c();
    let display = Display::new(style);
    let context = Context::new(&display, &cancel);
    let finished = match stages {
        [] => session.run(job, context)?,
        stages => session.run_stages(job, stages, context)?,
    };
    if let (Some(made), false) = (&finished.condition, matches!(style, Style::Json | Style::None)) {
        eprintln!(
            "{} frames, {:.1} frames a second, rendered by {}",
            made.frames,
            made.frames as f64 / made.stage.seconds,
            made.renderer
        );
    }
    Ok(finished)
}
