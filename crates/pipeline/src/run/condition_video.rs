//! The avatar-background video alone: frame by frame into the encoder, nothing goes through a work folder.

use crate::Result;
use crate::composite::{Compositor, gray_to_rgb};
use crate::finish::{sound, warn_of};
use crate::job::Job;
use crate::progress::{Context, Event, Stage, peak_memory};
use crate::report::StageRow;
use avatar_render::RendererChoice;
use media::{AudioTrack, BackgroundWriter, VideoWriter, Warnings, WriteOptions};
use std::path::Path;
use std::time::Instant;

/// Frames that wait for the encoder.
const ENCODE_BEHIND: usize = 4;

/// A condition video that was written.
#[derive(Clone, Debug)]
pub struct ConditionVideo {
    /// Number of frames.
    pub frames: usize,
    /// Frames a second of the video.
    pub fps: f64,
    /// What rendered the avatars.
    pub renderer: String,
    /// Time and memory.
    pub stage: StageRow,
}

/// Makes the condition video of a job and what it wants beside it.
pub(super) fn write(job: &Job, renderer: RendererChoice, context: Context<'_>) -> Result<ConditionVideo> {
    let start = Instant::now();
    let mut compositor = Compositor::open(job, renderer)?;
    let (total, fps) = (compositor.len(), compositor.fps());
    context.tell(&Event::Started { stage: Stage::Composite, window: 0, windows: 1, total });
    let rate = compositor.rate();
    // What the writers have to say.
    let said = std::cell::RefCell::new(Vec::<Warnings>::new());
    let open = |path: &Path, audio: Option<AudioTrack>| -> Result<BackgroundWriter> {
        let options = WriteOptions { audio, ..WriteOptions::new(rate) };
        let writer = VideoWriter::create(path, options)?;
        said.borrow_mut().push(writer.warnings());
        Ok(writer.in_background(ENCODE_BEHIND))
    };
    let mut video = open(&job.output.video, sound(job.sound_from(), job.input.start, context))?;
    let beside = |path: &Option<std::path::PathBuf>| path.as_deref().map(|path| open(path, None)).transpose();
    let (mut mesh, mut mask) = (beside(&job.output.mesh)?, beside(&job.output.mask)?);
    let mut frames = 0;
    loop {
        if mesh.is_none() && mask.is_none() {
            let Some(blend) = compositor.next_blend()? else { break };
            video.push(blend)?;
        } else {
            let Some(frame) = compositor.next_frame()? else { break };
            video.push(frame.blend)?;
            if let Some(mesh) = &mut mesh {
                mesh.push(frame.mesh)?;
            }
            if let Some(mask) = &mut mask {
                mask.push(gray_to_rgb(&frame.mask))?;
            }
        }
        frames += 1;
        compositor.tell_warnings(context);
        context.advance(Stage::Composite, frames as f64, total)?;
    }
    video.finish()?;
    for writer in [mesh, mask].into_iter().flatten() {
        writer.finish()?;
    }
    compositor.tell_warnings(context);
    said.borrow().iter().for_each(|said| warn_of(said, context));
    let (seconds, peak_bytes) = (start.elapsed().as_secs_f64(), peak_memory());
    context.tell(&Event::Finished { stage: Stage::Composite, seconds, cached: false, peak_bytes });
    let stage = StageRow { name: Stage::Composite.name().to_owned(), seconds, peak_bytes, cached: false };
    Ok(ConditionVideo { frames, fps, renderer: compositor.renderer(), stage })
}
