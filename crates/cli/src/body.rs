//! `anicrafter body`.

use anyhow::{Result, bail};
use pipeline::outputs::{Input, refuse_overwriting};
use smplx::export::{Axes, glb, obj, ply};
use smplx::{BodyModel, Frame, Gaps, Motion, OpenOptions};
use std::path::{Path, PathBuf};

/// Exports the body.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The file: .obj or .ply for one frame, .glb for body and motion.
    #[arg(short, long)]
    output: PathBuf,
    /// A body model in SMPL-X's format; the embedded CC0 body where there is none.
    #[arg(long)]
    body: Option<PathBuf>,
    /// A motion: a folder of parameter files, an AMASS .npz, a motion file or an estimator's result. At rest without one.
    #[arg(long)]
    motion: Option<PathBuf>,
    /// Which frame of the motion an .obj or .ply shows.
    #[arg(long, default_value_t = 0)]
    frame: usize,
    /// Frames a second of a motion that doesn't say.
    #[arg(long, default_value_t = 30.0)]
    fps: f32,
    /// Interpolates frames that the motion lacks.
    #[arg(long)]
    fill_gaps: bool,
    /// Which person of a motion with several.
    #[arg(long)]
    motion_person: Option<usize>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let motion = args.motion.as_deref().map(|path| Input::frames("--motion", path));
    let body = args.body.as_deref().map(|path| Input::file("--body", path));
    let inputs: Vec<Input<'_>> = motion.into_iter().chain(body).collect();
    refuse_overwriting(&inputs, &[("--output", &args.output)])?;
    let body = pipeline::open_body(args.body.as_deref())?;
    let motion = args.motion.as_deref().map(|path| open_motion(path, args, &body)).transpose()?;
    let vertices = || -> Result<Vec<[f32; 3]>> {
        let Some(motion) = &motion else { return Ok(body.forward(&Frame::REST)?.vertices) };
        let Some(frame) = motion.frames.get(args.frame) else {
            bail!("frame {} was asked for, the motion has {}", args.frame, motion.len());
        };
        let mut pose = [[0.0; 3]; smplx::N_JOINTS];
        Ok(body.forward(&frame.as_frame(&mut pose))?.vertices)
    };
    let extension = args.output.extension().map(|e| e.to_string_lossy().to_lowercase());
    let bytes = match extension.as_deref() {
        Some("obj") => obj(&vertices()?, body.faces())?.into_bytes(),
        Some("ply") => ply(&vertices()?, body.faces())?,
        Some("glb") => {
            let Some(motion) = &motion else { bail!("a .glb shows a motion: give --motion") };
            // Before a camera heads point against y.
            let axes = if motion.up()[1] < 0.0 { Axes::Camera } else { Axes::YUp };
            glb(&body, motion, axes)?
        }
        _ => bail!("{}: the name must end in .obj, .ply or .glb", args.output.display()),
    };
    pipeline::work::write_atomically(&args.output, &bytes)?;
    println!("wrote {}", args.output.display());
    Ok(())
}

/// The motion, with coefficients that the body has.
fn open_motion(path: &Path, args: &Args, body: &BodyModel) -> Result<Motion> {
    let options = OpenOptions {
        gaps: if args.fill_gaps { Gaps::Fill } else { Gaps::Refuse },
        person: args.motion_person,
        ..OpenOptions::new(args.fps)
    };
    let opened = Motion::open_with(path, &options)?;
    let mut motion = opened.motion;
    for note in opened.notes {
        eprintln!("warning: {}: {note}", path.display());
    }
    // Coefficients of another body mean nothing to the embedded one.
    let (betas, expressions) =
        if args.body.is_some() { (body.n_betas(), body.n_expressions()) } else { (0, 0) };
    let cut = motion.keep_coefficients(betas, expressions);
    if cut > 0 && args.body.is_some() {
        eprintln!(
            "warning: {}: the body has {betas} shape and {expressions} expression coefficients, the motion {cut} more: left out",
            path.display()
        );
    }
    Ok(motion)
}
