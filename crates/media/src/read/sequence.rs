//! Folders of pictures, and single pictures.

use super::VideoInfo;
use crate::error::{Error, IoContext, Result};
use crate::orientation::Orientation;
use crate::picture::read_picture;
use crate::rate::FrameRate;
use image::RgbImage;
use std::cmp::Ordering;
use std::path::{Path, PathBuf};

const EXTENSIONS: [&str; 3] = ["png", "jpg", "jpeg"];

/// Does the name end like a picture's?
pub(crate) fn is_picture(path: &Path) -> bool {
    let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    extension.is_some_and(|e| EXTENSIONS.contains(&e.as_str()))
}

/// The PNG and JPEG files of a folder in natural order: `frame2` before `frame10`.
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
}

impl Pictures {
    pub(super) fn open(path: &Path, frame_rate: FrameRate) -> Result<(VideoInfo, Self)> {
        let files = if path.is_dir() { picture_files(path)? } else { vec![path.to_owned()] };
        let Some(first) = files.first() else { return Err(Error::NoFrames { path: path.to_owned() }) };
        let size = image::image_dimensions(first).map_err(|source| Error::Picture {
            path: first.clone(),
            action: "reading the picture's size",
            source,
        })?;
        let info = VideoInfo {
            width: size.0,
            height: size.1,
            frame_rate,
            frames: Some(files.len()),
            orientation: Orientation::default(),
            color: None,
            codec: "pictures".to_owned(),
            has_audio: false,
        };
        Ok((info, Self { files: files.into_iter(), n_read: 0, size }))
    }

    pub(super) fn next_frame(&mut self) -> Result<Option<RgbImage>> {
        let Some(path) = self.files.next() else { return Ok(None) };
        let picture = read_picture(&path)?;
        if picture.dimensions() != self.size {
            let (expected, got) = (self.size, picture.dimensions());
            return Err(Error::FrameSize { path, frame: self.n_read, expected, got });
        }
        self.n_read += 1;
        Ok(Some(picture))
    }
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
