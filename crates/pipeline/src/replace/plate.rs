//! The raw video without the person.

use super::{DECODE_AHEAD, REPORT, to_json};
use crate::job::Replace;
use crate::work::write_atomically;
use crate::{Context, Error, Result, Stage};
use bg_mask::{PlateBuilder, PlateOptions};
use image::{GrayImage, RgbImage};
use media::{VideoReader, VideoWriter, WriteOptions};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::mpsc::SyncSender;

/// What is said about a background beside its pictures.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct PlateReport {
    /// Part of each frame's hole that other frames show, 0..1.
    pub(super) seen: Vec<f32>,
    /// Frames in which the camera stood still.
    pub(super) still: usize,
}

impl PlateReport {
    pub(super) fn least_seen(&self) -> f32 {
        self.seen.iter().copied().fold(1.0, f32::min)
    }
}

/// The part of each frame that has to go, from its mask.
struct Holes {
    masks: VideoReader,
    size: (u32, u32),
    level: u8,
    shadow: f32,
    grow: f32,
    covered: Covered,
}

/// How many masks there were, how many of them without a single pixel of the person and how many of nothing else.
#[derive(Clone, Debug, Default)]
struct Covered(std::sync::Arc<std::sync::Mutex<[usize; 3]>>);

impl Covered {
    fn count(&self, mask: &[u8]) {
        let (none, all) = (mask.iter().all(|&m| m == 0), mask.iter().all(|&m| m != 0));
        let mut counts = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for (count, more) in counts.iter_mut().zip([true, none, all]) {
            *count += usize::from(more);
        }
    }

    /// Refuses masks that leave nothing of the video, and warns of masks that take nothing out.
    fn check(&self, masks: &Path, context: Context<'_>) -> Result<()> {
        let [n, none, all] = *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if n > 0 && all == n {
            let why = format!(
                "all {n} masks of {} are white everywhere, so that nothing of the background would be left: white is what goes",
                masks.display()
            );
            return Err(Error::Option { option: "replace.mask", why });
        }
        if n > 0 && none == n {
            context.warn(format!(
                "all {n} masks of {} are black everywhere: nobody is taken out (white is what goes)",
                masks.display()
            ));
        } else if all > 0 {
            context.warn(format!("{all} of {n} masks of {} are white everywhere", masks.display()));
        }
        Ok(())
    }
}

/// Masks frame by frame as their video's, or as its stored frames: those of another number and rate are brought to its rate.
fn open_masks(masks: &Path, video: &media::VideoInfo) -> Result<VideoReader> {
    let options = media::ReadOptions { matte: true, ..media::ReadOptions::default() };
    let reader = VideoReader::open_with(masks, &options)?.alongside(video);
    let info = reader.info();
    if masks.is_dir() || info.still || info.frames == video.frames || info.frame_rate == video.frame_rate {
        return Ok(reader);
    }
    let timing = media::Timing::EvenAt(video.frame_rate);
    Ok(VideoReader::open_with(masks, &media::ReadOptions { timing, ..options })?)
}

impl Holes {
    /// Makes holes ahead on a thread of its own, until there are no more masks or nobody takes them.
    fn send(self, to: &SyncSender<Result<GrayImage>>) {
        let Self { masks, size: (width, height), level, shadow, grow, covered } = self;
        let hole = |picture: RgbImage| -> Result<GrayImage> {
            let picture = if picture.dimensions() == (width, height) {
                picture
            } else {
                bg_mask::resize(&picture, width, height, bg_mask::resample::Filter::Bilinear)?
            };
            let bytes: Vec<u8> = picture.pixels().map(|p| if p[0] >= level { 255 } else { 0 }).collect();
            covered.count(&bytes);
            let mask = bg_mask::mask_from_bytes(width, height, bytes)?;
            Ok(bg_mask::dilate(&bg_mask::with_shadow(&mask, shadow), grow)?)
        };
        for picture in masks {
            if to.send(picture.map_err(Error::from).and_then(hole)).is_err() {
                return;
            }
        }
    }
}

/// A picture without its last column or row where there is one too many for video.
fn even(picture: RgbImage) -> RgbImage {
    let (w, h) = picture.dimensions();
    if w % 2 == 0 && h % 2 == 0 {
        return picture;
    }
    image::imageops::crop_imm(&picture, 0, 0, w / 2 * 2, h / 2 * 2).to_image()
}

/// The finest quantiser but a little: plates are encoded once more at the end.
const PLATE_QP: u8 = 14;
/// Frames that wait for the encoder.
const ENCODE_BEHIND: usize = 3;

pub(super) fn make_plate(
    settings: &Replace,
    masks: &Path,
    cuts: &[bool],
    part: &Path,
    total: usize,
    context: Context<'_>,
) -> Result<()> {
    let reader = VideoReader::open(&settings.video)?;
    let size = reader.info().size();
    let rate = reader.info().frame_rate;
    let holes = Holes {
        masks: open_masks(masks, reader.info())?,
        size,
        level: settings.mask_level(),
        shadow: settings.shadow,
        grow: settings.grow_px_at(size),
        covered: Covered::default(),
    };
    let (said, covered) = (reader.warnings(), holes.covered.clone());
    // The sound goes with the plate: the job that follows takes it from its background.
    let audio = crate::finish::sound(&settings.video, 0, context);
    let options = WriteOptions { qp: PLATE_QP, audio, ..WriteOptions::new(rate) };
    let mut writer = VideoWriter::create(part.join("plate.mp4"), options)?.in_background(ENCODE_BEHIND);
    let mut builder = PlateBuilder::new(PlateOptions::default())?;
    let mut pushed = 0;
    let mut report = PlateReport::default();
    let mut drain = |builder: &mut PlateBuilder| -> Result<()> {
        while let Some(plate) = builder.next_plate()? {
            report.seen.push(plate.seen);
            report.still += usize::from(plate.still);
            writer.push(even(plate.picture))?;
            context.advance(Stage::Plate, report.seen.len() as f64, total)?;
        }
        Ok(())
    };
    let (to_builder, holes_made) = std::sync::mpsc::sync_channel(DECODE_AHEAD);
    std::thread::scope(|scope| -> Result<()> {
        let holes_made = holes_made;
        scope.spawn(move || holes.send(&to_builder));
        for (n, frame) in reader.prefetch(DECODE_AHEAD).enumerate() {
            let frame = frame?;
            let hole = holes_made.recv().map_err(|_| Error::Mismatch {
                what: "frames of the video and its masks",
                a: format!("frame {n} is there"),
                b: format!("{n} masks"),
            })??;
            builder.push(frame, &hole, cuts.get(n).copied().unwrap_or(false))?;
            pushed += 1;
            drain(&mut builder)?;
        }
        Ok(())
    })?;
    builder.close();
    drain(&mut builder)?;
    crate::finish::warn_of(&said, context);
    covered.check(masks, context)?;
    if pushed == 0 {
        let what = format!("{} has no frames", settings.video.display());
        return Err(Error::Missing { stage: Stage::Plate, what });
    }
    let least_seen = report.least_seen();
    if least_seen < 0.5 {
        context.warn(format!(
            "in the worst frame {:.0} % of what is behind the person is never seen and had to be invented: a plate from elsewhere (--plate) may look better",
            (1.0 - least_seen) * 100.0
        ));
    }
    writer.finish()?;
    write_atomically(&part.join(REPORT), &to_json(&report)?)
}
