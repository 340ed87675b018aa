//! Processes that a launcher (mpirun, srun) started as ranks of one job.

use anyhow::{Result, bail};
use pipeline::Job;
use ranks::Collectives;
use std::fmt;
use std::io::Write;

/// What launchers tell each of their processes: Open MPI, MPICH and Intel MPI, Slurm.
const SIZES: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"];
const LOCAL_RANKS: [&str; 3] = ["OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"];

/// The first of these variables that is a number.
fn number(names: &[&str]) -> Option<usize> {
    names.iter().find_map(|name| std::env::var(name).ok()?.parse().ok())
}

/// The world that a launcher started, where there is one; `asked` is how many ranks the command line wants.
pub(crate) fn join(asked: Option<usize>) -> Result<Option<Box<dyn Collectives>>> {
    match number(&SIZES) {
        Some(size) if size > 1 => start(size, asked).map(Some),
        _ => Ok(None),
    }
}

#[cfg(feature = "mpi")]
fn start(launched: usize, asked: Option<usize>) -> Result<Box<dyn Collectives>> {
    let world = ranks::Mpi::start()?;
    let (size, rank) = (world.size(), world.rank());
    if size != launched {
        bail!(
            "the launcher started {launched} processes and MPI knows of {size}: they belong to different MPI libraries (under Slurm, \
             srun --mpi=pmix may be missing)"
        );
    }
    if asked.is_some_and(|asked| asked != size) {
        let why = format!("--ranks {}: the launcher started {size} processes", asked.unwrap_or_default());
        world.fail(&why);
        if rank == 0 {
            bail!("{why}");
        }
        return Err(Told.into());
    }
    Ok(Box::new(world))
}

/// Several processes that know nothing of each other would write over each other's results.
#[cfg(not(feature = "mpi"))]
fn start(size: usize, _: Option<usize>) -> Result<Box<dyn Collectives>> {
    bail!(
        "this is one of {size} processes of a launcher (mpirun, srun), and this build can't join them: build with the feature `mpi`, \
         or start one process"
    );
}

/// The job with a card for this process, where the node has one for each.
pub(crate) fn with_own_card(job: &Job) -> Job {
    let mut job = job.clone();
    if let ("auto" | "cuda", Some(local)) = (job.models.device.as_str(), number(&LOCAL_RANKS)) {
        let own = format!("cuda:{local}");
        if pipeline::models::open_device(&own).is_ok() {
            job.models.device = own;
        }
    }
    job
}

/// An error that is on the terminal already.
#[derive(Debug)]
pub(crate) struct Told;

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a rank failed")
    }
}

impl std::error::Error for Told {}

/// Says what went wrong on this rank before the ranks part: a launcher ends all processes when the first one ends badly.
pub(crate) fn told<T>(world: &dyn Collectives, result: Result<T>) -> Result<T> {
    let Err(error) = result else { return result };
    if error.downcast_ref().is_some_and(|e| matches!(e, pipeline::Error::Cancelled)) {
        return Err(error);
    }
    world.fail(&format!("{error:#}"));
    // In one piece, since all ranks write to one terminal.
    let line = format!("rank {}: error: {error:#}\n", world.rank());
    let _ = std::io::stderr().write_all(line.as_bytes());
    Err(Told.into())
}
