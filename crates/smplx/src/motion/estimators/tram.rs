//! TRAM's `hps/hps_track_N.npy`: `pred_rotmat` `[T, 24, 3, 3]` and `pred_trans` `[T, 1, 3]` of SMPL before the camera, and `frame`
//! `[T]`. The camera is in `camera.npy` beside the folder (`img_focal`, `img_center`); else its focal length is the picture's
//! diagonal.

use super::{
    OpenOptions, Opened, Params, Track, by_convention, chosen, diagonal, from_smpl, numbers, open_pickle,
    smpl_pose_of_matrices,
};
use crate::camera::Camera;
use crate::error::{Error, Result};
use crate::motion::MotionFrame;
use std::path::Path;
use tensorfile::pickle::{Pickle, Value};

const NAME: &str = "TRAM";

pub(super) fn is(root: &Value) -> bool {
    root.get("pred_rotmat").is_some()
}

pub(super) fn read(path: &Path, file: &Pickle, root: &Value, options: &OpenOptions) -> Result<Opened> {
    let params = Params { estimator: NAME, file, values: root };
    let poses = params.needed("pred_rotmat", 9 * super::N_SMPL, None)?;
    let t = poses.len();
    let trans = params.needed("pred_trans", 3, Some(t))?;
    let numbers: Vec<usize> = match params.rows("frame", 1, Some(t))? {
        Some(rows) => rows.iter().map(|row| row[0].clamp(0.0, 1e7) as usize).collect(),
        None => (0..t).collect(),
    };
    let mut notes = Vec::new();
    let camera = match camera_beside(path, options, &mut notes)? {
        Some(camera) => Some(camera),
        None => by_convention(NAME, options, diagonal, &mut notes),
    };
    let frames = poses.iter().zip(&trans).zip(numbers).map(|((pose, trans), number)| {
        let (pose, translation) = (smpl_pose_of_matrices(pose), from_smpl(trans));
        (number, MotionFrame { pose, translation, camera, ..MotionFrame::default() })
    });
    chosen(NAME, vec![Track { person: 0, frames: frames.collect() }], options, notes)
        .map_err(|e| person_is_a_file(e, options))
}

/// Each of TRAM's files is one person.
fn person_is_a_file(error: Error, options: &OpenOptions) -> Error {
    match error {
        Error::Argument { what: "person", .. } => Error::Argument {
            what: "person",
            problem: format!(
                "each file is one person here: name hps_track_{}.npy",
                options.person.unwrap_or_default()
            ),
        },
        error => error,
    }
}

/// The camera that TRAM estimated, where its file is there.
fn camera_beside(path: &Path, options: &OpenOptions, notes: &mut Vec<String>) -> Result<Option<Camera>> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let places = [folder.join("camera.npy"), folder.join("..").join("camera.npy")];
    let Some(place) = places.iter().find(|place| place.is_file()) else {
        notes.push(
            "TRAM's camera.npy isn't beside it: the picture's diagonal is taken for the focal length"
                .to_owned(),
        );
        return Ok(None);
    };
    let in_file = |cause| Error::File { path: place.clone(), source: Box::new(cause) };
    let file = open_pickle(place).map_err(in_file)?;
    let root = match file.root() {
        Value::List(items) if items.len() == 1 => &items[0],
        root => root,
    };
    let entry = |name: &str| root.get(name).and_then(|value| numbers(&file, value)).map(|(_, values)| values);
    let wrong = || Error::Estimator {
        estimator: NAME,
        problem: "`img_focal` isn't a number or `img_center` isn't two".to_owned(),
    };
    let (Some(focal), Some(centre)) = (entry("img_focal"), entry("img_center")) else {
        return Err(in_file(wrong()));
    };
    let (&[focal], &[cx, cy]) = (&focal[..], &centre[..]) else { return Err(in_file(wrong())) };
    let size_px =
        options.picture_px.unwrap_or([cx, cy].map(|c| (2.0 * c).round().clamp(0.0, 65536.0) as u32));
    Ok(Some(Camera { focal_px: [focal; 2], principal_px: [cx, cy], size_px }))
}
