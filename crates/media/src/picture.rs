//! Single PNG and JPEG files.

use crate::error::{Error, Result};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{DynamicImage, ImageReader, RgbImage};
use std::io::Write;
use std::path::Path;

/// How pictures are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureFormat {
    /// Without loss.
    Png,
    /// With loss, quality 1 to 100.
    Jpeg(u8),
}

impl PictureFormat {
    /// By the file's extension; JPEG in quality 95.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_string_lossy().to_ascii_lowercase().as_str() {
            "png" => Some(Self::Png),
            "jpg" | "jpeg" => Some(Self::Jpeg(95)),
            _ => None,
        }
    }

    /// The usual extension.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg(_) => "jpg",
        }
    }
}

/// Reads a PNG or JPEG file as 8-bit RGB; an alpha channel is dropped.
///
/// # Errors
/// When the file can't be read or isn't such a picture.
pub fn read_picture(path: impl AsRef<Path>) -> Result<RgbImage> {
    let path = path.as_ref();
    let picture = |source| Error::Picture { path: path.to_owned(), action: "decoding the picture", source };
    let reader = ImageReader::open(path).map_err(|e| picture(e.into()))?;
    let reader = reader.with_guessed_format().map_err(|e| picture(e.into()))?;
    Ok(match reader.decode().map_err(picture)? {
        // The general conversion goes through floating-point numbers.
        DynamicImage::ImageLuma8(gray) => {
            let mut out = RgbImage::new(gray.width(), gray.height());
            for (out, gray) in out.as_chunks_mut::<3>().0.iter_mut().zip(gray.iter()) {
                *out = [*gray; 3];
            }
            out
        }
        other => other.into_rgb8(),
    })
}

/// Writes a picture under a temporary name and renames it when it is complete.
///
/// # Errors
/// When the picture has no pixels or the file can't be written.
pub fn write_picture(path: impl AsRef<Path>, picture: &RgbImage, format: PictureFormat) -> Result<()> {
    let path = path.as_ref();
    let mut out = std::io::BufWriter::new(crate::mp4::mux::temporary_beside(path)?);
    let encoded = match format {
        PictureFormat::Png => {
            let encoder = PngEncoder::new_with_quality(&mut out, CompressionType::Fast, FilterType::Adaptive);
            picture.write_with_encoder(encoder)
        }
        PictureFormat::Jpeg(quality) => {
            picture.write_with_encoder(JpegEncoder::new_with_quality(&mut out, quality.clamp(1, 100)))
        }
    };
    let wrong = |source| Error::Picture { path: path.to_owned(), action: "encoding the picture", source };
    encoded.map_err(wrong)?;
    out.flush().map_err(|e| wrong(e.into()))?;
    let file = out.into_inner().map_err(|e| wrong(e.into_error().into()))?;
    file.persist(path).map_err(|e| wrong(e.error.into()))?;
    Ok(())
}
