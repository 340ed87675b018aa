//! Avatars with their motions: at least one of them.

use crate::job::check::no_actors;
use crate::job::{Job, Proportions};
use crate::{Error, Result, Stage};
use avatar_render::{Avatar, Frame, Gaussians};
use media::{FrameRate, Shown, VideoInfo};
use scene_light::{BodyParts, Shading};
use smplx::{
    AFFINE_IDENTITY, BodyModel, Camera, CameraFile, Gaps, Motion, MotionFrame, OpenOptions, PointBinding,
    PointFrame, PointSkin, PosedPoints, Retarget, Rotations, View, affine, compose,
};
use std::iter;
use std::path::Path;

/// One avatar with its motion, ready to be posed.
pub(super) struct Actor {
    avatar: Avatar,
    shape: Shape,
    pub(super) motion: Motion,
    pub(super) gaussians: Gaussians,
    /// The last frame's render.
    pub(super) splats: Frame,
}

/// How an avatar follows the motion.
enum Shape {
    /// Bent by a body.
    Body(Box<Skinned>),
    /// As it is, moved and turned with the pelvis: Gaussians without a body.
    Prop,
}

struct Skinned {
    skin: PointSkin,
    betas: Vec<f32>,
    posed: PosedPoints,
}

/// The avatars of a job. The first one's camera is the video's.
pub(super) struct Actors {
    pub(super) first: Actor,
    others: Vec<Actor>,
}

/// What motions are opened with.
struct Motions<'a> {
    job: &'a Job,
    rate: FrameRate,
    picture_px: [u32; 2],
    shown: Option<&'a Shown>,
    camera: Option<CameraFile>,
    /// What the first motion is seen through, where that was chosen here: all lie in one world.
    view: Option<View>,
}

impl Actors {
    /// Opens what a job names, for a background of that many frames a second; without one at the first motion's rate, which is
    /// given back. Motions of another rate are resampled, which `said` then says, as it says everything that was assumed.
    ///
    /// # Errors
    /// When there is none, a file can't be read, or a motion before a camera lacks the camera.
    pub(super) fn open(
        job: &Job,
        body: &BodyModel,
        background: Option<FrameRate>,
        video: &VideoInfo,
        said: &mut Vec<String>,
    ) -> Result<(Self, FrameRate)> {
        let own_body = job.input.body.is_some();
        let picture_px = [video.width, video.height];
        let rate = match (background, job.input.actors.first()) {
            (Some(rate), _) => rate,
            (None, Some(actor)) => {
                let options = options(job, 0, 30.0, picture_px);
                crate::frame_rate(Motion::open_with(&actor.motion, &options)?.motion.fps.into())?
            }
            (None, None) => return Err(no_actors()),
        };
        let camera = job.input.camera.as_deref().map(CameraFile::open).transpose()?;
        let mut motions = Motions { job, rate, picture_px, shown: video.shown.as_ref(), camera, view: None };
        let mut open = |(index, actor): (usize, &crate::job::Actor)| {
            let mut motion = motions.open(index, &actor.motion, said)?;
            if !actor.place.is_the_motions() {
                motion = motion.standing(actor.place.stance());
            }
            let (avatar, left_out) = Avatar::open_counting(&actor.avatar)?;
            let name = actor.avatar.display();
            if left_out > 0 {
                let of = left_out + avatar.gaussians.len();
                said.push(format!("{name}: {left_out} of {of} Gaussians aren't finite and were left out"));
            }
            if avatar.lhm.is_none() {
                said.push(format!(
                    "{name}: Gaussians without a body, they follow the pelvis as they are (an avatar is LHM's .pth, or .safetensors)"
                ));
            }
            Actor::new(body, avatar, motion, own_body, actor.proportions)
        };
        let mut actors = job.input.actors.iter().enumerate().map(&mut open);
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

/// What a job says about its motion `index`.
fn options(job: &Job, index: usize, fps: f32, picture_px: [u32; 2]) -> OpenOptions {
    OpenOptions {
        gaps: if job.input.fill_gaps { Gaps::Fill } else { Gaps::Refuse },
        picture_px: Some(picture_px),
        person: job.input.motion_persons.get(index).copied(),
        ..OpenOptions::new(fps)
    }
}

impl Motions<'_> {
    /// The motion of actor `index`, at the video's rate and before a camera.
    fn open(&mut self, index: usize, path: &Path, said: &mut Vec<String>) -> Result<Motion> {
        let wanted = self.rate.as_f64();
        let opened = Motion::open_with(path, &options(self.job, index, wanted as f32, self.picture_px))?;
        said.extend(opened.notes.into_iter().map(|note| format!("{}: {note}", path.display())));
        let mut motion = opened.motion;
        let own = f64::from(motion.fps);
        // Less than half a frame apart at the end is the same rate, rounded.
        if (own / wanted - 1.0).abs() * motion.len() as f64 >= 0.5 {
            said.push(format!(
                "{}: {own:.3} frames a second, resampled to the background's {wanted:.3}",
                path.display()
            ));
            motion = motion.resampled(wanted as f32)?;
        }
        if let Some(shown) =
            self.shown.filter(|shown| shown.stored == motion.len() && shown.frames.len() != motion.len())
        {
            said.push(format!(
                "{}: a pose for each of the background's {} stored frames: each lasts as long as its frame",
                path.display(),
                shown.stored
            ));
            motion.frames = shown.frames.iter().map(|&i| motion.frames[i].clone()).collect();
        }
        self.before_a_camera(motion, path, said)
    }

    fn before_a_camera(&mut self, mut motion: Motion, path: &Path, said: &mut Vec<String>) -> Result<Motion> {
        let has_camera = motion.frames.first().is_some_and(|frame| frame.camera.is_some());
        match self.camera {
            Some(CameraFile { camera, camera_from_world: Some(camera_from_world) }) => {
                Ok(motion.seen_through(&View { camera, camera_from_world }))
            }
            // In the camera's axes heads point against y.
            Some(CameraFile { camera, .. }) if has_camera || motion.up()[1] < 0.0 => {
                motion.frames.iter_mut().for_each(|frame| frame.camera = Some(camera));
                Ok(motion)
            }
            _ if has_camera => Ok(motion),
            None if motion.up()[1] < -0.5 => {
                let what = format!(
                    "{} lies before a camera and doesn't say which: add focal, princpt and img_size_wh, or give --camera",
                    path.display()
                );
                Err(Error::Missing { stage: Stage::Composite, what })
            }
            given => {
                let view = *self.view.get_or_insert_with(|| {
                    let view = match given {
                        Some(CameraFile { camera, .. }) => motion.placed(camera),
                        None => motion.default_view(self.picture_px),
                    };
                    let [x, y, z] = smplx::invert_rigid(&view.camera_from_world).map(|row| row[3]);
                    said.push(format!(
                        "{}: no camera: seen from the front, from ({x:.1}, {y:.1}, {z:.1}) m with y up; --camera FILE takes another",
                        path.display()
                    ));
                    view
                });
                Ok(motion.seen_through(&view))
            }
        }
    }
}

impl Actor {
    fn new(
        body: &BodyModel,
        avatar: Avatar,
        motion: Motion,
        own_body: bool,
        proportions: Proportions,
    ) -> Result<Self> {
        let shape = match &avatar.lhm {
            None => Shape::Prop,
            Some(lhm) => {
                let points = avatar.points(&[])?;
                let betas = lhm.betas.clone();
                let (mut skin, mut betas) = if own_body && !betas.is_empty() {
                    // The reference's route: weights of the nearest vertex of the neutral template.
                    let pose = smplx::neutral_pose();
                    let neutral = body.forward(&smplx::Frame {
                        rotations: Rotations::AxisAngle(&pose),
                        ..smplx::Frame::REST
                    })?;
                    let binding = PointBinding::nearest_vertex(points.query, &neutral.vertices)?;
                    (PointSkin::new(body, binding, &points, &betas)?, betas)
                } else {
                    let fitted = Retarget::new(body, &points)?;
                    (fitted.skin, fitted.betas)
                };
                if proportions == Proportions::Motion {
                    let moved = motion.frames.first().map_or(&[][..], |frame| &frame.betas);
                    let new = smplx::with_proportions(body, &betas, moved)?;
                    skin.reshape(body, &betas, &new)?;
                    betas = new;
                }
                Shape::Body(Box::new(Skinned { skin, betas, posed: PosedPoints::default() }))
            }
        };
        Ok(Self { avatar, shape, motion, gaussians: Gaussians::default(), splats: Frame::new() })
    }

    /// The shape of the avatar's body; `None` for a prop, which has none.
    pub(super) fn betas(&self) -> Option<&[f32]> {
        match &self.shape {
            Shape::Body(body) => Some(&body.betas),
            Shape::Prop => None,
        }
    }

    /// The normals of the avatar's surface in its own pose; `None` for a prop.
    pub(super) fn shading(&self, body: &BodyModel, parts: &BodyParts) -> Result<Option<Shading>> {
        let Some(betas) = self.betas() else { return Ok(None) };
        let pose = smplx::neutral_pose();
        let frame = smplx::Frame { betas, rotations: Rotations::AxisAngle(&pose), ..smplx::Frame::REST };
        let neutral = body.forward(&frame)?;
        let points = self.avatar.points(&[])?;
        let places: Vec<[f32; 3]> = points
            .query
            .iter()
            .zip(points.offset)
            .map(|(q, o)| std::array::from_fn(|k| q[k] + o[k]))
            .collect();
        Ok(Some(Shading::on_body(&places, parts, &neutral.vertices, body.faces())?))
    }

    /// The posed Gaussians, and how each one's surroundings are turned from the avatar's own pose to this one; no turns for a prop.
    pub(super) fn gaussians_and_turns(&mut self) -> (&mut Gaussians, &[[f32; 4]]) {
        match &self.shape {
            Shape::Body(body) => (&mut self.gaussians, &body.posed.rigid),
            Shape::Prop => (&mut self.gaussians, &[]),
        }
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
        match &mut self.shape {
            Shape::Body(shape) => {
                let frame =
                    PointFrame { rotations: Rotations::AxisAngle(pose), expression: &[], translation };
                shape.skin.pose_into(body, &frame, &mut shape.posed)?;
                self.avatar.pose(&shape.skin, &shape.posed, [0.0; 3], &mut self.gaussians)?;
            }
            Shape::Prop => {
                // The body turns about its pelvis, then moves.
                let [pelvis, ..] = body.rest_joints(&[], &[])?;
                let turn = smplx::rotation::matrix_from_axis_angle(pose[0]);
                let moved = std::array::from_fn(|k| translation[k] + pelvis[k]);
                let about = affine(&turn, moved);
                let to_pelvis = [0, 1, 2].map(|row| {
                    let [a, b, c, _] = AFFINE_IDENTITY[row];
                    [a, b, c, -pelvis[row]]
                });
                self.avatar.place(&compose(&about, &to_pelvis), [0.0; 3], &mut self.gaussians)?;
            }
        }
        Ok(())
    }

    /// As the motion's frame `index` says.
    pub(super) fn pose_at(&mut self, body: &BodyModel, index: usize) -> Result<()> {
        let frame = self.frame(index)?;
        let (pose, translation) = (frame.pose.full(), frame.translation);
        self.pose(body, &pose, translation)
    }
}
