//! AniCrafter as a library: an avatar, a motion and a background video in, a video of the character in that scene out.
//!
//! A [`Job`] says everything a run is told. [`animate`] runs it stage by stage into a work folder, [`write_video`] joins
//! the decoded windows and encodes the result. Each stage can be used alone: [`composite::Compositor`] makes the
//! condition frames, [`conditions::Clip`] the tensors, [`denoise::denoise`] is the loop over any [`dit::WanModel`],
//! [`eval::evaluate`] compares videos. [`replace`] comes before all that: a raw video becomes masks, motion and plate.
//!
//! ```no_run
//! use anicrafter_pipeline::{Actor, CancelToken, Context, Event, Job, Preset, animate, write_video};
//!
//! let mut job = Job::new(Preset::Demo);
//! job.input.actors.push(Actor { avatar: "avatar.safetensors".into(), motion: "motion.json".into() });
//! job.input.background = "street.mp4".into();
//! let observer = |event: &Event| eprintln!("{event:?}");
//! let cancel = CancelToken::new();
//! let context = Context::new(&observer, &cancel);
//! let mut outcome = animate(&job, "cpu".parse()?, context)?;
//! write_video(&job, &mut outcome, context)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod animate;
pub mod composite;
mod condition_files;
pub mod conditions;
pub mod denoise;
mod detail;
mod error;
pub mod eval;
mod finish;
mod job;
pub mod models;
mod person;
mod progress;
mod replace;
pub mod report;
mod stages;
pub mod windows;
pub mod work;

pub use animate::{Outcome, animate, composite};
pub use composite::{gray, open_body};
pub use condition_files::ConditionFiles;
pub use detail::{DetailFrame, DetailTransfer, EdgeRing, Place};
pub use error::{Error, Result};
pub use finish::{beside, frame_rate, sound, write_video};
pub use job::{
    Activations, Actor, Blend, Dtype, FirstFrame, Fit, Input, Job, Lora, Models, NEGATIVE_PROMPT, Output,
    PROMPT, Preset, Prompt, Video,
};
pub use person::{Person, PersonOptions, find_person};
pub use progress::{CancelToken, Context, Event, Observer, Quiet, Stage, peak_memory};
pub use replace::{Replace, Replaced, replace};
pub use stages::DecodedWindow;
