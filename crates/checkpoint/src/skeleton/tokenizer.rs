//! A SentencePiece model of a few pieces: letters.

/// The bytes of a unigram model that knows the letters, written as the protocol buffers of `spiece.model` are.
pub(super) fn toy() -> Vec<u8> {
    const CONTROL: u8 = 3;
    const UNKNOWN: u8 = 2;
    const NORMAL: u8 = 1;
    let special =
        [("<pad>", 0.0, CONTROL), ("</s>", 0.0, CONTROL), ("<unk>", 0.0, UNKNOWN), ("▁", -2.0, NORMAL)];
    let letters: Vec<String> = ('a'..='z').map(String::from).collect();
    let letters = letters.iter().map(|letter| (letter.as_str(), -3.0_f32, NORMAL));
    let mut out = Vec::new();
    for (text, score, kind) in special.into_iter().chain(letters) {
        // Field 1: a piece of text (1), score (2) and kind (3).
        let mut piece = vec![0x0a, u8::try_from(text.len()).unwrap_or(u8::MAX)];
        piece.extend(text.as_bytes());
        piece.push(0x15);
        piece.extend(score.to_le_bytes());
        piece.extend([0x18, kind]);
        out.extend([0x0a, u8::try_from(piece.len()).unwrap_or(u8::MAX)]);
        out.extend(piece);
    }
    out
}
