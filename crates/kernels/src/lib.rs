//! CPU kernels of the models on plain slices: matrix products, attention, norms, RoPE and element-wise functions.
//!
//! Activations are `f32`. Weights are `f32`, `bf16` or quantised blocks, and stay as they are stored or get packed
//! once. Every kernel has a portable version; the fastest one the CPU supports is chosen at run time
//! ([`Level`]), and [`set_level`] forces a slower one. Work is spread over the current rayon pool by splitting rows and
//! columns of the result, never a sum, so a result has the same bytes whatever the number of threads.
//!
//! Dimension letters: M rows, N output features (or heads), K input features (or head dim), L tokens, D width.
//!
//! ```
//! use anicrafter_kernels::{Linear, Weight};
//! let x = [1.0, 2.0, 3.0]; // [M=1, K=3]
//! let w = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0]; // [N=2, K=3]
//! let mut y = [0.0; 2];
//! Linear::new(Weight::F32(&w), 2, 3).bias(&[0.5, -1.0]).forward(&x, &mut y);
//! assert_eq!(y, [1.5, 5.0]);
//! ```
//!
//! Shapes are the caller's promise: a slice whose length doesn't fit panics with a message that names it.

#[cfg(any(target_arch = "x86_64", test))]
mod amx;
mod attention;
pub mod conv;
mod depthwise;
mod elementwise;
mod gemm;
mod norm;
mod precision;
mod quant;
mod rope;
mod scratch;
mod shared;
mod tile;

pub use attention::{Attention, Heads, attention};
pub use depthwise::Depthwise;
pub use elementwise::{
    Activation, activate_mul, add, bf16_from_f32, f32_from_bf16, gate_add, gelu_erf, gelu_tanh, scale, silu,
    softmax_rows,
};
pub use gemm::{
    Gate, Linear, Mat, NotPanels, PackedBf16, PackedF32, PackedInt8, SharedBytes, Weight, matmul,
    matmul_batched,
};
pub use norm::{Modulation, layer_norm, modulated_layer_norm, rms_norm};
pub use precision::Precision;
pub use quant::QuantKind;
pub use rope::{rms_norm_rope, rope};

pub use half::bf16;
pub use simd::{Level, UnsupportedLevel, bf16_is_faster, detected_level, level, set_level};
