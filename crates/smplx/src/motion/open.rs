//! A motion by its path, whatever form it has.

use super::{Gaps, Motion, MotionFrame};
use crate::error::{Error, Result};
use std::path::Path;

impl Motion {
    /// Opens a motion by what it is: a folder of AniCrafter's frame files, an AMASS `.npz`, this crate's single file, or the
    /// file of one frame. `fps` are the frames a second of forms that don't say (folders and single frames).
    ///
    /// # Errors
    /// [`Error::File`] with the cause where it can't be read, isn't a motion, or lacks a frame.
    pub fn open(path: impl AsRef<Path>, fps: f32) -> Result<Self> {
        let path = path.as_ref();
        let motion = if path.is_dir() {
            Self::read_json_folder(path, fps, Gaps::Refuse)
        } else if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npz")) {
            Self::read_npz(path)
        } else {
            std::fs::read(path)
                .map_err(|source| Error::Io { path: path.to_owned(), source })
                .and_then(|text| Self::from_any_json(&text, fps))
        };
        motion.map_err(|cause| match cause {
            Error::Io { .. } => cause,
            cause => Error::File { path: path.to_owned(), source: Box::new(cause) },
        })
    }

    /// The single-file form, or one frame's.
    fn from_any_json(text: &[u8], fps: f32) -> Result<Self> {
        let one_frame = serde_json::from_slice::<serde_json::Value>(text)
            .is_ok_and(|keys| keys.get("frames").is_none() && keys.get("format").is_none());
        if one_frame {
            return Self::new(fps, vec![MotionFrame::from_json(text, 0)?]);
        }
        Self::from_json(text)
    }
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
    fn what_cannot_be_opened_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in
            [("a.json", b"{".as_slice()), ("b.npz", b"PK"), ("c.json", b"[]"), ("d.json", b"")]
        {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let error = Motion::open(&path, 30.0).unwrap_err();
            assert!(matches!(&error, Error::File { .. }) && error.to_string().contains(name), "{error:?}");
        }
        assert!(matches!(Motion::open(dir.path().join("none"), 30.0), Err(Error::Io { .. })));
        assert!(matches!(Motion::open(dir.path().join("b"), f32::NAN), Err(Error::Io { .. })));
    }
}
