//! What was found in a raw video, as the file that its name asks for.

use crate::finish::{sound, warn_of};
use crate::job::Job;
use crate::progress::Context;
use crate::replace::Replaced;
use crate::work::{copy_atomically, write_atomically};
use crate::{Error, Result, Stage};
use media::{VideoReader, VideoWriter, WriteOptions};
use smplx::Motion;
use std::path::{Path, PathBuf};

/// The masks: a folder of pictures or a video.
pub(super) fn masks(job: &Job, found: &Option<Replaced>, context: Context<'_>) -> Result<()> {
    frames(made(found, Stage::Masks, |found| &found.masks)?, job, None, context)
}

/// The background: a video or a folder of pictures.
pub(super) fn plate(job: &Job, found: &Option<Replaced>, context: Context<'_>) -> Result<()> {
    frames(made(found, Stage::Plate, |found| &found.plate)?, job, Some(job.sound_from()), context)
}

/// The motion: `.json`, `.npz` or a folder of frame files.
pub(super) fn motion(job: &Job, found: &Option<Replaced>) -> Result<()> {
    let (from, to) = (made(found, Stage::Motion, |found| &found.motion)?, &job.output.video);
    if extension(from) == extension(to) && from.is_file() {
        return copy_atomically(from, to);
    }
    let fps = VideoReader::open(job.sound_from())?.info().frame_rate.as_f64();
    let motion = Motion::open(from, fps as f32)?;
    match extension(to).as_deref() {
        Some("json") => write_atomically(to, motion.to_json().as_bytes()),
        Some("npz") => write_atomically(to, &motion.to_npz()?),
        _ => Ok(motion.write_json_folder(to)?),
    }
}

fn made<'a>(
    found: &'a Option<Replaced>,
    stage: Stage,
    of: impl Fn(&'a Replaced) -> &'a Option<PathBuf>,
) -> Result<&'a Path> {
    found.as_ref().and_then(|found| of(found).as_deref()).ok_or_else(|| Error::Missing {
        stage,
        what: "nothing was made: the job has no raw video to find it in".to_owned(),
    })
}

/// Frames under the job's output's name: as they are where that is a file of their kind, else encoded anew.
fn frames(from: &Path, job: &Job, sound_from: Option<&Path>, context: Context<'_>) -> Result<()> {
    let to = &job.output.video;
    let same = if from.is_dir() { to.extension().is_none() } else { kind(from) == kind(to) };
    if same {
        return copy(from, to);
    }
    let reader = VideoReader::open(from)?;
    let rate = match &job.replace {
        Some(replace) => VideoReader::open(&replace.video)?.info().frame_rate,
        None => reader.info().frame_rate,
    };
    let audio = sound_from.and_then(|path| sound(path, 0, context));
    let mut writer = VideoWriter::create(to, WriteOptions { audio, ..WriteOptions::new(rate) })?;
    for picture in reader {
        writer.push(&picture?)?;
    }
    let said = writer.warnings();
    writer.finish()?;
    warn_of(&said, context);
    Ok(())
}

fn extension(path: &Path) -> Option<String> {
    path.extension().map(|e| e.to_string_lossy().to_lowercase())
}

/// The container that a name asks for: the three names of mp4 are one.
fn kind(path: &Path) -> Option<String> {
    extension(path).map(|e| if matches!(e.as_str(), "m4v" | "mov") { "mp4".to_owned() } else { e })
}

/// Copies a file or a folder of files; a file appears under its name only when it is whole.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        return copy_atomically(from, to);
    }
    let fail = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { path, source }
    };
    std::fs::create_dir_all(to).map_err(fail(to))?;
    for entry in std::fs::read_dir(from).map_err(fail(from))? {
        let entry = entry.map_err(fail(from))?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Preset, Replace};
    use crate::progress::{CancelToken, Quiet};
    use image::{Rgb, RgbImage};
    use media::FrameRate;

    #[test]
    fn the_name_decides_what_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let mut writer =
            VideoWriter::create(path("raw.mp4"), WriteOptions::new(FrameRate::whole(10))).unwrap();
        for i in 0..3 {
            writer.push(&RgbImage::from_pixel(32, 16, Rgb([40 * i; 3]))).unwrap();
        }
        writer.finish().unwrap();
        let motion = Motion::new(10.0, vec![smplx::MotionFrame::default(); 3]).unwrap();
        std::fs::write(path("motion.json"), motion.to_json()).unwrap();
        let mut job = Job::new(Preset::Demo);
        job.replace = Some(Replace { video: path("raw.mp4"), ..Replace::default() });
        let cancel = CancelToken::new();
        let context = Context::new(&Quiet, &cancel);
        let found = Some(Replaced {
            masks: Some(path("raw.mp4")),
            motion: Some(path("motion.json")),
            motions: vec![path("motion.json")],
            in_front: None,
            plate: Some(path("raw.mp4")),
            painted: false,
            stages: Vec::new(),
        });
        for name in ["p.mp4", "p.mov", "frames", "x_%03d.png"] {
            job.output.video = path(name);
            plate(&job, &found, context).unwrap();
        }
        assert_eq!(std::fs::read(path("p.mp4")).unwrap(), std::fs::read(path("raw.mp4")).unwrap());
        assert_eq!(VideoReader::open(path("frames")).unwrap().count(), 3);
        assert_eq!(
            std::fs::read_dir(dir.path())
                .unwrap()
                .filter(|e| { e.as_ref().is_ok_and(|e| e.file_name().to_string_lossy().starts_with("x_")) })
                .count(),
            3
        );
        for name in ["m.json", "m.npz", "folder"] {
            job.output.video = path(name);
            super::motion(&job, &found).unwrap();
            assert_eq!(Motion::open(path(name), 10.0).unwrap().len(), 3, "{name}");
        }
        assert!(std::fs::read(path("m.npz")).unwrap().starts_with(b"PK"));
        assert!(matches!(masks(&job, &None, context), Err(Error::Missing { stage: Stage::Masks, .. })));
    }
}
