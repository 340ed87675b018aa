//! A job: everything that a run is told, as data. It is written to and read from TOML or JSON.

use crate::denoise::Sampling;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The reference's negative prompt.
pub const NEGATIVE_PROMPT: &str = "细节模糊不清，字幕，作品，画作，画面，静止，最差质量，低质量，JPEG压缩残留，丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，杂乱的背景，三条腿，背景人很多，倒着走";

/// The reference's prompt.
pub const PROMPT: &str = "human in a scene";

/// Everything a run is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// What goes in.
    pub input: Input,
    /// What the video is like.
    pub video: Video,
    /// Which weights, where, and how they are held.
    pub models: Models,
    /// What the encoders are told.
    pub prompt: Prompt,
    /// The denoising loop.
    pub sampling: Sampling,
    /// What comes out.
    pub output: Output,
}

/// What goes in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Input {
    /// Avatars, each with its own motion: the first one's camera counts.
    pub actors: Vec<Actor>,
    /// The background: a video or a folder of pictures.
    pub background: PathBuf,
    /// A picture of the character; where there is none, the avatar is rendered from the front.
    pub character: Option<PathBuf>,
    /// A mask for the character picture, white on the person; else its alpha channel is taken.
    pub character_mask: Option<PathBuf>,
    /// A ready render of the body on black, in place of ours.
    pub mesh_video: Option<PathBuf>,
    /// A body model in SMPL-X's format; the embedded body where there is none.
    pub body: Option<PathBuf>,
    /// Things that stay in front of the person: a matte video or folder, white in front.
    pub occluders: Vec<PathBuf>,
    /// First frame of motion and background.
    pub start: usize,
    /// Frame to stop before.
    pub end: Option<usize>,
    /// Takes every n-th frame.
    pub stride: usize,
}

/// One avatar and its motion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    /// `*_gaussian.pth`, `.ply` or `.safetensors`.
    pub avatar: PathBuf,
    /// A folder of AniCrafter's parameter files, an AMASS `.npz` or an own motion file.
    pub motion: PathBuf,
}

/// How inputs of another shape are brought to the video's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// Stretched, as the reference does.
    Stretch,
    /// Cut to the video's aspect ratio around the middle, then scaled.
    Crop,
    /// Scaled to fit, with black borders.
    Pad,
}

/// What becomes of the model's first frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FirstFrame {
    /// It stays.
    Keep,
    /// It goes.
    Drop,
}

/// How the avatar is blended over the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Blend {
    /// The reference's blend, which multiplies by alpha twice: what its weights were trained on.
    Reference,
    /// The correct "over".
    Over,
}

/// What the video is like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Video {
    /// Width in pixels, a multiple of 16.
    pub width: u32,
    /// Height in pixels, a multiple of 16.
    pub height: u32,
    /// Frames of a window, of the form 4k + 1.
    pub window: usize,
    /// Frames that neighbouring windows share.
    pub overlap: usize,
    /// Frames a second of the result; the background's where it is absent.
    pub fps: Option<f64>,
    /// What to do with a background of another shape.
    pub fit: Fit,
    /// How the avatar is blended in.
    pub blend: Blend,
    /// The model's first frame shows the reference picture's content: kept, as the reference does (the background's last
    /// frame is then lost), or dropped, so that every frame of the result belongs to one of the background.
    pub first_frame: FirstFrame,
    /// Takes the colour difference to the window before out of each window.
    pub match_windows: bool,
    /// Fits the avatar's colours to the background's light.
    pub match_light: bool,
    /// Draws a soft shadow where the feet touch the ground.
    pub contact_shadow: bool,
}

impl Default for Video {
    fn default() -> Self {
        Self {
            width: 1280,
            height: 720,
            window: 81,
            overlap: 9,
            fps: None,
            fit: Fit::Stretch,
            blend: Blend::Reference,
            first_frame: FirstFrame::Keep,
            match_windows: false,
            match_light: false,
            contact_shadow: false,
        }
    }
}

/// The numbers that weights are computed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// Single precision.
    F32,
    /// Half the memory, the reference's choice.
    Bf16,
    /// Blocks of the transformer in 8-bit blocks.
    Q8,
    /// Blocks of the transformer in 4-bit blocks.
    Q4,
}

/// What the transformer's blocks multiply quantised weights by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activations {
    /// Activations as they are, up to the compute type.
    #[default]
    Float,
    /// Activations rounded to 8 bits, in integer arithmetic: faster on a CPU. Needs quantised weights.
    Int8,
}

/// Which weights, where, and how they are held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Models {
    /// `demo` for the embedded small weights, or `anicrafter` for the real ones.
    pub preset: Preset,
    /// The folder with the real files of Wan2.1-I2V-14B-720P.
    pub wan: Option<PathBuf>,
    /// The folder with AniCrafter's own files.
    pub anicrafter: Option<PathBuf>,
    /// The folder of the demo preset's small weights; without one they are drawn at random.
    pub demo: Option<PathBuf>,
    /// Another file (or list of shards) for the transformer: safetensors or GGUF.
    pub dit: Vec<PathBuf>,
    /// Further LoRA files, merged in order.
    pub lora: Vec<Lora>,
    /// What the transformer computes in.
    pub dtype: Dtype,
    /// What its blocks multiply quantised weights by.
    pub activations: Activations,
    /// `cpu`, `cuda:0`, `metal` or `auto`.
    pub device: String,
    /// Memory for the transformer's weights in GiB; the rest is streamed from the file. Absent: all of them are held.
    pub memory_gib: Option<f64>,
    /// Works on tiles in the VAE, as the reference can: less memory, small differences.
    pub tiled_vae: bool,
}

/// Which weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// The embedded small weights.
    #[default]
    Demo,
    /// Wan2.1-I2V-14B-720P with AniCrafter's LoRA and embedders.
    AniCrafter,
}

impl Default for Models {
    fn default() -> Self {
        Self {
            preset: Preset::default(),
            wan: None,
            anicrafter: None,
            demo: None,
            dit: Vec::new(),
            lora: Vec::new(),
            dtype: Dtype::Bf16,
            activations: Activations::default(),
            device: "auto".to_owned(),
            memory_gib: None,
            tiled_vae: false,
        }
    }
}

/// A LoRA file and its strength.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lora {
    /// The file.
    pub path: PathBuf,
    /// What its change is multiplied by.
    pub strength: f64,
}

/// What the encoders are told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prompt {
    /// What to show.
    pub positive: String,
    /// What to avoid; used where the guidance scale isn't 1.
    pub negative: String,
    /// Saved embeddings in place of the text encoder: a file that an earlier run wrote.
    pub embeddings: Option<PathBuf>,
}

impl Default for Prompt {
    fn default() -> Self {
        Self { positive: PROMPT.to_owned(), negative: NEGATIVE_PROMPT.to_owned(), embeddings: None }
    }
}

/// What comes out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Output {
    /// The video.
    pub video: PathBuf,
    /// Where finished stages lie; next to the video where it is absent.
    pub work: Option<PathBuf>,
    /// Also writes the reference's panels: reference, body, condition, result.
    pub panels: bool,
    /// Puts the source background back outside the person.
    pub background_lock: bool,
    /// Adds what the VAE's round trip loses: condition + decoded result − decoded condition.
    pub detail_transfer: bool,
    /// Writes a self-contained report page.
    pub report: bool,
    /// Writes a preview picture every so many steps; 0 for none.
    pub preview_every: usize,
    /// Saves the latents every so many steps, so that an interrupted loop goes on from there; 0 for never.
    pub save_every: usize,
}

impl Default for Output {
    fn default() -> Self {
        Self {
            video: PathBuf::from("out.mp4"),
            work: None,
            panels: false,
            background_lock: false,
            detail_transfer: false,
            report: false,
            preview_every: 0,
            save_every: 5,
        }
    }
}

impl Models {
    /// Are there quantised weights, if activations of 8 bits are to be multiplied by them? A GGUF file's formats are looked
    /// at when it is opened, the device when it is.
    fn check_activations(&self) -> Result<()> {
        let gguf = |path: &PathBuf| path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gguf"));
        let quantized = matches!(self.dtype, Dtype::Q8 | Dtype::Q4) || self.dit.iter().any(gguf);
        if self.activations == Activations::Float || quantized && self.preset != Preset::Demo {
            return Ok(());
        }
        let why = if self.preset == Preset::Demo {
            "int8 needs quantised weights, and the demo preset's small ones aren't quantised"
        } else {
            "int8 needs quantised weights: take models.dtype (--dtype) q8 or q4, or a GGUF file as models.dit (--dit)"
        };
        Err(Error::Option { option: "models.activations", why: why.to_owned() })
    }
}

impl Job {
    /// The job of a preset: the reference's constants for the real weights, small and fast ones for the embedded.
    #[must_use]
    pub fn new(preset: Preset) -> Self {
        let models = Models { preset, ..Models::default() };
        let (prompt, output) = (Prompt::default(), Output::default());
        let input = Input { stride: 1, ..Input::default() };
        match preset {
            Preset::AniCrafter => Self {
                input,
                video: Video { fps: Some(15.0), ..Video::default() },
                models,
                prompt,
                sampling: Sampling::reference(),
                output,
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
            },
        }
    }

    /// Reads a job file, TOML or JSON by its extension. Paths in it are relative to the file.
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
        let text = if is_json(path) {
            serde_json::to_string_pretty(self).map_err(|e| Error::Settings(e.to_string()))?
        } else {
            toml::to_string_pretty(self).map_err(|e| Error::Settings(e.to_string()))?
        };
        crate::work::write_atomically(path, text.as_bytes())
    }

    /// Every path in the job.
    pub fn for_each_path(&mut self, mut f: impl FnMut(&mut PathBuf)) {
        for actor in &mut self.input.actors {
            f(&mut actor.avatar);
            f(&mut actor.motion);
        }
        f(&mut self.input.background);
        let optional = [
            &mut self.input.character,
            &mut self.input.character_mask,
            &mut self.input.mesh_video,
            &mut self.input.body,
            &mut self.models.wan,
            &mut self.models.anicrafter,
            &mut self.models.demo,
            &mut self.prompt.embeddings,
            &mut self.output.work,
        ];
        optional.into_iter().flatten().for_each(&mut f);
        self.input.occluders.iter_mut().for_each(&mut f);
        self.models.dit.iter_mut().for_each(&mut f);
        self.models.lora.iter_mut().for_each(|lora| f(&mut lora.path));
        f(&mut self.output.video);
    }

    /// Checks everything that can be checked without opening a file.
    ///
    /// # Errors
    /// [`Error::Option`] for the first setting that can't be honoured.
    pub fn validate(&self) -> Result<()> {
        let refuse = |option, why: String| Err(Error::Option { option, why });
        let video = &self.video;
        for (option, size) in [("video.width", video.width), ("video.height", video.height)] {
            if size == 0 || !size.is_multiple_of(16) {
                return refuse(
                    option,
                    format!(
                        "must be a multiple of 16, got {size}; the nearest is {}",
                        (size.max(8) + 8) / 16 * 16
                    ),
                );
            }
        }
        if video.window % 4 != 1 {
            let up = crate::windows::round_up(video.window);
            return refuse(
                "video.window",
                format!("must be 4k + 1 frames, got {}; the next is {up}", video.window),
            );
        }
        if video.window < 5 {
            return refuse("video.window", format!("must be at least 5 frames, got {}", video.window));
        }
        if video.overlap + 1 >= video.window {
            let most = video.window - 2;
            return refuse(
                "video.overlap",
                format!("must be at most {most} for windows of {}, got {}", video.window, video.overlap),
            );
        }
        if video.fps.is_some_and(|fps| !(fps.is_finite() && fps > 0.0)) {
            return refuse("video.fps", "must be a positive number".to_owned());
        }
        if self.input.stride == 0 {
            return refuse("input.stride", "must be at least 1".to_owned());
        }
        if self.input.end.is_some_and(|end| end <= self.input.start) {
            return refuse("input.end", format!("must lie after the start at {}", self.input.start));
        }
        if self.input.actors.is_empty() {
            return refuse("input.actors", "at least one avatar with a motion is needed".to_owned());
        }
        if self.sampling.steps == 0 {
            return refuse("sampling.steps", "must be at least 1".to_owned());
        }
        if self.models.preset == Preset::AniCrafter
            && (self.models.wan.is_none() || self.models.anicrafter.is_none())
        {
            return refuse(
                "models.wan",
                "the real weights are needed: name the folder of Wan2.1-I2V-14B-720P (models.wan, --wan) and that of AniCrafter (models.anicrafter, --anicrafter)"
                    .to_owned(),
            );
        }
        self.models.check_activations()?;
        if self.models.memory_gib.is_some_and(|gib| !(gib.is_finite() && gib > 0.0)) {
            return refuse("models.memory_gib", "must be a positive number".to_owned());
        }
        self.sampling.schedule().map(|_| ())
    }

    /// Settings that are legal but rarely wanted, in plain words.
    #[must_use]
    pub fn advice(&self) -> Vec<String> {
        let mut advice = Vec::new();
        let distilled = !self.models.lora.is_empty() || self.models.preset == Preset::Demo;
        if self.sampling.steps < 15 && !distilled {
            advice.push(format!(
                "{} steps are few for weights that weren't distilled for it: expect blur; take 30 to 50, or add a few-step LoRA",
                self.sampling.steps
            ));
        }
        advice
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
        job.input.actors.push(Actor { avatar: "a.ply".into(), motion: "m".into() });
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
        for (dtype, dit) in [(Dtype::Q8, [].as_slice()), (Dtype::Q4, &[]), (Dtype::Bf16, &["m.GGUF"])] {
            assert!(real(dtype, dit).is_ok(), "{dtype:?}, {dit:?}");
        }
        for (dtype, dit) in [(Dtype::F32, [].as_slice()), (Dtype::Bf16, &["m.safetensors"])] {
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
