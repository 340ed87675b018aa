//! Masks, background and motion of a raw video against those that another tool made: a scene folder as the reference lays it
//! out.
//!
//! There are no true masks in such a folder: the person is taken to be where the raw video differs from the scene's
//! background, the largest piece of it without holes.

mod motion;

use crate::frame::luma;
use crate::{Error, Result};
use bg_mask::FrameMap;
use image::{GrayImage, Luma, RgbImage};
use media::VideoReader;
use serde::Serialize;
use smplx::{BodyModel, Motion};
use std::fmt::Write;
use std::path::Path;

/// What was made of a raw video.
#[derive(Clone, Copy, Debug)]
pub struct Made<'a> {
    /// The raw video.
    pub video: &'a Path,
    /// Masks of the person: a video or a folder of pictures.
    pub masks: &'a Path,
    /// From which level on, 0 to 255, a mask's pixel was taken out.
    pub level: u8,
    /// Pixels by which masks were grown.
    pub grow_px: f32,
    /// The motion.
    pub motion: &'a Path,
    /// The background without the person.
    pub plate: &'a Path,
}

/// What another tool made of the same video.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// The background without the person.
    pub plate: &'a Path,
    /// The motion.
    pub motion: &'a Path,
}

/// The figures.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Measured {
    /// Frames compared.
    pub frames: usize,
    /// Part of the person that the grown mask covers.
    pub mask_recall: f64,
    /// Intersection over union of mask and person before growing, at one half.
    pub mask_iou: f64,
    /// Background against the scene's, inside the grown masks, in dB.
    pub plate_psnr: f64,
    /// Mean change from frame to frame inside the grown masks once the camera's motion is taken out, 0..255.
    pub flicker: f64,
    /// The same of the scene's background.
    pub scene_flicker: f64,
    /// Mean absolute Laplacian of the luma inside the grown masks.
    pub sharpness: f64,
    /// The same of the scene's background.
    pub scene_sharpness: f64,
    /// Mean distance of the upper body's joints in the picture, in pixels.
    pub motion_px: f64,
    /// Mean distance of the upper body's joints in space, pelvis on pelvis, in millimetres.
    pub motion_mm: f64,
    /// Mean angle between the upper body's joint rotations, in degrees.
    pub rotation_deg: f64,
    /// Mean angle between the bodies' orientations, in degrees.
    pub root_deg: f64,
}

/// A pixel differs where the mean difference over a small square is above this.
const DIFFERENT: f32 = 26.0;

/// Compares what was made of a video with what another tool made of it; joints are those of `body`.
///
/// # Errors
/// When a file can't be read or lengths differ.
pub fn measure(made: &Made<'_>, scene: &Scene<'_>, body: &BodyModel) -> Result<Measured> {
    let mut measured = Measured::default();
    pictures(made, scene.plate, &mut measured)?;
    let ours = Motion::open(made.motion, ANY_FPS)?;
    let theirs = Motion::open(scene.motion, ANY_FPS)?;
    motion::compare(body, &ours, &theirs, &mut measured)?;
    Ok(measured)
}

/// Motions are compared frame by frame: their rate is of no consequence.
const ANY_FPS: f32 = 30.0;

impl Measured {
    /// The figures as an aligned table: ours beside those of the scene.
    #[must_use]
    pub fn to_table(&self) -> String {
        let mut text = String::new();
        let mut line = |what: &str, ours: String, other: String| {
            // Writing to a string can't fail.
            let _ = writeln!(text, "{what:<22} {ours:>9} {other:>9}");
        };
        line("", "ours".to_owned(), "scene".to_owned());
        line("mask recall", format!("{:.4}", self.mask_recall), String::new());
        line("mask IoU", format!("{:.3}", self.mask_iou), String::new());
        line("plate PSNR (dB)", format!("{:.2}", self.plate_psnr), String::new());
        line("plate flicker", format!("{:.2}", self.flicker), format!("{:.2}", self.scene_flicker));
        line("plate sharpness", format!("{:.2}", self.sharpness), format!("{:.2}", self.scene_sharpness));
        line("motion 2D (px)", format!("{:.1}", self.motion_px), String::new());
        line("motion 3D (mm)", format!("{:.1}", self.motion_mm), String::new());
        line("joint rotation (deg)", format!("{:.1}", self.rotation_deg), String::new());
        line("root rotation (deg)", format!("{:.1}", self.root_deg), String::new());
        text
    }
}

/// One frame of each video, kept for what changes over time.
struct Moment {
    raw: RgbImage,
    hole: GrayImage,
    /// Luma of our background and of the scene's.
    plates: [Vec<f32>; 2],
}

/// Sums over all frames.
#[derive(Default)]
struct Sums {
    person: f64,
    covered: f64,
    both: f64,
    either: f64,
    squares: f64,
    inside: f64,
    change: [f64; 2],
    compared: f64,
    edges: [f64; 2],
}

fn pictures(made: &Made<'_>, scene_plate: &Path, measured: &mut Measured) -> Result<()> {
    let open = |path: &Path| -> Result<_> { Ok(VideoReader::open(path)?.prefetch(2)) };
    let raws = open(made.video)?;
    let (mut masks, mut ours, mut theirs) = (open(made.masks)?, open(made.plate)?, open(scene_plate)?);
    let mut sums = Sums::default();
    let mut before: Option<Moment> = None;
    for (n, raw) in raws.enumerate() {
        let raw = raw?;
        let size = raw.dimensions();
        let next = |reader: &mut media::Prefetch| -> Result<RgbImage> {
            let frame = reader.next().transpose()?.ok_or_else(|| Error::Mismatch {
                what: "numbers of frames",
                a: format!("frame {n}"),
                b: "the end".to_owned(),
            })?;
            if frame.dimensions() != size {
                return Err(Error::Mismatch {
                    what: "sizes of frames",
                    a: format!("{size:?}"),
                    b: format!("{:?}", frame.dimensions()),
                });
            }
            Ok(frame)
        };
        let (matte, ours, theirs) = (next(&mut masks)?, next(&mut ours)?, next(&mut theirs)?);
        let mask = at_least(&matte, made.level);
        let hole = bg_mask::dilate(&mask, made.grow_px)?;
        let person = differing(&raw, &theirs);
        add_masks(&mut sums, &person, &hole, &at_least(&matte, 128));
        for ((inside, a), b) in hole.pixels().zip(ours.pixels()).zip(theirs.pixels()) {
            if inside[0] > 0 {
                let square = |k: usize| (f64::from(a[k]) - f64::from(b[k])).powi(2);
                sums.squares += (0..3).map(square).sum::<f64>();
                sums.inside += 3.0;
            }
        }
        let plates = [&ours, &theirs].map(luma);
        for (sum, plate) in sums.edges.iter_mut().zip(&plates) {
            *sum += laplacian(plate, &hole);
        }
        let now = Moment { raw, hole, plates };
        if let Some(before) = &before {
            add_changes(&mut sums, before, &now)?;
        }
        before = Some(now);
        measured.frames += 1;
    }
    let share = |a: f64, b: f64| if b > 0.0 { a / b } else { f64::NAN };
    measured.mask_recall = share(sums.covered, sums.person);
    measured.mask_iou = share(sums.both, sums.either);
    measured.plate_psnr = 10.0 * (255.0_f64.powi(2) / share(sums.squares, sums.inside)).log10();
    measured.flicker = share(sums.change[0], sums.compared);
    measured.scene_flicker = share(sums.change[1], sums.compared);
    measured.sharpness = share(sums.edges[0], sums.inside / 3.0);
    measured.scene_sharpness = share(sums.edges[1], sums.inside / 3.0);
    Ok(())
}

fn at_least(matte: &RgbImage, threshold: u8) -> GrayImage {
    GrayImage::from_fn(matte.width(), matte.height(), |x, y| {
        Luma([if matte.get_pixel(x, y)[0] >= threshold { 255 } else { 0 }])
    })
}

/// Where two pictures differ: the largest piece, without holes.
fn differing(a: &RgbImage, b: &RgbImage) -> GrayImage {
    let (w, h) = (a.width() as usize, a.height() as usize);
    let mean = |image: &RgbImage| {
        // Box means over 7 × 7 pixels by running sums, three channels.
        let mut out = vec![[0.0_f32; 3]; w * h];
        let mut column = vec![[0_u32; 3]; w];
        let bytes = image.as_raw();
        let row = |y: usize, column: &mut Vec<[u32; 3]>, add: bool| {
            for (x, sum) in column.iter_mut().enumerate() {
                for k in 0..3 {
                    let v = u32::from(bytes[(y * w + x) * 3 + k]);
                    sum[k] = if add { sum[k] + v } else { sum[k] - v };
                }
            }
        };
        for y in 0..h + 3 {
            if y < h {
                row(y, &mut column, true);
            }
            if y >= 7 {
                row(y - 7, &mut column, false);
            }
            let Some(at) = y.checked_sub(3) else { continue };
            let rows = (y.min(h - 1) + 1 - y.saturating_sub(6)) as f32;
            for x in 0..w {
                let (from, to) = (x.saturating_sub(3), (x + 4).min(w));
                let mut sum = [0_u32; 3];
                column[from..to].iter().for_each(|c| (0..3).for_each(|k| sum[k] += c[k]));
                out[at * w + x] = sum.map(|s| s as f32 / (rows * (to - from) as f32));
            }
        }
        out
    };
    let bytes = mean(a)
        .iter()
        .zip(mean(b))
        .map(|(a, b)| if (0..3).any(|k| (a[k] - b[k]).abs() > DIFFERENT) { 255 } else { 0 })
        .collect();
    let mask = GrayImage::from_raw(w as u32, h as u32, bytes).unwrap_or_default();
    bg_mask::fill_holes(&bg_mask::largest_components(&mask, 1), w * h / 50)
}

fn add_masks(sums: &mut Sums, person: &GrayImage, hole: &GrayImage, mask: &GrayImage) {
    for ((person, hole), mask) in person.iter().zip(hole.iter()).zip(mask.iter()) {
        let (person, hole, mask) = (*person > 0, *hole > 0, *mask > 0);
        sums.person += f64::from(u8::from(person));
        sums.covered += f64::from(u8::from(person && hole));
        sums.both += f64::from(u8::from(person && mask));
        sums.either += f64::from(u8::from(person || mask));
    }
}

/// Sum of the luma's absolute Laplacian inside a mask.
fn laplacian(luma: &[f32], mask: &GrayImage) -> f64 {
    let (w, h) = (mask.width() as usize, mask.height() as usize);
    let inside = (0..w * h).filter(|&i| {
        let (x, y) = (i % w, i / w);
        mask.as_raw()[i] > 0 && x > 0 && y > 0 && x + 1 < w && y + 1 < h
    });
    inside
        .map(|i| {
            let around = [i - 1, i + 1, i - w, i + w].map(|j| f64::from(luma[j])).iter().sum::<f64>();
            (around - 4.0 * f64::from(luma[i])).abs()
        })
        .sum()
}

/// What changes from frame to frame inside both holes, where the camera's motion takes it.
fn add_changes(sums: &mut Sums, before: &Moment, now: &Moment) -> Result<()> {
    let Some(map) = FrameMap::between((&now.raw, &now.hole), (&before.raw, &before.hole))? else {
        return Ok(());
    };
    let (w, h) = now.raw.dimensions();
    for (x, y, _) in now.hole.enumerate_pixels().filter(|(_, _, p)| p[0] > 0) {
        let [u, v] = map.at([x as f32, y as f32]);
        if !(u >= 0.0 && v >= 0.0 && u < w as f32 - 1.0 && v < h as f32 - 1.0) {
            continue;
        }
        if before.hole.get_pixel(u.round() as u32, v.round() as u32)[0] == 0 {
            continue;
        }
        let row = w as usize;
        let at = v as usize * row + u as usize;
        let (fx, fy) = (f64::from(u.fract()), f64::from(v.fract()));
        for ((sum, now), then) in sums.change.iter_mut().zip(&now.plates).zip(&before.plates) {
            let between = |i: usize| f64::from(then[i]) * (1.0 - fx) + f64::from(then[i + 1]) * fx;
            let then = between(at) * (1.0 - fy) + between(at + row) * fy;
            *sum += (f64::from(now[y as usize * row + x as usize]) - then).abs();
        }
        sums.compared += 1.0;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_person_is_where_pictures_differ() {
        let empty = RgbImage::from_pixel(80, 60, image::Rgb([100; 3]));
        let mut with = empty.clone();
        for y in 20..45 {
            for x in 30..50 {
                with.put_pixel(x, y, image::Rgb([200, 30, 30]));
            }
        }
        let found = differing(&with, &empty);
        assert_eq!((found.get_pixel(40, 30)[0], found.get_pixel(10, 10)[0]), (255, 0));
        let area = found.iter().filter(|b| **b > 0).count();
        assert!((400..800).contains(&area), "{area}");
    }
}
