//! WHAM's `wham_output.pkl` (joblib): for each person `pose` `[T, 72]` and `trans` `[T, 3]` of SMPL before the camera, and
//! `frame_ids` `[T]`. The camera's focal length is the picture's diagonal.

use super::{
    OpenOptions, Opened, Params, Track, by_convention, chosen, diagonal, from_smpl, numbers, smpl_pose,
};
use crate::error::{Error, Result};
use crate::motion::MotionFrame;
use tensorfile::pickle::{Pickle, Value};

const NAME: &str = "WHAM";

fn people(root: &Value) -> impl Iterator<Item = (&Value, &Value)> {
    let entries: &[(Value, Value)] = match root {
        Value::Dict(entries) => entries,
        _ => &[],
    };
    entries
        .iter()
        .map(|(key, value)| (key, value))
        .filter(|(_, value)| value.get("pose").is_some() && value.get("trans").is_some())
}

pub(super) fn is(root: &Value) -> bool {
    people(root).next().is_some()
}

pub(super) fn read(file: &Pickle, root: &Value, options: &OpenOptions) -> Result<Opened> {
    let mut notes = Vec::new();
    let camera = by_convention(NAME, options, diagonal, &mut notes);
    let mut tracks = Vec::new();
    for (index, (key, values)) in people(root).enumerate() {
        let person = key.as_i64().and_then(|id| usize::try_from(id).ok()).unwrap_or(index);
        let params = Params { estimator: NAME, file, values };
        let pose = params.needed("pose", 72, None)?;
        let trans = params.needed("trans", 3, Some(pose.len()))?;
        let ids = frame_ids(file, values, pose.len())?;
        let frames = pose.iter().zip(&trans).zip(ids).map(|((pose, trans), number)| {
            let frame = MotionFrame {
                pose: smpl_pose(pose),
                translation: from_smpl(trans),
                camera,
                ..MotionFrame::default()
            };
            (number, frame)
        });
        tracks.push(Track { person, frames: frames.collect() });
    }
    chosen(NAME, tracks, options, notes)
}

/// The pictures that a person's frames belong to; in order from 0 where the file doesn't say.
fn frame_ids(file: &Pickle, values: &Value, t: usize) -> Result<Vec<usize>> {
    let name = "frame_ids";
    let Some(value) = values.get(name) else { return Ok((0..t).collect()) };
    let ids = numbers(file, value).map(|(_, ids)| ids).filter(|ids| ids.len() == t);
    let whole = |x: f32| ((0.0..1e7).contains(&x) && x.fract() == 0.0).then_some(x as usize);
    ids.and_then(|ids| ids.into_iter().map(whole).collect()).ok_or_else(|| Error::Estimator {
        estimator: NAME,
        problem: format!("`{name}` isn't a list of {t} numbers of pictures"),
    })
}
