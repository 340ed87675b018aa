//! A job: everything that a run is told, as data. It is written to and read from TOML or JSON.
//!
//! Each setting is defined once, in the section's file, by the macro `settings!`: value, default, the change that a file or
//! the command line makes, and the description.

mod actor;
mod changes;
pub(crate) mod check;
pub(crate) mod explain;
mod files;
mod input;
mod light;
mod models;
mod output;
mod replace;
mod sampling;
#[cfg(test)]
mod sampling_tests;
#[cfg(feature = "schema")]
mod schema;
mod settings;
mod step_cache;
mod strokes;
mod video;

pub use actor::{Actor, GroundPlace, Proportions};
pub use changes::JobChanges;
pub use input::{Input, InputChanges};
pub use light::{Light, LightChanges, LightSource, SunPlace};
pub use models::{Activations, Dtype, Lora, ModelChanges, Models, Prepare, Preset};
pub use output::{Output, OutputChanges, Until};
pub use replace::{Replace, ReplaceChanges, Who};
pub use sampling::{
    FewStepName, Interval, NEGATIVE_PROMPT, PROMPT, Prompt, PromptChanges, Sampling, SamplingChanges,
    SolverName,
};
pub use step_cache::{StepCacheName, StepCacheSettings};
pub use strokes::{Stroke, StrokePart};
pub use video::{Blend, FirstFrame, Fit, Video, VideoChanges};

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Everything a run is told.
///
/// What a file leaves out is as in its preset ([`JobChanges::into_job`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "JobChanges")]
pub struct Job {
    /// What goes in.
    pub input: Input,
    /// What the video is like.
    pub video: Video,
    /// The scene's light on the avatar, its shadow and its edges.
    pub light: Light,
    /// Which weights, where, and how they are held.
    pub models: Models,
    /// What the encoders are told.
    pub prompt: Prompt,
    /// The denoising loop.
    pub sampling: Sampling,
    /// What comes out.
    pub output: Output,
    /// The raw video in which somebody is replaced: what [`Job::input`] leaves out of motion and background is found there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replace: Option<Replace>,
}

impl Job {
    /// The job of a preset: the reference's constants for the real weights, small and fast ones for the embedded.
    #[must_use]
    pub fn new(preset: Preset) -> Self {
        let models = Models { preset, ..Models::default() };
        let (input, prompt, output) = (Input::default(), Prompt::default(), Output::default());
        let light = Light::default();
        let replace = None;
        match preset {
            Preset::AniCrafter => Self {
                input,
                // The reference writes every frame at 15 a second, whatever the background's rate: too slow or too fast.
                video: Video::default(),
                light,
                models,
                prompt,
                sampling: Sampling::reference(),
                output,
                replace,
            },
            Preset::Demo => Self {
                input,
                video: Video {
                    width: 320,
                    height: 192,
                    window: 17,
                    overlap: 4,
                    first_frame: FirstFrame::Drop,
                    ..Video::default()
                },
                light,
                models: Models { dtype: Dtype::F32, ..models },
                prompt,
                sampling: Sampling {
                    // More steps make the small weights' result worse: see assets/demo/weights/README.md.
                    steps: 1,
                    cfg_scale: 1.0,
                    bf16_timestep: false,
                    bf16_latents: false,
                    ..Sampling::reference()
                },
                output: Output { background_lock: true, detail_transfer: true, ..output },
                replace,
            },
        }
    }

    /// A job that ends with the condition video, as a video for people: as large as its background and blended correctly,
    /// where the reference's weights were trained on a blend that isn't.
    #[must_use]
    pub fn condition_video() -> Self {
        let job = Self::new(Preset::Demo);
        Self {
            video: Video { width: 0, height: 0, blend: Blend::Over, ..job.video },
            output: Output { until: Some(Until::Composite), ..job.output },
            ..job
        }
    }

    /// Reads a job file, TOML or JSON by its extension: what it doesn't say is as in its preset. Paths in it are relative to
    /// the file.
    ///
    /// # Errors
    /// When it can't be read or understood; a misspelt key is an error.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        let damaged = |why: String| Error::Damaged { path: path.to_owned(), why };
        let mut job: Self = if is_json(path) {
            serde_json::from_str(&text).map_err(|e| damaged(e.to_string()))?
        } else {
            toml::from_str(&text).map_err(|e| damaged(e.to_string()))?
        };
        if let Some(folder) = path.parent() {
            job.for_each_path(|path| {
                if path.is_relative() && !path.as_os_str().is_empty() {
                    *path = folder.join(&path);
                }
            });
        }
        Ok(job)
    }

    /// Writes the job, TOML or JSON by the extension.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut job = self.clone();
        if job.video.fps.is_none() {
            // What isn't written would be read as the preset's.
            job.video.fps = Self::new(job.models.preset).video.fps.and(Some(0.0));
        }
        let text = if is_json(path) {
            serde_json::to_string_pretty(&job).map_err(|e| Error::Settings(e.to_string()))?
        } else {
            toml::to_string_pretty(&job).map_err(|e| Error::Settings(e.to_string()))?
        };
        crate::work::write_atomically(path, text.as_bytes())
    }

    /// Settings that are legal but rarely wanted, in plain words.
    #[must_use]
    pub fn advice(&self) -> Vec<String> {
        let name = |lora: &Lora| lora.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut advice = self.sampling.advice(&self.models.lora.iter().map(name).collect::<Vec<_>>());
        let distilled = !self.models.lora.is_empty()
            || self.sampling.few_step.is_some()
            || self.models.preset == Preset::Demo;
        if self.sampling.steps < 15 && !distilled {
            advice.push(format!(
                "{} steps are few for weights that weren't distilled for it: expect blur; take 30 to 50, or a LoRA for few steps with --few-step",
                self.sampling.steps
            ));
        }
        advice
    }

    /// Frames a second of the result for a background of `background` frames a second.
    #[must_use]
    pub fn fps(&self, background: f64) -> f64 {
        self.video.fps.filter(|fps| *fps > 0.0).unwrap_or(background / self.input.stride.max(1) as f64)
    }

    /// The video whose sound goes with the result: the raw one, or the background.
    #[must_use]
    pub fn sound_from(&self) -> &Path {
        self.replace.as_ref().map_or(&self.input.background, |replace| &replace.video)
    }

    /// The folder for finished stages.
    #[must_use]
    pub fn work_dir(&self) -> PathBuf {
        self.output.work.clone().unwrap_or_else(|| self.output.video.with_extension("work"))
    }
}

fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Job {
        let mut job = Job::new(Preset::Demo);
        job.input.actors.push(Actor::new("a.ply", "m"));
        job.input.background = "b.mp4".into();
        job
    }

    #[test]
    fn comes_back_from_both_formats() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["j.toml", "j.json"] {
            let path = dir.path().join(name);
            let mut original = job();
            original.output.video = dir.path().join("o.mp4");
            original.write(&path).unwrap();
            let read = Job::read(&path).unwrap();
            assert_eq!(read.input.background, dir.path().join("b.mp4"));
            assert_eq!((read.sampling, read.video), (original.sampling, original.video));
        }
    }

    #[test]
    fn what_a_file_leaves_out_is_as_in_its_preset() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j.toml");
        std::fs::write(&path, "[models]\npreset = \"anicrafter\"\n[sampling]\nsteps = 8\n").unwrap();
        let mut expected = Job::new(Preset::AniCrafter);
        expected.sampling.steps = 8;
        expected.output.video = dir.path().join("out.mp4");
        assert_eq!(Job::read(&path).unwrap(), expected);
        std::fs::write(&path, "[replace]\nvideo = \"raw.mp4\"\nperson = 2\n").unwrap();
        let replace = Job::read(&path).unwrap().replace.unwrap();
        assert_eq!((replace.video, replace.person), (dir.path().join("raw.mp4"), Who::One(2)));
        // The background's own rate isn't the preset's.
        let mut own_rate = Job::new(Preset::AniCrafter);
        own_rate.video.fps = None;
        own_rate.write(&path).unwrap();
        assert_eq!(Job::read(&path).unwrap().fps(24.0), 24.0);
    }

    #[test]
    fn how_far_a_job_goes_decides_what_it_needs() {
        let mut found = Job::new(Preset::Demo);
        found.output.until = Some(Until::Plate);
        assert!(matches!(found.validate(), Err(Error::Option { option: "output.until", .. })));
        found.replace = Some(Replace { video: "raw.mp4".into(), ..Replace::default() });
        assert!(found.validate().is_ok());
        found.output.until = Some(Until::Composite);
        assert!(matches!(found.validate(), Err(Error::Option { option: "input.actors", .. })));
        found.input.actors.push(Actor::new("a.ply", ""));
        assert!(found.validate().is_ok());
        found.input.actors.push(Actor::new("b.ply", ""));
        found.video.blend = Blend::Over;
        assert!(matches!(found.validate(), Err(Error::Option { option: "input.actors", .. })));
        found.output.until = Some(Until::Motion);
        found.output.video = "m.bvh".into();
        assert!(matches!(found.validate(), Err(Error::Option { option: "output.video", .. })));
        let mut over = job();
        over.output.video = "b.mp4".into();
        assert!(matches!(over.validate(), Err(Error::Overwrites { .. })));
    }

    #[test]
    fn a_misspelt_key_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j.toml");
        let text = toml::to_string(&job()).unwrap().replace("width", "widht");
        std::fs::write(&path, text).unwrap();
        assert!(matches!(Job::read(&path), Err(Error::Damaged { why, .. }) if why.contains("widht")));
    }

    #[test]
    fn refuses_what_it_cannot_honour() {
        let refused = |change: fn(&mut Job)| {
            let mut job = job();
            change(&mut job);
            match job.validate() {
                Err(Error::Option { option, .. }) => option,
                other => panic!("{other:?}"),
            }
        };
        assert!(job().validate().is_ok());
        assert_eq!(refused(|j| j.video.width = 322), "video.width");
        assert_eq!(refused(|j| j.video.window = 16), "video.window");
        assert_eq!(refused(|j| j.video.overlap = 17), "video.overlap");
        assert_eq!(refused(|j| j.input.stride = 0), "input.stride");
        assert_eq!(refused(|j| j.input.actors.clear()), "input.actors");
        assert_eq!(refused(|j| j.models.preset = Preset::AniCrafter), "models.wan");
        assert_eq!(refused(|j| j.sampling.steps = 0), "sampling.steps");
        assert_eq!(refused(|j| j.models.activations = Activations::Int8), "models.activations");
    }

    #[test]
    fn activations_of_8_bits_need_quantised_weights() {
        let real = |dtype: Dtype, dit: &[&str]| {
            let mut job = job();
            job.models = Models {
                preset: Preset::AniCrafter,
                wan: Some("w".into()),
                anicrafter: Some("a".into()),
                dit: dit.iter().map(PathBuf::from).collect(),
                dtype,
                activations: Activations::Int8,
                ..Models::default()
            };
            job.validate()
        };
        // What a folder holds is looked at with the weights.
        for (dtype, dit) in [
            (Dtype::Q8, [].as_slice()),
            (Dtype::Q4, &[]),
            (Dtype::Int8, &["m.safetensors"]),
            (Dtype::Bf16, &[]),
            (Dtype::Bf16, &["m.GGUF"]),
        ] {
            assert!(real(dtype, dit).is_ok(), "{dtype:?}, {dit:?}");
        }
        for (dtype, dit) in [(Dtype::F32, ["m.safetensors"].as_slice()), (Dtype::Bf16, &["m.safetensors"])] {
            let error = real(dtype, dit).unwrap_err().to_string();
            assert!(error.contains("models.activations") && error.contains("q8"), "{error}");
        }
    }

    #[test]
    fn few_steps_on_undistilled_weights_are_warned_about() {
        let mut real = Job::new(Preset::AniCrafter);
        assert!(real.advice().is_empty());
        real.sampling.steps = 6;
        assert_eq!(real.advice().len(), 1);
    }
}
