//! Says what a file is by its first bytes, in words that fit into an error.
//!
//! ```
//! use anicrafter_sniff::Kind;
//! let kind = Kind::of(b"<!DOCTYPE html><html>Not Found</html>");
//! assert_eq!(kind.to_string(), "a web page (HTML)");
//! assert!(kind.advice().unwrap().contains("download"));
//! ```

use std::fmt;
use std::io::Read;
use std::path::Path;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// No bytes at all.
    Empty,
    /// What Git leaves in place of a large file that wasn't fetched.
    LfsPointer,
    /// A web page, as a failed download leaves it.
    Html,
    /// A JSON document.
    Json,
    /// Other text.
    Text,
    /// MP4, M4V, 3GP or QuickTime.
    Mp4,
    /// Matroska or WebM.
    Matroska,
    /// AVI.
    Avi,
    /// MPEG transport stream.
    MpegTs,
    /// Flash video.
    Flv,
    /// Ogg.
    Ogg,
    /// Windows Media.
    Asf,
    /// WAV sound.
    Wav,
    /// PNG.
    Png,
    /// JPEG.
    Jpeg,
    /// GIF.
    Gif,
    /// WebP.
    Webp,
    /// BMP.
    Bmp,
    /// TIFF.
    Tiff,
    /// HEIC or HEIF, as phones write it.
    Heic,
    /// AVIF.
    Avif,
    /// OpenEXR.
    Exr,
    /// A file of PyTorch's since 1.6: a zip archive around a pickle.
    TorchZip,
    /// A Python pickle.
    Pickle,
    /// NumPy's archive of arrays.
    Npz,
    /// One NumPy array.
    Npy,
    /// safetensors.
    Safetensors,
    /// GGUF.
    Gguf,
    /// HDF5, as Keras and older data sets use it.
    Hdf5,
    /// A PLY table: points, meshes or Gaussians.
    Ply,
    /// SuperSplat's compressed PLY.
    CompressedPly,
    /// Niantic's compressed Gaussians.
    Spz,
    /// Gaussians of 32 bytes each, known by name only.
    Splat,
    /// A viewer's Gaussians, known by name only.
    Ksplat,
    /// PlayCanvas's Gaussians in pictures.
    Sog,
    /// Binary glTF.
    Glb,
    /// BVH: a skeleton and its motion, as text.
    Bvh,
    /// Autodesk's FBX.
    Fbx,
    /// Another zip archive.
    Zip,
    /// Another gzip file.
    Gzip,
    /// Something else.
    Unknown,
}

/// Bytes that are looked at.
const HEAD: usize = 4096;

impl Kind {
    /// By a file's first bytes and, for formats without a mark of their own, its name.
    ///
    /// # Errors
    /// When the file can't be opened or read.
    pub fn of_file(path: impl AsRef<Path>) -> std::io::Result<Self> {
        let path = path.as_ref();
        let mut head = Vec::new();
        std::fs::File::open(path)?.take(HEAD as u64).read_to_end(&mut head)?;
        let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        Ok(match (Self::of(&head), extension.as_deref()) {
            (Self::Gzip, Some("spz")) => Self::Spz,
            (Self::Zip, Some("sog")) => Self::Sog,
            (Self::Unknown, Some("splat")) => Self::Splat,
            (Self::Unknown, Some("ksplat")) => Self::Ksplat,
            (kind, _) => kind,
        })
    }

    /// By the first bytes: 4 KiB are enough.
    #[must_use]
    pub fn of(head: &[u8]) -> Self {
        let has = |at: usize, mark: &[u8]| head.get(at..at + mark.len()) == Some(mark);
        let contains = |mark: &[u8]| head.windows(mark.len()).any(|w| w == mark);
        match () {
            () if head.is_empty() => Self::Empty,
            () if has(0, b"version https://git-lfs") => Self::LfsPointer,
            () if has(0, b"\x1a\x45\xdf\xa3") => Self::Matroska,
            () if has(0, b"\x89PNG\r\n\x1a\n") => Self::Png,
            () if has(0, b"\xff\xd8\xff") => Self::Jpeg,
            () if has(0, b"GIF87a") || has(0, b"GIF89a") => Self::Gif,
            () if has(0, b"RIFF") => match head.get(8..12) {
                Some(b"WEBP") => Self::Webp,
                Some(b"AVI ") => Self::Avi,
                Some(b"WAVE") => Self::Wav,
                _ => Self::Unknown,
            },
            () if has(4, b"ftyp") => match head.get(8..12) {
                Some(b"heic" | b"heix" | b"hevc" | b"heim" | b"heis" | b"mif1" | b"msf1")
                    if !contains(b"avif") =>
                {
                    Self::Heic
                }
                Some(b"avif" | b"avis" | b"mif1" | b"msf1") => Self::Avif,
                _ => Self::Mp4,
            },
            () if [b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp", b"moof"]
                .iter()
                .any(|mark| has(4, *mark)) =>
            {
                Self::Mp4
            }
            () if has(0, b"II*\0") || has(0, b"MM\0*") => Self::Tiff,
            () if has(0, b"\x76\x2f\x31\x01") => Self::Exr,
            () if has(0, b"FLV\x01") => Self::Flv,
            () if has(0, b"OggS") => Self::Ogg,
            () if has(0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11") => Self::Asf,
            () if has(0, b"G") && has(188, b"G") && has(376, b"G") => Self::MpegTs,
            () if has(0, b"\x93NUMPY") => Self::Npy,
            () if has(0, b"GGUF") => Self::Gguf,
            () if has(0, b"\x89HDF\r\n\x1a\n") => Self::Hdf5,
            () if has(0, b"glTF") => Self::Glb,
            () if has(0, b"Kaydara FBX") => Self::Fbx,
            () if has(0, b"HIERARCHY") => Self::Bvh,
            () if has(0, b"ply\n") || has(0, b"ply\r\n") => {
                if contains(b"packed_position") {
                    Self::CompressedPly
                } else {
                    Self::Ply
                }
            }
            () if has(0, b"NGSP") => Self::Spz,
            () if has(0, b"\x1f\x8b") => Self::Gzip,
            () if has(0, b"PK\x03\x04") || has(0, b"PK\x05\x06") => Self::of_zip(head),
            () if head[0] == 0x80 && head.get(1).is_some_and(|v| (2..=5).contains(v)) => Self::Pickle,
            () if has(8, b"{") && head.get(6..8) == Some(&[0, 0]) => Self::Safetensors,
            () if has(0, b"BM") && head.get(6..10) == Some(&[0; 4]) => Self::Bmp,
            () => Self::of_text(head),
        }
    }

    /// By the name of the archive's first member.
    fn of_zip(head: &[u8]) -> Self {
        let length = head.get(26..28).map_or(0, |l| usize::from(u16::from_le_bytes([l[0], l[1]])));
        let name = head.get(30..30 + length).unwrap_or(&[]);
        match name {
            _ if name.ends_with(b".npy") => Self::Npz,
            _ if name.ends_with(b"data.pkl")
                || name.ends_with(b"/version")
                || name.ends_with(b"/byteorder") =>
            {
                Self::TorchZip
            }
            _ => Self::Zip,
        }
    }

    fn of_text(head: &[u8]) -> Self {
        // The last character may be cut in two.
        let valid = match std::str::from_utf8(head) {
            Ok(text) => text,
            Err(e) if e.error_len().is_none() => {
                std::str::from_utf8(&head[..e.valid_up_to()]).unwrap_or_default()
            }
            Err(_) => return Self::Unknown,
        };
        if valid.contains(|c: char| c.is_control() && !c.is_whitespace()) {
            return Self::Unknown;
        }
        let text = valid.trim_start_matches('\u{feff}').trim_start();
        let low: String = text.chars().take(16).collect::<String>().to_ascii_lowercase();
        match () {
            () if low.starts_with("<!doctype html")
                || low.starts_with("<html")
                || low.starts_with("<head") =>
            {
                Self::Html
            }
            () if text.starts_with(['{', '[']) => Self::Json,
            () => Self::Text,
        }
    }

    /// What to do about it, where it isn't what was wanted and there is something to do.
    #[must_use]
    pub fn advice(self) -> Option<&'static str> {
        Some(match self {
            Self::LfsPointer => "fetch the file itself with `git lfs pull`",
            Self::Html => "the download went wrong, look into the file and download it again",
            Self::Empty => "the download or copy went wrong, get the file again",
            Self::Heic | Self::Avif | Self::Tiff | Self::Exr => "convert it to PNG or JPEG",
            Self::Pickle => "open it in Python and save its arrays with numpy.savez",
            Self::Hdf5 => "convert it to npz or safetensors",
            Self::Ksplat | Self::Sog => "save it as .ply, .splat or .spz",
            _ => return None,
        })
    }

    /// Is it something that no video or picture reader can make use of?
    #[must_use]
    pub fn is_no_medium(self) -> bool {
        use Kind::{
            Bvh, CompressedPly, Empty, Fbx, Gguf, Glb, Hdf5, Heic, Html, Json, Ksplat, LfsPointer, Npy, Npz,
            Pickle, Ply, Safetensors, Sog, Splat, Spz, Text, TorchZip, Wav, Zip,
        };
        matches!(
            self,
            Empty
                | LfsPointer
                | Html
                | Json
                | Text
                | Heic
                | TorchZip
                | Pickle
                | Npz
                | Npy
                | Safetensors
                | Gguf
                | Hdf5
                | Ply
                | CompressedPly
                | Spz
                | Splat
                | Ksplat
                | Sog
                | Glb
                | Zip
                | Wav
                | Bvh
                | Fbx
        )
    }
}

impl fmt::Display for Kind {
    /// With its article: "a web page (HTML)".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "an empty file",
            Self::LfsPointer => "a Git LFS pointer, not the file itself",
            Self::Html => "a web page (HTML)",
            Self::Json => "a JSON file",
            Self::Text => "a text file",
            Self::Mp4 => "an mp4 or mov video",
            Self::Matroska => "a Matroska or WebM video",
            Self::Avi => "an AVI video",
            Self::MpegTs => "an MPEG transport stream",
            Self::Flv => "a Flash video",
            Self::Ogg => "an Ogg file",
            Self::Asf => "a Windows Media file",
            Self::Wav => "a WAV sound",
            Self::Png => "a PNG picture",
            Self::Jpeg => "a JPEG picture",
            Self::Gif => "a GIF picture",
            Self::Webp => "a WebP picture",
            Self::Bmp => "a BMP picture",
            Self::Tiff => "a TIFF picture",
            Self::Heic => "a HEIC picture",
            Self::Avif => "an AVIF picture",
            Self::Exr => "an OpenEXR picture",
            Self::TorchZip => "a PyTorch file (zip)",
            Self::Pickle => "a Python pickle",
            Self::Npz => "a NumPy archive (npz)",
            Self::Npy => "a NumPy array (npy)",
            Self::Safetensors => "a safetensors file",
            Self::Gguf => "a GGUF file",
            Self::Hdf5 => "an HDF5 file",
            Self::Ply => "a PLY file",
            Self::CompressedPly => "a compressed PLY file (SuperSplat)",
            Self::Spz => "a file of compressed Gaussians (spz)",
            Self::Splat => "a file of Gaussians (splat)",
            Self::Ksplat => "a file of Gaussians (ksplat)",
            Self::Sog => "a file of Gaussians (sog)",
            Self::Glb => "a binary glTF file",
            Self::Bvh => "a BVH motion of a skeleton",
            Self::Fbx => "an FBX file",
            Self::Zip => "a zip archive",
            Self::Gzip => "a gzip file",
            Self::Unknown => "of a kind that isn't known here",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes() {
        let zip = |name: &str| {
            let mut head = b"PK\x03\x04".to_vec();
            head.resize(26, 0);
            head.extend((name.len() as u16).to_le_bytes());
            head.extend([0, 0]);
            head.extend(name.as_bytes());
            head
        };
        for (head, kind) in [
            (&b""[..], Kind::Empty),
            (b"\0\0\0\x18ftypisom....", Kind::Mp4),
            (b"\0\0\0\x18ftypheic....mif1heic", Kind::Heic),
            (b"\0\0\0\x18ftypmif1....mif1avif", Kind::Avif),
            (b"\0\0\0\x08wide", Kind::Mp4),
            (b"RIFF....WEBPVP8 ", Kind::Webp),
            (b"RIFF....AVI LIST", Kind::Avi),
            (&zip("archive/data.pkl"), Kind::TorchZip),
            (&zip("poses.npy"), Kind::Npz),
            (&zip("meta.json"), Kind::Zip),
            (b"\x80\x02}q\0", Kind::Pickle),
            (b"\x10\0\0\0\0\0\0\0{\"a\":", Kind::Safetensors),
            (b"\xef\xbb\xbf {\"frames\": 1}", Kind::Json),
            (b"  <HTML><body>", Kind::Html),
            (b"hello \xe2\x82", Kind::Text),
            (b"HIERARCHY\nROOT Hips", Kind::Bvh),
            (b"\x01\x02\xff\xfe", Kind::Unknown),
            (b"ply\nformat binary_little_endian 1.0\nproperty uint packed_position\n", Kind::CompressedPly),
        ] {
            assert_eq!(Kind::of(head), kind, "{head:?}");
        }
    }

    #[test]
    fn names_help_where_there_is_no_mark() {
        let folder = tempfile::tempdir().unwrap();
        let kind = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            Kind::of_file(path).unwrap()
        };
        assert_eq!(kind("a.splat", &[0, 0, 0, 63, 200]), Kind::Splat);
        assert_eq!(kind("a.SPZ", b"\x1f\x8b\x08"), Kind::Spz);
        assert_eq!(kind("a.gz", b"\x1f\x8b\x08"), Kind::Gzip);
        assert_eq!(kind("a.splat", b"<!DOCTYPE html>"), Kind::Html);
        assert!(Kind::of_file(folder.path().join("absent")).is_err());
    }
}
