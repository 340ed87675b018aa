//! Writing a file so that a reader sees the old one or the new one, never half of it.

use crate::{Error, Result};
use std::fs::File;
use std::path::Path;

/// Fills a temporary file beside `path`, then renames it to `path`.
///
/// # Errors
/// [`Error::File`] with the system's error.
pub fn write_atomically(path: &Path, fill: impl FnOnce(&mut File) -> std::io::Result<()>) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || {
        let mut builder = tempfile::Builder::new();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // As a plain `File::create` would: the process's umask takes away from this.
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let mut temporary = builder.prefix(".tmp-").tempfile_in(folder)?;
        fill(temporary.as_file_mut())?;
        temporary.persist(path).map_err(|e| e.error)?;
        Ok(())
    };
    write().map_err(|e| Error::in_file(path, Error::Io(e)))
}
