//! Pictures of the avatar: the character picture, and frames of the walk over the street for looking at.

use crate::stage::View;
use crate::{Result, vec3, walk};
use avatar_render::{Avatar, Camera, Frame, Gaussians, Renderer, RendererChoice, SplatOptions};
use glam::{Quat, Vec3};
use image::{RgbImage, RgbaImage};
use smplx::{
    AFFINE_IDENTITY, BodyModel, MotionFrame, N_JOINTS, PointFrame, PosedPoints, Retarget, Rotations,
};

/// Width and height of the character picture.
pub const SIZE: [u32; 2] = [384, 640];

/// An avatar that can be posed and rendered.
#[derive(Debug)]
pub struct Puppet<'a> {
    model: &'a BodyModel,
    avatar: &'a Avatar,
    retarget: Retarget,
    renderer: Renderer,
}

impl<'a> Puppet<'a> {
    /// Binds an avatar to a body.
    ///
    /// # Errors
    /// When the avatar doesn't fit.
    pub fn new(model: &'a BodyModel, avatar: &'a Avatar) -> Result<Self> {
        let retarget = Retarget::new(model, &avatar.points(&[])?)?;
        Ok(Self { model, avatar, retarget, renderer: Renderer::new(RendererChoice::Cpu)? })
    }

    /// The Gaussians in a pose.
    ///
    /// # Errors
    /// When the pose isn't finite.
    pub fn posed(&self, pose: &[[f32; 3]; N_JOINTS], translation: [f32; 3]) -> Result<Gaussians> {
        let frame = PointFrame { rotations: Rotations::AxisAngle(pose), expression: &[], translation };
        let mut posed = PosedPoints::default();
        self.retarget.skin.pose_into(self.model, &frame, &mut posed)?;
        let mut out = Gaussians::default();
        self.avatar.pose(&self.retarget.skin, &posed, [0.0; 3], &mut out)?;
        Ok(out)
    }

    /// One frame of a motion over a picture of the frame's size.
    ///
    /// # Errors
    /// When rendering fails.
    pub fn over(
        &mut self,
        frame: &MotionFrame,
        camera: &smplx::Camera,
        plate: &RgbImage,
    ) -> Result<RgbImage> {
        let g = self.posed(&frame.pose.full(), frame.translation)?;
        let mut out = Frame::new();
        let camera = Camera::new(camera, &AFFINE_IDENTITY)?;
        self.renderer.splat(&g, &camera, &SplatOptions::default(), &mut out)?;
        let mut picture = plate.clone();
        let (colors, _) = out.color().as_chunks::<3>();
        for ((pixel, color), alpha) in picture.pixels_mut().zip(colors).zip(out.alpha()) {
            for (p, c) in pixel.0.iter_mut().zip(color) {
                *p = (255.0 * c + (1.0 - alpha) * f32::from(*p)).clamp(0.0, 255.0).round() as u8;
            }
        }
        Ok(picture)
    }
}

/// The avatar standing, turned about the vertical by `turn` radians (0: it faces the viewer), with alpha.
///
/// # Errors
/// When the avatar doesn't fit the body.
pub fn portrait(model: &BodyModel, avatar: &Avatar, turn: f32) -> Result<RgbaImage> {
    let mut puppet = Puppet::new(model, avatar)?;
    let mut pose = walk::standing();
    // The body's own axes are x left, y up, z forward; the camera looks at its front.
    let view = View::look_at(Vec3::new(0.0, 0.0, 1.0), Vec3::ZERO);
    let root = Quat::from_mat3(&view.turn) * Quat::from_rotation_y(turn);
    pose[0] = root.to_scaled_axis().to_array();
    let mut g = puppet.posed(&pose, [0.0; 3])?;
    let far =
        |pick: fn(Vec3, Vec3) -> Vec3| g.means.iter().map(|m| vec3(*m)).reduce(pick).unwrap_or_default();
    let middle = (far(Vec3::min) + far(Vec3::max)) / 2.0;
    let distance = 5.0;
    for mean in &mut g.means {
        *mean = (vec3(*mean) - middle + Vec3::Z * distance).to_array();
    }
    let [w, h] = SIZE.map(|n| n as f32);
    let camera = smplx::Camera {
        focal_px: [h * 0.93 / 1.80 * distance; 2],
        principal_px: [w / 2.0, h / 2.0],
        size_px: SIZE,
    };
    let mut out = Frame::new();
    let camera = Camera::new(&camera, &AFFINE_IDENTITY)?;
    puppet.renderer.splat(&g, &camera, &SplatOptions::default(), &mut out)?;
    Ok(RgbaImage::from_raw(SIZE[0], SIZE[1], out.to_rgba8()).unwrap_or_default())
}
