//! `anicrafter replace`: from a raw video to the character in the person's place.

use crate::animate::RunArgs;
use crate::progress::Style;
use crate::settings::{SamplingArgs, VideoArgs, changes, stand};
use anyhow::{Result, bail};
use pipeline::{
    Actor, GroundPlace, InputChanges, Job, JobChanges, ModelChanges, OutputChanges, ReplaceChanges, Until,
};
use std::path::PathBuf;

/// Replaces the person in a raw video.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The avatar: `*_gaussian.pth`, `.ply` or `.safetensors`. Not needed for --until masks, motion or plate. With --person all
    /// one for each person, in order.
    #[arg(long)]
    avatar: Vec<PathBuf>,
    /// A picture of the character; its alpha channel or --character-mask cuts the person out, else the person is found in it.
    #[arg(long)]
    character: Option<PathBuf>,
    /// A mask for the character picture, white on the person.
    #[arg(long)]
    character_mask: Option<PathBuf>,
    /// A body model in SMPL-X's format (.npz); the embedded CC0 body where there is none.
    #[arg(long)]
    body: Option<PathBuf>,
    /// A background made elsewhere, without the person.
    #[arg(long)]
    plate: Option<PathBuf>,
    /// A motion made elsewhere: a folder of parameter files, an AMASS .npz or a motion file. One for each avatar.
    #[arg(long)]
    motion: Vec<PathBuf>,
    /// Where an avatar stands, counted from where its motion has it: RIGHT,AWAY or RIGHT,AWAY,TURN, in metres along the ground and
    /// degrees to its left. Once for each avatar.
    #[arg(long, allow_hyphen_values = true)]
    place: Vec<GroundPlace>,
    /// What stays in front of the person, in place of what is found: a matte video or folder, white in front (the work folder's
    /// in-front, corrected, say). May be given several times.
    #[arg(long = "occluder")]
    occluders: Option<Vec<PathBuf>>,
    #[command(flatten)]
    person: ReplaceChanges,
    #[command(flatten)]
    look: VideoArgs,
    #[command(flatten)]
    models: ModelChanges,
    #[command(flatten)]
    sampling: SamplingArgs,
    #[command(flatten)]
    output: OutputChanges,
    #[command(flatten)]
    run: RunArgs,
}

pub(crate) fn run(args: Args, style: Style) -> Result<()> {
    let until = args.output.until;
    if args.avatar.is_empty() && until.is_none_or(|until| until == Until::Composite) {
        bail!("an avatar is needed: give --avatar FILE, or stop earlier with --until plate");
    }
    let (avatars, motions) = (args.avatar, args.motion);
    if motions.len() > 1 && motions.len() != avatars.len() {
        bail!("{} motions for {} avatars: give one for each", motions.len(), avatars.len());
    }
    // Without an avatar, a motion made elsewhere has nobody to move, but needn't be found.
    let count = avatars.len().max(motions.len());
    let at = |of: &[PathBuf], n: usize| of.get(n).cloned().unwrap_or_default();
    let mut actors: Vec<Actor> = (0..count).map(|n| Actor::new(at(&avatars, n), at(&motions, n))).collect();
    stand(&mut actors, &args.place)?;
    let actors = (count > 0).then_some(actors);
    let input = InputChanges {
        actors,
        background: args.plate,
        character: args.character,
        character_mask: args.character_mask,
        body: args.body,
        occluders: args.occluders,
        ..InputChanges::default()
    };
    let changes = JobChanges {
        input,
        replace: Some(args.person),
        ..changes(args.look, args.models, args.sampling, args.output)
    };
    let job = match until {
        Some(Until::Composite) => {
            let mut job = Job::condition_video();
            job.change(changes);
            job
        }
        _ => changes.into_job(),
    };
    args.run.run(&job, style).map(|_| ())
}
