//! Copies a video with its sound: to mp4, to numbered pictures (`out/%05d.png`), or to whatever ffmpeg can write.
//!
//! `cargo run -p anicrafter-media --example transcode -- IN OUT [QP]`
#![expect(clippy::print_stdout, reason = "a command-line example")]

use anicrafter_media::{AudioTrack, VideoReader, VideoWriter, WriteOptions};
use std::path::Path;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let input = arguments.next().ok_or("which video?")?;
    let output = arguments.next().ok_or("where to?")?;
    let start = Instant::now();
    let reader = VideoReader::open(&input)?.prefetch(2);
    let mut options = WriteOptions::new(reader.info().frame_rate);
    if let Some(qp) = arguments.next() {
        options.qp = qp.parse()?;
    }
    options.audio = AudioTrack::open(&input, Some(Path::new("ffmpeg")))?;
    let sound = options.audio.as_ref().map(AudioTrack::duration_s);
    let mut writer = VideoWriter::create(&output, options)?.in_background(2);
    for frame in reader {
        writer.push(frame?)?;
    }
    let written = writer.finish()?;
    println!("{written:?}, sound of {sound:?} s, in {:.2} s", start.elapsed().as_secs_f64());
    Ok(())
}
