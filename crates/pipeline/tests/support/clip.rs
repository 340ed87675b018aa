//! A job over the demo's scene that is quick: stamp-sized frames in windows of five that overlap by one.

use anicrafter_pipeline::{Actor, Job, Preset};
use std::path::{Path, PathBuf};

fn demo(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/demo").join(name)
}

/// So many frames, worked on in `folder`; the video's place and the sampling are the caller's.
pub fn clip(folder: &Path, frames: usize) -> Job {
    let mut job = Job::new(Preset::Demo);
    job.input.actors = vec![Actor::new(demo("avatar.safetensors"), demo("motion.json"))];
    job.input.background = demo("background.mp4");
    job.input.character = Some(demo("character.png"));
    job.input.end = Some(frames);
    (job.video.width, job.video.height, job.video.window, job.video.overlap) = (80, 48, 5, 1);
    job.output.work = Some(folder.join("work"));
    job
}
