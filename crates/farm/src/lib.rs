//! Many shots: jobs become tasks that a scheduler runs, on one machine or on many.
//!
//! A **shot** is a job with a name. Its stages ([`pipeline::Job::stages`]) fall into [`Group`]s that want the same machine; a **task** is a
//! group of one shot. A [`Farm`] is a folder on a file system that all machines see: a job file and a work folder for each shot, and one
//! folder for results that shots share. Whoever runs a task ([`run_task`]) finds what earlier ones made by its fingerprint, so
//! any machine may run any task, twice too, and one that is stopped goes on where it was.
//!
//! No scheduler is written here. [`slurm`] and [`openjd`] write what those take, [`run_local`] walks the same graph on this machine; all of
//! them tell what became of a task by its exit code ([`Verdict`]). [`Status`] reads the folder, whatever ran the tasks, and
//! [`collect`] gathers the videos.

mod clock;
mod collect;
mod error;
mod exit;
mod folder;
mod group;
mod local;
pub mod openjd;
mod record;
mod resources;
mod shots;
pub mod slurm;
mod status;
#[cfg(feature = "cloud")]
mod store;
mod table;
mod task;

pub use collect::{Collected, collect};
pub use error::{Error, Result};
pub use exit::{USAGE, Verdict};
pub use folder::{Chain, Farm, FarmTask, Shot, ShotFiles};
pub use group::{Group, Needs, Task};
pub use local::{LocalEvent, LocalOptions, Summary, run_local};
pub use record::{Attempt, Record};
pub use resources::Resources;
pub use shots::{NamedJob, read_shots};
pub use status::{Cell, ShotStatus, State, Status};
#[cfg(feature = "cloud")]
pub use store::Mirror;
pub use task::{TaskEnd, TaskOptions, run_task};

/// Where machines that run tasks keep what they need of farms in object stores, unless it is said at submission.
pub const CACHE: &str = "/var/tmp/anicrafter";
