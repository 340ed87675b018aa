//! The files of a job: which it reads, which it writes.

use super::{Job, Until};
use crate::outputs::{Input, refuse_overwriting};
use crate::work::Fingerprint;
use crate::{Result, beside};
use std::path::{Path, PathBuf};

impl Job {
    /// Every path in the job.
    pub fn for_each_path(&mut self, mut f: impl FnMut(&mut PathBuf)) {
        for actor in &mut self.input.actors {
            f(&mut actor.avatar);
            f(&mut actor.motion);
        }
        f(&mut self.input.background);
        let optional = [
            &mut self.input.character,
            &mut self.input.character_mask,
            &mut self.input.mesh_video,
            &mut self.input.body,
            &mut self.input.camera,
            &mut self.light.environment,
            &mut self.light.file,
            &mut self.models.wan,
            &mut self.models.anicrafter,
            &mut self.models.demo,
            &mut self.models.vae,
            &mut self.models.text_encoder,
            &mut self.models.image_encoder,
            &mut self.models.tokenizer,
            &mut self.prompt.embeddings,
            &mut self.output.work,
            &mut self.output.shared,
            &mut self.output.mesh,
            &mut self.output.mask,
        ];
        optional.into_iter().flatten().for_each(&mut f);
        if let Some(replace) = &mut self.replace {
            f(&mut replace.video);
            replace.mask.iter_mut().for_each(&mut f);
        }
        self.input.occluders.iter_mut().for_each(&mut f);
        self.models.dit.iter_mut().for_each(&mut f);
        self.models.lora.iter_mut().for_each(|lora| f(&mut lora.path));
        f(&mut self.output.video);
    }

    /// Everything that the job writes: the setting that says so, and the path.
    #[must_use]
    pub fn outputs(&self) -> Vec<(&'static str, PathBuf)> {
        let output = &self.output;
        let mut all = vec![("output.video", output.video.clone())];
        if output.until.is_none() {
            if output.panels {
                all.push(("output.panels", beside(&output.video, "panels")));
            }
            if output.report {
                all.push(("output.report", output.video.with_extension("html")));
            }
        }
        all.extend(output.mesh.clone().map(|path| ("output.mesh", path)));
        all.extend(output.mask.clone().map(|path| ("output.mask", path)));
        if self.uses_work_dir() {
            all.push(("output.work", self.work_dir()));
        }
        all
    }

    /// A condition video alone is made without a work folder, unless something has to be found or followed first.
    fn uses_work_dir(&self) -> bool {
        self.output.until != Some(Until::Composite)
            || self.replace.is_some()
            || !self.input.strokes.is_empty()
    }

    /// Everything that the job reads.
    fn inputs(&self) -> Vec<Input<'_>> {
        let (input, models) = (&self.input, &self.models);
        let mut all = Vec::new();
        all.extend(input.actors.iter().map(|actor| Input::file("input.actors", &actor.avatar)));
        all.extend(input.actors.iter().map(|actor| Input::frames("input.actors", &actor.motion)));
        all.push(Input::frames("input.background", &input.background));
        let named = [
            ("input.character", &input.character),
            ("input.character_mask", &input.character_mask),
            ("input.body", &input.body),
            ("input.camera", &input.camera),
            ("light.environment", &self.light.environment),
            ("light.file", &self.light.file),
            ("models.wan", &models.wan),
            ("models.anicrafter", &models.anicrafter),
            ("models.demo", &models.demo),
            ("models.vae", &models.vae),
            ("models.text_encoder", &models.text_encoder),
            ("models.image_encoder", &models.image_encoder),
            ("models.tokenizer", &models.tokenizer),
            ("prompt.embeddings", &self.prompt.embeddings),
        ];
        all.extend(named.iter().filter_map(|(name, path)| Some(Input::file(name, path.as_deref()?))));
        all.extend(input.mesh_video.iter().map(|path| Input::frames("input.mesh_video", path)));
        all.extend(input.occluders.iter().map(|path| Input::frames("input.occluders", path)));
        all.extend(models.dit.iter().map(|path| Input::file("models.dit", path)));
        all.extend(models.lora.iter().map(|lora| Input::file("models.lora", &lora.path)));
        if let Some(replace) = &self.replace {
            all.push(Input::frames("replace.video", &replace.video));
            all.extend(replace.mask.iter().map(|path| Input::frames("replace.mask", path)));
        }
        all
    }

    /// The fingerprint of the settings and of everything that the job reads: names, sizes and times of change, not contents.
    ///
    /// # Errors
    /// When something that the job reads can't be looked at.
    pub fn fingerprint(&self) -> Result<Fingerprint> {
        let inputs = self.inputs();
        let given = inputs.iter().map(Input::path).filter(|path| !path.as_os_str().is_empty());
        let files = given.map(Fingerprint::of_path).collect::<Result<Vec<_>>>()?;
        Fingerprint::of(&(self, files))
    }

    /// Refuses an output that is one of the inputs, or would become one of an input's frames.
    pub(super) fn check_outputs(&self) -> Result<()> {
        let outputs = self.outputs();
        let outputs: Vec<(&str, &Path)> = outputs.iter().map(|(name, path)| (*name, &**path)).collect();
        refuse_overwriting(&self.inputs(), &outputs)
    }
}
