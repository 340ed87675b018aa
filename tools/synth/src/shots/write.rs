//! Shots as folders.

use super::stage::FPS;
use super::{Shot, Taker};
use crate::{Error, Result};
use serde_json::json;
use smplx::Motion;
use std::path::Path;

/// Writes a shot: `frames/` with pictures, `person-N/` with mattes and `person-N.json` with the motion of each, `in-front/` with
/// what hides them, `held/` with what they hold, and `truth.json` with the kind, the focal length, and which of the first 22
/// joints are seen in each frame.
///
/// # Errors
/// When a file can't be written.
pub fn write(shot: Shot, seed: u64, size: [u32; 2], frames: usize, folder: &Path) -> Result<()> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { path, source }
    };
    let mut taker = Taker::new(shot, seed, size, frames)?;
    let (mut motions, mut seen): (Vec<Vec<_>>, Vec<Vec<_>>) = (Vec::new(), Vec::new());
    let mut n = 0;
    while let Some(frame) = taker.next_frame()? {
        let save = |part: &str, picture: image::DynamicImage| -> Result<()> {
            let path = folder.join(part).join(format!("{n:04}.png"));
            if n == 0 {
                let inside = folder.join(part);
                std::fs::create_dir_all(&inside).map_err(io(&inside))?;
            }
            picture.save(&path).map_err(|source| Error::Write { path, source })
        };
        save("frames", frame.picture.into())?;
        save("in-front", frame.in_front.into())?;
        save("held", frame.held.into())?;
        motions.resize_with(frame.people.len(), Vec::new);
        seen.resize_with(frame.people.len(), Vec::new);
        for (p, person) in frame.people.into_iter().enumerate() {
            save(&format!("person-{}", p + 1), person.matte.into())?;
            motions[p].push(person.frame);
            seen[p].push(person.seen);
        }
        n += 1;
    }
    let focal = motions.first().and_then(|frames| frames.first()?.camera).map(|camera| camera.focal_px[0]);
    for (p, frames) in motions.into_iter().enumerate() {
        let path = folder.join(format!("person-{}.json", p + 1));
        std::fs::write(&path, Motion::new(FPS, frames)?.to_json()).map_err(io(&path))?;
    }
    let truth = json!({ "shot": shot.name(), "seed": seed, "frames": n, "focal_px": focal, "seen": seen });
    let path = folder.join("truth.json");
    std::fs::write(&path, truth.to_string()).map_err(io(&path))
}
