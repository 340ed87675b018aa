//! What a person painted on frames: it corrects the person's masks and what stands in front, and is carried on to the frames
//! around.

mod follow;
mod paint;

use crate::composite::Footage;
use crate::job::{Job, Stroke, StrokePart};
use crate::progress::{Context, Stage};
use crate::report::StageRow;
use crate::stages::{Unit, run_stage};
use crate::work::{Fingerprint, WorkDir, write_atomically};
use crate::{Error, Result};
use follow::{Follower, Small};
use image::GrayImage;
use media::VideoReader;
use paint::Painted;
use std::path::{Path, PathBuf};

/// Frames that a stroke is carried on to at most, before and after.
const FARTHEST: usize = 2000;
/// Names of the folders that are written.
const MASKS: &str = "mattes";
const IN_FRONT: &str = "in-front";

/// What is painted on, and what the painting corrects.
#[derive(Debug)]
pub(crate) struct Canvas<'a> {
    /// The raw video, or the background.
    pub(crate) video: &'a Path,
    /// Masks of the person, where somebody is replaced.
    pub(crate) masks: Option<&'a Path>,
    /// What stands in front: mattes, white in front.
    pub(crate) in_front: &'a [PathBuf],
    /// Frames with which another shot begins; empty where that isn't known.
    pub(crate) cuts: &'a [bool],
    /// The frame to stop before.
    pub(crate) end: Option<usize>,
}

/// Masks with the painting in them.
#[derive(Debug)]
pub(crate) struct Corrected {
    pub(crate) masks: Option<PathBuf>,
    pub(crate) in_front: PathBuf,
    pub(crate) row: StageRow,
}

/// The job with its painting among what stands in front, for one in which nobody is replaced.
pub(crate) fn fill(job: &Job, context: Context<'_>) -> Result<(Job, Option<StageRow>)> {
    let mut job = job.clone();
    if job.input.strokes.is_empty() {
        return Ok((job, None));
    }
    let canvas = Canvas {
        video: &job.input.background,
        masks: None,
        in_front: &job.input.occluders,
        cuts: &[],
        end: job.input.end,
    };
    let corrected = correct(&job.input.strokes, &canvas, &WorkDir::of(&job)?, context)?;
    job.input.occluders = vec![corrected.in_front];
    Ok((job, Some(corrected.row)))
}

/// Corrects masks by strokes, as a stage of its own: found again for as long as nothing of it changes.
pub(crate) fn correct(
    strokes: &[Stroke],
    canvas: &Canvas<'_>,
    work: &WorkDir,
    context: Context<'_>,
) -> Result<Corrected> {
    let prints =
        |paths: &mut dyn Iterator<Item = &Path>| paths.map(Fingerprint::of_path).collect::<Result<Vec<_>>>();
    let sources = prints(&mut [canvas.video].into_iter().chain(canvas.masks))?;
    let in_front = prints(&mut canvas.in_front.iter().map(PathBuf::as_path))?;
    let key = Fingerprint::of(&(sources, in_front, strokes, canvas.cuts, canvas.end))?;
    let info = VideoReader::open(canvas.video)?.info().clone();
    let frames = if info.still { 1 } else { info.frames.unwrap_or(0) };
    let frames = canvas.end.map_or(frames, |end| frames.min(end));
    let (folder, row) = run_stage(work, context, Unit::whole(Stage::Masks, frames), &key, |part| {
        write(strokes, canvas, part, frames, context)
    })?;
    let in_front = folder.join(IN_FRONT);
    // A single picture stands for all frames.
    let in_front = if info.still { in_front.join(name(0)) } else { in_front };
    Ok(Corrected { masks: canvas.masks.map(|_| folder.join(MASKS)), in_front, row })
}

fn name(frame: usize) -> String {
    format!("{frame:06}.png")
}

/// Where a stroke is on the frames around it.
struct Track<'a> {
    stroke: &'a Stroke,
    painted: Painted,
    /// How far each tile has moved, by frame from `first`.
    shifts: Vec<Vec<Option<[i32; 2]>>>,
    first: usize,
}

fn write(
    strokes: &[Stroke],
    canvas: &Canvas<'_>,
    part: &Path,
    total: usize,
    context: Context<'_>,
) -> Result<()> {
    let reader = VideoReader::open(canvas.video)?;
    let (info, size) = (reader.info().clone(), reader.info().size());
    let near = |n: usize| strokes.iter().any(|stroke| n.abs_diff(stroke.frame) <= reach(stroke));
    // Small pictures of the frames that strokes may be carried on to.
    let mut small: Vec<Option<Small>> = Vec::new();
    for (n, frame) in reader.take(canvas.end.unwrap_or(usize::MAX)).enumerate() {
        let frame = frame?;
        small.push(near(n).then(|| Small::of(&frame)));
        context.advance(Stage::Masks, 0.5 * (n + 1) as f64, total)?;
        if info.still {
            break;
        }
    }
    let frames = small.len();
    let mut tracks = Vec::new();
    for (n, stroke) in strokes.iter().enumerate() {
        if stroke.frame >= frames {
            let why = format!(
                "stroke {} is on frame {}: the video has {frames} frames, counted from 0",
                n + 1,
                stroke.frame
            );
            return Err(Error::Option { option: "input.strokes", why });
        }
        context.check()?;
        tracks.push(track(stroke, size, &small, canvas.cuts));
    }
    drop(small);
    let folders = [MASKS, IN_FRONT].map(|name| part.join(name));
    for folder in &folders {
        if folder.exists() {
            // Left by a run that was stopped.
            std::fs::remove_dir_all(folder).map_err(|source| Error::Io { path: folder.clone(), source })?;
        }
        std::fs::create_dir_all(folder).map_err(|source| Error::Io { path: folder.clone(), source })?;
    }
    // Whoever looks at the masks wants to know where shots begin: as the stage noted it that found them.
    let cuts = serde_json::json!({ "cuts": canvas.cuts });
    write_atomically(&part.join("people.json"), cuts.to_string().as_bytes())?;
    let mut masks = canvas.masks.map(|path| Footage::beside(path, &info, true)).transpose()?;
    let mut layers =
        canvas.in_front.iter().map(|path| Footage::beside(path, &info, true)).collect::<Result<Vec<_>>>()?;
    for n in 0..frames {
        let mut mask = masks.as_mut().map(|masks| masks.matte(n, size)).transpose()?;
        let mut front = GrayImage::new(size.0, size.1);
        for layer in &mut layers {
            let matte = layer.matte(n, size)?;
            front.iter_mut().zip(matte.iter()).for_each(|(a, b)| *a = (*a).max(*b));
        }
        // The nearest stroke has the last word, and of those on one frame the latest.
        let mut here: Vec<&Track<'_>> = tracks.iter().filter(|track| track.at(n).is_some()).collect();
        here.sort_by_key(|track| std::cmp::Reverse(track.stroke.frame.abs_diff(n)));
        for track in here {
            let Some(shifts) = track.at(n) else { continue };
            let paint = track.painted.moved(shifts);
            let (own, before) = match track.stroke.part {
                StrokePart::Person => (255, 0),
                StrokePart::Background => (0, 0),
                StrokePart::Front => (0, 255),
            };
            if let Some(mask) = &mut mask {
                blend(mask, &paint, own);
            }
            blend(&mut front, &paint, before);
        }
        let save = |picture: &GrayImage, folder: &Path| {
            let path = folder.join(name(n));
            picture
                .save(&path)
                .map_err(|e| Error::Io { path: path.clone(), source: std::io::Error::other(e) })
        };
        if let Some(mask) = &mask {
            save(mask, &folders[0])?;
        }
        save(&front, &folders[1])?;
        context.advance(Stage::Masks, 0.5 * (total + n + 1) as f64, total)?;
    }
    Ok(())
}

fn reach(stroke: &Stroke) -> usize {
    stroke.reach.unwrap_or(FARTHEST).min(FARTHEST)
}

/// Puts a level where the paint is.
fn blend(picture: &mut GrayImage, paint: &GrayImage, level: u8) {
    for (pixel, paint) in picture.iter_mut().zip(paint.iter()) {
        let (a, own, new) = (u32::from(*paint), u32::from(*pixel), u32::from(level));
        *pixel = ((own * (255 - a) + new * a + 127) / 255) as u8;
    }
}

/// Follows a stroke forwards and backwards.
fn track<'a>(stroke: &'a Stroke, size: (u32, u32), small: &[Option<Small>], cuts: &[bool]) -> Track<'a> {
    let start = small[stroke.frame].as_ref();
    let small_size = start.map_or([1, 1], |small| small.size);
    let painted = Painted::new(stroke, size, small_size);
    let still = vec![Some([0, 0]); painted.tiles().len()];
    let is_cut = |n: usize| cuts.get(n).copied().unwrap_or(false);
    let carry = |frames: &mut dyn Iterator<Item = usize>, ends_before_cut: bool| {
        let mut out = Vec::new();
        let Some(start) = start else { return out };
        let mut follower = Follower::new(start, painted.tiles());
        for n in frames.take(reach(stroke)) {
            // Going forwards a shot ends before the frame that begins another; going backwards, with its own first frame.
            if is_cut(if ends_before_cut { n } else { n + 1 }) {
                break;
            }
            let Some(next) = small[n].as_ref().and_then(|small| follower.next(small)) else { break };
            out.push(next);
        }
        out
    };
    let mut shifts = carry(&mut (0..stroke.frame).rev(), false);
    shifts.reverse();
    let first = stroke.frame - shifts.len();
    shifts.push(still);
    shifts.extend(carry(&mut (stroke.frame + 1..small.len()), true));
    Track { stroke, painted, shifts, first }
}

impl Track<'_> {
    fn at(&self, frame: usize) -> Option<&[Option<[i32; 2]>]> {
        Some(self.shifts.get(frame.checked_sub(self.first)?)?)
    }
}

#[cfg(test)]
mod tests;
