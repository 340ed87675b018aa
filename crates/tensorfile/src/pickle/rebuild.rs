//! The functions that a pickle may name: what rebuilds tensors, arrays and dictionaries.

use super::PickleError;
use super::file::Legacy;
use super::machine::{Declared, Id, InlineStorage, Machine, Node, StorageRef};
use super::tensor::TensorRef;
use crate::npy::NpyHeader;
use crate::{Dtype, TensorView};
use std::borrow::Cow;
use std::sync::Arc;

type Result<T> = std::result::Result<T, PickleError>;

/// PyTorch's element types, by their global name.
pub(super) fn torch_dtype(global: &str) -> Option<Dtype> {
    Some(match global.strip_prefix("torch.")? {
        "bool" => Dtype::Bool,
        "uint8" => Dtype::U8,
        "int8" => Dtype::I8,
        "uint16" => Dtype::U16,
        "int16" => Dtype::I16,
        "uint32" => Dtype::U32,
        "int32" => Dtype::I32,
        "uint64" => Dtype::U64,
        "int64" => Dtype::I64,
        "float8_e4m3fn" => Dtype::F8E4M3,
        "float8_e5m2" => Dtype::F8E5M2,
        "float8_e8m0fnu" => Dtype::F8E8M0,
        "float16" => Dtype::F16,
        "bfloat16" => Dtype::BF16,
        "float32" => Dtype::F32,
        "float64" => Dtype::F64,
        _ => return None,
    })
}

/// Classes of tensors that are plain data.
const TENSOR_CLASSES: [&str; 5] = [
    "torch.Tensor",
    "torch.nn.parameter.Parameter",
    "torch.nn.Parameter",
    "torch.nn.parameter.Buffer",
    "torch.nn.Buffer",
];

/// What the names of a TorchScript archive's classes begin with.
const TORCHSCRIPT: &str = "__torch__.";

/// PyTorch's typed storages, and `None` for the untyped one.
fn storage_dtype(global: &str) -> Option<Option<Dtype>> {
    Some(Some(match global {
        "torch.BoolStorage" => Dtype::Bool,
        "torch.ByteStorage" => Dtype::U8,
        "torch.CharStorage" => Dtype::I8,
        "torch.ShortStorage" => Dtype::I16,
        "torch.IntStorage" => Dtype::I32,
        "torch.LongStorage" => Dtype::I64,
        "torch.HalfStorage" => Dtype::F16,
        "torch.BFloat16Storage" => Dtype::BF16,
        "torch.FloatStorage" => Dtype::F32,
        "torch.DoubleStorage" => Dtype::F64,
        "torch.UntypedStorage" | "torch.storage.UntypedStorage" => return Some(None),
        _ => return None,
    }))
}

impl Machine<'_> {
    fn items(&self, id: Id) -> Option<&[Id]> {
        match &self.nodes[id] {
            Node::Tuple(items) | Node::List(items) => Some(items),
            _ => None,
        }
    }

    fn size(&self, id: Id) -> Option<usize> {
        match self.nodes[id] {
            Node::Int(n) => usize::try_from(n).ok(),
            _ => None,
        }
    }

    pub(super) fn sizes(&self, id: Id) -> Option<Vec<usize>> {
        self.items(id)?.iter().map(|&i| self.size(i)).collect()
    }

    pub(super) fn text_of(&self, id: Id) -> Option<&str> {
        match &self.nodes[id] {
            Node::Str(text) => Some(text),
            _ => None,
        }
    }

    fn bytes_of(&self, id: Id) -> Option<&[u8]> {
        match &self.nodes[id] {
            Node::Bytes(bytes) => Some(bytes),
            Node::Str(text) => Some(text.as_bytes()),
            _ => None,
        }
    }

    /// What a copy of an object's own bytes or items takes.
    fn weight(&self, id: Id) -> usize {
        match &self.nodes[id] {
            Node::Str(text) => text.len(),
            Node::Bytes(bytes) => bytes.len(),
            Node::List(items) | Node::Tuple(items) => items.len() * size_of::<Id>(),
            Node::Dict(entries) => entries.len() * 2 * size_of::<Id>(),
            _ => 0,
        }
    }

    /// REDUCE and NEWOBJ.
    pub(super) fn call(&mut self, function: Id, arguments: Id) -> Result<()> {
        let Node::Global(name) = &self.nodes[function] else {
            return Err(self.broken("it calls what isn't a function"));
        };
        let name = name.clone();
        let wrong = || PickleError::Arguments { function: name.clone() };
        let args = self.items(arguments).ok_or_else(wrong)?.to_vec();
        let copied = args.iter().map(|&a| self.weight(a)).sum::<usize>() + args.len();
        self.charge(copied)?;
        let node = match name.as_str() {
            "torch._utils._rebuild_tensor"
            | "torch._utils._rebuild_tensor_v2"
            | "torch._utils._rebuild_tensor_v3" => self.tensor(&name, &args).ok_or_else(wrong)?,
            "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state" => {
                match args.first().map(|&t| &self.nodes[t]) {
                    Some(tensor @ Node::Tensor(_)) => tensor.clone(),
                    _ => return Err(wrong()),
                }
            }
            // A tensor with attributes of its own, (function, class, arguments, attributes): the attributes aren't data.
            "torch._tensor._rebuild_from_type_v2" | "torch._tensor._rebuild_from_type" => {
                let [inner, class, inner_args, ..] = args[..] else { return Err(wrong()) };
                let (Node::Global(inner_name), Node::Global(class)) =
                    (&self.nodes[inner], &self.nodes[class])
                else {
                    return Err(wrong());
                };
                if !TENSOR_CLASSES.contains(&class.as_str()) {
                    return Err(PickleError::Forbidden { global: class.clone() });
                }
                if !inner_name.starts_with("torch._utils._rebuild_") {
                    return Err(PickleError::Forbidden { global: inner_name.clone() });
                }
                return self.call(inner, inner_args);
            }
            "torch.Size" | "builtins.tuple" | "__builtin__.tuple" => match args[..] {
                [] => Node::Tuple(Vec::new()),
                [items] => Node::Tuple(self.items(items).ok_or_else(wrong)?.to_vec()),
                _ => return Err(wrong()),
            },
            "torch.device" => {
                Node::Str(args.first().and_then(|&a| self.text_of(a)).ok_or_else(wrong)?.to_owned())
            }
            "collections.OrderedDict" | "builtins.dict" | "__builtin__.dict" => {
                Node::Dict(self.dict(&args).ok_or_else(wrong)?)
            }
            // Its argument makes absent entries; what is there follows one by one.
            "collections.defaultdict" => Node::Dict(Vec::new()),
            "builtins.set" | "__builtin__.set" | "builtins.frozenset" | "builtins.list" => match args[..] {
                [] => Node::List(Vec::new()),
                [items] => Node::List(self.items(items).ok_or_else(wrong)?.to_vec()),
                _ => return Err(wrong()),
            },
            "_codecs.encode" => Node::Bytes(self.latin1(&args).ok_or_else(wrong)?),
            "numpy.dtype" => {
                let kind = args.first().and_then(|&a| self.text_of(a)).ok_or_else(wrong)?;
                Node::NumpyType(format!("|{kind}"))
            }
            "numpy.core.multiarray.scalar" | "numpy._core.multiarray.scalar" => {
                self.numpy_scalar(&args).ok_or_else(wrong)?
            }
            "numpy.core.multiarray._reconstruct" | "numpy._core.multiarray._reconstruct" => Node::NumpyArray,
            // TorchScript's typed lists, and a value with its type as text.
            "torch.jit._pickle.build_intlist"
            | "torch.jit._pickle.build_doublelist"
            | "torch.jit._pickle.build_boollist"
            | "torch.jit._pickle.build_tensorlist" => match args[..] {
                [items] => Node::List(self.items(items).ok_or_else(wrong)?.to_vec()),
                _ => return Err(wrong()),
            },
            "torch.jit._pickle.restore_type_tag" => match args[..] {
                [value, _] => {
                    self.charge(self.weight(value))?;
                    self.nodes[value].clone()
                }
                _ => return Err(wrong()),
            },
            class if class.starts_with(TORCHSCRIPT) && args.is_empty() => Node::Object(None),
            "numpy.core.numeric._frombuffer" | "numpy._core.numeric._frombuffer" => {
                self.array_of_buffer(&args).ok_or_else(wrong)?
            }
            "torch.storage._load_from_bytes" => {
                let [bytes] = args[..] else { return Err(wrong()) };
                self.storage_of_bytes(bytes)?.ok_or_else(wrong)?
            }
            super::joblib::WRAPPER => Node::JoblibArray,
            _ => return Err(PickleError::Forbidden { global: name }),
        };
        self.push(node)
    }

    /// BUILD: gives an object its state. Dictionaries and tensors lose theirs (`_metadata`, hooks): it isn't data.
    pub(super) fn build(&mut self, state: Id) -> Result<()> {
        let Some(object) = self.top_id() else {
            return Err(self.broken("the stack is empty"));
        };
        let copied = self.items(state).map_or(0, |s| s.iter().map(|&i| self.weight(i)).sum());
        self.charge(copied)?;
        let built = match &self.nodes[object] {
            Node::Dict(_) | Node::Tensor(_) => return Ok(()),
            Node::Object(None) => Some(Node::Object(Some(state))),
            Node::Object(Some(_)) => return Err(self.broken("it gives an object a second state")),
            Node::NumpyType(descr) => {
                let order = self.items(state).and_then(|s| self.text_of(*s.get(1)?));
                order.map(|order| Node::NumpyType(format!("{order}{}", &descr[1..])))
            }
            Node::NumpyArray => self.numpy_array(state),
            Node::JoblibArray => Some(self.joblib_array(state)?),
            Node::Global(global) => return Err(PickleError::Forbidden { global: global.clone() }),
            _ => return Err(self.broken("it gives a state to what has none")),
        };
        match built {
            Some(node) => self.nodes[object] = node,
            None => return Err(PickleError::Arguments { function: "a NumPy object's state".to_owned() }),
        }
        Ok(())
    }

    fn dict(&self, args: &[Id]) -> Option<Vec<(Id, Id)>> {
        match *args {
            [] => Some(Vec::new()),
            [pairs] => match &self.nodes[pairs] {
                Node::Dict(entries) => Some(entries.clone()),
                _ => self
                    .items(pairs)?
                    .iter()
                    .map(|&pair| match *self.items(pair)? {
                        [key, value] => Some((key, value)),
                        _ => None,
                    })
                    .collect(),
            },
            _ => None,
        }
    }

    /// `_codecs.encode(text, "latin1")`: how Python 3 writes bytes into protocol 2.
    fn latin1(&self, args: &[Id]) -> Option<Vec<u8>> {
        let [text, encoding] = *args else { return None };
        matches!(self.text_of(encoding)?, "latin1" | "latin-1").then_some(())?;
        self.text_of(text)?.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
    }

    /// `(storage, offset, size, stride, requires_grad, hooks[, dtype])`.
    fn tensor(&self, function: &str, args: &[Id]) -> Option<Node> {
        let [storage, offset, shape, strides, ..] = *args else { return None };
        if let Node::BytesStorage(inline) = &self.nodes[storage] {
            return self.inline_tensor(&Arc::clone(inline), offset, shape, strides);
        }
        let Node::Storage(storage) = self.nodes[storage] else { return None };
        let (shape, strides) = (self.sizes(shape)?, self.sizes(strides)?);
        if shape.len() != strides.len() || shape.len() > 32 {
            return None;
        }
        let dtype = if function.ends_with("_v3") {
            match &self.nodes[*args.get(6)?] {
                Node::Global(name) => torch_dtype(name)?,
                _ => return None,
            }
        } else {
            storage.dtype?
        };
        let offset = self.size(offset)?.checked_add(storage.offset)?;
        let tensor = TensorRef { dtype, shape, strides, offset, storage: storage.index };
        Some(Node::Tensor(Box::new(tensor)))
    }

    /// A tensor of a storage that is here already, as an array.
    fn inline_tensor(&self, storage: &InlineStorage, offset: Id, shape: Id, strides: Id) -> Option<Node> {
        let (offset, shape, strides) = (self.size(offset)?, self.sizes(shape)?, self.sizes(strides)?);
        if shape.len() != strides.len() || shape.len() > 32 {
            return None;
        }
        let tensor = TensorRef { dtype: storage.dtype?, shape, strides, offset, storage: 0 };
        tensor.check(storage.bytes.len(), storage.bytes.len()).ok()?;
        let view = tensor.view(&storage.bytes, storage.big_endian)?;
        let (dtype, shape) = (view.dtype(), view.shape().to_vec());
        let whole = TensorView::new(dtype, shape, view.bytes().to_vec()).ok()?;
        Some(Node::Array(Arc::new(whole)))
    }

    /// A storage that `torch.save` wrote into bytes, in its older format.
    fn storage_of_bytes(&mut self, bytes: Id) -> Result<Option<Node>> {
        let Some(bytes) = self.bytes_of(bytes).map(<[u8]>::to_vec) else { return Ok(None) };
        self.enter()?;
        let mut first = Machine::nested(&bytes, 0, self.depth);
        let id = first.run()?;
        if !first.is_magic(id) {
            return Ok(None);
        }
        let legacy = Legacy::read(&bytes, first.position(), self.depth)?;
        self.depth -= 1;
        let Node::Storage(storage) = legacy.machine.nodes[legacy.root] else { return Ok(None) };
        let range = legacy.storages[storage.index].clone();
        self.charge(range.len())?;
        let (dtype, bytes) = (storage.dtype, bytes[range].to_vec());
        let inline = InlineStorage { dtype, bytes, big_endian: legacy.big_endian };
        Ok((storage.offset == 0).then(|| Node::BytesStorage(Arc::new(inline))))
    }

    /// BINPERSID: `("storage", type, key, location, elements[, view])`.
    pub(super) fn persistent(&mut self, id: Id) -> Result<()> {
        let wrong = || PickleError::Arguments { function: "a persistent storage".to_owned() };
        let args = self.items(id).ok_or_else(wrong)?.to_vec();
        let (&[tag, kind, key, _location, elements], view) =
            args.split_first_chunk::<5>().ok_or_else(wrong)?;
        let Node::Global(kind) = &self.nodes[kind] else { return Err(wrong()) };
        let dtype = storage_dtype(kind).ok_or_else(|| PickleError::StorageType { name: kind.clone() })?;
        let (Some("storage"), Some(key), Some(elements)) =
            (self.text_of(tag), self.text_of(key), self.size(elements))
        else {
            return Err(wrong());
        };
        let declared = Declared { key: key.to_owned(), dtype, elements: elements as u64 };
        // Old files: (key of the view, first element, elements), or None.
        let offset = match view.first().map(|&v| &self.nodes[v]) {
            None | Some(Node::None) => 0,
            Some(Node::Tuple(parts)) => parts.get(1).and_then(|&o| self.size(o)).ok_or_else(wrong)?,
            Some(_) => return Err(wrong()),
        };
        let index = match self.storage_by_key.get(&declared.key) {
            Some(&index) if self.storages[index] == declared => index,
            Some(_) => return Err(wrong()),
            None => {
                self.storage_by_key.insert(declared.key.clone(), self.storages.len());
                self.storages.push(declared);
                self.storages.len() - 1
            }
        };
        self.push(Node::Storage(StorageRef { index, offset, dtype }))
    }

    /// `(buffer, type, shape, order)`: an array in protocol 5.
    fn array_of_buffer(&self, args: &[Id]) -> Option<Node> {
        let [buffer, kind, shape, order] = *args else { return None };
        let Node::NumpyType(descr) = &self.nodes[kind] else { return None };
        let fortran = self.text_of(order)? == "F";
        let header = numpy_header(descr, fortran, self.sizes(shape)?);
        let view = crate::npy::elements(&header, Cow::Owned(self.bytes_of(buffer)?.to_vec())).ok()?;
        Some(Node::Array(Arc::new(view)))
    }

    fn numpy_scalar(&self, args: &[Id]) -> Option<Node> {
        let [kind, bytes] = *args else { return None };
        let Node::NumpyType(descr) = &self.nodes[kind] else { return None };
        let header = numpy_header(descr, false, Vec::new());
        let view = crate::npy::elements(&header, Cow::Borrowed(self.bytes_of(bytes)?)).ok()?;
        Some(match view.dtype() {
            Dtype::Bool => Node::Bool(*view.bytes().first()? != 0),
            dtype if dtype.is_integer() => Node::Int(*view.to_i64().ok()?.first()?),
            _ => Node::Float(*view.to_f64().first()?),
        })
    }

    /// `(version, shape, type, fortran_order, bytes)`.
    fn numpy_array(&self, state: Id) -> Option<Node> {
        let [_, shape, kind, fortran, bytes] = *self.items(state)? else { return None };
        let Node::NumpyType(descr) = &self.nodes[kind] else { return None };
        if is_object(descr) {
            return Some(Node::List(self.items(bytes)?.to_vec()));
        }
        let Node::Bool(fortran) = self.nodes[fortran] else { return None };
        let header = numpy_header(descr, fortran, self.sizes(shape)?);
        let data = self.bytes_of(bytes)?.to_vec();
        let view = crate::npy::elements(&header, Cow::Owned(data)).ok()?;
        Some(Node::Array(Arc::new(view)))
    }
}

/// Is that NumPy's type of Python objects?
pub(super) fn is_object(descr: &str) -> bool {
    descr.trim_start_matches(['|', '<', '>', '=']).starts_with('O')
}

pub(super) fn numpy_header(descr: &str, fortran_order: bool, shape: Vec<usize>) -> NpyHeader {
    NpyHeader { descr: descr.to_owned(), fortran_order, shape, data_start: 0 }
}
