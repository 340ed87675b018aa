//! Weight files as a source of weights for models.

mod compare;

use crate::companions::Companions;
use crate::convert;
use crate::keys::{Model, Parts, name_tensors};
use crate::lora::{Change, Lora, LoraReport, Patch, apply};
use crate::shape::same_shape;
use crate::{Error, Manifest, Misshaped, Result};
use candle_core::quantized::QTensor;
use candle_core::{DType, Device, Shape, Tensor};
use nn::WeightSource;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tensorfile::{TensorInfo, TensorSource, TensorView};

/// What becomes of a quantised matrix that a LoRA changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnQuantized {
    /// It is decoded, merged in f32 and quantised again to its own type: small, with a second rounding.
    #[default]
    Requantize,
    /// It is handed out densely: exact, but as large as a dense model in memory.
    Dense,
}

/// The tensors of one model in one or several weight files.
///
/// Nothing is read until it is asked for. Each tensor is converted once on the way from the mapped file to the model, with
/// its LoRAs merged; afterwards the file's pages are given back to the system, so that the process holds what the model
/// holds and no more. Hand it to a model as [`nn::WeightSource`].
///
/// ```
/// use candle_core::{DType, Device};
/// use anicrafter_checkpoint::Checkpoint;
/// use std::sync::Arc;
/// use tensorfile::{TensorView, write_safetensors};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("model.safetensors");
/// write_safetensors(&path, &[("layer.weight", TensorView::from_f32(&[2, 2], &[1., 2., 3., 4.])?)], &Default::default())?;
/// let checkpoint = Arc::new(Checkpoint::open(&[path])?);
/// let weights = nn::Weights::new(checkpoint.clone(), DType::F32, &Device::Cpu);
/// assert_eq!(weights.pp("layer").get((2, 2), "weight")?.to_vec2::<f32>()?, [[1., 2.], [3., 4.]]);
/// assert!(checkpoint.report().is_exact());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Checkpoint {
    source: Arc<dyn TensorSource>,
    model: Option<Model>,
    by_name: BTreeMap<String, Parts>,
    outside: Vec<String>,
    harmless: Vec<String>,
    companions: Arc<Companions>,
    patches: HashMap<String, Vec<Patch>>,
    loras: Vec<LoraReport>,
    on_quantized: OnQuantized,
    keep_pages: bool,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    loaded: BTreeSet<String>,
    missing: BTreeSet<String>,
    misshaped: BTreeMap<String, Misshaped>,
}

impl Checkpoint {
    /// Opens weight files under the names they use; paths as in [`open_tensors`](crate::open_tensors).
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn open(paths: &[impl AsRef<Path>]) -> Result<Self> {
        Ok(Self::from_tensors(crate::open_tensors(paths)?))
    }

    /// Opens weight files and finds a model in them, whatever library's names they use.
    ///
    /// # Errors
    /// When a file can't be read, or holds no such model or several.
    pub fn open_model(model: Model, paths: &[impl AsRef<Path>]) -> Result<Self> {
        Self::open(paths)?.for_model(model)
    }

    /// Tensors that are open already, under their own names.
    #[must_use]
    pub fn from_tensors(source: Arc<dyn TensorSource>) -> Self {
        let companions = Arc::new(Companions::of(source.as_ref()));
        let weights = companions.weights(source.as_ref()).into_iter();
        let by_name = weights.map(|n| (n.to_owned(), vec![companions.key(n).to_owned()])).collect();
        Self {
            companions,
            harmless: Vec::new(),
            source,
            model: None,
            by_name,
            outside: Vec::new(),
            patches: HashMap::new(),
            loras: Vec::new(),
            on_quantized: OnQuantized::default(),
            keep_pages: false,
            seen: Mutex::default(),
        }
    }

    /// Names and shapes of a model without any file: a LoRA can be tried on it ([`Checkpoint::with_lora`]), nothing can be read.
    ///
    /// # Errors
    /// [`Error::NotThisModel`] for the tensors of another model.
    pub fn headers(model: Model, manifest: &Manifest) -> Result<Self> {
        Self::from_tensors(Arc::new(crate::headers::Headers(manifest.clone()))).for_model(model)
    }

    /// As [`Checkpoint::open_model`], for files with several such models: the one whose names begin with `prefix`
    /// (`"ema."`, say).
    ///
    /// # Errors
    /// As [`Checkpoint::open_model`].
    pub fn open_part(model: Model, prefix: &str, paths: &[impl AsRef<Path>]) -> Result<Self> {
        Self::open(paths)?.named(model, Some(prefix))
    }

    /// The same files, their tensors under the names that the published files of `model` use. Scales of quantised weights are
    /// bound to them; other models of an all-in-one file, and extras that nobody needs, are put aside.
    ///
    /// # Errors
    /// [`Error::NotThisModel`], [`Error::SeveralModels`], [`Error::Ambiguous`]; [`Error::Quantisation`] and
    /// [`Error::ScaleShape`] where a weight can't be decoded.
    pub fn for_model(self, model: Model) -> Result<Self> {
        self.named(model, None)
    }

    fn named(self, model: Model, below: Option<&str>) -> Result<Self> {
        let mut named = name_tensors(model, &self.companions.weights(self.source.as_ref()), below)?;
        for part in named.by_name.values_mut().flatten() {
            *part = self.companions.key(part).to_owned();
        }
        self.companions.check_all(self.source.as_ref(), named.by_name.values().flatten())?;
        Ok(Self {
            model: Some(model),
            by_name: named.by_name,
            outside: named.outside,
            harmless: named.harmless,
            ..self
        })
    }

    /// The SentencePiece model that ComfyUI's text encoders carry as the tensor `spiece_model`; `None` where there is none.
    ///
    /// # Errors
    /// When the tensor can't be read.
    pub fn sentencepiece(&self) -> Result<Option<Vec<u8>>> {
        let names = self.source.names();
        let found = names.into_iter().find(|n| n.rsplit('.').next() == Some("spiece_model"));
        found.map(|name| Ok(self.source.tensor(name)?.into_bytes().into_owned())).transpose()
    }

    /// The same files, but only the tensors whose names contain `marker` followed by a dot, named by what comes
    /// after: `module("blend_embedding")` of AniCrafter's shards has `0.weight`, `0.bias` and so on.
    ///
    /// # Errors
    /// [`Error::Ambiguous`] when two tensors end up with one name; [`Error::File`] when there is none.
    pub fn module(&self, marker: &str) -> Result<Self> {
        let dotted = format!("{marker}.");
        let mut by_name: BTreeMap<String, Parts> = BTreeMap::new();
        for name in self.companions.weights(self.source.as_ref()) {
            let Some((_, inner)) = name.split_once(&dotted) else { continue };
            if let Some(first) = by_name.insert(inner.to_owned(), vec![self.companions.key(name).to_owned()])
            {
                let (first, second) = (first.concat(), name.to_owned());
                return Err(Error::Ambiguous { name: inner.to_owned(), first, second });
            }
        }
        if by_name.is_empty() {
            return Err(tensorfile::Error::NoSuchTensor { name: format!("{dotted}*") }.into());
        }
        Ok(Self { by_name, ..Self::from_tensors(Arc::clone(&self.source)) })
    }

    /// Adds a LoRA to what is handed out, on top of those added before; [`Checkpoint::lora_reports`] says what it does. A
    /// strength of 0 adds nothing, but the LoRA's targets are checked all the same.
    ///
    /// # Errors
    /// [`Error::LoraTargets`] when the model lacks any of its targets, [`Error::LoraShape`] when one doesn't fit;
    /// [`Error::LoraNumber`], [`Error::LoraRank`] when its scale can't be told.
    pub fn with_lora(mut self, lora: &Lora, strength: f64) -> Result<Self> {
        let known: BTreeSet<&str> = self.by_name.keys().map(String::as_str).collect();
        let (patches, report) = lora.patches(self.model, &known, |target| self.unfolded(target), strength)?;
        self.loras.push(report);
        if strength != 0.0 {
            for (target, patches) in patches {
                let all = self.patches.entry(target).or_default();
                all.extend(patches);
                // What takes the base's place doesn't wipe out what an earlier LoRA adds.
                all.sort_by_key(|p| !matches!(p.change, Change::Whole(_)));
            }
        }
        Ok(self)
    }

    /// A tensor's shape with its rows apart, where a GGUF folds them into the next axis: the bias tells how many they are.
    fn unfolded(&self, name: &str) -> Vec<usize> {
        let shape = self.info(name).map(|i| i.shape).unwrap_or_default();
        let bias = name.strip_suffix(".weight").and_then(|module| self.info(&format!("{module}.bias")));
        match bias.map(|b| b.len()) {
            Some(rows) if rows > 0 && shape.first() != Some(&rows) => {
                let elements: usize = shape.iter().product();
                if elements.is_multiple_of(rows) { vec![rows, elements / rows] } else { shape }
            }
            _ => shape,
        }
    }

    /// What each LoRA does, in the order in which they were added.
    #[must_use]
    pub fn lora_reports(&self) -> &[LoraReport] {
        &self.loras
    }

    /// What becomes of quantised matrices that a LoRA changes.
    #[must_use]
    pub fn on_quantized(self, on_quantized: OnQuantized) -> Self {
        Self { on_quantized, ..self }
    }

    /// Leaves the file's pages in the process after reading. For small files that are read again and again.
    #[must_use]
    pub fn keep_pages(self, keep_pages: bool) -> Self {
        Self { keep_pages, ..self }
    }

    /// The model's names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// Names of the tensors that LoRAs change, sorted.
    #[must_use]
    pub fn patched(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.patches.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// Stored type and shape of a tensor, without reading it. Parts that are stacked count as one.
    #[must_use]
    pub fn info(&self, name: &str) -> Option<TensorInfo> {
        let parts = self.by_name.get(name)?;
        let mut info = self.source.info(parts.first()?)?;
        for part in &parts[1..] {
            let more = self.source.info(part)?;
            if info.shape.is_empty() || more.shape.get(1..) != info.shape.get(1..) {
                return None;
            }
            info.shape[0] += more.shape[0];
        }
        Some(info)
    }

    /// Bytes that a tensor takes in the file.
    #[must_use]
    pub fn stored_bytes(&self, name: &str) -> u64 {
        let bytes = |part: &String| {
            let info = self.source.info(part)?;
            info.dtype.bytes_for(info.len()).map(|n| n as u64)
        };
        self.by_name.get(name).map_or(0, |parts| parts.iter().filter_map(bytes).sum())
    }

    /// Asks the system to read every tensor whose name begins with `prefix` ahead: `prefetch("blocks.3.")` while
    /// block 2 computes.
    pub fn prefetch(&self, prefix: &str) {
        let from = self.by_name.range(prefix.to_owned()..);
        for (_, parts) in from.take_while(|(name, _)| name.starts_with(prefix)) {
            parts.iter().for_each(|part| self.source.prefetch(part));
        }
    }

    fn note(&self, note: impl FnOnce(&mut Seen)) {
        note(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The file's tensors behind `name`, if they have the shape.
    fn find(&self, name: &str, shape: &[usize]) -> candle_core::Result<&Parts> {
        let (Some(parts), Some(info)) = (self.by_name.get(name), self.info(name)) else {
            self.note(|seen| {
                seen.missing.insert(name.to_owned());
            });
            return Err(candle_core::Error::CannotFindTensor { path: name.to_owned() }.bt());
        };
        if !same_shape(&info.shape, shape) {
            let error = candle_core::Error::UnexpectedShape {
                msg: format!("shape mismatch for {name}"),
                expected: shape.into(),
                got: info.shape.as_slice().into(),
            };
            let (name, expected, found) = (name.to_owned(), shape.to_vec(), info.shape);
            self.note(|seen| {
                seen.misshaped.insert(name.clone(), Misshaped { name, expected, found });
            });
            return Err(error.bt());
        }
        self.note(|seen| {
            seen.loaded.insert(name.to_owned());
        });
        Ok(parts)
    }

    /// One part of a tensor in the file's own shape.
    fn part(&self, part: &str, dtype: DType, device: &Device) -> Result<Tensor> {
        // Asked for as a whole, the bytes come in long reads and not page by page as they are touched.
        self.source.prefetch(part);
        let view = self.source.tensor(part)?;
        let tensor = match self.companions.scale(self.source.as_ref(), part)? {
            Some(scale) => convert::scaled(&view, &scale, dtype, device)?,
            None => convert::tensor(&view, view.shape(), dtype, device)?,
        };
        drop(view);
        if !self.keep_pages {
            self.source.release(part);
        }
        Ok(tensor)
    }

    fn read(
        &self,
        name: &str,
        parts: &Parts,
        shape: &Shape,
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        let patches = self.patches.get(name);
        // LoRA is merged where its factors are: on the CPU.
        let first = if patches.is_some() { &Device::Cpu } else { device };
        let tensor = match &parts[..] {
            [part] => self.part(part, dtype, first)?,
            _ => {
                let parts = parts.iter().map(|p| self.part(p, dtype, first)).collect::<Result<Vec<_>>>()?;
                Tensor::cat(&parts, 0)?
            }
        };
        let tensor = tensor.reshape(shape)?;
        match patches {
            None => Ok(tensor),
            Some(patches) => Ok(apply(tensor, patches)?.to_device(device)?),
        }
    }

    /// Rows of a matrix that is in the file as it is used; `None` where it has to be read as a whole, since it is stacked, changed by
    /// a LoRA, or its rows end within blocks.
    fn read_rows(
        &self,
        name: &str,
        parts: &Parts,
        (n_rows, columns): (usize, usize),
        rows: &[u32],
        dtype: DType,
        device: &Device,
    ) -> Result<Option<Tensor>> {
        let [part] = &parts[..] else { return Ok(None) };
        let view = self.source.tensor(part)?;
        let row_bytes = view.dtype().bytes_for(columns).filter(|n| n * n_rows == view.bytes().len());
        let Some(row_bytes) = row_bytes.filter(|_| !self.patches.contains_key(name)) else { return Ok(None) };
        if let Some(row) = rows.iter().find(|row| **row as usize >= n_rows) {
            let why = format!("row {row} lies outside of a matrix of {n_rows}");
            return Err(candle_core::Error::Msg(why).into());
        }
        let found = rows.iter().flat_map(|row| &view.bytes()[*row as usize * row_bytes..][..row_bytes]);
        let shape = [rows.len(), columns];
        let found = TensorView::new(view.dtype(), shape.to_vec(), found.copied().collect::<Vec<u8>>())?;
        Ok(Some(match self.companions.scale(self.source.as_ref(), part)? {
            Some(scale) => convert::scaled(&found, &scale.of_rows(rows), dtype, device)?,
            None => convert::tensor(&found, &shape, dtype, device)?,
        }))
    }
}

fn to_candle(name: &str) -> impl Fn(Error) -> candle_core::Error {
    move |error| match error {
        Error::Tensor(error) => error,
        other => candle_core::Error::Msg(format!("{name}: {other}")),
    }
}

impl WeightSource for Checkpoint {
    fn dense(&self, name: &str, shape: &Shape, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        let parts = self.find(name, shape.dims())?;
        self.read(name, parts, shape, dtype, device).map_err(to_candle(name))
    }

    fn quantized(
        &self,
        name: &str,
        shape: (usize, usize),
        device: &Device,
    ) -> candle_core::Result<Option<Arc<QTensor>>> {
        let parts = self.find(name, &[shape.0, shape.1])?;
        let [part] = &parts[..] else { return Ok(None) };
        let stored = self.source.info(part).and_then(|i| convert::block_type(i.dtype));
        let Some(blocks) = stored else { return Ok(None) };
        if !self.patches.contains_key(name) {
            let view = self.source.tensor(part).map_err(|e| to_candle(name)(e.into()))?;
            let tensor = convert::blocks(&view, blocks, shape, device)?;
            if !self.keep_pages {
                self.source.release(part);
            }
            return Ok(Some(Arc::new(tensor)));
        }
        if self.on_quantized == OnQuantized::Dense {
            return Ok(None);
        }
        let merged =
            self.read(name, parts, &shape.into(), DType::F32, &Device::Cpu).map_err(to_candle(name))?;
        Ok(Some(Arc::new(QTensor::quantize_onto(&merged, blocks, device)?)))
    }

    fn rows_alone(
        &self,
        name: &str,
        shape: (usize, usize),
        rows: &[u32],
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Option<Tensor>> {
        let parts = self.find(name, &[shape.0, shape.1])?;
        self.read_rows(name, parts, shape, rows, dtype, device).map_err(to_candle(name))
    }

    fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }
}
