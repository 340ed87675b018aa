//! `anicrafter avatar bake`.

use anyhow::{Context, Result, bail, ensure};
use avatar_bake::{Baker, Options, Photo};
use image::{DynamicImage, GrayImage, RgbImage};
use pipeline::outputs::{Input, refuse_overwriting};
use pipeline::{Person, PersonOptions};
use smplx::{BodyModel, MotionFrame};
use std::path::{Path, PathBuf};

/// Makes an avatar from one picture of a person: the picture is projected onto the posed body, hidden sides are filled
/// from the mirror image and from around the limb, clothes and hair follow the mask's outline.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The picture of the person (PNG or JPEG).
    #[arg(long)]
    picture: PathBuf,
    /// A picture of the same size, white on the person; where it isn't given, the picture's alpha, or what the embedded
    /// models find.
    #[arg(long)]
    mask: Option<PathBuf>,
    /// Make the mask from a plain backdrop: all that isn't of the border's colour.
    #[arg(long, conflicts_with = "mask")]
    plain_backdrop: bool,
    /// SMPL-X pose, betas, translation and camera of the picture: one frame's JSON, or a motion (`.json`, `.npz`, or a
    /// folder of frames); where it isn't given, the embedded models find the pose.
    #[arg(long, visible_alias = "motion")]
    body_pose: Option<PathBuf>,
    /// Which frame of the motion belongs to the picture, from 0.
    #[arg(long, default_value_t = 0)]
    frame: usize,
    /// Fit pose, shape and place to the mask: from `--body-pose` on where that is given, else from an upright person who
    /// faces the camera. A mask says nothing about arms before the body.
    #[arg(long)]
    fit: bool,
    /// Which person where several are in view, from 1: the largest first.
    #[arg(long, default_value_t = 1)]
    person: usize,
    /// Focal length of the picture in pixels, to find the pose with; as of a telephone where it isn't given.
    #[arg(long)]
    focal: Option<f32>,
    /// Also write the mask that was used.
    #[arg(long)]
    write_mask: Option<PathBuf>,
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
  anicrafter avatar bake --picture me.jpg -o me.safetensors
  anicrafter avatar bake --picture me.png --body-pose me.json -o me.safetensors
  anicrafter avatar bake --picture me.jpg --mask mask.png --motion scene/smplx_params --frame 12 -o me.safetensors
  anicrafter avatar bake --picture me.jpg --plain-backdrop --fit --write-pose me.json -o me.safetensors
  anicrafter avatar turntable me.safetensors -o me.mp4";

/// Refuses outputs that are inputs, or one another.
fn check_outputs(args: &Args) -> Result<()> {
    let given = [("--mask", &args.mask), ("--body", &args.body)];
    let given = given.iter().filter_map(|(name, path)| Some(Input::file(name, path.as_deref()?)));
    let pose = args.body_pose.as_deref().map(|path| Input::frames("--body-pose", path));
    let inputs: Vec<Input<'_>> =
        std::iter::once(Input::file("--picture", &args.picture)).chain(given).chain(pose).collect();
    let beside = [("--write-mask", &args.write_mask), ("--write-pose", &args.write_pose)];
    let beside = beside.iter().filter_map(|(name, path)| Some((*name, path.as_deref()?)));
    let outputs: Vec<(&str, &Path)> = std::iter::once(("--output", &*args.output)).chain(beside).collect();
    Ok(refuse_overwriting(&inputs, &outputs)?)
}

pub(crate) fn run(args: &Args) -> Result<()> {
    check_outputs(args)?;
    let model = pipeline::open_body(args.body.as_deref())?;
    let subject = Subject::read(args, &model)?;
    let rows = subject.picture.height();
    let mut options = Options {
        points: args.points,
        symmetry: !args.no_symmetry,
        max_offset_m: args.max_offset,
        erode_px: args.erode,
        occluder_px: None,
        refine: args.refine,
    };
    if subject.found_mask {
        options = options.with_found_mask(rows);
    }
    if subject.found_pose {
        options = options.with_found_pose(rows);
    }
    let photo = Photo { picture: &subject.picture, mask: &subject.mask, frame: &subject.frame };
    let baked = Baker::new(&model)?.bake(&photo, &options)?;
    baked.avatar.save(&args.output)?;
    if let Some(path) = &args.write_pose {
        std::fs::write(path, subject.frame.to_json()).with_context(|| path.display().to_string())?;
    }
    if let Some(path) = &args.write_mask {
        subject.mask.save(path).with_context(|| path.display().to_string())?;
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

/// The person of the picture.
struct Subject {
    picture: RgbImage,
    mask: GrayImage,
    frame: MotionFrame,
    /// The pose is that of the models' landmarks.
    found_pose: bool,
    /// The mask is the models'.
    found_mask: bool,
}

impl Subject {
    /// Takes mask and pose from where the arguments say, and finds in the picture what they don't give.
    fn read(args: &Args, model: &BodyModel) -> Result<Self> {
        let image = open(&args.picture)?;
        let mask = read_mask(args, &image)?;
        let picture = image.to_rgb8();
        let pose = args.body_pose.as_deref().map(|path| read_frame(path, args.frame)).transpose()?;
        let (found_mask, found_pose) = (mask.is_none(), pose.is_none() && !args.fit);
        let person = if found_mask || found_pose { Some(find(args, &picture, model)?) } else { None };
        let (mask, mut pose) = match person {
            Some(person) => (mask.unwrap_or(person.mask), if found_pose { Some(person.frame) } else { pose }),
            None => (mask.context("there is no mask")?, pose),
        };
        if args.fit {
            let fitted = avatar_bake::fit_pose(model, &mask, None, pose.as_ref())?;
            println!("fitted the pose: {:.1} % overlap with the mask", fitted.iou * 100.0);
            pose = Some(fitted.frame);
        }
        let frame = pose.context("there is no pose")?;
        Ok(Self { picture, mask, frame, found_pose, found_mask })
    }
}

fn find(args: &Args, picture: &RgbImage, model: &BodyModel) -> Result<Person> {
    ensure!(args.person > 0, "--person: people are counted from 1");
    let focal = args.focal.unwrap_or_else(|| avatar_bake::usual_focal_px(picture.dimensions().into()));
    let options = PersonOptions { person: args.person - 1, focal_px: Some(focal) };
    let person = pipeline::find_person(picture, model, &options)
        .with_context(|| args.picture.display().to_string())?;
    println!(
        "found the person ({} in the picture): the landmarks are {:.1} pixels from the body's",
        person.people, person.residual_px
    );
    Ok(person)
}

/// Below this overlap of the bare body and the mask, the pose is likely wrong.
const POOR_FIT: f32 = 0.6;

pub(crate) fn open(path: &Path) -> Result<DynamicImage> {
    image::open(path).with_context(|| path.display().to_string())
}

/// The mask that the arguments or the picture's alpha give.
fn read_mask(args: &Args, image: &DynamicImage) -> Result<Option<GrayImage>> {
    if let Some(path) = &args.mask {
        return Ok(Some(open(path)?.to_luma8()));
    }
    if args.plain_backdrop {
        return Ok(Some(avatar_bake::plain_backdrop(&image.to_rgb8())?));
    }
    Ok(image.color().has_alpha().then(|| bg_mask::split_alpha(&image.to_rgba8()).1))
}

/// One frame of a motion, or one frame's file.
fn read_frame(path: &Path, index: usize) -> Result<MotionFrame> {
    let name = || path.display().to_string();
    // Frame rates don't matter for one picture.
    let motion = smplx::Motion::open(path, 15.0).with_context(name)?;
    match motion.frames.get(index) {
        Some(frame) => Ok(frame.clone()),
        None => bail!("{}: there is no frame {index}, it has {}", name(), motion.len()),
    }
}
