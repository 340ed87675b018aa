//! `anicrafter farm`: many shots, on schedulers or here.

#[cfg(not(feature = "cloud"))]
use crate::no_store::Mirror;
use crate::progress::{Display, Style, cancel_on_ctrl_c, cancel_on_signals};
use anyhow::{Context, Result, bail};
use clap::{Subcommand, ValueEnum};
#[cfg(feature = "cloud")]
use farm::Mirror;
use farm::slurm::{SlurmOptions, SlurmStore};
use farm::{Farm, Group, LocalEvent, LocalOptions, Resources, Status, TaskOptions, Verdict};
use pipeline::Context as Running;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Many shots: jobs become tasks that Slurm, an OpenJD scheduler or this machine runs.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  anicrafter farm export --for local -o farm one.toml two.toml three.toml
  anicrafter farm run farm --at-once 2
  anicrafter farm export --for slurm -o /shared/farm --base base.toml shots.csv --gpu --sbatch=--partition=batch
  sh /shared/farm/slurm/submit.sh
  anicrafter farm status /shared/farm
  anicrafter farm collect /shared/farm -o videos

Exit codes of a task: 0 done, 75 again (it was stopped and has saved, or another machine is at it), 1 never, 2 a command line
that can't be understood.";

#[derive(Subcommand)]
enum Command {
    /// Makes a farm of jobs: a folder on a file system that all machines see, and what a scheduler takes.
    Export(Box<ExportArgs>),
    /// Runs a farm's shots on this machine. What is done isn't done again.
    Run(RunArgs),
    /// Runs one task: what the exported scripts call.
    Task(TaskArgs),
    /// Prints the numbers of the shots that aren't done, as Slurm's arrays take them.
    Todo {
        #[command(flatten)]
        farm: Place,
        /// Only shots with these tasks: a number of `slurm/N-….sbatch`.
        #[arg(long)]
        chain: Option<usize>,
        /// Only these shots: names, or numbers from 0.
        shots: Vec<String>,
    },
    /// Shows how far a farm is, by its folders: shots and tasks, failures and why, machine hours.
    Status {
        #[command(flatten)]
        farm: Place,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Gathers the videos that are done, with a page that shows them all.
    Collect {
        #[command(flatten)]
        farm: Place,
        /// The folder for videos and page (index.html).
        #[arg(short, long)]
        output: PathBuf,
    },
}

/// Where a farm is.
#[derive(clap::Args)]
struct Place {
    /// The farm's folder; or its address in an object store, with --cache.
    farm: PathBuf,
    /// A folder of this machine's own for what it needs of farms in object stores. What is there isn't fetched again.
    #[arg(long)]
    cache: Option<PathBuf>,
}

impl Place {
    /// The mirror of a farm in an object store; nothing for a folder.
    fn mirror(&self) -> Result<Option<Mirror>> {
        mirror(&self.farm, self.cache.as_deref())
    }

    /// The farm as it is now.
    fn open(&self) -> Result<Farm> {
        Ok(match self.mirror()? {
            Some(mirror) => mirror.pull()?,
            None => Farm::open(&self.farm)?,
        })
    }
}

/// Is this an address in an object store, and not a folder's path?
fn is_address(path: &Path) -> bool {
    path.to_string_lossy().contains("://")
}

fn mirror(farm: &Path, cache: Option<&Path>) -> Result<Option<Mirror>> {
    let address = farm.to_string_lossy();
    match (is_address(farm), cache) {
        (false, None) => Ok(None),
        (false, Some(_)) => bail!("--cache is for farms in object stores, and {address} is a folder"),
        (true, None) => {
            bail!("{address} is in an object store: give --cache FOLDER, for what this machine needs of it")
        }
        (true, Some(cache)) => Ok(Some(Mirror::open(&address, cache)?)),
    }
}

/// Who is to run a farm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scheduler {
    /// Scripts for sbatch: arrays with dependencies.
    Slurm,
    /// A job template of Open Job Description.
    Openjd,
    /// This machine: `anicrafter farm run`.
    Local,
}

#[derive(clap::Args)]
struct ExportArgs {
    /// Job files (.toml, .json), one a shot, and tables of shots (.csv): a row a shot, a column for each setting that differs, as
    /// `anicrafter job` names them (sampling.seed, or seed), beside name, avatar, motion and output.
    #[arg(required = true)]
    jobs: Vec<PathBuf>,
    /// Who is to run it.
    #[arg(long = "for", value_enum)]
    scheduler: Scheduler,
    /// The farm's folder, on a file system that all machines see; or an address in an object store (s3://bucket/farm, gs://…, az://…),
    /// with --cache.
    #[arg(short, long)]
    output: PathBuf,
    /// This machine's folder for what it needs of farms in object stores.
    #[arg(long)]
    cache: Option<PathBuf>,
    /// The job file that the rows of a table change.
    #[arg(long)]
    base: Option<PathBuf>,
    /// What renders avatars, on all machines.
    #[arg(long, default_value = "cpu")]
    renderer: String,
    /// What reckoned memory and time are multiplied by; 1.5 where it isn't given.
    #[arg(long)]
    reserve: Option<f64>,
    /// Cores of a task: a number for all, or GROUP=NUMBER. May be given several times.
    #[arg(long)]
    cores: Vec<String>,
    /// Memory of a group's tasks in GiB, in place of the plan's with its reserve: GROUP=GIB.
    #[arg(long, value_parser = of_group)]
    memory: Vec<(Group, f64)>,
    /// Hours of a group's tasks, in place of what was reckoned on this machine: GROUP=HOURS; or a number for those that can't be
    /// reckoned.
    #[arg(long)]
    hours: Vec<String>,
    /// Tasks with models ask for a graphics processor.
    #[arg(long)]
    gpu: bool,
    /// How often a task is put back into Slurm's queue before it is given up; 10 where it isn't given.
    #[arg(long)]
    restarts: Option<u32>,
    /// How many tasks of one Slurm array run at once.
    #[arg(long)]
    at_once: Option<usize>,
    /// A further option for sbatch: --sbatch=--partition=gpu for all tasks, --sbatch=denoise:--partition=gpu for those of a group.
    #[arg(long)]
    sbatch: Vec<String>,
    /// The command anicrafter on the machines that run tasks; this one, where it isn't given.
    #[arg(long)]
    program: Option<PathBuf>,
}

#[derive(clap::Args)]
struct RunArgs {
    /// The farm's folder.
    farm: PathBuf,
    /// How many tasks run at once. Their threads share the machine's cores.
    #[arg(short = 'n', long, default_value_t = 1)]
    at_once: usize,
    /// Memory in GiB that running tasks may take together, by their plans.
    #[arg(long)]
    memory: Option<f64>,
    /// How often a task that was stopped or killed is run again.
    #[arg(long, default_value_t = Resources::default().restarts)]
    restarts: u32,
}

#[derive(clap::Args)]
struct TaskArgs {
    #[command(flatten)]
    farm: Place,
    /// The shot: its name, or its number from 0.
    #[arg(long)]
    shot: String,
    /// The task: find, composite, text, condition, denoise, decode or finish.
    #[arg(long)]
    task: Group,
    /// What the scheduler calls it, for the record.
    #[arg(long)]
    scheduler: Option<String>,
    /// Seconds to wait for a result that another machine is making, before the task ends with 75.
    #[arg(long, default_value_t = 600)]
    patience: u64,
    /// Stops, as on SIGTERM, when standard input ends: with the program that started it.
    #[arg(long)]
    while_stdin: bool,
}

pub(crate) fn run(args: Args, style: Style, threads: Option<usize>) -> Result<ExitCode> {
    match args.command {
        Command::Export(args) => export(*args, style).map(|()| ExitCode::SUCCESS),
        Command::Run(args) => run_here(&args, style, threads),
        Command::Task(args) => task(args, style),
        Command::Todo { farm, chain, shots } => todo(&farm, chain, &shots).map(|()| ExitCode::SUCCESS),
        Command::Status { farm, json } => {
            let status = Status::of(&farm.open()?)?;
            if json {
                println!("{}", serde_json::to_string_pretty(&status)?);
            } else {
                print!("{}", status.to_text());
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Collect { farm, output } => {
            let made = collect(&farm, &output, style)?;
            println!("{} files\npage  {}", made.files.len(), made.page.display());
            if !made.missing.is_empty() {
                println!("not done: {}", made.missing.join(", "));
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// GROUP=NUMBER.
fn of_group(text: &str) -> Result<(Group, f64), String> {
    let (group, number) = text.split_once('=').ok_or("write GROUP=NUMBER, as in denoise=12")?;
    let number = number.parse().map_err(|_| format!("{number:?} isn't a number"))?;
    Ok((group.parse()?, number))
}

impl ExportArgs {
    fn resources(&self) -> Result<Resources> {
        let usual = Resources::default();
        let mut all = Resources {
            reserve: self.reserve.unwrap_or(usual.reserve),
            gpu: self.gpu,
            restarts: self.restarts.unwrap_or(usual.restarts),
            memory_of: self.memory.iter().copied().collect(),
            ..usual
        };
        for text in &self.cores {
            match text.parse() {
                Ok(cores) => all.cores = cores,
                Err(_) => {
                    all.cores_of.extend([of_group(text).map_err(|why| anyhow::anyhow!("--cores: {why}"))?]);
                }
            }
        }
        for text in &self.hours {
            match text.parse() {
                Ok(hours) => all.unknown_hours = hours,
                Err(_) => {
                    all.hours_of.extend([of_group(text).map_err(|why| anyhow::anyhow!("--hours: {why}"))?]);
                }
            }
        }
        all.check()?;
        Ok(all)
    }

    /// Options of another scheduler would be without effect.
    fn refuse_what_nobody_reads(&self) -> Result<()> {
        let of_slurm = [
            ("--sbatch", !self.sbatch.is_empty()),
            ("--at-once", self.at_once.is_some()),
            ("--restarts", self.restarts.is_some()),
        ];
        let of_clusters = [
            ("--reserve", self.reserve.is_some()),
            ("--cores", !self.cores.is_empty()),
            ("--memory", !self.memory.is_empty()),
            ("--hours", !self.hours.is_empty()),
            ("--gpu", self.gpu),
            ("--program", self.program.is_some()),
        ];
        let given =
            |all: &[(&'static str, bool)]| all.iter().find(|(_, given)| *given).map(|(name, _)| *name);
        if self.scheduler == Scheduler::Local
            && let Some(name) = given(&of_clusters).or_else(|| given(&of_slurm))
        {
            bail!(
                "{name} is for other schedulers: on this machine, anicrafter farm run has options of its own"
            );
        }
        if self.scheduler == Scheduler::Openjd
            && let Some(name) = given(&of_slurm)
        {
            bail!("{name} is for Slurm's scripts (--for slurm)");
        }
        Ok(())
    }

    fn sbatch(&self) -> Result<Vec<(Option<Group>, String)>> {
        let each = |text: &String| match text.split_once(':') {
            Some((group, option)) if option.starts_with("--") => {
                let group = group.parse().map_err(|why| anyhow::anyhow!("--sbatch: {why}"))?;
                Ok((Some(group), option.to_owned()))
            }
            _ => Ok((None, text.clone())),
        };
        self.sbatch.iter().map(each).collect()
    }
}

fn export(args: ExportArgs, style: Style) -> Result<()> {
    for path in args.jobs.iter().chain(&args.base) {
        if is_address(path) {
            bail!(
                "{}: jobs and tables are read from files; only the farm may be in an object store",
                path.display()
            );
        }
    }
    let mirror = mirror(&args.output, args.cache.as_deref())?;
    args.refuse_what_nobody_reads()?;
    let (resources, more) = (args.resources()?, args.sbatch()?);
    let program = match &args.program {
        Some(program) => program.clone(),
        None => std::env::current_exe().context("this program's own path; name one with --program")?,
    };
    // In a store, videos have names of the farm's own.
    let videos = if mirror.is_some() { PathBuf::from("videos") } else { args.output.join("videos") };
    let shots = farm::read_shots(&args.jobs, args.base.as_deref(), &videos)?;
    let renderer = args.renderer.parse().map_err(|why| anyhow::anyhow!("--renderer: {why}"))?;
    let session = crate::animate::session(renderer).build()?;
    let made = match &mirror {
        None => Farm::create(&args.output, shots, &session, &args.renderer)?,
        Some(mirror) => upload(mirror, shots, &session, &args.renderer, style)?,
    };
    let tasks: usize = made.shots.iter().map(|shot| shot.tasks.len()).sum();
    println!("{} shots, {tasks} tasks in {}", made.shots.len(), args.output.display());
    for task in made.chains().iter().flat_map(|chain| &chain.tasks) {
        let time = match task.needs.seconds {
            Some(seconds) => format!("{seconds:.1} s on this machine"),
            None => "time unknown".to_owned(),
        };
        let gib = task.needs.memory_bytes as f64 / pipeline::models::GIB;
        println!("  {:<10} up to {gib:.2} GiB, {time}", task.task.group.name());
    }
    match args.scheduler {
        Scheduler::Slurm => {
            let cache = args.cache.map(std::path::absolute).transpose().context("--cache")?;
            let store =
                cache.map(|cache| SlurmStore { address: args.output.to_string_lossy().into(), cache });
            let options = SlurmOptions { program, resources, at_once: args.at_once, more, store };
            let (submit, notes) = farm::slurm::export(&made, &options)?;
            notes.iter().for_each(|note| println!("note: {note}"));
            println!("submit it with  sh {}", submit.display());
        }
        Scheduler::Openjd => {
            let address = mirror.is_some().then(|| args.output.to_string_lossy());
            let template = farm::openjd::export(&made, &program, &resources, address.as_deref())?;
            println!("template  {}", template.display());
        }
        Scheduler::Local if mirror.is_some() => println!(
            "run its tasks with  anicrafter farm task {} --cache FOLDER --shot SHOT --task TASK",
            args.output.display()
        ),
        Scheduler::Local => println!("run it with  anicrafter farm run {}", made.root().display()),
    }
    Ok(())
}

fn upload(
    mirror: &Mirror,
    shots: Vec<farm::NamedJob>,
    session: &pipeline::Session,
    renderer: &str,
    style: Style,
) -> Result<Farm> {
    let (display, cancel) = (Display::new(style), cancel_on_ctrl_c());
    let context = Running::new(&display, &cancel);
    let (made, bytes) = mirror.create(shots, session, renderer, context)?;
    println!(
        "inputs and weights: {:.1} MiB, what was there already included",
        bytes as f64 / f64::from(1 << 20)
    );
    Ok(made)
}

fn collect(place: &Place, to: &Path, style: Style) -> Result<farm::Collected> {
    Ok(match place.mirror()? {
        Some(mirror) => {
            let (display, cancel) = (Display::new(style), cancel_on_ctrl_c());
            mirror.collect(to, Running::new(&display, &cancel))?
        }
        None => farm::collect(&Farm::open(&place.farm)?, to)?,
    })
}

fn run_here(args: &RunArgs, style: Style, threads: Option<usize>) -> Result<ExitCode> {
    if is_address(&args.farm) {
        bail!(
            "{}: farm run walks a folder; of a farm in an object store, a scheduler runs tasks (anicrafter farm task)",
            args.farm.display()
        );
    }
    let made = Farm::open(&args.farm)?;
    let cores = threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let options = LocalOptions {
        program: std::env::current_exe().context("this program's own path")?,
        at_once: args.at_once,
        threads: (cores / args.at_once.max(1)).max(1),
        memory_gib: args.memory,
        restarts: args.restarts,
    };
    let cancel = cancel_on_ctrl_c();
    let bar = (style == Style::Auto && std::io::stderr().is_terminal())
        .then(|| crate::progress::bar("{msg:32} [{bar:36}] {pos}/{len} {elapsed}", 0));
    let tell = |event: &LocalEvent| match (event, style) {
        (event, Style::Json) => {
            if let Ok(line) = serde_json::to_string(event) {
                println!("{line}");
            }
        }
        (LocalEvent::Started { shot, task, .. }, _) => {
            if let Some(bar) = &bar {
                bar.set_message(format!("{shot} {}", task.name()));
                bar.tick();
            }
        }
        (LocalEvent::Ended { shot, task, verdict, seconds, again, done, total, log }, _) => {
            let how = match (verdict, again) {
                (Verdict::Done, _) => "done".to_owned(),
                (_, true) => "stopped, runs again".to_owned(),
                (Verdict::Again, _) => "stopped".to_owned(),
                (Verdict::Never, _) => format!("failed: {}", log.display()),
            };
            let line = format!("{shot:<20} {:<10} {seconds:>7.1} s  {how}", task.name());
            match &bar {
                Some(bar) => {
                    bar.set_length(*total as u64);
                    bar.set_position(*done as u64);
                    bar.println(line);
                }
                None if style != Style::None || *verdict == Verdict::Never => {
                    eprintln!("[{done}/{total}] {line}");
                }
                None => {}
            }
        }
    };
    let summary = farm::run_local(&made, &options, &tell, &cancel)?;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let shots = made.shots.len();
    if style == Style::Json {
        println!("{}", serde_json::to_string(&summary)?);
    } else {
        println!("{} of {shots} shots are done", summary.done);
    }
    if summary.stopped {
        eprintln!("stopped; the same command goes on from here");
        return Ok(ExitCode::from(Verdict::Again.code()));
    }
    if summary.done < shots {
        eprintln!("anicrafter farm status {} says why", args.farm.display());
        return Ok(ExitCode::from(Verdict::Never.code()));
    }
    Ok(ExitCode::SUCCESS)
}

fn task(args: TaskArgs, style: Style) -> Result<ExitCode> {
    let cancel = cancel_on_signals();
    if args.while_stdin {
        let cancel = cancel.clone();
        std::thread::spawn(move || {
            // An error ends it as well.
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            cancel.cancel();
        });
    }
    let options =
        TaskOptions { scheduler: args.scheduler.clone(), patience: Duration::from_secs(args.patience) };
    let display = Display::new(style);
    let end = match args.farm.mirror()? {
        Some(mirror) => task_elsewhere(&mirror, &args, &options, &display, &cancel)?,
        None => {
            let made = Farm::open(&args.farm.farm)?;
            let shot = made.find(&args.shot)?;
            farm::run_task(&made, (shot, args.task), &session_of(&made)?, &options, &display, &cancel)?
        }
    };
    if let Some(reason) = &end.reason {
        let word = if end.verdict == Verdict::Again { "again" } else { "error" };
        eprintln!("{word}: {reason}");
    }
    Ok(ExitCode::from(end.verdict.code()))
}

/// What a farm's tasks are run in.
fn session_of(farm: &Farm) -> farm::Result<pipeline::Session> {
    let renderer = farm.renderer.parse().map_err(|why| farm::Error::Damaged {
        path: farm.root().to_owned(),
        why: format!("the farm's renderer: {why}"),
    })?;
    Ok(crate::animate::session(renderer).build()?)
}

fn task_elsewhere(
    mirror: &Mirror,
    args: &TaskArgs,
    options: &TaskOptions,
    display: &Display,
    cancel: &pipeline::CancelToken,
) -> Result<farm::TaskEnd> {
    let ended = mirror.run_task((&args.shot, args.task), session_of, options, display, cancel);
    ended.or_else(|error| match Verdict::of_error(&error) {
        // The store is away for the moment: the scheduler tries again.
        verdict @ Verdict::Again => {
            Ok(farm::TaskEnd { verdict, reason: Some(error.to_string()), stages: Vec::new() })
        }
        Verdict::Done | Verdict::Never => Err(error.into()),
    })
}

fn todo(place: &Place, chain: Option<usize>, names: &[String]) -> Result<()> {
    let made = place.open()?;
    let chains = made.chains();
    let mut shots: Vec<usize> = match chain {
        None => (0..made.shots.len()).collect(),
        Some(number) => match number.checked_sub(1).and_then(|n| chains.get(n)) {
            Some(chain) => chain.shots.clone(),
            None => bail!("--chain: there are chains 1 to {}", chains.len()),
        },
    };
    if !names.is_empty() {
        let named = names.iter().map(|name| made.find(name)).collect::<farm::Result<Vec<usize>>>()?;
        shots.retain(|shot| named.contains(shot));
    }
    // Where it can't be told, the task tells why.
    shots.retain(|shot| !made.is_done(*shot).unwrap_or(false));
    println!("{}", farm::slurm::array(&shots));
    Ok(())
}
