//! The person in a raw video: masks and landmarks, frame by frame.

use super::{DECODE_AHEAD, to_json};
use crate::job::Replace;
use crate::work::write_atomically;
use crate::{Context, Error, Result, Stage};
use image::GrayImage;
use media::VideoReader;
use mocap::{Observation, TrackOptions, Tracker};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What the masks stage saw, frame by frame.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Seen {
    pub(super) size: [u32; 2],
    pub(super) fps: f64,
    pub(super) frames: Vec<Option<Observation>>,
    pub(super) cuts: Vec<bool>,
    /// The most people in view at once, where anybody looked.
    pub(super) people: usize,
}

/// What the masks stage writes beside the mattes.
pub(super) const SEEN: &str = "landmarks.json";

pub(super) fn track(settings: &Replace, part: &Path, total: usize, context: Context<'_>) -> Result<()> {
    let reader = VideoReader::open(&settings.video)?;
    let (size, fps) = (reader.info().size(), reader.info().frame_rate.as_f64());
    let said = reader.warnings();
    let mut tracker = Tracker::new(TrackOptions { person: settings.person - 1 })?;
    let folder = part.join("mattes");
    let fail = |source| Error::Io { path: folder.clone(), source };
    if folder.exists() {
        // Left by a run that was stopped: of another length, perhaps.
        std::fs::remove_dir_all(&folder).map_err(fail)?;
    }
    std::fs::create_dir_all(&folder).map_err(fail)?;
    let mut seen = Seen { size: [size.0, size.1], fps, frames: Vec::new(), cuts: Vec::new(), people: 0 };
    // Mattes are written while the next frame is looked at.
    let (to_disk, written) = std::sync::mpsc::sync_channel::<(PathBuf, GrayImage)>(DECODE_AHEAD);
    let tracked = std::thread::scope(|scope| {
        let writer = scope.spawn(move || -> Result<()> {
            for (path, matte) in written {
                matte.save(&path).map_err(|e| Error::Io { path, source: std::io::Error::other(e) })?;
            }
            Ok(())
        });
        let tracked = (|| -> Result<()> {
            for (n, frame) in reader.prefetch(DECODE_AHEAD).enumerate() {
                let tracked = tracker.next_frame(&frame?)?;
                seen.people = seen.people.max(tracked.people.unwrap_or(0));
                seen.frames.push(tracked.observation);
                seen.cuts.push(tracked.cut);
                if to_disk.send((folder.join(format!("{n:06}.png")), tracked.matte)).is_err() {
                    // The writer stopped, and says why.
                    break;
                }
                context.advance(Stage::Masks, (n + 1) as f64, total)?;
            }
            Ok(())
        })();
        drop(to_disk);
        writer.join().unwrap_or(Err(Error::Internal("the writer of masks panicked"))).and(tracked)
    });
    tracked?;
    crate::finish::warn_of(&said, context);
    let found = seen.frames.iter().flatten().count();
    if found == 0 {
        if seen.people > 0 {
            return Err(mocap::Error::NoSuchPerson { wanted: settings.person, found: seen.people }.into());
        }
        return Err(mocap::Error::Nobody { frames: seen.frames.len() }.into());
    }
    if seen.people > 1 {
        context.warn(format!(
            "{} people are in view; person {} is replaced, the others stay (choose with --person)",
            seen.people, settings.person
        ));
    }
    let cuts = seen.cuts.iter().filter(|c| **c).count();
    if cuts > 0 {
        context.warn(format!(
            "{cuts} cut(s) in the video: each shot is taken by itself, and after a cut the person is chosen anew"
        ));
    }
    write_atomically(&part.join(SEEN), &to_json(&seen)?)
}
