//! The `anicrafter` command.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program")]

mod animate;
mod avatar;
mod bake;
mod body;
mod composite;
mod create;
mod demo;
mod eval;
mod eval_replace;
mod farm;
mod job;
mod models;
#[cfg(not(feature = "cloud"))]
mod no_store;
mod progress;
mod ranks;
mod replace;
mod settings;
mod studio;

use clap::{CommandFactory, Parser, Subcommand};
use std::process::ExitCode;

/// Animates a character in a scene: an avatar, a motion and a background video become a video.
#[derive(Parser)]
#[command(name = "anicrafter", version, after_help = EXAMPLES)]
struct Cli {
    /// Threads for everything that runs on the processor; all cores where it isn't given.
    #[arg(long, global = true)]
    threads: Option<usize>,
    /// How progress is shown.
    #[arg(long, global = true, value_enum, default_value_t = progress::Style::Auto)]
    progress: progress::Style,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  anicrafter demo
  anicrafter studio --library my-videos
  anicrafter composite --avatar a_gaussian.pth --scene scene_000000 -o condition.mp4
  anicrafter animate --avatar a_gaussian.pth --character a.png --scene scene_000000 \\
      --preset anicrafter --wan Wan2.1-I2V-14B-720P --anicrafter AniCrafter -o out.mp4
  anicrafter replace --video raw.mp4 --avatar a_gaussian.pth --until composite -o condition.mp4
  anicrafter animate --job job.toml --dry-run
  anicrafter avatar bake --picture me.png --body-pose me.json -o me.safetensors";

#[derive(Subcommand)]
enum Command {
    /// Runs the whole job on the embedded default.
    Demo(demo::Args),
    /// Animates an avatar in a scene, from files to video.
    Animate(animate::Args),
    /// Replaces the person in an ordinary video: finds masks, motion and background by itself, then animates.
    Replace(replace::Args),
    /// Makes the avatar-background video only: what the diffusion is conditioned on.
    Composite(composite::Args),
    /// Compares two videos: PSNR, SSIM, colour, flicker, seams. No weights are needed.
    Eval(eval::Args),
    /// Measures masks, background and motion of a raw video against a scene made by another tool.
    EvalReplace(eval_replace::Args),
    /// Makes avatars from pictures, looks at them, converts them, turns them round.
    Avatar(avatar::Args),
    /// Prints a job file with every setting, its meaning and its default.
    Job(job::Args),
    /// Exports the body, at rest or in motion.
    Body(body::Args),
    /// Looks at weights: is an installation complete, and what would a job need?
    Models(models::Args),
    /// Many shots: jobs become tasks that Slurm, an OpenJD scheduler or this machine runs.
    Farm(farm::Args),
    /// Opens the studio: a page in the browser that does the whole job, and an HTTP API behind it.
    Studio(studio::Args),
    /// Prints a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(threads) = cli.threads
        && let Err(error) = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()
    {
        eprintln!("error: {threads} threads: {error}");
        return ExitCode::FAILURE;
    }
    let result = match cli.command {
        Command::Demo(args) => demo::run(&args, cli.progress),
        Command::Animate(args) => animate::run(args, cli.progress),
        Command::Composite(args) => composite::run(args, cli.progress),
        Command::Replace(args) => replace::run(args, cli.progress),
        Command::Eval(args) => eval::run(&args),
        Command::EvalReplace(args) => eval_replace::run(&args, cli.progress),
        Command::Avatar(args) => avatar::run(&args, cli.progress),
        Command::Job(args) => job::run(&args),
        Command::Body(args) => body::run(&args),
        Command::Models(args) => models::run(args, cli.progress),
        Command::Farm(args) => match farm::run(args, cli.progress, cli.threads) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Command::Studio(args) => studio::run(args, cli.threads),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "anicrafter", &mut std::io::stdout());
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.downcast_ref().is_some_and(|e| matches!(e, pipeline::Error::Cancelled)) => {
            eprintln!("cancelled; what is finished stays in the work folder");
            ExitCode::from(130)
        }
        Err(error) if error.is::<ranks::Told>() => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            if no_room(&error) {
                eprintln!(
                    "There is no room for the file. What is finished stays: make room (or name another work folder \
                     with --work) and run the same command again."
                );
            }
            ExitCode::FAILURE
        }
    }
}

/// Did a write fail because the disk is full, a quota is used up or a file may not grow?
fn no_room(error: &anyhow::Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let causes = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    causes.map(std::io::Error::kind).any(|kind| matches!(kind, FileTooLarge | QuotaExceeded | StorageFull))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
