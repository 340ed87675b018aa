//! Avatar, motion and background become the condition video.

use super::Run;
use crate::character;
use crate::composite::{Compositor, gray_to_rgb};
use crate::condition_files::{ConditionFiles, Meta};
use crate::job::{Job, Video};
use crate::progress::{Context, Event, Stage};
use crate::work::{Fingerprint, create_file, write_atomically};
use crate::{Error, Result};
use avatar_render::RendererChoice;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

impl Run<'_> {
    /// The condition video, the body video, the mask and the reference frame, with the fingerprint of what they were made of.
    pub(crate) fn composite(&mut self, renderer: RendererChoice) -> Result<(Fingerprint, ConditionFiles)> {
        let input = &self.job.input;
        let mut files = vec![Fingerprint::of_path(&input.background)?];
        for actor in &input.actors {
            files.push(Fingerprint::of_path(&actor.avatar)?);
            files.push(Fingerprint::of_path(&actor.motion)?);
        }
        for path in [
            &input.character,
            &input.character_mask,
            &input.mesh_video,
            &input.body,
            &input.camera,
            &self.job.light.environment,
            &self.job.light.file,
        ]
        .into_iter()
        .flatten()
        .chain(&input.occluders)
        {
            files.push(Fingerprint::of_path(path)?);
        }
        // The windows change no condition frame.
        let video = Video { window: 0, overlap: 0, match_windows: false, ..self.job.video.clone() };
        let key = Fingerprint::of(&(input, video, &self.job.light, files, format!("{renderer:?}")))?;
        let job = self.job;
        let done = self.stage(Stage::Composite, (0, 1), 0, key, |run, part| {
            let compositor = Compositor::open(job, renderer)?;
            write_condition(job, compositor, part, run.context)
        })?;
        Ok((done.key, ConditionFiles::open(&done.folder)?))
    }
}

fn write_condition(job: &Job, mut compositor: Compositor, part: &Path, context: Context<'_>) -> Result<()> {
    let (w, h) = (job.video.width, job.video.height);
    let reference = match &job.input.character {
        Some(path) => character::reference(path, &job.input, (w, h), context)?,
        None => {
            context.warn("no character picture: the reference frame is the avatar seen from the front");
            compositor.portrait(w, h)?
        }
    };
    let total = compositor.len();
    context.tell(&Event::Started { stage: Stage::Composite, window: 0, windows: 1, total });
    let create = |name: &str| -> Result<(PathBuf, BufWriter<std::fs::File>)> {
        let path = part.join(name);
        let file = create_file(&path)?;
        Ok((path, BufWriter::with_capacity(1 << 20, file)))
    };
    let mut files = [create("plate.rgb")?, create("blend.rgb")?, create("mesh.rgb")?, create("mask.rgb")?];
    let mut done = 0;
    while let Some(frame) = compositor.next_frame()? {
        let mask = gray_to_rgb(&frame.mask);
        let pictures: [&[u8]; 4] =
            [frame.plate.as_raw(), frame.blend.as_raw(), frame.mesh.as_raw(), mask.as_raw()];
        for ((path, file), bytes) in files.iter_mut().zip(pictures) {
            file.write_all(bytes).map_err(|source| Error::Io { path: path.clone(), source })?;
        }
        done += 1;
        compositor.tell_warnings(context);
        context.advance(Stage::Composite, done as f64, total)?;
    }
    compositor.tell_warnings(context);
    for (path, file) in files {
        let io = |source| Error::Io { path: path.clone(), source };
        file.into_inner().map_err(|e| io(e.into_error()))?.sync_all().map_err(io)?;
    }
    media::write_picture(part.join("reference.png"), &reference, media::PictureFormat::Png)?;
    let meta = Meta {
        frames: done,
        width: w,
        height: h,
        fps: compositor.fps(),
        renderer: compositor.renderer(),
        light: compositor.light_notes(),
    };
    let json = serde_json::to_vec_pretty(&meta).map_err(|e| Error::Settings(e.to_string()))?;
    write_atomically(&part.join("meta.json"), &json)
}
