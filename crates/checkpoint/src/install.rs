//! Is a folder of downloads a complete installation?

use crate::{Alpha, Checkpoint, Error, Lora, Manifest, Model, Report, Result, preset};
use serde_json::Value;
use std::fmt;
use std::path::{Path, PathBuf};
use tensorfile::Dtype;

/// The published names of the files.
pub(crate) const DIT_INDEX: &str = "diffusion_pytorch_model.safetensors.index.json";
pub(crate) const DIT_STEM: &str = "diffusion_pytorch_model";
pub(crate) const DIT_SHARDS: usize = 7;
pub(crate) const VAE_FILE: &str = "Wan2.1_VAE.pth";
pub(crate) const T5_FILE: &str = "models_t5_umt5-xxl-enc-bf16.pth";
pub(crate) const CLIP_FILE: &str = "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth";
/// AniCrafter's shards; the reference reads the last two of them.
pub(crate) const ANICRAFTER_SHARDS: usize = 11;

/// Parts of the published files that nothing here needs.
const UNNEEDED_CLIP: [&str; 3] = ["textual.", "log_scale", "visual.head"];

pub(crate) fn shard(stem: &str, number: usize, total: usize) -> String {
    format!("{stem}-{number:05}-of-{total:05}.safetensors")
}

/// What is wrong with a part of an installation.
#[derive(Debug)]
#[non_exhaustive]
pub enum Problem {
    /// The file isn't there.
    Absent,
    /// The file can't be read, or isn't what its name says.
    Broken(Error),
    /// The file's tensors aren't the model's.
    Mismatch(Report),
}

/// One part of an installation.
#[derive(Debug)]
pub struct FileReport {
    /// What it is for.
    pub part: &'static str,
    /// The file's published name.
    pub file: String,
    /// Where it was found.
    pub found: Option<PathBuf>,
    /// Number of tensors that fit, and the types they are stored in.
    pub tensors: usize,
    /// The types that the tensors are stored in.
    pub dtypes: Vec<Dtype>,
    /// What is wrong, if anything.
    pub problem: Option<Problem>,
}

/// A checked folder.
#[derive(Debug)]
pub struct Installation {
    /// The folder.
    pub folder: PathBuf,
    /// Its parts, in the order of use.
    pub parts: Vec<FileReport>,
}

impl Installation {
    /// Is everything there and right?
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.parts.iter().all(|p| p.problem.is_none())
    }
}

impl fmt::Display for Installation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            let verdict = match &part.problem {
                None => format!("ok, {} tensors, {:?}", part.tensors, part.dtypes),
                Some(Problem::Absent) => "absent".to_owned(),
                Some(Problem::Broken(error)) => error.to_string(),
                Some(Problem::Mismatch(report)) => report.to_string(),
            };
            writeln!(f, "{:<22} {}: {verdict}", part.part, part.file)?;
        }
        Ok(())
    }
}

/// Looks for the published files of Wan 2.1 I2V-14B and AniCrafter in `folder` and below (three levels), and checks the
/// names and shapes of all their tensors. Reads headers only.
///
/// # Errors
/// When the folder can't be listed. What is wrong with a file is in the report.
pub fn check_installation(folder: impl AsRef<Path>) -> Result<Installation> {
    let folder = folder.as_ref();
    let mut files = Vec::new();
    list(folder, 3, &mut files)?;
    files.sort();
    let find = |name: &str| files.iter().find(|p| p.file_name().is_some_and(|n| n == name)).cloned();
    let dit: Value = preset("wan2.1-i2v-14b-720p")?;
    let manifest = Manifest::of(Model::Dit, &dit)?;
    let mut parts = vec![dit_part(&find, &manifest)];
    for (part, file, model, config) in [
        ("VAE", VAE_FILE, Model::Vae, "wan2.1-vae"),
        ("text encoder", T5_FILE, Model::T5, "umt5-xxl"),
        ("image encoder", CLIP_FILE, Model::Clip, "clip-vit-h-14"),
    ] {
        let manifest = Manifest::of(model, &preset(config)?)?;
        let checked = find(file).map(|path| {
            let checkpoint = Checkpoint::open_model(model, &[&path]);
            (path, checkpoint.map(|c| (needed(c.compare(&manifest)), dtypes(&c))))
        });
        parts.push(report(part, file.to_owned(), checked));
    }
    for number in [ANICRAFTER_SHARDS - 1, ANICRAFTER_SHARDS] {
        let file = shard("model", number, ANICRAFTER_SHARDS);
        let checked = find(&file).map(|path| {
            let opened = tensorfile::open(&path).map_err(Error::from);
            (
                path,
                opened.map(|t| {
                    (
                        Report {
                            loaded: t.names().iter().map(|n| (*n).to_owned()).collect(),
                            ..Report::default()
                        },
                        Vec::new(),
                    )
                }),
            )
        });
        parts.push(report("AniCrafter", file, checked));
    }
    let shards: Vec<PathBuf> = parts[4..].iter().filter_map(|p| p.found.clone()).collect();
    if shards.len() == 2 {
        let checked = anicrafter(&shards, &manifest, &dit);
        parts.push(report(
            "AniCrafter, both",
            "LoRA and condition embedders".to_owned(),
            Some((shards[0].clone(), checked)),
        ));
    }
    Ok(Installation { folder: folder.to_owned(), parts })
}

/// The text tower, and parts of the image tower behind the features that are used.
fn needed(mut report: Report) -> Report {
    report.missing.retain(|name| !UNNEEDED_CLIP.iter().any(|p| name.starts_with(p)));
    report
}

fn dtypes(checkpoint: &Checkpoint) -> Vec<Dtype> {
    let mut all: Vec<Dtype> =
        checkpoint.names().filter_map(|n| checkpoint.info(n)).map(|i| i.dtype).collect();
    all.sort();
    all.dedup();
    all
}

type Checked = Option<(PathBuf, Result<(Report, Vec<Dtype>)>)>;

fn report(part: &'static str, file: String, checked: Checked) -> FileReport {
    let (found, tensors, dtypes, problem) = match checked {
        None => (None, 0, Vec::new(), Some(Problem::Absent)),
        Some((path, Err(error))) => (Some(path), 0, Vec::new(), Some(Problem::Broken(error))),
        Some((path, Ok((report, dtypes)))) => {
            let tensors = report.loaded.len();
            let problem = (!report.is_exact()).then_some(Problem::Mismatch(report));
            (Some(path), tensors, dtypes, problem)
        }
    };
    FileReport { part, file, found, tensors, dtypes, problem }
}

/// The transformer: an index, a series of shards, or the same model as one file.
fn dit_part(find: &impl Fn(&str) -> Option<PathBuf>, manifest: &Manifest) -> FileReport {
    let open = |paths: Vec<PathBuf>| {
        let first = paths[0].clone();
        let checkpoint = Checkpoint::open_model(Model::Dit, &paths);
        Some((first, checkpoint.map(|c| (c.compare(manifest), dtypes(&c)))))
    };
    let file = format!("{DIT_STEM}-0000?-of-{DIT_SHARDS:05}.safetensors");
    if let Some(index) = find(DIT_INDEX) {
        return report("transformer", file, open(vec![index]));
    }
    let shards: Vec<_> = (1..=DIT_SHARDS).map(|n| shard(DIT_STEM, n, DIT_SHARDS)).collect();
    let found: Vec<PathBuf> = shards.iter().filter_map(|s| find(s)).collect();
    match found.len() {
        0 => {
            let whole = find(&format!("{DIT_STEM}.safetensors"));
            report("transformer", file, whole.and_then(|path| open(vec![path])))
        }
        DIT_SHARDS => report("transformer", file, open(found)),
        _ => {
            let missing = shards.into_iter().filter(|s| find(s).is_none()).collect();
            let mismatch = Report { missing, ..Report::default() };
            report("transformer", file, Some((found[0].clone(), Ok((mismatch, Vec::new())))))
        }
    }
}

/// Both shards together: every LoRA target exists in the transformer, and the condition embedders are whole.
fn anicrafter(shards: &[PathBuf], dit: &Manifest, config: &Value) -> Result<(Report, Vec<Dtype>)> {
    let lora = Lora::open(shards, Alpha::Ignore)?;
    let known = dit.tensors.keys().map(String::as_str).collect();
    let shape = |target: &str| dit.tensors.get(target).cloned().unwrap_or_default();
    let (patches, _) = lora.patches(Some(Model::Dit), &known, shape, 1.0)?;
    let files = Checkpoint::open(shards)?;
    let mut report = Report { loaded: patches.into_keys().collect(), ..Report::default() };
    let embedders = Manifest::embedders(config)?;
    for marker in ["blend_embedding", "smplx_embedding"] {
        let prefix = format!("{marker}.");
        let tensors = embedders
            .tensors
            .iter()
            .filter_map(|(name, shape)| Some((name.strip_prefix(&prefix)?.to_owned(), shape.clone())));
        let part = files.module(marker)?.compare(&Manifest { tensors: tensors.collect() });
        let named =
            |names: Vec<String>| names.into_iter().map(|n| format!("{prefix}{n}")).collect::<Vec<_>>();
        report.loaded.extend(named(part.loaded));
        report.missing.extend(named(part.missing));
        report.unused.extend(named(part.unused));
        report.misshaped.extend(part.misshaped);
    }
    Ok((report, dtypes(&files)))
}

fn list(folder: &Path, levels: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    let io = |e: std::io::Error| Error::Io { path: folder.to_owned(), message: e.to_string() };
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.is_file() {
            files.push(path);
        } else if levels > 0 && path.is_dir() {
            list(&path, levels - 1, files)?;
        }
    }
    Ok(())
}
