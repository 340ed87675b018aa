//! The weight files below a folder, as sets that are opened together.

use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tensorfile::TensorSource;

/// Extensions of weight files, in small letters.
const WEIGHTS: [&str; 7] = ["safetensors", "sft", "gguf", "pth", "pt", "ckpt", "bin"];

/// Levels of folders that are looked through: the hub's cache in ComfyUI's `models/` with a diffusers folder in it.
const LEVELS: usize = 7;

/// Files after which no more are looked for: nobody means to look through a whole disk.
const MOST_FILES: usize = 50_000;

/// One file, or several that are one checkpoint.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// What is opened: a file, an index, or all shards of a series.
    pub(super) paths: Vec<PathBuf>,
    /// Which of the given folders it lies below.
    pub(super) root: usize,
    /// The folders between that one and the files, outermost first, in small letters.
    pub(super) folders: Vec<String>,
}

impl Candidate {
    /// The first file's name in small letters.
    pub(super) fn name(&self) -> String {
        self.paths.first().map(|p| file_name(p)).unwrap_or_default()
    }

    /// The first path, for messages.
    pub(super) fn first(&self) -> PathBuf {
        self.paths.first().cloned().unwrap_or_default()
    }
}

/// Everything that lies below the given folders and may be of use.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) candidates: Vec<Candidate>,
    /// Files that hold a tokenizer.
    pub(super) tokenizers: Vec<PathBuf>,
    opened: HashMap<usize, Arc<dyn TensorSource>>,
}

impl Found {
    /// A candidate's tensors; its headers are read once.
    pub(super) fn open(&mut self, at: usize) -> Result<Arc<dyn TensorSource>> {
        if let Some(source) = self.opened.get(&at) {
            return Ok(Arc::clone(source));
        }
        let candidate = self.candidates.get(at).ok_or(Error::NoFiles)?;
        if let Some((stem, missing)) = missing_shards(&candidate.paths) {
            return Err(Error::MissingShards { stem, missing });
        }
        let source = crate::open_tensors(&candidate.paths)?;
        self.opened.insert(at, Arc::clone(&source));
        Ok(source)
    }
}

pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().to_lowercase()
}

fn is_weights(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    WEIGHTS.contains(&extension.as_str())
}

/// Looks through folders. One that can't be listed counts as empty: what isn't found is said for each part.
pub(super) fn look_through(folders: &[PathBuf]) -> Found {
    let mut found = Found::default();
    let mut seen = BTreeSet::new();
    for (root, folder) in folders.iter().enumerate() {
        let mut files = Vec::new();
        if folder.is_file() {
            files.push(folder.clone());
        } else {
            list(folder, LEVELS, &mut files);
        }
        files.sort();
        // The same file may be reached twice: through links of the hub's cache, or from two given folders.
        files.retain(|path| seen.insert(std::fs::canonicalize(path).unwrap_or_else(|_| path.clone())));
        found.tokenizers.extend(files.iter().filter(|p| super::tokenizer::is_tokenizer(p)).cloned());
        for paths in group(&files) {
            let between = paths.first().and_then(|p| p.parent()?.strip_prefix(folder).ok()).map(|inner| {
                inner.iter().map(|name| name.to_string_lossy().to_lowercase()).collect::<Vec<_>>()
            });
            // A given folder may be one of a layout's own: `--wan models/diffusion_models`.
            let own = folder.file_name().map(|name| name.to_string_lossy().to_lowercase());
            let folders = own.into_iter().chain(between.unwrap_or_default()).collect();
            found.candidates.push(Candidate { paths, root, folders });
        }
    }
    found
}

fn list(folder: &Path, levels: usize, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let current = std::fs::read_to_string(folder.join("refs").join("main")).ok();
    for path in entries.flatten().map(|entry| entry.path()) {
        if files.len() >= MOST_FILES {
            return;
        }
        let name = file_name(&path);
        // Hidden folders, LoRAs, and what the hub's links point to.
        if name.starts_with('.') || matches!(name.as_str(), "loras" | "blobs" | "refs" | "__macosx") {
            continue;
        }
        if path.is_file() {
            files.push(path);
        } else if levels > 0 && path.is_dir() {
            match &current {
                // Of a repository's snapshots, the one that its main branch is at.
                Some(commit) if name == "snapshots" && path.join(commit.trim()).is_dir() => {
                    list(&path.join(commit.trim()), levels - 1, files);
                }
                _ => list(&path, levels - 1, files),
            }
        }
    }
}

/// Where a shard stands: what comes before and after its number, the number, and how many there are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shard {
    pub(super) stem: String,
    pub(super) extension: String,
    pub(super) total: usize,
    pub(super) number: usize,
}

/// `stem-00001-of-00007.ext`.
pub(super) fn shard(path: &Path) -> Option<Shard> {
    let name = path.file_name()?.to_str()?;
    let (before, after) = name.rsplit_once("-of-")?;
    let (stem, number) = before.rsplit_once('-')?;
    let (total, extension) = after.split_once('.')?;
    let (number, total) = (number.parse().ok()?, total.parse().ok()?);
    let (stem, extension) = (stem.to_owned(), extension.to_owned());
    (1..=total).contains(&number).then_some(Shard { stem, extension, total, number })
}

/// Numbers that a series of shards lacks, with what its files are called.
fn missing_shards(paths: &[PathBuf]) -> Option<(String, Vec<usize>)> {
    let shards: Vec<Shard> = paths.iter().map(|p| shard(p)).collect::<Option<_>>()?;
    let first = shards.first()?;
    let numbers: BTreeSet<usize> = shards.iter().map(|s| s.number).collect();
    // AniCrafter's shards are read without those that hold nothing of its own.
    if super::hints::is_anicrafter_pair(paths) {
        return None;
    }
    let missing: Vec<usize> = (1..=first.total).filter(|n| !numbers.contains(n)).collect();
    let digits = 5;
    let stem = format!("{}-{:0digits$}-of-{:0digits$}.{}", first.stem, 0, first.total, first.extension);
    (!missing.is_empty()).then(|| (stem.replace("-00000-of-", "-?-of-"), missing))
}

/// Sorted files as sets: an index stands for what it lists, a series of shards is one, all others stand alone.
fn group(files: &[PathBuf]) -> Vec<Vec<PathBuf>> {
    let mut taken: BTreeSet<PathBuf> = BTreeSet::new();
    let mut sets = Vec::new();
    for index in files.iter().filter(|p| file_name(p).ends_with(".index.json")) {
        let listed = listed(index);
        let folder = index.parent().unwrap_or(Path::new(""));
        // An index whose shards are all elsewhere says nothing of this folder.
        if listed.iter().any(|name| folder.join(name).is_file()) {
            taken.extend(listed.iter().map(|name| folder.join(name)));
            sets.push(vec![index.clone()]);
        }
    }
    let mut series: BTreeMap<(PathBuf, String, String, usize), Vec<PathBuf>> = BTreeMap::new();
    for path in files.iter().filter(|p| is_weights(p)) {
        let Some(s) = shard(path) else {
            if !taken.contains(path) {
                sets.push(vec![path.clone()]);
            }
            continue;
        };
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        series.entry((folder, s.stem, s.extension, s.total)).or_default().push(path.clone());
    }
    let mut partial: BTreeMap<(String, String, usize), Vec<PathBuf>> = BTreeMap::new();
    for ((_, stem, extension, total), paths) in series {
        // The two of eleven that count, whatever an index says of the others.
        let pair: Vec<PathBuf> =
            paths.iter().filter(|p| super::hints::is_anicrafter_shard(p)).cloned().collect();
        if super::hints::is_anicrafter_pair(&pair) {
            let alone = pair.len() == paths.len();
            sets.push(pair);
            if alone {
                continue;
            }
        }
        let paths: Vec<PathBuf> = paths.into_iter().filter(|p| !taken.contains(p)).collect();
        if paths.len() == total {
            sets.push(paths);
        } else if !paths.is_empty() {
            partial.entry((stem, extension, total)).or_default().extend(paths);
        }
    }
    // Shards that were put into folders of their own.
    sets.extend(partial.into_values().map(|mut paths| {
        paths.sort_by_key(|p| shard(p));
        paths.dedup_by_key(|p| shard(p));
        paths
    }));
    sets
}

#[derive(serde::Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The files that an index names; none for any other file.
pub(super) fn listed(index: &Path) -> BTreeSet<String> {
    if !file_name(index).ends_with(".index.json") {
        return BTreeSet::new();
    }
    let index: Option<Index> = std::fs::read(index).ok().and_then(|text| serde_json::from_slice(&text).ok());
    index.map(|index| index.weight_map.into_values().collect()).unwrap_or_default()
}
