//! Any text as a motion: one frame's file, and the one-file form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smplx::{Motion, MotionFrame};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(frame) = MotionFrame::from_json(bytes, 0) {
        let again = MotionFrame::from_json(frame.to_json().as_bytes(), 0);
        assert!(again.is_ok(), "a frame that was read must be readable when written");
    }
    drop(Motion::from_json(bytes));
});
