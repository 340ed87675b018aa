//! `anicrafter avatar`.

use crate::progress::Style;
use anyhow::{Context, Result};
use avatar_render::turntable::bounds;
use avatar_render::{Avatar, Frame, Renderer, RendererChoice, SplatOptions, Turntable};
use clap::Subcommand;
use image::RgbImage;
use media::{FrameRate, VideoWriter, WriteOptions};
use pipeline::outputs::{Input, refuse_overwriting};
use std::path::{Path, PathBuf};

/// Makes, converts and looks at avatars.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes an avatar from one picture of a person. No weights are needed.
    Bake(crate::bake::Args),
    /// Makes an avatar from one picture of a person with LHM, a network that has seen how people look from behind. Needs its
    /// weights.
    Create(Box<crate::create::Args>),
    /// Says what is in an avatar file.
    Info {
        /// The avatar.
        avatar: PathBuf,
    },
    /// Converts an avatar: to `.ply` for splat viewers, to `.safetensors` with everything in it, or to LHM's `.pth`.
    Convert {
        /// The avatar.
        avatar: PathBuf,
        /// The new file.
        #[arg(short, long)]
        output: PathBuf,
    },
    /// Films an avatar from all sides in its neutral pose.
    Turntable {
        /// The avatar.
        avatar: PathBuf,
        /// The video, or a folder for pictures.
        #[arg(short, long)]
        output: PathBuf,
        /// Side of the square picture in pixels.
        #[arg(long, default_value_t = 512)]
        size: usize,
        /// Frames of one turn.
        #[arg(long, default_value_t = 72)]
        frames: usize,
        /// What renders it.
        #[arg(long, default_value = "auto")]
        renderer: RendererChoice,
    },
}

pub(crate) fn run(args: &Args, style: Style) -> Result<()> {
    match &args.command {
        Command::Bake(args) => crate::bake::run(args),
        Command::Create(args) => crate::create::run(args, style),
        Command::Info { avatar } => {
            let (a, left_out) = Avatar::open_counting(avatar)?;
            println!("{}", avatar.display());
            println!("  Gaussians     {}", a.gaussians.len());
            if left_out > 0 {
                println!("  left out      {left_out} Gaussians that aren't finite");
            }
            if !a.gaussians.is_empty() {
                let (low, high) = bounds(&a.gaussians.means);
                println!("  box           {low:.3?} to {high:.3?} m");
            }
            match &a.lhm {
                Some(body) => {
                    println!("  body data     yes: {} joint transforms", body.neutral_to_zero.len());
                    println!("  betas         {:.3?}", body.betas);
                    println!("  body ratio    {:.3}   has face {}", body.body_ratio, body.has_face);
                }
                None => println!(
                    "  body data     no: it can be looked at, and follows a motion's pelvis as it is"
                ),
            }
            Ok(())
        }
        Command::Convert { avatar, output } => {
            refuse_overwriting(&[Input::file("the avatar", avatar)], &[("--output", output)])?;
            open(avatar)?.save(output)?;
            println!("wrote {}", output.display());
            Ok(())
        }
        Command::Turntable { avatar, output, size, frames, renderer } => {
            refuse_overwriting(&[Input::file("the avatar", avatar)], &[("--output", output)])?;
            let a = open(avatar)?;
            let table = Turntable::around(&a.gaussians)?;
            let mut renderer = Renderer::new(*renderer)?;
            let mut frame = Frame::new();
            let mut writer = VideoWriter::create(output, WriteOptions::new(FrameRate::whole(24)))?;
            let options = SplatOptions { background: [1.0; 3], ..SplatOptions::default() };
            for i in 0..*frames {
                let camera = table.camera(i as f32 / *frames as f32, *size)?;
                renderer.splat(&a.gaussians, &camera, &options, &mut frame)?;
                let side = u32::try_from(*size)?;
                writer.push(
                    &RgbImage::from_raw(side, side, frame.to_rgb8()).context("a frame of the wrong size")?,
                )?;
            }
            writer.finish()?;
            println!("wrote {}", output.display());
            Ok(())
        }
    }
}

/// Opens an avatar and says what was left out.
fn open(path: &Path) -> Result<Avatar> {
    let (avatar, left_out) = Avatar::open_counting(path)?;
    if left_out > 0 {
        eprintln!("warning: {}: {left_out} Gaussians aren't finite and were left out", path.display());
    }
    Ok(avatar)
}
