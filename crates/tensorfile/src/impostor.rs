//! What downloads leave under a tensor file's name that isn't one, said in words that help.

use crate::{Data, Error, Result};
use sniff::Kind;
use std::path::Path;

/// First bytes of archives that are no containers of tensors.
const ARCHIVES: [(&[u8], &str); 5] = [
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a rar archive"),
];

/// Maps a file and refuses what can't be a tensor file.
pub(crate) fn map(path: &Path) -> Result<Data> {
    let data = Data::map(path)?;
    refuse(&data).map_err(|e| Error::in_file(path, e))?;
    Ok(data)
}

/// As [`refuse`], for a file that should be JSON.
///
/// # Errors
/// [`Error::NotTensors`].
pub(crate) fn refuse_page(data: &[u8]) -> Result<()> {
    if data.trim_ascii_start().starts_with(b"{") { Ok(()) } else { refuse(data) }
}

/// # Errors
/// [`Error::NotTensors`] for what is known not to be a tensor file.
pub(crate) fn refuse(data: &[u8]) -> Result<()> {
    let not = |what: String, advice: &'static str| Err(Error::NotTensors { what, advice });
    let head = &data[..data.len().min(1 << 16)];
    let kind = Kind::of(&head[..head.len().min(4096)]);
    let fetch = kind.advice().unwrap_or("get the file of tensors itself");
    match kind {
        Kind::LfsPointer => {
            let text = String::from_utf8_lossy(&head[..head.len().min(1024)]);
            let size = text.lines().find_map(|l| l.strip_prefix("size ")?.trim().parse::<u64>().ok());
            let of = size.map_or(String::new(), |n| format!(" (which has {n} bytes)"));
            not(format!("{kind}{of}"), fetch)
        }
        Kind::Gzip => not(kind.to_string(), "unpack it first"),
        // A safetensors file begins with a length, whose first byte may be that of a brace; then more than text follows.
        Kind::Json
            if data.len() < 1 << 24 && serde_json::from_slice::<serde::de::IgnoredAny>(data).is_ok() =>
        {
            let start = String::from_utf8_lossy(&head[..head.len().min(80)]).into_owned();
            not(
                format!("{kind} ({start})"),
                "it is a server's answer, a configuration, or an index, which is opened by its own name (….index.json)",
            )
        }
        Kind::Text if head.trim_ascii_start().starts_with(b"<?xml") => {
            not("a server's answer (XML)".to_owned(), "the download was refused, look into the file")
        }
        // Old pickles are text; what is unknown is the parsers' to judge.
        Kind::Json
        | Kind::Text
        | Kind::Unknown
        | Kind::Safetensors
        | Kind::Gguf
        | Kind::Npz
        | Kind::TorchZip
        | Kind::Zip
        | Kind::Pickle => refuse_unknown(data, head),
        Kind::Empty | Kind::Html | Kind::Hdf5 => not(kind.to_string(), fetch),
        // Pictures, videos, sounds, points.
        _ if kind.is_no_medium() => Ok(()),
        _ => not(kind.to_string(), fetch),
    }
}

fn refuse_unknown(data: &[u8], head: &[u8]) -> Result<()> {
    let not = |what: &str, advice: &'static str| Err(Error::NotTensors { what: what.to_owned(), advice });
    if let Some((_, name)) = ARCHIVES.iter().find(|(magic, _)| data.starts_with(magic)) {
        return not(name, "unpack it first");
    }
    if data.get(257..262) == Some(b"ustar") {
        return not(
            "a tar archive",
            "unpack it; PyTorch's own tar files are older than 0.1.10: save it again with a newer PyTorch",
        );
    }
    // Programs that reserve the space first leave zeros where nothing came.
    if head.len() > 8 && head.iter().all(|&b| b == 0) {
        return not("a file of zeros", "its download wasn't finished: get the file again");
    }
    Ok(())
}
