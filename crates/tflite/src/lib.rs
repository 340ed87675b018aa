//! Runs small TensorFlow Lite vision models on the CPU, without a C++ runtime.
//!
//! A [`Model`] is read from bytes, checked and prepared once, and then run any number of times:
//!
//! ```no_run
//! let model = anicrafter_tflite::Model::from_bytes(&std::fs::read("selfie_segmentation.tflite")?)?;
//! assert_eq!(model.inputs(), [&[1, 256, 256, 3]]);
//! let picture = vec![0.5; 256 * 256 * 3];
//! let mask = &model.run(&[&picture])?[0];
//! assert_eq!(mask.shape, [1, 256, 256, 1]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Activations are `f32`; weights may be stored in half precision or sparse. Which operators there are says the README.
//! Files may come from strangers: every offset, shape and option is checked while reading, sizes are bounded, and a run
//! allocates no more than the shapes in the file say.

mod buffers;
mod constant;
mod error;
mod flat;
mod model;
mod ops;
mod schema;

pub use error::{Error, Result};
pub use model::{Model, Tensor};
