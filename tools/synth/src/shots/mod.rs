//! Shots of people with the truth about them: several people, close shots, things in front, things in hands, borders that
//! cut. What a tracker, a matte or an occluder layer has to find out about a raw video is known here.

mod compose;
mod stage;
mod write;

use crate::figure::{Figure, PosedFigure};
use crate::light::Film;
use crate::look::Look;
use crate::motion::Pose;
use crate::random::Random;
use crate::render::{Actor, Painter, Picture, Scene};
use crate::template::Template;
use crate::view::View;
use crate::{Error, Result, Split, scenes, vec3};
use compose::Layers;
use glam::{Quat, Vec3};
use image::{GrayImage, RgbImage};
use smplx::{BodyPose, Camera, MotionFrame, N_JOINTS};
use stage::Stage;

pub use write::write;

/// A kind of shot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shot {
    /// One person, whole, in the middle: what is easy.
    Alone,
    /// Two people with a gap between them.
    Apart,
    /// Two people shoulder to shoulder.
    Touching,
    /// Two people who walk past each other, one behind the other.
    Crossing,
    /// Three people side by side.
    Three,
    /// Head and shoulders; the person leans to either side.
    Leaning,
    /// Head and shoulders; the person turns.
    Turning,
    /// Seated behind a desk.
    Desk,
    /// Walks behind a pole.
    Pole,
    /// Swings a racket.
    Racket,
    /// Hands go over the face and away.
    FaceHidden,
    /// Cut by the left border.
    CutLeft,
    /// Cut by the right border.
    CutRight,
    /// The upper border cuts the head.
    CutTop,
    /// The lower border cuts the legs.
    CutBottom,
}

impl Shot {
    /// Every kind.
    pub const ALL: [Self; 15] = [
        Self::Alone,
        Self::Apart,
        Self::Touching,
        Self::Crossing,
        Self::Three,
        Self::Leaning,
        Self::Turning,
        Self::Desk,
        Self::Pole,
        Self::Racket,
        Self::FaceHidden,
        Self::CutLeft,
        Self::CutRight,
        Self::CutTop,
        Self::CutBottom,
    ];

    /// Its name in files and options.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Apart => "apart",
            Self::Touching => "touching",
            Self::Crossing => "crossing",
            Self::Three => "three",
            Self::Leaning => "leaning",
            Self::Turning => "turning",
            Self::Desk => "desk",
            Self::Pole => "pole",
            Self::Racket => "racket",
            Self::FaceHidden => "face-hidden",
            Self::CutLeft => "cut-left",
            Self::CutRight => "cut-right",
            Self::CutTop => "cut-top",
            Self::CutBottom => "cut-bottom",
        }
    }

    /// The kind of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|shot| shot.name() == name)
    }

    fn people(self) -> usize {
        match self {
            Self::Apart | Self::Touching | Self::Crossing => 2,
            Self::Three => 3,
            _ => 1,
        }
    }
}

/// One person in one frame.
#[derive(Clone, Debug)]
pub struct TruePerson {
    /// How much of each pixel shows the person, 0 to 255.
    pub matte: GrayImage,
    /// Pose, shape and place in camera axes, with the camera.
    pub frame: MotionFrame,
    /// Which of the body's first 22 joints lie in the picture, not behind a thing or somebody else.
    pub seen: [bool; 22],
}

/// One frame with what is known about it.
#[derive(Clone, Debug)]
pub struct TrueFrame {
    /// What a camera would show.
    pub picture: RgbImage,
    /// Everybody, in the same order in every frame.
    pub people: Vec<TruePerson>,
    /// White where a thing of the scene is in front of a person.
    pub in_front: GrayImage,
    /// White where something held is seen.
    pub held: GrayImage,
}

/// Takes a shot frame by frame: the same pictures for the same seed.
#[derive(Debug)]
pub struct Taker {
    template: Template,
    painter: Painter,
    picture: Picture,
    posed: PosedFigure,
    figures: Vec<Figure>,
    stage: Stage,
    scene: Scene,
    seed: u64,
    shot: Shot,
    next: usize,
}

impl Taker {
    /// Sets a shot up: pictures of `size`, `frames` of them at 12 frames a second.
    ///
    /// # Errors
    /// Never for the body that is embedded.
    pub fn new(shot: Shot, seed: u64, size: [u32; 2], frames: usize) -> Result<Self> {
        let template = Template::new()?;
        let mut random = Random::new(seed, &[7001, shot as u64]);
        let figures = (0..shot.people())
            .map(|_| {
                let look = Look::random(&mut random.fork(), Split::Train);
                let shape = &mut random.fork();
                let betas = (0..10).map(|_| (0.7 * shape.normal()).clamp(-1.6, 1.6)).collect();
                Figure::new(&template, look, betas)
            })
            .collect::<Result<Vec<_>>>()?;
        let stage = Stage::new(shot, &mut random, &template, &figures, size, frames)?;
        let scene = scene(seed, shot);
        let mut taker = Self {
            template,
            painter: Painter::default(),
            picture: Picture::default(),
            posed: PosedFigure::default(),
            figures,
            stage,
            scene,
            seed,
            shot,
            next: 0,
        };
        if taker.stage.furnish(&mut taker.scene.world, None) {
            taker.scene.world.finish(&taker.scene.light);
        }
        Ok(taker)
    }

    /// The next frame, `None` after the last.
    ///
    /// # Errors
    /// When a body can't be posed.
    pub fn next_frame(&mut self) -> Result<Option<TrueFrame>> {
        let Some(staged) = self.stage.at(self.next, &self.figures) else { return Ok(None) };
        self.next += 1;
        if let Some(hold) = self.stage.held(&self.template, &self.figures, &staged)? {
            // What is held moves: the scene is put up anew around it.
            self.scene = scene(self.seed, self.shot);
            self.stage.furnish(&mut self.scene.world, Some(hold));
            self.scene.world.finish(&self.scene.light);
        }
        let view = staged.view;
        let mut layers = Layers::new(view.size);
        for (figure, pose) in self.figures.iter().zip(&staged.poses) {
            figure.stand(&self.template, pose, &mut self.posed)?;
            let actor = Actor { template: &self.template, figure, posed: &self.posed };
            self.painter.frame(&self.scene, &actor, &view, &mut self.picture);
            layers.add(&self.painter, &self.picture, &self.scene.world, self.stage.first_held());
        }
        let composed = layers.compose()?;
        let people = self
            .figures
            .iter()
            .zip(&staged.poses)
            .zip(composed.people)
            .map(|((figure, pose), (matte, whole))| self.true_person(figure, pose, &view, matte, &whole))
            .collect::<Result<Vec<_>>>()?;
        let (in_front, held) = (composed.in_front, composed.held);
        Ok(Some(TrueFrame { picture: composed.picture, people, in_front, held }))
    }

    fn true_person(
        &self,
        figure: &Figure,
        pose: &Pose,
        view: &View,
        matte: GrayImage,
        whole: &GrayImage,
    ) -> Result<TruePerson> {
        let frame = in_camera(figure, pose, view);
        let full = frame.pose.full();
        let at = smplx::Frame {
            betas: &figure.betas,
            rotations: smplx::Rotations::AxisAngle(&full),
            translation: frame.translation,
            ..smplx::Frame::REST
        };
        let joints = self.template.model.joints(&at)?.positions;
        let (w, h) = matte.dimensions();
        let seen = std::array::from_fn(|j| {
            let p = vec3(joints[j]);
            if p.z < 0.1 {
                return false;
            }
            let p = view.project(p);
            let (x, y) = (p.x.floor(), p.y.floor());
            if !(x >= 0.0 && y >= 0.0 && x < w as f32 && y < h as f32) {
                return false;
            }
            let (x, y) = (x as u32, y as u32);
            matte.get_pixel(x, y)[0] >= 128 || whole.get_pixel(x, y)[0] < 128
        });
        Ok(TruePerson { matte, frame, seen })
    }
}

fn scene(seed: u64, shot: Shot) -> Scene {
    let mut random = Random::new(seed, &[7002, shot as u64]);
    let (world, light) = scenes::build(&mut random.fork(), Split::Train);
    let film = Film::random(&mut random.fork(), &light);
    Scene { world, light, film }
}

/// A pose in the world as a motion's frame in camera axes.
fn in_camera(figure: &Figure, pose: &Pose, view: &View) -> MotionFrame {
    let turn = Quat::from_mat3(&view.turn);
    let mut local: [Quat; N_JOINTS] = pose.local;
    local[0] = turn * local[0];
    let angles = local.map(|q| {
        let q = q.normalize();
        let q = if q.w < 0.0 { -q } else { q };
        q.to_scaled_axis().to_array()
    });
    let pelvis: Vec3 = view.to_camera(pose.pelvis);
    let camera =
        Camera { focal_px: [view.focal; 2], principal_px: view.middle.to_array(), size_px: view.size };
    MotionFrame {
        pose: BodyPose::from_full(&angles),
        translation: (pelvis - figure.joints[0]).to_array(),
        betas: figure.betas.clone(),
        camera: Some(camera),
        ..MotionFrame::default()
    }
}

pub(crate) fn image_of<P>(size: [u32; 2], bytes: Vec<u8>) -> Result<image::ImageBuffer<P, Vec<u8>>>
where
    P: image::Pixel<Subpixel = u8>,
{
    image::ImageBuffer::from_raw(size[0], size[1], bytes)
        .ok_or(Error::Internal("a picture of the wrong size"))
}
