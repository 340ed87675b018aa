//! What downloads leave under a tensor file's name that isn't one, said in words that help.

use crate::{Data, Error, Result};
use std::path::Path;

/// Maps a file and refuses what can't be a tensor file.
pub(crate) fn map(path: &Path) -> Result<Data> {
    let data = Data::map(path)?;
    refuse(&data).map_err(|e| Error::in_file(path, e))?;
    Ok(data)
}

/// First bytes of archives and their names.
const ARCHIVES: [(&[u8], &str); 6] = [
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!", "rar"),
];

const AGAIN: &str = "fetch it again";

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
    if data.is_empty() {
        return not("an empty file".to_owned(), AGAIN);
    }
    let head = &data[..data.len().min(1 << 16)];
    if head.starts_with(b"version https://git-lfs") {
        let text = String::from_utf8_lossy(&head[..head.len().min(1024)]);
        let size = text.lines().find_map(|l| l.strip_prefix("size ")?.trim().parse::<u64>().ok());
        let of = size.map_or(String::new(), |n| format!(" that stands for {n} bytes"));
        return not(
            format!("a Git LFS pointer{of}"),
            "run `git lfs pull` in its folder, or download the file itself",
        );
    }
    let text: Vec<u8> = head.trim_ascii_start().iter().take(64).map(u8::to_ascii_lowercase).collect();
    if [&b"<!doctype"[..], b"<html", b"<head", b"<?xml", b"<!--"].iter().any(|start| text.starts_with(start))
    {
        return not(
            "a web page".to_owned(),
            "its download was refused or needed a login; open the link in a browser, then fetch it again",
        );
    }
    // A safetensors file begins with a length, whose first byte may be that of a brace; then an object follows.
    if text.starts_with(b"{")
        && data.len() < 1 << 24
        && serde_json::from_slice::<serde::de::IgnoredAny>(data).is_ok()
    {
        let start = String::from_utf8_lossy(&head[..head.len().min(80)]).into_owned();
        return not(
            format!("JSON text ({start})"),
            "it is a server's answer, a configuration, or an index, which is opened by its own name (….index.json)",
        );
    }
    if let Some((_, name)) = ARCHIVES.iter().find(|(magic, _)| data.starts_with(magic)) {
        return not(format!("a {name} archive"), "unpack it first");
    }
    if data.get(257..262) == Some(b"ustar") {
        return not(
            "a tar archive".to_owned(),
            "unpack it; PyTorch's own tar files are older than 0.1.10: save it again with a newer PyTorch",
        );
    }
    if data.starts_with(b"\x89HDF") {
        return not("an HDF5 file".to_owned(), "save its tensors as safetensors");
    }
    // Programs that reserve the space first leave zeros where nothing came.
    if head.len() > 8 && head.iter().all(|&b| b == 0) {
        return not(
            "zeros from its first byte on".to_owned(),
            "its download wasn't finished: fetch it again",
        );
    }
    Ok(())
}
