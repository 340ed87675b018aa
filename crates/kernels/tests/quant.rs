//! Quantised weights: each format element by element, and products at every level.

mod common;

use anicrafter_kernels::{Linear, Precision, QuantKind, Weight, bf16_is_faster};
use common::{KINDS, Random, assert_close, at_each_level, blocks, linear};

fn f16(b: &[u8], at: usize) -> f64 {
    let bits = u32::from(b[at]) | u32::from(b[at + 1]) << 8;
    f64::from(1024 + (bits & 1023)) * 2_f64.powi((bits >> 10 & 31).cast_signed() - 25)
}

/// 6-bit scale (`which` 0) or minimum (1) of group `g`, by bit positions.
fn six_bits(packed: &[u8], g: usize, which: usize) -> f64 {
    if g < 4 {
        return f64::from(packed[g + 4 * which] % 64);
    }
    let low = if which == 0 { packed[4 + g] % 16 } else { packed[4 + g] / 16 };
    f64::from(low + packed[g - 4 + 4 * which] / 64 * 16)
}

/// Value `i` of a block, straight from the format's definition.
fn value(kind: QuantKind, b: &[u8], i: usize) -> f64 {
    let nibble = |byte: u8, high: bool| if high { byte / 16 } else { byte % 16 };
    match kind {
        QuantKind::Q8_0 => f16(b, 0) * f64::from(b[2 + i].cast_signed()),
        QuantKind::Q4_0 => f16(b, 0) * (f64::from(nibble(b[2 + i % 16], i >= 16)) - 8.0),
        QuantKind::Q4K | QuantKind::Q5K => {
            let group = i / 32;
            let quants = if kind == QuantKind::Q4K { &b[16..] } else { &b[48..] };
            let mut q = f64::from(nibble(quants[i / 64 * 32 + i % 32], group % 2 == 1));
            if kind == QuantKind::Q5K && b[16 + i % 32] & 1 << group != 0 {
                q += 16.0;
            }
            f16(b, 0) * six_bits(&b[4..16], group, 0) * q - f16(b, 2) * six_bits(&b[4..16], group, 1)
        }
        QuantKind::Q6K => {
            let (part, within) = (i / 128, i % 128);
            let low = nibble(b[part * 64 + within % 64], within >= 64);
            let high = b[128 + part * 32 + within % 32] >> (within / 32 * 2) & 3;
            let scale = b[192 + i / 16].cast_signed();
            f16(b, 208) * f64::from(scale) * (f64::from(low + high * 16) - 32.0)
        }
        other => panic!("no definition of {other:?}"),
    }
}

#[test]
fn blocks_dequantise_by_the_definition_of_their_format() {
    let mut random = Random::new(31);
    for kind in KINDS {
        let bytes = blocks(&mut random, kind, 20);
        let mut out = vec![f32::NAN; 20 * kind.block_len()];
        kind.dequantize(&bytes, &mut out);
        let want: Vec<f64> = bytes
            .chunks(kind.block_bytes())
            .flat_map(|b| (0..kind.block_len()).map(|i| value(kind, b, i)).collect::<Vec<_>>())
            .collect();
        let largest = want.iter().fold(0.0, |max: f64, x| max.max(x.abs()));
        assert!(largest > 0.01, "{kind:?}: the blocks are too small to tell");
        assert_close(&format!("{kind:?}"), &out, &want, largest * 3e-7);
    }
}

#[test]
fn products_match_the_dequantised_weight() {
    let mut random = Random::new(32);
    for kind in KINDS {
        for (m, n, blocks_per_row) in [(1, 5, 1), (3, 70, 3), (20, 33, 5)] {
            let k = blocks_per_row * kind.block_len();
            let bytes = blocks(&mut random, kind, n * blocks_per_row);
            let mut w = vec![0.0; n * k];
            kind.dequantize(&bytes, &mut w);
            let x = random.vec(m * k);
            let want = linear(&x, &w, m, n, k);
            let largest = f64::from(w.iter().fold(0.0_f32, |max, x| max.max(x.abs())));
            at_each_level(|level| {
                for precision in [Precision::F32, Precision::Bf16] {
                    let mut out = vec![f32::NAN; m * n];
                    Linear::new(Weight::Quantized(kind, &bytes), n, k)
                        .precision(precision)
                        .forward(&x, &mut out);
                    let rounded = bf16_is_faster(level) && precision == Precision::Bf16;
                    let tolerance = if rounded { (k as f64).sqrt() * 6.0 / 256.0 } else { k as f64 * 3e-7 };
                    let name = format!("{kind:?} {m}×{n}×{k} {precision:?} at {level:?}");
                    assert_close(&name, &out, &want, tolerance * largest);
                }
            });
        }
    }
}

#[test]
#[should_panic(expected = "the weight isn't [2, 48]")]
fn rows_of_part_blocks_are_refused() {
    let _ = Linear::new(Weight::Quantized(QuantKind::Q8_0, &[0; 2 * 51]), 2, 48);
}
