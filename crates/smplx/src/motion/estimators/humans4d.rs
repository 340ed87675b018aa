//! 4D-Humans' tracks (`demo_*.pkl`, joblib): a dictionary for each picture, in which `tid`, `smpl` (rotation matrices
//! `global_orient`, `body_pose`), `camera` (translation) and `size` (height, width) are lists over the people. The camera is one
//! of 5000 pixels' focal length for a picture whose longer side has 256.

use super::{OpenOptions, Opened, Params, Track, centred, chosen, from_smpl, numbers, smpl_pose_of_matrices};
use crate::error::{Error, Result};
use crate::motion::MotionFrame;
use std::collections::BTreeMap;
use tensorfile::pickle::{Pickle, Value};

const NAME: &str = "4D-Humans";
/// Focal length over the picture's longer side.
const FOCAL: f32 = 5000.0 / 256.0;

fn pictures(root: &Value) -> impl Iterator<Item = &(Value, Value)> {
    let entries: &[(Value, Value)] = match root {
        Value::Dict(entries) => entries,
        _ => &[],
    };
    entries.iter().filter(|(_, value)| value.get("smpl").is_some() && value.get("camera").is_some())
}

pub(super) fn is(root: &Value) -> bool {
    pictures(root).next().is_some()
}

pub(super) fn read(file: &Pickle, root: &Value, options: &OpenOptions) -> Result<Opened> {
    let mut people: BTreeMap<usize, Vec<(usize, MotionFrame)>> = BTreeMap::new();
    let mut sorted: Vec<&(Value, Value)> = pictures(root).collect();
    // Pictures are named by their paths, which are numbered.
    sorted.sort_by_key(|(key, _)| key.as_str().unwrap_or_default());
    for (number, (_, picture)) in sorted.into_iter().enumerate() {
        let wrong =
            |what: &str| Error::Estimator { estimator: NAME, problem: format!("picture {number}: {what}") };
        let list = |name: &str| picture.get(name).and_then(Value::as_list);
        let (Some(bodies), Some(cameras)) = (list("smpl"), list("camera")) else {
            return Err(wrong("`smpl` and `camera` aren't lists"));
        };
        let ids = list("tid").or_else(|| list("tracked_ids")).unwrap_or_default();
        if bodies.len() != cameras.len() || (!ids.is_empty() && ids.len() != bodies.len()) {
            return Err(wrong("its lists have different lengths"));
        }
        let size = match picture.get("size").and_then(|value| numbers(file, value)) {
            Some((_, size)) if size.len() >= 2 && size[..2].iter().all(|n| (1.0..=65536.0).contains(n)) => {
                Some([size[1] as u32, size[0] as u32])
            }
            _ => options.picture_px,
        };
        for (index, (body, camera)) in bodies.iter().zip(cameras).enumerate() {
            let id = ids
                .get(index)
                .and_then(Value::as_i64)
                .and_then(|id| usize::try_from(id).ok())
                .unwrap_or(index);
            let params = Params { estimator: NAME, file, values: body };
            let mut matrices = params.needed("global_orient", 9, Some(1))?.concat();
            matrices.extend(params.needed("body_pose", 9 * (super::N_SMPL - 1), Some(1))?.concat());
            let Some((_, camera)) = numbers(file, camera).filter(|(_, t)| t.len() == 3) else {
                return Err(wrong("`camera` isn't three numbers"));
            };
            let frame = MotionFrame {
                pose: smpl_pose_of_matrices(&matrices),
                translation: from_smpl(&camera),
                camera: size.map(|[w, h]| centred(FOCAL * w.max(h) as f32, [w, h])),
                ..MotionFrame::default()
            };
            people.entry(id).or_default().push((number, frame));
        }
    }
    let tracks = people.into_iter().map(|(person, frames)| Track { person, frames }).collect();
    chosen(NAME, tracks, options, Vec::new())
}
