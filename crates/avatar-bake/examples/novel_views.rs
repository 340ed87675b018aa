//! Bakes an avatar from a rendered picture of another one and compares both from other sides:
//!
//! `cargo run -p anicrafter-avatar-bake --example novel_views -- [AVATAR] [--size 512] [--out FOLDER]`
//!
//! Without a file the demo's avatar is the truth. Prints the PSNR in the person's region (where either of the two is) for
//! several views and for a pose that the picture doesn't show, for the whole method and for less of it; with a folder the
//! views are written as strips: truth, whole method, bare projection.
#![expect(clippy::print_stdout, reason = "a command-line program")]

#[path = "support/truth.rs"]
mod truth;

use anicrafter_avatar_bake::{Baked, Baker, Options, Photo};
use image::RgbImage;
use std::path::PathBuf;
use std::time::Instant;
use truth::{Truth, psnr, turned};

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    let mut avatar = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../assets/demo/avatar.safetensors");
    let (mut size, mut out) = (512, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--size" => size = value()?.parse()?,
            "--out" => out = Some(PathBuf::from(value()?)),
            _ => avatar = PathBuf::from(argument),
        }
    }
    let model = smplx::BodyModel::from_bytes(anicrafter_assets::BODY.to_vec())?;
    let truth = Truth::open(&model, &avatar)?;
    let baker = Baker::new(&model)?;
    let whole = Options::default();
    let ways = [
        ("whole method", whole.clone()),
        ("without refinement", Options { refine: 0, ..whole.clone() }),
        ("without symmetry", Options { symmetry: false, ..whole.clone() }),
        ("without offsets", Options { max_offset_m: 0.0, ..whole.clone() }),
        ("bare projection", Options { max_offset_m: 0.0, symmetry: false, refine: 0, ..whole }),
    ];
    for from in [0.0_f32, 35.0] {
        let shown = turned(from, size);
        let (picture, mask) = truth.picture(&shown)?;
        let photo = Photo { picture: &picture, mask: &mask, frame: &shown };
        println!("picture from {from}°, {size} rows");
        let views = [0.0, 30.0, 60.0, 90.0, 180.0, -90.0].map(|turn| turned(from + turn, size));
        let mut frames = views.to_vec();
        frames.push(truth::other_pose(size));
        println!(
            "{:20} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6} {:>6}   IoU",
            "", "0°", "30°", "60°", "90°", "180°", "-90°", "pose"
        );
        let mut strips: Vec<RgbImage> = Vec::new();
        for (name, options) in &ways {
            let start = Instant::now();
            let baked = baker.bake(&photo, options)?;
            let took = start.elapsed();
            let mut row = format!("{name:20}");
            for (index, frame) in frames.iter().enumerate() {
                let (expected, made) = (truth.render(frame)?, render(&model, &baked, frame)?);
                row += &format!(" {:6.2}", psnr(&expected, &made));
                if index >= strips.len() {
                    strips.push(truth::beside(&[&expected]));
                }
                if ["whole method", "bare projection"].contains(name) {
                    strips[index] = truth::append(&strips[index], &made);
                }
            }
            println!("{row}   {:.4} → {:.4}   {took:.0?}", baked.report.body_iou, baked.report.dressed_iou);
        }
        if let Some(folder) = &out {
            std::fs::create_dir_all(folder)?;
            for (index, strip) in strips.iter().enumerate() {
                strip.save(folder.join(format!("from_{from}_view_{index}.png")))?;
            }
        }
    }
    Ok(())
}

fn render(
    model: &smplx::BodyModel,
    baked: &Baked,
    frame: &smplx::MotionFrame,
) -> Result<avatar_render::Frame, Error> {
    let mut posed = avatar_render::Gaussians::default();
    baked.pose(model, frame, &mut posed)?;
    truth::splat(&posed, frame)
}
