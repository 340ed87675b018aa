//! Changes of a job: what a job file says of a preset's job, and the command line of either.

use super::{
    Dtype, InputChanges, Job, LightChanges, LightSource, ModelChanges, OutputChanges, Preset, PromptChanges,
    Replace, ReplaceChanges, SamplingChanges, VideoChanges,
};
use serde::{Deserialize, Serialize};

/// Changes of a job; what isn't given stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct JobChanges {
    /// What goes in.
    pub input: InputChanges,
    /// What the video is like.
    pub video: VideoChanges,
    /// The scene's light.
    pub light: LightChanges,
    /// Which weights.
    pub models: ModelChanges,
    /// What the encoders are told.
    pub prompt: PromptChanges,
    /// The denoising loop.
    pub sampling: SamplingChanges,
    /// What comes out.
    pub output: OutputChanges,
    /// Who is replaced in which raw video.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replace: Option<ReplaceChanges>,
}

impl JobChanges {
    /// The job of the changes' preset with these changes.
    #[must_use]
    pub fn into_job(self) -> Job {
        let mut job = Job::new(self.models.preset.unwrap_or_default());
        job.change(self);
        job
    }
}

impl From<JobChanges> for Job {
    fn from(changes: JobChanges) -> Self {
        changes.into_job()
    }
}

impl Job {
    /// Makes changes. Where somebody is replaced in a raw video, the avatar's light is looked for there, unless something else is
    /// said. The loop's precision follows the weights' where one of them changes and nothing is said of the loop.
    pub fn change(&mut self, changes: JobChanges) {
        let JobChanges { input, video, light, models, prompt, sampling, output, replace } = changes;
        let follow = models.preset.is_some() || models.dtype.is_some();
        input.apply(&mut self.input);
        video.apply(&mut self.video);
        if replace.is_some() && self.replace.is_none() {
            self.light.source = LightSource::Auto;
        }
        light.apply(&mut self.light);
        models.apply(&mut self.models);
        // A preset for few steps says itself what is rounded.
        if follow && self.sampling.few_step.is_none() {
            self.follow_precision();
        }
        prompt.apply(&mut self.prompt);
        sampling.apply_in_order(&mut self.sampling);
        let roles = self.sampling.preset().map_or(&[][..], |preset| preset.loras);
        for (lora, role) in self.models.lora.iter_mut().zip(roles) {
            lora.strength.get_or_insert(role.strength);
        }
        output.apply(&mut self.output);
        if let Some(changes) = replace {
            changes.apply(self.replace.get_or_insert_with(Replace::default));
        }
    }

    /// Sets the loop's precision to what goes with the weights: latents in bf16 where weights are, the timestep as the
    /// reference's own run does for its own weights.
    pub fn follow_precision(&mut self) {
        self.sampling.bf16_latents = self.models.dtype != Dtype::F32;
        self.sampling.bf16_timestep = self.models.preset == Preset::AniCrafter;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_follows_the_weights_unless_it_is_said() {
        let mut job = Job::new(Preset::Demo);
        assert_eq!((job.sampling.bf16_latents, job.sampling.bf16_timestep), (false, false));
        let dtype = |dtype| ModelChanges { dtype: Some(dtype), ..ModelChanges::default() };
        job.change(JobChanges { models: dtype(Dtype::Bf16), ..JobChanges::default() });
        assert_eq!((job.sampling.bf16_latents, job.sampling.bf16_timestep), (true, false));
        let said = SamplingChanges { bf16_latents: Some(true), ..SamplingChanges::default() };
        job.change(JobChanges { models: dtype(Dtype::F32), sampling: said, ..JobChanges::default() });
        assert!(job.sampling.bf16_latents);
        // What was said holds as long as nothing changes its ground.
        let device = ModelChanges { device: Some("cpu".to_owned()), ..ModelChanges::default() };
        job.change(JobChanges { models: device, ..JobChanges::default() });
        assert!(job.sampling.bf16_latents);
    }

    #[test]
    fn each_preset_follows_its_own_weights() {
        for preset in [Preset::Demo, Preset::AniCrafter] {
            let mut job = Job::new(preset);
            let before = job.clone();
            job.follow_precision();
            assert_eq!(job, before);
        }
    }
}
