//! `anicrafter avatar`.

use crate::progress::Style;
use anyhow::{Context, Result, bail};
use avatar_render::{Avatar, Camera, Frame, Renderer, RendererChoice, SplatOptions};
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
            let Some((centre, radius)) = bulk(&a.gaussians.means) else {
                bail!("{}: there are no Gaussians in it", avatar.display());
            };
            let mut renderer = Renderer::new(*renderer)?;
            let mut frame = Frame::new();
            let mut writer = VideoWriter::create(output, WriteOptions::new(FrameRate::whole(24)))?;
            let options = SplatOptions { background: [1.0; 3], ..SplatOptions::default() };
            for i in 0..*frames {
                let angle = std::f32::consts::TAU * i as f32 / *frames as f32;
                let distance = 3.0 * radius;
                let (sin, cos) = angle.sin_cos();
                // The avatar's y points up and the camera's down; the camera goes round the vertical axis.
                let rows = [[cos, 0.0, -sin], [0.0, -1.0, 0.0], [-sin, 0.0, -cos]];
                let view = rows
                    .map(|r| [r[0], r[1], r[2], -(r[0] * centre[0] + r[1] * centre[1] + r[2] * centre[2])]);
                let view = [view[0], view[1], [view[2][0], view[2][1], view[2][2], view[2][3] + distance]];
                let half = *size as f32 / 2.0;
                let camera = Camera::pinhole([*size, *size], [*size as f32 * 1.4; 2], [half; 2], &view)?;
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

/// Centre and radius of what a film should show: floaters far from everything else don't count. `None` for no points.
fn bulk(points: &[[f32; 3]]) -> Option<([f32; 3], f32)> {
    /// Share of the points at each end of an axis that may be floaters.
    const TAIL: f32 = 0.01;
    /// A subject's thin ends (hands, feet) are this much farther out than the points without the tails.
    const ENDS: f32 = 1.3;
    let last = points.len().checked_sub(1)?;
    let skip = (last as f32 * TAIL) as usize;
    let mut centre = [0.0; 3];
    let mut half = [0.0; 3];
    for axis in 0..3 {
        let mut values: Vec<f32> = points.iter().map(|p| p[axis]).collect();
        values.sort_by(f32::total_cmp);
        let (low, high) = (values[skip], values[last - skip]);
        centre[axis] = (low + high) / 2.0;
        let outermost = (values[last] - centre[axis]).max(centre[axis] - values[0]);
        half[axis] = outermost.min((high - low) / 2.0 * ENDS);
    }
    let radius = half.iter().map(|x| x * x).sum::<f32>().sqrt();
    Some((centre, if radius > 0.0 { radius } else { 1.0 }))
}

fn bounds(points: &[[f32; 3]]) -> ([f32; 3], [f32; 3]) {
    points.iter().fold(([f32::INFINITY; 3], [f32::NEG_INFINITY; 3]), |(low, high), p| {
        (std::array::from_fn(|k| low[k].min(p[k])), std::array::from_fn(|k| high[k].max(p[k])))
    })
}

#[cfg(test)]
mod tests {
    use super::bulk;

    #[test]
    fn floaters_do_not_move_the_camera() {
        let mut points: Vec<[f32; 3]> = (0..1000).map(|i| [0.0, i as f32 / 1000.0, 0.0]).collect();
        let (centre, radius) = bulk(&points).unwrap();
        assert!((centre[1] - 0.5).abs() < 0.01 && (radius - 0.5).abs() < 0.01, "{centre:?} {radius}");
        points.extend([[900.0, 0.0, 0.0], [0.0, -500.0, 3.0]]);
        let (centre, radius) = bulk(&points).unwrap();
        assert!((centre[1] - 0.5).abs() < 0.02 && radius < 0.7, "{centre:?} {radius}");
        assert!(bulk(&[]).is_none() && bulk(&[[1.0; 3]]).is_some());
    }
}
