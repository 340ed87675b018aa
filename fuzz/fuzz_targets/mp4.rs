//! Any bytes as a video: the container's parser and the decoder behind it, on a few frames.
#![no_main]

use libfuzzer_sys::fuzz_target;
use media::{AudioTrack, ReadOptions, VideoReader};
use std::io::Write;

fuzz_target!(|bytes: &[u8]| {
    // The reader takes paths alone. No ffmpeg: it isn't ours to fuzz.
    let Ok(mut file) = tempfile::Builder::new().suffix(".mp4").tempfile() else { return };
    if file.write_all(bytes).is_err() {
        return;
    }
    let options = ReadOptions { ffmpeg: None, ..ReadOptions::default() };
    if let Ok(reader) = VideoReader::open_with(file.path(), &options) {
        for frame in reader.take(4) {
            drop(frame);
        }
    }
    drop(AudioTrack::open(file.path(), None));
});
