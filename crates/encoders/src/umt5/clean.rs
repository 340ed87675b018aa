//! What happens to a prompt before it is cut into tokens.

/// Repairs mis-decoded text, resolves HTML entities (twice) and collapses white space, as the reference does with
/// `ftfy.fix_text`, `html.unescape` and `\s+`.
///
/// Full-width letters and punctuation become ASCII and curly quotes straight ones, which is why `，` in a Chinese
/// prompt reaches the model as `,`.
#[must_use]
pub fn clean_prompt(text: &str) -> String {
    let fixed = plsfix::fix_text(text, None);
    let unescaped = htmlize::unescape(htmlize::unescape(&fixed)).into_owned();
    unescaped.split(is_python_space).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// `\s` of Python's regular expressions on text: Unicode white space and the four ASCII separators.
fn is_python_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::clean_prompt;

    #[test]
    fn collapses_white_space_of_every_kind() {
        assert_eq!(clean_prompt("\ta\u{a0}b\u{3000}c\n\nd "), "a b c d");
        assert_eq!(clean_prompt(""), "");
    }

    #[test]
    fn resolves_entities_twice() {
        assert_eq!(clean_prompt("a &amp;amp; b &lt;b&gt;"), "a & b <b>");
    }

    #[test]
    fn repairs_text_that_was_decoded_wrongly() {
        assert_eq!(clean_prompt("schÃ¶n âœ”"), "schön ✔");
    }

    #[test]
    fn narrows_full_width_characters() {
        assert_eq!(clean_prompt("ＡＢＣ，１２３"), "ABC,123");
    }
}
