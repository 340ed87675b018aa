//! Motion in one `.npz`, as AMASS distributes it and as fitting programs save it.
//!
//! Read: `poses` `[T, 165]` (SMPL-X: the 55 joints), `[T, 156]` (SMPL+H: root, 21 body joints, left and right hand), `[T, 72]`
//! (SMPL: 24 joints), or the parts under AMASS's names (`root_orient`, `pose_body`, `pose_jaw`, `pose_eye`, `pose_hand`) or those
//! of the `smplx` package (`global_orient`, `body_pose`, `left_hand_pose` …); `trans` or `transl` `[T, 3]`; `betas` `[S]` or
//! `[T, S]`; `expression` `[T, E]`; `mocap_frame_rate`, `mocap_framerate` or `fps`. Cameras, which AMASS doesn't have, are written
//! as `focal`, `princpt` `[T, 2]` and `img_size_wh` `[T, 2]` (or one row for all), or as intrinsics `K` `[3, 3]`.
//!
//! AMASS has z up. A motion without a camera comes out with y up: it is turned where the file has AMASS's own keys, says so
//! (`up_axis`, which this crate writes), or where the heads point along z. SMPL's bodies stand elsewhere in their own axes than
//! SMPL-X's: translations are moved by the difference.

use super::open::Opened;
use super::view::{REST_PELVIS, Z_UP_TO_Y_UP};
use super::{Motion, MotionFrame};
use crate::affine::affine;
use crate::camera::Camera;
use crate::error::{Error, Result};
use crate::pose::BodyPose;
use crate::skeleton::{BODY, JAW, LEFT_EYE, LEFT_HAND, N_JOINTS, RIGHT_EYE, RIGHT_HAND};
use std::ops::Range;
use std::path::Path;
use tensorfile::{Npz, TensorSource, TensorView, write_npz_bytes};

/// Where the pelvis of SMPL's mean body lies, in metres: SMPL's and SMPL+H's translations count from there.
///
/// Source: `J_regressor · v_template` of the published neutral model, rounded.
pub(super) const SMPL_PELVIS: [f32; 3] = [-0.002, -0.223, 0.028];

/// Frames that a file may have at most.
const MAX_FRAMES: usize = 1 << 24;
/// The array that says which axis points up: 1 for y, 2 for z.
const UP_AXIS: &str = "up_axis";
/// Arrays by which AMASS's own files are known.
const OF_AMASS: [&str; 4] = ["dmpls", "surface_model_type", "markers_latent", "mocap_time_length"];

impl Motion {
    /// Opens an AMASS file.
    ///
    /// # Errors
    /// When the file can't be read, or an array is missing, has the wrong shape or isn't finite.
    pub fn read_npz(path: impl AsRef<Path>) -> Result<Self> {
        Ok(read(&Npz::open(path).map_err(Error::Npz)?, None)?.motion)
    }

    /// Parses an AMASS file in memory.
    ///
    /// # Errors
    /// As [`Motion::read_npz`].
    pub fn from_npz(bytes: impl Into<Vec<u8>>) -> Result<Self> {
        Ok(read(&Npz::parse(bytes.into()).map_err(Error::Npz)?, None)?.motion)
    }

    /// The motion as an AMASS file with `poses` `[T, 165]`.
    ///
    /// # Errors
    /// As [`Motion::check`].
    pub fn to_npz(&self) -> Result<Vec<u8>> {
        self.check()?;
        let t = self.frames.len();
        let collect =
            |of: &dyn Fn(&MotionFrame) -> Vec<f32>| -> Vec<f32> { self.frames.iter().flat_map(of).collect() };
        let first = &self.frames[0];
        let mut arrays: Vec<(&str, Vec<usize>, Vec<f32>)> = vec![
            ("poses", vec![t, N_JOINTS * 3], collect(&|f| f.pose.full().as_flattened().to_vec())),
            ("trans", vec![t, 3], collect(&|f| f.translation.to_vec())),
            ("betas", vec![t, first.betas.len()], collect(&|f| f.betas.clone())),
            ("expression", vec![t, first.expression.len()], collect(&|f| f.expression.clone())),
            ("mocap_frame_rate", vec![], vec![self.fps]),
        ];
        if self.frames.iter().all(|f| f.betas == first.betas) {
            arrays[2] = ("betas", vec![first.betas.len()], first.betas.clone());
        }
        if first.camera.is_some() {
            let camera = |of: fn(&Camera) -> [f32; 2]| collect(&|f| f.camera.iter().flat_map(of).collect());
            arrays.push(("focal", vec![t, 2], camera(|c| c.focal_px)));
            arrays.push(("princpt", vec![t, 2], camera(|c| c.principal_px)));
            arrays.push(("img_size_wh", vec![t, 2], camera(|c| c.size_px.map(|n| n as f32))));
        } else {
            // Axes are not guessed when the file is read again.
            arrays.push((UP_AXIS, vec![], vec![1.0]));
        }
        let mut views = Vec::new();
        for (name, shape, values) in &arrays {
            if !shape.contains(&0) {
                views.push((*name, TensorView::from_f32(shape, values).map_err(Error::Npz)?));
            }
        }
        write_npz_bytes(&views, true).map_err(Error::Npz)
    }
}

/// An array of T rows.
struct Rows {
    width: usize,
    values: Vec<f32>,
}

impl Rows {
    fn row(&self, t: usize) -> &[f32] {
        &self.values[t * self.width..(t + 1) * self.width]
    }

    fn triple(&self, t: usize) -> [f32; 3] {
        std::array::from_fn(|k| self.row(t)[k])
    }
}

fn shape_error(name: &str, expected: String, found: &[usize]) -> Error {
    Error::Shape { array: name.to_owned(), expected, found: found.to_vec() }
}

fn array(npz: &Npz, name: &str) -> Result<(Vec<usize>, Vec<f32>)> {
    let (shape, values) = npz.f32(name).map_err(|source| Error::Array { array: name.to_owned(), source })?;
    crate::model::check_finite(name, &values)?;
    Ok((shape, values))
}

/// The first of some names that a file has.
fn present<'a>(npz: &Npz, names: &[&'a str]) -> Option<&'a str> {
    names.iter().copied().find(|name| npz.contains(name))
}

/// `[T, width]`, whatever axes the row is divided into; `None` where the file has none of these arrays.
fn rows(npz: &Npz, names: &[&str], t: usize, widths: &[usize]) -> Result<Option<Rows>> {
    let Some(name) = present(npz, names) else { return Ok(None) };
    let (shape, values) = array(npz, name)?;
    match widths.iter().find(|width| t.checked_mul(**width) == Some(values.len())) {
        Some(&width) => Ok(Some(Rows { width, values })),
        None => Err(shape_error(name, format!("[{t}, one of {widths:?}]"), &shape)),
    }
}

/// A pair of numbers for each frame: given as `[T, 2]`, `[2]` for all, or one number for both.
fn pairs(npz: &Npz, name: &str, t: usize) -> Result<Option<Vec<[f32; 2]>>> {
    if !npz.contains(name) {
        return Ok(None);
    }
    let (shape, values) = array(npz, name)?;
    let pairs = match values.as_chunks::<2>() {
        (pairs, []) if pairs.len() == t => pairs.to_vec(),
        ([pair], []) => vec![*pair; t],
        ([], [both]) => vec![[*both; 2]; t],
        _ => return Err(shape_error(name, format!("[{t}, 2] or [2]"), &shape)),
    };
    Ok(Some(pairs))
}

/// Reads a motion; `fps` are the frames a second of a file that doesn't say.
pub(super) fn read(npz: &Npz, fps: Option<f32>) -> Result<Opened> {
    let (mut opened, has_camera) = read_as_it_is(npz, fps)?;
    if !has_camera && z_is_up(npz, &opened.motion)? {
        opened.motion = opened.motion.transformed(&affine(&Z_UP_TO_Y_UP, [0.0; 3]));
    }
    Ok(opened)
}

/// Reads a motion that lies before a camera, be one in the file or not.
pub(super) fn read_before_camera(npz: &Npz, fps: f32) -> Result<Opened> {
    Ok(read_as_it_is(npz, Some(fps))?.0)
}

/// A file's motion in its own axes, and whether there is a camera.
fn read_as_it_is(npz: &Npz, fps: Option<f32>) -> Result<(Opened, bool)> {
    let mut notes = Vec::new();
    let (poses, smpl) = poses(npz)?;
    let t = poses.len();
    let fps = match (present(npz, &["mocap_frame_rate", "mocap_framerate", "fps", "frame_rate"]), fps) {
        (Some(name), _) => {
            let (shape, values) = array(npz, name)?;
            let [fps] = values[..] else { return Err(shape_error(name, "[] or [1]".to_owned(), &shape)) };
            fps
        }
        (None, Some(fps)) => {
            if t > 1 {
                notes.push(format!("the file doesn't say its frames a second: {fps} are taken"));
            }
            fps
        }
        (None, None) => return Err(Error::MissingArray { array: "mocap_frame_rate", hint: "" }),
    };
    let trans = rows(npz, &["trans", "transl", "translation"], t, &[3])?;
    let pelvis = rows(npz, &["transl_pelvis"], t, &[3])?;
    let expression = match present(npz, &["expression", "expr"]) {
        Some(name) => {
            let (shape, values) = array(npz, name)?;
            if !values.len().is_multiple_of(t) {
                return Err(shape_error(name, format!("[{t}, E]"), &shape));
            }
            Some(Rows { width: values.len() / t, values })
        }
        None => None,
    };
    let betas = match (present(npz, &["betas", "shape"]), smpl) {
        (None, _) => None,
        (Some(name), Some(body)) => {
            if array(npz, name)?.1.iter().any(|beta| *beta != 0.0) {
                notes.push(format!(
                    "the shape coefficients are {body}'s, which mean nothing to SMPL-X: left out"
                ));
            }
            None
        }
        (Some(name), None) => {
            let (shape, values) = array(npz, name)?;
            let fits = shape.len() == 1 || (shape.len() == 2 && (shape[0] == t || shape[0] == 1));
            if !fits {
                return Err(shape_error(name, format!("[S] or [{t}, S]"), &shape));
            }
            Some((shape, values))
        }
    };
    let betas_of = |i: usize| match &betas {
        None => Vec::new(),
        Some((shape, values)) if shape.len() == 2 && shape[0] == t => {
            values[i * shape[1]..(i + 1) * shape[1]].to_vec()
        }
        Some((_, values)) => values.clone(),
    };
    let cameras = cameras(npz, t)?;
    let shift: [f32; 3] = match smpl {
        Some(_) => std::array::from_fn(|k| SMPL_PELVIS[k] - REST_PELVIS[k]),
        None => [0.0; 3],
    };
    let translation_of = |i: usize| -> [f32; 3] {
        match (&pelvis, &trans) {
            (Some(pelvis), _) => std::array::from_fn(|k| pelvis.row(i)[k] - REST_PELVIS[k]),
            (None, Some(trans)) => std::array::from_fn(|k| trans.row(i)[k] + shift[k]),
            (None, None) => [0.0; 3],
        }
    };
    let frames = poses.iter().enumerate().map(|(i, pose)| MotionFrame {
        pose: *pose,
        translation: translation_of(i),
        betas: betas_of(i),
        expression: expression.as_ref().map_or(Vec::new(), |r| r.row(i).to_vec()),
        camera: cameras.as_ref().map(|cameras| cameras[i]),
        pad_ratio: None,
    });
    let motion = Motion::new(fps, frames.collect())?;
    Ok((Opened { motion, notes }, cameras.is_some()))
}

/// Does z point up in this file?
fn z_is_up(npz: &Npz, motion: &Motion) -> Result<bool> {
    if npz.contains(UP_AXIS) {
        if let Ok(text) = npz.text(UP_AXIS) {
            return Ok(text.eq_ignore_ascii_case("z"));
        }
        return Ok(array(npz, UP_AXIS)?.1 == [2.0]);
    }
    let [x, y, z] = motion.up();
    let of_amass = OF_AMASS.iter().any(|name| npz.contains(name));
    // Somebody may have turned one of AMASS's files already, and left its keys.
    Ok(if of_amass { y.abs() < 0.8 } else { z > 0.5 && z > y.abs() && z > x.abs() })
}

/// A camera for each frame; `None` where the file has none.
fn cameras(npz: &Npz, t: usize) -> Result<Option<Vec<Camera>>> {
    if let (Some(focal), Some(principal), Some(size)) =
        (pairs(npz, "focal", t)?, pairs(npz, "princpt", t)?, pairs(npz, "img_size_wh", t)?)
    {
        let camera = |((focal_px, principal_px), size): ((&[f32; 2], &[f32; 2]), &[f32; 2])| Camera {
            focal_px: *focal_px,
            principal_px: *principal_px,
            size_px: size.map(|n| n.clamp(0.0, 65536.0) as u32),
        };
        return Ok(Some(focal.iter().zip(&principal).zip(&size).map(camera).collect()));
    }
    let Some(name) = present(npz, &["K", "intrinsics", "K_fullimg"]) else { return Ok(None) };
    let (shape, values) = array(npz, name)?;
    let (matrices, rest) = values.as_chunks::<9>();
    if !rest.is_empty() || (matrices.len() != t && matrices.len() != 1) {
        return Err(shape_error(name, format!("[{t}, 3, 3] or [3, 3]"), &shape));
    }
    Ok(Some(
        (0..t).map(|i| super::estimators::camera_of_matrix(&matrices[i.min(matrices.len() - 1)])).collect(),
    ))
}

/// The poses, and the name of the body that they are of, where it isn't SMPL-X.
fn poses(npz: &Npz) -> Result<(Vec<BodyPose>, Option<&'static str>)> {
    let found = match present(npz, &["poses", "fullpose", "rotvec"]) {
        Some(name) => whole_poses(npz, name)?,
        None => (pose_parts(npz)?, npz_body(npz)),
    };
    if found.0.is_empty() {
        return Err(Error::NoFrames { what: "the npz file".to_owned() });
    }
    Ok(found)
}

/// SMPL's bodies have 23 joints beside the root.
fn npz_body(npz: &Npz) -> Option<&'static str> {
    let root = present(npz, ROOT).and_then(|name| npz.info(name))?.len();
    let body = present(npz, BODY_PARTS).and_then(|name| npz.info(name))?.len();
    (body == root.checked_mul(23)?).then_some("SMPL")
}

const ROOT: &[&str] = &["root_orient", "global_orient", "root_pose"];
const BODY_PARTS: &[&str] = &["pose_body", "body_pose"];

fn whole_poses(npz: &Npz, name: &str) -> Result<(Vec<BodyPose>, Option<&'static str>)> {
    let (shape, values) = array(npz, name)?;
    // One frame may come without the first axis.
    let t = match shape[..] {
        [_, 3] | [_] => 1,
        [t, ..] => t,
        [] => 0,
    };
    let wrong = || shape_error(name, "[T, one of [165, 156, 72, 66]]".to_owned(), &shape);
    if t == 0 || t > MAX_FRAMES || !values.len().is_multiple_of(t) {
        return Err(if values.is_empty() && shape.len() == 2 {
            Error::NoFrames { what: "the npz file".to_owned() }
        } else {
            wrong()
        });
    }
    let width = values.len() / t;
    let body = match (width, name) {
        (165 | 66, _) | (159, "rotvec") => None,
        (156, _) => Some("SMPL+H"),
        (72, _) => Some("SMPL"),
        _ => return Err(wrong()),
    };
    let pose = |row: &[f32]| {
        let mut pose = [[0.0; 3]; N_JOINTS];
        let mut put = |from: Range<usize>, to: Range<usize>| {
            pose[to].as_flattened_mut().copy_from_slice(&row[3 * from.start..3 * from.end]);
        };
        match width {
            165 => put(0..55, 0..55),
            // Multi-HMR: as SMPL+H, and the jaw.
            159 => {
                put(0..22, 0..22);
                put(22..52, LEFT_HAND.start..RIGHT_HAND.end);
                put(52..53, JAW..JAW + 1);
            }
            156 => {
                put(0..22, 0..22);
                put(22..52, LEFT_HAND.start..RIGHT_HAND.end);
            }
            // SMPL's last two joints are whole hands.
            _ => put(0..22, 0..22),
        }
        BodyPose::from_full(&pose)
    };
    Ok((values.chunks_exact(width).map(pose).collect(), body))
}

fn pose_parts(npz: &Npz) -> Result<Vec<BodyPose>> {
    let name = present(npz, ROOT);
    let name = name.ok_or(Error::MissingArray { array: "poses", hint: ", and so is `root_orient`" })?;
    let (shape, values) = array(npz, name)?;
    if !values.len().is_multiple_of(3) || values.len() / 3 > MAX_FRAMES {
        return Err(shape_error(name, "[T, 3]".to_owned(), &shape));
    }
    let t = values.len() / 3;
    let root = Rows { width: 3, values };
    let body =
        rows(npz, BODY_PARTS, t, &[63, 69])?.ok_or(Error::MissingArray { array: "pose_body", hint: "" })?;
    let parts = [
        (rows(npz, &["pose_jaw", "jaw_pose"], t, &[3])?, JAW..LEFT_EYE),
        (rows(npz, &["pose_eye"], t, &[6])?, LEFT_EYE..LEFT_HAND.start),
        (rows(npz, &["leye_pose"], t, &[3])?, LEFT_EYE..RIGHT_EYE),
        (rows(npz, &["reye_pose"], t, &[3])?, RIGHT_EYE..LEFT_HAND.start),
        (rows(npz, &["pose_hand"], t, &[90])?, LEFT_HAND.start..RIGHT_HAND.end),
        (rows(npz, &["left_hand_pose", "lhand_pose"], t, &[45])?, LEFT_HAND),
        (rows(npz, &["right_hand_pose", "rhand_pose"], t, &[45])?, RIGHT_HAND),
    ];
    let pose = |i: usize| {
        let mut pose = [[0.0; 3]; N_JOINTS];
        pose[0] = root.triple(i);
        pose[BODY].as_flattened_mut().copy_from_slice(&body.row(i)[..63]);
        for (rows, range) in &parts {
            if let Some(rows) = rows {
                pose[range.clone()].as_flattened_mut().copy_from_slice(rows.row(i));
            }
        }
        BodyPose::from_full(&pose)
    };
    Ok((0..t).map(pose).collect())
}
