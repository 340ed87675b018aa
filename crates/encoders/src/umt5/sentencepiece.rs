//! Reading a SentencePiece unigram model (`spiece.model`) as published: a protocol-buffer message.
//!
//! Field numbers are those of `sentencepiece_model.proto` in the SentencePiece project: `pieces` = 1 (`piece` = 1,
//! `score` = 2, `type` = 3), `normalizer_spec` = 3 (`precompiled_charsmap` = 2).

use crate::{Error, Result};

/// The parts of a model file that tokenisation needs.
#[derive(Clone, Debug, Default)]
pub(super) struct SentencePiece {
    /// Pieces with their log probabilities; the position is the token id.
    pub(super) pieces: Vec<(String, f64)>,
    /// Id of the piece that stands for what the vocabulary lacks.
    pub(super) unknown: Option<usize>,
    /// Ids of control pieces such as `</s>`, which never come out of text.
    pub(super) control: Vec<usize>,
    /// Does the vocabulary spell unknown characters in bytes?
    pub(super) byte_fallback: bool,
    /// The normaliser's compiled table of character replacements.
    pub(super) charsmap: Vec<u8>,
}

const UNKNOWN: u64 = 2;
const CONTROL: u64 = 3;
const BYTE: u64 = 6;

impl SentencePiece {
    /// Parses a model file.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self> {
        let mut model = Self::default();
        for field in Fields::new(bytes, 0) {
            match field? {
                (1, Value::Bytes(piece, at)) => model.add_piece(piece, at)?,
                (3, Value::Bytes(spec, at)) => {
                    for field in Fields::new(spec, at) {
                        if let (2, Value::Bytes(map, _)) = field? {
                            model.charsmap = map.to_vec();
                        }
                    }
                }
                _ => {}
            }
        }
        if model.pieces.is_empty() {
            return Err(Error::SentencePiece { at: 0, why: "it has no pieces" });
        }
        Ok(model)
    }

    fn add_piece(&mut self, bytes: &[u8], at: usize) -> Result<()> {
        let (mut text, mut score, mut kind) = (String::new(), 0.0, 1);
        for field in Fields::new(bytes, at) {
            match field? {
                (1, Value::Bytes(piece, at)) => {
                    let not_utf8 = |_| Error::SentencePiece { at, why: "a piece isn't UTF-8" };
                    text = std::str::from_utf8(piece).map_err(not_utf8)?.to_owned();
                }
                (2, Value::Fixed32(bits)) => score = f64::from(f32::from_bits(bits)),
                (3, Value::Varint(value)) => kind = value,
                _ => {}
            }
        }
        let id = self.pieces.len();
        match kind {
            UNKNOWN => self.unknown = Some(id),
            CONTROL => self.control.push(id),
            BYTE => self.byte_fallback = true,
            _ => {}
        }
        self.pieces.push((text, score));
        Ok(())
    }
}

enum Value<'a> {
    Varint(u64),
    Fixed32(u32),
    Fixed64,
    /// The bytes and where they start in the file.
    Bytes(&'a [u8], usize),
}

/// The fields of one message, in file order.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
    base: usize,
}

impl<'a> Fields<'a> {
    fn new(bytes: &'a [u8], base: usize) -> Self {
        Self { bytes, at: 0, base }
    }

    fn error<T>(&mut self, why: &'static str) -> Result<T> {
        let at = self.base + self.at;
        self.at = self.bytes.len();
        Err(Error::SentencePiece { at, why })
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let Some(&byte) = self.bytes.get(self.at) else {
                return self.error("it ends inside a number");
            };
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        self.error("a number is longer than 64 bits")
    }

    fn take(&mut self, n: u64) -> Result<&'a [u8]> {
        let end = usize::try_from(n).ok().and_then(|n| self.at.checked_add(n));
        match end.and_then(|end| self.bytes.get(self.at..end).map(|bytes| (bytes, end))) {
            Some((bytes, end)) => {
                self.at = end;
                Ok(bytes)
            }
            None => self.error("a field reaches beyond the end"),
        }
    }

    fn field(&mut self) -> Result<(u64, Value<'a>)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => {
                self.take(8)?;
                Value::Fixed64
            }
            2 => {
                let length = self.varint()?;
                let start = self.base + self.at;
                Value::Bytes(self.take(length)?, start)
            }
            5 => {
                let bytes = self.take(4)?;
                Value::Fixed32(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
            }
            _ => return self.error("it has a field of unknown type"),
        };
        Ok((tag >> 3, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>)>;

    fn next(&mut self) -> Option<Self::Item> {
        (self.at < self.bytes.len()).then(|| self.field())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `pieces { piece: "ab" score: -1.5 }` and `pieces { piece: "</s>" type: CONTROL }`.
    const MODEL: &[u8] = b"\x0a\x09\x0a\x02ab\x15\x00\x00\xc0\xbf\x0a\x08\x0a\x04</s>\x18\x03";

    #[test]
    fn reads_pieces_scores_and_types() {
        let model = SentencePiece::parse(MODEL).unwrap();
        assert_eq!(model.pieces, [("ab".to_owned(), -1.5), ("</s>".to_owned(), 0.0)]);
        assert_eq!(model.control, [1]);
        assert_eq!(model.unknown, None);
    }

    #[test]
    fn every_truncation_is_an_error_or_a_shorter_model() {
        for n in 0..MODEL.len() {
            match SentencePiece::parse(&MODEL[..n]) {
                Ok(model) => assert!(model.pieces.len() < 2, "cut at {n}"),
                Err(Error::SentencePiece { at, .. }) => assert!(at <= n, "cut at {n}"),
                Err(other) => panic!("cut at {n}: {other}"),
            }
        }
    }

    #[test]
    fn a_lying_length_is_an_error() {
        let error = SentencePiece::parse(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7fab").unwrap_err();
        assert!(matches!(error, Error::SentencePiece { why: "a field reaches beyond the end", .. }));
    }
}
