//! The condition video as it lies in the work folder.

use crate::Result;
use crate::work::{FrameFile, read_json};
use image::RgbImage;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The condition video in the work folder: raw frames.
#[derive(Clone, Debug)]
pub struct ConditionFiles {
    folder: PathBuf,
    meta: Meta,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub(crate) frames: usize,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) fps: f64,
    pub(crate) renderer: String,
    /// What is known of the light and the shadow, in words.
    #[serde(default)]
    pub(crate) light: Vec<(String, String)>,
}

impl ConditionFiles {
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        Ok(Self { folder: folder.to_owned(), meta: read_json(&folder.join("meta.json"))? })
    }

    /// Number of frames.
    #[must_use]
    pub fn len(&self) -> usize {
        self.meta.frames
    }

    /// Is there no frame?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.meta.frames == 0
    }

    /// Width and height in pixels.
    #[must_use]
    pub fn dimensions(&self) -> (u32, u32) {
        (self.meta.width, self.meta.height)
    }

    /// Frames a second.
    #[must_use]
    pub fn fps(&self) -> f64 {
        self.meta.fps
    }

    /// What is known of the light and the shadow, in words: name and value.
    #[must_use]
    pub fn light_notes(&self) -> &[(String, String)] {
        &self.meta.light
    }

    fn frames(&self, name: &str) -> Result<FrameFile> {
        FrameFile::open(&self.folder.join(name), self.meta.width, self.meta.height)
    }

    /// The background.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn plate(&self) -> Result<FrameFile> {
        self.frames("plate.rgb")
    }

    /// The avatar over the background.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn blend(&self) -> Result<FrameFile> {
        self.frames("blend.rgb")
    }

    /// The body on black.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn mesh(&self) -> Result<FrameFile> {
        self.frames("mesh.rgb")
    }

    /// The person mask, as a grey picture in three equal channels.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn mask(&self) -> Result<FrameFile> {
        self.frames("mask.rgb")
    }

    /// The reference frame.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn reference(&self) -> Result<RgbImage> {
        Ok(media::read_picture(self.reference_path())?)
    }

    /// Where the reference frame lies.
    #[must_use]
    pub fn reference_path(&self) -> PathBuf {
        self.folder.join("reference.png")
    }
}
