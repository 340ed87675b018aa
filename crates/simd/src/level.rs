//! Which instruction set is used: detected once, lowered on request.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::Simd;

/// An instruction set, from the slowest to the fastest of its architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Level {
    /// Plain Rust for any CPU.
    Portable = 0,
    /// 128-bit vectors of 64-bit Arm.
    Neon = 1,
    /// 256-bit vectors with fused multiply-add (`avx2`, `fma`, `bmi1`).
    Avx2 = 2,
    /// 512-bit vectors (`avx512f`, `bw`, `dq`, `vl`).
    Avx512 = 3,
    /// 512-bit vectors with bf16 products (`avx512bf16`) and int8 products (`avx512vnni`).
    Avx512Bf16 = 4,
    /// The vectors of [`Level::Avx512Bf16`], and tiles (`amx-tile`, `amx-bf16`, `amx-int8`) where the operating system permits
    /// them (Linux).
    Amx = 5,
}

impl Level {
    /// Every level, slowest first.
    pub const ALL: [Self; 6] =
        [Self::Portable, Self::Neon, Self::Avx2, Self::Avx512, Self::Avx512Bf16, Self::Amx];

    /// Whether this CPU can run the level.
    #[must_use]
    pub fn is_supported(self) -> bool {
        match self {
            Self::Portable => true,
            #[cfg(target_arch = "aarch64")]
            Self::Neon => crate::Neon::detect().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => crate::Avx2::detect().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => crate::Avx512::detect().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx512Bf16 => crate::Avx512Bf16::detect().is_some(),
            #[cfg(target_arch = "x86_64")]
            Self::Amx => crate::Amx::detect().is_some(),
            _ => false,
        }
    }

    /// The levels that this CPU can run, slowest first.
    pub fn supported() -> impl DoubleEndedIterator<Item = Self> {
        Self::ALL.into_iter().filter(|level| level.is_supported())
    }
}

/// Whether bf16 products at `level` are instructions that are faster than `f32` multiply-adds on this CPU.
#[must_use]
pub fn bf16_is_faster(level: Level) -> bool {
    match level {
        Level::Amx => true,
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Bf16 => crate::Avx512Bf16::detect().is_some_and(crate::Avx512Bf16::pairs_are_faster),
        _ => false,
    }
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
    Level::supported().next_back().unwrap_or(Level::Portable)
}

/// The level in use in this process: the best one, unless [`set_level`] chose another.
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

/// Makes [`level`] return another one, for tests and comparisons: for all code of the process that asks there.
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
