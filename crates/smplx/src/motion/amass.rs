//! Motion in one `.npz`, as AMASS distributes it.
//!
//! Read: `poses` `[T, 165]` (SMPL-X: the 55 joints) or `[T, 156]` (SMPL-H: root, 21 body joints, left and right hand), or the
//! parts `root_orient`, `pose_body`, `pose_jaw`, `pose_eye`, `pose_hand`; `trans` `[T, 3]`; `betas` `[S]` or `[T, S]`;
//! `expression` `[T, E]`; `mocap_frame_rate` or `mocap_framerate`. Cameras, which AMASS doesn't have, are written as `focal`,
//! `princpt` `[T, 2]` and `img_size_wh` `[T, 2]` and read where they exist. AMASS has z up; nothing is turned here.

use super::{Motion, MotionFrame};
use crate::camera::Camera;
use crate::error::{Error, Result};
use crate::pose::BodyPose;
use crate::skeleton::{BODY, LEFT_EYE, LEFT_HAND, N_JOINTS, RIGHT_HAND};
use std::path::Path;
use tensorfile::{Npz, TensorSource, TensorView, write_npz_bytes};

/// Frames that a file may have at most.
const MAX_FRAMES: usize = 1 << 24;

impl Motion {
    /// Opens an AMASS file.
    ///
    /// # Errors
    /// When the file can't be read, or an array is missing, has the wrong shape or isn't finite.
    pub fn read_npz(path: impl AsRef<Path>) -> Result<Self> {
        read(&Npz::open(path).map_err(Error::Npz)?)
    }

    /// Parses an AMASS file in memory.
    ///
    /// # Errors
    /// As [`Motion::read_npz`].
    pub fn from_npz(bytes: impl Into<Vec<u8>>) -> Result<Self> {
        read(&Npz::parse(bytes.into()).map_err(Error::Npz)?)
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

/// An array `[T, width]`, with `width` any where it is `None`.
struct Rows {
    width: usize,
    values: Vec<f32>,
}

impl Rows {
    fn row(&self, t: usize) -> &[f32] {
        &self.values[t * self.width..(t + 1) * self.width]
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

/// `[T, width]`; `None` where the file has no such array.
fn rows(npz: &Npz, name: &str, t: Option<usize>, widths: &[usize]) -> Result<Option<Rows>> {
    if !npz.contains(name) {
        return Ok(None);
    }
    let (shape, values) = array(npz, name)?;
    let fits = shape.len() == 2
        && t.is_none_or(|t| shape[0] == t)
        && shape[0] <= MAX_FRAMES
        && (widths.is_empty() || widths.contains(&shape[1]));
    if !fits {
        let frames = t.map_or("T".to_owned(), |t| t.to_string());
        return Err(shape_error(name, format!("[{frames}, one of {widths:?}]"), &shape));
    }
    Ok(Some(Rows { width: shape[1], values }))
}

fn read(npz: &Npz) -> Result<Motion> {
    let fps = ["mocap_frame_rate", "mocap_framerate"].into_iter().find(|name| npz.contains(name));
    let fps = fps.ok_or(Error::MissingArray { array: "mocap_frame_rate", hint: "" })?;
    let (shape, values) = array(npz, fps)?;
    let [fps] = values[..] else { return Err(shape_error(fps, "[] or [1]".to_owned(), &shape)) };
    let poses = poses(npz)?;
    let t = poses.len();
    let trans = rows(npz, "trans", Some(t), &[3])?;
    let expression = rows(npz, "expression", Some(t), &[])?;
    let cameras = [
        rows(npz, "focal", Some(t), &[2])?,
        rows(npz, "princpt", Some(t), &[2])?,
        rows(npz, "img_size_wh", Some(t), &[2])?,
    ];
    let betas = if npz.contains("betas") { Some(array(npz, "betas")?) } else { None };
    if let Some((shape, _)) = &betas {
        let fits = shape.len() == 1 || (shape.len() == 2 && (shape[0] == t || shape[0] == 1));
        if !fits {
            return Err(shape_error("betas", format!("[S] or [{t}, S]"), shape));
        }
    }
    let betas_of = |i: usize| match &betas {
        None => Vec::new(),
        Some((shape, values)) if shape.len() == 2 && shape[0] == t => {
            values[i * shape[1]..(i + 1) * shape[1]].to_vec()
        }
        Some((_, values)) => values.clone(),
    };
    let camera_of = |i: usize| match &cameras {
        [Some(focal), Some(principal), Some(size)] => {
            let pair = |rows: &Rows| [rows.row(i)[0], rows.row(i)[1]];
            Some(Camera {
                focal_px: pair(focal),
                principal_px: pair(principal),
                size_px: pair(size).map(|n| n.clamp(0.0, 65536.0) as u32),
            })
        }
        _ => None,
    };
    let frames = poses.iter().enumerate().map(|(i, pose)| MotionFrame {
        pose: *pose,
        translation: trans.as_ref().map_or([0.0; 3], |r| std::array::from_fn(|k| r.row(i)[k])),
        betas: betas_of(i),
        expression: expression.as_ref().map_or(Vec::new(), |r| r.row(i).to_vec()),
        camera: camera_of(i),
        pad_ratio: None,
    });
    Motion::new(fps, frames.collect())
}

fn poses(npz: &Npz) -> Result<Vec<BodyPose>> {
    let mut full = Vec::new();
    let joints = |row: &[f32], out: &mut [[f32; 3]]| out.as_flattened_mut().copy_from_slice(row);
    if let Some(poses) = rows(npz, "poses", None, &[165, 156])? {
        for row in poses.values.chunks_exact(poses.width) {
            let mut pose = [[0.0; 3]; N_JOINTS];
            if poses.width == 165 {
                joints(row, &mut pose);
            } else {
                joints(&row[..66], &mut pose[..BODY.end]);
                joints(&row[66..], &mut pose[LEFT_HAND.start..RIGHT_HAND.end]);
            }
            full.push(pose);
        }
    } else {
        let root = rows(npz, "root_orient", None, &[3])?
            .ok_or(Error::MissingArray { array: "poses", hint: ", and so is `root_orient`" })?;
        let t = root.values.len() / 3;
        let body = rows(npz, "pose_body", Some(t), &[63])?
            .ok_or(Error::MissingArray { array: "pose_body", hint: "" })?;
        let jaw = rows(npz, "pose_jaw", Some(t), &[3])?;
        let eyes = rows(npz, "pose_eye", Some(t), &[6])?;
        let hands = rows(npz, "pose_hand", Some(t), &[90])?;
        for i in 0..t {
            let mut pose = [[0.0; 3]; N_JOINTS];
            joints(root.row(i), &mut pose[..1]);
            joints(body.row(i), &mut pose[BODY]);
            for (rows, range) in [
                (&jaw, BODY.end..LEFT_EYE),
                (&eyes, LEFT_EYE..LEFT_HAND.start),
                (&hands, LEFT_HAND.start..RIGHT_HAND.end),
            ] {
                if let Some(rows) = rows {
                    joints(rows.row(i), &mut pose[range]);
                }
            }
            full.push(pose);
        }
    }
    if full.is_empty() {
        return Err(Error::NoFrames { what: "the npz file".to_owned() });
    }
    Ok(full.iter().map(BodyPose::from_full).collect())
}
