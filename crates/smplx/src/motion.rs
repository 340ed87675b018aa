//! Motion: a pose, a place and a camera for each frame.

mod amass;
mod estimators;
mod folder;
mod json;
mod open;
mod resample;
mod stance;
mod view;

use crate::camera::Camera;
use crate::error::{Error, Result};
use crate::forward::Frame;
use crate::kinematics::Rotations;
use crate::pose::BodyPose;
use crate::skeleton::N_JOINTS;

pub use json::Gaps;
pub use open::{OpenOptions, Opened};
pub use stance::Stance;
pub use view::{CameraFile, REST_PELVIS, View};

/// One frame of a motion.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MotionFrame {
    /// The joints' rotations.
    pub pose: BodyPose,
    /// Where the body is, in metres.
    pub translation: [f32; 3],
    /// Shape coefficients; empty for the mean body.
    pub betas: Vec<f32>,
    /// Expression coefficients; empty for none.
    pub expression: Vec<f32>,
    /// The frame's camera, where the file has one.
    pub camera: Option<Camera>,
    /// Share of padding that AniCrafter's estimator put around the picture; carried along, not used.
    pub pad_ratio: Option<f32>,
}

/// A motion: frames at a constant rate.
#[derive(Clone, Debug, PartialEq)]
pub struct Motion {
    /// Frames a second.
    pub fps: f32,
    /// The frames.
    pub frames: Vec<MotionFrame>,
}

impl MotionFrame {
    /// This frame as input of the body model. `full_pose` is the buffer for its 55 rotations.
    #[must_use]
    pub fn as_frame<'a>(&'a self, full_pose: &'a mut [[f32; 3]; N_JOINTS]) -> Frame<'a> {
        *full_pose = self.pose.full();
        Frame {
            betas: &self.betas,
            expression: &self.expression,
            rotations: Rotations::AxisAngle(full_pose),
            translation: self.translation,
        }
    }

    /// What is wrong with this frame, if anything is.
    fn problem(&self) -> Option<String> {
        let pose = self.pose.full();
        let camera: Vec<f32> =
            self.camera.iter().flat_map(|c| [c.focal_px, c.principal_px].concat()).collect();
        for (what, values) in [
            ("pose", pose.as_flattened()),
            ("trans", &self.translation[..]),
            ("betas", &self.betas[..]),
            ("expr", &self.expression[..]),
            ("camera", &camera[..]),
        ] {
            if let Some(at) = values.iter().position(|x| !x.is_finite()) {
                return Some(format!("{what}: element {at} is {}", values[at]));
            }
        }
        let camera = self.camera?;
        if camera.focal_px.iter().any(|f| *f <= 0.0) {
            return Some(format!("focal: {:?} isn't positive", camera.focal_px));
        }
        camera.size_px.contains(&0).then(|| "img_size_wh: the picture is empty".to_owned())
    }
}

impl Motion {
    /// A motion of checked frames.
    ///
    /// # Errors
    /// As [`Motion::check`].
    pub fn new(fps: f32, frames: Vec<MotionFrame>) -> Result<Self> {
        let motion = Self { fps, frames };
        motion.check()?;
        Ok(motion)
    }

    /// Checks that there are frames, that the rate is positive, that every number is finite, and that all frames have as
    /// many coefficients as the first.
    ///
    /// # Errors
    /// The first thing that is wrong, with its frame.
    pub fn check(&self) -> Result<()> {
        if !(self.fps.is_finite() && self.fps > 0.0) {
            let problem = format!("{} isn't a frame rate", self.fps);
            return Err(Error::Argument { what: "fps", problem });
        }
        let Some(first) = self.frames.first() else {
            return Err(Error::NoFrames { what: "the motion".to_owned() });
        };
        for (index, frame) in self.frames.iter().enumerate() {
            let counts = [
                ("betas", first.betas.len(), frame.betas.len()),
                ("expr", first.expression.len(), frame.expression.len()),
                ("camera", first.camera.iter().len(), frame.camera.iter().len()),
            ];
            let differs = counts.into_iter().find(|(_, a, b)| a != b);
            let problem = match differs {
                Some((what, a, b)) => Some(format!("{what}: the first frame has {a}, this one {b}")),
                None => frame.problem(),
            };
            if let Some(problem) = problem {
                return Err(Error::Frame { frame: index, problem });
            }
        }
        Ok(())
    }

    /// Cuts shape and expression coefficients to what a body has, and says how many a frame lost at most. The first ones mean the
    /// same in SMPL-X's bodies of any number.
    pub fn keep_coefficients(&mut self, betas: usize, expressions: usize) -> usize {
        let mut most = 0;
        for frame in &mut self.frames {
            let lost =
                frame.betas.len().saturating_sub(betas) + frame.expression.len().saturating_sub(expressions);
            most = most.max(lost);
            frame.betas.truncate(betas);
            frame.expression.truncate(expressions);
        }
        most
    }

    /// T.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Are there no frames?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Seconds from the first frame to the end of the last.
    #[must_use]
    pub fn duration_s(&self) -> f32 {
        self.frames.len() as f32 / self.fps
    }

    /// The frames of a range.
    ///
    /// # Errors
    /// [`Error::NoFrames`] for an empty range or one that isn't inside the motion.
    pub fn trimmed(&self, range: std::ops::Range<usize>) -> Result<Self> {
        match self.frames.get(range.clone()) {
            Some(frames) if !frames.is_empty() => Ok(Self { fps: self.fps, frames: frames.to_vec() }),
            _ => Err(Error::NoFrames {
                what: format!("range {range:?} of a motion of {} frames", self.frames.len()),
            }),
        }
    }

    /// The motion again and again until it has `n` frames. With [`Loop::PingPong`] every other time runs backwards, so
    /// that nothing jumps.
    #[must_use]
    pub fn looped(&self, n: usize, how: Loop) -> Self {
        let len = self.frames.len().max(1);
        let at = |i: usize| match how {
            Loop::Restart => i % len,
            Loop::PingPong if len == 1 => 0,
            Loop::PingPong => {
                let period = 2 * (len - 1);
                let i = i % period;
                if i < len { i } else { period - i }
            }
        };
        let n = if self.frames.is_empty() { 0 } else { n };
        Self { fps: self.fps, frames: (0..n).map(|i| self.frames[at(i)].clone()).collect() }
    }
}

/// How a motion goes on after its last frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loop {
    /// With the first frame.
    Restart,
    /// Backwards, then forwards again.
    PingPong,
}

#[cfg(test)]
mod tests;
