//! The stack machine: instructions of pickle protocols 0 to 5 that build data.

mod numbers;
mod tree;

use super::PickleError;
use super::tensor::TensorRef;
use crate::{Dtype, TensorView};
use std::collections::HashMap;
use std::sync::Arc;

type Result<T> = std::result::Result<T, PickleError>;

/// Index of an object in the machine's arena. Objects refer to each other by index, so that the same list can be
/// on the stack, in the memo and in another list while it grows.
pub(super) type Id = usize;

/// Most objects that a pickle may build. Real checkpoints build some ten thousand.
const MAX_OBJECTS: usize = 4_000_000;

/// Pickles that may lie within each other: an array of objects has one, a tensor outside PyTorch's own files another.
const MAX_PICKLES: usize = 4;
/// First object of PyTorch's older format: 0x1950a86a20f9469cfc6c, little-endian.
const LEGACY_MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Bytes that the calls of a pickle of `len` bytes may copy: real ones copy each array once or twice.
fn copy_budget(len: usize) -> usize {
    len.saturating_mul(16).min(len.saturating_mul(2) + (64 << 20)) + (64 << 10)
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
    /// A module or other object of a TorchScript archive, and its state once it has one. Its class stays a name: nothing of the
    /// archive's code is looked at.
    Object(Option<Id>),
    Storage(StorageRef),
    /// A storage whose bytes are here: `torch.save` within another pickle.
    BytesStorage(Arc<InlineStorage>),
    Tensor(Box<TensorRef>),
    /// NumPy's element type: its description with the byte order in front.
    NumpyType(String),
    /// An array that still waits for its state.
    NumpyArray,
    /// joblib's stand-in for an array, which waits for its state too; the elements follow it.
    JoblibArray,
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

/// The elements of a storage, out of a pickle of its own.
#[derive(Debug)]
pub(super) struct InlineStorage {
    pub(super) dtype: Option<Dtype>,
    pub(super) bytes: Vec<u8>,
    pub(super) big_endian: bool,
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
    /// Pickles that this one lies in.
    pub(super) depth: usize,
    pub(super) storages: Vec<Declared>,
    pub(super) storage_by_key: HashMap<String, usize>,
}

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self::nested(bytes, at, 0)
    }

    /// A machine for a pickle within `depth` others.
    pub(super) fn nested(bytes: &'a [u8], at: usize, depth: usize) -> Self {
        Self {
            bytes,
            at,
            nodes: vec![Node::None, Node::Bool(false), Node::Bool(true), Node::Tuple(Vec::new())],
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            copies_left: copy_budget(bytes.len()),
            depth,
            storages: Vec::new(),
            storage_by_key: HashMap::new(),
        }
    }

    /// Where the pickle ended.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Is this the first object of PyTorch's older format?
    pub(super) fn is_magic(&self, id: Id) -> bool {
        matches!(&self.nodes[id], Node::Long(bytes) if *bytes == LEGACY_MAGIC)
    }

    /// Runs a whole pickle that lies between the instructions, with a stack and a memo of its own.
    pub(super) fn run_inner(&mut self) -> Result<Id> {
        self.enter()?;
        let outer = (
            std::mem::take(&mut self.stack),
            std::mem::take(&mut self.marks),
            std::mem::take(&mut self.memo),
        );
        let id = self.run()?;
        (self.stack, self.marks, self.memo) = outer;
        self.depth -= 1;
        Ok(id)
    }

    /// Counts a pickle within this one.
    pub(super) fn enter(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > MAX_PICKLES {
            return Err(PickleError::TooMuch { what: "pickles within each other", limit: MAX_PICKLES });
        }
        Ok(())
    }

    pub(super) fn broken(&self, what: &'static str) -> PickleError {
        PickleError::Broken { at: self.at, what }
    }

    pub(super) fn take(&mut self, len: u64) -> Result<&'a [u8]> {
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

    pub(super) fn byte(&mut self) -> Result<u8> {
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
}
