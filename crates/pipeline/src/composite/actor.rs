//! Avatars with their motions: at least one of them.

use crate::job::Job;
use crate::job::check::no_actors;
use crate::{Error, Result, Stage};
use avatar_render::{Avatar, Frame, Gaussians};
use media::FrameRate;
use smplx::{
    BodyModel, Camera, Motion, MotionFrame, PointBinding, PointFrame, PointSkin, PosedPoints, Retarget,
    Rotations,
};
use std::iter;

/// One avatar with its motion, ready to be posed.
pub(super) struct Actor {
    avatar: Avatar,
    skin: PointSkin,
    pub(super) betas: Vec<f32>,
    pub(super) motion: Motion,
    posed: PosedPoints,
    pub(super) gaussians: Gaussians,
    /// The last frame's render.
    pub(super) splats: Frame,
}

/// The avatars of a job. The first one's camera is the video's.
pub(super) struct Actors {
    pub(super) first: Actor,
    others: Vec<Actor>,
}

impl Actors {
    /// Opens what a job names, for a background of that many frames a second; without one at the first motion's rate, which is
    /// given back. Motions of another rate are resampled, which `said` then says.
    ///
    /// # Errors
    /// When there is none, a file can't be read, an avatar carries no body data or a motion has no camera.
    pub(super) fn open(
        job: &Job,
        body: &BodyModel,
        background: Option<FrameRate>,
        said: &mut Vec<String>,
    ) -> Result<(Self, FrameRate)> {
        let own_body = job.input.body.is_some();
        let rate = match (background, job.input.actors.first()) {
            (Some(rate), _) => rate,
            (None, Some(actor)) => crate::frame_rate(Motion::open(&actor.motion, 30.0)?.fps.into())?,
            (None, None) => return Err(no_actors()),
        };
        let mut open = |actor: &crate::job::Actor| {
            let mut motion = Motion::open(&actor.motion, rate.as_f64() as f32)?;
            let (own, wanted) = (f64::from(motion.fps), rate.as_f64());
            // Less than half a frame apart at the end is the same rate, rounded.
            if (own / wanted - 1.0).abs() * motion.len() as f64 >= 0.5 {
                said.push(format!(
                    "{}: {own:.3} frames a second, resampled to the background's {wanted:.3}",
                    actor.motion.display()
                ));
                motion = motion.resampled(wanted as f32)?;
            }
            if motion.frames.first().is_none_or(|frame| frame.camera.is_none()) {
                let what =
                    format!("{} has no camera: add focal, princpt and img_size_wh", actor.motion.display());
                return Err(Error::Missing { stage: Stage::Composite, what });
            }
            Actor::new(body, Avatar::open(&actor.avatar)?, motion, own_body)
        };
        let mut actors = job.input.actors.iter().map(&mut open);
        let first = actors.next().ok_or_else(no_actors)??;
        Ok((Self { first, others: actors.collect::<Result<_>>()? }, rate))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Actor> {
        iter::once(&self.first).chain(&self.others)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Actor> {
        iter::once(&mut self.first).chain(&mut self.others)
    }

    /// The number of frames that every motion has.
    pub(super) fn frames(&self) -> usize {
        self.others.iter().map(|actor| actor.motion.len()).fold(self.first.motion.len(), usize::min)
    }

    /// Is there one actor only?
    pub(super) fn are_one(&self) -> bool {
        self.others.is_empty()
    }

    /// What frame `index` is seen through.
    pub(super) fn camera(&self, index: usize) -> Result<Camera> {
        self.first.frame(index)?.camera.ok_or_else(|| {
            let what =
                format!("frame {index} of the motion has no camera: add focal, princpt and img_size_wh");
            Error::Missing { stage: Stage::Composite, what }
        })
    }
}

impl Actor {
    fn new(body: &BodyModel, avatar: Avatar, motion: Motion, own_body: bool) -> Result<Self> {
        let points = avatar.points(&[])?;
        let betas: Vec<f32> = avatar.lhm.as_ref().map(|l| l.betas.clone()).unwrap_or_default();
        let (skin, betas) = if own_body && !betas.is_empty() {
            // The reference's route: weights of the nearest vertex of the neutral template.
            let pose = smplx::neutral_pose();
            let neutral =
                body.forward(&smplx::Frame { rotations: Rotations::AxisAngle(&pose), ..smplx::Frame::REST })?;
            let binding = PointBinding::nearest_vertex(points.query, &neutral.vertices)?;
            (PointSkin::new(body, binding, &points, &betas)?, betas)
        } else {
            let fitted = Retarget::new(body, &points)?;
            (fitted.skin, fitted.betas)
        };
        Ok(Self {
            avatar,
            skin,
            betas,
            motion,
            posed: PosedPoints::default(),
            gaussians: Gaussians::default(),
            splats: Frame::new(),
        })
    }

    /// Frame `index` of the motion.
    pub(super) fn frame(&self, index: usize) -> Result<&MotionFrame> {
        self.motion.frames.get(index).ok_or_else(|| Error::Mismatch {
            what: "motion",
            a: format!("{} frames", self.motion.len()),
            b: format!("frame {index} is needed"),
        })
    }

    pub(super) fn pose(
        &mut self,
        body: &BodyModel,
        pose: &[[f32; 3]; smplx::N_JOINTS],
        translation: [f32; 3],
    ) -> Result<()> {
        let frame = PointFrame { rotations: Rotations::AxisAngle(pose), expression: &[], translation };
        self.skin.pose_into(body, &frame, &mut self.posed)?;
        self.avatar.pose(&self.skin, &self.posed, [0.0; 3], &mut self.gaussians)?;
        Ok(())
    }

    /// As the motion's frame `index` says.
    pub(super) fn pose_at(&mut self, body: &BodyModel, index: usize) -> Result<()> {
        let frame = self.frame(index)?;
        let (pose, translation) = (frame.pose.full(), frame.translation);
        self.pose(body, &pose, translation)
    }
}
