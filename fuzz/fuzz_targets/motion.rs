//! Any bytes as a motion: one frame's file, the one-file form, a camera's file, and by what they are: npz, estimators' pickles.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smplx::{CameraFile, Motion, MotionFrame, OpenOptions};
use std::io::Write;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(frame) = MotionFrame::from_json(bytes, 0) {
        let again = MotionFrame::from_json(frame.to_json().as_bytes(), 0);
        assert!(again.is_ok(), "a frame that was read must be readable when written");
    }
    drop(Motion::from_json(bytes));
    drop(CameraFile::from_json(bytes));
    // The reader takes paths alone.
    for suffix in [".pkl", ".npz"] {
        let Ok(mut file) = tempfile::Builder::new().suffix(suffix).tempfile() else { return };
        if file.write_all(bytes).is_err() {
            return;
        }
        let options = OpenOptions { picture_px: Some([640, 480]), ..OpenOptions::new(25.0) };
        if let Ok(opened) = Motion::open_with(file.path(), &options) {
            assert!(opened.motion.check().is_ok(), "a motion that was read must be one that can be used");
        }
    }
});
