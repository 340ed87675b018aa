//! Numbered pictures.

use crate::error::{Error, IoContext, Result};
use crate::picture::{PictureFormat, write_picture};
use crate::read::picture_files;
use image::RgbImage;
use std::path::{Path, PathBuf};

/// Writes `<prefix><number><suffix>`.
#[derive(Debug)]
pub(super) struct PictureSink {
    folder: PathBuf,
    prefix: String,
    suffix: String,
    n_digits: usize,
    format: PictureFormat,
    next: usize,
}

impl PictureSink {
    /// `000000.png` and so on in a folder that is made if need be.
    pub(super) fn folder(folder: &Path, format: PictureFormat) -> Result<Self> {
        std::fs::create_dir_all(folder).at(folder, "creating the folder")?;
        // Left-overs of a longer run would become frames of this one.
        if !picture_files(folder)?.is_empty() {
            return Err(Error::NotEmpty { path: folder.to_owned() });
        }
        let suffix = format!(".{}", format.extension());
        Ok(Self { folder: folder.to_owned(), prefix: String::new(), suffix, n_digits: 6, format, next: 0 })
    }

    /// `folder/name_%05d.png`; the quantiser of videos becomes a JPEG quality.
    pub(super) fn pattern(path: &Path, qp: u8) -> Result<Self> {
        let wrong = |reason: &str| Error::UnsupportedOutput {
            path: path.to_owned(),
            format: path.extension().unwrap_or_default().to_string_lossy().into_owned(),
            reason: reason.to_owned(),
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (prefix, digits, suffix) = split_pattern(&name).ok_or_else(|| {
            wrong("a video as pictures needs one number in its name, such as frame_%05d.png")
        })?;
        let format = match PictureFormat::of(path) {
            Some(PictureFormat::Jpeg(_)) => PictureFormat::Jpeg(100 - qp.saturating_sub(12).min(51)),
            Some(format) => format,
            None => return Err(wrong("neither PNG nor JPEG")),
        };
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        if !folder.as_os_str().is_empty() {
            std::fs::create_dir_all(&folder).at(&folder, "creating the folder")?;
        }
        Ok(Self {
            folder,
            prefix: prefix.to_owned(),
            suffix: suffix.to_owned(),
            n_digits: digits,
            format,
            next: 0,
        })
    }

    pub(super) fn push(&mut self, frame: &RgbImage) -> Result<()> {
        let (number, digits) = (self.next, self.n_digits);
        let name = format!("{}{number:0digits$}{}", self.prefix, self.suffix);
        write_picture(self.folder.join(name), frame, self.format)?;
        self.next += 1;
        Ok(())
    }
}

/// Splits `a%05d.png` into `a`, 5 and `.png`.
fn split_pattern(name: &str) -> Option<(&str, usize, &str)> {
    let (prefix, rest) = name.split_once('%')?;
    let (width, suffix) = rest.split_once('d')?;
    let n_digits = if width.is_empty() { 1 } else { width.parse().ok()? };
    (n_digits <= 20 && !suffix.contains('%')).then_some((prefix, n_digits, suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert_eq!(split_pattern("a_%05d.png"), Some(("a_", 5, ".png")));
        assert_eq!(split_pattern("%d.jpg"), Some(("", 1, ".jpg")));
        for bad in ["a.png", "a_%s.png", "a_%5x.png", "%03d_%03d.png", "%99d.png"] {
            assert_eq!(split_pattern(bad), None, "{bad}");
        }
    }
}
