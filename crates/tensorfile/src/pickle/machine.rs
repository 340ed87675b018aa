//! The stack machine: instructions of pickle protocols 0 to 5 that build data.

use super::tensor::TensorRef;
use super::{PickleError, Value};
use crate::{Dtype, TensorView};
use std::collections::HashMap;
use std::sync::Arc;

type Result<T> = std::result::Result<T, PickleError>;

/// Index of an object in the machine's arena. Objects refer to each other by index, so that the same list can be
/// on the stack, in the memo and in another list while it grows.
pub(super) type Id = usize;

/// Most objects that a pickle may build. Real checkpoints build some ten thousand.
const MAX_OBJECTS: usize = 4_000_000;
/// Deepest nesting that is turned into a [`Value`].
const MAX_DEPTH: usize = 64;

/// Bytes that the calls of a pickle of `len` bytes may copy: real ones copy each array once or twice.
fn copy_budget(len: usize) -> usize {
    len.saturating_mul(16).min(len.saturating_mul(2) + (64 << 20)) + (64 << 10)
}

/// Bytes that the tree of a pickle of `len` bytes may take. Every object takes at least one byte of pickle, so that only
/// the repetition of memoised objects can exceed this, and that is real (keys of optimiser states) in small
/// amounts only.
fn tree_budget(len: usize) -> usize {
    len.saturating_mul(size_of::<Value>()).min(256 << 20) + (1 << 20)
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    None,
    Bool(bool),
    Int(i64),
    /// A whole number beyond 64 bits, little-endian two's complement.
    Long(Vec<u8>),
    Float(f64),
    Str(String),
    Bytes(Vec<u8>),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Global(String),
    Storage(StorageRef),
    Tensor(Box<TensorRef>),
    /// NumPy's element type: its description with the byte order in front.
    NumpyType(String),
    /// An array that still waits for its state.
    NumpyArray,
    Array(Arc<TensorView<'static>>),
}

/// A storage, or (in old files) a window on one.
#[derive(Clone, Copy, Debug)]
pub(super) struct StorageRef {
    pub(super) index: usize,
    /// First element of the window.
    pub(super) offset: usize,
    /// `None` for untyped storages: the tensor says.
    pub(super) dtype: Option<Dtype>,
}

/// A storage that the pickle speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Declared {
    pub(super) key: String,
    pub(super) dtype: Option<Dtype>,
    /// Elements, or bytes for untyped storages.
    pub(super) elements: u64,
}

/// One run of the machine over one pickle. Storages are kept over several pickles of a file.
#[derive(Debug)]
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    pub(super) nodes: Vec<Node>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
    /// Bytes that calls may still copy.
    copies_left: usize,
    pub(super) storages: Vec<Declared>,
    pub(super) storage_by_key: HashMap<String, usize>,
}

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self {
            bytes,
            at,
            nodes: vec![Node::None, Node::Bool(false), Node::Bool(true), Node::Tuple(Vec::new())],
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            copies_left: copy_budget(bytes.len()),
            storages: Vec::new(),
            storage_by_key: HashMap::new(),
        }
    }

    /// Where the pickle ended.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn broken(&self, what: &'static str) -> PickleError {
        PickleError::Broken { at: self.at, what }
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8]> {
        let end = usize::try_from(len).ok().and_then(|len| self.at.checked_add(len));
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or(PickleError::Truncated { at: self.at })?;
        self.at += taken.len();
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let at = self.at;
        self.take(N as u64)?.try_into().map_err(|_| PickleError::Truncated { at })
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u64> {
        Ok(u32::from_le_bytes(self.array()?).into())
    }

    fn line(&mut self) -> Result<&'a str> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|&b| b == b'\n').ok_or(PickleError::Truncated { at: self.at })?;
        self.at += end + 1;
        std::str::from_utf8(&rest[..end]).map_err(|_| self.broken("text isn't UTF-8"))
    }

    pub(super) fn push(&mut self, node: Node) -> Result<()> {
        let id = match node {
            Node::None => 0,
            Node::Bool(false) => 1,
            Node::Bool(true) => 2,
            Node::Tuple(ref items) if items.is_empty() => 3,
            node => {
                if self.nodes.len() >= MAX_OBJECTS {
                    return Err(PickleError::TooMuch { what: "objects", limit: MAX_OBJECTS });
                }
                self.nodes.push(node);
                self.nodes.len() - 1
            }
        };
        self.stack.push(id);
        Ok(())
    }

    fn pop(&mut self) -> Result<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(self.broken("the stack is empty"));
        }
        self.stack.pop().ok_or_else(|| self.broken("the stack is empty"))
    }

    fn top(&self) -> Result<Id> {
        self.stack.last().copied().ok_or_else(|| self.broken("the stack is empty"))
    }

    pub(super) fn top_id(&self) -> Option<Id> {
        self.stack.last().copied()
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().ok_or_else(|| self.broken("there is no mark"))?;
        if mark > self.stack.len() {
            return Err(self.broken("there is no mark"));
        }
        Ok(self.stack.split_off(mark))
    }

    /// Runs to the end of the pickle and hands out its object.
    pub(super) fn run(&mut self) -> Result<Id> {
        loop {
            let at = self.at;
            let opcode = self.byte()?;
            if opcode == b'.' {
                return self.pop();
            }
            if !(self.numbers_and_text(opcode)?
                || self.collections(opcode)?
                || self.memo_and_calls(opcode)?)
            {
                return Err(PickleError::Opcode { opcode, at });
            }
        }
    }

    fn text(&mut self, len: u64) -> Result<()> {
        let bytes = self.take(len)?;
        let text = std::str::from_utf8(bytes).map_err(|_| self.broken("text isn't UTF-8"))?;
        self.push(Node::Str(text.to_owned()))
    }

    /// Python 2's strings: text where they are UTF-8.
    fn old_text(&mut self, len: u64) -> Result<()> {
        let bytes = self.take(len)?.to_vec();
        self.push(String::from_utf8(bytes).map_or_else(|e| Node::Bytes(e.into_bytes()), Node::Str))
    }

    fn raw(&mut self, len: u64) -> Result<()> {
        let bytes = self.take(len)?.to_vec();
        self.push(Node::Bytes(bytes))
    }

    fn long(&mut self, len: u64) -> Result<()> {
        let bytes = self.take(len)?;
        let negative = bytes.last().is_some_and(|b| b & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        if bytes.len() <= 8 {
            wide[..bytes.len()].copy_from_slice(bytes);
            return self.push(Node::Int(i64::from_le_bytes(wide)));
        }
        self.push(Node::Long(bytes.to_vec()))
    }

    fn numbers_and_text(&mut self, opcode: u8) -> Result<bool> {
        match opcode {
            b'N' => self.push(Node::None)?,
            0x88 => self.push(Node::Bool(true))?,
            0x89 => self.push(Node::Bool(false))?,
            b'J' => {
                let n = i32::from_le_bytes(self.array()?);
                self.push(Node::Int(n.into()))?;
            }
            b'K' => {
                let n = self.byte()?;
                self.push(Node::Int(n.into()))?;
            }
            b'M' => {
                let n = u16::from_le_bytes(self.array()?);
                self.push(Node::Int(n.into()))?;
            }
            b'I' | b'L' => {
                let node = match self.line()? {
                    "00" if opcode == b'I' => Node::Bool(false),
                    "01" if opcode == b'I' => Node::Bool(true),
                    text => Node::Int(
                        text.trim_end_matches('L')
                            .parse()
                            .map_err(|_| self.broken("a number can't be read"))?,
                    ),
                };
                self.push(node)?;
            }
            0x8a => {
                let len = self.byte()?;
                self.long(len.into())?;
            }
            0x8b => {
                let len = self.u32()?;
                self.long(len)?;
            }
            b'F' => {
                let x = self.line()?.parse().map_err(|_| self.broken("a number can't be read"))?;
                self.push(Node::Float(x))?;
            }
            b'G' => {
                let x = f64::from_be_bytes(self.array()?);
                self.push(Node::Float(x))?;
            }
            b'V' | b'S' => {
                let line = self.line()?;
                let quoted = line.len() >= 2 && line.starts_with(['\'', '"']) && line.ends_with(['\'', '"']);
                let text = if opcode == b'S' && quoted { &line[1..line.len() - 1] } else { line };
                if text.contains('\\') {
                    return Err(self.broken("text with escapes in protocol 0 isn't supported"));
                }
                self.push(Node::Str(text.to_owned()))?;
            }
            b'X' => {
                let len = self.u32()?;
                self.text(len)?;
            }
            0x8c => {
                let len = self.byte()?;
                self.text(len.into())?;
            }
            0x8d => {
                let len = u64::from_le_bytes(self.array()?);
                self.text(len)?;
            }
            b'T' => {
                let len = self.u32()?;
                self.old_text(len)?;
            }
            b'U' => {
                let len = self.byte()?;
                self.old_text(len.into())?;
            }
            b'B' => {
                let len = self.u32()?;
                self.raw(len)?;
            }
            b'C' => {
                let len = self.byte()?;
                self.raw(len.into())?;
            }
            0x8e | 0x96 => {
                let len = u64::from_le_bytes(self.array()?);
                self.raw(len)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn collections(&mut self, opcode: u8) -> Result<bool> {
        match opcode {
            b'(' => self.marks.push(self.stack.len()),
            b']' | 0x8f => self.push(Node::List(Vec::new()))?,
            b'}' => self.push(Node::Dict(Vec::new()))?,
            b')' => self.push(Node::Tuple(Vec::new()))?,
            b'l' | 0x91 => {
                let items = self.pop_mark()?;
                self.push(Node::List(items))?;
            }
            b't' => {
                let items = self.pop_mark()?;
                self.push(Node::Tuple(items))?;
            }
            b'd' => {
                let items = self.pop_mark()?;
                let entries = self.pairs(&items)?;
                self.push(Node::Dict(entries))?;
            }
            0x85..=0x87 => {
                let mut items = Vec::new();
                for _ in 0x84..opcode {
                    items.insert(0, self.pop()?);
                }
                self.push(Node::Tuple(items))?;
            }
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_mark()?;
                self.append(&items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set_items(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.set_items(&items)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn pairs(&self, items: &[Id]) -> Result<Vec<(Id, Id)>> {
        let (pairs, rest) = items.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.broken("a dictionary has a key without a value"));
        }
        Ok(pairs.iter().map(|&[k, v]| (k, v)).collect())
    }

    fn append(&mut self, items: &[Id]) -> Result<()> {
        let list = self.top()?;
        match &mut self.nodes[list] {
            Node::List(old) => old.extend_from_slice(items),
            _ => return Err(self.broken("something is appended to what isn't a list")),
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[Id]) -> Result<()> {
        let entries = self.pairs(items)?;
        let dict = self.top()?;
        match &mut self.nodes[dict] {
            Node::Dict(old) => old.extend(entries),
            _ => return Err(self.broken("an entry is set in what isn't a dictionary")),
        }
        Ok(())
    }

    fn memo_and_calls(&mut self, opcode: u8) -> Result<bool> {
        match opcode {
            0x80 => {
                if self.byte()? > 5 {
                    return Err(self.broken("the protocol is newer than 5"));
                }
            }
            0x95 => {
                // A frame's length is advice for streaming readers.
                self.array::<8>()?;
            }
            b'0' => {
                self.pop()?;
            }
            b'1' => {
                self.pop_mark()?;
            }
            b'2' => self.stack.push(self.top()?),
            b'p' | b'q' | b'r' | 0x94 => {
                let slot = match opcode {
                    b'p' => self.slot()?,
                    b'q' => self.byte()?.into(),
                    b'r' => self.u32()?,
                    _ => self.memo.len() as u64,
                };
                let top = self.top()?;
                self.memo.insert(slot, top);
            }
            b'g' | b'h' | b'j' => {
                let slot = match opcode {
                    b'g' => self.slot()?,
                    b'h' => self.byte()?.into(),
                    _ => self.u32()?,
                };
                let id =
                    *self.memo.get(&slot).ok_or_else(|| self.broken("it recalls what it never stored"))?;
                self.stack.push(id);
            }
            b'c' => {
                let module = self.line()?;
                let name = self.line()?;
                self.push(Node::Global(format!("{module}.{name}")))?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Node::Str(module), Node::Str(name)) = (&self.nodes[module], &self.nodes[name]) else {
                    return Err(self.broken("a global's name isn't text"));
                };
                let global = format!("{module}.{name}");
                self.push(Node::Global(global))?;
            }
            b'R' | 0x81 => {
                let (arguments, function) = (self.pop()?, self.pop()?);
                self.call(function, arguments)?;
            }
            b'b' => {
                let state = self.pop()?;
                self.build(state)?;
            }
            b'Q' => {
                let id = self.pop()?;
                self.persistent(id)?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn slot(&mut self) -> Result<u64> {
        self.line()?.parse().map_err(|_| self.broken("a memo index can't be read"))
    }

    /// Accounts for a copy of `bytes` bytes, so that a memoised object can't be copied without end.
    pub(super) fn charge(&mut self, bytes: usize) -> Result<()> {
        let limit = copy_budget(self.bytes.len());
        let left = self.copies_left.checked_sub(bytes);
        self.copies_left = left.ok_or(PickleError::TooMuch { what: "bytes of copies", limit })?;
        Ok(())
    }

    /// The object as a tree.
    pub(super) fn value(&self, id: Id) -> Result<Value> {
        let limit = tree_budget(self.bytes.len());
        self.tree(id, 0, &mut limit.clone(), limit)
    }

    fn tree(&self, id: Id, depth: usize, left: &mut usize, limit: usize) -> Result<Value> {
        if depth > MAX_DEPTH {
            return Err(PickleError::TooMuch { what: "levels", limit: MAX_DEPTH });
        }
        let node = &self.nodes[id];
        let own = match node {
            Node::Str(text) => text.len(),
            Node::Bytes(bytes) => bytes.len(),
            Node::Tensor(tensor) => size_of::<TensorRef>() + 16 * tensor.shape.len(),
            _ => 0,
        };
        *left = left
            .checked_sub(size_of::<Value>() + own)
            .ok_or(PickleError::TooMuch { what: "bytes of objects", limit })?;
        let mut items = |ids: &[Id]| {
            ids.iter().map(|&i| self.tree(i, depth + 1, left, limit)).collect::<Result<Vec<_>>>()
        };
        Ok(match node {
            Node::None => Value::None,
            Node::Bool(x) => Value::Bool(*x),
            Node::Int(x) => Value::Int(*x),
            // Beyond 64 bits nothing but a magic number is known; keep its bytes.
            Node::Long(bytes) => Value::Bytes(bytes.clone()),
            Node::Float(x) => Value::Float(*x),
            Node::Str(text) => Value::Str(text.clone()),
            Node::Bytes(bytes) => Value::Bytes(bytes.clone()),
            Node::List(ids) => Value::List(items(ids)?),
            Node::Tuple(ids) => Value::Tuple(items(ids)?),
            Node::Dict(entries) => {
                let mut out = Vec::new();
                for &(k, v) in entries {
                    out.push((self.tree(k, depth + 1, left, limit)?, self.tree(v, depth + 1, left, limit)?));
                }
                Value::Dict(out)
            }
            Node::Tensor(tensor) => Value::Tensor(tensor.clone()),
            Node::Array(array) => Value::Array(Arc::clone(array)),
            // An element type as data ("dtype": torch.float16) is harmless: its name.
            Node::Global(name) if super::rebuild::torch_dtype(name).is_some() => Value::Str(name.clone()),
            Node::NumpyType(descr) => Value::Str(descr.clone()),
            Node::Global(name) => return Err(PickleError::Forbidden { global: name.clone() }),
            Node::Storage(_) => {
                return Err(PickleError::Forbidden { global: "a storage without a tensor".to_owned() });
            }
            Node::NumpyArray => {
                return Err(PickleError::Arguments { function: "numpy.ndarray".to_owned() });
            }
        })
    }
}
