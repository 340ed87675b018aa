//! The report's section about a raw video: what masks, motion and background look like in a few of its frames.

use super::StageRow;
use crate::Result;
use image::{ImageFormat, Rgb, RgbImage, imageops};
use media::VideoReader;
use smplx::{BodyModel, Motion, MotionFrame, Rotations};
use std::path::Path;

/// Frames of a strip.
const FRAMES: usize = 5;
/// Their longer side in pixels.
const SIDE: u32 = 320;
/// Space between them.
const SPACE: u32 = 4;
/// What is drawn of a body: the joints up to the wrists.
const DRAWN: usize = 22;

/// Masks, motion and background of a raw video.
#[derive(Clone, Debug, Default)]
pub struct RawSection {
    /// A caption and a JPEG picture each.
    pub strips: Vec<(String, Vec<u8>)>,
    /// Name and value.
    pub figures: Vec<(String, String)>,
    /// Time and memory of the stages.
    pub stages: Vec<StageRow>,
}

/// A raw video and what was made of it.
#[derive(Clone, Debug)]
pub struct RawVideo<'a> {
    /// The video, or a folder of pictures.
    pub video: &'a Path,
    /// Masks of the person, and the level, 0 to 255, from which on a pixel is the person's.
    pub masks: Option<(&'a Path, u8)>,
    /// The person's motion.
    pub motion: Option<&'a Motion>,
    /// The background without the person.
    pub plate: Option<&'a Path>,
    /// The body that moves.
    pub body: &'a BodyModel,
    /// How far each frame can be trusted, 0 to 1, where somebody is in view; empty where nobody judged.
    pub scores: Vec<Option<f32>>,
    /// Below this a frame isn't trusted.
    pub trusted: f32,
    /// What else there is to say: name and value.
    pub figures: Vec<(String, String)>,
    /// Time and memory of the stages.
    pub stages: Vec<StageRow>,
}

impl RawSection {
    /// Draws what was made of a video.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn new(raw: RawVideo<'_>) -> Result<Self> {
        let frames = picked(raw.video, None)?;
        let numbers: Vec<usize> = frames.iter().map(|f| f.0).collect();
        let frames: Vec<RgbImage> = frames.into_iter().map(|f| f.1).collect();
        let listed = numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let (figures, stages) = (raw.figures.clone(), raw.stages.clone());
        let mut section = Self { figures, stages, ..Self::default() };
        let mut add = |what: &str, pictures: Vec<RgbImage>| -> Result<()> {
            section.strips.push((format!("{what}; frames {listed}"), strip(&pictures)?));
            Ok(())
        };
        add("the raw video", frames.clone())?;
        if let Some((path, level)) = raw.masks {
            let masks = picked(path, Some(&numbers))?;
            let tinted = frames.iter().zip(&masks).map(|(f, m)| tinted(f, &m.1, level)).collect();
            add("who is taken out", tinted)?;
        }
        if let Some(motion) = raw.motion {
            let drawn: Result<Vec<RgbImage>> = numbers
                .iter()
                .zip(&frames)
                .filter_map(|(n, picture)| Some((motion.frames.get(*n)?, picture.clone())))
                .map(|(frame, mut picture)| {
                    draw_body(raw.body, frame, &mut picture)?;
                    Ok(picture)
                })
                .collect();
            add("the motion", drawn?)?;
        }
        if let Some(path) = raw.plate {
            add("the background", picked(path, Some(&numbers))?.into_iter().map(|f| f.1).collect())?;
        }
        if raw.scores.iter().flatten().next().is_some() {
            section.strips.extend(scored(&raw)?);
        }
        Ok(section)
    }
}

/// The score over time, and the worst frames with who is taken out.
fn scored(raw: &RawVideo<'_>) -> Result<Vec<(String, Vec<u8>)>> {
    let mut order: Vec<(f32, usize)> =
        raw.scores.iter().enumerate().filter_map(|(n, score)| Some(((*score)?, n))).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut strips =
        vec![("score of each frame, 0 to 1; below the line it isn't trusted".to_owned(), chart(raw)?)];
    let mut worst: Vec<usize> = order.iter().take(FRAMES).map(|(_, n)| *n).collect();
    worst.sort_unstable();
    let frames = picked(raw.video, Some(&worst))?;
    let mut pictures: Vec<RgbImage> = frames.iter().map(|f| f.1.clone()).collect();
    if let Some((path, level)) = raw.masks {
        let masks = picked(path, Some(&worst))?;
        pictures = frames.iter().zip(&masks).map(|(f, m)| tinted(&f.1, &m.1, level)).collect();
    }
    let score = |n: &usize| raw.scores.get(*n).copied().flatten().unwrap_or(1.0);
    let listed: Vec<String> = worst.iter().map(|n| format!("{n} ({:.2})", score(n))).collect();
    strips.push((format!("the worst frames: {}", listed.join(", ")), strip(&pictures)?));
    Ok(strips)
}

/// Height of a chart in pixels.
const CHART: u32 = 120;

/// Scores as columns: green where they are trusted, red where not, white where nobody is in view.
fn chart(raw: &RawVideo<'_>) -> Result<Vec<u8>> {
    let n = raw.scores.len().max(1) as u32;
    let width = (SIDE + SPACE) * FRAMES as u32 - SPACE;
    let row = |score: f32| ((1.0 - score.clamp(0.0, 1.0)) * (CHART - 1) as f32) as u32;
    let picture = RgbImage::from_fn(width, CHART, |x, y| {
        if y == row(raw.trusted) {
            return Rgb([40; 3]);
        }
        let frame = (u64::from(x) * u64::from(n) / u64::from(width)) as usize;
        match raw.scores.get(frame).copied().flatten() {
            Some(score) if y >= row(score) => {
                if score < raw.trusted {
                    Rgb([210, 60, 50])
                } else {
                    Rgb([90, 170, 110])
                }
            }
            _ => Rgb([250; 3]),
        }
    });
    strip(&[picture])
}

/// Some frames of a video with their numbers: those that are named, or a few spread over all of it.
fn picked(path: &Path, numbers: Option<&[usize]>) -> Result<Vec<(usize, RgbImage)>> {
    let numbers = match numbers {
        Some(numbers) => numbers.to_vec(),
        None => {
            let total = match VideoReader::open(path)?.info().frames {
                Some(total) => total,
                None => VideoReader::open(path)?.count(),
            };
            let mut spread: Vec<usize> =
                (0..FRAMES).map(|i| i * total.saturating_sub(1) / (FRAMES - 1)).collect();
            spread.dedup();
            spread
        }
    };
    let mut found = Vec::new();
    let last = numbers.last().copied().unwrap_or(0);
    for (n, frame) in VideoReader::open(path)?.take(last + 1).enumerate() {
        let frame = frame?;
        if numbers.contains(&n) {
            found.push((n, shrunk(&frame)));
        }
    }
    Ok(found)
}

fn shrunk(picture: &RgbImage) -> RgbImage {
    let (w, h) = picture.dimensions();
    let longer = w.max(h).max(1);
    let side = |n: u32| (n * SIDE / longer).max(1);
    imageops::resize(picture, side(w), side(h), imageops::FilterType::Triangle)
}

/// The person in colour.
fn tinted(frame: &RgbImage, mask: &RgbImage, level: u8) -> RgbImage {
    let mut out = frame.clone();
    for (x, y, pixel) in out.enumerate_pixels_mut() {
        if x < mask.width() && y < mask.height() && mask.get_pixel(x, y)[0] >= level {
            let tint = [230_u16, 60, 150];
            pixel.0 = [0, 1, 2].map(|k| ((u16::from(pixel[k]) + tint[k]) / 2) as u8);
        }
    }
    out
}

/// The body's bones over a picture.
fn draw_body(body: &BodyModel, frame: &MotionFrame, picture: &mut RgbImage) -> Result<()> {
    let Some(camera) = frame.camera else { return Ok(()) };
    let full = frame.pose.full();
    let rotations = Rotations::AxisAngle(&full);
    let at = smplx::Frame { rotations, translation: frame.translation, ..smplx::Frame::REST };
    let joints = body.joints(&at)?.positions;
    let camera = camera.resized([picture.width(), picture.height()]);
    for (j, parent) in body.parents().iter().enumerate().take(DRAWN) {
        let Some(parent) = parent else { continue };
        if let (Some(a), Some(b)) = (camera.project(joints[usize::from(*parent)]), camera.project(joints[j]))
        {
            line(picture, a, b);
        }
    }
    Ok(())
}

/// A line three pixels wide, with dots at its ends.
fn line(picture: &mut RgbImage, a: [f32; 2], b: [f32; 2]) {
    let length = (b[0] - a[0]).hypot(b[1] - a[1]);
    if !length.is_finite() || length > 10.0 * SIDE as f32 {
        return;
    }
    let mut dot = |at: [f32; 2], radius: i64, color: [u8; 3]| {
        let [x, y] = at.map(|v| v as i64);
        for (u, v) in (-radius..=radius).flat_map(|v| (-radius..=radius).map(move |u| (x + u, y + v))) {
            if (0..i64::from(picture.width())).contains(&u) && (0..i64::from(picture.height())).contains(&v) {
                picture.put_pixel(u as u32, v as u32, Rgb(color));
            }
        }
    };
    let steps = length.ceil().max(1.0);
    for i in 0..=steps as usize {
        let share = i as f32 / steps;
        dot([0, 1].map(|k| a[k] + (b[k] - a[k]) * share), 1, [60, 220, 120]);
    }
    dot(a, 2, [255, 240, 80]);
    dot(b, 2, [255, 240, 80]);
}

/// Pictures side by side, as JPEG.
fn strip(pictures: &[RgbImage]) -> Result<Vec<u8>> {
    let height = pictures.iter().map(RgbImage::height).max().unwrap_or(1);
    let width: u32 = pictures.iter().map(|p| p.width() + SPACE).sum();
    let mut all = RgbImage::from_pixel(width.saturating_sub(SPACE).max(1), height, Rgb([255; 3]));
    let mut x = 0;
    for picture in pictures {
        imageops::replace(&mut all, picture, x, 0);
        x += i64::from(picture.width() + SPACE);
    }
    let mut bytes = std::io::Cursor::new(Vec::new());
    all.write_to(&mut bytes, ImageFormat::Jpeg)?;
    Ok(bytes.into_inner())
}
