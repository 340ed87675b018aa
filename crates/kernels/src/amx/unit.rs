//! The tile instructions.
#![expect(unsafe_code, reason = "assembly; configured tiles prove that the CPU has it")]

use std::arch::asm;

use simd::{Amx, Tiles};

use super::{Factors, Left, Square, TileUnit};

impl TileUnit for Amx {
    type Tiles = Tiles;

    fn with_tiles<R>(self, f: impl FnOnce(&Tiles) -> R) -> R {
        Amx::with_tiles(self, f)
    }

    #[inline]
    fn multiply(tiles: &Tiles, factors: Factors, square: Square<'_>) {
        match (factors, square.left) {
            (Factors::Bf16, Left::Stream) => stream_bf16(tiles, square),
            (Factors::Int8, Left::Stream) => stream_int8(tiles, square),
            (Factors::Bf16, Left::Near) => near_bf16(tiles, square),
            (Factors::Bf16, Left::Rows(_)) => rows_bf16(tiles, square),
            (Factors::Int8, _) => unreachable!("integers come in strips"),
        }
    }
}

/// Defines the product of a [`Square`]: how its left side is loaded, the register that holds the bytes between its rows, bytes from a
/// step to the next, its instruction, what is done with lines of either side that will be needed, and what is added to the place of the left
/// one's.
macro_rules! multiply {
    (
        $(#[$doc:meta])*
        $name:ident: $load:literal by $rows:literal, $step:literal, $multiply:literal, $fetch_a:literal $move_a:literal, $fetch_b:literal
    ) => {
        $(#[$doc])*
        #[inline]
        fn $name(_: &Tiles, square: Square<'_>) {
            square.check();
            let Square { a, left, b, steps, c, stride, next, accumulate, ahead } = square;
            let c = c.as_mut_ptr();
            let place = |part: Option<(&[u32], usize)>| {
                part.map_or(std::ptr::null(), |(words, at)| words.as_ptr().wrapping_add(at))
            };
            // SAFETY: configured tiles prove that the CPU has the instructions. `check` found the strip, the panels and the sums in
            // their slices: the loop reads `steps` tiles of upper and of lower rows of `a` and `steps` tiles of each `b`, what is before and behind
            // it four tiles of 16 rows of `c`. Fetches are hints that no address makes fail.
            unsafe {
                let upper = a.as_ptr();
                let lower = upper.add(left.lower());
                // Where fetches of the left side begin, or the bytes between its rows.
                let first = match left {
                    Left::Rows(words) => words * size_of::<u32>(),
                    Left::Stream | Left::Near => place(ahead.map(|ahead| ahead.a)).addr(),
                };
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
                    concat!($load, " tmm4, [{upper} + ", $rows, "]"),
                    "tileloadd tmm6, [{b0} + {row}]",
                    concat!($fetch_a, " [{fa}]"),
                    concat!($multiply, " tmm0, tmm4, tmm6"),
                    concat!($fetch_a, " [{fa} + 64]"),
                    "tileloadd tmm7, [{b1} + {row}]",
                    concat!($fetch_a, " [{fa} + 128]"),
                    concat!($multiply, " tmm1, tmm4, tmm7"),
                    concat!($fetch_a, " [{fa} + 192]"),
                    concat!($load, " tmm5, [{lower} + ", $rows, "]"),
                    concat!($fetch_b, " [{fb0}]"),
                    concat!($multiply, " tmm2, tmm5, tmm6"),
                    concat!($fetch_b, " [{fb1}]"),
                    concat!($multiply, " tmm3, tmm5, tmm7"),
                    concat!($move_a, " {fa}, 256"),
                    "add {fb0}, 64",
                    "add {fb1}, 64",
                    concat!("add {upper}, ", $step),
                    concat!("add {lower}, ", $step),
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
                    upper = inout(reg) upper => _,
                    lower = inout(reg) lower => _,
                    b0 = inout(reg) b[0].as_ptr() => _,
                    b1 = inout(reg) b[1].as_ptr() => _,
                    row = in(reg) 64_usize,
                    steps = inout(reg) steps => _,
                    fa = inout(reg) first => _,
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
    stream_bf16: "tileloaddt1" by "{row}", "2048", "tdpbf16ps", "prefetcht1" "add", "prefetcht1"
}
multiply! {
    /// The same for integers.
    stream_int8: "tileloaddt1" by "{row}", "2048", "tdpbssd", "prefetcht1" "add", "prefetcht1"
}
multiply! {
    /// For a left side that stays in the first-level cache; nothing is fetched (comments take those places).
    near_bf16: "tileloadd" by "{row}", "2048", "tdpbf16ps", "#" "#", "#"
}
multiply! {
    /// For a left side of rows that lie where they lie.
    rows_bf16: "tileloaddt1" by "{fa}", "64", "tdpbf16ps", "#" "#", "prefetcht1"
}
