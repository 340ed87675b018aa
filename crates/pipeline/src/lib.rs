//! AniCrafter as a library: an avatar, a motion and a background video in, a video of the character in that scene out.
//!
//! A [`Job`] says everything that one video wants, a [`Session`] runs it: stage by stage into a work folder, to the video and
//! its report, or only as far as the job says. Each stage can be used alone: [`replace`] turns a raw video into masks, motion
//! and plate, [`composite::Compositor`] makes the condition frames, [`conditioning::Conditioner`] the tensors,
//! [`denoise::denoise`] is the loop over any [`dit::WanModel`].
//!
//! ```no_run
//! use anicrafter_pipeline::{Actor, CancelToken, Context, Event, Job, Preset, Session};
//!
//! let mut job = Job::new(Preset::Demo);
//! job.input.actors.push(Actor::new("avatar.safetensors", "motion.json"));
//! job.input.background = "street.mp4".into();
//! let (observer, cancel) = (|event: &Event| eprintln!("{event:?}"), CancelToken::new());
//! let session = Session::builder().device("cpu").build()?;
//! session.run(&job, Context::new(&observer, &cancel))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod animate;
mod character;
pub mod composite;
mod condition_files;
mod create;
pub mod denoise;
mod detail;
mod error;
mod estimate;
mod finish;
mod graph;
mod inspect;
mod job;
pub mod lease;
pub mod light;
pub mod models;
mod needs;
pub mod outputs;
mod person;
mod preview;
mod progress;
mod ranks;
mod replace;
pub mod report;
mod run;
mod scene;
mod session;
mod stages;
mod strokes;
pub mod windows;
pub mod work;

pub use animate::{Outcome, animate, composite};
pub use composite::{gray, open_body};
pub use condition_files::ConditionFiles;
pub use create::{CreatePlan, LHM_LICENCE, LhmRequest, LhmSetup, Subject, SubjectOptions, create_avatar};
pub use detail::{DetailFrame, DetailTransfer, EdgeRing, Place};
pub use error::{Error, Result};
pub use estimate::Estimate;
pub use finish::{beside, frame_rate, sound, warn_of, write_video};
pub use graph::StageNode;
pub use inspect::{Finding, Findings, inspect, inspect_weights};
pub use job::{
    Activations, Actor, Blend, Dtype, FewStepName, FirstFrame, Fit, GroundPlace, Input, InputChanges,
    Interval, Job, JobChanges, Light, LightChanges, LightSource, Lora, ModelChanges, Models, NEGATIVE_PROMPT,
    Output, OutputChanges, PROMPT, Prepare, Preset, Prompt, PromptChanges, Proportions, Replace,
    ReplaceChanges, Sampling, SamplingChanges, SolverName, StepCacheName, StepCacheSettings, Stroke,
    StrokePart, SunPlace, Until, Video, VideoChanges, Who,
};
pub use needs::StageNeeds;
pub use person::{Person, PersonOptions, find_people, find_person};
pub use preview::{Preview, SourceFrame};
pub use progress::{CancelToken, Context, Event, Observer, Quiet, ResultStore, Stage, peak_memory};
pub use replace::{Replaced, replace};
pub use report::StageRow;
pub use run::{ConditionVideo, Finished};
pub use scene::Scene;
pub use session::{Session, SessionBuilder};
pub use stages::DecodedWindow;
