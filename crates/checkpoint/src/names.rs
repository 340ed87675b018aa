//! Long lists of tensor names, said in a few lines.

use std::collections::BTreeMap;
use std::fmt::Write;

/// Kinds of names that a list shows.
const SHOWN: usize = 6;

/// The names in at most seven indented lines, each after a line break: those that differ by numbers alone are one line.
pub(crate) fn listing(names: &[String]) -> String {
    let mut out = String::new();
    if names.len() <= SHOWN {
        for name in names {
            // Writing to a string can't fail.
            let _ = write!(out, "\n  {name}");
        }
        return out;
    }
    let mut kinds: BTreeMap<String, (usize, &str)> = BTreeMap::new();
    for name in names {
        kinds.entry(kind(name)).or_insert((0, name)).0 += 1;
    }
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    kinds.sort_by(|a, b| b.1.0.cmp(&a.1.0).then_with(|| a.0.cmp(&b.0)));
    for (kind, (count, example)) in kinds.iter().take(SHOWN) {
        let _ = match count {
            1 => write!(out, "\n  {example}"),
            _ => write!(out, "\n  {kind} ({count})"),
        };
    }
    if kinds.len() > SHOWN {
        let rest: usize = kinds[SHOWN..].iter().map(|(_, (count, _))| count).sum();
        let _ = write!(out, "\n  … and {rest} more");
    }
    out
}

/// A name with `*` for its numbers.
fn kind(name: &str) -> String {
    let mut out = String::new();
    for piece in name.split_inclusive(['.', '_']) {
        let (word, end) = match piece.char_indices().last() {
            Some((at, c @ ('.' | '_'))) => (&piece[..at], c.to_string()),
            _ => (piece, String::new()),
        };
        let number = !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
        out += if number { "*" } else { word };
        out += &end;
    }
    out
}

/// A number for people: whole where it is, else four digits.
pub(crate) fn short_number(x: f64) -> String {
    if x != 0.0 && x.abs() < 1e-3 {
        return format!("{x:.2e}");
    }
    let text = format!("{x:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_names_are_a_few_lines() {
        let mut names: Vec<String> = (0..40)
            .flat_map(|b| ["q", "k", "v", "o"].map(|l| format!("blocks.{b}.self_attn.{l}.weight")))
            .collect();
        names.extend((0..40).map(|b| format!("lora_unet__blocks_{b}_ffn_0")));
        names.extend(["head.head.weight".to_owned(), "x".to_owned(), "y".to_owned(), "z".to_owned()]);
        let text = listing(&names);
        assert_eq!(text.lines().count(), 8, "{text}");
        assert!(text.contains("\n  blocks.*.self_attn.q.weight (40)"), "{text}");
        assert!(text.contains("\n  lora_unet__blocks_*_ffn_* (40)"), "{text}");
        assert!(text.ends_with("… and 3 more"), "{text}");
        assert_eq!(listing(&names[..2]), "\n  blocks.0.self_attn.q.weight\n  blocks.0.self_attn.k.weight");
        assert_eq!(
            (short_number(1.0), short_number(0.125), short_number(2.0 / 3.0)),
            ("1".into(), "0.125".into(), "0.6667".into())
        );
    }
}
