//! What people's estimators write, each with its own idea of a camera.
//!
//! All of them place the body before the camera (x right, y down, z forward), one pose a picture, and say no rate: the video's
//! is taken. Facts are from the projects' own code, as of 2025.

mod gvhmr;
mod humans4d;
mod smpler_x;
mod tram;
mod wham;

use super::amass::SMPL_PELVIS;
use super::open::{OpenOptions, Opened, open_pickle};
use super::view::REST_PELVIS;
use super::{Motion, MotionFrame, json};
use crate::camera::Camera;
use crate::error::{Error, Result};
use crate::pose::BodyPose;
use crate::rotation::{Mat3, axis_angle_from_matrix};
use crate::skeleton::N_JOINTS;
use std::path::Path;
use tensorfile::pickle::{Pickle, Value};

pub(super) use smpler_x::frame_files;

/// Joints of SMPL that SMPL-X has too: all but the two that stand for whole hands.
const N_SHARED: usize = 22;
/// Joints of SMPL.
const N_SMPL: usize = 24;
/// Pictures before a person's first that a motion is begun with.
const MAX_LEAD: usize = 100_000;

/// Reads an estimator's pickle, whichever it is.
pub(super) fn read(path: &Path, options: &OpenOptions) -> Result<Opened> {
    of_pickle(path, &open_pickle(path)?, options)
}

/// The motion of an opened pickle; `path` is where files that belong to it lie beside.
fn of_pickle(path: &Path, file: &Pickle, options: &OpenOptions) -> Result<Opened> {
    let root = match file.root() {
        Value::List(items) if items.len() == 1 => &items[0],
        root => root,
    };
    if gvhmr::is(root) {
        return gvhmr::read(file, root, options);
    }
    if tram::is(root) {
        return tram::read(path, file, root, options);
    }
    if wham::is(root) {
        return wham::read(file, root, options);
    }
    if humans4d::is(root) {
        return humans4d::read(file, root, options);
    }
    Err(unknown(root))
}

/// A pickle that nobody here knows, by what it holds.
fn unknown(root: &Value) -> Error {
    let (found, advice) = match root {
        Value::Dict(entries) if entries.iter().any(|(key, _)| key.as_str() == Some("v_template")) => {
            ("a body model in a pickle".to_owned(), "; a motion is wanted here")
        }
        Value::Dict(entries) => {
            let keys: Vec<&str> = entries.iter().filter_map(|(key, _)| key.as_str()).take(8).collect();
            let more = if entries.len() > keys.len() { " …" } else { "" };
            (
                format!("a Python dictionary with the keys {}{more}", keys.join(", ")),
                "; GVHMR's, WHAM's, TRAM's and 4D-Humans' results are read; save others as AMASS's arrays with numpy.savez(poses=…, trans=…, betas=…, mocap_frame_rate=…)",
            )
        }
        _ => (
            "a pickle without a dictionary".to_owned(),
            "; save its arrays as AMASS's with numpy.savez(poses=…, trans=…, betas=…, mocap_frame_rate=…)",
        ),
    };
    Error::NotThis { found, wanted: "a motion", advice: advice.to_owned() }
}

/// Numbers of a tensor, array, number or nested list, with their shape (flat for lists).
fn numbers(file: &Pickle, value: &Value) -> Option<(Vec<usize>, Vec<f32>)> {
    match value {
        Value::Tensor(tensor) => {
            let view = file.view(tensor).ok()?;
            Some((view.shape().to_vec(), view.to_f32()))
        }
        Value::Array(view) => Some((view.shape().to_vec(), view.to_f32())),
        Value::List(items) | Value::Tuple(items) => {
            let parts: Option<Vec<_>> = items.iter().map(|item| numbers(file, item)).collect();
            let flat: Vec<f32> = parts?.into_iter().flat_map(|(_, values)| values).collect();
            Some((vec![flat.len()], flat))
        }
        value => value.as_f64().map(|x| (Vec::new(), vec![x as f32])),
    }
}

/// The parameters of one person: rows of numbers by name.
struct Params<'a> {
    estimator: &'static str,
    file: &'a Pickle,
    values: &'a Value,
}

impl Params<'_> {
    fn error(&self, problem: String) -> Error {
        Error::Estimator { estimator: self.estimator, problem }
    }

    /// `T` rows of `width` numbers, however they are divided into axes; `None` where there is no such entry.
    fn rows(&self, name: &str, width: usize, t: Option<usize>) -> Result<Option<Vec<Vec<f32>>>> {
        let Some(value) = self.values.get(name) else { return Ok(None) };
        let (shape, values) =
            numbers(self.file, value).ok_or_else(|| self.error(format!("`{name}` isn't made of numbers")))?;
        if let Some(at) = values.iter().position(|x| !x.is_finite()) {
            return Err(self.error(format!(
                "`{name}`, frame {}: {} isn't a finite number",
                at / width,
                values[at]
            )));
        }
        let fits = values.len().is_multiple_of(width) && t.is_none_or(|t| values.len() == t * width);
        if !fits {
            let frames = t.map_or("T".to_owned(), |t| t.to_string());
            return Err(self.error(format!("`{name}` has the shape {shape:?}, expected [{frames}, {width}]")));
        }
        Ok(Some(values.chunks_exact(width).map(<[f32]>::to_vec).collect()))
    }

    /// As [`Params::rows`], for what must be there.
    fn needed(&self, name: &str, width: usize, t: Option<usize>) -> Result<Vec<Vec<f32>>> {
        self.rows(name, width, t)?.ok_or_else(|| self.error(format!("`{name}` is missing")))
    }
}

/// The pose of 24 axis-angle vectors in SMPL's order; hands stay at rest.
fn smpl_pose(row: &[f32]) -> BodyPose {
    let mut full = [[0.0; 3]; N_JOINTS];
    full[..N_SHARED].as_flattened_mut().copy_from_slice(&row[..3 * N_SHARED]);
    BodyPose::from_full(&full)
}

/// The pose of 24 rotation matrices in SMPL's order.
fn smpl_pose_of_matrices(row: &[f32]) -> BodyPose {
    let vectors: Vec<f32> = row.as_chunks::<9>().0.iter().flat_map(axis_angle).collect();
    smpl_pose(&vectors)
}

fn axis_angle(m: &[f32; 9]) -> [f32; 3] {
    let rows: Mat3 = std::array::from_fn(|i| std::array::from_fn(|j| m[3 * i + j]));
    axis_angle_from_matrix(&rows)
}

/// A translation of SMPL's body as one of SMPL-X's.
fn from_smpl(t: &[f32]) -> [f32; 3] {
    std::array::from_fn(|k| t[k] + SMPL_PELVIS[k] - REST_PELVIS[k])
}

/// Intrinsics of a 3×3 matrix, for a picture whose middle is the principal point.
pub(super) fn camera_of_matrix(m: &[f32; 9]) -> Camera {
    Camera {
        focal_px: [m[0], m[4]],
        principal_px: [m[2], m[5]],
        size_px: [m[2], m[5]].map(|c| (2.0 * c).round().clamp(0.0, 65536.0) as u32),
    }
}

/// The camera of a picture of that size whose focal length is `focal`, in pixels.
fn centred(focal: f32, size_px: [u32; 2]) -> Camera {
    Camera { focal_px: [focal; 2], principal_px: size_px.map(|n| n as f32 / 2.0), size_px }
}

/// The diagonal of a picture, in pixels: the focal length that HMR's successors assume, a field of view of 53°.
fn diagonal(size_px: [u32; 2]) -> f32 {
    let [w, h] = size_px.map(|n| n as f32);
    w.hypot(h)
}

/// One person: which picture each frame belongs to.
struct Track {
    person: usize,
    frames: Vec<(usize, MotionFrame)>,
}

/// The motion of one of several people.
fn chosen(
    estimator: &'static str,
    mut tracks: Vec<Track>,
    options: &OpenOptions,
    mut notes: Vec<String>,
) -> Result<Opened> {
    tracks.retain(|track| !track.frames.is_empty());
    let ids: Vec<usize> = tracks.iter().map(|track| track.person).collect();
    let longest = tracks.iter().max_by_key(|track| (track.frames.len(), std::cmp::Reverse(track.person)));
    let Some(longest) = longest.map(|track| track.person) else {
        return Err(Error::NoFrames { what: format!("{estimator}'s result") });
    };
    let person = options.person.unwrap_or(longest);
    let Some(track) = tracks.into_iter().find(|track| track.person == person) else {
        return Err(no_such_person(person, &ids));
    };
    if ids.len() > 1 {
        notes.push(chosen_of(&ids, person, track.frames.len()));
    }
    let mut frames = track.frames;
    frames.sort_by_key(|(number, _)| *number);
    let lead = frames[0].0;
    if lead > MAX_LEAD {
        let problem = format!("the person's first picture is number {lead}");
        return Err(Error::Estimator { estimator, problem });
    }
    let first = frames[0].1.clone();
    let mut all = vec![first; lead];
    if lead > 0 {
        notes.push(format!("the person is first seen in picture {lead}: the pictures before show that pose"));
    }
    all.extend(json::close_gaps(frames, options.gaps)?);
    Ok(Opened { motion: Motion::new(options.fps, all)?, notes })
}

/// A note on the choice among several people.
pub(super) fn chosen_of(ids: &[usize], person: usize, frames: usize) -> String {
    format!(
        "there are {} people ({}): number {person}, with {frames} frames, is taken; --motion-person takes another",
        ids.len(),
        listed(ids)
    )
}

pub(super) fn no_such_person(person: usize, ids: &[usize]) -> Error {
    let problem = format!("there is no number {person}, only {}", listed(ids));
    Error::Argument { what: "person", problem }
}

/// The first few numbers of a list.
fn listed(ids: &[usize]) -> String {
    let first: Vec<String> = ids.iter().take(8).map(ToString::to_string).collect();
    first.join(", ") + if ids.len() > 8 { " …" } else { "" }
}

/// A camera by convention, or a note that there is none.
fn by_convention(
    estimator: &'static str,
    options: &OpenOptions,
    focal: impl Fn([u32; 2]) -> f32,
    notes: &mut Vec<String>,
) -> Option<Camera> {
    let camera = options.picture_px.map(|size| centred(focal(size), size));
    if camera.is_none() {
        notes.push(format!("{estimator} leaves the camera to the picture's size, which isn't known here"));
    }
    camera
}

#[cfg(test)]
mod tests;
