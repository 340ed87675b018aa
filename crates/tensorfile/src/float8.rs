//! Decoding of 8-bit floating point.

/// Every `float8_e4m3fn` as f32.
const E4M3: [f32; 256] = {
    let mut table = [0.0; 256];
    let mut bits = 0;
    while bits < 256 {
        let (sign, exponent, mantissa) = ((bits as u32 >> 7) << 31, bits as u32 >> 3 & 15, bits as u32 & 7);
        let magnitude = match (exponent, mantissa) {
            (15, 7) => f32::NAN.to_bits(),
            // Subnormal: eighths of the smallest normal number, 2^-6.
            (0, _) => (mantissa as f32 * 0.001_953_125).to_bits(),
            _ => (exponent + 127 - 7) << 23 | mantissa << 20,
        };
        table[bits] = f32::from_bits(magnitude | sign);
        bits += 1;
    }
    table
};

/// `float8_e4m3fn`: sign, 4 exponent bits (bias 7), 3 mantissa bits; no infinity, 0x7f and 0xff are NaN.
#[must_use]
pub fn e4m3_to_f32(bits: u8) -> f32 {
    E4M3[usize::from(bits)]
}

/// `float8_e5m2`: the upper byte of an f16.
#[must_use]
pub fn e5m2_to_f32(bits: u8) -> f32 {
    half::f16::from_bits(u16::from(bits) << 8).to_f32()
}

/// `float8_e8m0fnu`: a power of two, 2^-127 to 2^127; 0xff is NaN.
#[must_use]
pub fn e8m0_to_f32(bits: u8) -> f32 {
    match bits {
        255 => f32::NAN,
        // Below the smallest normal number.
        0 => f32::from_bits(0x0040_0000),
        _ => f32::from_bits(u32::from(bits) << 23),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn landmarks() {
        assert_eq!(e4m3_to_f32(0x38), 1.0);
        assert_eq!(e4m3_to_f32(0x7e), 448.0);
        assert_eq!(e4m3_to_f32(0x01), 2.0_f32.powi(-9));
        assert_eq!(e4m3_to_f32(0x08), 2.0_f32.powi(-6));
        assert_eq!(e4m3_to_f32(0xb8), -1.0);
        assert_eq!((e4m3_to_f32(0), e4m3_to_f32(0x80).to_bits()), (0.0, (-0.0_f32).to_bits()));
        assert!(e4m3_to_f32(0x7f).is_nan() && e4m3_to_f32(0xff).is_nan());
        assert_eq!(e5m2_to_f32(0x3c), 1.0);
        assert_eq!(e5m2_to_f32(0x7b), 57344.0);
        assert_eq!(e5m2_to_f32(0xfc), f32::NEG_INFINITY);
        assert!(e5m2_to_f32(0x7d).is_nan());
        assert_eq!((e8m0_to_f32(127), e8m0_to_f32(130), e8m0_to_f32(0)), (1.0, 8.0, 2.0_f32.powi(-127)));
        assert!(e8m0_to_f32(255).is_nan());
    }
}
