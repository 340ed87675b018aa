//! AniCrafter's frame files and this crate's own single-file form.
//!
//! A frame is an object with `betas`, `root_pose` `[3]`, `body_pose` `[21,3]`, `jaw_pose`, `leye_pose`, `reye_pose` `[3]`,
//! `lhand_pose`, `rhand_pose` `[15,3]` (axis-angle, radians), `trans` `[3]` (metres), and where there is a camera `focal`,
//! `princpt` (pixels) and `img_size_wh`; optionally `expr` and `pad_ratio`. Arrays may be flat. Only `root_pose` and `body_pose`
//! must be there; other keys are ignored. The names of the `smplx` package (`global_orient`, `transl`, `left_hand_pose` …) are
//! understood too.
//!
//! A folder holds one such file a frame, named by its number (`00001.json`, `frame_00001.json`). The single file is
//! `{"format": "smplx-motion", "version": 1, "fps": 15.0, "frames": [frame, …]}`.

use super::folder::FrameFiles;
use super::{Motion, MotionFrame};
use crate::affine::Affine;
use crate::camera::Camera;
use crate::error::{Error, Result};
use crate::pose::BodyPose;
use crate::rotation::slerp;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

const FORMAT: &str = "smplx-motion";
const VERSION: u64 = 1;

/// What to do when a folder lacks a frame's file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gaps {
    /// Refuse the folder and name the frame.
    #[default]
    Refuse,
    /// Interpolate between the frames before and after.
    Fill,
}

impl MotionFrame {
    /// Parses one of AniCrafter's frame files. `number` is the frame's number for error messages.
    ///
    /// # Errors
    /// [`Error::Json`] for anything but JSON, [`Error::Frame`] for missing keys, wrong counts and what isn't a number.
    pub fn from_json(text: &[u8], number: usize) -> Result<Self> {
        let value: Value = serde_json::from_slice(without_bom(text))
            .map_err(|source| Error::Json { what: format!("frame {number}"), source })?;
        Self::from_value(&value).map_err(|problem| Error::Frame { frame: number, problem })
    }

    /// The frame in AniCrafter's form.
    #[must_use]
    pub fn to_json(&self) -> String {
        self.to_value().to_string()
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        let object = value.as_object().ok_or("isn't a JSON object")?;
        let camera = camera(object)?;
        let vector = |names| match find(object, names) {
            None => Ok([0.0; 3]),
            Some((key, value)) => array::<3>(value, key),
        };
        let hand = |names| match find(object, names) {
            None => Ok([[0.0; 3]; 15]),
            Some((key, value)) => array::<45>(value, key).map(triples),
        };
        let list = |names| find(object, names).map_or(Ok(Vec::new()), |(key, value)| numbers(value, key));
        let root = find(object, ["root_pose", "global_orient"]).ok_or("root_pose is missing")?;
        let frame = Self {
            pose: BodyPose {
                root: array(root.1, root.0)?,
                body: triples(array::<63>(required(object, "body_pose")?, "body_pose")?),
                jaw: vector(["jaw_pose"; 2])?,
                left_eye: vector(["leye_pose"; 2])?,
                right_eye: vector(["reye_pose"; 2])?,
                left_hand: hand(["lhand_pose", "left_hand_pose"])?,
                right_hand: hand(["rhand_pose", "right_hand_pose"])?,
            },
            translation: vector(["trans", "transl"])?,
            betas: list(["betas"; 2])?,
            expression: list(["expr", "expression"])?,
            camera,
            pad_ratio: match object.get("pad_ratio") {
                None => None,
                Some(value) => Some(array::<1>(value, "pad_ratio")?[0]),
            },
        };
        frame.problem().map_or(Ok(frame), Err)
    }

    fn to_value(&self) -> Value {
        let mut object = Map::new();
        let mut put = |key: &str, value: Value| {
            object.insert(key.to_owned(), value);
        };
        let pose = &self.pose;
        put("betas", json!(self.betas));
        put("root_pose", json!(pose.root));
        put("body_pose", json!(pose.body));
        put("jaw_pose", json!(pose.jaw));
        put("leye_pose", json!(pose.left_eye));
        put("reye_pose", json!(pose.right_eye));
        put("lhand_pose", json!(pose.left_hand));
        put("rhand_pose", json!(pose.right_hand));
        put("trans", json!(self.translation));
        if !self.expression.is_empty() {
            put("expr", json!(self.expression));
        }
        if let Some(camera) = &self.camera {
            put("focal", json!(camera.focal_px));
            put("princpt", json!(camera.principal_px));
            put("img_size_wh", json!(camera.size_px));
        }
        if let Some(ratio) = self.pad_ratio {
            put("pad_ratio", json!(ratio));
        }
        Value::Object(object)
    }
}

impl Motion {
    /// Reads a folder of AniCrafter's frame files in the order of their numbers. Hidden files and files that aren't named by a
    /// frame's number are passed over; [`Motion::open_with`] counts them.
    ///
    /// # Errors
    /// When the folder can't be read, has no frames or (with [`Gaps::Refuse`]) lacks one, or a frame is broken; the frame
    /// is named by its file's number.
    pub fn read_json_folder(folder: impl AsRef<Path>, fps: f32, gaps: Gaps) -> Result<Self> {
        let found = FrameFiles::find(folder.as_ref(), "json", None)?;
        Self::new(fps, close_gaps(read_frames(found.files)?, gaps)?)
    }

    /// Writes a folder of AniCrafter's frame files, numbered from 1. Files of other numbers that are there stay.
    ///
    /// # Errors
    /// When a file can't be written.
    pub fn write_json_folder(&self, folder: impl AsRef<Path>) -> Result<()> {
        let folder = folder.as_ref();
        let io = |path: &Path, source| Error::Io { path: path.to_owned(), source };
        std::fs::create_dir_all(folder).map_err(|e| io(folder, e))?;
        for (index, frame) in self.frames.iter().enumerate() {
            let path = folder.join(format!("{:05}.json", index + 1));
            std::fs::write(&path, frame.to_json()).map_err(|e| io(&path, e))?;
        }
        Ok(())
    }

    /// Parses the single-file form.
    ///
    /// # Errors
    /// [`Error::Json`] for anything but such a file, [`Error::Frame`] for a broken frame.
    pub fn from_json(text: &[u8]) -> Result<Self> {
        let what = || "a smplx-motion file".to_owned();
        let file: Value = serde_json::from_slice(without_bom(text))
            .map_err(|source| Error::Json { what: what(), source })?;
        let argument = |what, problem: &str| Error::Argument { what, problem: problem.to_owned() };
        if file["format"] != FORMAT {
            return Err(argument("format", "isn't \"smplx-motion\""));
        }
        if file["version"].as_u64() != Some(VERSION) {
            return Err(argument("version", "isn't 1, the one version that this crate reads"));
        }
        let fps = file["fps"].as_f64().ok_or(argument("fps", "isn't a number"))? as f32;
        let frames = file["frames"].as_array().ok_or(argument("frames", "isn't a list"))?;
        let frames = frames.iter().enumerate().map(|(frame, value)| {
            MotionFrame::from_value(value).map_err(|problem| Error::Frame { frame, problem })
        });
        Self::new(fps, frames.collect::<Result<_>>()?)
    }

    /// The single-file form.
    #[must_use]
    pub fn to_json(&self) -> String {
        let frames: Vec<Value> = self.frames.iter().map(MotionFrame::to_value).collect();
        json!({ "format": FORMAT, "version": VERSION, "fps": self.fps, "frames": frames }).to_string()
    }
}

/// Longest gap that is filled, in frames.
const MAX_GAP: usize = 1000;

/// The frames of numbered files.
pub(super) fn read_frames(files: Vec<(usize, PathBuf)>) -> Result<Vec<(usize, MotionFrame)>> {
    let read = |(number, path): (usize, PathBuf)| {
        let text = std::fs::read(&path).map_err(|source| Error::Io { path, source })?;
        Ok((number, MotionFrame::from_json(&text, number)?))
    };
    files.into_iter().map(read).collect()
}

/// The frames without their numbers, which must follow each other.
pub(super) fn close_gaps(numbered: Vec<(usize, MotionFrame)>, gaps: Gaps) -> Result<Vec<MotionFrame>> {
    let mut frames: Vec<MotionFrame> = Vec::with_capacity(numbered.len());
    let mut last = None;
    for (number, frame) in numbered {
        if let (Some(last), Some(before)) = (last, frames.last().cloned()) {
            let step: usize = number - last;
            if step == 0 {
                return Err(Error::Frame { frame: number, problem: "two files have this number".to_owned() });
            }
            if step > 1 && (gaps == Gaps::Refuse || step > MAX_GAP) {
                let problem = format!(
                    "is missing: {last} is followed by {number} (--fill-gaps, Gaps::Fill, interpolates up to {MAX_GAP} frames)"
                );
                return Err(Error::Frame { frame: last + 1, problem });
            }
            for i in 1..step {
                frames.push(before.interpolated(&frame, i as f32 / step as f32, slerp));
            }
        }
        last = Some(number);
        frames.push(frame);
    }
    Ok(frames)
}

/// Text without the mark that some editors put before UTF-8.
pub(super) fn without_bom(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// The camera of a frame; `None` where no key speaks of one.
pub(super) fn camera(object: &Map<String, Value>) -> Result<Option<Camera>, String> {
    if !["focal", "princpt", "img_size_wh"].iter().any(|key| object.contains_key(*key)) {
        return Ok(None);
    }
    let size = array::<2>(required(object, "img_size_wh")?, "img_size_wh")?;
    if size.iter().any(|n| !(1.0..=65536.0).contains(n)) {
        return Err(format!("img_size_wh: {size:?} isn't the size of a picture"));
    }
    let focal = required(object, "focal")?;
    let focal_px = match numbers(focal, "focal")?[..] {
        [both] => [both; 2],
        _ => array(focal, "focal")?,
    };
    let principal_px = array(required(object, "princpt")?, "princpt")?;
    Ok(Some(Camera { focal_px, principal_px, size_px: size.map(|n| n as u32) }))
}

/// Three or four rows of four numbers; a fourth is that of a 4×4 matrix and not looked at.
pub(super) fn rows_of_four(value: &Value) -> Result<Affine, String> {
    let values = numbers(value, "view")?;
    if !matches!(values.len(), 12 | 16) {
        return Err(format!("view: expected 3 or 4 rows of 4 numbers, found {} numbers", values.len()));
    }
    Ok(std::array::from_fn(|row| std::array::from_fn(|column| values[4 * row + column])))
}

/// The first of two names that an object has, and its value.
fn find<'a>(object: &'a Map<String, Value>, names: [&'static str; 2]) -> Option<(&'static str, &'a Value)> {
    names.into_iter().find_map(|name| Some((name, object.get(name)?)))
}

fn required<'a>(object: &'a Map<String, Value>, key: &str) -> Result<&'a Value, String> {
    object.get(key).ok_or_else(|| format!("{key} is missing"))
}

fn array<const N: usize>(value: &Value, key: &str) -> Result<[f32; N], String> {
    let values = numbers(value, key)?;
    let found = values.len();
    values.try_into().map_err(|_| format!("{key}: expected {N} numbers, found {found}"))
}

fn triples<const N: usize, const M: usize>(flat: [f32; N]) -> [[f32; 3]; M] {
    std::array::from_fn(|i| std::array::from_fn(|k| flat[i * 3 + k]))
}

/// All numbers of a number or of nested lists.
fn numbers(value: &Value, key: &str) -> Result<Vec<f32>, String> {
    fn collect(value: &Value, out: &mut Vec<f32>) -> Option<()> {
        match value {
            Value::Number(n) => out.push(n.as_f64()? as f32),
            Value::Array(items) => items.iter().try_for_each(|item| collect(item, out))?,
            _ => return None,
        }
        Some(())
    }
    let mut out = Vec::new();
    collect(value, &mut out).ok_or_else(|| format!("{key} holds something that isn't a number"))?;
    match out.iter().position(|x| !x.is_finite()) {
        None => Ok(out),
        Some(at) => Err(format!("{key}: element {at} is too large for a 32-bit float")),
    }
}
