//! Which files a job's weights are in: what its settings ask [`checkpoint::resolve`] for.

use super::Configs;
use crate::Result;
use crate::job::{Models, Preset};
use checkpoint::{Part, Request};
use std::path::PathBuf;

/// The files that the settings name, by part.
fn named(models: &Models) -> Vec<(Part, Vec<PathBuf>)> {
    let one = |path: &Option<PathBuf>| path.iter().cloned().collect();
    // AniCrafter's own may be given as a file.
    let anicrafter = models.anicrafter.iter().filter(|path| path.is_file()).cloned().collect();
    let all = [
        (Part::Transformer, models.dit.clone()),
        (Part::Vae, one(&models.vae)),
        (Part::TextEncoder, one(&models.text_encoder)),
        (Part::ImageEncoder, one(&models.image_encoder)),
        (Part::Tokenizer, one(&models.tokenizer)),
        (Part::AniCrafter, anicrafter),
    ];
    all.into_iter().filter(|(_, paths)| !paths.is_empty()).collect()
}

/// What is looked for, and where. Parts that aren't in it are drawn at random, or part of this crate.
pub(super) fn request(models: &Models, configs: &Configs) -> Result<Request> {
    let real = models.preset == Preset::AniCrafter;
    let mut folders: Vec<PathBuf> = if real {
        models.wan.iter().chain(models.anicrafter.iter().filter(|path| !path.is_file())).cloned().collect()
    } else {
        models.demo.iter().cloned().collect()
    };
    // One folder for both is looked through once.
    folders.dedup();
    let mut request = Request { folders, named: named(models).into_iter().collect(), ..Request::default() };
    // Without a folder of small weights, all but what is named is untrained.
    let wanted = |part: Part| real || models.demo.is_some() || request.named.contains_key(&part);
    let mut looked_for = Vec::new();
    for part in Part::ALL.into_iter().filter(|part| wanted(*part)) {
        if let Some(model) = part.model() {
            looked_for.push((model, configs.manifest(model)?));
        }
    }
    let (embedders, tokenizer) =
        (wanted(Part::AniCrafter), real || request.named.contains_key(&Part::Tokenizer));
    request.models = looked_for.into_iter().collect();
    request.embedders = embedders.then(|| configs.embedders()).transpose()?;
    request.lora = real;
    request.tokenizer = tokenizer;
    Ok(request)
}
