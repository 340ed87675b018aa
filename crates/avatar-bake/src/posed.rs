//! The body as it stands in the picture.

use crate::surface::{Surface, normals};
use crate::{Error, Result};
use avatar_render::{Mesh, MeshFrame, MeshOptions, MeshRenderer};
use glam::{Affine3A, Mat3A, Vec3};
use smplx::{AFFINE_IDENTITY, Affine, BodyModel, Camera, Frame, MotionFrame, N_JOINTS, Rotations};

/// A body with its shape and the way from the neutral pose to the picture's, vertex by vertex.
///
/// Skinning is the avatar chain's, without pose correctives: what is baked is what will be animated.
#[derive(Debug)]
pub(crate) struct Body<'a> {
    pub(crate) surface: &'a Surface,
    pub(crate) neutral_to_zero: Box<[Affine; N_JOINTS]>,
    /// `[V]` in the neutral pose.
    pub(crate) neutral: Vec<Vec3>,
    /// `[V]` unit normals in the neutral pose.
    pub(crate) normals: Vec<Vec3>,
    /// `[V]` from the neutral pose to camera space.
    to_view: Vec<Affine3A>,
}

impl<'a> Body<'a> {
    pub(crate) fn new(model: &BodyModel, surface: &'a Surface, frame: &MotionFrame) -> Result<Self> {
        let pose = smplx::neutral_pose();
        let betas = &frame.betas;
        let rest = Frame { betas, rotations: Rotations::AxisAngle(&pose), ..Frame::REST };
        let neutral: Vec<Vec3> = model.forward(&rest)?.vertices.into_iter().map(Vec3::from_array).collect();
        let neutral_to_zero = smplx::neutral_to_zero(model, betas)?;
        let full = frame.pose.full();
        let posed = Frame {
            betas,
            expression: &[],
            rotations: Rotations::AxisAngle(&full),
            translation: frame.translation,
        };
        let joints = model.joints(&posed)?;
        let translation = Vec3::from_array(frame.translation);
        let blend = |v: usize, transforms: &[Affine; N_JOINTS]| {
            let mut sum: Affine = [[0.0; 4]; 3];
            for w in model.weights().get(v) {
                let t = transforms[usize::from(w.joint)].as_flattened();
                for (s, t) in sum.as_flattened_mut().iter_mut().zip(t) {
                    *s += w.weight * t;
                }
            }
            from_rows(&sum)
        };
        let to_view = (0..neutral.len())
            .map(|v| {
                let mut t = blend(v, &joints.transforms) * blend(v, &neutral_to_zero);
                t.translation += glam::Vec3A::from(translation);
                t
            })
            .collect();
        let normals = normals(&neutral, &surface.faces);
        Ok(Self { surface, neutral_to_zero: Box::new(neutral_to_zero), neutral, normals, to_view })
    }

    /// The vertices of the neutral pose, moved out along their normals.
    pub(crate) fn dressed(&self, offsets: &[f32]) -> Vec<Vec3> {
        self.neutral.iter().zip(&self.normals).zip(offsets).map(|((p, n), d)| *p + *n * *d).collect()
    }

    /// The vertices in camera space, moved out along their normals by `offsets` metres.
    pub(crate) fn in_view(&self, offsets: &[f32]) -> Vec<Vec3> {
        let moved = self.dressed(offsets);
        moved.iter().zip(&self.to_view).map(|(p, t)| t.transform_point3(*p)).collect()
    }
}

fn from_rows(m: &Affine) -> Affine3A {
    let column = |k: usize| glam::Vec3A::new(m[0][k], m[1][k], m[2][k]);
    Affine3A { matrix3: Mat3A::from_cols(column(0), column(1), column(2)), translation: column(3) }
}

/// The picture's camera. Places on the picture are pixel indices, as the renderers count them: the centre of the first
/// pixel is (0, 0).
#[derive(Clone, Debug)]
pub(crate) struct View {
    intrinsics: Camera,
    camera: avatar_render::Camera,
}

impl View {
    /// The frame's camera for a picture of this size.
    pub(crate) fn new(frame: &MotionFrame, picture: [u32; 2]) -> Result<Self> {
        let camera = frame.camera.ok_or(Error::NoCamera)?;
        let [w, h] = camera.size_px.map(f64::from);
        let [pw, ph] = picture.map(f64::from);
        // Rounding to whole pixels changes the shape by up to half a pixel in the smaller one.
        if !((w * ph - h * pw).abs() <= 0.01 * w * ph) {
            return Err(Error::CameraSize { camera: camera.size_px, picture });
        }
        let intrinsics = camera.resized(picture);
        let camera = avatar_render::Camera::new(&intrinsics, &AFFINE_IDENTITY)?;
        Ok(Self { intrinsics, camera })
    }

    pub(crate) fn camera(&self) -> &avatar_render::Camera {
        &self.camera
    }

    pub(crate) fn size(&self) -> [usize; 2] {
        self.intrinsics.size_px.map(|n| n as usize)
    }

    /// Where a point in camera space falls; `None` behind the camera.
    pub(crate) fn project(&self, p: Vec3) -> Option<[f32; 2]> {
        Some(self.intrinsics.project(p.to_array())?.map(|c| c - 0.5))
    }

    /// How far a place moves on the picture, in pixels a metre, for a move of its point.
    pub(crate) fn moved(&self, p: Vec3, by: Vec3) -> [f32; 2] {
        let [fx, fy] = self.intrinsics.focal_px;
        [fx * (by.x - p.x / p.z * by.z) / p.z, fy * (by.y - p.y / p.z * by.z) / p.z]
    }

    /// Pixels that a metre across the line of sight takes at a depth.
    pub(crate) fn pixels_per_metre(&self, depth: f32) -> f32 {
        0.5 * (self.intrinsics.focal_px[0] + self.intrinsics.focal_px[1]) / depth
    }
}

/// Draws depth maps of the body, over and over.
#[derive(Debug, Default)]
pub(crate) struct DepthMap {
    renderer: MeshRenderer,
    frame: MeshFrame,
    plain: Vec<[f32; 3]>,
}

impl DepthMap {
    /// `[H, W]` depth in metres, 0 where the body isn't.
    pub(crate) fn draw(&mut self, vertices: &[Vec3], faces: &[[u32; 3]], view: &View) -> Result<&[f32]> {
        self.plain.clear();
        self.plain.extend(vertices.iter().map(Vec3::to_array));
        let mesh = Mesh { vertices: &self.plain, faces };
        self.renderer.render(&mesh, view.camera(), &MeshOptions::default(), &mut self.frame)?;
        Ok(self.frame.depth())
    }
}
