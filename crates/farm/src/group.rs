//! Stages that want the same machine run as one task.

use pipeline::{Job, Stage, StageNeeds};
use serde::{Deserialize, Serialize};

/// Stages that want the same machine, in the order that they run in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// What is found in a raw video: masks, motion, plate, light. Processors.
    Find,
    /// The condition video. Processors.
    Composite,
    /// The prompt. The text encoder, which wants the most memory after the transformer, for a moment.
    Text,
    /// Reference picture and condition video become what the transformer is given. Smaller models.
    Condition,
    /// The transformer.
    Denoise,
    /// Latents become frames. The autoencoder.
    Decode,
    /// The video is written. Processors.
    Finish,
}

impl Group {
    /// All groups in order.
    pub const ALL: [Self; 7] =
        [Self::Find, Self::Composite, Self::Text, Self::Condition, Self::Denoise, Self::Decode, Self::Finish];

    /// The group of a stage.
    #[must_use]
    pub fn of(stage: Stage) -> Self {
        match stage {
            Stage::Masks | Stage::Motion | Stage::Plate | Stage::Light => Self::Find,
            Stage::Composite => Self::Composite,
            Stage::Text => Self::Text,
            Stage::Image | Stage::Condition => Self::Condition,
            Stage::Denoise => Self::Denoise,
            Stage::Decode => Self::Decode,
            Stage::Finish => Self::Finish,
        }
    }

    /// The name as it appears on command lines, in scripts and in file names.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Find => "find",
            Self::Composite => "composite",
            Self::Text => "text",
            Self::Condition => "condition",
            Self::Denoise => "denoise",
            Self::Decode => "decode",
            Self::Finish => "finish",
        }
    }
}

impl std::str::FromStr for Group {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|group| group.name() == name).ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|group| group.name()).collect();
            format!("{name:?} isn't one of {}", known.join(", "))
        })
    }
}

/// A group of a job's stages, and the groups that have to be done before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The group.
    pub group: Group,
    /// Its stages that the job has, in order.
    pub stages: Vec<Stage>,
    /// What it waits for.
    pub after: Vec<Group>,
}

impl Task {
    /// The tasks of a job, in an order in which they can be run.
    #[must_use]
    pub fn all_of(job: &Job) -> Vec<Self> {
        let mut tasks: Vec<Self> = Vec::new();
        for node in job.stages() {
            let group = Group::of(node.stage);
            let at = tasks.iter().position(|task| task.group == group).unwrap_or_else(|| {
                tasks.push(Self { group, stages: Vec::new(), after: Vec::new() });
                tasks.len() - 1
            });
            let task = &mut tasks[at];
            task.stages.push(node.stage);
            for before in node.after.into_iter().map(Group::of) {
                if before != group && !task.after.contains(&before) {
                    task.after.push(before);
                }
            }
        }
        tasks
    }
}

/// What a task takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Needs {
    /// Bytes of memory at its peak, by the plan.
    pub memory_bytes: u64,
    /// Does it spend its time in a model?
    pub uses_models: bool,
    /// Seconds on the machine that exported the farm; `None` where that couldn't be reckoned.
    pub seconds: Option<f64>,
    /// Seconds that it may take to stop and save; `None` as above.
    pub stops_within: Option<f64>,
}

impl Needs {
    /// What a task takes, by what its stages do: they run one after the other.
    #[must_use]
    pub fn of(task: &Task, stages: &[StageNeeds]) -> Self {
        let own: Vec<&StageNeeds> =
            stages.iter().filter(|needs| task.stages.contains(&needs.node.stage)).collect();
        let longest = |all: Option<Vec<f64>>| all.map(|all| all.into_iter().fold(0.0, f64::max));
        Self {
            memory_bytes: own.iter().map(|needs| needs.memory_bytes).max().unwrap_or(0),
            uses_models: own.iter().any(|needs| needs.uses_models),
            seconds: own.iter().map(|needs| needs.seconds).sum(),
            stops_within: longest(own.iter().map(|needs| needs.stops_within).collect()),
        }
    }

    /// What either of two takes.
    #[must_use]
    pub fn max(&self, other: &Self) -> Self {
        let both = |a: Option<f64>, b: Option<f64>| Some(a?.max(b?));
        Self {
            memory_bytes: self.memory_bytes.max(other.memory_bytes),
            uses_models: self.uses_models || other.uses_models,
            seconds: both(self.seconds, other.seconds),
            stops_within: both(self.stops_within, other.stops_within),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline::{Preset, Replace};

    #[test]
    fn tasks_keep_the_order_of_the_stages() {
        let mut job = Job::new(Preset::Demo);
        let names =
            |job: &Job| Task::all_of(job).iter().map(|t| t.group.name()).collect::<Vec<_>>().join(" ");
        assert_eq!(names(&job), "composite text condition denoise decode finish");
        job.replace = Some(Replace { video: "raw.mp4".into(), ..Replace::default() });
        assert_eq!(names(&job), "find composite text condition denoise decode finish");
        let tasks = Task::all_of(&job);
        let denoise = tasks.iter().find(|task| task.group == Group::Denoise).unwrap();
        assert_eq!(denoise.after, [Group::Text, Group::Condition]);
        assert_eq!(tasks[0].stages, [Stage::Masks, Stage::Motion, Stage::Plate]);
        // Every stage of the job is in one task, and none waits for a later one.
        let all: Vec<Stage> = tasks.iter().flat_map(|task| task.stages.clone()).collect();
        assert_eq!(all.len(), job.stages().len());
        for (n, task) in tasks.iter().enumerate() {
            assert!(task.after.iter().all(|before| tasks[..n].iter().any(|task| task.group == *before)));
        }
    }
}
