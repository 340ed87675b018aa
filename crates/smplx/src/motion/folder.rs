//! The frame files of a folder: which files are frames, in which order, and which aren't.

use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The files of one person's frames.
pub(super) struct FrameFiles {
    /// Number and file, in the order of the numbers.
    pub(super) files: Vec<(usize, PathBuf)>,
    /// What there is to say: files that were passed over, other people.
    pub(super) notes: Vec<String>,
}

/// A frame file's name, taken apart.
struct Name {
    prefix: String,
    number: usize,
    person: Option<usize>,
}

impl FrameFiles {
    /// The files of a folder that end in `extension` and are named by a frame's number: `00001`, `frame_00001`, or with a
    /// person's number behind it, `00001_0`. Hidden files and files of other names are counted.
    ///
    /// # Errors
    /// When the folder can't be read, has no such file or not that person's.
    pub(super) fn find(folder: &Path, extension: &str, person: Option<usize>) -> Result<Self> {
        let io = |source| Error::Io { path: folder.to_owned(), source };
        let (mut stems, mut others) = (Vec::new(), Vec::new());
        for entry in std::fs::read_dir(folder).map_err(io)? {
            let path = entry.map_err(io)?.path();
            if path.is_dir() {
                continue;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let fits = path.extension().is_some_and(|e| e.eq_ignore_ascii_case(extension));
            if fits && !name.starts_with('.') {
                stems.push((stem, path));
            } else {
                others.push(name);
            }
        }
        stems.sort();
        let names = names(&stems.iter().map(|(stem, _)| stem.as_str()).collect::<Vec<_>>());
        let mut people: BTreeMap<Option<usize>, Vec<(usize, PathBuf)>> = BTreeMap::new();
        for ((stem, path), name) in stems.into_iter().zip(names) {
            match name {
                Some(name) => people.entry(name.person).or_default().push((name.number, path)),
                None => others.push(format!("{stem}.{extension}")),
            }
        }
        let mut notes = Vec::new();
        if let [first, ..] = &others[..] {
            notes.push(match others.len() {
                1 => format!("{first} is no frame's file and was passed over"),
                n => format!("{n} files, {first} among them, are no frames' files and were passed over"),
            });
        }
        let longest = people.iter().max_by_key(|(id, files)| (files.len(), std::cmp::Reverse(**id)));
        let Some((&longest, _)) = longest else {
            let what =
                format!("{} ({} files, none named by a frame's number)", folder.display(), others.len());
            return Err(Error::NoFrames { what });
        };
        let chosen = if people.contains_key(&None) { longest } else { person.or(longest) };
        let ids: Vec<usize> = people.keys().copied().flatten().collect();
        let Some(mut files) = people.remove(&chosen) else {
            return Err(super::estimators::no_such_person(person.unwrap_or_default(), &ids));
        };
        if let (true, Some(id)) = (ids.len() > 1, chosen) {
            notes.push(super::estimators::chosen_of(&ids, id, files.len()));
        }
        files.sort();
        Ok(Self { files, notes })
    }
}

/// What each name says, where all are read the same way. Plain numbers win over everything else; else the prefix that most names
/// share.
fn names(stems: &[&str]) -> Vec<Option<Name>> {
    let is_number = |stem: &&str| !stem.is_empty() && stem.bytes().all(|b| b.is_ascii_digit());
    if stems.iter().any(is_number) {
        let plain = |stem: &&str| {
            let number = if is_number(stem) { stem.parse().ok()? } else { return None };
            Some(Name { prefix: String::new(), number, person: None })
        };
        return stems.iter().map(plain).collect();
    }
    // With a person behind the frame where every name can be read so, and the frames differ.
    let with_person: Vec<Option<Name>> = stems.iter().map(|stem| take_apart(stem, true)).collect();
    let mut numbers: Vec<usize> = with_person.iter().flatten().map(|name| name.number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let people = with_person.iter().flatten().count();
    let has_people = people * 2 > stems.len() && (numbers.len() > 1 || people == 1);
    let names =
        if has_people { with_person } else { stems.iter().map(|stem| take_apart(stem, false)).collect() };
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for name in names.iter().flatten() {
        *counts.entry(name.prefix.clone()).or_default() += 1;
    }
    let common = counts.into_iter().max_by_key(|(_, n)| *n).map(|(prefix, _)| prefix).unwrap_or_default();
    names.into_iter().map(|name| name.filter(|name| name.prefix == common)).collect()
}

/// `PREFIX NUMBER` or, with a person, `PREFIX NUMBER _ PERSON`.
fn take_apart(stem: &str, with_person: bool) -> Option<Name> {
    let digits_from = |text: &str| text.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (rest, person) = if with_person {
        let at = digits_from(stem);
        let (rest, digits) = stem.split_at(at);
        let padded = digits.len() > 1 && digits.starts_with('0');
        if digits.is_empty() || digits.len() > 2 || padded {
            return None;
        }
        let rest = rest.strip_suffix('_').or_else(|| rest.strip_suffix('-'))?;
        (rest, Some(digits.parse().ok()?))
    } else {
        (stem, None)
    };
    let (prefix, digits) = rest.split_at(digits_from(rest));
    Some(Name { prefix: prefix.to_owned(), number: digits.parse().ok()?, person })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(stems: &[&str]) -> Vec<Option<(usize, Option<usize>)>> {
        names(stems).into_iter().map(|name| name.map(|n| (n.number, n.person))).collect()
    }

    #[test]
    fn numbers_are_found_in_names() {
        assert_eq!(read(&["00001", "2", "camera"]), [Some((1, None)), Some((2, None)), None]);
        assert_eq!(read(&["frame_00001", "frame_00002", "cam1"]), [Some((1, None)), Some((2, None)), None]);
        assert_eq!(
            read(&["00001_0", "00002_0", "00002_1"]),
            [Some((1, Some(0))), Some((2, Some(0))), Some((2, Some(1)))]
        );
        // One shot of many frames, not one frame of many people.
        assert_eq!(read(&["shot_3_1", "shot_3_2"]), [Some((1, None)), Some((2, None))]);
        assert_eq!(read(&["video2_00001", "video2_00002"]), [Some((1, None)), Some((2, None))]);
        assert_eq!(read(&["camera"]), [None]);
    }
}
