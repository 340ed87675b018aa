//! `anicrafter body`.

use anyhow::{Result, bail};
use pipeline::outputs::{Input, refuse_overwriting};
use smplx::export::{Axes, glb, obj, ply};
use smplx::{Frame, Motion};
use std::path::PathBuf;

/// Exports the body.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The file: .obj or .ply for one frame, .glb for body and motion.
    #[arg(short, long)]
    output: PathBuf,
    /// A body model in SMPL-X's format; the embedded CC0 body where there is none.
    #[arg(long)]
    body: Option<PathBuf>,
    /// A motion: a folder of parameter files, an AMASS .npz or a motion file. At rest without one.
    #[arg(long)]
    motion: Option<PathBuf>,
    /// Which frame of the motion an .obj or .ply shows.
    #[arg(long, default_value_t = 0)]
    frame: usize,
    /// Frames a second of a motion that doesn't say.
    #[arg(long, default_value_t = 30.0)]
    fps: f32,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let motion = args.motion.as_deref().map(|path| Input::frames("--motion", path));
    let body = args.body.as_deref().map(|path| Input::file("--body", path));
    let inputs: Vec<Input<'_>> = motion.into_iter().chain(body).collect();
    refuse_overwriting(&inputs, &[("--output", &args.output)])?;
    let body = pipeline::open_body(args.body.as_deref())?;
    let motion = args.motion.as_ref().map(|path| Motion::open(path, args.fps)).transpose()?;
    let vertices = || -> Result<Vec<[f32; 3]>> {
        let Some(motion) = &motion else { return Ok(body.forward(&Frame::REST)?.vertices) };
        let Some(frame) = motion.frames.get(args.frame) else {
            bail!("frame {} was asked for, the motion has {}", args.frame, motion.len());
        };
        let mut pose = [[0.0; 3]; smplx::N_JOINTS];
        let frame = frame.as_frame(&mut pose);
        // Coefficients of another body mean nothing to the embedded one.
        let frame = if args.body.is_some() { frame } else { Frame { betas: &[], expression: &[], ..frame } };
        Ok(body.forward(&frame)?.vertices)
    };
    let extension = args.output.extension().map(|e| e.to_string_lossy().to_lowercase());
    let bytes = match extension.as_deref() {
        Some("obj") => obj(&vertices()?, body.faces())?.into_bytes(),
        Some("ply") => ply(&vertices()?, body.faces())?,
        Some("glb") => {
            let Some(motion) = &motion else { bail!("a .glb shows a motion: give --motion") };
            glb(&body, motion, Axes::Camera)?
        }
        _ => bail!("{}: the name must end in .obj, .ply or .glb", args.output.display()),
    };
    pipeline::work::write_atomically(&args.output, &bytes)?;
    println!("wrote {}", args.output.display());
    Ok(())
}
