//! How the command line becomes changes of a job: shorthands for several settings at once, beside the settings themselves.

use anyhow::{Context, Result, bail};
use clap::Args;
use pipeline::{
    Actor, GroundPlace, InputChanges, Job, JobChanges, LightChanges, ModelChanges, OutputChanges,
    PromptChanges, SamplingChanges, Scene, VideoChanges,
};
use std::path::{Path, PathBuf};

/// What goes in.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Input")]
pub(crate) struct InputArgs {
    /// The avatar: `*_gaussian.pth` or `.safetensors`; Gaussians without a body (.ply, .splat, .spz) follow the pelvis as they are.
    /// Once for each person in the scene.
    #[arg(long)]
    avatar: Vec<PathBuf>,
    /// A scene folder as the reference lays it out: bkgd_video.mp4, smplx_params/, smplx_video.mp4.
    #[arg(long, conflicts_with_all = ["motion", "background"])]
    scene: Option<PathBuf>,
    /// The motion: a folder of parameter files, an AMASS .npz, a motion file, or what GVHMR, WHAM, TRAM, 4D-Humans or SMPLer-X
    /// write. Once for each avatar.
    #[arg(long)]
    motion: Vec<PathBuf>,
    /// Where an avatar stands, counted from where its motion has it: RIGHT,AWAY or RIGHT,AWAY,TURN, in metres along the ground and
    /// degrees to its left (0.8,0 is 0.8 m to the picture's right). Once for each avatar.
    #[arg(long, allow_hyphen_values = true)]
    place: Vec<GroundPlace>,
    /// Takes the scene's smplx_video.mp4 instead of rendering the body.
    #[arg(long, requires = "scene")]
    scene_mesh: bool,
    #[command(flatten)]
    settings: InputChanges,
}

impl InputArgs {
    pub(crate) fn changes(self) -> Result<InputChanges> {
        let mut changes = self.settings;
        let mut motions = self.motion;
        if let Some(scene) = self.scene.map(Scene::new) {
            changes.background = Some(scene.background());
            motions = vec![scene.motion(); self.avatar.len().max(1)];
            if self.scene_mesh {
                changes.mesh_video = Some(scene.mesh_video());
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
            let actors = self.avatar.into_iter().zip(motions);
            let mut actors: Vec<Actor> = actors.map(|(avatar, motion)| Actor::new(avatar, motion)).collect();
            stand(&mut actors, &self.place)?;
            changes.actors = Some(actors);
        } else if !motions.is_empty() {
            bail!("a motion needs an avatar: give --avatar FILE");
        } else if !self.place.is_empty() {
            bail!("a place needs an avatar: give --avatar FILE");
        }
        Ok(changes)
    }
}

/// Puts each avatar at its place.
pub(crate) fn stand(actors: &mut [Actor], places: &[GroundPlace]) -> Result<()> {
    if !places.is_empty() && places.len() != actors.len() {
        bail!(
            "{} places for {} avatars: give --place once for each (0,0 is the motion's own)",
            places.len(),
            actors.len()
        );
    }
    for (actor, place) in actors.iter_mut().zip(places) {
        actor.place = *place;
    }
    Ok(())
}

/// What the video is like.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Video")]
pub(crate) struct VideoArgs {
    /// Width × height in pixels, multiples of 16 (as in 1280x720).
    #[arg(long, value_parser = parse_size)]
    size: Option<(u32, u32)>,
    #[command(flatten)]
    settings: VideoChanges,
    #[command(flatten)]
    pub(crate) light: LightChanges,
}

impl VideoArgs {
    pub(crate) fn changes(self) -> VideoChanges {
        let (width, height) = self.size.unzip();
        VideoChanges { width, height, ..self.settings }
    }
}

/// The denoising loop.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Sampling")]
pub(crate) struct SamplingArgs {
    #[command(flatten)]
    settings: SamplingChanges,
    #[command(flatten)]
    prompt: PromptChanges,
}

/// All of it.
pub(crate) fn changes(
    video: VideoArgs,
    models: ModelChanges,
    sampling: SamplingArgs,
    output: OutputChanges,
) -> JobChanges {
    let light = video.light.clone();
    let SamplingArgs { settings: sampling, prompt } = sampling;
    JobChanges { video: video.changes(), light, models, sampling, prompt, output, ..JobChanges::default() }
}

fn parse_size(text: &str) -> Result<(u32, u32), String> {
    let (w, h) = text.split_once(['x', '×']).ok_or("write WIDTHxHEIGHT, as in 1280x720")?;
    let number = |t: &str| match t.trim().parse() {
        Ok(0) | Err(_) => Err(format!("{t:?} isn't a number of pixels")),
        Ok(pixels) => Ok(pixels),
    };
    Ok((number(w)?, number(h)?))
}

/// Reads a job file.
pub(crate) fn read_job(path: &Path) -> Result<Job> {
    Job::read(path).with_context(|| format!("the job file {}", path.display()))
}
