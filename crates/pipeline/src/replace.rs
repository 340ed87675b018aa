//! From a raw video to what a job needs: masks of the person, the motion, and the background without the person.
//!
//! Three stages in the work folder, each under the fingerprint of what it depends on. What the caller brings (masks, a plate,
//! a motion) is taken instead of being made.

use crate::composite::open_body;
use crate::progress::{Context, Stage};
use crate::report::StageRow;
use crate::stages::run_stage;
use crate::work::{Fingerprint, WorkDir, read_json, write_atomically};
use crate::{Error, Result};
use bg_mask::{PlateBuilder, PlateOptions};
use image::{GrayImage, RgbImage};
use media::{AudioTrack, VideoReader, VideoWriter, WriteOptions};
use mocap::{FitOptions, Fitted, Observation, TrackOptions, Tracker};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;

/// What is taken out of which video, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Replace {
    /// The raw video, or a folder of pictures.
    pub video: PathBuf,
    /// Which person, from 1: the largest first.
    pub person: usize,
    /// Masks of the person (white) in place of ours: a video or a folder of pictures.
    pub mask: Option<PathBuf>,
    /// A background without the person in place of ours.
    pub plate: Option<PathBuf>,
    /// A motion in place of ours: a folder of parameter files, an AMASS `.npz` or an own motion file.
    pub motion: Option<PathBuf>,
    /// A body model in SMPL-X's format for the fit; the embedded body where there is none.
    pub body: Option<PathBuf>,
    /// Focal length of the raw video in pixels; 60° across the width where it is absent.
    pub focal_px: Option<f32>,
    /// How likely a pixel must be the person's to be taken out, 0..1.
    pub threshold: f32,
    /// Pixels by which the mask is grown before the background is filled in; by the picture's size where it is absent.
    pub grow_px: Option<f32>,
    /// Also takes out what lies this far below the person, as part of the person's height: a shadow.
    pub shadow: f32,
}

impl Default for Replace {
    fn default() -> Self {
        Self {
            video: PathBuf::new(),
            person: 1,
            mask: None,
            plate: None,
            motion: None,
            body: None,
            focal_px: None,
            threshold: 0.25,
            grow_px: None,
            shadow: 0.0,
        }
    }
}

/// What a job needs of a raw video.
#[derive(Clone, Debug)]
pub struct Replaced {
    /// Masks of the person, one PNG a frame (or what the caller brought); `None` where nobody asked for them.
    pub masks: Option<PathBuf>,
    /// The motion, if it was wanted.
    pub motion: Option<PathBuf>,
    /// The background without the person, if it was wanted.
    pub plate: Option<PathBuf>,
    /// Time and memory by stage.
    pub stages: Vec<StageRow>,
}

/// What the masks stage saw, frame by frame.
#[derive(Debug, Serialize, Deserialize)]
struct Seen {
    size: [u32; 2],
    fps: f64,
    frames: Vec<Option<Observation>>,
    cuts: Vec<bool>,
    /// The most people in view at once, where anybody looked.
    people: usize,
}

/// What is said about a fitted motion beside the motion itself.
#[derive(Debug, Serialize, Deserialize)]
struct MotionReport {
    /// Frames in which nobody was seen, and whether the body was moved across.
    gaps: Vec<mocap::Gap>,
    /// Joints of `confidence` in order.
    joints: Vec<String>,
    /// How sure each joint is in each frame, 0..1.
    confidence: Vec<Vec<f32>>,
    /// Mean distance of the sure landmarks from the body in each frame, in pixels.
    residual_px: Vec<f32>,
}

/// What is said about a background beside its pictures.
#[derive(Debug, Default, Serialize, Deserialize)]
struct PlateReport {
    /// Part of each frame's hole that other frames show, 0..1.
    seen: Vec<f32>,
    /// Frames in which the camera stood still.
    still: usize,
}

impl PlateReport {
    fn least_seen(&self) -> f32 {
        self.seen.iter().copied().fold(1.0, f32::min)
    }
}

/// What a stage says about its result, beside it.
const REPORT: &str = "report.json";

/// What the stages found, in words: name and value. Nothing is said of what the caller brought.
pub(crate) fn figures(made: &Replaced) -> Result<Vec<(String, String)>> {
    let mut figures = Vec::new();
    let mut add = |name: &str, value: String| figures.push((name.to_owned(), value));
    let beside = |result: &Option<PathBuf>, name: &str| {
        result.as_ref().map(|path| path.with_file_name(name)).filter(|path| path.is_file())
    };
    if let Some(path) = beside(&made.masks, SEEN) {
        let seen: Seen = read_json(&path)?;
        let found = seen.frames.iter().flatten().count();
        add("frames with the person", format!("{found} of {}", seen.frames.len()));
        add("people in view at once", seen.people.to_string());
        add("cuts", seen.cuts.iter().filter(|c| **c).count().to_string());
    }
    if let Some(path) = beside(&made.motion, REPORT) {
        let report: MotionReport = read_json(&path)?;
        let residuals: Vec<f32> = report.residual_px.iter().copied().filter(|r| *r > 0.0).collect();
        let mean = residuals.iter().sum::<f32>() / residuals.len().max(1) as f32;
        add("landmarks miss the body by", format!("{mean:.1} pixels on average"));
        let sure: Vec<f32> = report.confidence.into_iter().flatten().collect();
        let mean = sure.iter().sum::<f32>() / sure.len().max(1) as f32;
        add("confidence of the joints", format!("{:.0} % on average", mean * 100.0));
        add("gaps in the motion", report.gaps.len().to_string());
    }
    if let Some(path) = beside(&made.plate, REPORT) {
        let report: PlateReport = read_json(&path)?;
        let mean = report.seen.iter().sum::<f32>() / report.seen.len().max(1) as f32;
        add(
            "background behind the person that other frames show",
            format!(
                "{:.0} % on average, {:.0} % in the worst frame",
                mean * 100.0,
                report.least_seen() * 100.0
            ),
        );
        add("frames in which the camera stands still", report.still.to_string());
    }
    Ok(figures)
}

impl Replace {
    /// From which byte on a mask's pixel is the person's: ours are probabilities; those brought along are white or black.
    pub(crate) fn mask_level(&self) -> u8 {
        if self.mask.is_some() { 128 } else { (self.threshold * 255.0).round() as u8 }
    }

    /// Pixels by which the mask of a picture of that size is grown.
    pub(crate) fn grow_px_at(&self, (width, height): (u32, u32)) -> f32 {
        self.grow_px.unwrap_or_else(|| (width.max(height) as f32 / 55.0).max(4.0))
    }

    fn validate(&self) -> Result<()> {
        let refuse = |option, why: &str| Err(Error::Option { option, why: why.to_owned() });
        if self.person == 0 {
            return refuse("replace.person", "people are counted from 1");
        }
        if !(0.01..=0.99).contains(&self.threshold) {
            return refuse("replace.threshold", "must lie between 0.01 and 0.99");
        }
        if self.grow_px.is_some_and(|g| !(0.0..=500.0).contains(&g)) {
            return refuse("replace.grow_px", "must lie between 0 and 500 pixels");
        }
        if !(0.0..=1.0).contains(&self.shadow) {
            return refuse("replace.shadow", "must lie between 0 and 1");
        }
        if self.focal_px.is_some_and(|f| !(f.is_finite() && f > 0.0)) {
            return refuse("replace.focal_px", "must be a positive number of pixels");
        }
        Ok(())
    }
}

/// Runs the stages up to `until` ([`Stage::Masks`], [`Stage::Motion`] or [`Stage::Plate`]) in a work folder.
///
/// # Errors
/// The first thing that goes wrong: a file that can't be read, a video without a person, settings that can't be honoured,
/// or [`Error::Cancelled`].
pub fn replace(settings: &Replace, work: &Path, until: Stage, context: Context<'_>) -> Result<Replaced> {
    settings.validate()?;
    if until > Stage::Plate {
        let why = format!("{} isn't one of masks, motion, plate", until.name());
        return Err(Error::Option { option: "until", why });
    }
    let work = WorkDir::open(work)?;
    let video = Fingerprint::of_path(&settings.video)?;
    let mut done = Replaced {
        masks: settings.mask.clone(),
        motion: settings.motion.clone(),
        plate: settings.plate.clone(),
        stages: Vec::new(),
    };
    // Tracking gives masks and landmarks; it is left out where neither is needed.
    let wants_motion = until >= Stage::Motion && done.motion.is_none();
    let wants_plate = until >= Stage::Plate && done.plate.is_none();
    let wants_masks = done.masks.is_none() && (until == Stage::Masks || wants_plate);
    let count_frames =
        || -> Result<usize> { Ok(VideoReader::open(&settings.video)?.info().frames.unwrap_or(0)) };
    let mut tracked = None;
    if wants_masks || wants_motion {
        let key = Fingerprint::of(&(&video, settings.person))?;
        let frames = count_frames()?;
        let (folder, row) = run_stage(&work, context, Stage::Masks, 0, frames, &key, |part| {
            track(settings, part, frames, context)
        })?;
        done.stages.push(row);
        done.masks = done.masks.or_else(|| Some(folder.join("mattes")));
        tracked = Some((folder, key));
    }
    if let (true, Some((folder, key))) = (wants_motion, &tracked) {
        let body = settings.body.as_deref().map(Fingerprint::of_path).transpose()?;
        let key = Fingerprint::of(&(key, body, settings.focal_px))?;
        let frames = count_frames()?;
        let (folder, row) = run_stage(&work, context, Stage::Motion, 0, frames, &key, |part| {
            fit_motion(settings, &folder.join(SEEN), part, context)
        })?;
        done.stages.push(row);
        done.motion = Some(folder.join("motion.json"));
    }
    if let (true, Some(masks)) = (wants_plate, &done.masks) {
        let cuts = match &tracked {
            Some((folder, _)) => read_json::<Seen>(&folder.join(SEEN))?.cuts,
            None => Vec::new(),
        };
        let masks_key = Fingerprint::of_path(masks)?;
        let key = Fingerprint::of(&(
            &video,
            masks_key,
            &cuts,
            settings.mask.is_some(),
            settings.threshold,
            settings.grow_px,
            settings.shadow,
        ))?;
        let frames = count_frames()?;
        let (folder, row) = run_stage(&work, context, Stage::Plate, 0, frames, &key, |part| {
            make_plate(settings, masks, &cuts, part, frames, context)
        })?;
        done.stages.push(row);
        done.plate = Some(folder.join("plate.mp4"));
    }
    Ok(done)
}

/// What the masks stage writes beside the mattes.
const SEEN: &str = "landmarks.json";

fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| Error::Settings(e.to_string()))
}

/// Frames decoded ahead.
const DECODE_AHEAD: usize = 3;

fn track(settings: &Replace, part: &Path, total: usize, context: Context<'_>) -> Result<()> {
    let reader = VideoReader::open(&settings.video)?;
    let (size, fps) = (reader.info().size(), reader.info().frame_rate.as_f64());
    let mut tracker = Tracker::new(TrackOptions { person: settings.person - 1 })?;
    let folder = part.join("mattes");
    let fail = |source| Error::Io { path: folder.clone(), source };
    if folder.exists() {
        // Left by a run that was stopped: of another length, perhaps.
        std::fs::remove_dir_all(&folder).map_err(fail)?;
    }
    std::fs::create_dir_all(&folder).map_err(fail)?;
    let mut seen = Seen { size: [size.0, size.1], fps, frames: Vec::new(), cuts: Vec::new(), people: 0 };
    // Mattes are written while the next frame is looked at.
    let (to_disk, written) = std::sync::mpsc::sync_channel::<(PathBuf, GrayImage)>(DECODE_AHEAD);
    let tracked = std::thread::scope(|scope| {
        let writer = scope.spawn(move || -> Result<()> {
            for (path, matte) in written {
                matte.save(&path).map_err(|e| Error::Io { path, source: std::io::Error::other(e) })?;
            }
            Ok(())
        });
        let tracked = (|| -> Result<()> {
            for (n, frame) in reader.prefetch(DECODE_AHEAD).enumerate() {
                let tracked = tracker.next_frame(&frame?)?;
                seen.people = seen.people.max(tracked.people.unwrap_or(0));
                seen.frames.push(tracked.observation);
                seen.cuts.push(tracked.cut);
                if to_disk.send((folder.join(format!("{n:06}.png")), tracked.matte)).is_err() {
                    // The writer stopped, and says why.
                    break;
                }
                context.advance(Stage::Masks, (n + 1) as f64, total)?;
            }
            Ok(())
        })();
        drop(to_disk);
        writer.join().unwrap_or(Err(Error::Internal("the writer of masks panicked"))).and(tracked)
    });
    tracked?;
    let found = seen.frames.iter().flatten().count();
    if found == 0 {
        if seen.people > 0 {
            return Err(mocap::Error::NoSuchPerson { wanted: settings.person, found: seen.people }.into());
        }
        return Err(mocap::Error::Nobody { frames: seen.frames.len() }.into());
    }
    if seen.people > 1 {
        context.warn(format!(
            "{} people are in view; person {} is replaced, the others stay (choose with --person)",
            seen.people, settings.person
        ));
    }
    let cuts = seen.cuts.iter().filter(|c| **c).count();
    if cuts > 0 {
        context.warn(format!(
            "{cuts} cut(s) in the video: each shot is taken by itself, and after a cut the person is chosen anew"
        ));
    }
    write_atomically(&part.join(SEEN), &to_json(&seen)?)
}

fn fit_motion(settings: &Replace, seen: &Path, part: &Path, context: Context<'_>) -> Result<()> {
    let seen: Seen = read_json(seen)?;
    let body = open_body(settings.body.as_deref())?;
    let options = FitOptions { focal_px: settings.focal_px, ..FitOptions::new(seen.fps as f32, seen.size) };
    let total = seen.frames.len();
    let mut stopped = Ok(());
    let fitted = mocap::fit_watched(&body, &seen.frames, &seen.cuts, &options, &mut |done| {
        stopped = context.advance(Stage::Motion, done, total);
        if stopped.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    stopped?;
    let fitted = fitted?;
    warn_of_gaps(&fitted, context);
    let report = MotionReport {
        gaps: fitted.gaps,
        joints: smplx::JOINT_NAMES[..22].iter().map(ToString::to_string).collect(),
        confidence: fitted.confidence.iter().map(|c| c.to_vec()).collect(),
        residual_px: fitted.residual_px,
    };
    write_atomically(&part.join(REPORT), &to_json(&report)?)?;
    write_atomically(&part.join("motion.json"), fitted.motion.to_json().as_bytes())
}

fn warn_of_gaps(fitted: &Fitted, context: Context<'_>) {
    for gap in &fitted.gaps {
        let frames = format!("frames {} to {}", gap.frames.start, gap.frames.end.saturating_sub(1));
        context.warn(if gap.bridged {
            format!("{frames}: nobody was seen, the motion is carried across")
        } else {
            format!("{frames}: nobody was seen for long, the avatar is out of view")
        });
    }
}

/// The part of each frame that has to go, from its mask.
struct Holes {
    masks: VideoReader,
    size: (u32, u32),
    level: u8,
    shadow: f32,
    grow: f32,
}

impl Holes {
    /// Makes holes ahead on a thread of its own, until there are no more masks or nobody takes them.
    fn send(self, to: &SyncSender<Result<GrayImage>>) {
        let Self { masks, size: (width, height), level, shadow, grow } = self;
        let hole = |picture: RgbImage| -> Result<GrayImage> {
            let picture = if picture.dimensions() == (width, height) {
                picture
            } else {
                bg_mask::resize(&picture, width, height, bg_mask::resample::Filter::Bilinear)?
            };
            let bytes = picture.pixels().map(|p| if p[0] >= level { 255 } else { 0 }).collect();
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

fn make_plate(
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
        masks: VideoReader::open(masks)?,
        size,
        level: settings.mask_level(),
        shadow: settings.shadow,
        grow: settings.grow_px_at(size),
    };
    // The sound goes with the plate: the job that follows takes it from its background.
    let audio = AudioTrack::open(&settings.video, None).unwrap_or(None);
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
