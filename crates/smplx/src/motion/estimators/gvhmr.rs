//! GVHMR's `hmr4d_results.pt`: SMPL-X's parameters before the camera (`smpl_params_incam`) and in a world
//! (`smpl_params_global`), and the intrinsics `K_fullimg` `[T, 3, 3]`. Hands are at rest.

use super::{OpenOptions, Opened, Params, Track, camera_of_matrix, chosen};
use crate::error::{Error, Result};
use crate::motion::MotionFrame;
use crate::pose::BodyPose;
use tensorfile::pickle::{Pickle, Value};

const NAME: &str = "GVHMR";
const PARAMS: &str = "smpl_params_incam";

pub(super) fn is(root: &Value) -> bool {
    root.get(PARAMS).is_some() || root.get("smpl_params_global").is_some()
}

pub(super) fn read(file: &Pickle, root: &Value, options: &OpenOptions) -> Result<Opened> {
    let missing = |name: &str| Error::Estimator { estimator: NAME, problem: format!("`{name}` is missing") };
    let values = root.get(PARAMS).ok_or_else(|| missing(PARAMS))?;
    let params = Params { estimator: NAME, file, values };
    let root_pose = params.needed("global_orient", 3, None)?;
    let t = root_pose.len();
    let body = params.needed("body_pose", 63, Some(t))?;
    let trans = params.needed("transl", 3, Some(t))?;
    let betas = params.rows("betas", 10, Some(t))?;
    let of_file = Params { estimator: NAME, file, values: root };
    let cameras = of_file.needed("K_fullimg", 9, Some(t))?;
    let frame = |i: usize| MotionFrame {
        pose: BodyPose {
            root: std::array::from_fn(|k| root_pose[i][k]),
            body: std::array::from_fn(|j| std::array::from_fn(|k| body[i][3 * j + k])),
            ..BodyPose::default()
        },
        translation: std::array::from_fn(|k| trans[i][k]),
        betas: betas.as_ref().map_or(Vec::new(), |rows| rows[i].clone()),
        camera: cameras[i].first_chunk().map(camera_of_matrix),
        ..MotionFrame::default()
    };
    let track = Track { person: 0, frames: (0..t).map(|i| (i, frame(i))).collect() };
    chosen(NAME, vec![track], options, Vec::new())
}
