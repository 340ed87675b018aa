//! Which stages a job has, and which of them need which: what a scheduler asks.

use crate::job::{Job, Until};
use crate::progress::Stage;
use crate::{light, replace};

/// A stage of a job and what has to be made before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageNode {
    /// The stage.
    pub stage: Stage,
    /// The stages whose results it takes.
    pub after: Vec<Stage>,
}

impl Job {
    /// The stages that the job goes through, in an order in which they can be made, each with those that it waits for. Each can be made
    /// alone by [`crate::Session::run_stages`], on any machine that sees the job's folders.
    #[must_use]
    pub fn stages(&self) -> Vec<StageNode> {
        let mut nodes: Vec<StageNode> = Vec::new();
        // What is found in a raw video is found one after the other.
        let chain = |stage: Stage, wanted: bool, nodes: &mut Vec<StageNode>| {
            if wanted {
                let after = nodes.last().map(|node| vec![node.stage]).unwrap_or_default();
                nodes.push(StageNode { stage, after });
            }
        };
        // What was painted is put into the masks, in a stage of the same name.
        let painted = !self.input.strokes.is_empty();
        chain(Stage::Masks, painted && self.replace.is_none(), &mut nodes);
        if let Some(raw) = &self.replace {
            let wants = replace::Wants::of(self, raw, replace::found_until(self));
            chain(Stage::Masks, wants.tracks() || painted, &mut nodes);
            chain(Stage::Motion, wants.motion, &mut nodes);
            chain(Stage::Plate, wants.plate, &mut nodes);
            let has_masks = raw.mask.is_some() || wants.tracks();
            let goes_on = matches!(self.output.until, None | Some(Until::Composite));
            chain(Stage::Light, goes_on && has_masks && light::find::is_wanted(self), &mut nodes);
        }
        match self.output.until {
            Some(Until::Masks | Until::Motion | Until::Plate) => chain(Stage::Finish, true, &mut nodes),
            Some(Until::Composite) => chain(Stage::Composite, true, &mut nodes),
            None => {
                chain(Stage::Composite, true, &mut nodes);
                let after: [(Stage, &[Stage]); 6] = [
                    (Stage::Text, &[]),
                    (Stage::Image, &[Stage::Composite]),
                    (Stage::Condition, &[Stage::Composite]),
                    (Stage::Denoise, &[Stage::Text, Stage::Image, Stage::Condition]),
                    (Stage::Decode, &[Stage::Denoise]),
                    (Stage::Finish, &[Stage::Decode]),
                ];
                nodes.extend(after.map(|(stage, after)| StageNode { stage, after: after.to_vec() }));
            }
        }
        nodes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Actor, LightSource, Preset, Replace};

    fn names(job: &Job) -> String {
        job.stages().iter().map(|node| node.stage.name()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_job_has_the_stages_that_it_needs() {
        let mut job = Job::new(Preset::Demo);
        job.input.actors.push(Actor::new("a.ply", "m"));
        job.input.background = "b.mp4".into();
        assert_eq!(names(&job), "composite text image condition denoise decode finish");
        // A raw video: all of it is found there.
        job.replace = Some(Replace { video: "raw.mp4".into(), ..Replace::default() });
        job.light.source = LightSource::Auto;
        (job.input.actors[0].motion, job.input.background) = Default::default();
        assert!(names(&job).starts_with("masks motion plate light composite text"));
        job.output.until = Some(Until::Composite);
        assert_eq!(names(&job), "masks motion plate light composite");
        job.output.until = Some(Until::Plate);
        assert_eq!(names(&job), "masks plate finish");
        job.output.until = Some(Until::Motion);
        assert_eq!(names(&job), "masks motion finish");
        // What the job brings isn't made.
        job.output.until = None;
        job.input.background = "plate.mp4".into();
        job.light.sun = Some("30,45".parse().unwrap());
        assert!(names(&job).starts_with("masks motion composite text"));
        job.input.actors[0].motion = "m.npz".into();
        assert!(names(&job).starts_with("composite text"), "{}", names(&job));
    }

    #[test]
    fn each_stage_waits_for_stages_before_it() {
        let mut job = Job::new(Preset::Demo);
        job.replace = Some(Replace { video: "raw.mp4".into(), ..Replace::default() });
        let nodes = job.stages();
        for (n, node) in nodes.iter().enumerate() {
            for after in &node.after {
                assert!(nodes[..n].iter().any(|before| before.stage == *after), "{node:?}");
            }
        }
    }
}
