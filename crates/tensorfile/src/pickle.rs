//! PyTorch's `.pth`, `.pt`, `.ckpt` and `.bin` files, and plain pickles of numbers, lists and arrays: bare, compressed by zlib or
//! gzip, as joblib writes them (arrays lie between the instructions), and inside `.npy` arrays of objects.
//!
//! A pickle is a program. This machine runs only the instructions that build data, and of the functions that a pickle may
//! name only those that rebuild tensors, arrays and dictionaries. Anything else is [`PickleError::Forbidden`],
//! with the name of what it wanted to call; nothing is ever executed.
//!
//! TorchScript archives (`torch.jit.save`: `.pt`, `.pt2`) are such files too, with modules in place of dictionaries. A module
//! becomes what it holds, under its own names; the archive's code isn't read.

mod file;
mod joblib;
mod machine;
mod rebuild;
mod tensor;
mod unpack;
mod value;
mod write;

pub use file::Pickle;
pub use tensor::TensorRef;
pub use value::Value;
pub use write::{TorchItem, write_torch_list, write_torch_with};

/// What can be wrong with a pickle or with the PyTorch file around it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PickleError {
    /// Neither PyTorch's zip format, nor its older one, nor a pickle.
    #[error("not a PyTorch file or pickle")]
    NotPickle,
    /// The pickle wants to call something that this reader doesn't know to be harmless.
    #[error("the pickle calls {global}, which is not allowed")]
    Forbidden {
        /// Module and name.
        global: String,
    },
    /// An instruction that isn't supported or doesn't exist.
    #[error("instruction 0x{opcode:02x} at byte {at} of the pickle isn't supported")]
    Opcode {
        /// The instruction.
        opcode: u8,
        /// Its position.
        at: usize,
    },
    /// The pickle ends in the middle.
    #[error("the pickle is truncated at byte {at}")]
    Truncated {
        /// Where more bytes were due.
        at: usize,
    },
    /// Instructions that don't fit what is on the machine's stack.
    #[error("the pickle is broken at byte {at}: {what}")]
    Broken {
        /// Position of the instruction.
        at: usize,
        /// What doesn't fit.
        what: &'static str,
    },
    /// A known function with arguments that it doesn't take.
    #[error("the arguments of {function} aren't what it takes")]
    Arguments {
        /// The function.
        function: String,
    },
    /// More objects, deeper nesting or more repetition than any real checkpoint has.
    #[error("the pickle builds more than {limit} {what}")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A storage type that this reader doesn't know.
    #[error("storage type {name:?} isn't supported")]
    StorageType {
        /// Its name.
        name: String,
    },
    /// A storage isn't in the file, or isn't all there.
    #[error("storage {key:?} should hold {expected} bytes, the file has {found}")]
    Storage {
        /// PyTorch's key of the storage.
        key: String,
        /// Bytes that the pickle speaks of.
        expected: u64,
        /// Bytes in the file.
        found: u64,
    },
    /// A compressed storage: PyTorch never writes one.
    #[error("storage {key:?} is compressed; save the file again with PyTorch")]
    CompressedStorage {
        /// PyTorch's key of the storage.
        key: String,
    },
    /// A tensor that reaches beyond its storage.
    #[error(
        "shape {shape:?} with strides {strides:?} from element {offset} reaches beyond a storage of {available} elements"
    )]
    OutOfStorage {
        /// The tensor's shape.
        shape: Vec<usize>,
        /// Its strides in elements.
        strides: Vec<usize>,
        /// Its first element.
        offset: usize,
        /// Elements of the storage.
        available: usize,
    },
    /// A tensor with repeated elements that would be larger in memory than the whole file.
    #[error("shape {shape:?} repeats a few elements to more bytes than the file has")]
    Expanded {
        /// The tensor's shape.
        shape: Vec<usize>,
    },
    /// Two tensors that flatten to one name.
    #[error("two tensors are called {name:?}")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// A compressed pickle that can't be unpacked.
    #[error("the compressed pickle is damaged: {why}")]
    Packed {
        /// What the unpacker says.
        why: String,
    },
    /// The archive's byte order is neither "little" nor "big".
    #[error("byte order {found:?} is unknown")]
    ByteOrder {
        /// What the file says.
        found: String,
    },
}
