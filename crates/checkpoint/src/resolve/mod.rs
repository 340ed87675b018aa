//! Which files an installation's parts are in, whatever laid them out.
//!
//! A part that the user names is taken as named. The others are looked for below the given folders: the published layout,
//! ComfyUI's `models/`, a diffusers folder, the hub's cache, or loose files under the names that others gave them. Names and
//! folders say where to look first; what a file holds decides ([`Checkpoint::compare`]). Only headers are read.
#![expect(clippy::result_large_err, reason = "a problem says all that was tried, and there is one a part")]

mod candidates;
mod choice;
mod hints;
mod tokenizer;

pub use choice::{Choice, Problem, Resolution, Why};
pub use tokenizer::{TokenizerModel, read_tokenizer};

use crate::{Alpha, Checkpoint, Error, Lora, Manifest, Model, Report, Result};
use candidates::{Candidate, Found, look_through};
use hints::Hint;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tensorfile::{Dtype, TensorSource};

/// A part of an installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Part {
    /// The diffusion transformer.
    Transformer,
    /// The autoencoder.
    Vae,
    /// The text encoder.
    TextEncoder,
    /// The text encoder's tokenizer.
    Tokenizer,
    /// The image encoder.
    ImageEncoder,
    /// AniCrafter's own files: the condition embedders and, with the real weights, a LoRA.
    AniCrafter,
}

impl Part {
    /// All parts, in the order of use.
    pub const ALL: [Self; 6] = [
        Self::Transformer,
        Self::Vae,
        Self::TextEncoder,
        Self::Tokenizer,
        Self::ImageEncoder,
        Self::AniCrafter,
    ];

    /// What messages call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Transformer => "transformer",
            Self::Vae => "VAE",
            Self::TextEncoder => "text encoder",
            Self::Tokenizer => "tokenizer",
            Self::ImageEncoder => "image encoder",
            Self::AniCrafter => "AniCrafter",
        }
    }

    /// The model that the part is; `None` for the tokenizer and AniCrafter's files.
    #[must_use]
    pub fn model(self) -> Option<Model> {
        match self {
            Self::Transformer => Some(Model::Dit),
            Self::Vae => Some(Model::Vae),
            Self::TextEncoder => Some(Model::T5),
            Self::ImageEncoder => Some(Model::Clip),
            Self::Tokenizer | Self::AniCrafter => None,
        }
    }
}

/// What is looked for, and where.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Folders to look through, the most likely first.
    pub folders: Vec<PathBuf>,
    /// Parts whose files are known: files, an index, or a folder that holds one of them.
    pub named: BTreeMap<Part, Vec<PathBuf>>,
    /// The tensors of each model. A part without an entry isn't looked for.
    pub models: BTreeMap<Model, Manifest>,
    /// The tensors of the condition embedders; `None` when AniCrafter's files aren't looked for.
    pub embedders: Option<Manifest>,
    /// Do AniCrafter's files hold a LoRA for the transformer too?
    pub lora: bool,
    /// Is a tokenizer looked for?
    pub tokenizer: bool,
}

impl Request {
    /// The published models: Wan2.1-I2V-14B-720P with AniCrafter's files.
    ///
    /// # Errors
    /// None that a user can cause: the presets are part of the program.
    pub fn published(folders: Vec<PathBuf>) -> Result<Self> {
        let manifest = |model, name: &str| Ok((model, Manifest::of(model, &crate::preset(name)?)?));
        let dit = "wan2.1-i2v-14b-720p";
        let models = [
            manifest(Model::Dit, dit),
            manifest(Model::Vae, "wan2.1-vae"),
            manifest(Model::T5, "umt5-xxl"),
            manifest(Model::Clip, "clip-vit-h-14"),
        ];
        let models = models.into_iter().collect::<Result<_>>()?;
        let embedders = Some(Manifest::embedders(&crate::preset(dit)?)?);
        Ok(Self { folders, named: BTreeMap::new(), models, embedders, lora: true, tokenizer: true })
    }

    fn wants(&self, part: Part) -> bool {
        match (part, part.model()) {
            (_, Some(model)) => self.models.contains_key(&model),
            (Part::AniCrafter, None) => self.embedders.is_some(),
            (_, None) => self.tokenizer,
        }
    }
}

/// Finds every part that `request` asks for. What is missing or doesn't fit is in the result, part by part.
#[must_use]
pub fn resolve(request: &Request) -> Resolution {
    let mut resolver = Resolver { request, found: look_through(&request.folders) };
    let mut resolution = Resolution::default();
    // The text encoder comes before its tokenizer, which may lie in it.
    for part in Part::ALL.into_iter().filter(|part| request.wants(*part)) {
        let outcome = match request.named.get(&part) {
            Some(paths) => resolver.named(part, paths),
            None if part == Part::Tokenizer => {
                tokenizer::find(&resolver.found, resolution.choice(Part::TextEncoder), &request.folders)
            }
            None => resolver.search(part),
        };
        resolution.add(part, outcome);
    }
    resolution
}

/// Looks for Wan 2.1 I2V-14B and AniCrafter in a folder and below, and checks the names and shapes of all tensors. Reads
/// headers only.
///
/// # Errors
/// When the folder can't be listed. What is wrong with a file is in the result.
pub fn check_installation(folder: impl AsRef<Path>) -> Result<Resolution> {
    let folder = folder.as_ref();
    std::fs::read_dir(folder).map_err(|e| Error::Io { path: folder.to_owned(), message: e.to_string() })?;
    Ok(resolve(&Request::published(vec![folder.to_owned()])?))
}

/// What was seen of a part's files.
struct Seen {
    report: Report,
    dtypes: Vec<Dtype>,
    bytes: u64,
}

struct Resolver<'a> {
    request: &'a Request,
    found: Found,
}

impl Resolver<'_> {
    fn named(&mut self, part: Part, paths: &[PathBuf]) -> std::result::Result<Choice, Problem> {
        if part == Part::Tokenizer {
            return tokenizer::named(paths);
        }
        let broken = |error| Problem::Broken { paths: paths.to_vec(), error };
        let source = crate::open_tensors(paths).map_err(broken)?;
        let seen = self.look(part, &source).map_err(broken)?;
        if !seen.report.is_exact() {
            return Err(Problem::Mismatch { paths: paths.to_vec(), report: seen.report });
        }
        Ok(choice(part, paths.to_vec(), Why::Named, Vec::new(), seen))
    }

    /// Level by level of what names promise, the first that holds the part.
    fn search(&mut self, part: Part) -> std::result::Result<Choice, Problem> {
        let mut ranked: Vec<(Hint, usize)> = Vec::new();
        for (at, candidate) in self.found.candidates.iter().enumerate() {
            ranked.push((hints::of(part, candidate), at));
        }
        ranked.sort();
        let mut nearest: Option<(bool, Problem)> = None;
        let mut rest = &ranked[..];
        while let Some((hint, _)) = rest.first() {
            let (level, more) = rest.split_at(rest.iter().take_while(|(h, _)| h == hint).count());
            rest = more;
            let mut fitting = Vec::new();
            for (hint, at) in level {
                match self.try_candidate(part, *at) {
                    Ok(seen) => fitting.push((*at, seen)),
                    Err(problem) => {
                        // What the names promise counts more than what happens to lie about.
                        let promised = hint.is_promise() || matches!(problem, Problem::Mismatch { .. });
                        let holds_other = matches!(
                            problem,
                            Problem::Broken { error: Error::NotThisModel { .. } | Error::File(_), .. }
                        );
                        if promised && (hint.is_promise() || !holds_other) && nearest.is_none() {
                            nearest = Some((hint.is_promise(), problem));
                        }
                    }
                }
            }
            if !fitting.is_empty() {
                return self.best(part, hint.why(), fitting);
            }
        }
        Err(nearest.map_or_else(
            || Problem::Absent {
                folders: self.request.folders.clone(),
                looked_at: self.found.candidates.len(),
            },
            |(_, problem)| problem,
        ))
    }

    /// One of several that fit and whose names promise the same: of one model in several precisions, the most precise.
    fn best(
        &self,
        part: Part,
        why: Why,
        mut fitting: Vec<(usize, Seen)>,
    ) -> std::result::Result<Choice, Problem> {
        let candidate = |at: usize| -> &Candidate { &self.found.candidates[at] };
        fitting.sort_by_key(|(at, seen)| (std::cmp::Reverse(seen.bytes), *at));
        let stem = |at: usize| hints::without_precision(&candidate(at).name());
        let differs = fitting.iter().any(|(at, _)| stem(*at) != stem(fitting[0].0));
        // Encoders and the autoencoder are the same wherever they come from; transformers of one shape may not be.
        if differs && matches!(part, Part::Transformer | Part::AniCrafter) {
            let paths = fitting.iter().map(|(at, _)| candidate(*at).first()).collect();
            return Err(Problem::Ambiguous { paths });
        }
        let passed_over = fitting[1..].iter().map(|(at, _)| candidate(*at).first()).collect();
        let (at, seen) = fitting.swap_remove(0);
        Ok(choice(part, candidate(at).paths.clone(), why, passed_over, seen))
    }

    fn try_candidate(&mut self, part: Part, at: usize) -> std::result::Result<Seen, Problem> {
        let paths = self.found.candidates[at].paths.clone();
        let source = match self.found.open(at) {
            Ok(source) => source,
            Err(error) => return Err(Problem::Broken { paths, error }),
        };
        match self.look(part, &source) {
            Ok(seen) if seen.report.is_exact() => Ok(seen),
            Ok(seen) => Err(Problem::Mismatch { paths, report: seen.report }),
            Err(error) => Err(Problem::Broken { paths, error }),
        }
    }

    /// Compares tensors with what a part has.
    fn look(&self, part: Part, source: &Arc<dyn TensorSource>) -> Result<Seen> {
        let files = Checkpoint::from_tensors(Arc::clone(source));
        if part == Part::AniCrafter {
            return self.look_at_anicrafter(source, &files);
        }
        let none = Manifest::default();
        let manifest = part.model().and_then(|model| self.request.models.get(&model)).unwrap_or(&none);
        let model = match part.model() {
            Some(model) => files.for_model(model)?,
            None => files,
        };
        let report = model.compare(manifest);
        let bytes = report.loaded.iter().map(|name| model.stored_bytes(name)).sum();
        Ok(Seen { dtypes: dtypes(&model, &report.loaded), bytes, report })
    }

    /// The condition embedders are whole, and every LoRA target exists in the transformer and fits.
    fn look_at_anicrafter(&self, source: &Arc<dyn TensorSource>, files: &Checkpoint) -> Result<Seen> {
        let mut report = Report::default();
        let none = Manifest::default();
        let embedders = self.request.embedders.as_ref().unwrap_or(&none);
        let modules: BTreeSet<&str> = embedders.tensors.keys().filter_map(|n| n.split('.').next()).collect();
        for module in modules {
            let part = files.module(module)?.compare(&embedders.below(module));
            let named = |names: Vec<String>| names.into_iter().map(move |n| format!("{module}.{n}"));
            report.loaded.extend(named(part.loaded));
            report.missing.extend(named(part.missing));
            report.unused.extend(named(part.unused));
            report.misshaped.extend(part.misshaped);
        }
        if let Some(manifest) = self.request.models.get(&Model::Dit).filter(|_| self.request.lora) {
            let lora = Lora::from_tensors("AniCrafter", Arc::clone(source), Alpha::Ignore)?;
            let patched = Checkpoint::headers(Model::Dit, manifest)?.with_lora(&lora, 1.0)?;
            report.loaded.extend(patched.patched().into_iter().map(str::to_owned));
        }
        let names: Vec<String> = files.names().map(str::to_owned).collect();
        let bytes = names.iter().map(|name| files.stored_bytes(name)).sum();
        Ok(Seen { report, dtypes: dtypes(files, &names), bytes })
    }
}

fn choice(part: Part, paths: Vec<PathBuf>, why: Why, passed_over: Vec<PathBuf>, seen: Seen) -> Choice {
    Choice { part, paths, why, passed_over, tensors: seen.report.loaded.len(), dtypes: seen.dtypes }
}

fn dtypes(checkpoint: &Checkpoint, names: &[String]) -> Vec<Dtype> {
    let mut all: Vec<Dtype> = names.iter().filter_map(|n| checkpoint.info(n)).map(|i| i.dtype).collect();
    all.sort();
    all.dedup();
    all
}
