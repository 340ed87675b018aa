//! From a raw video to what a job needs: masks of the person, the motion, and the background without the person.
//!
//! Three stages in the work folder, each under the fingerprint of what it depends on. What the job brings (masks, a background,
//! a motion) is taken instead of being made.

mod figures;
mod masks;
mod motion;
mod plate;

use crate::job::{Job, Replace, Until};
use crate::progress::{Context, Stage};
use crate::report::StageRow;
use crate::stages::{Unit, run_stage};
use crate::work::{Fingerprint, WorkDir, read_json};
use crate::{Error, Result};
use masks::{SEEN, Seen};
use media::VideoReader;
use serde::Serialize;
use std::path::PathBuf;

/// What a stage says about its result, beside it.
const REPORT: &str = "report.json";
/// Frames decoded ahead.
const DECODE_AHEAD: usize = 3;

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

/// The raw video of a job.
fn raw_of(job: &Job) -> Result<&Replace> {
    job.replace.as_ref().ok_or_else(|| {
        let why = "a raw video is needed: give replace.video (--video FILE)".to_owned();
        Error::Option { option: "replace.video", why }
    })
}

/// Runs the stages up to `until` ([`Stage::Masks`], [`Stage::Motion`] or [`Stage::Plate`]) in the job's work folder. What the
/// job brings is taken: masks (`replace.mask`), a background, the avatars' motions.
///
/// # Errors
/// The first thing that goes wrong: a job without a raw video, a file that can't be read, a video without a person, settings
/// that can't be honoured, or [`Error::Cancelled`].
pub fn replace(job: &Job, until: Stage, context: Context<'_>) -> Result<Replaced> {
    let settings = raw_of(job)?;
    settings.validate()?;
    if until > Stage::Plate {
        let why = format!("{} isn't one of masks, motion, plate", until.name());
        return Err(Error::Option { option: "until", why });
    }
    let work = WorkDir::open(job.work_dir())?;
    let video = Fingerprint::of_path(&settings.video)?;
    let given = |path: &PathBuf| (!path.as_os_str().is_empty()).then(|| path.clone());
    let motions: Option<Vec<PathBuf>> = job.input.actors.iter().map(|actor| given(&actor.motion)).collect();
    let mut done = Replaced {
        masks: settings.mask.clone(),
        motion: motions.and_then(|motions| motions.into_iter().next()),
        plate: given(&job.input.background),
        stages: Vec::new(),
    };
    // Tracking gives masks and landmarks; it is left out where neither is needed.
    let ends_with_plate = job.output.until == Some(Until::Plate);
    let wants_motion = until >= Stage::Motion && done.motion.is_none() && !ends_with_plate;
    let wants_plate = until >= Stage::Plate && done.plate.is_none();
    let wants_masks = done.masks.is_none() && (until == Stage::Masks || wants_plate);
    let count_frames =
        || -> Result<usize> { Ok(VideoReader::open(&settings.video)?.info().frames.unwrap_or(0)) };
    let mut tracked = None;
    if wants_masks || wants_motion {
        let key = Fingerprint::of(&(&video, settings.person))?;
        let frames = count_frames()?;
        let (folder, row) = run_stage(&work, context, Unit::whole(Stage::Masks, frames), &key, |part| {
            masks::track(settings, part, frames, context)
        })?;
        done.stages.push(row);
        done.masks = done.masks.or_else(|| Some(folder.join("mattes")));
        tracked = Some((folder, key));
    }
    if let (true, Some((folder, key))) = (wants_motion, &tracked) {
        let body = job.input.body.as_deref().map(Fingerprint::of_path).transpose()?;
        let key = Fingerprint::of(&(key, body, settings.focal_px))?;
        let frames = count_frames()?;
        let (folder, row) = run_stage(&work, context, Unit::whole(Stage::Motion, frames), &key, |part| {
            motion::fit_motion(job, settings.focal_px, &folder.join(SEEN), part, context)
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
        let (folder, row) = run_stage(&work, context, Unit::whole(Stage::Plate, frames), &key, |part| {
            plate::make_plate(settings, masks, &cuts, part, frames, context)
        })?;
        done.stages.push(row);
        done.plate = Some(folder.join("plate.mp4"));
    }
    Ok(done)
}

impl Replaced {
    /// The job with what was found in the places that it left out.
    #[must_use]
    pub fn fill(&self, job: &Job) -> Job {
        let mut job = job.clone();
        if let (true, Some(plate)) = (job.input.background.as_os_str().is_empty(), &self.plate) {
            job.input.background.clone_from(plate);
        }
        if let Some(motion) = &self.motion {
            let unmoved = job.input.actors.iter_mut().filter(|actor| actor.motion.as_os_str().is_empty());
            unmoved.for_each(|actor| actor.motion.clone_from(motion));
        }
        job
    }
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| Error::Settings(e.to_string()))
}
