//! Which instruction set the kernels use: detected once, lowered on request.

use std::sync::atomic::{AtomicU8, Ordering};

/// An instruction set that kernels exist for, from the slowest to the fastest of its architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Level {
    /// Plain Rust for any CPU.
    Portable = 0,
    /// 128-bit vectors of 64-bit Arm.
    Neon = 1,
    /// 256-bit vectors with fused multiply-add.
    Avx2 = 2,
    /// 512-bit vectors (`avx512f`, `bw`, `dq`, `vl`).
    Avx512 = 3,
    /// 512-bit vectors with bf16 products (`avx512bf16`) and int8 products (`avx512vnni`).
    Avx512Bf16 = 4,
}

impl Level {
    /// Every level, slowest first.
    pub const ALL: [Self; 5] = [Self::Portable, Self::Neon, Self::Avx2, Self::Avx512, Self::Avx512Bf16];

    /// Whether this CPU can run the level.
    #[must_use]
    pub fn is_supported(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "aarch64")]
            Self::Neon => std::arch::is_aarch64_feature_detected!("neon"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => {
                Self::Avx2.is_supported()
                    && std::arch::is_x86_feature_detected!("avx512f")
                    && std::arch::is_x86_feature_detected!("avx512bw")
                    && std::arch::is_x86_feature_detected!("avx512dq")
                    && std::arch::is_x86_feature_detected!("avx512vl")
            }
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16 => {
                Self::Avx512.is_supported()
                    && std::arch::is_x86_feature_detected!("avx512bf16")
                    && std::arch::is_x86_feature_detected!("avx512vnni")
            }
            #[cfg(not(all(target_arch = "x86_64", target_arch = "aarch64")))]
            #[allow(unreachable_patterns, reason = "which levels are left over depends on the architecture")]
            _ => false,
        }
    }
}

/// How exact the products of a kernel are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Factors are used as `f32`.
    F32,
    /// Factors may be rounded to bf16 where the CPU multiplies bf16 faster ([`Level::Avx512Bf16`]); sums stay `f32`.
    /// Elsewhere the same as [`Precision::F32`].
    #[default]
    Bf16,
    /// Products by quantised weights are integers: activations are rounded to 8 bits, each row in groups of 32 with a scale
    /// of their own ([`crate::Linear::precision`] says more). Never the default. Other weights and Q6_K, which would gain nothing, keep
    /// their own precision, attention is computed in `f32`.
    Int8,
}

/// A level that this CPU can't run was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsupportedLevel {
    /// The level asked for.
    pub asked: Level,
    /// The best one this CPU runs.
    pub best: Level,
}

impl std::fmt::Display for UnsupportedLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "this CPU can't run {:?} kernels; its best level is {:?}", self.asked, self.best)
    }
}

impl std::error::Error for UnsupportedLevel {}

/// Not yet detected.
const UNKNOWN: u8 = u8::MAX;
static CURRENT: AtomicU8 = AtomicU8::new(UNKNOWN);

/// The best level this CPU supports.
#[must_use]
pub fn detected_level() -> Level {
    Level::ALL.into_iter().rev().find(|level| level.is_supported()).unwrap_or(Level::Portable)
}

/// The level in use: the best one, unless [`set_level`] chose another.
#[must_use]
#[inline]
pub fn level() -> Level {
    match CURRENT.load(Ordering::Relaxed) {
        UNKNOWN => {
            let best = detected_level();
            // Keeps a level that another thread set in between.
            match CURRENT.compare_exchange(UNKNOWN, best as u8, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => best,
                Err(now) => from_u8(now),
            }
        }
        known => from_u8(known),
    }
}

fn from_u8(value: u8) -> Level {
    Level::ALL.into_iter().find(|&level| level as u8 == value).unwrap_or(Level::Portable)
}

/// Makes every kernel of this process use `level`, for tests and comparisons. Weights that are already packed stay
/// usable at any level.
///
/// # Errors
/// [`UnsupportedLevel`] if this CPU can't run it; nothing changes then.
pub fn set_level(level: Level) -> Result<(), UnsupportedLevel> {
    if !level.is_supported() {
        return Err(UnsupportedLevel { asked: level, best: detected_level() });
    }
    CURRENT.store(level as u8, Ordering::Relaxed);
    Ok(())
}
