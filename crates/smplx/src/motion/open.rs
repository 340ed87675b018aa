//! A motion by its path, whatever form it has.

use super::folder::FrameFiles;
use super::{Gaps, Motion, MotionFrame, estimators, json};
use crate::error::{Error, Result};
use sniff::Kind;
use std::path::Path;
use tensorfile::{Npz, Pickle};

/// What a motion's file leaves open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OpenOptions {
    /// Frames a second of forms that don't say: folders, single frames, estimators' results.
    pub fps: f32,
    /// What to do about missing frames.
    pub gaps: Gaps,
    /// Width and height of the pictures that the motion was estimated from. Estimators that leave the camera to a convention
    /// (WHAM, TRAM, 4D-Humans) need it.
    pub picture_px: Option<[u32; 2]>,
    /// Which person of several; the one with the most frames where none is named.
    pub person: Option<usize>,
}

impl OpenOptions {
    /// Options for motions of a rate: gaps are refused.
    #[must_use]
    pub fn new(fps: f32) -> Self {
        Self { fps, gaps: Gaps::Refuse, picture_px: None, person: None }
    }
}

/// A motion, and what there is to say about how it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Opened {
    /// The motion.
    pub motion: Motion,
    /// Files that were passed over, coefficients that were left out, cameras that were assumed: a sentence each.
    pub notes: Vec<String>,
}

/// Results that estimators leave in a folder, by their names.
const IN_FOLDERS: [&str; 3] = ["hmr4d_results.pt", "wham_output.pkl", "hps_track_0.npy"];

impl Motion {
    /// Opens a motion by what it is, with [`OpenOptions::new`]; see [`Motion::open_with`].
    ///
    /// # Errors
    /// As [`Motion::open_with`].
    pub fn open(path: impl AsRef<Path>, fps: f32) -> Result<Self> {
        Ok(Self::open_with(path, &OpenOptions::new(fps))?.motion)
    }

    /// Opens a motion by what it is: a folder of AniCrafter's frame files, an AMASS `.npz`, this crate's single file, the
    /// file of one frame, or what estimators write: a folder of `.npz` files as SMPLer-X's, GVHMR's `.pt`, WHAM's `.pkl`, TRAM's
    /// `.npy`, 4D-Humans' `.pkl`. Pickles are read as data, nothing in them is executed.
    ///
    /// # Errors
    /// [`Error::File`] with the cause where it can't be read, isn't a motion, or lacks a frame.
    pub fn open_with(path: impl AsRef<Path>, options: &OpenOptions) -> Result<Opened> {
        let path = path.as_ref();
        let opened = if path.is_dir() { open_folder(path, options) } else { open_file(path, options) };
        opened.map_err(|cause| match cause {
            Error::Io { .. } | Error::File { .. } => cause,
            cause => Error::File { path: path.to_owned(), source: Box::new(cause) },
        })
    }

    /// The single-file form, or one frame's.
    fn from_any_json(text: &[u8], fps: f32) -> Result<Self> {
        let one_frame = serde_json::from_slice::<serde_json::Value>(json::without_bom(text))
            .is_ok_and(|keys| keys.get("frames").is_none() && keys.get("format").is_none());
        if one_frame {
            return Self::new(fps, vec![MotionFrame::from_json(text, 0)?]);
        }
        Self::from_json(text)
    }
}

fn open_folder(folder: &Path, options: &OpenOptions) -> Result<Opened> {
    let holds = |extension: &str| FrameFiles::find(folder, extension, options.person);
    match holds("json") {
        Err(Error::NoFrames { what }) => {
            if let Some(name) = IN_FOLDERS.iter().find(|name| folder.join(name).is_file()) {
                return open_file(&folder.join(name), options);
            }
            match holds("npz") {
                Ok(found) => estimators::frame_files(found, options),
                // SMPLer-X keeps parameters and cameras apart.
                Err(Error::NoFrames { .. }) if folder.join("smplx").is_dir() => estimators::frame_files(
                    FrameFiles::find(&folder.join("smplx"), "npz", options.person)?,
                    options,
                ),
                Err(Error::NoFrames { .. }) => Err(Error::NoFrames { what }),
                Err(error) => Err(error),
            }
        }
        Err(error) => Err(error),
        Ok(FrameFiles { files, notes }) => {
            let frames = json::close_gaps(json::read_frames(files)?, options.gaps)?;
            Ok(Opened { motion: Motion::new(options.fps, frames)?, notes })
        }
    }
}

fn open_file(path: &Path, options: &OpenOptions) -> Result<Opened> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let kind = Kind::of_file(path).map_err(io)?;
    let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    let is_pickle =
        matches!(extension.as_deref(), Some("pkl" | "pickle" | "pt" | "pth" | "ckpt" | "joblib" | "p"));
    match kind {
        Kind::Json => {
            let text = std::fs::read(path).map_err(io)?;
            let motion = Motion::from_any_json(&text, options.fps)?;
            Ok(Opened { motion, notes: Vec::new() })
        }
        Kind::Pickle | Kind::TorchZip | Kind::Npy => estimators::read(path, options),
        Kind::Gzip | Kind::Unknown | Kind::Text if is_pickle => estimators::read(path, options),
        _ if extension.as_deref() == Some("npz") || kind == Kind::Npz => match Npz::open(path) {
            Ok(npz) => super::amass::read(&npz, Some(options.fps)),
            Err(source) if matches!(kind, Kind::Npz | Kind::Zip | Kind::Unknown) => {
                Err(Error::Npz(without_path(source)))
            }
            Err(_) => Err(not_a_motion(kind)),
        },
        kind => Err(not_a_motion(kind)),
    }
}

/// The cause without the file's name, which is said already.
fn without_path(error: tensorfile::Error) -> tensorfile::Error {
    match error {
        tensorfile::Error::File { cause, .. } => *cause,
        error => error,
    }
}

/// What a file is instead of a motion.
fn not_a_motion(kind: Kind) -> Error {
    let advice = match kind {
        Kind::Bvh | Kind::Fbx | Kind::Glb => {
            "; retarget it to SMPL-X (in Blender with the SMPL-X add-on, say) and save AMASS's arrays as .npz"
        }
        _ => kind.advice().unwrap_or(
            "; a motion is a folder of frame files, an AMASS .npz, a motion .json or an estimator's result",
        ),
    };
    let separator = if advice.starts_with(';') { "" } else { "; " };
    Error::NotThis { found: kind.to_string(), wanted: "a motion", advice: format!("{separator}{advice}") }
}

/// Opens a pickle of whatever wrapping.
pub(super) fn open_pickle(path: &Path) -> Result<Pickle> {
    Pickle::open(path).map_err(|source| Error::Pickle(without_path(source)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_opened_by_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let frame = |x| MotionFrame { translation: [x, 0.0, 3.0], ..MotionFrame::default() };
        let motion = Motion::new(24.0, vec![frame(0.5), frame(1.0)]).unwrap();
        let path = |name: &str| dir.path().join(name);
        motion.write_json_folder(path("folder")).unwrap();
        std::fs::write(path("m.npz"), motion.to_npz().unwrap()).unwrap();
        std::fs::write(path("m.json"), motion.to_json()).unwrap();
        for (name, fps) in [("folder", 30.0), ("m.npz", 24.0), ("m.json", 24.0)] {
            let read = Motion::open(path(name), 30.0).unwrap();
            assert_eq!((read.fps, read.len()), (fps, 2), "{name}");
            assert_eq!(read.frames[1].translation, [1.0, 0.0, 3.0], "{name}");
        }
        std::fs::write(path("one.json"), frame(2.0).to_json()).unwrap();
        let one = Motion::open(path("one.json"), 30.0).unwrap();
        assert_eq!((one.fps, one.frames[0].translation[0]), (30.0, 2.0));
    }

    #[test]
    fn files_that_are_no_frames_are_counted_and_gaps_filled() {
        let dir = tempfile::tempdir().unwrap();
        let frame = |x| MotionFrame { translation: [x, 0.0, 3.0], ..MotionFrame::default() };
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        for (number, x) in [(1, 1.0), (2, 2.0), (5, 5.0)] {
            write(&format!("{number:05}.json"), &frame(x).to_json());
        }
        write("camera.json", "{}");
        write("._00001.json", "\0\u{5}\u{16}");
        write(".DS_Store", "");
        let error = Motion::open(dir.path(), 30.0).unwrap_err();
        let error = std::error::Error::source(&error).unwrap().to_string();
        assert!(error.contains("frame 3") && error.contains("--fill-gaps"), "{error}");
        let options = OpenOptions { gaps: Gaps::Fill, ..OpenOptions::new(30.0) };
        let opened = Motion::open_with(dir.path(), &options).unwrap();
        let at: Vec<f32> = opened.motion.frames.iter().map(|f| f.translation[0]).collect();
        assert_eq!(at, [1.0, 2.0, 3.0, 4.0, 5.0]);
        assert!(opened.notes.len() == 1 && opened.notes[0].contains("3 files"), "{:?}", opened.notes);
    }

    #[test]
    fn what_cannot_be_opened_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes, word) in [
            ("a.json", b"{".as_slice(), "JSON"),
            ("b.npz", b"PK\x03\x04", "npz"),
            ("c.json", b"[]", "object"),
            ("d.json", b"", "empty"),
            ("e.npz", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
            ("f.pkl", b"<!DOCTYPE html><html>", "web page"),
            ("g.bvh", b"HIERARCHY\nROOT Hips\n", "SMPL-X"),
            ("h.pkl", b"\x80\x04}\x94\x8c\x01a\x94K\x01s.", "the keys a"),
            ("i.pt", b"x\x9c\x00", "contents"),
        ] {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let error = Motion::open(&path, 30.0).unwrap_err();
            let mut text = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(next) = cause {
                text += &format!(": {next}");
                cause = next.source();
            }
            assert!(matches!(&error, Error::File { .. }) && text.contains(word), "{text}");
            assert_eq!(text.matches(name).count(), 1, "{text}");
        }
        assert!(matches!(Motion::open(dir.path().join("none"), 30.0), Err(Error::Io { .. })));
        assert!(matches!(Motion::open(dir.path().join("b"), f32::NAN), Err(Error::Io { .. })));
    }
}
