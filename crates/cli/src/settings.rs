//! Options that several commands share, and how they become a job.

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use pipeline::{Activations, Actor, Blend, Dtype, FirstFrame, Fit, Job, Lora, Preset};
use std::path::{Path, PathBuf};

/// What goes in.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Input")]
pub(crate) struct InputArgs {
    /// The avatar: `*_gaussian.pth`, `.ply` or `.safetensors`. Once for each person in the scene.
    #[arg(long)]
    pub avatar: Vec<PathBuf>,
    /// A scene folder as the reference lays it out: bkgd_video.mp4, smplx_params/, smplx_video.mp4.
    #[arg(long, conflicts_with_all = ["motion", "background"])]
    pub scene: Option<PathBuf>,
    /// The motion: a folder of parameter files, an AMASS .npz or a motion file. Once for each avatar.
    #[arg(long)]
    pub motion: Vec<PathBuf>,
    /// The background: a video or a folder of pictures.
    #[arg(long)]
    pub background: Option<PathBuf>,
    /// A picture of the character; its alpha channel or --character-mask cuts the person out.
    #[arg(long)]
    pub character: Option<PathBuf>,
    /// A mask for the character picture, white on the person.
    #[arg(long)]
    pub character_mask: Option<PathBuf>,
    /// A ready body render on black; with --scene, use the scene's own with --scene-mesh.
    #[arg(long)]
    pub mesh_video: Option<PathBuf>,
    /// Takes the scene's smplx_video.mp4 instead of rendering the body.
    #[arg(long, requires = "scene")]
    pub scene_mesh: bool,
    /// A body model in SMPL-X's format (.npz); the embedded CC0 body where there is none.
    #[arg(long)]
    pub body: Option<PathBuf>,
    /// A matte video of things that stay in front, white in front. May be given several times.
    #[arg(long)]
    pub occluder: Vec<PathBuf>,
    /// First frame of motion and background.
    #[arg(long)]
    pub start: Option<usize>,
    /// Frame to stop before.
    #[arg(long)]
    pub end: Option<usize>,
    /// Takes every n-th frame.
    #[arg(long)]
    pub stride: Option<usize>,
}

/// What the video is like.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Video")]
pub(crate) struct VideoArgs {
    /// Width × height in pixels, multiples of 16 (1280x720).
    #[arg(long, value_parser = parse_size)]
    pub size: Option<(u32, u32)>,
    /// Frames of a window, 4k + 1 (81).
    #[arg(long)]
    pub window: Option<usize>,
    /// Frames that neighbouring windows share.
    #[arg(long)]
    pub overlap: Option<usize>,
    /// Frames a second of the result.
    #[arg(long)]
    pub fps: Option<f64>,
    /// What to do with a background of another shape.
    #[arg(long, value_enum)]
    pub fit: Option<FitArg>,
    /// How the avatar is blended in.
    #[arg(long, value_enum)]
    pub blend: Option<BlendArg>,
    /// Keeps or drops the model's first frame, which belongs to the reference picture.
    #[arg(long, value_enum)]
    pub first_frame: Option<FirstFrameArg>,
    /// Takes the colour difference to the window before out of each window.
    #[arg(long)]
    pub match_windows: bool,
    /// Fits the avatar's colours to the background's light.
    #[arg(long)]
    pub match_light: bool,
    /// Draws a soft shadow where the feet touch the ground.
    #[arg(long)]
    pub contact_shadow: bool,
}

/// Which weights.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Models")]
pub(crate) struct ModelArgs {
    /// The embedded small weights, or the real ones.
    #[arg(long, value_enum)]
    pub preset: Option<PresetArg>,
    /// The folder of Wan2.1-I2V-14B-720P.
    #[arg(long)]
    pub wan: Option<PathBuf>,
    /// The folder of AniCrafter's own files.
    #[arg(long)]
    pub anicrafter: Option<PathBuf>,
    /// The folder of the demo preset's small weights (found beside the program or the working folder).
    #[arg(long)]
    pub demo_weights: Option<PathBuf>,
    /// Other files for the transformer: safetensors or GGUF.
    #[arg(long)]
    pub dit: Vec<PathBuf>,
    /// A LoRA file, FILE or FILE=STRENGTH. May be given several times.
    #[arg(long, value_parser = parse_lora)]
    pub lora: Vec<Lora>,
    /// What the transformer's weights are held in.
    #[arg(long, value_enum)]
    pub dtype: Option<DtypeArg>,
    /// What the transformer's quantised weights (--dtype q8 or q4, or a GGUF file) are multiplied by.
    #[arg(long, value_enum)]
    pub activations: Option<ActivationsArg>,
    /// cpu, cuda:N, metal or auto.
    #[arg(long)]
    pub device: Option<String>,
    /// Memory for the transformer's weights in GiB; the rest is streamed from the files.
    #[arg(long)]
    pub memory: Option<f64>,
    /// Works on tiles in the VAE: less memory, small differences.
    #[arg(long)]
    pub tiled: bool,
}

/// The denoising loop.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Sampling")]
pub(crate) struct SamplingArgs {
    /// Number of steps (50).
    #[arg(long)]
    pub steps: Option<usize>,
    /// Guidance scale (1.5); 1 skips the negative branch.
    #[arg(long)]
    pub cfg: Option<f64>,
    /// Timestep shift (5).
    #[arg(long)]
    pub shift: Option<f64>,
    /// Seed of the noise (0): the same noise as in the original.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Solver.
    #[arg(long, value_enum)]
    pub solver: Option<SolverArg>,
    /// Four LCM steps without guidance, for distilled few-step LoRAs.
    #[arg(long, conflicts_with_all = ["steps", "cfg", "solver"])]
    pub few_steps: bool,
    /// Skips steps whose change stays below this threshold (0.3).
    #[arg(long)]
    pub tea_cache: Option<f64>,
    /// What to show.
    #[arg(long)]
    pub prompt: Option<String>,
    /// What to avoid.
    #[arg(long)]
    pub negative_prompt: Option<String>,
    /// Saved prompt embeddings in place of the text encoder.
    #[arg(long)]
    pub prompt_embeddings: Option<PathBuf>,
}

macro_rules! choices {
    ($(#[$doc:meta])* $name:ident => $to:ty { $($(#[$vdoc:meta])* $variant:ident => $value:expr),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, ValueEnum)]
        pub(crate) enum $name { $($(#[$vdoc])* $variant),+ }
        impl From<$name> for $to {
            fn from(choice: $name) -> Self {
                match choice { $($name::$variant => $value),+ }
            }
        }
    };
}

choices!(FitArg => Fit {
    /// Stretched, as the reference does.
    Stretch => Fit::Stretch,
    /// Cut to the video's shape.
    Crop => Fit::Crop,
    /// With black borders.
    Pad => Fit::Pad,
});
choices!(BlendArg => Blend {
    /// The reference's blend, which its weights were trained on.
    Reference => Blend::Reference,
    /// The correct "over".
    Over => Blend::Over,
});
choices!(FirstFrameArg => FirstFrame {
    /// As the reference does; the background's last frame is lost.
    Keep => FirstFrame::Keep,
    /// Every frame of the result belongs to one of the background.
    Drop => FirstFrame::Drop,
});
choices!(PresetArg => Preset {
    /// The embedded small weights.
    Demo => Preset::Demo,
    /// Wan2.1-I2V-14B-720P with AniCrafter's LoRA and embedders.
    Anicrafter => Preset::AniCrafter,
});
choices!(DtypeArg => Dtype {
    /// Single precision.
    F32 => Dtype::F32,
    /// Half the memory, the reference's choice.
    Bf16 => Dtype::Bf16,
    /// 8-bit blocks.
    Q8 => Dtype::Q8,
    /// 4-bit blocks.
    Q4 => Dtype::Q4,
});
choices!(ActivationsArg => Activations {
    /// Activations as they are.
    Float => Activations::Float,
    /// Activations rounded to 8 bits: faster on a CPU.
    Int8 => Activations::Int8,
});
choices!(SolverArg => pipeline::denoise::SolverName {
    /// First-order steps: the reference.
    Euler => pipeline::denoise::SolverName::Euler,
    /// Second-order multistep.
    Unipc => pipeline::denoise::SolverName::UniPc,
    /// Stochastic few-step rule.
    Lcm => pipeline::denoise::SolverName::Lcm,
});

fn parse_size(text: &str) -> Result<(u32, u32), String> {
    let (w, h) = text.split_once(['x', '×']).ok_or("write WIDTHxHEIGHT, as in 1280x720")?;
    let number = |t: &str| t.trim().parse().map_err(|_| format!("{t:?} isn't a number of pixels"));
    Ok((number(w)?, number(h)?))
}

fn parse_lora(text: &str) -> Result<Lora, String> {
    match text.rsplit_once('=') {
        Some((path, strength)) => {
            let strength = strength.parse().map_err(|_| format!("{strength:?} isn't a strength"))?;
            Ok(Lora { path: path.into(), strength })
        }
        None => Ok(Lora { path: text.into(), strength: 1.0 }),
    }
}

/// Sets `to` where an option was given.
fn set<T>(to: &mut T, given: Option<impl Into<T>>) {
    if let Some(value) = given {
        *to = value.into();
    }
}

impl InputArgs {
    /// Writes what was given into the job.
    pub(crate) fn apply(self, job: &mut Job) -> Result<()> {
        let input = &mut job.input;
        let mut motions = self.motion;
        if let Some(scene) = &self.scene {
            input.background = scene.join("bkgd_video.mp4");
            motions = vec![scene.join("smplx_params"); self.avatar.len().max(1)];
            if self.scene_mesh {
                input.mesh_video = Some(scene.join("smplx_video.mp4"));
            }
        }
        if !self.avatar.is_empty() {
            if self.avatar.len() != motions.len() {
                bail!(
                    "{} avatars need as many motions, got {}: give --motion once for each --avatar, or --scene",
                    self.avatar.len(),
                    motions.len()
                );
            }
            input.actors = self
                .avatar
                .into_iter()
                .zip(motions)
                .map(|(avatar, motion)| Actor { avatar, motion })
                .collect();
        } else if !motions.is_empty() && input.actors.is_empty() {
            bail!("a motion needs an avatar: give --avatar FILE");
        }
        set(&mut input.background, self.background);
        for (to, given) in [
            (&mut input.character, self.character),
            (&mut input.character_mask, self.character_mask),
            (&mut input.mesh_video, self.mesh_video),
            (&mut input.body, self.body),
        ] {
            if given.is_some() {
                *to = given;
            }
        }
        if !self.occluder.is_empty() {
            input.occluders = self.occluder;
        }
        set(&mut input.start, self.start);
        set(&mut input.stride, self.stride);
        if self.end.is_some() {
            input.end = self.end;
        }
        if input.background.as_os_str().is_empty() {
            bail!("a background is needed: give --scene DIR or --background FILE");
        }
        Ok(())
    }
}

impl VideoArgs {
    /// Writes what was given into the job.
    pub(crate) fn apply(self, job: &mut Job) {
        let video = &mut job.video;
        if let Some((width, height)) = self.size {
            (video.width, video.height) = (width, height);
        }
        set(&mut video.window, self.window);
        set(&mut video.overlap, self.overlap);
        if self.fps.is_some() {
            video.fps = self.fps;
        }
        set(&mut video.fit, self.fit);
        set(&mut video.blend, self.blend);
        set(&mut video.first_frame, self.first_frame);
        video.match_windows |= self.match_windows;
        video.match_light |= self.match_light;
        video.contact_shadow |= self.contact_shadow;
    }
}

impl ModelArgs {
    /// Writes what was given into the job.
    pub(crate) fn apply(self, job: &mut Job) {
        let models = &mut job.models;
        // What a job file says of the loop's precision holds as long as nothing here changes its ground.
        let precision_changes = self.preset.is_some() || self.dtype.is_some();
        set(&mut models.preset, self.preset);
        if self.wan.is_some() {
            models.wan = self.wan;
        }
        if self.anicrafter.is_some() {
            models.anicrafter = self.anicrafter;
        }
        if models.preset == Preset::Demo {
            let known = models.demo.take();
            models.demo = self.demo_weights.or(known).or_else(find_demo_weights);
        }
        if !self.dit.is_empty() {
            models.dit = self.dit;
        }
        if !self.lora.is_empty() {
            models.lora = self.lora;
        }
        set(&mut models.dtype, self.dtype);
        set(&mut models.activations, self.activations);
        set(&mut models.device, self.device);
        if self.memory.is_some() {
            models.memory_gib = self.memory;
        }
        models.tiled_vae |= self.tiled;
        if precision_changes {
            job.sampling.bf16_latents = models.dtype != Dtype::F32;
            job.sampling.bf16_timestep = models.preset == Preset::AniCrafter;
        }
    }
}

impl SamplingArgs {
    /// Writes what was given into the job.
    pub(crate) fn apply(self, job: &mut Job) {
        let sampling = &mut job.sampling;
        if self.few_steps {
            (sampling.steps, sampling.cfg_scale) = (4, 1.0);
            sampling.solver = pipeline::denoise::SolverName::Lcm;
        }
        set(&mut sampling.steps, self.steps);
        set(&mut sampling.cfg_scale, self.cfg);
        set(&mut sampling.shift, self.shift);
        set(&mut sampling.seed, self.seed);
        set(&mut sampling.solver, self.solver);
        if let Some(threshold) = self.tea_cache {
            let model = "Wan2.1-I2V-14B-720P".to_owned();
            sampling.tea_cache = Some(pipeline::denoise::TeaCacheSettings { threshold, model });
        }
        set(&mut job.prompt.positive, self.prompt);
        set(&mut job.prompt.negative, self.negative_prompt);
        if self.prompt_embeddings.is_some() {
            job.prompt.embeddings = self.prompt_embeddings;
        }
    }
}

/// The small weights of a checkout: below the working folder, or above the program (`target/release/anicrafter`).
pub(crate) fn find_demo_weights() -> Option<PathBuf> {
    let program = std::env::current_exe().ok();
    let above = program.iter().flat_map(|p| p.ancestors().skip(1)).map(Path::to_owned);
    std::iter::once(PathBuf::new())
        .chain(above)
        .map(|folder| folder.join("assets/demo/weights"))
        .find(|folder| folder.join("config.json").is_file())
}

/// Reads a job file.
pub(crate) fn read_job(path: &Path) -> Result<Job> {
    Job::read(path).with_context(|| format!("the job file {}", path.display()))
}
