//! Folders of pictures, and single pictures.

use super::{ReadOptions, Timing, VideoInfo};
use crate::error::{Error, IoContext, Result};
use crate::orientation::Orientation;
use crate::picture::{MatteReader, gray_to_rgb, picture_size, read_picture};
use image::RgbImage;
use sniff::Kind;
use std::cmp::Ordering;
use std::path::{Path, PathBuf};

const EXTENSIONS: [&str; 6] = ["png", "jpg", "jpeg", "webp", "bmp", "gif"];

/// Is it a picture that is decoded here?
pub(super) fn is_built_in(kind: Kind) -> bool {
    matches!(kind, Kind::Png | Kind::Jpeg | Kind::Webp | Kind::Bmp | Kind::Gif)
}

/// Does the name end like a picture's?
fn is_picture(path: &Path) -> bool {
    let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    extension.is_some_and(|e| EXTENSIONS.contains(&e.as_str()))
}

/// The PNG, JPEG, WebP, BMP and GIF files of a folder in natural order: `frame2` before `frame10`.
///
/// # Errors
/// When the folder can't be read.
pub fn picture_files(folder: impl AsRef<Path>) -> Result<Vec<PathBuf>> {
    let folder = folder.as_ref();
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).at(folder, "listing")? {
        let path = entry.at(folder, "listing")?.path();
        let hidden = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
        if is_picture(&path) && !hidden {
            files.push(path);
        }
    }
    files.sort_by(|a, b| natural_order(&a.to_string_lossy(), &b.to_string_lossy()).then_with(|| a.cmp(b)));
    Ok(files)
}

/// Compares runs of digits by value, everything else by character.
fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.chars().peekable(), b.chars().peekable());
    loop {
        match (a.peek().copied(), b.peek().copied()) {
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (x, y) = (digits(&mut a), digits(&mut b));
                let by_value = x.len().cmp(&y.len()).then_with(|| x.cmp(&y));
                if by_value != Ordering::Equal {
                    return by_value;
                }
            }
            (Some(x), Some(y)) if x == y => {
                a.next();
                b.next();
            }
            (x, y) => return x.cmp(&y),
        }
    }
}

/// Takes a run of digits, leading zeros left out.
fn digits(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut run = String::new();
    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
        if !(run.is_empty() && digit == '0') {
            run.push(digit);
        }
    }
    run
}

/// Pictures as frames.
#[derive(Debug)]
pub(super) struct Pictures {
    files: std::vec::IntoIter<PathBuf>,
    n_read: usize,
    size: (u32, u32),
    /// Reads alpha where it varies.
    matte: Option<MatteReader>,
}

impl Pictures {
    /// All pictures of a folder, in natural order.
    pub(super) fn folder(path: &Path, options: &ReadOptions) -> Result<(VideoInfo, Self)> {
        let files = picture_files(path)?;
        if files.is_empty() {
            return Err(Error::NoPictures { path: path.to_owned(), found: other_files(path)? });
        }
        Self::of(files, false, options)
    }

    /// One picture.
    pub(super) fn still(path: &Path, options: &ReadOptions) -> Result<(VideoInfo, Self)> {
        Self::of(vec![path.to_owned()], true, options)
    }

    fn of(files: Vec<PathBuf>, still: bool, options: &ReadOptions) -> Result<(VideoInfo, Self)> {
        let Some(first) = files.first() else { return Err(Error::NoFrames { path: PathBuf::new() }) };
        let size = picture_size(first)?;
        let frame_rate = match options.timing {
            Timing::EvenAt(rate) => rate,
            _ => options.sequence_rate,
        };
        let info = VideoInfo {
            width: size.0,
            height: size.1,
            frame_rate,
            frames: Some(files.len()),
            start_s: 0.0,
            still,
            orientation: Orientation::default(),
            color: None,
            codec: "pictures".to_owned(),
            has_audio: false,
            shown: None,
        };
        let matte = options.matte.then(MatteReader::default);
        Ok((info, Self { files: files.into_iter(), n_read: 0, size, matte }))
    }

    pub(super) fn next_frame(&mut self) -> Result<Option<RgbImage>> {
        let Some(path) = self.files.next() else { return Ok(None) };
        let picture = match &mut self.matte {
            Some(reader) => gray_to_rgb(&reader.read(&path)?),
            None => read_picture(&path)?,
        };
        if picture.dimensions() != self.size {
            let (expected, got) = (self.size, picture.dimensions());
            return Err(Error::FrameSize { path, frame: self.n_read, expected, got });
        }
        self.n_read += 1;
        Ok(Some(picture))
    }
}

/// What lies in a folder without pictures, in words.
fn other_files(folder: &Path) -> Result<String> {
    let mut kinds = std::collections::BTreeMap::<String, usize>::new();
    for entry in std::fs::read_dir(folder).at(folder, "listing")? {
        let path = entry.at(folder, "listing")?.path();
        if path.is_file() {
            let kind = Kind::of_file(&path).map_or("unreadable".to_owned(), |k| k.to_string());
            *kinds.entry(kind).or_default() += 1;
        }
    }
    let list: Vec<String> = kinds.into_iter().map(|(kind, n)| format!("{n} × {kind}")).collect();
    Ok(if list.is_empty() { "no files".to_owned() } else { list.join(", ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_sort_by_value() {
        let mut names = ["f10.png", "f2.png", "f002.png", "f1.png", "g1.png", "f1b.png"];
        names.sort_by(|a, b| natural_order(a, b).then_with(|| a.cmp(b)));
        assert_eq!(names, ["f1.png", "f1b.png", "f002.png", "f2.png", "f10.png", "g1.png"]);
    }
}
