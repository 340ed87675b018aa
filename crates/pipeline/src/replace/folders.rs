//! Where pictures of the masks stage go.

use crate::{Error, Result};
use image::GrayImage;
use mocap::{Evidence, Segmentation, Sighting};
use std::path::{Path, PathBuf};

/// Where pictures go: evidence until the stage is done, and what it makes.
pub(super) struct Folders {
    part: PathBuf,
}

/// Names of the folders: of the replaced people's mattes, of everybody else's, and of what is in front.
pub(super) const MATTES: &str = "mattes";
pub(super) const OTHERS: &str = "others";
pub(super) const IN_FRONT: &str = "in-front";
const EVIDENCE: &str = "evidence";

impl Folders {
    pub(super) fn make(part: &Path) -> Result<Self> {
        let folders = Self { part: part.to_owned() };
        folders.make_new(EVIDENCE)?;
        folders.empty()?;
        Ok(folders)
    }

    /// Without what was made of the evidence.
    pub(super) fn empty(&self) -> Result<()> {
        [MATTES, OTHERS, IN_FRONT].into_iter().try_for_each(|name| self.make_new(name))
    }

    fn make_new(&self, name: &str) -> Result<()> {
        let folder = self.part.join(name);
        let fail = |source| Error::Io { path: folder.clone(), source };
        if folder.exists() {
            // Left by a run that was stopped: of another length, perhaps.
            std::fs::remove_dir_all(&folder).map_err(fail)?;
        }
        std::fs::create_dir_all(&folder).map_err(fail)
    }

    /// Without the evidence, and without layers that show nothing: others' and in front.
    pub(super) fn finish(&self, shown: [bool; 2]) -> Result<()> {
        let empty =
            [OTHERS, IN_FRONT].into_iter().zip(shown).filter(|(_, shown)| !shown).map(|(name, _)| name);
        for name in std::iter::once(EVIDENCE).chain(empty) {
            let folder = self.part.join(name);
            std::fs::remove_dir_all(&folder).map_err(|source| Error::Io { path: folder, source })?;
        }
        Ok(())
    }

    pub(super) fn evidence(&self, frame: usize, track: usize) -> PathBuf {
        self.part.join(EVIDENCE).join(format!("{frame:06}-{track}.png"))
    }

    /// The file of small pictures, which goes with the evidence.
    pub(super) fn small_pictures(&self) -> PathBuf {
        self.part.join(EVIDENCE).join("small.rgb")
    }

    pub(super) fn picture(&self, of: &str, frame: usize) -> PathBuf {
        self.part.join(of).join(format!("{frame:06}.png"))
    }

    /// Takes a sighting's probabilities as one picture: the person's own above anybody's.
    pub(super) fn take_evidence(&self, sighting: &mut Sighting) -> GrayImage {
        let Evidence { own, anybody } = &mut sighting.evidence;
        let mut both = std::mem::take(&mut own.likely);
        both.append(&mut anybody.likely);
        let side = Segmentation::SIDE as u32;
        GrayImage::from_raw(side, 2 * side, both).unwrap_or_default()
    }

    /// The evidence as it was.
    pub(super) fn read_evidence(&self, frame: usize, track: usize, places: &Evidence) -> Result<Evidence> {
        let both = open(&self.evidence(frame, track))?.into_raw();
        let (own, anybody) = both.split_at(both.len() / 2);
        let of = |place: &Segmentation, likely: &[u8]| Segmentation {
            region: place.region,
            likely: likely.to_vec(),
        };
        Ok(Evidence { own: of(&places.own, own), anybody: of(&places.anybody, anybody) })
    }
}

pub(super) fn save(picture: &GrayImage, path: &Path) -> Result<()> {
    let fail = |e| Error::Io { path: path.to_owned(), source: std::io::Error::other(e) };
    picture.save(path).map_err(fail)
}

pub(super) fn open(path: &Path) -> Result<GrayImage> {
    let read = image::open(path);
    read.map(|picture| picture.to_luma8())
        .map_err(|e| Error::Damaged { path: path.to_owned(), why: e.to_string() })
}
