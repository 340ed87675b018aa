//! How long stages take on this machine: learned from the jobs that it has run.

use pipeline::models::ModelSet;
use pipeline::{Job, Preset, Stage, Until};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// How much of a new measurement goes into what is known.
const NEW: f64 = 0.5;

/// A stage's work.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Work {
    pub(crate) stage: Stage,
    /// What it is measured under: other weights and devices are other rates.
    key: String,
    /// How much there is of it.
    units: f64,
    pub(crate) windows: usize,
}

/// What a stage took.
#[derive(Clone, Debug)]
pub(crate) struct Learned {
    pub(crate) work: Work,
    pub(crate) seconds: f64,
}

/// Seconds that a unit of each stage's work takes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Rates(BTreeMap<String, f64>);

impl Rates {
    /// Nothing where there is no such file, or it is damaged: it is learned again.
    pub(crate) fn read(path: &Path) -> Self {
        let text = std::fs::read(path).unwrap_or_default();
        let read: Self = serde_json::from_slice(&text).unwrap_or_default();
        Self(read.0.into_iter().filter(|(_, rate)| rate.is_finite() && *rate > 0.0).collect())
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), pipeline::Error> {
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        pipeline::work::write_atomically(path, &text)
    }

    pub(crate) fn learn(&mut self, learned: &[Learned]) {
        for Learned { work, seconds } in learned {
            let rate = seconds / work.units;
            if rate.is_finite() && rate > 0.0 {
                let known = self.0.entry(work.key.clone()).or_insert(rate);
                *known += NEW * (rate - *known);
            }
        }
    }

    /// What a stage will take, where that is known.
    pub(crate) fn seconds(&self, work: &Work) -> Option<f64> {
        self.0.get(&work.key).map(|rate| rate * work.units)
    }
}

/// Windows of a video of so many frames.
pub(crate) fn windows(job: &Job, frames: usize) -> usize {
    let (window, overlap) =
        (job.video.window.max(1), job.video.overlap.min(job.video.window.saturating_sub(1)));
    if frames <= window { 1 } else { (frames - overlap).div_ceil((window - overlap).max(1)) }
}

/// Millions of pixels of a frame.
fn megapixels(job: &Job) -> f64 {
    // A video as large as its background: most are about this large.
    let pixels = u64::from(job.video.width) * u64::from(job.video.height);
    if pixels == 0 { 0.9 } else { pixels as f64 / 1e6 }
}

/// The stages of a job in the order they run, for a video of so many frames (or a guess where nobody knows).
pub(crate) fn work_of(job: &Job, frames: Option<usize>) -> Vec<Work> {
    let frames = frames.unwrap_or(job.video.window);
    let (n, size) = (frames as f64, megapixels(job));
    let windows = windows(job, frames);
    let in_windows = (windows * job.video.window) as f64 * size;
    let models = format!("{:?} {:?} {}", job.models.preset, job.models.dtype, job.models.device);
    let one = |stage: Stage, key: &str, units: f64| Work {
        stage,
        key: format!("{} {key}", stage.name()),
        units,
        windows: 1,
    };
    let each = |stage: Stage, units: f64| Work { windows, ..one(stage, &models, units) };
    let mut all = Vec::new();
    if job.replace.is_some() {
        all.push(one(Stage::Masks, "", n));
        if !matches!(job.output.until, Some(Until::Masks | Until::Plate))
            && job.input.actors.iter().any(|actor| actor.motion.as_os_str().is_empty())
        {
            all.push(one(Stage::Motion, "", n));
        }
        if job.input.background.as_os_str().is_empty()
            && !matches!(job.output.until, Some(Until::Masks | Until::Motion))
        {
            all.push(one(Stage::Plate, "", n * size));
        }
    }
    if job.output.until.is_none_or(|until| until == Until::Composite) {
        all.push(one(Stage::Composite, "", n * size));
    }
    if job.output.until.is_none() {
        if job.prompt.embeddings.is_none() {
            all.push(one(Stage::Text, &models, 1.0));
        }
        all.push(one(Stage::Image, &models, 1.0));
        all.push(each(Stage::Condition, in_windows));
        let flops =
            ModelSet::new(&job.models).ok().and_then(|set| set.plan(job).ok()).map(|plan| plan.total_flops);
        all.push(each(Stage::Denoise, windows as f64 * flops.unwrap_or(1e12) / 1e12));
        all.push(each(Stage::Decode, in_windows));
        all.push(one(Stage::Finish, "", n * size));
    }
    all
}

/// Bytes that a job takes on disk, about: frames of the work folder lie there uncompressed.
pub(crate) fn disk_bytes(job: &Job, frames: Option<usize>) -> u64 {
    let frames = frames.unwrap_or(job.video.window);
    let copies = if job.output.until.is_some() { 0.5 } else { 16.0 };
    let windows = if job.output.until.is_some() { 1 } else { windows(job, frames) };
    let in_windows = (windows * job.video.window).max(frames) as f64;
    let latents = if job.models.preset == Preset::AniCrafter { 1.2 } else { 1.05 };
    (in_windows * megapixels(job) * 1e6 * copies * latents) as u64 + (16 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_machine_took_is_what_it_is_expected_to_take() {
        let job = Job::new(Preset::Demo);
        let works = work_of(&job, Some(49));
        let mut rates = Rates::default();
        assert!(works.iter().all(|work| rates.seconds(work).is_none()));
        let learned: Vec<Learned> = works.iter().map(|w| Learned { work: w.clone(), seconds: 4.0 }).collect();
        rates.learn(&learned);
        assert!(works.iter().all(|work| (rates.seconds(work).unwrap() - 4.0).abs() < 1e-9));
        // Twice the steps, twice the time of that stage and of no other one.
        let mut longer = job.clone();
        longer.sampling.steps *= 2;
        for work in work_of(&longer, Some(49)) {
            let ratio = rates.seconds(&work).unwrap() / 4.0;
            assert!((ratio - if work.stage == Stage::Denoise { 2.0 } else { 1.0 }).abs() < 0.1, "{work:?}");
        }
    }

    #[test]
    fn windows_cover_the_video() {
        let job = Job::new(Preset::Demo);
        assert_eq!((windows(&job, 1), windows(&job, 17), windows(&job, 18)), (1, 1, 2));
        assert_eq!(windows(&job, 17 + 13), 2);
    }
}
