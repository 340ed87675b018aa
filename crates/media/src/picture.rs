//! Single pictures.

use crate::error::{Error, IoContext, Result};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{DynamicImage, GrayImage, ImageDecoder, ImageReader, RgbImage, RgbaImage};
use sniff::Kind;
use std::fs::File;
use std::io::{BufReader, Write};
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

/// Decodes a picture and turns it upright, as its EXIF data says; what it is, its first bytes say.
fn decode(path: &Path) -> Result<DynamicImage> {
    let picture = |source| Error::Picture { path: path.to_owned(), action: "decoding the picture", source };
    let mut decoder = open(path)?.into_decoder().map_err(picture)?;
    // Damaged EXIF data turns nothing.
    let turn = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let mut decoded = DynamicImage::from_decoder(decoder).map_err(picture)?;
    decoded.apply_orientation(turn);
    Ok(decoded)
}

fn open(path: &Path) -> Result<ImageReader<BufReader<File>>> {
    // Without the name: what a file is called says nothing.
    let file = BufReader::new(File::open(path).at(path, "opening")?);
    let reader = ImageReader::new(file).with_guessed_format().at(path, "reading")?;
    if reader.format().is_some_and(|f| f.reading_enabled()) {
        return Ok(reader);
    }
    let kind = Kind::of_file(path).at(path, "reading")?;
    Err(Error::NoMedium { path: path.to_owned(), what: kind.to_string(), advice: kind.advice() })
}

/// Width and height of a picture as it stands upright.
pub(crate) fn picture_size(path: &Path) -> Result<(u32, u32)> {
    let picture =
        |source| Error::Picture { path: path.to_owned(), action: "reading the picture's size", source };
    let mut decoder = open(path)?.into_decoder().map_err(picture)?;
    let (width, height) = decoder.dimensions();
    let turned = decoder.orientation().is_ok_and(|turn| {
        use image::metadata::Orientation as O;
        matches!(turn, O::Rotate90 | O::Rotate270 | O::Rotate90FlipH | O::Rotate270FlipH)
    });
    Ok(if turned { (height, width) } else { (width, height) })
}

/// Reads a PNG, JPEG, WebP, BMP or GIF file as 8-bit RGB, upright; an alpha channel is dropped.
///
/// # Errors
/// When the file can't be read or isn't such a picture.
pub fn read_picture(path: impl AsRef<Path>) -> Result<RgbImage> {
    Ok(match decode(path.as_ref())? {
        // The general conversion goes through floating-point numbers.
        DynamicImage::ImageLuma8(gray) => gray_to_rgb(&gray),
        other => other.into_rgb8(),
    })
}

/// As [`read_picture`], with the alpha channel; opaque where the file has none.
///
/// # Errors
/// When the file can't be read or isn't such a picture.
pub fn read_picture_rgba(path: impl AsRef<Path>) -> Result<RgbaImage> {
    Ok(decode(path.as_ref())?.into_rgba8())
}

/// Reads a matte: a picture's alpha channel where it varies, else its brightness.
///
/// # Errors
/// When the file can't be read or isn't a picture.
pub fn read_matte(path: impl AsRef<Path>) -> Result<GrayImage> {
    MatteReader::default().read(path.as_ref())
}

/// Reads the mattes of one sequence: once alpha has varied, it stays the matte.
#[derive(Debug, Default)]
pub(crate) struct MatteReader {
    alpha: bool,
}

impl MatteReader {
    pub(crate) fn read(&mut self, path: &Path) -> Result<GrayImage> {
        let picture = decode(path)?;
        if !picture.color().has_alpha() {
            return Ok(picture.into_luma8());
        }
        let rgba = picture.to_rgba8();
        let alphas = || rgba.pixels().map(|p| p[3]);
        let (least, most) = (alphas().min().unwrap_or(255), alphas().max().unwrap_or(255));
        let luma = picture.into_luma8();
        // Nothing but transparency is an empty matte, unless something is drawn in it.
        let empty = most == 0 && luma.iter().all(|l| luma.first() == Some(l));
        self.alpha |= least < most;
        if !(self.alpha || empty) {
            return Ok(luma);
        }
        let mut matte = luma;
        matte.iter_mut().zip(alphas()).for_each(|(m, a)| *m = a);
        Ok(matte)
    }
}

/// A grey picture in three equal channels.
pub(crate) fn gray_to_rgb(gray: &GrayImage) -> RgbImage {
    let mut out = RgbImage::new(gray.width(), gray.height());
    for (out, gray) in out.as_chunks_mut::<3>().0.iter_mut().zip(gray.iter()) {
        *out = [*gray; 3];
    }
    out
}

/// A picture over black.
pub(crate) fn over_black(picture: &RgbaImage) -> RgbImage {
    let mut out = RgbImage::new(picture.width(), picture.height());
    for (out, pixel) in out.as_chunks_mut::<3>().0.iter_mut().zip(picture.pixels()) {
        let a = u32::from(pixel[3]);
        *out = std::array::from_fn(|c| ((u32::from(pixel[c]) * a + 127) / 255) as u8);
    }
    out
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
