//! Command line: `synth clips` writes clips, `synth sheet` a picture of some for looking.

use clap::{Parser, Subcommand, ValueEnum};
use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use synth::sheet::Sheet;
use synth::stats::Stats;
use synth::{Clip, Maker, Part, Shot, Split, layout, shots};

#[derive(Parser)]
#[command(
    name = "synth",
    about = "Makes synthetic training clips: a person in a lit scene, and what the pipeline would be given of it"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write clips as flat files of bytes, with layout.json beside them.
    Clips {
        /// Folder for the files.
        #[arg(long)]
        out: PathBuf,
        /// Parts to leave out: plate, normals, shadow, ...
        #[arg(long, value_delimiter = ',')]
        omit: Vec<String>,
        /// Stop beginning new clips after so many seconds.
        #[arg(long)]
        until: Option<f64>,
        #[command(flatten)]
        which: Which,
    },
    /// Write a contact sheet: a row a clip; reference, then blend, mesh, target and plate of frames 0, 8 and 15.
    Sheet {
        /// The picture to write.
        #[arg(long)]
        out: PathBuf,
        /// Parts to show after the reference.
        #[arg(long, value_delimiter = ',', default_value = "blend,mesh,target,plate")]
        parts: Vec<String>,
        /// Frames to show.
        #[arg(long, value_delimiter = ',', default_value = "0,8,15")]
        frames: Vec<usize>,
        /// Enlarge so many times.
        #[arg(long, default_value_t = 1)]
        zoom: u32,
        #[command(flatten)]
        which: Which,
    },
    /// Write shots of people with the truth about them: a folder each, with pictures, mattes and motions.
    Shots {
        /// Folder for the shots.
        #[arg(long)]
        out: PathBuf,
        /// Kinds of shots; all of them unless said.
        #[arg(long, value_delimiter = ',')]
        kinds: Vec<String>,
        /// Seeds: a shot of each kind for each.
        #[arg(long, value_delimiter = ',', default_value = "1")]
        seeds: Vec<u64>,
        /// Frames of a shot.
        #[arg(long, default_value_t = 24)]
        frames: usize,
        /// Width and height in pixels.
        #[arg(long, value_delimiter = ',', default_value = "480,272")]
        size: Vec<u32>,
    },
    /// Print figures of clips: PSNR of the blend against the target on the person, in the shadow and everywhere.
    Stats {
        #[command(flatten)]
        which: Which,
    },
}

#[derive(clap::Args)]
struct Which {
    /// Number of the first clip.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// How many clips.
    #[arg(long)]
    count: u64,
    /// Seed of everything.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Which set.
    #[arg(long, value_enum, default_value_t = Set::Train)]
    split: Set,
    /// Threads; as many as there are cores unless said.
    #[arg(long)]
    threads: Option<usize>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Set {
    Train,
    Val,
}

impl Which {
    fn split(&self) -> Split {
        match self.split {
            Set::Train => Split::Train,
            Set::Val => Split::Val,
        }
    }
}

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Outcome<()> {
    match command {
        Command::Clips { out, omit, until, which } => clips(&out, &omit, until, &which),
        Command::Sheet { out, parts, frames, zoom, which } => {
            let parts = named(&parts)?;
            let made = Mutex::new(Vec::new());
            each(&which, &Part::ALL, None, |n, clip| {
                lock(&made).push((n, clip));
                Ok(())
            })?;
            let mut made = made.into_inner().unwrap_or_else(|e| e.into_inner());
            made.sort_by_key(|(n, _)| *n);
            let clips: Vec<Clip> = made.into_iter().map(|(_, clip)| clip).collect();
            Sheet { parts, frames, zoom }.draw(&clips).save(&out)?;
            Ok(())
        }
        Command::Stats { which } => stats(&which),
        Command::Shots { out, kinds, seeds, frames, size } => {
            let [width, height] = size[..] else { return Err("--size takes WIDTH,HEIGHT".into()) };
            let kind = |name: &String| {
                Shot::from_name(name).ok_or_else(|| {
                    let known: Vec<&str> = Shot::ALL.iter().map(|shot| shot.name()).collect();
                    format!("{name:?} is no kind of shot: {}", known.join(", "))
                })
            };
            let kinds: Vec<Shot> = if kinds.is_empty() {
                Shot::ALL.to_vec()
            } else {
                kinds.iter().map(kind).collect::<Result<_, _>>()?
            };
            for (shot, seed) in kinds.iter().flat_map(|shot| seeds.iter().map(move |seed| (*shot, *seed))) {
                let folder = out.join(format!("{}-{seed}", shot.name()));
                shots::write(shot, seed, [width, height], frames, &folder)?;
                writeln!(std::io::stdout(), "{}", folder.display())?;
            }
            Ok(())
        }
    }
}

fn named(names: &[String]) -> Outcome<Vec<Part>> {
    let part =
        |name: &String| Part::from_name(name).ok_or_else(|| format!("a clip has no part {name:?}").into());
    names.iter().map(part).collect()
}

fn clips(out: &Path, omit: &[String], until: Option<f64>, which: &Which) -> Outcome<()> {
    let omit = named(omit)?;
    let parts: Vec<Part> = Part::ALL.into_iter().filter(|p| !omit.contains(p)).collect();
    std::fs::create_dir_all(out)?;
    let text = serde_json::to_vec_pretty(&layout::describe(&parts))?;
    write(&out.join("layout.json"), &text)?;
    let begin = Instant::now();
    let made = each(which, &parts, until.map(|s| begin + Duration::from_secs_f64(s.max(0.0))), |n, clip| {
        write(&out.join(format!("clip_{n:08}.bin")), &clip.bytes(&parts))
    })?;
    let seconds = begin.elapsed().as_secs_f64();
    writeln!(std::io::stdout(), "{made} clips in {seconds:.1} s")?;
    Ok(())
}

/// Makes clips on threads, each alone on its thread, and hands them over. Returns how many were made.
fn each(
    which: &Which,
    parts: &[Part],
    end: Option<Instant>,
    done: impl Fn(u64, Clip) -> Outcome<()> + Sync,
) -> Outcome<u64> {
    let threads = match which.threads {
        Some(n) => n.max(1),
        None => std::thread::available_parallelism().map_or(1, |n| n.get()),
    };
    let next = AtomicU64::new(0);
    let made = AtomicU64::new(0);
    let work = || -> Outcome<()> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
        pool.install(|| {
            let mut maker = Maker::new()?;
            loop {
                let k = next.fetch_add(1, Ordering::Relaxed);
                if k >= which.count || end.is_some_and(|end| Instant::now() >= end) {
                    return Ok(());
                }
                let n = which.first + k;
                done(n, maker.clip(which.seed, which.split(), n, parts)?)?;
                made.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for handle in handles {
            handle.join().map_err(|_| "a thread ended early")??;
        }
        Outcome::Ok(())
    })?;
    Ok(made.into_inner())
}

/// Under a temporary name first, so that nothing half written is found.
fn write(path: &Path, bytes: &[u8]) -> Outcome<()> {
    let part = path.with_extension("part");
    std::fs::write(&part, bytes).map_err(|e| format!("{}: {e}", part.display()))?;
    std::fs::rename(&part, path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|e| e.into_inner())
}

/// A line for each clip, then the means.
fn stats(which: &Which) -> Outcome<()> {
    let rows = Mutex::new(Vec::new());
    each(which, &Part::ALL, None, |n, clip| {
        lock(&rows).push((n, Stats::of(&clip)));
        Ok(())
    })?;
    let mut rows = rows.into_inner().unwrap_or_else(|e| e.into_inner());
    rows.sort_by_key(|r| r.0);
    let mut out = std::io::stdout();
    for (n, row) in &rows {
        writeln!(out, "{n}: {row}")?;
    }
    let all: Vec<Stats> = rows.into_iter().map(|r| r.1).collect();
    writeln!(out, "mean: {}", Stats::mean(&all))?;
    Ok(())
}
