//! What a sequence parameter set says of a stream (ITU-T H.264, 7.3.2.1.1 and annex E).

use crate::color::{Matrix, Range};

/// The facts of a stream that decide whether and how it can be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sps {
    pub(crate) profile: u8,
    pub(crate) constraints: u8,
    /// 0 monochrome, 1 4:2:0, 2 4:2:2, 3 4:4:4.
    pub(crate) chroma_format: u32,
    pub(crate) bit_depth: u32,
    /// Every picture is a whole frame.
    pub(crate) progressive: bool,
    /// Width and height after cropping.
    pub(crate) size: (u32, u32),
    /// Colour matrix, where the stream names one that is known here.
    pub(crate) matrix: Option<Matrix>,
    pub(crate) range: Option<Range>,
    /// Number of the transfer function (ITU-T H.273, table 3), where the stream names one.
    pub(crate) transfer: Option<u16>,
    /// Width to height of a pixel, where the stream says.
    pub(crate) pixel_ratio: Option<(u32, u32)>,
}

impl Sps {
    /// Reads a NAL unit of type 7, its first byte included.
    pub(crate) fn parse(nal: &[u8]) -> Option<Self> {
        let payload = without_emulation(nal.get(1..)?);
        let mut bits = Bits { bytes: &payload, at: 0 };
        let profile = bits.take(8)? as u8;
        let constraints = bits.take(8)? as u8;
        bits.take(8)?; // level
        bits.ue()?;
        let (mut chroma_format, mut bit_depth) = (1, 8);
        if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
            chroma_format = bits.ue()?;
            if chroma_format == 3 {
                bits.flag()?; // separate planes
            }
            bit_depth = bits.ue()?.max(bits.ue()?).checked_add(8)?;
            bits.flag()?;
            if bits.flag()? {
                let n_lists = if chroma_format == 3 { 12 } else { 8 };
                for list in 0..n_lists {
                    if bits.flag()? {
                        skip_scaling_list(&mut bits, if list < 6 { 16 } else { 64 })?;
                    }
                }
            }
        }
        bits.ue()?;
        match bits.ue()? {
            0 => bits.ue().map(|_| ())?,
            1 => {
                bits.flag()?;
                bits.ue()?;
                bits.ue()?;
                let n = bits.ue()?;
                for _ in 0..n.min(256) {
                    bits.ue()?;
                }
            }
            _ => {}
        }
        bits.ue()?; // reference frames
        bits.flag()?;
        let width_mbs = bits.ue()?.checked_add(1)?;
        let height_units = bits.ue()?.checked_add(1)?;
        let progressive = bits.flag()?;
        if !progressive {
            bits.flag()?;
        }
        bits.flag()?;
        let mut crop = [0; 4];
        if bits.flag()? {
            for side in &mut crop {
                *side = bits.ue()?;
            }
        }
        let field = if progressive { 1 } else { 2 };
        let (unit_x, unit_y) = match chroma_format {
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        };
        let cropped = |total: u32, a: u32, b: u32, unit: u32| {
            total.checked_sub(a.checked_add(b)?.checked_mul(unit)?).filter(|&n| n > 0)
        };
        let width = cropped(width_mbs.checked_mul(16)?, crop[0], crop[1], unit_x)?;
        let height =
            cropped(height_units.checked_mul(16)?.checked_mul(field)?, crop[2], crop[3], unit_y * field)?;
        let mut sps = Self {
            profile,
            constraints,
            chroma_format,
            bit_depth,
            progressive,
            size: (width, height),
            matrix: None,
            range: None,
            transfer: None,
            pixel_ratio: None,
        };
        if bits.flag()? {
            // What is cut short was read as far as it goes.
            let _complete = sps.read_usability(&mut bits);
        }
        Some(sps)
    }

    /// The beginning of the "video usability information" (annex E.1.1).
    fn read_usability(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        if bits.flag()? {
            self.pixel_ratio = match bits.take(8)? as usize {
                255 => Some((bits.take(16)?, bits.take(16)?)),
                code => PIXEL_RATIOS.get(code).copied(),
            };
        }
        if bits.flag()? {
            bits.flag()?;
        }
        if !bits.flag()? {
            return Some(());
        }
        bits.take(3)?;
        self.range = Some(if bits.flag()? { Range::Full } else { Range::Limited });
        if bits.flag()? {
            bits.take(8)?; // primaries
            self.transfer = Some(bits.take(8)? as u16);
            self.matrix = matrix_of(bits.take(8)? as u16);
        }
        Some(())
    }

    /// The profile's name.
    pub(crate) fn profile_name(&self) -> String {
        let name = match self.profile {
            66 if self.constraints & 0x40 != 0 => "Constrained Baseline",
            66 => "Baseline",
            77 => "Main",
            88 => "Extended",
            100 => "High",
            110 => "High 10",
            122 => "High 4:2:2",
            244 => "High 4:4:4 Predictive",
            44 => "CAVLC 4:4:4 Intra",
            other => return format!("profile {other}"),
        };
        name.to_owned()
    }

    /// Why the built-in decoder can't decode this stream; None if it can.
    pub(crate) fn obstacle(&self) -> Option<String> {
        if self.bit_depth != 8 {
            return Some(format!("{} bits a sample", self.bit_depth));
        }
        match self.chroma_format {
            1 => {}
            0 => return Some("monochrome".to_owned()),
            2 => return Some("4:2:2 chroma".to_owned()),
            _ => return Some("4:4:4 chroma".to_owned()),
        }
        if !self.progressive {
            return Some("interlaced".to_owned());
        }
        (self.profile == 88).then(|| "data partitioning".to_owned())
    }
}

/// The matrix with this number (ITU-T H.273, table 4), where it is one that is known here.
pub(crate) fn matrix_of(code: u16) -> Option<Matrix> {
    match code {
        1 => Some(Matrix::Bt709),
        5 | 6 => Some(Matrix::Bt601),
        9 => Some(Matrix::Bt2020),
        _ => None,
    }
}

/// Ratios by their number (table E-1); number 0 is "unspecified".
const PIXEL_RATIOS: [(u32, u32); 17] = [
    (1, 1),
    (1, 1),
    (12, 11),
    (10, 11),
    (16, 11),
    (40, 33),
    (24, 11),
    (20, 11),
    (32, 11),
    (80, 33),
    (18, 11),
    (15, 11),
    (64, 33),
    (160, 99),
    (4, 3),
    (3, 2),
    (2, 1),
];

fn skip_scaling_list(bits: &mut Bits<'_>, size: usize) -> Option<()> {
    let (mut last, mut next) = (8_i32, 8_i32);
    for _ in 0..size {
        if next != 0 {
            next = (last + bits.se()?).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Some(())
}

/// Removes the bytes that keep start codes out of a payload.
fn without_emulation(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut zeros = 0;
    for &byte in bytes {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        out.push(byte);
    }
    out
}

/// Reads single bits and Exp-Golomb numbers.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn flag(&mut self) -> Option<bool> {
        let byte = self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    fn take(&mut self, n: usize) -> Option<u32> {
        (0..n).try_fold(0_u32, |value, _| Some(value << 1 | u32::from(self.flag()?)))
    }

    fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.flag()? {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some((1 << zeros) - 1 + self.take(zeros)?)
    }

    fn se(&mut self) -> Option<i32> {
        let code = self.ue()?;
        let magnitude = i32::try_from(code.div_ceil(2)).ok()?;
        Some(if code % 2 == 1 { magnitude } else { -magnitude })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_emulation_bytes() {
        let mut bits = Bits { bytes: &[0b1010_0110, 0b0100_1000], at: 0 };
        assert_eq!([bits.ue(), bits.ue(), bits.ue(), bits.ue()], [Some(0), Some(1), Some(2), Some(3)]);
        assert_eq!(Bits { bytes: &[0], at: 0 }.se(), None);
        // Codes 1, 2 and 3 stand for 1, -1 and 2.
        let mut bits = Bits { bytes: &[0b0100_1100, 0b1000_0000], at: 0 };
        assert_eq!([bits.se(), bits.se(), bits.se()], [Some(1), Some(-1), Some(2)]);
        assert_eq!(without_emulation(&[0, 0, 3, 1, 0, 0, 3, 3]), [0, 0, 1, 0, 0, 3]);
    }

    #[test]
    fn garbage_is_no_parameter_set() {
        assert_eq!(Sps::parse(&[]), None);
        assert_eq!(Sps::parse(&[0x67]), None);
        assert_eq!(Sps::parse(&[0x67; 4]), None);
        assert_eq!(Sps::parse(&[0; 64]), None);
    }
}
