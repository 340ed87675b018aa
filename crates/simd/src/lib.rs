//! Vector code that is written once, compiled for each instruction set, and chosen at run time.
//!
//! A [`Level`] names an instruction set. A *token*, a value of a type that implements [`Simd`], proves that the CPU has it:
//! only [`Simd::detect`] makes one. So vector operations, which are methods of tokens, are safe. A [`Kernel`] is code that is
//! generic over the token; [`dispatch`] enters a function compiled for the level's instructions and hands it the token.
//! Everything a kernel calls on vectors must be `#[inline(always)]`, or it isn't compiled for them.
//!
//! ```
//! use anicrafter_simd::{Kernel, Simd, dispatch, level};
//!
//! struct Dot<'a>(&'a [f32], &'a [f32]);
//!
//! impl<S: Simd> Kernel<S, f32> for Dot<'_> {
//!     #[inline(always)]
//!     fn run(self, s: S) -> f32 {
//!         let (a, b) = (self.0.chunks_exact(S::LANES), self.1.chunks_exact(S::LANES));
//!         let rest: f32 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
//!         let mut sum = s.splat(0.0);
//!         for (a, b) in a.zip(b) {
//!             sum = s.fma(s.load(a), s.load(b), sum);
//!         }
//!         s.sum(sum) + rest
//!     }
//! }
//!
//! let x: Vec<f32> = (0..100).map(|i| i as f32).collect();
//! assert_eq!(dispatch(level(), Dot(&x, &x)), 328_350.0);
//! ```
//!
//! Vectors are as wide as the level's registers; [`dispatch_wide`] and [`dispatch_lines`] give kernels that need a minimum or
//! a fixed width several registers as one. [`Integers`] adds sums of products of small integers, [`math`] exponentials.
//! [`Level::Amx`] has the vectors of the level below, and tiles: `Amx` is their token. A crate that needs more of a level (a kernel in
//! hand-written assembly, say) adds a trait of its own for the tokens and writes
//! its kernels over that.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod integers;
mod kernel;
mod level;
pub mod math;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
mod prefetch;
mod twice;
mod vector;

#[cfg(target_arch = "x86_64")]
pub use amx::{Amx, Tiles};
#[cfg(target_arch = "x86_64")]
pub use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub use avx512::{Avx512, Avx512Bf16};
pub use integers::Integers;
pub use kernel::{EveryLevel, EveryLines, EveryWide, Kernel, dispatch, dispatch_lines, dispatch_wide};
pub use level::{Level, UnsupportedLevel, bf16_is_faster, detected_level, level, set_level};
#[cfg(target_arch = "aarch64")]
pub use neon::Neon;
pub use portable::Portable;
pub use prefetch::prefetch;
pub use twice::Twice;
pub use vector::Simd;

/// Methods that are an expression of intrinsics each. `[slice; n]` cuts a slice, which the intrinsics then read, to `n` elements.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! methods {
    ($($name:ident($($arg:ident: $t:ty),*) -> $out:ty $([$slice:ident; $n:literal])? = $body:expr;)+) => {$(
        #[inline(always)]
        fn $name(self, $($arg: $t),*) -> $out {
            $(let $slice = &$slice[..$n];)?
            // SAFETY: `self` proves that the CPU has the level's instructions (`detect`); what they read is a slice whose
            // length the line above has checked, all else are values.
            unsafe { $body }
        }
    )+};
}
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use methods;
