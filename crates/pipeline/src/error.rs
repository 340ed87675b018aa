//! What can go wrong in a job.

use crate::Stage;
use crate::models::GIB;
use std::path::PathBuf;

/// The crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong in a job.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller asked the run to stop.
    #[error("cancelled")]
    Cancelled,
    /// A setting that can't be honoured.
    #[error("{option}: {why}")]
    Option {
        /// The setting's name, as in a job file.
        option: &'static str,
        /// What is wrong with it and what would be right.
        why: String,
    },
    /// An output that would overwrite what is read, or another output.
    #[error("{output}: {} is {input} too, or lies among its files: choose another place for it", path.display())]
    Overwrites {
        /// The output's setting.
        output: String,
        /// Its path.
        path: PathBuf,
        /// The setting of what would be lost.
        input: String,
    },
    /// A job file that can't be understood.
    #[error("the job can't be read or written: {0}")]
    Settings(String),
    /// A file or folder that can't be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// A disk that is too full.
    #[error("{}: {:.1} GiB are needed, the disk has {:.1} free", path.display(), *needed as f64 / GIB, *free as f64 / GIB)]
    NoRoom {
        /// What was to be written.
        path: PathBuf,
        /// Bytes that it takes.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// A file whose content isn't what its name promises.
    #[error("{}: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Tensors that can't be stored.
    #[error("{}: these tensors can't be written: {why}", path.display())]
    Tensors {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// An input is missing that the job needs.
    #[error("{stage}: {what}", stage = stage.name())]
    Missing {
        /// The stage that needs it.
        stage: Stage,
        /// What is missing and how to give it.
        what: String,
    },
    /// Another run is making the same result.
    #[error("{stage}: {owner} is making this result, or took it over: wait until it is done, or end it", stage = stage.name())]
    Busy {
        /// The stage.
        stage: Stage,
        /// Who has it.
        owner: String,
    },
    /// What was found wrong before anything ran.
    #[error("the job can't run:\n{0}")]
    Findings(Box<crate::Findings>),
    /// Frames of a raw video whose masks or motion can't be trusted.
    #[error(
        "{frames} of {of} frames can't be trusted:\n{}\nNothing was written. Look at the masks (--until masks --force), bring better ones (--mask), or go on all the same with --force",
        runs.join("\n")
    )]
    Doubtful {
        /// How many.
        frames: usize,
        /// Of how many.
        of: usize,
        /// Which, and why, a line each.
        runs: Vec<String>,
    },
    /// Guidance needs a negative branch.
    #[error("a guidance scale of {cfg_scale} needs a negative prompt's context; a scale of 1 needs none")]
    NegativeMissing {
        /// The scale.
        cfg_scale: f64,
    },
    /// There is no step-cache polynomial for this model.
    #[error(
        "there is no step-cache polynomial for {name:?}: take one of Wan2.1-T2V-1.3B, Wan2.1-T2V-14B, Wan2.1-I2V-14B-480P, Wan2.1-I2V-14B-720P"
    )]
    TeaCacheModel {
        /// The name.
        name: String,
    },
    /// A step cache's tokens lie on several ranks.
    #[error(
        "the step cache's tokens lie on several ranks, and nobody asked for the whole: a watcher that saves says so in Watch::saves"
    )]
    PartOfAState,
    /// Ranks that can't work together.
    #[error(transparent)]
    Ranks(#[from] ranks::Error),
    /// Two videos that should match don't.
    #[error("{what}: {a} and {b} don't match")]
    Mismatch {
        /// What doesn't match.
        what: &'static str,
        /// The first one's.
        a: String,
        /// The second one's.
        b: String,
    },
    /// Body or motion.
    #[error(transparent)]
    Body(#[from] smplx::Error),
    /// Avatar or rendering.
    #[error(transparent)]
    Render(#[from] avatar_render::Error),
    /// Tracking a person, or fitting a motion.
    #[error(transparent)]
    Person(#[from] mocap::Error),
    /// The scene's light.
    #[error(transparent)]
    Light(#[from] scene_light::Error),
    /// Masks or compositing.
    #[error(transparent)]
    Mask(#[from] bg_mask::Error),
    /// A comparison, or the report.
    #[error(transparent)]
    Evaluation(#[from] evaluation::Error),
    /// Video in or out.
    #[error(transparent)]
    Media(#[from] media::Error),
    /// Weight files.
    #[error(transparent)]
    Checkpoint(#[from] checkpoint::Error),
    /// From condition frames to what the transformer is given.
    #[error(transparent)]
    Conditioning(conditioning::Error),
    /// The diffusion transformer.
    #[error(transparent)]
    Dit(dit::Error),
    /// The VAE.
    #[error(transparent)]
    Vae(#[from] vae::Error),
    /// LHM failed, or was given a picture that doesn't serve.
    #[error(transparent)]
    Avatar(lhm::Error),
    /// The encoders.
    #[error(transparent)]
    Encoder(encoders::Error),
    /// The sampler.
    #[error(transparent)]
    Sampler(#[from] sampler::Error),
    /// A tensor operation.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// A broken promise of this crate.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

impl From<conditioning::Error> for Error {
    fn from(error: conditioning::Error) -> Self {
        match error {
            conditioning::Error::Cancelled => Self::Cancelled,
            other => Self::Conditioning(other),
        }
    }
}

impl From<encoders::Error> for Error {
    fn from(error: encoders::Error) -> Self {
        match error {
            encoders::Error::Cancelled { .. } => Self::Cancelled,
            other => Self::Encoder(other),
        }
    }
}

impl From<lhm::Error> for Error {
    fn from(error: lhm::Error) -> Self {
        match error {
            lhm::Error::Cancelled => Self::Cancelled,
            other => Self::Avatar(other),
        }
    }
}

impl From<dit::Error> for Error {
    fn from(error: dit::Error) -> Self {
        match error {
            dit::Error::Cancelled { .. } => Self::Cancelled,
            dit::Error::Ranks(error) => Self::Ranks(error),
            other => Self::Dit(other),
        }
    }
}
