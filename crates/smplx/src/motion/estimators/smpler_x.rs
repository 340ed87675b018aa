//! Folders with an `.npz` for each picture and person, as SMPLer-X (and OSX, SMPLest-X, Multi-HMR's users) write them:
//! `smplx/00001_0.npz` with the `smplx` package's names, and `meta/00001_0.json` with `focal` and `princpt` of the whole picture.

use super::{OpenOptions, Opened, centred, diagonal};
use crate::camera::Camera;
use crate::error::{Error, Result};
use crate::motion::folder::FrameFiles;
use crate::motion::{Motion, amass, json};
use serde_json::Value;
use std::path::Path;
use tensorfile::Npz;

/// The motion of a folder's files, which are one person's.
pub(in crate::motion) fn frame_files(found: FrameFiles, options: &OpenOptions) -> Result<Opened> {
    let mut notes = found.notes;
    let mut frames = Vec::with_capacity(found.files.len());
    let (mut assumed, mut unknown) = (0, 0);
    for (number, path) in found.files {
        let in_file = |cause| Error::File { path: path.clone(), source: Box::new(cause) };
        let npz = match Npz::open(&path) {
            Ok(npz) => npz,
            Err(tensorfile::Error::File { cause, .. }) => return Err(in_file(Error::Npz(*cause))),
            Err(error) => return Err(in_file(Error::Npz(error))),
        };
        let opened = amass::read_before_camera(&npz, options.fps).map_err(in_file)?;
        let [mut frame] = <[_; 1]>::try_from(opened.motion.frames).map_err(|frames| {
            let problem = format!("holds {} frames, a file of a folder holds one", frames.len());
            in_file(Error::Frame { frame: number, problem })
        })?;
        if frame.camera.is_none() {
            frame.camera = meta(&path, options.picture_px)?;
        }
        if frame.camera.is_none() {
            frame.camera = options.picture_px.map(|size| centred(diagonal(size), size));
            match frame.camera {
                Some(_) => assumed += 1,
                None => unknown += 1,
            }
        }
        frames.push((number, frame));
    }
    if assumed > 0 {
        notes.push(format!(
            "{assumed} frames have no camera (meta/*.json beside the folder): the picture's diagonal is taken for the focal length"
        ));
    }
    if unknown > 0 {
        notes.push(format!("{unknown} frames have no camera (meta/*.json beside the folder)"));
    }
    Ok(Opened { motion: Motion::new(options.fps, json::close_gaps(frames, options.gaps)?)?, notes })
}

/// The camera that SMPLer-X writes beside a frame's parameters.
fn meta(path: &Path, picture_px: Option<[u32; 2]>) -> Result<Option<Camera>> {
    let (Some(folder), Some(stem)) = (path.parent().and_then(Path::parent), path.file_stem()) else {
        return Ok(None);
    };
    let place = folder.join("meta").join(stem).with_extension("json");
    let Ok(text) = std::fs::read(&place) else { return Ok(None) };
    let in_file = |cause| Error::File { path: place.clone(), source: Box::new(cause) };
    let value: Value = serde_json::from_slice(json::without_bom(&text))
        .map_err(|source| in_file(Error::Json { what: "a frame's camera".to_owned(), source }))?;
    let pair = |key: &str| -> Option<[f32; 2]> {
        let [x, y] = value.get(key)?.as_array()?.first_chunk::<2>()?;
        Some([x.as_f64()? as f32, y.as_f64()? as f32])
    };
    let (Some(focal_px), Some(principal_px)) = (pair("focal"), pair("princpt")) else {
        let problem = "focal or princpt isn't two numbers".to_owned();
        return Err(in_file(Error::Argument { what: "camera", problem }));
    };
    // The size isn't said, and the principal point is that of the person's box.
    Ok(picture_px.map(|size_px| Camera { focal_px, principal_px, size_px }))
}
