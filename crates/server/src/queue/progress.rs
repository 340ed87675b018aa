//! How far a job is, and how long it will take.

use super::rates::{Learned, Rates, Work, work_of};
use pipeline::{Event, Job, Stage};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A stage of a job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StageProgress {
    /// `masks`, `motion`, `plate`, `composite`, `text`, `image`, `condition`, `denoise` or `decode`.
    pub name: String,
    /// How much of it is done, 0 to 1.
    pub done: f64,
    /// Seconds that it took so far.
    pub seconds: f64,
    /// Seconds that it takes in all on this machine; absent where no such job has run here yet.
    pub expected_seconds: Option<f64>,
    /// Its result was there from an earlier run.
    pub cached: bool,
}

/// How far a job is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// How much is done, 0 to 1.
    pub done: f64,
    /// The stage that runs.
    pub stage: Option<String>,
    /// Window of a long video, from 1, and how many there are.
    pub window: usize,
    /// See `window`.
    pub windows: usize,
    /// Steps or frames of the stage that are done.
    pub step: f64,
    /// How many there are.
    pub steps: usize,
    /// Seconds until the job is done, as far as that can be said.
    pub seconds_left: Option<f64>,
    /// The largest memory so far, in bytes.
    pub peak_bytes: u64,
    /// All stages in order.
    pub stages: Vec<StageProgress>,
    #[serde(skip)]
    works: Vec<Work>,
    /// When the running part of the stage began, in milliseconds, and how much of the stage was done then.
    #[serde(skip)]
    since: Option<(u64, f64)>,
    /// Windows of the stage that are finished.
    #[serde(skip)]
    finished: usize,
}

/// Shares of a job's time where nothing is known of this machine.
fn usual_share(name: &str) -> f64 {
    match name {
        "masks" | "plate" | "composite" => 10.0,
        "motion" | "text" | "image" | "finish" => 4.0,
        "condition" => 12.0,
        "decode" => 16.0,
        _ => 40.0,
    }
}

impl Progress {
    /// Of a job that begins.
    ///
    /// What earlier jobs took counts; for stages that none has run yet, what is `reckoned`.
    pub(crate) fn new(job: &Job, frames: Option<usize>, rates: &Rates, reckoned: &[(Stage, f64)]) -> Self {
        let works = work_of(job, frames);
        let windows = works.iter().map(|work| work.windows).max().unwrap_or(1);
        let stages = works.iter().map(|work| StageProgress {
            name: work.stage.name().to_owned(),
            expected_seconds: rates.seconds(work).or_else(|| {
                reckoned.iter().find(|(stage, _)| *stage == work.stage).map(|(_, seconds)| *seconds)
            }),
            ..StageProgress::default()
        });
        Self { stages: stages.collect(), windows, works, ..Self::default() }
    }

    pub(crate) fn hear(&mut self, event: &Event, now_ms: u64) {
        match event {
            Event::Started { stage, window, windows, total } => {
                self.start(*stage, *window, *total, now_ms);
                self.windows = self.windows.max(*windows);
                // How many there are is known now.
                if let Some(work) = self.works.iter_mut().find(|work| work.stage == *stage) {
                    work.windows = *windows;
                }
            }
            Event::Advanced { stage, done, total } => {
                (self.step, self.steps) = (*done, *total);
                self.advance(*stage, *done / (*total).max(1) as f64, now_ms);
            }
            Event::Finished { stage, seconds, cached, peak_bytes } => {
                self.peak_bytes = self.peak_bytes.max(*peak_bytes);
                self.end(*stage, *seconds, *cached);
            }
            _ => {}
        }
        self.reckon(now_ms);
    }

    fn at(&self, stage: Stage) -> Option<usize> {
        self.stages.iter().position(|known| known.name == stage.name())
    }

    fn start(&mut self, stage: Stage, window: usize, total: usize, now_ms: u64) {
        let name = stage.name();
        if self.stage.as_deref() != Some(name) {
            self.stage = Some(name.to_owned());
            self.finished = 0;
            if self.at(stage).is_none() {
                // A stage that nobody foresaw is shown all the same.
                self.stages.push(StageProgress { name: name.to_owned(), ..StageProgress::default() });
            }
            // Stages run in order: those before are done.
            let here = self.at(stage).unwrap_or(0);
            self.stages[..here].iter_mut().for_each(|before| before.done = 1.0);
        }
        self.window = window + 1;
        self.windows = self.windows.max(window + 1);
        (self.step, self.steps) = (0.0, total);
        let done = self.at(stage).map_or(0.0, |i| self.stages[i].done);
        self.since = Some((now_ms, done));
    }

    /// Windows that a stage is made of.
    fn parts(&self, i: usize) -> usize {
        self.works.get(i).map_or(1, |work| work.windows).max(1)
    }

    fn advance(&mut self, stage: Stage, part: f64, now_ms: u64) {
        let Some(i) = self.at(stage) else { return };
        let parts = self.parts(i).max(self.finished + 1) as f64;
        self.stages[i].done = ((self.finished as f64 + part.clamp(0.0, 1.0)) / parts).min(1.0);
        self.since.get_or_insert((now_ms, 0.0));
    }

    fn end(&mut self, stage: Stage, seconds: f64, cached: bool) {
        let Some(i) = self.at(stage) else { return };
        self.finished += 1;
        let parts = self.parts(i);
        let row = &mut self.stages[i];
        row.seconds += seconds;
        row.cached = cached && (self.finished == 1 || row.cached);
        row.done = (self.finished as f64 / parts as f64).min(1.0);
        self.since = None;
    }

    /// Works out the whole from the stages.
    fn reckon(&mut self, now_ms: u64) {
        let known = self.stages.iter().all(|stage| stage.expected_seconds.is_some());
        let (mut all, mut done, mut left) = (0.0, 0.0, 0.0);
        let mut sayable = true;
        for stage in &self.stages {
            let share = if known {
                stage.expected_seconds.unwrap_or(0.0).max(1e-3)
            } else {
                usual_share(&stage.name)
            };
            all += share;
            done += share * stage.done;
            if stage.done >= 1.0 {
                continue;
            }
            // Once a stage is well under way, its own pace tells more than what was expected of it.
            let pace = self.since.filter(|_| self.stage.as_deref() == Some(&*stage.name)).and_then(
                |(at, before)| {
                    let (seconds, part) = (now_ms.saturating_sub(at) as f64 / 1000.0, stage.done - before);
                    (part > 0.05 && seconds > 0.5).then(|| (1.0 - stage.done) * seconds / part)
                },
            );
            match pace.or_else(|| Some(stage.expected_seconds? * (1.0 - stage.done))) {
                Some(seconds) => left += seconds,
                None => sayable = false,
            }
        }
        // What is done doesn't become less, whatever an estimate says.
        self.done = if all > 0.0 { (done / all).clamp(self.done.min(0.999), 0.999) } else { 0.0 };
        self.seconds_left = (sayable && !self.stages.is_empty()).then_some(left);
    }

    /// The job doesn't run any more.
    pub(crate) fn stand(&mut self) {
        (self.stage, self.seconds_left, self.since) = (None, None, None);
    }

    pub(crate) fn finish(&mut self) {
        self.stand();
        self.done = 1.0;
        self.stages.iter_mut().for_each(|stage| stage.done = 1.0);
    }

    /// What the run taught of this machine.
    pub(crate) fn learned(&self) -> Vec<Learned> {
        let rows = self.works.iter().filter_map(|work| Some((work, &self.stages[self.at(work.stage)?])));
        rows.filter(|(_, row)| !row.cached && row.seconds > 0.0)
            .map(|(work, row)| Learned { work: work.clone(), seconds: row.seconds })
            .collect()
    }
}
