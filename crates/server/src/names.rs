//! Names and identifiers: what a caller may call a file, and what this server calls things.

use crate::clock::Clock;
use crate::{Error, Result};
use sha2::{Digest, Sha256};
use std::path::{Component, Path, PathBuf};

/// Bytes that a file's name has at most.
const LONGEST: usize = 150;

/// A file's name as a caller gives it, made harmless: no folder, nothing hidden, nothing that a system takes for a device.
///
/// What isn't allowed becomes `_`; a name of which nothing is left is `file`.
pub(crate) fn harmless(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut clean: String = last
        .chars()
        .map(|c| match c {
            '<' | '>' | ':' | '"' | '|' | '?' | '*' | '%' => '_',
            c if c.is_control() || is_invisible(c) => '_',
            c => c,
        })
        .collect();
    let is_end = |c: char| c == '.' || c.is_whitespace();
    clean = clean.trim_matches(is_end).to_owned();
    let (stem, ending) = match clean.rsplit_once('.') {
        Some((stem, ending)) if ending.len() <= 16 => (stem.to_owned(), format!(".{ending}")),
        _ => (clean, String::new()),
    };
    // What is cut off may leave an end, or a device's name, that wasn't one before.
    let shortened = |mut stem: String| {
        while stem.len() + ending.len() > LONGEST {
            stem.pop();
        }
        stem.truncate(stem.trim_end_matches(is_end).len());
        stem
    };
    let mut stem = shortened(stem);
    if stem.is_empty() {
        stem = "file".to_owned();
    }
    if is_device(&stem) {
        stem = shortened(format!("_{stem}"));
    }
    stem + &ending
}

/// Characters that make a name look like another one.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Names that Windows keeps for devices, whatever their ending.
fn is_device(stem: &str) -> bool {
    let first = stem.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let numbered = |prefix: &str| {
        first.strip_prefix(prefix).is_some_and(|n| n.len() == 1 && n.chars().all(|c| c.is_ascii_digit()))
    };
    matches!(first.as_str(), "CON" | "PRN" | "AUX" | "NUL") || numbered("COM") || numbered("LPT")
}

/// A path within a folder, as a caller gives it: plain names between slashes, none of them hidden. `None` for all else.
pub(crate) fn relative(path: &str) -> Option<PathBuf> {
    if path.is_empty() || path.len() > 1024 || path.contains(['\\', '\0', ':']) {
        return None;
    }
    let path = Path::new(path);
    let plain = |component: Component<'_>| match component {
        Component::Normal(name) => name.to_str().is_some_and(|name| !name.starts_with('.')),
        _ => false,
    };
    path.components().all(plain).then(|| path.to_owned())
}

/// Hexadecimal digits of bytes.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Random bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Error::Random(error.to_string()))?;
    Ok(bytes)
}

/// A new identifier: later ones sort after earlier ones.
pub(crate) fn new_id(prefix: &str, clock: &Clock) -> Result<String> {
    Ok(format!("{prefix}_{:012x}{}", clock.now_ms(), hex(&random::<6>()?)))
}

/// Is it an identifier that [`new_id`] makes?
pub(crate) fn is_id(prefix: &str, id: &str) -> bool {
    let digits = id.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_'));
    digits.is_some_and(|d| d.len() == 24 && d.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

/// The first half of a SHA-256, in hexadecimal.
pub(crate) fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex(&hash.finalize()[..16])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    #[test]
    fn names_lose_what_could_do_harm_and_nothing_else() {
        for (given, kept) in [
            ("clip.mp4", "clip.mp4"),
            ("Мой танец.mp4", "Мой танец.mp4"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Windows\\x.png", "x.png"),
            ("..", "file"),
            ("", "file"),
            (".htaccess", "htaccess"),
            ("a\0b\nc.png", "a_b_c.png"),
            ("con.png", "_con.png"),
            ("x.png. ", "x.png"),
            ("photo\u{202e}gnp.exe", "photo_gnp.exe"),
            ("%2e%2e%2fx", "_2e_2e_2fx"),
        ] {
            assert_eq!(harmless(given), kept, "{given:?}");
        }
        assert!(harmless(&"ü".repeat(500)).len() <= LONGEST);
        // Cut off where a name mustn't end, or so that a device is left.
        assert_eq!(
            harmless(&format!("{}. .{}", "a".repeat(LONGEST - 3), "b".repeat(40))),
            "a".repeat(LONGEST - 3)
        );
        assert_eq!(harmless(&format!("con{}x", " ".repeat(LONGEST))), "_con");
        let device = harmless(&format!("con.{}", "b".repeat(200)));
        assert_eq!((device.len(), harmless(&device)), (LONGEST, device));
    }

    #[test]
    fn paths_stay_inside() {
        for good in ["a.mp4", "walk/motion.json", "results/video_1/video.mp4"] {
            assert_eq!(relative(good).as_deref(), Some(Path::new(good)));
        }
        for bad in [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "./x",
            ".anicrafter/token",
            "a/.b",
            "a\\b",
            "C:x",
            "a\0",
            "file:///etc/passwd",
            "http://169.254.169.254/",
        ] {
            assert!(relative(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn identifiers_sort_by_time() {
        let clock = Clock::standing_at_ms(5);
        let first = new_id("video", &clock).unwrap();
        clock.advance_ms(1);
        let second = new_id("video", &clock).unwrap();
        assert!(first < second && is_id("video", &first) && !is_id("file", &first));
        assert!(!is_id("video", "video_../../x"));
    }

    proptest! {
        #[test]
        fn whatever_is_given_a_name_is_one_plain_component(given in "\\PC{0,300}|[./\\\\a\u{0}-\u{1f}]{0,40}") {
            let name = harmless(&given);
            prop_assert!(!name.is_empty() && name.len() <= LONGEST + 16);
            prop_assert_eq!(relative(&name), Some(PathBuf::from(&name)));
            prop_assert_eq!(harmless(&name), name);
        }

        #[test]
        fn whatever_is_given_a_path_stays_inside(given in "\\PC{0,60}|(\\.|/|\\\\|a|:|%2e){0,30}") {
            if let Some(path) = relative(&given) {
                let joined = Path::new("/library").join(&path);
                prop_assert!(joined.starts_with("/library"));
                prop_assert!(path.components().all(|c| matches!(c, Component::Normal(_))));
            }
        }
    }
}
