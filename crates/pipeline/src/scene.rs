//! A scene folder as the reference lays it out.

use std::path::{Path, PathBuf};

/// Where things lie in a scene folder of the reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scene(PathBuf);

impl Scene {
    /// The scene of a folder; nothing is looked at.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// The background without the person.
    #[must_use]
    pub fn background(&self) -> PathBuf {
        self.0.join("bkgd_video.mp4")
    }

    /// The folder of the motion's frame files.
    #[must_use]
    pub fn motion(&self) -> PathBuf {
        self.0.join("smplx_params")
    }

    /// The body on black.
    #[must_use]
    pub fn mesh_video(&self) -> PathBuf {
        self.0.join("smplx_video.mp4")
    }
}
