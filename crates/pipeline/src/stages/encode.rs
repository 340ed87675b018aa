//! Prompt and reference frame become what the transformer attends to.

use super::{Done, Run, only_tensors};
use crate::Result;
use crate::condition_files::ConditionFiles;
use crate::models::{ModelSet, Wanted};
use crate::progress::Stage;
use crate::work::{Fingerprint, load_tensors, save_tensors, take};
use candle_core::{Device, Tensor};
use std::ops::ControlFlow;

impl Run<'_> {
    /// The prompt's embeddings: `positive` and, with guidance, `negative`.
    pub(crate) fn text(&mut self) -> Result<Done> {
        let prompt = &self.job.prompt;
        let with_negative = self.job.sampling.cfg_scale != 1.0;
        let negative = with_negative.then_some(&prompt.negative);
        let saved = prompt.embeddings.as_deref().map(Fingerprint::of_path).transpose()?;
        let key = Fingerprint::of(&(&prompt.positive, negative, saved, self.models.key(Wanted::Text)?))?;
        self.stage(Stage::Text, (0, 1), 1 + usize::from(with_negative), key, |run, part| {
            let file = only_tensors(part);
            if let Some(saved) = &run.job.prompt.embeddings {
                let mut tensors = load_tensors(saved, &Device::Cpu)?;
                let positive = take(&mut tensors, "positive", saved)?;
                let negative = with_negative.then(|| take(&mut tensors, "negative", saved)).transpose()?;
                let mut list = vec![("positive", &positive)];
                list.extend(negative.as_ref().map(|n| ("negative", n)));
                return save_tensors(&file, &list);
            }
            let loaded = run.load(Wanted::Text, ModelSet::text)?;
            let (tokenizer, encoder) = &*loaded;
            let rows = run.models.context_rows();
            let texts = std::iter::once(&run.job.prompt.positive).chain(negative);
            let prompts = texts.map(|text| -> Result<Vec<u32>> {
                let tokens = tokenizer.tokenize(text, rows)?;
                if tokens.truncated {
                    run.context.warn(format!(
                        "the prompt is longer than {rows} tokens and was cut: {:.60}…",
                        tokens.text
                    ));
                }
                Ok(tokens.ids)
            });
            let prompts = prompts.collect::<Result<Vec<_>>>()?;
            let total = prompts.len();
            let mut progress = |block: usize, of: usize| {
                let done = (total * block) as f64 / of.max(1) as f64;
                match run.context.advance(Stage::Text, done, total) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(_) => ControlFlow::Break(()),
                }
            };
            let prompts: Vec<&[u32]> = prompts.iter().map(Vec::as_slice).collect();
            let mut encoded = encoder.encode_all(&prompts, rows, &mut progress)?.into_iter();
            let positive = encoded.next().ok_or(crate::Error::Internal("a prompt without an embedding"))?;
            let negative = encoded.next();
            let mut list = vec![("positive", &positive)];
            list.extend(negative.as_ref().map(|n| ("negative", n)));
            save_tensors(&file, &list)
        })
    }

    /// The reference frame's features: `clip_feature`.
    pub(crate) fn image(&mut self, composite: &Fingerprint, condition: &ConditionFiles) -> Result<Done> {
        let key =
            Fingerprint::of(&(composite, self.models.key(Wanted::Image)?, self.job.sampling.bf16_latents))?;
        let reference = condition.reference()?;
        self.stage(Stage::Image, (0, 1), 1, key, |run, part| {
            let (w, h) = (reference.width() as usize, reference.height() as usize);
            let planes = bg_mask::to_planes(&reference, bg_mask::Scaling::PreprocessImage);
            let picture = Tensor::from_vec(planes, (1, 3, h, w), run.models.device())?;
            let encoder = run.load(Wanted::Image, ModelSet::image)?;
            let feature = run.rounding().apply(&encoder.encode(&picture)?)?;
            save_tensors(&only_tensors(part), &[("clip_feature", &feature)])
        })
    }
}
