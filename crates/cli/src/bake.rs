//! `anicrafter avatar bake`.

use anyhow::{Context, Result, bail, ensure};
use avatar_bake::{Baker, Options, Photo};
use image::{DynamicImage, GrayImage, RgbImage};
use smplx::MotionFrame;
use std::path::{Path, PathBuf};

/// Makes an avatar from one picture of a person: the picture is projected onto the posed body, hidden sides are filled
/// from the mirror image and from around the limb, clothes and hair follow the mask's outline.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The picture of the person (PNG or JPEG).
    #[arg(long)]
    picture: PathBuf,
    /// A picture of the same size, white on the person; where it isn't given, the picture's alpha.
    #[arg(long)]
    mask: Option<PathBuf>,
    /// Make the mask from a plain backdrop: all that isn't of the border's colour.
    #[arg(long, conflicts_with = "mask")]
    plain_backdrop: bool,
    /// SMPL-X pose, betas, translation and camera of the picture: one frame's JSON, or a motion (`.json`, `.npz`, or a
    /// folder of frames).
    #[arg(long, visible_alias = "motion", required_unless_present = "fit")]
    body_pose: Option<PathBuf>,
    /// Which frame of the motion belongs to the picture, from 0.
    #[arg(long, default_value_t = 0)]
    frame: usize,
    /// Fit pose, shape and place to the mask: from `--body-pose` on where that is given, else from an upright person who
    /// faces the camera. A mask says nothing about arms before the body.
    #[arg(long)]
    fit: bool,
    /// Also write the frame that was used, as JSON.
    #[arg(long)]
    write_pose: Option<PathBuf>,
    /// An SMPL-X body file; the embedded body where it isn't given.
    #[arg(long)]
    body: Option<PathBuf>,
    /// The avatar: `.safetensors`, or `.ply` to look at only.
    #[arg(short, long)]
    output: PathBuf,
    /// Number of Gaussians.
    #[arg(long, default_value_t = Options::default().points)]
    points: usize,
    /// Furthest that clothes and hair may stand off the body, in metres; 0 for a skin-tight avatar.
    #[arg(long, default_value_t = Options::default().max_offset_m)]
    max_offset: f32,
    /// Pixels at the mask's edge whose colours aren't trusted; by the picture's size where it isn't given.
    #[arg(long)]
    erode: Option<usize>,
    /// Rounds of rendering and correcting colours.
    #[arg(long, default_value_t = Options::default().refine)]
    refine: usize,
    /// Don't fill hidden places from their mirror image and from the front.
    #[arg(long)]
    no_symmetry: bool,
}

const EXAMPLES: &str = "\
Examples:
  anicrafter avatar bake --picture me.png --body-pose me.json -o me.safetensors
  anicrafter avatar bake --picture me.jpg --mask mask.png --motion scene/smplx_params --frame 12 -o me.safetensors
  anicrafter avatar bake --picture me.jpg --plain-backdrop --fit --write-pose me.json -o me.safetensors
  anicrafter avatar turntable me.safetensors -o me.mp4";

pub(crate) fn run(args: &Args) -> Result<()> {
    let model = pipeline::open_body(args.body.as_deref())?;
    let (picture, mask) = read_picture(args)?;
    let mut frame = args.body_pose.as_deref().map(|path| read_frame(path, args.frame)).transpose()?;
    if args.fit {
        let fitted = avatar_bake::fit_pose(&model, &mask, None, frame.as_ref())?;
        println!("fitted the pose: {:.1} % overlap with the mask", fitted.iou * 100.0);
        frame = Some(fitted.frame);
    }
    let frame = frame.context("give --body-pose or --fit")?;
    let options = Options {
        points: args.points,
        symmetry: !args.no_symmetry,
        max_offset_m: args.max_offset,
        erode_px: args.erode,
        refine: args.refine,
    };
    let photo = Photo { picture: &picture, mask: &mask, frame: &frame };
    let baked = Baker::new(&model)?.bake(&photo, &options)?;
    baked.avatar.save(&args.output)?;
    if let Some(path) = &args.write_pose {
        std::fs::write(path, frame.to_json()).with_context(|| path.display().to_string())?;
    }
    let report = baked.report;
    println!("wrote {}", args.output.display());
    println!("  Gaussians     {}, {:.0} % of them seen", baked.avatar.gaussians.len(), report.seen * 100.0);
    println!(
        "  outline       {:.1} % overlap with the mask, {:.1} % without clothes and hair",
        report.dressed_iou * 100.0,
        report.body_iou * 100.0
    );
    println!("  clothes       stand off by up to {:.1} cm", report.furthest_m * 100.0);
    if report.body_iou < POOR_FIT {
        println!("  note          the pose fits the mask poorly: colours may land on the wrong places");
    }
    Ok(())
}

/// Below this overlap of the bare body and the mask, the pose is likely wrong.
const POOR_FIT: f32 = 0.6;

fn open(path: &Path) -> Result<DynamicImage> {
    image::open(path).with_context(|| path.display().to_string())
}

fn read_picture(args: &Args) -> Result<(RgbImage, GrayImage)> {
    let image = open(&args.picture)?;
    if let Some(path) = &args.mask {
        return Ok((image.to_rgb8(), open(path)?.to_luma8()));
    }
    if args.plain_backdrop {
        let picture = image.to_rgb8();
        let mask = avatar_bake::plain_backdrop(&picture)?;
        return Ok((picture, mask));
    }
    ensure!(
        image.color().has_alpha(),
        "{} has no alpha: give --mask, or --plain-backdrop for a person before a plain wall",
        args.picture.display()
    );
    Ok(bg_mask::split_alpha(&image.to_rgba8()))
}

/// One frame's file, or a frame of a motion.
fn read_frame(path: &Path, index: usize) -> Result<MotionFrame> {
    let name = || path.display().to_string();
    if path.is_file() && path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json")) {
        let text = std::fs::read(path).with_context(name)?;
        let keys: serde_json::Value = serde_json::from_slice(&text).with_context(name)?;
        if keys.get("frames").is_none() {
            return MotionFrame::from_json(&text, index).with_context(name);
        }
    }
    // Frame rates don't matter for one picture.
    let motion = pipeline::composite::read_motion(path, 15.0).with_context(name)?;
    match motion.frames.get(index) {
        Some(frame) => Ok(frame.clone()),
        None => bail!("{}: there is no frame {index}, it has {}", name(), motion.len()),
    }
}
