//! The tile instructions.
#![expect(unsafe_code, reason = "assembly; configured tiles prove that the CPU has it")]

use std::arch::asm;

use simd::{Amx, Tiles};

use super::{Factors, Square, TileUnit};

impl TileUnit for Amx {
    type Tiles = Tiles;

    fn with_tiles<R>(self, f: impl FnOnce(&Tiles) -> R) -> R {
        Amx::with_tiles(self, f)
    }

    #[inline]
    fn multiply(tiles: &Tiles, factors: Factors, square: Square<'_>) {
        match (factors, square.ahead.is_some()) {
            (Factors::Bf16, true) => stream_bf16(tiles, square),
            (Factors::Int8, true) => stream_int8(tiles, square),
            (Factors::Bf16, false) => near_bf16(tiles, square),
            (Factors::Int8, false) => unreachable!("no product of integers is near"),
        }
    }
}

/// Defines the product of a [`Square`]: how its left side is loaded, its instruction, and what is done with the places of lines that
/// will be needed.
macro_rules! multiply {
    ($(#[$doc:meta])* $name:ident: $load:literal, $multiply:literal, $fetch:literal) => {
        $(#[$doc])*
        #[inline]
        fn $name(_: &Tiles, square: Square<'_>) {
            square.check();
            let Square { a, b, steps, c, stride, next, accumulate, ahead } = square;
            let c = c.as_mut_ptr();
            let place = |part: Option<(&[u32], usize)>| {
                part.map_or(std::ptr::null(), |(words, at)| words.as_ptr().wrapping_add(at))
            };
            // SAFETY: configured tiles prove that the CPU has the instructions. `check` found the strip, the panels and the sums in
            // their slices: the loop reads `steps` pairs of tiles of `a` and `steps` tiles of each `b`, what is before and behind
            // it four tiles of 16 rows of `c`. Fetches are hints that no address makes fail.
            unsafe {
                let sums = [c, c.add(next[0]), c.add(next[1]), c.add(next[0] + next[1])];
                asm!(
                    "test {t:e}, {t:e}",
                    "jz 2f",
                    "mov {t}, [{c}]",
                    "tileloadd tmm0, [{t} + {stride}]",
                    "mov {t}, [{c} + 8]",
                    "tileloadd tmm1, [{t} + {stride}]",
                    "mov {t}, [{c} + 16]",
                    "tileloadd tmm2, [{t} + {stride}]",
                    "mov {t}, [{c} + 24]",
                    "tileloadd tmm3, [{t} + {stride}]",
                    "jmp 3f",
                    "2:",
                    "tilezero tmm0",
                    "tilezero tmm1",
                    "tilezero tmm2",
                    "tilezero tmm3",
                    "3:",
                    concat!($load, " tmm4, [{a} + {row}]"),
                    "tileloadd tmm6, [{b0} + {row}]",
                    concat!($fetch, " [{fa}]"),
                    concat!($multiply, " tmm0, tmm4, tmm6"),
                    concat!($fetch, " [{fa} + 64]"),
                    "tileloadd tmm7, [{b1} + {row}]",
                    concat!($fetch, " [{fa} + 128]"),
                    concat!($multiply, " tmm1, tmm4, tmm7"),
                    concat!($fetch, " [{fa} + 192]"),
                    concat!($load, " tmm5, [{a} + {row} + 1024]"),
                    concat!($fetch, " [{fb0}]"),
                    concat!($multiply, " tmm2, tmm5, tmm6"),
                    concat!($fetch, " [{fb1}]"),
                    concat!($multiply, " tmm3, tmm5, tmm7"),
                    "add {fa}, 256",
                    "add {fb0}, 64",
                    "add {fb1}, 64",
                    "add {a}, 2048",
                    "add {b0}, 1024",
                    "add {b1}, 1024",
                    "dec {steps}",
                    "jnz 3b",
                    "mov {t}, [{c}]",
                    "tilestored [{t} + {stride}], tmm0",
                    "mov {t}, [{c} + 8]",
                    "tilestored [{t} + {stride}], tmm1",
                    "mov {t}, [{c} + 16]",
                    "tilestored [{t} + {stride}], tmm2",
                    "mov {t}, [{c} + 24]",
                    "tilestored [{t} + {stride}], tmm3",
                    t = inout(reg) u64::from(accumulate) => _,
                    c = in(reg) sums.as_ptr(),
                    stride = in(reg) stride * size_of::<f32>(),
                    a = inout(reg) a.as_ptr() => _,
                    b0 = inout(reg) b[0].as_ptr() => _,
                    b1 = inout(reg) b[1].as_ptr() => _,
                    row = in(reg) 64_usize,
                    steps = inout(reg) steps => _,
                    fa = inout(reg) place(ahead.map(|ahead| ahead.a)) => _,
                    fb0 = inout(reg) place(ahead.map(|ahead| ahead.b[0])) => _,
                    fb1 = inout(reg) place(ahead.map(|ahead| ahead.b[1])) => _,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

multiply! {
    /// For factors that come from the second-level cache and beyond.
    stream_bf16: "tileloaddt1", "tdpbf16ps", "prefetcht1"
}
multiply! {
    /// The same for integers.
    stream_int8: "tileloaddt1", "tdpbssd", "prefetcht1"
}
multiply! {
    /// For a left side that stays in the first-level cache; nothing is fetched (a comment takes that place).
    near_bf16: "tileloadd", "tdpbf16ps", "#"
}
