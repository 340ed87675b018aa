//! Several files that are one checkpoint.

use super::SafetensorsError;
use crate::{Error, Result, TensorInfo, TensorSource, TensorView};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

/// The tensors of several containers under one roof. No two may have a tensor of the same name.
#[derive(Debug)]
pub struct Shards {
    parts: Vec<Box<dyn TensorSource>>,
    names: Vec<(String, usize)>,
    by_name: HashMap<String, usize>,
}

impl Shards {
    /// Joins containers that are open already.
    ///
    /// # Errors
    /// [`SafetensorsError::Duplicate`] when two have a tensor of the same name.
    pub fn new(parts: Vec<Box<dyn TensorSource>>) -> Result<Self> {
        let mut names = Vec::new();
        let mut by_name = HashMap::new();
        for (index, part) in parts.iter().enumerate() {
            for name in part.names() {
                if by_name.insert(name.to_owned(), index).is_some() {
                    return Err(SafetensorsError::Duplicate { name: name.to_owned() }.into());
                }
                names.push((name.to_owned(), index));
            }
        }
        Ok(Self { parts, names, by_name })
    }

    /// Opens a list of files, of any format, that need no index.
    ///
    /// # Errors
    /// As [`open`](crate::open) and [`Shards::new`].
    pub fn open(paths: &[impl AsRef<Path>]) -> Result<Self> {
        let mut parts: Vec<Box<dyn TensorSource>> = Vec::new();
        for path in paths {
            parts.push(crate::open(path)?);
        }
        Self::new(parts)
    }

    /// Opens the shards that an index (`….safetensors.index.json`, `….bin.index.json`) names, in the index's own folder.
    ///
    /// # Errors
    /// [`SafetensorsError::Index`], [`SafetensorsError::ShardPath`], [`SafetensorsError::NotInShard`], and as
    /// [`Shards::open`].
    pub fn open_index(index: impl AsRef<Path>) -> Result<Self> {
        let index = index.as_ref();
        let named = |e: Error| Error::in_file(index, e);
        let text = std::fs::read(index).map_err(|e| named(Error::Io(e)))?;
        crate::impostor::refuse_page(&text).map_err(named)?;
        let map = parse_index(&text).map_err(|e| named(e.into()))?;
        let files: BTreeSet<&String> = map.values().collect();
        let folder = index.parent().unwrap_or(Path::new(""));
        let paths: Vec<_> = files.iter().map(|f| folder.join(f)).collect();
        let shards = Self::open(&paths)?;
        for (name, file) in &map {
            let at = files.iter().position(|f| *f == file);
            if shards.by_name.get(name).copied() != at {
                let (name, file) = (name.clone(), file.clone());
                return Err(named(SafetensorsError::NotInShard { name, file }.into()));
            }
        }
        Ok(shards)
    }
}

/// The index's map from tensor to file.
pub(crate) fn parse_index(text: &[u8]) -> Result<BTreeMap<String, String>, SafetensorsError> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let index: Index =
        serde_json::from_slice(text).map_err(|e| SafetensorsError::Index { message: e.to_string() })?;
    for file in index.weight_map.values() {
        // An index comes from strangers: it may name files beside it and nothing else.
        if Path::new(file).file_name() != Some(file.as_ref()) || file.contains(['/', '\\', ':']) {
            return Err(SafetensorsError::ShardPath { file: file.clone() });
        }
    }
    if index.weight_map.is_empty() {
        return Err(SafetensorsError::Index { message: "its weight_map is empty".to_owned() });
    }
    Ok(index.weight_map)
}

impl Shards {
    fn part(&self, name: &str) -> Option<&dyn TensorSource> {
        Some(self.parts[*self.by_name.get(name)?].as_ref())
    }
}

impl TensorSource for Shards {
    fn names(&self) -> Vec<&str> {
        self.names.iter().map(|(n, _)| n.as_str()).collect()
    }

    fn info(&self, name: &str) -> Option<TensorInfo> {
        self.part(name)?.info(name)
    }

    fn tensor(&self, name: &str) -> Result<TensorView<'_>> {
        self.part(name).ok_or_else(|| Error::NoSuchTensor { name: name.to_owned() })?.tensor(name)
    }

    /// The first part's that has it.
    fn metadata_text(&self, key: &str) -> Option<String> {
        self.parts.iter().find_map(|part| part.metadata_text(key))
    }

    fn release(&self, name: &str) {
        if let Some(part) = self.part(name) {
            part.release(name);
        }
    }

    fn prefetch(&self, name: &str) {
        if let Some(part) = self.part(name) {
            part.prefetch(name);
        }
    }
}
