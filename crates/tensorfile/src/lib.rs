//! Readers and writers of the files that tensors come in, for untrusted files and without a tensor library.
//!
//! | format | read | write |
//! | --- | --- | --- |
//! | npy, npz (stored or deflated) | [`npy`], [`Npz`] | [`npy::write`], [`write_npz`] |
//!
//! Every container is a [`TensorSource`]: names, types and shapes first, then [`TensorView`]s whose bytes are
//! borrowed from the (mapped) file wherever they lie there in row-major order. Broken files give an [`Error`] that names
//! file, tensor and cause; nothing panics, and nothing is allocated on the word of a header alone.
//!
//! ```
//! use tensorfile::{Npz, TensorSource, TensorView, write_npz_bytes};
//!
//! let parents = TensorView::from_i64(&[2, 3], &[4294967295, 0, 0, 0, 1, 2])?;
//! let npz = Npz::parse(write_npz_bytes(&[("kintree_table", parents)], true)?)?;
//! assert_eq!(npz.names(), ["kintree_table"]);
//! let (shape, numbers) = npz.i64("kintree_table")?;
//! assert_eq!((shape, numbers[0]), (vec![2, 3], 4294967295));
//! # Ok::<(), tensorfile::Error>(())
//! ```

mod atomic;
mod data;
mod dtype;
mod error;
mod float8;
pub mod npy;
mod npz;
mod quant;
mod view;
pub mod zip;

pub use data::Data;
pub use dtype::{Dtype, element_count};
pub use error::{Error, Result};
pub use float8::{e4m3_to_f32, e5m2_to_f32};
pub use npz::{Npz, write_npz, write_npz_bytes};
pub use view::{TensorInfo, TensorSource, TensorView};
