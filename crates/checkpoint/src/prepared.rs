//! The transformer's blocks in the form that products read, in files of our own: LoRAs merged, converted or quantised, packed.
//!
//! A streamed model reads each block once a step. From the published files that means to convert it and to merge its LoRAs
//! each time; from prepared ones it means to map them.

use crate::{Error, Manifest, Result, convert};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Shape, Tensor};
use nn::{Packed, PackedForm, WeightSource};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tensorfile::{Dtype, Region, Safetensors, TensorInfo, TensorSource, TensorView, write_safetensors_with};

/// Changes when prepared files are written in another way: older ones aren't found under the new keys.
pub const PREPARED_FORMAT: u32 = 1;

/// The blocks' matrices and how their bytes are to be taken, in a file's metadata.
const FORMS: &str = "forms";

/// What weights are prepared for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreparedFor {
    /// The CPU's products: matrices are packed.
    Cpu,
    /// Another device: matrices are stored as they are copied there.
    Device,
}

/// A matrix as it is stored: its shape, and its form where it is packed.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stored {
    form: Option<PackedForm>,
    shape: (usize, usize),
}

/// Writes the blocks of a model as they are computed with: `tensors` of `blocks.<n>.…`, taken from `source`, a file for each block.
///
/// Matrices are stored in `dtype`, or in the blocks that the source hands out; everything else in f32. Each block's file
/// appears when it is whole, and the folder when all are: what an interrupted call left in `<folder>.part` is taken up.
/// `observer` is told how many blocks are done, of how many.
///
/// # Errors
/// [`Error::Cancelled`] when the observer breaks; when a tensor can't be read, or a file can't be written.
pub fn prepare(
    folder: &Path,
    tensors: &Manifest,
    source: &dyn WeightSource,
    dtype: DType,
    target: PreparedFor,
    observer: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let io = |path: &Path| {
        let path = path.to_owned();
        move |e| Error::File(tensorfile::Error::in_file(&path, tensorfile::Error::Io(e)))
    };
    let part = part_of(folder);
    std::fs::create_dir_all(&part).map_err(io(&part))?;
    let blocks = by_block(tensors)?;
    for (done, (n, tensors)) in blocks.iter().enumerate() {
        if observer(done, blocks.len()).is_break() {
            return Err(Error::Cancelled);
        }
        let path = part.join(file_name(*n));
        if !path.is_file() {
            write_block(&path, tensors, source, dtype, target)?;
        }
    }
    match std::fs::rename(&part, folder) {
        // Another process was there first, with the same contents.
        Err(_) if folder.is_dir() => drop(std::fs::remove_dir_all(&part)),
        renamed => renamed.map_err(io(folder))?,
    }
    let _ = observer(blocks.len(), blocks.len());
    Ok(())
}

/// Bytes that interrupted calls of [`prepare`] have written for a folder.
#[must_use]
pub fn prepared_so_far(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(part_of(folder)).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
}

/// Where a folder grows.
fn part_of(folder: &Path) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    folder.with_file_name(name)
}

fn file_name(block: usize) -> String {
    format!("block-{block:03}.safetensors")
}

type Tensors<'a> = Vec<(&'a str, &'a [usize])>;

/// The blocks' tensors by number.
fn by_block(tensors: &Manifest) -> Result<BTreeMap<usize, Tensors<'_>>> {
    let mut blocks: BTreeMap<usize, Tensors<'_>> = BTreeMap::new();
    for (name, shape) in &tensors.tensors {
        let number = name.strip_prefix("blocks.").and_then(|rest| rest.split_once('.'));
        if let Some((number, _)) = number {
            let number = number.parse().map_err(|_| Error::NotABlock { name: name.clone() })?;
            blocks.entry(number).or_default().push((name, shape));
        }
    }
    Ok(blocks)
}

/// One tensor, ready to be written.
enum Ready {
    Packed(Packed),
    Plain(Tensor),
}

impl Ready {
    fn read(
        (name, shape): (&str, &[usize]),
        source: &dyn WeightSource,
        dtype: DType,
        target: PreparedFor,
    ) -> candle_core::Result<Self> {
        let shape_of = Shape::from(shape);
        let &[rows, columns] = shape else {
            return Ok(Self::Plain(source.dense(name, &shape_of, DType::F32, &Device::Cpu)?));
        };
        if target == PreparedFor::Cpu
            && let Some(packed) = source.packed(name, (rows, columns), dtype)?
        {
            return Ok(Self::Packed(packed));
        }
        if let Some(blocks) = source.quantized(name, (rows, columns), &Device::Cpu)? {
            return Ok(Self::Packed(Packed::blocks(blocks)?));
        }
        let matrix = source.dense(name, &shape_of, dtype, &Device::Cpu)?;
        Ok(match target {
            PreparedFor::Cpu => Self::Packed(Packed::pack(&matrix)?),
            PreparedFor::Device => Self::Plain(matrix),
        })
    }

    fn info(&self) -> Result<TensorInfo> {
        Ok(match self {
            Self::Packed(packed) => TensorInfo { dtype: Dtype::U8, shape: vec![packed.bytes()?.len()] },
            Self::Plain(tensor) => {
                let dtype = if tensor.dtype() == DType::BF16 { Dtype::BF16 } else { Dtype::F32 };
                TensorInfo { dtype, shape: tensor.dims().to_vec() }
            }
        })
    }

    fn bytes(&self) -> Result<Cow<'_, [u8]>> {
        match self {
            Self::Packed(packed) => Ok(packed.bytes()?),
            Self::Plain(tensor) => {
                let flat = tensor.flatten_all()?;
                let bytes: Vec<u8> = match tensor.dtype() {
                    DType::BF16 => {
                        flat.to_vec1::<half::bf16>()?.iter().flat_map(|x| x.to_le_bytes()).collect()
                    }
                    _ => flat.to_vec1::<f32>()?.iter().flat_map(|x| x.to_le_bytes()).collect(),
                };
                Ok(bytes.into())
            }
        }
    }
}

fn write_block(
    path: &Path,
    tensors: &Tensors<'_>,
    source: &dyn WeightSource,
    dtype: DType,
    target: PreparedFor,
) -> Result<()> {
    let mut ready: HashMap<&str, Ready> = HashMap::new();
    for tensor in tensors {
        ready.insert(tensor.0, Ready::read(*tensor, source, dtype, target)?);
    }
    let forms: BTreeMap<&str, (String, usize, usize)> = ready
        .iter()
        .filter_map(|(name, ready)| match ready {
            Ready::Packed(packed) => {
                let (rows, columns) = packed.shape();
                Some((*name, (form_name(packed.form()), rows, columns)))
            }
            Ready::Plain(_) => None,
        })
        .collect();
    let mut infos = Vec::new();
    for (name, _) in tensors {
        infos.push((*name, ready[name].info()?));
    }
    let metadata = [(FORMS.to_owned(), serde_json::json!(forms).to_string())].into();
    let bytes = |name: &str| -> tensorfile::Result<Option<Cow<'_, [u8]>>> {
        let bytes = ready[name].bytes();
        bytes.map(Some).map_err(|e| tensorfile::Error::Io(std::io::Error::other(e)))
    };
    write_safetensors_with(path, &infos, &metadata, |name, _| bytes(name))?;
    Ok(())
}

fn form_name(form: PackedForm) -> String {
    match form {
        PackedForm::F32 => "f32".to_owned(),
        PackedForm::Bf16 => "bf16".to_owned(),
        PackedForm::Int8 => "int8".to_owned(),
        PackedForm::Blocks(dtype) => format!("{dtype:?}"),
    }
}

fn form_of(name: &str) -> Option<PackedForm> {
    use GgmlDType::{Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
    let blocks = [Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2K, Q3K, Q4K, Q5K, Q6K].map(PackedForm::Blocks);
    [PackedForm::F32, PackedForm::Bf16, PackedForm::Int8]
        .into_iter()
        .chain(blocks)
        .find(|form| form_name(*form) == name)
}

/// A model's blocks from the files that [`prepare`] wrote, mapped and multiplied by where they lie.
#[derive(Debug)]
pub struct Prepared {
    folder: PathBuf,
    files: Vec<Safetensors>,
    /// Which file holds a tensor.
    places: HashMap<String, usize>,
    matrices: HashMap<String, Stored>,
}

impl Prepared {
    /// Opens a folder of prepared weights; `None` where there is none, or it isn't finished.
    ///
    /// # Errors
    /// When a file in it is damaged.
    pub fn open(folder: &Path) -> Result<Option<Self>> {
        if !folder.is_dir() {
            return Ok(None);
        }
        let mut files = Vec::new();
        let (mut places, mut matrices) = (HashMap::new(), HashMap::new());
        for n in 0.. {
            let path = folder.join(file_name(n));
            if !path.is_file() {
                break;
            }
            let file = Safetensors::open(&path)?;
            let damaged = || Error::NotPrepared { path: path.clone() };
            let text = file.metadata().get(FORMS).ok_or_else(damaged)?;
            let forms: BTreeMap<String, (String, usize, usize)> =
                serde_json::from_str(text).map_err(|_| damaged())?;
            for name in file.names() {
                places.insert(name.to_owned(), n);
                let info = file.info(name).ok_or_else(damaged)?;
                let stored = match (forms.get(name), &info.shape[..]) {
                    (Some((form, rows, columns)), &[bytes]) => {
                        let (form, shape) = (form_of(form).ok_or_else(damaged)?, (*rows, *columns));
                        if form.byte_len(shape) != Some(bytes) {
                            return Err(damaged());
                        }
                        Stored { form: Some(form), shape }
                    }
                    (None, &[rows, columns]) => Stored { form: None, shape: (rows, columns) },
                    (Some(_), _) => return Err(damaged()),
                    (None, _) => continue,
                };
                matrices.insert(name.to_owned(), stored);
            }
            files.push(file);
        }
        if files.is_empty() {
            return Err(Error::NotPrepared { path: folder.to_owned() });
        }
        Ok(Some(Self { folder: folder.to_owned(), files, places, matrices }))
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let size = |n| std::fs::metadata(self.folder.join(file_name(n))).map_or(0, |meta| meta.len());
        (0..self.files.len()).map(size).sum()
    }

    /// Are matrices in quantised blocks among them?
    #[must_use]
    pub fn is_quantized(&self) -> bool {
        self.matrices.values().any(|stored| matches!(stored.form, Some(PackedForm::Blocks(_))))
    }

    fn file(&self, name: &str) -> candle_core::Result<&Safetensors> {
        let place = self.places.get(name).and_then(|n| self.files.get(*n));
        place.ok_or_else(|| candle_core::Error::CannotFindTensor { path: name.to_owned() }.bt())
    }

    fn matrix(&self, name: &str, shape: (usize, usize)) -> candle_core::Result<Stored> {
        self.file(name)?;
        match self.matrices.get(name) {
            Some(stored) if stored.shape == shape => Ok(*stored),
            found => {
                let found = found.map_or_else(|| ().into(), |stored| stored.shape.into());
                Err(self.misshaped(name, shape.into(), found))
            }
        }
    }

    fn misshaped(&self, name: &str, expected: Shape, got: Shape) -> candle_core::Error {
        let msg = format!("shape mismatch for {name} in {}", self.folder.display());
        candle_core::Error::UnexpectedShape { msg, expected, got }.bt()
    }

    fn region(&self, name: &str) -> candle_core::Result<Region> {
        let region = self.file(name)?.region(name).map_err(candle_core::Error::wrap)?;
        // In the thread that reads ahead, so that the one that computes never waits for a page.
        region.read_now();
        Ok(region)
    }
}

impl WeightSource for Prepared {
    fn dense(&self, name: &str, shape: &Shape, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        let file = self.file(name)?;
        let view = file.tensor(name).map_err(candle_core::Error::wrap)?;
        if view.shape() != shape.dims() {
            return Err(self.misshaped(name, shape.clone(), view.shape().into()));
        }
        let tensor = convert::tensor(&view, view.shape(), dtype, device)?;
        file.release(name);
        Ok(tensor)
    }

    fn quantized(
        &self,
        name: &str,
        shape: (usize, usize),
        device: &Device,
    ) -> candle_core::Result<Option<Arc<QTensor>>> {
        let Some(PackedForm::Blocks(dtype)) = self.matrix(name, shape)?.form else { return Ok(None) };
        let region = self.region(name)?;
        let view =
            TensorView::new(Dtype::U8, vec![region.len()], &region[..]).map_err(candle_core::Error::wrap)?;
        Ok(Some(Arc::new(convert::blocks(&view, dtype, shape, device)?)))
    }

    fn packed(&self, name: &str, shape: (usize, usize), dtype: DType) -> candle_core::Result<Option<Packed>> {
        let Some(form) = self.matrix(name, shape)?.form else { return Ok(None) };
        let fits = match form {
            PackedForm::F32 => dtype == DType::F32,
            PackedForm::Bf16 => dtype == DType::BF16,
            PackedForm::Int8 | PackedForm::Blocks(_) => true,
        };
        if !fits {
            candle_core::bail!("{name} was prepared in {}, not in {dtype:?}", form_name(form));
        }
        Packed::shared(form, shape, Arc::new(self.region(name)?)).map(Some)
    }

    fn contains(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }
}
