//! Tiles: proof that the CPU has them and that the operating system lets this process use them, and their configuration.
#![expect(
    unsafe_code,
    reason = "instructions and a system call without intrinsics; `detect` asks the CPU first"
)]

use std::arch::asm;
use std::marker::PhantomData;
use std::sync::OnceLock;

use crate::avx512::cpuid;
use crate::{Avx512Bf16, Simd};

/// Proof that the CPU has [`crate::Level::Amx`]: eight tile registers of 16 rows of 64 bytes, products of bf16 pairs and of fours
/// of 8 bits between them (`amx-tile`, `amx-bf16`, `amx-int8`), and the vectors of [`Avx512Bf16`].
///
/// Kernels over vectors run with the vectors' token at this level. Those that multiply tiles ask for this one, and bring their
/// instructions along as inline assembly: compilers have no stable intrinsics for them.
///
/// ```
/// use anicrafter_simd::{Amx, Level};
/// assert_eq!(Amx::detect().is_some(), Level::Amx.is_supported());
/// if let Some(amx) = Amx::detect() {
///     amx.with_tiles(|_tiles| { /* tile instructions of this thread */ });
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Amx(Avx512Bf16);

/// The calling thread's tile registers, configured: all eight with 16 rows of 64 bytes. It stays on its thread.
#[derive(Debug)]
pub struct Tiles {
    /// What was configured before.
    before: Config,
    own_thread: PhantomData<*mut ()>,
}

/// The operand of `ldtilecfg`: byte 0 the palette, from byte 16 the bytes of a row of each tile (16 bits each), from byte 48 the
/// rows of each.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Config([u8; 64]);

impl Config {
    const NONE: Self = Self([0; 64]);
    const ALL: Self = {
        let mut bytes = [0; 64];
        bytes[0] = 1;
        let mut tile = 0;
        while tile < 8 {
            bytes[16 + 2 * tile] = 64;
            bytes[48 + tile] = 16;
            tile += 1;
        }
        Self(bytes)
    };
}

impl Amx {
    /// The token, where the CPU has the instructions, the operating system saves the tiles when it switches threads, and it
    /// gives this process leave to use them. The first call asks for that leave, which holds for all threads, those of a thread pool that
    /// others made included.
    #[must_use]
    pub fn detect() -> Option<Self> {
        static PERMITTED: OnceLock<bool> = OnceLock::new();
        let vectors = Avx512Bf16::detect()?;
        PERMITTED.get_or_init(|| has_tiles() && permitted()).then_some(Self(vectors))
    }

    /// What the level includes.
    #[inline(always)]
    #[must_use]
    pub fn vectors(self) -> Avx512Bf16 {
        self.0
    }

    /// Runs `f` with this thread's tiles configured; afterwards they are what they were before, without contents.
    ///
    /// Between the tile instructions of one block of assembly nothing else touches the registers; what `f` calls in between
    /// may configure tiles itself.
    pub fn with_tiles<R>(self, f: impl FnOnce(&Tiles) -> R) -> R {
        let mut tiles = Tiles { before: Config::NONE, own_thread: PhantomData };
        // SAFETY: the token proves that the CPU has the instructions and that the operating system permits them. The first writes 64
        // bytes to a place of 64, the second reads a valid configuration of 64.
        unsafe {
            asm!(
                "sttilecfg [{before}]",
                "ldtilecfg [{all}]",
                before = in(reg) &raw mut tiles.before,
                all = in(reg) &Config::ALL as *const Config,
                out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                options(nostack, preserves_flags),
            );
        }
        f(&tiles)
    }
}

/// Tiles in use make every switch of threads save 8 KiB, so they are released.
impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: only `with_tiles` makes a value, where the instructions are known to work; what is loaded is what `sttilecfg` stored.
        unsafe {
            if self.before.0[0] == 0 {
                asm!("tilerelease", options(nostack, preserves_flags));
            } else {
                asm!("ldtilecfg [{}]", in(reg) &raw const self.before, options(nostack, preserves_flags));
            }
        }
    }
}

/// Whether the CPU has the instructions, tiles of the size that [`Config::ALL`] asks for, and an operating system that
/// switches them. (Called where AVX-512 has been found, so that `xgetbv` works.)
fn has_tiles() -> bool {
    const BF16: u32 = 1 << 22;
    const TILES: u32 = 1 << 24;
    const INT8: u32 = 1 << 25;
    /// The state components of configuration and contents.
    const STATES: u32 = 1 << 17 | 1 << 18;
    /// The leaf that describes palettes; 1 is the only one.
    const PALETTE: u32 = 0x1d;

    if cpuid(0, 0).eax < PALETTE || cpuid(7, 0).edx & (BF16 | TILES | INT8) != BF16 | TILES | INT8 {
        return false;
    }
    let palette = cpuid(PALETTE, 1);
    let (row_bytes, tiles, rows) = (palette.ebx & 0xffff, palette.ebx >> 16, palette.ecx & 0xffff);
    if row_bytes < 64 || tiles < 8 || rows < 16 {
        return false;
    }
    let states: u32;
    // SAFETY: AVX-512 was found, which takes `xgetbv`; it changes the named registers.
    unsafe {
        asm!("xgetbv", in("ecx") 0, out("eax") states, out("edx") _, options(nomem, nostack, preserves_flags));
    }
    states & STATES == STATES
}

/// Whether the operating system lets this process use tiles. Linux does from 5.16 on, for those that ask.
#[cfg(target_os = "linux")]
fn permitted() -> bool {
    const TILE_CONTENTS: u64 = 18;
    /// `ARCH_REQ_XCOMP_PERM` of <asm/prctl.h>.
    const REQUEST: u64 = 0x1023;
    /// `ARCH_GET_XCOMP_PERM`.
    const GET: u64 = 0x1022;

    let mut granted = 0_u64;
    arch_prctl(REQUEST, TILE_CONTENTS) == 0
        && arch_prctl(GET, (&raw mut granted).addr() as u64) == 0
        && granted >> TILE_CONTENTS & 1 == 1
}

/// Other systems have other ways, which nobody has tried.
#[cfg(not(target_os = "linux"))]
fn permitted() -> bool {
    false
}

#[cfg(target_os = "linux")]
fn arch_prctl(code: u64, argument: u64) -> i64 {
    const ARCH_PRCTL: i64 = 158;
    let result;
    // SAFETY: the calls made are the two above: one marks the process, the other writes a word that is there. A kernel that doesn't
    // know them says so.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") code,
            in("rsi") argument,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    result
}
