//! Compares the outline of a body, driven by a motion, with a video of another body on black.
//!
//! ```text
//! cargo run -p body-builder --example silhouette_iou -- BODY.npz MOTION_FOLDER VIDEO [OVERLAY_FOLDER]
//! ```
//! Prints the intersection over union of each frame and their mean; betas are 0. With a folder, overlays are written:
//! white where both cover the pixel, red only the body, blue only the video.
#![expect(clippy::print_stdout, reason = "it reports to the terminal")]

#[path = "support/raster.rs"]
mod raster;

use std::error::Error;
use std::path::PathBuf;

use image::{Rgb, RgbImage};
use media::VideoReader;
use raster::Raster;
use smplx::{BodyModel, Camera, Frame, Gaps, Motion, MotionFrame, N_JOINTS};

/// A pixel of the video belongs to the body when a channel is above this; compression leaves noise on the black.
const BLACK: u8 = 24;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let ([body, motion, video] | [body, motion, video, _]) = &arguments[..] else {
        return Err("usage: silhouette_iou BODY.npz MOTION_FOLDER VIDEO [OVERLAY_FOLDER]".into());
    };
    let model = BodyModel::open(body)?;
    let motion = Motion::read_json_folder(motion, 15.0, Gaps::default())?;
    let mut sum = 0.0;
    let mut worst: (f64, usize) = (1.0, 0);
    let mut count = 0;
    for (number, (frame, picture)) in motion.frames.iter().zip(VideoReader::open(video)?).enumerate() {
        let picture = picture?;
        let camera = frame.camera.ok_or("the motion has no camera")?.resized(picture.dimensions().into());
        let ours = silhouette(&model, frame, camera)?;
        let theirs: Vec<bool> = picture.pixels().map(|p| p.0.iter().any(|&c| c > BLACK)).collect();
        let (both, either) = overlap(&ours, &theirs);
        let iou = both as f64 / either.max(1) as f64;
        println!("frame {number:3}: {iou:.4}");
        sum += iou;
        count += 1;
        if iou < worst.0 {
            worst = (iou, number);
        }
        if let Some(folder) = arguments.get(3) {
            std::fs::create_dir_all(folder)?;
            overlay(&ours, &theirs, picture.dimensions()).save(folder.join(format!("{number:05}.png")))?;
        }
    }
    println!(
        "mean of {count} frames: {:.4}; worst: {:.4} in frame {}",
        sum / f64::from(count),
        worst.0,
        worst.1
    );
    Ok(())
}

fn silhouette(model: &BodyModel, frame: &MotionFrame, camera: Camera) -> Result<Vec<bool>, Box<dyn Error>> {
    let mut pose = [[0.0; 3]; N_JOINTS];
    let posed = model.forward(&Frame { betas: &[], expression: &[], ..frame.as_frame(&mut pose) })?;
    let pixels: Vec<[f32; 3]> = posed
        .vertices
        .iter()
        .map(|&p| camera.project(p).map(|[x, y]| [x, y, p[2]]).ok_or("a vertex lies behind the camera"))
        .collect::<Result<_, _>>()?;
    let mut raster = Raster::new(camera.size_px[0], camera.size_px[1]);
    raster.mesh(model.faces(), &pixels, &posed.vertices, [0.0, 0.0, -1.0]);
    Ok(raster.depth.iter().map(|d| d.is_finite()).collect())
}

fn overlap(ours: &[bool], theirs: &[bool]) -> (usize, usize) {
    ours.iter()
        .zip(theirs)
        .fold((0, 0), |(both, either), (&a, &b)| (both + usize::from(a && b), either + usize::from(a || b)))
}

fn overlay(ours: &[bool], theirs: &[bool], (width, height): (u32, u32)) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let pixel = (y * width + x) as usize;
        Rgb(match (ours[pixel], theirs[pixel]) {
            (true, true) => [255; 3],
            (true, false) => [230, 40, 40],
            (false, true) => [40, 90, 255],
            (false, false) => [0; 3],
        })
    })
}
