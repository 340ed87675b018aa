//! The raw video without the person.

use super::bars::Bars;
use super::people::Seen;
use super::{DECODE_AHEAD, REPORT, to_json};
use crate::job::Replace;
use crate::work::write_atomically;
use crate::{Context, Error, Result, Stage};
use bg_mask::{PlateBuilder, PlateOptions};
use image::{GrayImage, RgbImage};
use media::{VideoReader, VideoWriter, WriteOptions};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
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

/// What stays where it is: mattes, frame by frame.
#[derive(Clone, Debug, Default)]
pub(super) struct Stays {
    /// Everybody who isn't replaced.
    pub(super) others: Option<PathBuf>,
    /// What stands in front of those who are.
    pub(super) in_front: Vec<PathBuf>,
}

impl Stays {
    pub(super) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.others.iter().chain(&self.in_front)
    }
}

/// A frame's part that has to go, and people who stay: no background, but no hole either.
struct Hole {
    hole: GrayImage,
    others: Option<GrayImage>,
}

/// The part of each frame that has to go, from its mask.
struct Holes {
    masks: VideoReader,
    others: Option<VideoReader>,
    in_front: Vec<VideoReader>,
    size: (u32, u32),
    /// Holes are those of what is between these.
    bars: Bars,
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

/// The next matte of a video that must be as long as another, at a size.
fn next_matte(reader: &mut VideoReader, size: (u32, u32), n: usize) -> Result<GrayImage> {
    let picture = reader.next().ok_or_else(|| Error::Mismatch {
        what: "frames of the masks and of what stays",
        a: format!("mask {n} is there"),
        b: format!("{n} frames of what stays"),
    })??;
    gray_at(&picture, size)
}

/// A matte of a size: its first channel.
fn gray_at(picture: &RgbImage, (width, height): (u32, u32)) -> Result<GrayImage> {
    let resized;
    let picture = if picture.dimensions() == (width, height) {
        picture
    } else {
        resized = bg_mask::resize(picture, width, height, bg_mask::resample::Filter::Bilinear)?;
        &resized
    };
    Ok(bg_mask::mask_from_bytes(width, height, picture.pixels().map(|p| p[0]).collect())?)
}

impl Holes {
    /// Makes holes ahead on a thread of its own, until there are no more masks or nobody takes them.
    fn send(mut self, to: &SyncSender<Result<Hole>>) {
        let mut n = 0;
        while let Some(picture) = self.masks.next() {
            let hole = picture.map_err(Error::from).and_then(|picture| self.hole(&picture, n));
            n += 1;
            if to.send(hole).is_err() {
                return;
            }
        }
    }

    fn hole(&mut self, picture: &RgbImage, n: usize) -> Result<Hole> {
        let (size, level) = (self.size, self.level);
        let mut mask = gray_at(picture, size)?;
        mask.iter_mut().for_each(|m| *m = if *m >= level { 255 } else { 0 });
        self.covered.count(mask.as_raw());
        let mut hole = bg_mask::dilate(&bg_mask::with_shadow(&mask, self.shadow), self.grow)?;
        let others = match &mut self.others {
            Some(reader) => Some(next_matte(reader, size, n)?),
            None => None,
        };
        let mut stays = others.clone();
        for reader in &mut self.in_front {
            let layer = next_matte(reader, size, n)?;
            stays = Some(match stays {
                Some(stays) => bg_mask::union(&stays, &layer)?,
                None => layer,
            });
        }
        // The margin around the person doesn't reach into what stays.
        if let Some(stays) = stays {
            for ((hole, stays), mask) in hole.iter_mut().zip(stays.iter()).zip(mask.iter()) {
                if *stays >= bg_mask::THRESHOLD && *mask == 0 {
                    *hole = 0;
                }
            }
        }
        // Where somebody's edge is soft, no background is taken either.
        let others = others.map(|others| {
            let mut wide = others;
            wide.iter_mut().for_each(|m| *m = if *m >= OTHERS_LEVEL { 255 } else { 0 });
            bg_mask::dilate(&wide, self.grow / 2.0)
        });
        let others = others.transpose()?.map(|others| self.bars.crop(others));
        Ok(Hole { hole: self.bars.crop(hole), others })
    }
}

/// From this byte on a pixel may be somebody else's.
const OTHERS_LEVEL: u8 = 64;

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
    stays: &Stays,
    seen: Option<&Seen>,
    part: &Path,
    total: usize,
    context: Context<'_>,
) -> Result<()> {
    let cuts = seen.map_or(&[][..], |seen| &seen.cuts);
    let bars = seen.map_or_else(|| Bars::find(&settings.video, context), |seen| Ok(seen.bars))?;
    let reader = VideoReader::open(&settings.video)?;
    let size = reader.info().size();
    let rate = reader.info().frame_rate;
    let open = |path: &PathBuf| open_masks(path, reader.info());
    let holes = Holes {
        masks: open_masks(masks, reader.info())?,
        others: stays.others.as_ref().map(open).transpose()?,
        in_front: stays.in_front.iter().map(open).collect::<Result<_>>()?,
        size,
        bars,
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
            writer.push(even(bars.surround(plate.picture)))?;
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
            let Hole { hole, others } = holes_made.recv().map_err(|_| Error::Mismatch {
                what: "frames of the video and its masks",
                a: format!("frame {n} is there"),
                b: format!("{n} masks"),
            })??;
            builder.push_beside(
                bars.crop(frame),
                &hole,
                others.as_ref(),
                cuts.get(n).copied().unwrap_or(false),
            )?;
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
