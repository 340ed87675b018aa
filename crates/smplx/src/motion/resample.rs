//! Other frame rates and less jitter: interpolation and averaging of rotations on the sphere of quaternions.

use super::{Motion, MotionFrame};
use crate::camera::Camera;
use crate::error::{Error, Result};
use crate::pose::BodyPose;
use crate::rotation::{Quat, axis_angle_from_quat, normalise, quat_from_axis_angle, slerp};

impl MotionFrame {
    /// The frame between this one (`t = 0`) and `other` (`t = 1`).
    pub(super) fn interpolated(&self, other: &Self, t: f32, turn: fn(Quat, Quat, f32) -> Quat) -> Self {
        let (a, b) = (self.pose.full(), other.pose.full());
        let pose = std::array::from_fn(|j| {
            axis_angle_from_quat(turn(quat_from_axis_angle(a[j]), quat_from_axis_angle(b[j]), t))
        });
        let mix = |a: f32, b: f32| a + (b - a) * t;
        let lists = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| mix(*a, *b)).collect();
        let pairs = |a: [f32; 2], b: [f32; 2]| std::array::from_fn(|i| mix(a[i], b[i]));
        let nearer = if t < 0.5 { self } else { other };
        Self {
            pose: BodyPose::from_full(&pose),
            translation: std::array::from_fn(|i| mix(self.translation[i], other.translation[i])),
            betas: lists(&self.betas, &other.betas),
            expression: lists(&self.expression, &other.expression),
            camera: match (&self.camera, &other.camera) {
                (Some(a), Some(b)) if a.size_px == b.size_px => Some(Camera {
                    focal_px: pairs(a.focal_px, b.focal_px),
                    principal_px: pairs(a.principal_px, b.principal_px),
                    size_px: a.size_px,
                }),
                _ => nearer.camera,
            },
            pad_ratio: nearer.pad_ratio,
        }
    }
}

/// Frames that a resampled motion has at most.
const MAX_FRAMES: f64 = 10_000_000.0;

impl Motion {
    /// The motion at another frame rate: same first frame, same duration to within a frame. Rotations are interpolated on
    /// the shorter arc; frames that exist at both rates stay exactly as they are.
    ///
    /// # Errors
    /// When the motion has no frames or the rate isn't positive.
    pub fn resampled(&self, fps: f32) -> Result<Self> {
        self.check()?;
        let ratio = f64::from(self.fps) / f64::from(fps);
        let last = self.frames.len() - 1;
        let n = ((last as f64) / ratio + 1e-6).floor() + 1.0;
        if !(fps.is_finite() && fps > 0.0 && n <= MAX_FRAMES) {
            let problem = format!("{fps} isn't a frame rate for {} frames", self.frames.len());
            return Err(Error::Argument { what: "fps", problem });
        }
        let at = |i: usize| {
            let time = (i as f64 * ratio).min(last as f64);
            let before = time.floor();
            let t = (time - before) as f32;
            let frame = &self.frames[before as usize];
            if t < 1e-6 {
                return frame.clone();
            }
            frame.interpolated(&self.frames[(before as usize + 1).min(last)], t, slerp)
        };
        Ok(Self { fps, frames: (0..n as usize).map(at).collect() })
    }

    /// Gentle smoothing: each frame becomes a Gaussian-weighted mean of its neighbours, with a standard deviation of
    /// `sigma_frames`. Rotations are averaged as quaternions of one hemisphere; shape, camera and padding stay.
    ///
    /// # Errors
    /// When the motion can't be used or sigma isn't in 0..=100.
    pub fn smoothed(&self, sigma_frames: f32) -> Result<Self> {
        self.check()?;
        if !(0.0..=100.0).contains(&sigma_frames) {
            let problem = format!("{sigma_frames} isn't in 0..=100");
            return Err(Error::Argument { what: "sigma_frames", problem });
        }
        if sigma_frames == 0.0 {
            return Ok(self.clone());
        }
        let reach = (3.0 * sigma_frames).ceil() as usize;
        let poses: Vec<_> = self.frames.iter().map(|f| f.pose.full().map(quat_from_axis_angle)).collect();
        let frames = self.frames.iter().enumerate().map(|(at, frame)| {
            let window = at.saturating_sub(reach)..(at + reach + 1).min(self.frames.len());
            let weight = |i: usize| (-0.5 * ((i as f32 - at as f32) / sigma_frames).powi(2)).exp();
            let total: f32 = window.clone().map(weight).sum();
            let mut translation = [0.0; 3];
            let mut expression = vec![0.0; frame.expression.len()];
            let mut pose = [[0.0; 4]; crate::N_JOINTS];
            for i in window {
                let (w, other) = (weight(i) / total, &self.frames[i]);
                for (sum, x) in translation.iter_mut().zip(other.translation) {
                    *sum += w * x;
                }
                for (sum, x) in expression.iter_mut().zip(&other.expression) {
                    *sum += w * x;
                }
                for ((sum, q), here) in pose.iter_mut().zip(&poses[i]).zip(&poses[at]) {
                    let same_side = q.iter().zip(here).map(|(a, b)| a * b).sum::<f32>() >= 0.0;
                    let w = if same_side { w } else { -w };
                    *sum = std::array::from_fn(|k| sum[k] + w * q[k]);
                }
            }
            let pose = BodyPose::from_full(&pose.map(|q| axis_angle_from_quat(normalise(q))));
            MotionFrame { pose, translation, expression, ..frame.clone() }
        });
        Ok(Self { fps: self.fps, frames: frames.collect() })
    }
}
