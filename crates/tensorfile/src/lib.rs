//! Readers and writers of the files that tensors come in, for untrusted files and without a tensor library.
//!
//! | format | read | write |
//! | --- | --- | --- |
//! | npy, npz (stored or deflated) | [`npy`], [`Npz`] | [`npy::write`], [`write_npz`] |
//! | safetensors, one file or sharded | [`Safetensors`], [`Shards`] | [`write_safetensors`], [`write_safetensors_with`] |
//! | PyTorch `.pth`/`.pt`/`.ckpt`/`.bin`, zip and older, TorchScript | [`Pickle`] | [`write_torch_with`], [`pickle::write_torch_list`] |
//! | GGUF, quantised types included | [`Gguf`] | [`write_gguf_with`] |
//! | PLY tables, text or binary | [`Ply`] | |
//!
//! [`open`] chooses by what a file holds; a Git LFS pointer, a web page or half a download is told from a broken file.
//!
//! Every container of tensors is a [`TensorSource`]: names, types and shapes first, then [`TensorView`]s whose bytes are
//! borrowed from the (mapped) file wherever they lie there in row-major order. Broken files give an [`Error`] that names
//! file, tensor and cause; nothing panics, and nothing is allocated on the word of a header alone.
//!
//! ```
//! use anicrafter_tensorfile::{Npz, TensorSource, TensorView, write_npz_bytes};
//!
//! let parents = TensorView::from_i64(&[2, 3], &[4294967295, 0, 0, 0, 1, 2])?;
//! let npz = Npz::parse(write_npz_bytes(&[("kintree_table", parents)], true)?)?;
//! assert_eq!(npz.names(), ["kintree_table"]);
//! let (shape, numbers) = npz.i64("kintree_table")?;
//! assert_eq!((shape, numbers[0]), (vec![2, 3], 4294967295));
//! # Ok::<(), anicrafter_tensorfile::Error>(())
//! ```

mod atomic;
mod data;
mod dtype;
mod error;
mod float8;
pub mod gguf;
mod impostor;
pub mod npy;
mod npz;
mod open;
pub mod pickle;
pub mod ply;
mod quant;
pub mod safetensors;
mod view;
pub mod zip;

pub use atomic::write_atomically;
pub use data::{Data, Region};
pub use dtype::{Dtype, element_count};
pub use error::{Error, Result};
pub use float8::{e4m3_to_f32, e5m2_to_f32, e8m0_to_f32};
pub use gguf::{Gguf, write_gguf_with};
pub use npz::{Npz, write_npz, write_npz_bytes};
pub use open::{open, parse};
pub use pickle::{Pickle, write_torch_with};
pub use ply::Ply;
pub use safetensors::{Safetensors, Shards, safetensors_bytes, write_safetensors, write_safetensors_with};
pub use view::{TensorInfo, TensorSource, TensorView};
