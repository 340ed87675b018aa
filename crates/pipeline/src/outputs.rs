//! Outputs that would overwrite what is read.

use crate::{Error, Result};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Something that is read.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    name: &'a str,
    path: &'a Path,
    frames: bool,
}

impl<'a> Input<'a> {
    /// A file, or a folder that is looked up by names. `name` is the setting that says so.
    #[must_use]
    pub fn file(name: &'a str, path: &'a Path) -> Self {
        Self { name, path, frames: false }
    }

    /// A file, or a folder in which every file counts.
    #[must_use]
    pub fn frames(name: &'a str, path: &'a Path) -> Self {
        Self { name, path, frames: true }
    }

    /// What is read.
    #[must_use]
    pub fn path(&self) -> &'a Path {
        self.path
    }
}

/// Refuses outputs (the setting's name and the path) that are one of the inputs or of one another, or that lie in an input's
/// folder of frames; links count as what they lead to. Empty paths are passed over.
///
/// # Errors
/// [`Error::Overwrites`] for the first of them.
pub fn refuse_overwriting(inputs: &[Input<'_>], outputs: &[(&str, &Path)]) -> Result<()> {
    let refuse = |(name, path): &(&str, &Path), read: &str| {
        let (output, path, input) = ((*name).to_owned(), path.to_path_buf(), read.to_owned());
        Err(Error::Overwrites { output, path, input })
    };
    for (n, output) in outputs.iter().enumerate() {
        if output.1.as_os_str().is_empty() {
            continue;
        }
        let real = real(output.1);
        for input in inputs.iter().filter(|input| !input.path.as_os_str().is_empty()) {
            let read = self::real(input.path);
            let becomes_frame = input.frames && read.is_dir() && real.starts_with(&read);
            // Two names of one file.
            let linked = output.1.is_file() && media::same_place(output.1, input.path);
            if real == read || becomes_frame || linked {
                return refuse(output, input.name);
            }
        }
        if let Some((other, _)) = outputs[..n].iter().find(|(_, path)| self::real(path) == real) {
            return refuse(output, other);
        }
    }
    Ok(())
}

/// The path without links and detours, as far as it exists.
fn real(path: &Path) -> PathBuf {
    let mut missing: Vec<OsString> = Vec::new();
    let mut at = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    loop {
        if let Ok(found) = at.canonicalize() {
            return missing.iter().rev().fold(found, |path, name| path.join(name));
        }
        match (at.file_name().map(ToOwned::to_owned), at.parent().map(Path::to_owned)) {
            (Some(name), Some(parent)) => {
                missing.push(name);
                at = parent;
            }
            _ => return path.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_that_is_read_is_refused_by_whatever_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.mp4");
        std::fs::write(&file, b"a").unwrap();
        std::fs::create_dir(dir.path().join("frames")).unwrap();
        let detour = dir.path().join("frames/../a.mp4");
        let check = |output: &Path| {
            let frames = dir.path().join("frames");
            let inputs = [
                Input::file("in", &file),
                Input::frames("pictures", &frames),
                Input::file("", Path::new("")),
            ];
            match refuse_overwriting(&inputs, &[("-o", output)]) {
                Ok(()) => None,
                Err(Error::Overwrites { input, .. }) => Some(input),
                Err(other) => panic!("{other:?}"),
            }
        };
        assert_eq!(check(&file).as_deref(), Some("in"));
        assert_eq!(check(&detour).as_deref(), Some("in"));
        for inside in ["frames", "frames/b.mp4", "frames/x_%05d.png"] {
            assert_eq!(check(&dir.path().join(inside)).as_deref(), Some("pictures"), "{inside}");
        }
        for beside in ["b.mp4", "", "new"] {
            assert_eq!(check(&dir.path().join(beside)), None, "{beside}");
        }
        assert_eq!(check(&dir.path().join("none/b.mp4")), None);
        #[cfg(unix)]
        {
            let link = dir.path().join("link.mp4");
            std::os::unix::fs::symlink(&file, &link).unwrap();
            assert_eq!(check(&link).as_deref(), Some("in"));
            let hard = dir.path().join("hard.mp4");
            std::fs::hard_link(&file, &hard).unwrap();
            assert_eq!(check(&hard).as_deref(), Some("in"));
        }
    }

    #[test]
    fn two_outputs_of_one_name_are_refused() {
        let outputs = [("-o", Path::new("x.mp4")), ("--mesh", Path::new("./x.mp4"))];
        assert!(matches!(refuse_overwriting(&[], &outputs), Err(Error::Overwrites { .. })));
    }
}
