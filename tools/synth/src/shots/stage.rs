//! Who stands where in a shot, how they move, what is around them, and where the camera is.

use super::Shot;
use crate::figure::Figure;
use crate::material::Material;
use crate::motion::{Kind, Mover, Pose};
use crate::random::Random;
use crate::template::Template;
use crate::view::View;
use crate::world::World;
use crate::{Result, Split, vec3};
use glam::{Mat3, Quat, Vec3};
use smplx::{N_JOINTS, Rotations};
use std::f32::consts::{FRAC_PI_2, TAU};

/// Frames a second.
pub(super) const FPS: f32 = 12.0;

/// Joints of the arms from the shoulder: left and right.
const ARMS: [[usize; 2]; 2] = [[16, 18], [17, 19]];

/// Everything that was decided about a shot.
#[derive(Debug)]
pub(super) struct Stage {
    shot: Shot,
    frames: usize,
    movers: Vec<Mover>,
    /// Where each begins and how fast they go, in metres and metres a second.
    places: Vec<(Vec3, Vec3)>,
    /// Heights of the eyes' joint and the crown.
    heights: [f32; 2],
    size: [u32; 2],
    focal: f32,
    away: f32,
    phase: f32,
    material: Material,
    second: Material,
    /// Rotations of shoulders and elbows that bring the hands to the face.
    to_face: [[Quat; 2]; 2],
    /// Things of the scene before the held ones.
    first_held: std::cell::Cell<Option<usize>>,
}

/// One frame's poses and view.
pub(super) struct Staged {
    pub(super) poses: Vec<Pose>,
    pub(super) view: View,
}

/// Where something is held: the wrist and the direction of the forearm.
#[derive(Clone, Copy)]
pub(super) struct Hold {
    wrist: Vec3,
    along: Vec3,
}

impl Stage {
    pub(super) fn new(
        shot: Shot,
        random: &mut Random,
        t: &Template,
        figures: &[Figure],
        size: [u32; 2],
        frames: usize,
    ) -> Result<Self> {
        let [w, h] = size.map(|n| n as f32);
        let kind = match shot {
            Shot::Crossing | Shot::Pole => Kind::Walk,
            Shot::Racket => Kind::Wave,
            Shot::Desk | Shot::Leaning | Shot::Turning | Shot::FaceHidden => Kind::Idle,
            _ => Kind::Gesture,
        };
        let movers = figures
            .iter()
            .enumerate()
            .map(|(n, figure)| {
                let heading = match shot {
                    Shot::Crossing if n == 0 => FRAC_PI_2,
                    Shot::Crossing => -FRAC_PI_2,
                    Shot::Pole => FRAC_PI_2 * 0.9,
                    _ => random.range(-0.35, 0.35),
                };
                Mover::random(&mut random.fork(), kind, &figure.joints, figure.ground, heading)
            })
            .collect::<Vec<_>>();
        let x = |x: f32| (Vec3::new(x, 0.0, 0.0), Vec3::ZERO);
        let places = match shot {
            Shot::Apart => vec![x(-0.68), x(0.68)],
            Shot::Touching => vec![x(-0.26), x(0.26)],
            Shot::Crossing => vec![x(0.0), (Vec3::new(0.0, 0.0, -0.75), Vec3::ZERO)],
            Shot::Three => vec![x(-1.0), x(0.0), x(1.0)],
            _ => vec![x(0.0)],
        };
        let figure = &figures[0];
        let crown = figure.height;
        let eyes = figure.joints[15].y - figure.ground;
        let focal = w * random.range(0.8, 1.0);
        // What of the picture's height the visible part fills, in metres.
        let spans = match shot {
            Shot::Leaning | Shot::Turning | Shot::FaceHidden => 0.85,
            Shot::Desk => 1.35,
            Shot::CutTop | Shot::CutBottom => 1.25,
            Shot::CutLeft | Shot::CutRight => 1.6,
            Shot::Three => 2.25,
            _ => 2.05,
        };
        let away = focal * spans / h;
        let material = Material::thing(random, Split::Train);
        let second = Material::thing(random, Split::Train);
        let mut stage = Self {
            shot,
            frames,
            movers,
            places,
            heights: [eyes, crown],
            size,
            focal,
            away,
            phase: random.unit(),
            material,
            second,
            to_face: [[Quat::IDENTITY; 2]; 2],
            first_held: std::cell::Cell::new(None),
        };
        if shot == Shot::FaceHidden {
            stage.to_face = hands_to_face(random, t, figure)?;
        }
        Ok(stage)
    }

    pub(super) fn first_held(&self) -> Option<usize> {
        self.first_held.get()
    }

    /// Poses and view of a frame, `None` after the last.
    pub(super) fn at(&self, frame: usize, figures: &[Figure]) -> Option<Staged> {
        if frame >= self.frames {
            return None;
        }
        let time = (frame as f32 - 0.5 * (self.frames as f32 - 1.0)) / FPS;
        let wave = |rate: f32| (TAU * (time * rate + self.phase)).sin();
        let poses =
            self.movers.iter().zip(&self.places).zip(figures).map(|((mover, (at, speed)), figure)| {
                let mut pose = mover.pose(time);
                pose.pelvis += *at + *speed * time;
                match self.shot {
                    Shot::Leaning => lean(&mut pose, Quat::from_rotation_z(0.11 * wave(0.45))),
                    Shot::Turning => lean(&mut pose, Quat::from_rotation_y(0.2 * wave(0.45))),
                    Shot::Desk => sit(&mut pose, figure),
                    Shot::FaceHidden => {
                        // Up and down again over the clip.
                        let share = (1.25 - 2.2 * (frame as f32 / self.frames as f32 - 0.5).abs() * 1.6)
                            .clamp(0.0, 1.0);
                        for (arm, to) in ARMS.iter().zip(&self.to_face) {
                            for (joint, to) in arm.iter().zip(to) {
                                pose.local[*joint] = pose.local[*joint].slerp(*to, share);
                            }
                        }
                    }
                    _ => {}
                }
                pose
            });
        let [eyes, crown] = self.heights;
        // The height that the camera looks at, and how far aside.
        let (look, aside) = match self.shot {
            Shot::Leaning | Shot::Turning | Shot::FaceHidden => (eyes - 0.1, 0.0),
            Shot::Desk => (0.9, 0.0),
            Shot::CutTop => (crown - 0.78, 0.0),
            Shot::CutBottom => (crown - 0.48, 0.0),
            Shot::CutLeft => (crown * 0.55, 0.5 * self.width_m() - 0.05),
            Shot::CutRight => (crown * 0.55, 0.05 - 0.5 * self.width_m()),
            _ => (crown * 0.5, 0.0),
        };
        let hand = Vec3::new(0.006 * wave(0.6), 0.004 * wave(0.9), 0.0) * self.away;
        let eye = Vec3::new(aside, look + 0.12 * self.away.min(1.5), self.away) + hand;
        let target = Vec3::new(aside, look, 0.0);
        let view = View::look_at(eye, target, 0.0, self.focal, self.size);
        Some(Staged { poses: poses.collect(), view })
    }

    /// Metres across the picture where the people stand.
    fn width_m(&self) -> f32 {
        self.size[0] as f32 * self.away / self.focal
    }

    /// Where something is held in a frame, if this shot has such a thing.
    pub(super) fn held(&self, t: &Template, figures: &[Figure], staged: &Staged) -> Result<Option<Hold>> {
        if self.shot != Shot::Racket {
            return Ok(None);
        }
        let joints = joints(t, &figures[0], &staged.poses[0])?;
        // The hand that is higher holds it.
        let (elbow, wrist) = (joints[19], joints[21]);
        Ok(Some(Hold { wrist, along: (wrist - elbow).normalize_or(Vec3::Y) }))
    }

    /// Puts things into the scene; gives whether there are any.
    pub(super) fn furnish(&self, world: &mut World, hold: Option<Hold>) -> bool {
        match self.shot {
            Shot::Desk => {
                let top = Vec3::new(0.0, 0.70, 0.52);
                world.block(top, Vec3::new(1.7, 0.04, 0.6), 0.0, self.material);
                world.block(Vec3::new(0.0, 0.0, 0.78), Vec3::new(1.66, 0.70, 0.03), 0.0, self.second);
                world.block(Vec3::new(0.0, 0.40, -0.05), Vec3::new(0.45, 0.05, 0.45), 0.0, self.second);
                true
            }
            Shot::Pole => {
                world.column(Vec3::new(0.1, 0.0, 0.9), [0.055; 2], 3.2, Mat3::IDENTITY, self.material);
                true
            }
            Shot::Racket => {
                let Some(Hold { wrist, along }) = hold else { return false };
                self.first_held.set(Some(world.things.len()));
                let side = along.cross(Vec3::Z).normalize_or(Vec3::X);
                let turn = Mat3::from_cols(side, along, side.cross(along));
                world.slanted(wrist + along * 0.05, Vec3::new(0.03, 0.27, 0.03), turn, self.second);
                world.slanted(wrist + along * 0.31, Vec3::new(0.21, 0.28, 0.02), turn, self.material);
                true
            }
            _ => false,
        }
    }
}

/// Bends the spine and the neck by the same turn each.
fn lean(pose: &mut Pose, turn: Quat) {
    for joint in [3, 6, 9, 12] {
        pose.local[joint] = turn * pose.local[joint];
    }
}

/// Sits down on a chair, the forearms towards the desk.
fn sit(pose: &mut Pose, figure: &Figure) {
    let shank = figure.joints[4].y - figure.joints[7].y;
    pose.pelvis.y = shank + 0.16;
    pose.pelvis.z = -0.08;
    for (hip, knee, ankle) in [(1, 4, 7), (2, 5, 8)] {
        pose.local[hip] = Quat::from_rotation_x(-1.5);
        pose.local[knee] = Quat::from_rotation_x(1.45);
        pose.local[ankle] = Quat::IDENTITY;
    }
}

fn joints(t: &Template, figure: &Figure, pose: &Pose) -> Result<Vec<Vec3>> {
    let rotations = pose.axis_angles();
    let frame = smplx::Frame {
        betas: &figure.betas,
        rotations: Rotations::AxisAngle(&rotations),
        translation: pose.translation(figure.joints[0]).to_array(),
        ..smplx::Frame::REST
    };
    Ok(t.model.joints(&frame)?.positions.iter().map(|p| vec3(*p)).collect())
}

/// Looks for rotations of shoulders and elbows that bring the palms before the face.
fn hands_to_face(random: &mut Random, t: &Template, figure: &Figure) -> Result<[[Quat; 2]; 2]> {
    let mut found = [[Quat::IDENTITY; 2]; 2];
    let mut pose = Pose { local: [Quat::IDENTITY; N_JOINTS], pelvis: figure.joints[0] };
    for (side, arm) in ARMS.iter().enumerate() {
        let sign = if side == 0 { 1.0 } else { -1.0 };
        let wrist = [20, 21][side];
        let mut best = ([0.0, -0.9 * sign, -0.6 * sign, -2.0 * sign], f32::INFINITY);
        for round in 0..260 {
            let step = 0.5 * 0.985_f32.powi(round);
            let tried = best.0.map(|v: f32| if round == 0 { v } else { v + step * random.normal() });
            let turn = [
                Quat::from_scaled_axis(Vec3::new(tried[0], tried[1], tried[2])),
                Quat::from_rotation_y(tried[3].clamp(-2.5, 2.5)),
            ];
            (pose.local[arm[0]], pose.local[arm[1]]) = (turn[0], turn[1]);
            let joints = joints(t, figure, &pose)?;
            let eyes = (joints[23] + joints[24]) / 2.0;
            let wanted = eyes + Vec3::new(0.05 * sign, -0.10, 0.13);
            // Elbows stay down and ahead.
            let elbow = joints[arm[1]];
            let off = (joints[wrist] - wanted).length()
                + 0.3 * (elbow.y - (eyes.y - 0.35)).max(0.0)
                + 0.3 * (0.1 - elbow.z).max(0.0);
            if off < best.1 {
                best = (tried, off);
                found[side] = turn;
            }
        }
    }
    Ok(found)
}
