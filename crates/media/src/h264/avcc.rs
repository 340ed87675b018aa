//! H.264 as mp4 stores it: parameter sets in the `avcC` box, lengths instead of start codes.

use crate::mp4::boxes::Reader;

/// The contents of an `avcC` box (ISO/IEC 14496-15, 5.3.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AvcConfig {
    /// Bytes of each length in front of a NAL unit: 1, 2 or 4.
    pub(crate) length_size: usize,
    pub(crate) sps: Vec<Vec<u8>>,
    pub(crate) pps: Vec<Vec<u8>>,
}

impl AvcConfig {
    pub(crate) fn parse(avcc: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(avcc);
        reader.skip(4)?;
        let length_size = usize::from(reader.u8()? & 3) + 1;
        let n_sps = reader.u8()? & 31;
        let sps = units(&mut reader, n_sps)?;
        let n_pps = reader.u8()?;
        let pps = units(&mut reader, n_pps)?;
        (length_size != 3).then_some(Self { length_size, sps, pps })
    }

    /// The box's payload for these parameter sets.
    pub(crate) fn write(&self) -> Vec<u8> {
        let sps = self.sps.first().map_or(&[][..], |s| s);
        let byte = |i: usize| sps.get(i).copied().unwrap_or(0);
        let mut out = vec![1, byte(1), byte(2), byte(3), 0xfc | (self.length_size as u8 - 1)];
        out.push(0xe0 | self.sps.len() as u8);
        for (i, unit) in self.sps.iter().chain(&self.pps).enumerate() {
            if i == self.sps.len() {
                out.push(self.pps.len() as u8);
            }
            out.extend((unit.len() as u16).to_be_bytes());
            out.extend(unit);
        }
        out
    }

    /// The parameter sets with start codes.
    pub(crate) fn annex_b(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for unit in self.sps.iter().chain(&self.pps) {
            out.extend(START_CODE);
            out.extend(unit);
        }
        out
    }

    /// Appends a sample to `out`, its lengths replaced by start codes. False where a length lies.
    pub(crate) fn append_annex_b(&self, sample: &[u8], out: &mut Vec<u8>) -> bool {
        let mut rest = sample;
        while !rest.is_empty() {
            let Some((length, tail)) = rest.split_at_checked(self.length_size) else { return false };
            let n = length.iter().fold(0_usize, |n, &b| n << 8 | usize::from(b));
            let Some((unit, tail)) = tail.split_at_checked(n) else { return false };
            out.extend(START_CODE);
            out.extend(unit);
            rest = tail;
        }
        true
    }
}

const START_CODE: [u8; 4] = [0, 0, 0, 1];

fn units(reader: &mut Reader<'_>, n: u8) -> Option<Vec<Vec<u8>>> {
    (0..n)
        .map(|_| {
            let len = reader.u16()?;
            reader.take(len.into()).map(<[u8]>::to_vec)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_it_reads() {
        let config = AvcConfig {
            length_size: 4,
            sps: vec![vec![0x67, 66, 0xc0, 30, 1]],
            pps: vec![vec![0x68, 2], vec![0x68, 3, 4]],
        };
        assert_eq!(AvcConfig::parse(&config.write()), Some(config.clone()));
        let mut out = Vec::new();
        assert!(config.append_annex_b(&[0, 0, 0, 2, 7, 8, 0, 0, 0, 1, 9], &mut out));
        assert_eq!(out, [0, 0, 0, 1, 7, 8, 0, 0, 0, 1, 9]);
        assert!(!config.append_annex_b(&[0, 0, 0, 3, 7, 8], &mut out));
        assert!(!config.append_annex_b(&[0, 0], &mut out));
        assert_eq!(AvcConfig::parse(&config.write()[..9]), None);
    }
}
