//! Motions that lie in a world instead of before a camera: which way is up, and where a camera stands.

use super::{Motion, MotionFrame};
use crate::affine::{Affine, affine, transform_point};
use crate::camera::Camera;
use crate::error::{Error, Result};
use crate::rotation::{Mat3, apply, axis_angle_from_matrix, cross, dot, matrix_from_axis_angle, mul};
use serde_json::Value;

/// Where the pelvis of SMPL-X's mean body lies, in metres. A body's rotations turn it about this point, so that who turns a
/// motion as a whole needs it; a person's own shape moves it by a few centimetres, which then shift the person by as much.
///
/// Source: `J_regressor · v_template` of the published neutral model, rounded.
pub const REST_PELVIS: [f32; 3] = [0.003, -0.351, 0.012];

/// y up from z up: a quarter turn about x.
pub(super) const Z_UP_TO_Y_UP: Mat3 = [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]];

/// How far a person reaches from the pelvis, sideways and up, in metres: what the default view leaves room for.
const REACH: [f32; 2] = [0.95, 1.2];
/// Focal length of the default view over the picture's longer side: about that of a phone.
const FOCAL: f32 = 1.0;
/// No camera stands nearer than this, in metres.
const NEAREST: f32 = 1.5;

/// A camera and where it stands in a motion's world, whose y points up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// The intrinsics.
    pub camera: Camera,
    /// From the world's axes to the camera's (x right, y down, z forward), in metres.
    pub camera_from_world: Affine,
}

/// A camera as a file says it: `focal`, `princpt` (pixels) and `img_size_wh`, and `view` where it stands in a world: three or four
/// rows of four numbers, from the world's axes to the camera's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CameraFile {
    /// The intrinsics.
    pub camera: Camera,
    /// From the world's axes (y up) to the camera's; `None` where the file doesn't say.
    pub camera_from_world: Option<Affine>,
}

impl CameraFile {
    /// Reads a camera file.
    ///
    /// # Errors
    /// [`Error::File`] with the cause where it can't be read, isn't JSON, or lacks a number.
    pub fn open(path: impl AsRef<std::path::Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        Self::from_json(&text).map_err(|cause| Error::File { path: path.to_owned(), source: Box::new(cause) })
    }

    /// Parses the text of a camera file.
    ///
    /// # Errors
    /// [`Error::Json`], [`Error::Argument`] for a camera that can't be.
    pub fn from_json(text: &[u8]) -> Result<Self> {
        let value: Value = serde_json::from_slice(super::json::without_bom(text))
            .map_err(|source| Error::Json { what: "a camera file".to_owned(), source })?;
        let wrong = |problem: String| Error::Argument { what: "camera", problem };
        let object = value.as_object().ok_or_else(|| wrong("isn't a JSON object".to_owned()))?;
        let camera = super::json::camera(object).map_err(wrong)?;
        let camera = camera.ok_or_else(|| wrong("focal, princpt and img_size_wh are missing".to_owned()))?;
        let frame = MotionFrame { camera: Some(camera), ..MotionFrame::default() };
        if let Some(problem) = frame.problem() {
            return Err(wrong(problem));
        }
        let camera_from_world = match object.get("view") {
            None => None,
            Some(rows) => Some(super::json::rows_of_four(rows).map_err(wrong)?),
        };
        if let Some(view) = &camera_from_world {
            let turn: Mat3 = view.map(|[a, b, c, _]| [a, b, c]);
            let transposed: Mat3 = std::array::from_fn(|i| std::array::from_fn(|j| turn[j][i]));
            let product = mul(&turn, &transposed);
            let rigid =
                (0..9).all(|k| (product[k / 3][k % 3] - f32::from(u8::from(k % 4 == 0))).abs() < 1e-3);
            let [x, y, z] = turn;
            if !rigid || dot(cross(x, y), z) < 0.0 {
                return Err(wrong("view: its three columns aren't a rotation".to_owned()));
            }
        }
        Ok(Self { camera, camera_from_world })
    }
}

impl Motion {
    /// Which way the bodies' heads point on average, in the motion's axes: about (0, 1, 0) in a world with y up, (0, 0, 1) with z up,
    /// (0, -1, 0) before a camera. Not of unit length: a person who tumbles has none.
    #[must_use]
    pub fn up(&self) -> [f32; 3] {
        self.mean_direction([0.0, 1.0, 0.0])
    }

    fn mean_direction(&self, of_body: [f32; 3]) -> [f32; 3] {
        let n = self.frames.len().max(1) as f32;
        self.frames.iter().fold([0.0; 3], |sum, frame| {
            let way = apply(&matrix_from_axis_angle(frame.pose.root), of_body);
            std::array::from_fn(|k| sum[k] + way[k] / n)
        })
    }

    /// The motion in other axes, and moved: each body as a whole is turned and moved by `to`.
    #[must_use]
    pub fn transformed(&self, to: &Affine) -> Self {
        let turn: Mat3 = to.map(|[a, b, c, _]| [a, b, c]);
        let frames = self.frames.iter().map(|frame| {
            let mut frame = frame.clone();
            let root = mul(&turn, &matrix_from_axis_angle(frame.pose.root));
            frame.pose.root = axis_angle_from_matrix(&root);
            let pelvis = transform_point(to, pelvis(&frame));
            frame.translation = std::array::from_fn(|k| pelvis[k] - REST_PELVIS[k]);
            frame
        });
        Self { fps: self.fps, frames: frames.collect() }
    }

    /// The motion before a camera that stands in its world.
    #[must_use]
    pub fn seen_through(&self, view: &View) -> Self {
        let mut seen = self.transformed(&view.camera_from_world);
        seen.frames.iter_mut().for_each(|frame| frame.camera = Some(view.camera));
        seen
    }

    /// A camera for a motion in a world with y up: level, in front of where the person looks at first, so far away that the whole
    /// motion is in the picture.
    #[must_use]
    pub fn default_view(&self, size_px: [u32; 2]) -> View {
        let [w, h] = size_px.map(|n| n.max(1) as f32);
        let focal = FOCAL * w.max(h);
        let camera = Camera { focal_px: [focal; 2], principal_px: [w / 2.0, h / 2.0], size_px };
        self.placed(camera)
    }

    /// As [`Motion::default_view`], through a given camera.
    #[must_use]
    pub fn placed(&self, camera: Camera) -> View {
        let facing = self.frames.first().map_or([0.0, 0.0, 1.0], |frame| {
            apply(&matrix_from_axis_angle(frame.pose.root), [0.0, 0.0, 1.0])
        });
        let length = facing[0].hypot(facing[2]);
        // Who looks up or down at first gives no direction: from the front of the world, then.
        let [sin, cos] = if length > 1e-3 { [facing[0] / length, facing[2] / length] } else { [0.0, 1.0] };
        // The camera looks against the person's direction; its x is the person's left, its y points down.
        let turn: Mat3 = [[cos, 0.0, -sin], [0.0, -1.0, 0.0], [-sin, 0.0, -cos]];
        let seen: Vec<[f32; 3]> = self.frames.iter().map(|frame| apply(&turn, pelvis(frame))).collect();
        let (low, high) = seen.iter().fold(([f32::MAX; 3], [f32::MIN; 3]), |(low, high), p| {
            (std::array::from_fn(|k| low[k].min(p[k])), std::array::from_fn(|k| high[k].max(p[k])))
        });
        let centre: [f32; 3] = std::array::from_fn(|k| (low[k] + high[k]) / 2.0);
        let mut distance = NEAREST;
        for p in &seen {
            for axis in 0..2 {
                let half = camera.size_px[axis] as f32 / 2.0;
                let off_centre = (camera.principal_px[axis] - half).abs().min(half * 0.9);
                let needed = ((p[axis] - centre[axis]).abs() + REACH[axis]) * camera.focal_px[axis]
                    / (half - off_centre);
                distance = distance.max(needed - (p[2] - centre[2]));
            }
            distance = distance.max(NEAREST - (p[2] - centre[2]));
        }
        let camera_from_world = affine(&turn, [-centre[0], -centre[1], distance - centre[2]]);
        View { camera, camera_from_world }
    }
}

/// Where a frame's pelvis is.
pub(super) fn pelvis(frame: &MotionFrame) -> [f32; 3] {
    std::array::from_fn(|k| frame.translation[k] + REST_PELVIS[k])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pose::BodyPose;
    use std::f32::consts::{FRAC_PI_2, PI};

    fn walk(root: [f32; 3], at: impl Fn(f32) -> [f32; 3]) -> Motion {
        let frame = |i| MotionFrame {
            pose: BodyPose { root, ..BodyPose::default() },
            translation: at(i as f32 * 0.1),
            ..MotionFrame::default()
        };
        Motion::new(30.0, (0..30).map(frame).collect()).unwrap()
    }

    fn near(a: [f32; 3], b: [f32; 3]) -> bool {
        (0..3).all(|k| (a[k] - b[k]).abs() < 1e-3)
    }

    #[test]
    fn up_is_where_the_heads_are() {
        assert!(near(walk([0.0; 3], |_| [0.0; 3]).up(), [0.0, 1.0, 0.0]));
        assert!(near(walk([FRAC_PI_2, 0.0, 0.0], |_| [0.0; 3]).up(), [0.0, 0.0, 1.0]));
        assert!(near(walk([PI, 0.0, 0.0], |_| [0.0; 3]).up(), [0.0, -1.0, 0.0]));
    }

    #[test]
    fn a_turned_motion_keeps_the_pelvis_on_its_path() {
        let motion = walk([FRAC_PI_2, 0.0, 0.0], |t| [0.2, t, 0.95]);
        let turned = motion.transformed(&affine(&Z_UP_TO_Y_UP, [0.0; 3]));
        assert!(near(turned.up(), [0.0, 1.0, 0.0]));
        for (a, b) in motion.frames.iter().zip(&turned.frames) {
            let [x, y, z] = pelvis(a);
            assert!(near(pelvis(b), [x, z, -y]));
        }
    }

    #[test]
    fn the_default_view_shows_the_whole_motion_upright_from_the_front() {
        // Walking 3 m to the side while looking along x.
        let motion = walk([0.0, FRAC_PI_2, 0.0], |t| [t, 1.2, 0.5 - t]);
        for size in [[192, 108], [108, 192], [720, 720]] {
            let view = motion.default_view(size);
            let seen = motion.seen_through(&view);
            assert!(near(seen.up(), [0.0, -1.0, 0.0]));
            // The first frame looks into the camera.
            let look = apply(&matrix_from_axis_angle(seen.frames[0].pose.root), [0.0, 0.0, 1.0]);
            assert!(near(look, [0.0, 0.0, -1.0]), "{look:?}");
            for frame in &seen.frames {
                let [x, y, z] = pelvis(frame);
                for (dx, dy) in [(0.9, 1.1), (-0.9, -1.1)] {
                    let [u, v] = view.camera.project([x + dx, y + dy, z]).unwrap();
                    assert!((0.0..=size[0] as f32).contains(&u) && (0.0..=size[1] as f32).contains(&v));
                }
            }
        }
    }

    #[test]
    fn camera_files_say_what_is_wrong() {
        let read = |text: &str| CameraFile::from_json(text.as_bytes());
        let camera = r#""focal": 300, "princpt": [96, 54], "img_size_wh": [192, 108]"#;
        let plain = read(&format!("{{{camera}}}")).unwrap();
        assert_eq!((plain.camera.focal_px, plain.camera_from_world), ([300.0; 2], None));
        let view = "[[1,0,0,0],[0,-1,0,1],[0,0,-1,4],[0,0,0,1]]";
        let placed = read(&format!("{{{camera}, \"view\": {view}}}")).unwrap();
        assert_eq!(placed.camera_from_world.unwrap()[2], [0.0, 0.0, -1.0, 4.0]);
        for (text, word) in [
            ("[]", "object"),
            ("{}", "focal"),
            (r#"{"focal": 300, "princpt": [96, 54], "img_size_wh": [0, 108]}"#, "img_size_wh"),
            (r#"{"focal": -1, "princpt": [96, 54], "img_size_wh": [9, 108]}"#, "focal"),
            (&format!("{{{camera}, \"view\": [[1,0,0,0],[0,1,0,0],[0,0,2,0]]}}"), "rotation"),
            (&format!("{{{camera}, \"view\": [[1,0,0,0],[0,1,0,0],[0,0,-1,0]]}}"), "rotation"),
            (&format!("{{{camera}, \"view\": [1,2]}}"), "view"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
