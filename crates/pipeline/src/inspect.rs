//! Everything that can be known to be wrong before anything runs: files that aren't there, weights that don't fit, a LoRA for
//! another model. Reads headers and names, no tensor data.

use crate::composite::Compositor;
use crate::job::{Activations, Job, Models};
use crate::models::{ModelSet, merge};
use crate::{Error, Result};
use avatar_render::RendererChoice;
use checkpoint::{Checkpoint, Choice, LoraReport, Model, Part, open_tensors};
use std::fmt;
use std::path::Path;

/// Lines that one finding takes at most, and characters that a line does.
const LINES: usize = 10;
const COLUMNS: usize = 240;

/// What was looked at, and what is wrong.
#[derive(Debug, Default)]
pub struct Findings {
    /// The files of the weights, and why these.
    pub choices: Vec<Choice>,
    /// What each LoRA of the settings does, in their order.
    pub loras: Vec<LoraReport>,
    /// What is wrong; the job can't run before it is put right.
    pub problems: Vec<Finding>,
}

/// Something that is wrong.
#[derive(Debug)]
pub struct Finding {
    /// The setting, as in a job file, or the part of the weights.
    pub about: String,
    /// What is wrong with it.
    pub error: Error,
}

impl Findings {
    /// May the job run?
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// The findings themselves if the job may run.
    ///
    /// # Errors
    /// [`Error::Findings`] with all problems.
    pub fn clean(self) -> Result<Self> {
        if self.is_clean() { Ok(self) } else { Err(Error::Findings(Box::new(self))) }
    }

    fn note(&mut self, about: impl Into<String>, error: Error) {
        self.problems.push(Finding { about: about.into(), error });
    }

    fn try_to<T>(&mut self, about: &str, outcome: Result<T>) -> Option<T> {
        outcome.map_err(|error| self.note(about, error)).ok()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.error.to_string();
        // A file that stands in front already isn't named twice.
        let file = self.about.rsplit(' ').next().unwrap_or(&self.about);
        let text = text.strip_prefix(&format!("{}: ", self.about)).unwrap_or(&text);
        let text = text.strip_prefix(&format!("{file}: ")).unwrap_or(text);
        write!(f, "{}: ", self.about)?;
        let lines: Vec<&str> = text.lines().collect();
        let shown = if lines.len() > LINES { LINES - 1 } else { lines.len() };
        for (n, line) in lines[..shown].iter().enumerate() {
            if n > 0 {
                f.write_str("\n    ")?;
            }
            match line.char_indices().nth(COLUMNS) {
                Some((end, _)) => write!(f, "{}…", line[..end].trim_start())?,
                None => f.write_str(line.trim_start())?,
            }
        }
        if shown < lines.len() {
            write!(f, "\n    … and {} lines more", lines.len() - shown)?;
        }
        Ok(())
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.problems.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            write!(f, "  {problem}")?;
        }
        Ok(())
    }
}

/// Looks at everything that a job needs: its settings, its inputs, its weights.
#[must_use]
pub fn inspect(job: &Job) -> Findings {
    let mut findings = Findings::default();
    findings.try_to("settings", job.validate());
    inputs(job, &mut findings);
    // What a raw video is to give isn't there yet.
    if findings.is_clean() && job.replace.is_none() {
        findings.try_to("input", Compositor::open(job, RendererChoice::Cpu));
    }
    if job.output.until.is_none() {
        look_at_models(job, &mut findings);
    }
    findings
}

/// As [`inspect`], for the whole way to the video, whatever the job says of its end.
pub(crate) fn inspect_whole(job: &Job) -> Findings {
    let mut findings = Findings::default();
    inputs(job, &mut findings);
    look_at_models(job, &mut findings);
    findings
}

fn look_at_models(job: &Job, findings: &mut Findings) {
    let saved = job.prompt.embeddings.as_deref();
    look_at_weights(&job.models, saved.is_none(), findings);
    if let Some(path) = saved {
        let width = ModelSet::new(&job.models).map(|set| set.dit_config().text_dim).ok();
        let negative = job.sampling.cfg_scale != 1.0;
        findings.try_to("prompt.embeddings", embeddings(path, negative, width));
    }
}

/// Looks at the weights alone.
#[must_use]
pub fn inspect_weights(models: &Models) -> Findings {
    let mut findings = Findings::default();
    look_at_weights(models, true, &mut findings);
    findings
}

fn look_at_weights(models: &Models, with_text: bool, findings: &mut Findings) {
    let Some(set) = findings.try_to("models", ModelSet::new(models)) else { return };
    for (option, folder) in [
        ("models.wan", &models.wan),
        ("models.anicrafter", &models.anicrafter),
        ("models.demo", &models.demo),
    ] {
        if let Some(folder) = folder {
            findings.try_to(option, exists(folder));
        }
    }
    let Some(resolution) = findings.try_to("models", set.resolution()) else { return };
    for (part, outcome) in resolution.parts() {
        // Saved embeddings take the place of the text encoder.
        if !with_text && matches!(part, Part::TextEncoder | Part::Tokenizer) {
            continue;
        }
        match outcome {
            Ok(choice) => {
                findings.choices.push(choice.clone());
                if part == Part::Tokenizer {
                    findings.try_to(part.name(), set.tokenizer());
                }
            }
            Err(_) => {
                findings.try_to(part.name(), resolution.files(part).map_err(Error::from));
            }
        }
    }
    findings.try_to("models.memory_gib", set.streaming());
    if with_text {
        findings.try_to("models.memory_gib", set.text_streaming());
    }
    let stored = resolution.choice(Part::Transformer).map(|choice| &choice.dtypes);
    if models.activations == Activations::Int8
        && set.storage_is_dense()
        && stored.is_some_and(|types| !types.iter().any(|t| t.is_quantized()))
    {
        findings.note("models.activations", crate::models::no_quantised_weights());
    }
    loras(models, &set, findings);
}

/// Every LoRA's targets and shapes, on the names and shapes of the transformer.
fn loras(models: &Models, set: &ModelSet, findings: &mut Findings) {
    for lora in &models.lora {
        let about = format!("models.lora {}", lora.path.display());
        let tried = exists(&lora.path).and_then(|()| {
            let headers = Checkpoint::headers(Model::Dit, &set.configs().manifest(Model::Dit)?)?;
            Ok(merge(headers, lora, models.skip_unmatched)?.lora_reports().to_vec())
        });
        if let Some(reports) = findings.try_to(&about, tried) {
            findings.loras.extend(reports);
        }
    }
}

/// Are the files and folders there that the job reads?
fn inputs(job: &Job, findings: &mut Findings) {
    let input = &job.input;
    let mut files: Vec<(&str, &Path)> = Vec::new();
    for actor in &input.actors {
        files.push(("input.actors", &actor.avatar));
        // A raw video's motion is found first.
        if !actor.motion.as_os_str().is_empty() {
            files.push(("input.actors", &actor.motion));
        }
    }
    if !input.background.as_os_str().is_empty() {
        files.push(("input.background", &input.background));
    }
    for (about, path) in [
        ("input.character", &input.character),
        ("input.character_mask", &input.character_mask),
        ("input.mesh_video", &input.mesh_video),
        ("input.body", &input.body),
        ("input.camera", &input.camera),
    ] {
        files.extend(path.as_deref().map(|path| (about, path)));
    }
    files.extend(input.occluders.iter().map(|path| ("input.occluders", path.as_path())));
    if let Some(replace) = &job.replace {
        files.push(("replace.video", &replace.video));
        files.extend(replace.mask.as_deref().map(|path| ("replace.mask", path)));
    }
    for (about, path) in files {
        findings.try_to(about, exists(path));
    }
}

/// A file that isn't empty, or a folder with something in it.
fn exists(path: &Path) -> Result<()> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let empty =
        |what: &str| Err(Error::Damaged { path: path.to_owned(), why: format!("the {what} is empty") });
    let metadata = std::fs::metadata(path).map_err(io)?;
    if metadata.is_dir() {
        return match std::fs::read_dir(path).map_err(io)?.next() {
            Some(_) => Ok(()),
            None => empty("folder"),
        };
    }
    std::fs::File::open(path).map_err(io)?;
    if metadata.len() == 0 { empty("file") } else { Ok(()) }
}

/// Saved embeddings of the prompts that the job needs, as wide as the model takes them.
fn embeddings(path: &Path, with_negative: bool, width: Option<usize>) -> Result<()> {
    let damaged = |why: String| Error::Damaged { path: path.to_owned(), why };
    let source = open_tensors(&[path])?;
    for name in ["positive", "negative"].into_iter().filter(|name| with_negative || *name == "positive") {
        let Some(info) = source.info(name) else {
            return Err(damaged(format!("it has no tensor {name:?}: was it saved by a job with guidance?")));
        };
        let [1, _, columns] = info.shape[..] else {
            return Err(damaged(format!("{name:?} has the shape {:?}, not [1, rows, width]", info.shape)));
        };
        if width.is_some_and(|width| width != columns) {
            let width = width.unwrap_or_default();
            return Err(damaged(format!("{name:?} has rows of {columns}, the transformer takes {width}")));
        }
    }
    Ok(())
}
