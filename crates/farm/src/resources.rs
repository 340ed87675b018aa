//! What schedulers are asked for: the plan's memory and time with a reserve, and what the user knows better.

use crate::{Error, FarmTask, Group, Result};
use std::collections::BTreeMap;

/// What tasks ask their scheduler for.
#[derive(Clone, Debug, PartialEq)]
pub struct Resources {
    /// What reckoned memory and time are multiplied by.
    pub reserve: f64,
    /// Processor cores of a task.
    pub cores: usize,
    /// Hours for tasks whose time can't be reckoned.
    pub unknown_hours: f64,
    /// Do tasks with models ask for a graphics processor?
    pub gpu: bool,
    /// Cores, by group, in place of `cores`.
    pub cores_of: BTreeMap<Group, f64>,
    /// GiB of memory, by group, in place of the plan's with its reserve.
    pub memory_of: BTreeMap<Group, f64>,
    /// Hours, by group, in place of what was reckoned with its reserve.
    pub hours_of: BTreeMap<Group, f64>,
    /// How often a task is put back into the queue before it is given up.
    pub restarts: u32,
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            reserve: 1.5,
            cores: 8,
            unknown_hours: 4.0,
            gpu: false,
            cores_of: BTreeMap::new(),
            memory_of: BTreeMap::new(),
            hours_of: BTreeMap::new(),
            restarts: 10,
        }
    }
}

/// What a task takes besides its stages: it starts, looks at its inputs, waits for file systems.
const AROUND_S: f64 = 300.0;

impl Resources {
    /// Refuses numbers that make no sense.
    ///
    /// # Errors
    /// [`Error::Option`] for the first of them.
    pub fn check(&self) -> Result<()> {
        let refuse = |option, why: &str| Err(Error::Option { option, why: why.to_owned() });
        if !(self.reserve.is_finite() && self.reserve >= 1.0) {
            return refuse("--reserve", "must be a number of at least 1");
        }
        if self.cores == 0 || self.cores_of.values().any(|n| !(*n >= 1.0 && n.fract() == 0.0 && *n < 1e5)) {
            return refuse("--cores", "must be a whole number of at least 1");
        }
        let is_positive = |n: &f64| n.is_finite() && *n > 0.0;
        if !self.memory_of.values().all(is_positive) {
            return refuse("--memory", "must be a positive number of GiB");
        }
        if !self.hours_of.values().chain([&self.unknown_hours]).all(is_positive) {
            return refuse("--hours", "must be a positive number of hours");
        }
        Ok(())
    }

    /// Cores of a task.
    #[must_use]
    pub fn cores(&self, task: &FarmTask) -> usize {
        self.cores_of.get(&task.task.group).map_or(self.cores, |n| *n as usize)
    }

    /// MiB of memory of a task.
    #[must_use]
    pub fn memory_mib(&self, task: &FarmTask) -> u64 {
        let mib = 1024.0 * 1024.0;
        let own = self.memory_of.get(&task.task.group).map(|gib| gib * 1024.0);
        own.unwrap_or(task.needs.memory_bytes as f64 * self.reserve / mib).ceil() as u64
    }

    /// Minutes of a task.
    #[must_use]
    pub fn minutes(&self, task: &FarmTask) -> u64 {
        let own = self.hours_of.get(&task.task.group).map(|hours| 60.0 * hours);
        let reckoned = task.needs.seconds.map(|seconds| (seconds * self.reserve + AROUND_S) / 60.0);
        own.or(reckoned).unwrap_or(60.0 * self.unknown_hours).ceil().max(1.0) as u64
    }

    /// Seconds before its time is over at which a task is told to stop, so that it can save: twice what it needs at the most.
    #[must_use]
    pub fn notice_s(&self, task: &FarmTask) -> u64 {
        let time = 60 * self.minutes(task);
        let wanted = 60.0 + 2.0 * task.needs.stops_within.unwrap_or(0.0);
        // Less than half of the time is left for work otherwise.
        (wanted.min(65_535.0) as u64).min(time / 2)
    }

    /// Does a task ask for a graphics processor?
    #[must_use]
    pub fn gpu(&self, task: &FarmTask) -> bool {
        self.gpu && task.needs.uses_models
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Needs, Task};

    fn task(seconds: Option<f64>) -> FarmTask {
        let task = Task { group: Group::Denoise, stages: Vec::new(), after: Vec::new() };
        let needs = Needs {
            memory_bytes: 4 << 30,
            uses_models: true,
            seconds,
            stops_within: seconds.map(|s| s / 100.0),
        };
        FarmTask { task, needs }
    }

    #[test]
    fn a_reserve_is_added_to_what_was_reckoned() {
        let mut ask = Resources { reserve: 2.0, gpu: true, ..Resources::default() };
        let known = task(Some(3600.0));
        assert_eq!((ask.memory_mib(&known), ask.minutes(&known)), (8192, 125));
        assert_eq!(ask.notice_s(&known), 132);
        assert!(ask.gpu(&known));
        assert_eq!(ask.minutes(&task(None)), 240);
        ask.hours_of.insert(Group::Denoise, 0.5);
        ask.memory_of.insert(Group::Denoise, 1.5);
        ask.cores_of.insert(Group::Denoise, 3.0);
        assert_eq!((ask.minutes(&known), ask.memory_mib(&known), ask.cores(&known)), (30, 1536, 3));
        assert!(ask.check().is_ok());
        ask.reserve = 0.5;
        assert!(ask.check().is_err());
    }
}
