//! From a raw video to what a job needs: masks of the person, the motion, and the background without the person.
//!
//! Three stages in the work folder, each under the fingerprint of what it depends on. What the job brings (masks, a background,
//! a motion) is taken instead of being made.

mod assign;
mod bars;
mod bodies;
mod enlarge;
mod figures;
mod folders;
mod hair;
mod held;
mod hiding;
mod looks;
mod masks;
mod mend;
mod motion;
mod occluders;
mod people;
mod plate;
mod prepare;
mod scenery;
mod score;
mod segments;
mod small;
mod steady;

use crate::composite::open_body;
use crate::job::{Actor, Job, Proportions, Replace, Until};
use crate::progress::{Context, Stage};
use crate::report::StageRow;
use crate::stages::{Unit, run_stage};
use crate::strokes::{self, Canvas};
use crate::work::{Fingerprint, WorkDir, read_json};
use crate::{Error, Result};
use folders::{IN_FRONT, MATTES, OTHERS};
use masks::SEEN;
use media::VideoReader;
use people::Seen;
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
    /// The motion of the first person who is replaced, if it was wanted.
    pub motion: Option<PathBuf>,
    /// The motions of all who are replaced, in order, if they were wanted.
    pub motions: Vec<PathBuf>,
    /// What stands in front of those who are replaced: mattes, one PNG a frame, where anything does.
    pub in_front: Option<PathBuf>,
    /// The background without the person, if it was wanted.
    pub plate: Option<PathBuf>,
    /// Strokes are in the masks, and in `in_front`, which has the job's own occluders in it.
    pub painted: bool,
    /// Time and memory by stage.
    pub stages: Vec<StageRow>,
}

/// What the masks stage left.
struct Tracked {
    folder: PathBuf,
    key: Fingerprint,
    seen: Seen,
    others: Option<PathBuf>,
}

/// The raw video of a job.
fn raw_of(job: &Job) -> Result<&Replace> {
    job.replace.as_ref().ok_or_else(|| {
        let why = "a raw video is needed: give replace.video (--video FILE)".to_owned();
        Error::Option { option: "replace.video", why }
    })
}

/// How far the job goes in its raw video.
pub(crate) fn found_until(job: &Job) -> Stage {
    match job.output.until {
        Some(Until::Masks) => Stage::Masks,
        Some(Until::Motion) => Stage::Motion,
        Some(Until::Plate | Until::Composite) | None => Stage::Plate,
    }
}

/// What is looked for in a raw video, because the job needs it and doesn't bring it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wants {
    masks: bool,
    pub(crate) motion: bool,
    pub(crate) plate: bool,
}

impl Wants {
    pub(crate) fn of(job: &Job, settings: &Replace, until: Stage) -> Self {
        let is_moved = |actor: &Actor| !actor.motion.as_os_str().is_empty();
        let has_motion = !job.input.actors.is_empty() && job.input.actors.iter().all(is_moved);
        let ends_with_plate = job.output.until == Some(Until::Plate);
        let plate = until >= Stage::Plate && job.input.background.as_os_str().is_empty();
        Self {
            masks: settings.mask.is_none() && (until == Stage::Masks || plate),
            motion: until >= Stage::Motion && !has_motion && !ends_with_plate,
            plate,
        }
    }

    /// Tracking gives masks and landmarks; it is left out where neither is needed.
    pub(crate) fn tracks(self) -> bool {
        self.masks || self.motion
    }
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
    let work = WorkDir::of(job)?;
    let video = Fingerprint::of_path(&settings.video)?;
    let given = |path: &PathBuf| (!path.as_os_str().is_empty()).then(|| path.clone());
    let motions: Option<Vec<PathBuf>> = job.input.actors.iter().map(|actor| given(&actor.motion)).collect();
    let motions = motions.unwrap_or_default();
    let mut done = Replaced {
        masks: settings.mask.clone(),
        motion: motions.first().cloned(),
        motions,
        in_front: None,
        plate: given(&job.input.background),
        painted: false,
        stages: Vec::new(),
    };
    let wants = Wants::of(job, settings, until);
    let count_frames =
        || -> Result<usize> { Ok(VideoReader::open(&settings.video)?.info().frames.unwrap_or(0)) };
    let mut tracked = None;
    if wants.tracks() {
        let body = job.input.body.as_deref().map(Fingerprint::of_path).transpose()?;
        let key = Fingerprint::of(&(&video, settings.person, body, settings.focal_px))?;
        let frames = count_frames()?;
        let (folder, row) = run_stage(&work, context, Unit::whole(Stage::Masks, frames), &key, |part| {
            masks::track(settings, &open_body(job.input.body.as_deref())?, part, frames, context)
        })?;
        done.stages.push(row);
        let seen: Seen = read_json(&folder.join(SEEN))?;
        masks::warn_of_people(&seen, settings.person, context);
        match seen.check() {
            Err(doubt) if !settings.force => return Err(doubt),
            Err(doubt) => context.warn(doubt.to_string()),
            Ok(()) => {}
        }
        let layer = |name: &str| Some(folder.join(name)).filter(|folder| folder.is_dir());
        done.masks = done.masks.or_else(|| layer(MATTES));
        done.in_front = layer(IN_FRONT);
        tracked = Some(Tracked { others: layer(OTHERS), folder, key, seen });
    }
    if let (true, Some(Tracked { folder, key, seen, .. })) = (wants.motion, &tracked) {
        let frames = seen.cuts.len();
        let (folder, row) = run_stage(&work, context, Unit::whole(Stage::Motion, frames), key, |part| {
            motion::choose(seen, folder, part, context)
        })?;
        done.stages.push(row);
        done.motions = (0..seen.replaced.len()).map(|n| folder.join(motion::name(n))).collect();
        done.motion = done.motions.first().cloned();
    }
    let cuts = tracked.as_ref().map_or_else(Vec::new, |t| t.seen.cuts.clone());
    if !job.input.strokes.is_empty() {
        let found = done.in_front.clone().into_iter().collect::<Vec<_>>();
        let in_front = if job.input.occluders.is_empty() { &found } else { &job.input.occluders };
        let canvas =
            Canvas { video: &settings.video, masks: done.masks.as_deref(), in_front, cuts: &cuts, end: None };
        let corrected = strokes::correct(&job.input.strokes, &canvas, &work, context)?;
        (done.masks, done.in_front) = (corrected.masks, Some(corrected.in_front));
        done.painted = true;
        done.stages.push(corrected.row);
    }
    if let (true, Some(masks)) = (wants.plate, &done.masks) {
        // What stays: everybody else, and what stands in front.
        let others = tracked.as_ref().and_then(|t| t.others.clone());
        let in_front = match &job.input.occluders[..] {
            given if !given.is_empty() && !done.painted => given.to_vec(),
            _ => done.in_front.clone().into_iter().collect(),
        };
        let stays = plate::Stays { others, in_front };
        let stays_key = stays.paths().map(|path| Fingerprint::of_path(path)).collect::<Result<Vec<_>>>()?;
        let masks_key = Fingerprint::of_path(masks)?;
        let key = Fingerprint::of(&(
            &video,
            masks_key,
            stays_key,
            &cuts,
            settings.mask.is_some(),
            settings.threshold,
            settings.grow_px,
            settings.shadow,
        ))?;
        let seen = tracked.as_ref().map(|tracked| &tracked.seen);
        let frames = count_frames()?;
        let (folder, row) = run_stage(&work, context, Unit::whole(Stage::Plate, frames), &key, |part| {
            plate::make_plate(settings, masks, &stays, seen, part, frames, context)
        })?;
        done.stages.push(row);
        done.plate = Some(folder.join("plate.mp4"));
    }
    Ok(done)
}

impl Replaced {
    /// Refuses another number of avatars than there are people to be replaced.
    pub(crate) fn check_actors(&self, job: &Job) -> Result<()> {
        let unmoved = job.input.actors.iter().filter(|actor| actor.motion.as_os_str().is_empty()).count();
        if unmoved == 0 || unmoved == self.motions.len() {
            return Ok(());
        }
        let why = format!(
            "{} people are replaced and {unmoved} avatars without a motion were given: one for each is needed",
            self.motions.len()
        );
        Err(Error::Option { option: "input.actors", why })
    }

    /// The job with what was found in the places that it left out.
    #[must_use]
    pub fn fill(&self, job: &Job) -> Job {
        let mut job = job.clone();
        if let (true, Some(plate)) = (job.input.background.as_os_str().is_empty(), &self.plate) {
            job.input.background.clone_from(plate);
        }
        let unmoved = job.input.actors.iter_mut().filter(|actor| actor.motion.as_os_str().is_empty());
        for (n, actor) in unmoved.enumerate() {
            if let Some(motion) = self.motions.get(n).or(self.motion.as_ref()) {
                actor.motion.clone_from(motion);
                if !job.replace.as_ref().is_some_and(|replace| replace.keep_proportions) {
                    actor.proportions = Proportions::Motion;
                }
            }
        }
        if let (true, Some(layer)) = (job.input.occluders.is_empty() || self.painted, &self.in_front) {
            job.input.occluders = vec![layer.clone()];
        }
        job
    }
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| Error::Settings(e.to_string()))
}
