//! A known avatar as the truth: pictures of it, and how far another one's are from them.

use avatar_render::{Avatar, Camera, Frame, Gaussians, SplatOptions, SplatRenderer};
use glam::Quat;
use image::{GrayImage, Luma, Rgb, RgbImage};
use smplx::{
    AFFINE_IDENTITY, BodyModel, BodyPose, MotionFrame, N_JOINTS, PointFrame, PosedPoints, Retarget, Rotations,
};
use std::f32::consts::PI;
use std::path::Path;

type Error = Box<dyn std::error::Error>;

/// An avatar bound to a body.
pub struct Truth<'a> {
    model: &'a BodyModel,
    avatar: Avatar,
    bound: Retarget,
}

impl<'a> Truth<'a> {
    pub fn open(model: &'a BodyModel, path: &Path) -> Result<Self, Error> {
        let avatar = Avatar::open(path)?;
        let bound = Retarget::new(model, &avatar.points(&[])?)?;
        Ok(Self { model, avatar, bound })
    }

    pub fn render(&self, frame: &MotionFrame) -> Result<Frame, Error> {
        let pose = frame.pose.full();
        let place = PointFrame {
            rotations: Rotations::AxisAngle(&pose),
            expression: &[],
            translation: frame.translation,
        };
        let mut posed = PosedPoints::default();
        self.bound.skin.pose_into(self.model, &place, &mut posed)?;
        let mut gaussians = Gaussians::default();
        self.avatar.pose(&self.bound.skin, &posed, [0.0; 3], &mut gaussians)?;
        splat(&gaussians, frame)
    }

    /// The avatar over a background with texture, and its mask.
    pub fn picture(&self, frame: &MotionFrame) -> Result<(RgbImage, GrayImage), Error> {
        let render = self.render(frame)?;
        let (w, h) = (render.width() as u32, render.height() as u32);
        let mask = GrayImage::from_fn(w, h, |x, y| {
            Luma([(255.0 * render.alpha()[(y * w + x) as usize]).round() as u8])
        });
        let picture = RgbImage::from_fn(w, h, |x, y| {
            let at = (y * w + x) as usize;
            let behind = if (x / 16 + y / 16) % 2 == 0 { [0.9, 0.3, 0.8] } else { [0.2, 0.9, 0.4] };
            Rgb(std::array::from_fn(|k| {
                let value = render.color()[3 * at + k] + (1.0 - render.alpha()[at]) * behind[k];
                (255.0 * value.clamp(0.0, 1.0)).round() as u8
            }))
        });
        Ok((picture, mask))
    }
}

/// A frame in which the body stands with its arms a little off, turned about the vertical, on a picture of `rows` rows.
pub fn turned(degrees: f32, rows: u32) -> MotionFrame {
    let mut local = [Quat::IDENTITY; N_JOINTS];
    for (side, hip, shoulder, elbow) in [(1.0, 1, 16, 18), (-1.0, 2, 17, 19)] {
        local[hip] = Quat::from_rotation_z(0.09 * side);
        local[shoulder] = Quat::from_rotation_z(-0.95 * side);
        local[elbow] = Quat::from_rotation_y(-0.25 * side);
    }
    frame(local, degrees, rows)
}

/// A step with one arm raised, half turned.
pub fn other_pose(rows: u32) -> MotionFrame {
    let mut local = [Quat::IDENTITY; N_JOINTS];
    local[1] = Quat::from_rotation_x(-0.5);
    local[4] = Quat::from_rotation_x(0.4);
    local[2] = Quat::from_rotation_x(0.3);
    local[5] = Quat::from_rotation_x(0.3);
    local[16] = Quat::from_rotation_z(0.6);
    local[18] = Quat::from_rotation_y(-0.9);
    local[17] = Quat::from_rotation_z(1.1) * Quat::from_rotation_y(0.4);
    local[15] = Quat::from_rotation_y(0.3);
    frame(local, 20.0, rows)
}

fn frame(mut local: [Quat; N_JOINTS], degrees: f32, rows: u32) -> MotionFrame {
    // Half a turn about x brings the body's axes to the camera's.
    local[0] = Quat::from_rotation_x(PI) * Quat::from_rotation_y(degrees.to_radians());
    let size = [rows * 3 / 4, rows];
    MotionFrame {
        pose: BodyPose::from_full(&local.map(|q| q.to_scaled_axis().to_array())),
        translation: [0.0, 0.33, 4.0],
        camera: Some(smplx::Camera {
            focal_px: [rows as f32 * 1.95; 2],
            principal_px: size.map(|n| n as f32 / 2.0),
            size_px: size,
        }),
        ..MotionFrame::default()
    }
}

pub fn splat(gaussians: &Gaussians, frame: &MotionFrame) -> Result<Frame, Error> {
    let camera = Camera::new(&frame.camera.ok_or("no camera")?, &AFFINE_IDENTITY)?;
    let mut out = Frame::new();
    SplatRenderer::new().render(gaussians, &camera, &SplatOptions::default(), &mut out)?;
    Ok(out)
}

/// Peak signal-to-noise ratio over grey in dB, where either of the two pictures has the person.
pub fn psnr(a: &Frame, b: &Frame) -> f64 {
    let (mut sum, mut count) = (0.0, 0);
    for at in 0..a.alpha().len() {
        let (alpha, other) = (a.alpha()[at], b.alpha()[at]);
        if alpha < 0.5 && other < 0.5 {
            continue;
        }
        for k in 3 * at..3 * at + 3 {
            let over = |frame: &Frame, alpha: f32| frame.color()[k].clamp(0.0, 1.0) + 0.5 * (1.0 - alpha);
            sum += f64::from(over(a, alpha) - over(b, other)).powi(2);
            count += 1;
        }
    }
    -10.0 * (sum / f64::from(count.max(1))).max(1e-12).log10()
}

/// Pictures side by side on grey.
#[allow(dead_code, reason = "the tests have no use for pictures")]
pub fn beside(frames: &[&Frame]) -> RgbImage {
    frames.iter().fold(RgbImage::new(0, 0), |sum, frame| append(&sum, frame))
}

/// A strip with one more picture at its right.
#[allow(dead_code, reason = "the tests have no use for pictures")]
pub fn append(strip: &RgbImage, frame: &Frame) -> RgbImage {
    let (w, h) = (frame.width() as u32, frame.height() as u32);
    RgbImage::from_fn(strip.width() + w, h, |x, y| {
        if x < strip.width() {
            return *strip.get_pixel(x, y);
        }
        let at = (y * w + x - strip.width()) as usize;
        Rgb(std::array::from_fn(|k| {
            let value = frame.color()[3 * at + k] + 0.5 * (1.0 - frame.alpha()[at]);
            (255.0 * value.clamp(0.0, 1.0)).round() as u8
        }))
    })
}
