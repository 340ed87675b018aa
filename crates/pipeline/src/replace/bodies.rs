//! Where the fitted bodies are in the picture: which of their parts each pixel shows, and how far away.

use crate::Result;
use smplx::{BodyModel, MotionFrame, Rotations};

/// Nothing nearer than this is drawn, in metres.
const NEAR_M: f32 = 0.1;
/// Joints whose confidence is known: hands and face go with the wrists and the head.
pub(super) const JOINTS: usize = 22;

/// One body in a picture.
#[derive(Clone, Debug)]
pub(super) struct Body {
    /// `[h, w]` metres from the camera; 0 where the body isn't.
    pub(super) depth: Vec<f32>,
    /// `[h, w]` the joint that the nearest surface follows, 0 to 21; meaningless where the body isn't.
    pub(super) joint: Vec<u8>,
    /// Pixels of a metre where the body stands.
    pub(super) per_metre: f32,
    /// The 22 joints in pixels of the small picture; not a number for those behind the camera.
    pub(super) joints: [[f32; 2]; JOINTS],
    /// The same in metres, in camera axes.
    pub(super) places: [[f32; 3]; JOINTS],
}

impl Body {
    pub(super) fn covers(&self, pixel: usize) -> bool {
        self.depth[pixel] > 0.0
    }

    /// Number of pixels.
    pub(super) fn area(&self) -> usize {
        self.depth.iter().filter(|d| **d > 0.0).count()
    }

    /// Moves it so many metres away from the camera, where it covers what it covers.
    pub(super) fn move_back(&mut self, metres: f32) {
        self.depth.iter_mut().filter(|d| **d > 0.0).for_each(|d| *d += metres);
    }

    /// Metres from the camera, on average.
    pub(super) fn mean_depth(&self) -> f32 {
        self.depth.iter().sum::<f32>() / self.area().max(1) as f32
    }
}

/// Draws bodies into small pictures.
pub(super) struct Bodies<'a> {
    model: &'a BodyModel,
    /// `[V]` the joint that moves each vertex most.
    joint: Vec<u8>,
    size: [u32; 2],
}

impl<'a> Bodies<'a> {
    /// For pictures of `size`.
    pub(super) fn new(model: &'a BodyModel, size: [u32; 2]) -> Self {
        let joint = (0..model.n_vertices())
            .map(|v| match model.weights().dominant_joint(v) {
                22..=24 => 15,
                25..=39 => 20,
                40.. => 21,
                joint => joint as u8,
            })
            .collect();
        Self { model, joint, size }
    }

    /// A body as a motion's frame says; `None` where it is out of view or has no camera.
    pub(super) fn draw(&self, frame: &MotionFrame) -> Result<Option<Body>> {
        let Some(camera) = frame.camera else { return Ok(None) };
        if frame.translation[2] < -1.0 {
            return Ok(None);
        }
        let camera = camera.resized(self.size);
        let full = frame.pose.full();
        let posed = self.model.forward(&smplx::Frame {
            betas: &frame.betas,
            expression: &[],
            rotations: Rotations::AxisAngle(&full),
            translation: frame.translation,
        })?;
        let [w, h] = self.size.map(|n| n as usize);
        let mut body = Body {
            depth: vec![0.0; w * h],
            joint: vec![0; w * h],
            per_metre: camera.focal_px[0] / posed.joints.positions[12][2].max(NEAR_M),
            joints: [[f32::NAN; 2]; JOINTS],
            places: std::array::from_fn(|j| posed.joints.positions[j]),
        };
        for (at, p) in body.joints.iter_mut().zip(&posed.joints.positions) {
            *at = camera.project(*p).unwrap_or([f32::NAN; 2]);
        }
        let screen: Vec<Option<[f32; 3]>> = posed
            .vertices
            .iter()
            .map(|p| (p[2] > NEAR_M).then(|| camera.project(*p)).flatten().map(|[x, y]| [x, y, p[2]]))
            .collect();
        for face in self.model.faces() {
            let corners = face.map(|v| screen[v as usize]);
            if let [Some(a), Some(b), Some(c)] = corners {
                let joint = self.joint[face[0] as usize];
                triangle(&mut body, [w, h], [a, b, c], joint);
            }
        }
        Ok(body.depth.iter().any(|d| *d > 0.0).then_some(body))
    }
}

/// Draws a triangle of pixels (x, y) and metres (z), seen from either side.
fn triangle(body: &mut Body, [w, h]: [usize; 2], [a, b, c]: [[f32; 3]; 3], joint: u8) {
    let bounds = |k: usize, n: usize| {
        let low = a[k].min(b[k]).min(c[k]).floor().max(0.0) as usize;
        let high = (a[k].max(b[k]).max(c[k]).ceil().max(0.0) as usize).min(n);
        low..high
    };
    let side =
        |p: [f32; 3], q: [f32; 3], x: f32, y: f32| (q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0]);
    let area = side(a, b, c[0], c[1]);
    if area.abs() < 1e-6 {
        return;
    }
    let columns = bounds(0, w);
    for y in bounds(1, h) {
        for x in columns.clone() {
            let (px, py) = (x as f32 + 0.5, y as f32 + 0.5);
            let shares = [side(b, c, px, py) / area, side(c, a, px, py) / area, side(a, b, px, py) / area];
            if shares.iter().any(|s| *s < 0.0) {
                continue;
            }
            let z = shares[0] * a[2] + shares[1] * b[2] + shares[2] * c[2];
            let i = y * w + x;
            if body.depth[i] == 0.0 || z < body.depth[i] {
                (body.depth[i], body.joint[i]) = (z, joint);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smplx::{BodyPose, Camera};

    #[test]
    fn a_body_stands_where_its_camera_sees_it() {
        let model = crate::composite::open_body(None).unwrap();
        let bodies = Bodies::new(&model, [80, 120]);
        let camera = Camera { focal_px: [240.0; 2], principal_px: [80.0, 120.0], size_px: [160, 240] };
        let pose = BodyPose { root: [std::f32::consts::PI, 0.0, 0.0], ..BodyPose::default() };
        let frame = MotionFrame {
            pose,
            translation: [0.0, 0.0, 2.5],
            camera: Some(camera),
            ..MotionFrame::default()
        };
        let body = bodies.draw(&frame).unwrap().unwrap();
        // Head above feet, each of its own joint, and the arms aside.
        let rows = |joints: &[u8]| {
            let rows: Vec<usize> = (0..80 * 120)
                .filter(|i| body.covers(*i) && joints.contains(&body.joint[*i]))
                .map(|i| i / 80)
                .collect();
            rows.iter().sum::<usize>() as f32 / rows.len() as f32
        };
        assert!(rows(&[15]) + 30.0 < rows(&[4, 5]) && rows(&[4, 5]) < rows(&[7, 8, 10, 11]));
        assert!((body.mean_depth() - 2.5).abs() < 0.2 && (body.per_metre - 48.0).abs() < 4.0);
        let [x, y] = body.joints[15].map(|v| v as usize);
        assert!(body.covers(y * 80 + x));
        let gone = MotionFrame { translation: [0.0, 0.0, -100.0], ..frame };
        assert!(bodies.draw(&gone).unwrap().is_none());
    }
}
