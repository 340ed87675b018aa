//! From a prompt to token ids.

use super::clean_prompt;
use super::sentencepiece::SentencePiece;
use crate::{Error, Result};
use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::Precompiled;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
use tokenizers::{AddedToken, NormalizerWrapper, PreTokenizerWrapper};

/// Ends every prompt.
const END: &str = "</s>";

/// UMT5's tokenizer.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    end: u32,
}

/// The tokens of one prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenizedPrompt {
    /// The cleaned text.
    pub text: String,
    /// Token ids, `</s>` last, not padded.
    pub ids: Vec<u32>,
    /// Was the prompt longer than the context and cut?
    pub truncated: bool,
}

impl TokenizedPrompt {
    /// Ids padded with 0 to `len`, and 1 for each real token, as the reference hands them to its encoder.
    #[must_use]
    pub fn padded(&self, len: usize) -> (Vec<u32>, Vec<u32>) {
        let mut ids = self.ids.clone();
        ids.resize(len, 0);
        let mask = (0..len).map(|i| u32::from(i < self.ids.len())).collect();
        (ids, mask)
    }
}

impl Tokenizer {
    /// From the bytes of a `tokenizer.json`.
    ///
    /// # Errors
    /// When it can't be parsed or has no `</s>`.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(tokenizer_error)?;
        // Both are done here, whatever the file says.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(tokenizer_error)?;
        Self::new(inner)
    }

    /// From the bytes of a SentencePiece unigram model (`spiece.model`).
    ///
    /// # Errors
    /// When it is damaged or has no `</s>`.
    pub fn from_sentencepiece(bytes: &[u8]) -> Result<Self> {
        let model = SentencePiece::parse(bytes)?;
        let special: Vec<AddedToken> = model
            .control
            .iter()
            .chain(&model.unknown)
            .map(|&id| AddedToken::from(model.pieces[id].0.clone(), true).normalized(false))
            .collect();
        let unigram =
            Unigram::from(model.pieces, model.unknown, model.byte_fallback).map_err(tokenizer_error)?;
        let mut inner = tokenizers::Tokenizer::new(unigram);
        if !model.charsmap.is_empty() {
            let normalizer = Precompiled::from(&model.charsmap)
                .map_err(|e| Error::Tokenizer(format!("the normaliser's table is damaged: {e}")))?;
            inner
                .with_normalizer(Some(NormalizerWrapper::Precompiled(normalizer)))
                .map_err(tokenizer_error)?;
        }
        inner.with_pre_tokenizer(Some(PreTokenizerWrapper::Sequence(Sequence::new(vec![
            PreTokenizerWrapper::WhitespaceSplit(WhitespaceSplit),
            PreTokenizerWrapper::Metaspace(Metaspace::new('▁', PrependScheme::Always, true)),
        ]))));
        inner.add_special_tokens(special).map_err(tokenizer_error)?;
        Self::new(inner)
    }

    fn new(inner: tokenizers::Tokenizer) -> Result<Self> {
        let end = inner.token_to_id(END).ok_or_else(|| Error::Tokenizer(format!("it has no {END} token")))?;
        Ok(Self { inner, end })
    }

    /// Cleans a prompt and cuts it into at most `max_len` tokens, `</s>` included.
    ///
    /// # Errors
    /// When the tokenizer fails or `max_len` is 0.
    pub fn tokenize(&self, prompt: &str, max_len: usize) -> Result<TokenizedPrompt> {
        if max_len == 0 {
            return Err(Error::TooManyTokens { got: 1, room: 0 });
        }
        let text = clean_prompt(prompt);
        let encoding = self.inner.encode(text.as_str(), false).map_err(tokenizer_error)?;
        let mut ids = encoding.get_ids().to_vec();
        let truncated = ids.len() >= max_len;
        ids.truncate(max_len - 1);
        ids.push(self.end);
        Ok(TokenizedPrompt { text, ids, truncated })
    }
}

fn tokenizer_error(error: impl std::fmt::Display) -> Error {
    Error::Tokenizer(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toy() -> Vec<u8> {
        fn piece(text: &str, score: f32, kind: u8) -> Vec<u8> {
            let mut body = vec![0x0a, text.len() as u8];
            body.extend(text.as_bytes());
            body.push(0x15);
            body.extend(score.to_le_bytes());
            body.extend([0x18, kind]);
            let mut field = vec![0x0a, body.len() as u8];
            field.extend(body);
            field
        }
        [
            ("<pad>", 0.0, 3),
            ("</s>", 0.0, 3),
            ("<unk>", 0.0, 2),
            ("▁a", -1.0, 1),
            ("▁", -2.0, 1),
            ("b", -2.0, 1),
        ]
        .iter()
        .flat_map(|&(t, s, k)| piece(t, s, k))
        .collect()
    }

    #[test]
    fn ends_every_prompt_and_cuts_long_ones() {
        let tokenizer = Tokenizer::from_sentencepiece(&toy()).unwrap();
        assert_eq!(tokenizer.tokenize("a ab", 512).unwrap().ids, [3, 3, 5, 1]);
        let cut = tokenizer.tokenize("a a a a", 3).unwrap();
        assert_eq!((cut.ids.as_slice(), cut.truncated), (&[3, 3, 1][..], true));
        let empty = tokenizer.tokenize("", 4).unwrap();
        assert_eq!(empty.padded(4), (vec![1, 0, 0, 0], vec![1, 0, 0, 0]));
    }

    #[test]
    fn bad_files_are_errors() {
        assert!(matches!(Tokenizer::from_json(b"{}"), Err(Error::Tokenizer(_))));
        assert!(Tokenizer::from_sentencepiece(b"").is_err());
    }
}
