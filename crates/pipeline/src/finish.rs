//! From decoded windows to the finished video: windows joined, background put back, frames encoded.

use crate::animate::Outcome;
use crate::composite::gray;
use crate::detail::{DetailFrame, DetailTransfer};
use crate::job::{FirstFrame, Job};
use crate::progress::{Context, Event, Stage, peak_memory};
use crate::report::StageRow;
use crate::stages::DecodedWindow;
use crate::windows::{Drift, Window, correct_colour, crossfade, drift, ramp};
use crate::work::FrameFile;
use crate::{Error, Result};
use bg_mask::LockOptions;
use image::{GenericImage, RgbImage};
use media::{AudioTrack, FrameRate, VideoWriter, WriteOptions};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Writes the video of a finished run, and its panels where the job asks for them.
///
/// # Errors
/// When a file of the work folder is damaged, the video can't be written, or the caller stops it.
pub fn write_video(job: &Job, outcome: &mut Outcome, context: Context<'_>) -> Result<Vec<PathBuf>> {
    let start = Instant::now();
    let mut frames = Joined::open(job, outcome)?;
    let total = frames.len;
    context.tell(&Event::Started { stage: Stage::Finish, window: 0, windows: 1, total });
    let rate = frame_rate(outcome.fps)?;
    let mut options = WriteOptions::new(rate);
    options.audio = sound(job.sound_from(), job.input.start, context);
    let mut writer = VideoWriter::create(&job.output.video, options)?;
    let panels_path = job.output.panels.then(|| beside(&job.output.video, "panels"));
    let mut panels =
        panels_path.as_ref().map(|path| VideoWriter::create(path, WriteOptions::new(rate))).transpose()?;
    let reference = outcome.condition.reference()?;
    let (mut mesh, mut blend) = (outcome.condition.mesh()?, outcome.condition.blend()?);
    let mut index = 0;
    while let Some(frame) = frames.next()? {
        writer.push(&frame)?;
        if let Some(panels) = &mut panels {
            let at = frames.condition_index(index);
            panels.push(&four_panels(&reference, &mesh.frame(at)?, &blend.frame(at)?, &frame)?)?;
        }
        index += 1;
        context.advance(Stage::Finish, index as f64, total)?;
    }
    let said = writer.warnings();
    writer.finish()?;
    warn_of(&said, context);
    let mut written = vec![job.output.video.clone()];
    if let (Some(panels), Some(path)) = (panels, panels_path) {
        panels.finish()?;
        written.push(path);
    }
    for path in &written {
        context.tell(&Event::Wrote { path: path.clone() });
    }
    let (seconds, peak_bytes) = (start.elapsed().as_secs_f64(), peak_memory());
    context.tell(&Event::Finished { stage: Stage::Finish, seconds, cached: false, peak_bytes });
    let name = Stage::Finish.name().to_owned();
    outcome.stages.push(StageRow { name, seconds, peak_bytes, cached: false });
    Ok(written)
}

/// The sound that goes with a video's frames from `start` on, as they are read: at an even rate. A folder of pictures has none;
/// a track that can't be brought along is left out, and said.
#[must_use]
pub fn sound(video: &Path, start: usize, context: Context<'_>) -> Option<AudioTrack> {
    let ffmpeg = media::ReadOptions::default().ffmpeg;
    let track = AudioTrack::open(video, ffmpeg.as_deref()).and_then(|track| {
        let Some(track) = track else { return Ok(None) };
        if start == 0 {
            return Ok(Some(track));
        }
        let rate = media::VideoReader::open(video)?.info().frame_rate;
        Ok(Some(track.skip_s(rate.seconds_of(start))))
    });
    track.unwrap_or_else(|why| {
        context.warn(format!("the result is silent: {why}"));
        None
    })
}

/// Passes on what a reader or writer of videos has said since the last call.
pub fn warn_of(said: &media::Warnings, context: Context<'_>) {
    for warning in said.take() {
        context.warn(warning.to_string());
    }
}

/// `video.mp4` → `video_NAME.mp4`.
#[must_use]
pub fn beside(video: &Path, name: &str) -> PathBuf {
    let stem = video.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let extension = video.extension().map_or_else(|| "mp4".into(), |e| e.to_string_lossy().into_owned());
    video.with_file_name(format!("{stem}_{name}.{extension}"))
}

/// A frame rate with three decimals.
///
/// # Errors
/// When it isn't positive.
pub fn frame_rate(fps: f64) -> Result<FrameRate> {
    Ok(if (fps - fps.round()).abs() < 1e-6 {
        FrameRate::new(fps.round() as u32, 1)?
    } else {
        FrameRate::new((fps * 1001.0).round() as u32, 1001)?
    })
}

/// How neighbouring windows differ where they overlap.
pub(crate) fn measure_drift(decoded: &[DecodedWindow], (w, h): (u32, u32)) -> Result<Vec<Drift>> {
    let mut all = Vec::new();
    for pair in decoded.windows(2) {
        let [old, new] = pair else { continue };
        let mut older = FrameFile::open(&old.frames, w, h)?;
        let mut newer = FrameFile::open(&new.frames, w, h)?;
        let (old, new) = (old.window, new.window);
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for i in 0..new.overlap {
            // Decoded frame 0 is the reference picture's.
            a.push(older.frame(1 + new.start - old.start + i)?);
            b.push(newer.frame(1 + i)?);
        }
        all.push(drift(&a, &b));
    }
    Ok(all)
}

/// The decoded windows as one row of frames.
struct Joined {
    windows: Vec<(Window, FrameFile, Option<FrameFile>)>,
    shift: Vec<Drift>,
    detail: DetailTransfer,
    plate: FrameFile,
    body: FrameFile,
    blend: FrameFile,
    mask: FrameFile,
    first: FirstFrame,
    lock: Option<LockOptions>,
    next: usize,
    len: usize,
}

impl Joined {
    fn open(job: &Job, outcome: &Outcome) -> Result<Self> {
        let (w, h) = outcome.condition.dimensions();
        let mut windows = Vec::new();
        for decoded in &outcome.decoded {
            let frames = FrameFile::open(&decoded.frames, w, h)?;
            let condition = decoded.condition.as_ref().map(|path| FrameFile::open(path, w, h));
            windows.push((decoded.window, frames, condition.transpose()?));
        }
        // Drift adds up: each window is corrected to the first.
        let mut sum = Drift { colour: [0.0; 3], difference: 0.0 };
        let mut shift = vec![sum];
        for d in &outcome.drift {
            for (s, c) in sum.colour.iter_mut().zip(d.colour) {
                *s += if job.video.match_windows { c } else { 0.0 };
            }
            shift.push(sum);
        }
        let lock = job.output.background_lock.then(|| LockOptions::for_height(h));
        let content = windows.last().map_or(0, |(w, ..)| w.start + w.len);
        let first = job.video.first_frame;
        let condition = &outcome.condition;
        Ok(Self {
            windows,
            shift,
            detail: outcome.detail_transfer.clone(),
            plate: condition.plate()?,
            body: condition.mesh()?,
            blend: condition.blend()?,
            mask: condition.mask()?,
            first,
            lock,
            next: 0,
            len: if first == FirstFrame::Keep { condition.len().min(content + 1) } else { content },
        })
    }

    /// The condition frame that a result frame belongs to.
    fn condition_index(&self, index: usize) -> usize {
        if self.first == FirstFrame::Keep { index.saturating_sub(1) } else { index }
    }

    fn next(&mut self) -> Result<Option<RgbImage>> {
        if self.next == self.len {
            return Ok(None);
        }
        let index = self.next;
        self.next += 1;
        let content = self.condition_index(index);
        let frame = if self.first == FirstFrame::Keep && index == 0 {
            let (_, frames, _) = self.windows.first_mut().ok_or(Error::Internal("no window"))?;
            frames.frame(0)?
        } else {
            self.content(content)?
        };
        let Some(lock) = &self.lock else { return Ok(Some(frame)) };
        let mask = gray(&self.mask.frame(content)?);
        Ok(Some(bg_mask::lock_background(&frame, &self.plate.frame(content)?, &mask, lock)?))
    }

    /// One frame of the result, crossfaded where two windows have it.
    fn content(&mut self, content: usize) -> Result<RgbImage> {
        let mut joined: Option<RgbImage> = None;
        for (n, (window, frames, condition)) in self.windows.iter_mut().enumerate() {
            if !(window.start..window.start + window.len).contains(&content) {
                continue;
            }
            let at = 1 + content - window.start;
            let mut frame = frames.frame(at)?;
            if let Some(decoded_condition) = condition {
                frame = self.detail.apply(&DetailFrame {
                    condition: &self.blend.frame(content)?,
                    plate: &self.plate.frame(content)?,
                    body: &self.body.frame(content)?,
                    decoded_condition: &decoded_condition.frame(at)?,
                    decoded: &frame,
                })?;
            }
            correct_colour(std::slice::from_mut(&mut frame), &self.shift[n]);
            joined = Some(match joined {
                None => frame,
                Some(older) if content - window.start < window.overlap => {
                    crossfade(&older, &frame, ramp(content - window.start, window.overlap))
                }
                Some(_) => frame,
            });
        }
        joined.ok_or(Error::Internal("a frame that no window has"))
    }
}

/// The reference's panels: two by two for landscape, four in a row for portrait.
fn four_panels(
    reference: &RgbImage,
    mesh: &RgbImage,
    blend: &RgbImage,
    result: &RgbImage,
) -> Result<RgbImage> {
    let (w, h) = result.dimensions();
    let landscape = h < w;
    let mut out = if landscape { RgbImage::new(2 * w, 2 * h) } else { RgbImage::new(4 * w, h) };
    for (i, panel) in [reference, mesh, blend, result].into_iter().enumerate() {
        let i = i as u32;
        let (x, y) = if landscape { (i % 2 * w, i / 2 * h) } else { (i * w, 0) };
        out.copy_from(panel, x, y).map_err(|_| Error::Internal("panels of different sizes"))?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    #[test]
    fn panels_are_laid_out_as_in_the_reference() {
        let p = |v: u8, w, h| RgbImage::from_pixel(w, h, Rgb([v; 3]));
        let wide = four_panels(&p(1, 4, 2), &p(2, 4, 2), &p(3, 4, 2), &p(4, 4, 2)).unwrap();
        assert_eq!(wide.dimensions(), (8, 4));
        assert_eq!([(0, 0), (4, 0), (0, 2), (4, 2)].map(|(x, y)| wide.get_pixel(x, y)[0]), [1, 2, 3, 4]);
        let tall = four_panels(&p(1, 2, 4), &p(2, 2, 4), &p(3, 2, 4), &p(4, 2, 4)).unwrap();
        assert_eq!((tall.dimensions(), tall.get_pixel(7, 0)[0]), ((8, 4), 4));
    }

    #[test]
    fn names_and_rates() {
        assert_eq!(beside(Path::new("a/b.mp4"), "panels"), Path::new("a/b_panels.mp4"));
        assert_eq!(frame_rate(15.0).unwrap().as_f64(), 15.0);
        assert!((frame_rate(29.97).unwrap().as_f64() - 29.97).abs() < 1e-3);
        assert!(frame_rate(0.0).is_err());
    }
}
