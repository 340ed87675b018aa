//! What the stages found, in words and for the report page.

use super::masks::SEEN;
use super::motion::MotionReport;
use super::people::Seen;
use super::plate::PlateReport;
use super::score::TRUSTED;
use super::{REPORT, Replaced, raw_of};
use crate::composite::open_body;
use crate::job::Job;
use crate::work::read_json;
use crate::{Error, Result, Scene, Stage};
use evaluation::report::{RawSection, RawVideo};
use media::VideoReader;
use smplx::Motion;
use std::path::PathBuf;

impl Replaced {
    /// Measures masks, motion and background against a scene folder that another tool made of the same video.
    ///
    /// # Errors
    /// When one of the three wasn't made, a file can't be read or lengths differ.
    pub fn measure(&self, job: &Job, scene: &Scene) -> Result<evaluation::replaced::Measured> {
        let (Some(masks), Some(motion), Some(plate)) = (&self.masks, &self.motion, &self.plate) else {
            let what = "masks, motion and background are needed to measure them".to_owned();
            return Err(Error::Missing { stage: Stage::Plate, what });
        };
        let settings = raw_of(job)?;
        let size = VideoReader::open(&settings.video)?.info().size();
        let (level, grow_px) = (settings.mask_level(), settings.grow_px_at(size));
        let made =
            evaluation::replaced::Made { video: &settings.video, masks, level, grow_px, motion, plate };
        let (plate, motion) = (scene.background(), scene.motion());
        let scene = evaluation::replaced::Scene { plate: &plate, motion: &motion };
        Ok(evaluation::replaced::measure(&made, &scene, &open_body(job.input.body.as_deref())?)?)
    }

    /// What a report page shows of it.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn section(&self, job: &Job) -> Result<RawSection> {
        let settings = raw_of(job)?;
        // The motion is drawn frame by frame: its rate is of no consequence.
        let motion = self.motion.as_ref().map(|path| Motion::open(path, 30.0)).transpose()?;
        let raw = RawVideo {
            video: &settings.video,
            masks: self.masks.as_deref().map(|path| (path, settings.mask_level())),
            motion: motion.as_ref(),
            plate: self.plate.as_deref(),
            body: &open_body(job.input.body.as_deref())?,
            scores: match seen_beside(self)? {
                Some(seen) => seen.scores(),
                None => Vec::new(),
            },
            trusted: TRUSTED,
            figures: figures(self)?,
            stages: self.stages.clone(),
        };
        Ok(RawSection::new(raw)?)
    }
}

/// What is known of the people, where it was found here.
fn seen_beside(made: &Replaced) -> Result<Option<Seen>> {
    let beside = made.masks.as_ref().map(|path| path.with_file_name(SEEN)).filter(|path| path.is_file());
    beside.map(|path| read_json(&path)).transpose()
}

/// What the stages found, in words: name and value. Nothing is said of what the caller brought.
fn figures(made: &Replaced) -> Result<Vec<(String, String)>> {
    let mut figures = Vec::new();
    let mut add = |name: &str, value: String| figures.push((name.to_owned(), value));
    let beside = |result: &Option<PathBuf>, name: &str| {
        result.as_ref().map(|path| path.with_file_name(name)).filter(|path| path.is_file())
    };
    if let Some(seen) = seen_beside(made)? {
        for (n, person) in seen.present() {
            let replaced = if seen.replaced.contains(&n) { ", replaced" } else { "" };
            add(&format!("person {}", n + 1), format!("{}{replaced}", person.in_view()));
        }
        let scores: Vec<f32> = seen.scores().into_iter().flatten().collect();
        let least = scores.iter().copied().fold(1.0, f32::min);
        let mean = scores.iter().sum::<f32>() / scores.len().max(1) as f32;
        add("score", format!("{mean:.2} on average, {least:.2} in the worst frame"));
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
