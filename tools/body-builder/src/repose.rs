//! From MakeHuman's A-pose to SMPL-X's rest pose.
//!
//! MakeHuman's vertices are sculpted with the arms hanging at about 45° and the legs apart. The rest pose of SMPL-X is
//! a T: arms along x with the palms down, legs nearly straight down, fingers nearly flat. Each bone is turned about its
//! head by the smallest rotation that brings it into its direction, the turn of the palms is spread over the forearm
//! (a third on `lowerarm01`, two on `lowerarm02`, all of it on the wrist), and the vertices follow by linear blend
//! skinning with the rig's own 163-bone weights. Small rest angles per SMPL-X joint then bring the T nearer to
//! SMPL-X's, whose limbs aren't quite straight; see [`crate::proportions`].

use nalgebra::Rotation3;

use crate::Point;
use crate::base_mesh::BaseMesh;
use crate::error::Error;
use crate::rig::Rig;
use crate::skeleton::{self, JOINTS};

/// A rigid motion: `x -> rotation x + translation`.
#[derive(Clone, Copy, Debug)]
pub struct Rigid {
    /// The rotation.
    pub rotation: Rotation3<f64>,
    /// The translation, in metres.
    pub translation: Point,
}

impl Rigid {
    /// The motion of a point.
    #[must_use]
    pub fn apply(&self, p: &Point) -> Point {
        self.rotation * p + self.translation
    }
}

/// Extra rotation of each SMPL-X joint in the rest pose, as axis times angle, in radians.
pub type RestAngles = [Point; JOINTS];

/// Bones that a direction is asked of: bone, the bone whose head it should point at (or its own tail).
#[derive(Clone, Copy, Debug)]
enum Toward {
    Head(usize),
    Tail,
}

/// One step of the plan: what a bone does beyond following its parent.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Point along a fixed direction.
    Aim(Toward, [f64; 3]),
    /// Point along the current direction without its y component.
    Flatten(Toward),
    /// Point along the line from one bone's head to the next one's, which are already placed.
    Along(Toward, [usize; 2]),
    /// Take up the orientation that the bone has in the A-pose.
    Upright,
}

/// What turns MakeHuman's pose into the rest pose, for a rig.
#[derive(Debug)]
pub struct Reposer {
    steps: Vec<Option<Step>>,
    /// Per arm: lowerarm01, lowerarm02, wrist, first bones of index and little finger.
    arms: [[usize; 5]; 2],
    /// For each bone the SMPL-X joint that starts with it, if any.
    starts: Vec<Option<usize>>,
}

/// A body in the rest pose, before it is placed in SMPL-X's frame.
#[derive(Clone, Debug)]
pub struct Reposed {
    /// Vertices of the body (helpers dropped), in metres.
    pub vertices: Vec<Point>,
    /// Heads of the rig's bones, in metres.
    pub heads: Vec<Point>,
    /// Motion of each bone from the A-pose to here.
    pub motions: Vec<Rigid>,
}

impl Reposer {
    /// Prepares the plan for a rig; `joint_of_bone` from [`skeleton::joint_of_bones`].
    ///
    /// # Errors
    /// The rig lacks a bone that the plan names.
    pub fn new(rig: &Rig, joint_of_bone: &[usize]) -> Result<Self, Error> {
        let bone = |name: &str| {
            rig.bone(name)
                .ok_or_else(|| Error::malformed("rig.default.json", name, "a bone", "none of that name"))
        };
        let mut steps = vec![None; rig.bones.len()];
        let mut arms = [[0; 5]; 2];
        for (side, (suffix, x)) in [("L", 1.0), ("R", -1.0)].into_iter().enumerate() {
            let b = |stem: &str| bone(&format!("{stem}.{suffix}"));
            let (elbow, wrist, out) = (b("lowerarm01")?, b("wrist")?, [x, 0.0, 0.0]);
            steps[b("upperarm01")?] = Some(Step::Aim(Toward::Head(elbow), out));
            steps[elbow] = Some(Step::Aim(Toward::Head(wrist), out));
            steps[wrist] = Some(Step::Aim(Toward::Head(b("finger3-1")?), out));
            arms[side] = [elbow, b("lowerarm02")?, wrist, b("finger2-1")?, b("finger5-1")?];
            for finger in 2..=5 {
                let phalanx = |k: usize| b(&format!("finger{finger}-{k}"));
                let (first, second, third) = (phalanx(1)?, phalanx(2)?, phalanx(3)?);
                steps[first] = Some(Step::Flatten(Toward::Head(second)));
                steps[second] = Some(Step::Along(Toward::Head(third), [first, second]));
                steps[third] = Some(Step::Along(Toward::Tail, [first, second]));
            }
            let (knee, ankle, down) = (b("lowerleg01")?, b("foot")?, [0.0, -1.0, 0.0]);
            steps[b("upperleg01")?] = Some(Step::Aim(Toward::Head(knee), down));
            steps[knee] = Some(Step::Aim(Toward::Head(ankle), down));
            steps[ankle] = Some(Step::Upright);
        }
        let starts = (0..rig.bones.len())
            .map(|b| {
                let joint = joint_of_bone[b];
                let first = rig.bones[b].parent.is_none_or(|p| joint_of_bone[p] != joint);
                // The toes are five bones that start one joint: each turns about its own head.
                first.then_some(joint)
            })
            .collect();
        Ok(Self { steps, arms, starts })
    }

    /// Re-poses a body given by all its vertices (helpers included), in the A-pose.
    #[must_use]
    pub fn repose(&self, mesh: &BaseMesh, rig: &Rig, vertices: &[Point], rest: &RestAngles) -> Reposed {
        let heads: Vec<Point> = rig.bones.iter().map(|b| b.head.at(vertices)).collect();
        let tails: Vec<Point> = rig.bones.iter().map(|b| b.tail.at(vertices)).collect();
        let straight = self.straighten(rig, &heads, &tails);
        let motions = self.add_rest_angles(rig, &heads, &straight, rest);
        let moved = mesh.kept.iter().map(|&v| {
            let p = vertices[v];
            rig.weights[v].iter().map(|&(b, w)| motions[b].apply(&p) * w).sum()
        });
        Reposed {
            vertices: moved.collect(),
            heads: motions.iter().zip(&heads).map(|(m, h)| m.apply(h)).collect(),
            motions,
        }
    }

    /// The motion of each bone into the exact T.
    fn straighten(&self, rig: &Rig, heads: &[Point], tails: &[Point]) -> Vec<Rotation3<f64>> {
        let untwisted = self.aim(rig, heads, tails, &|_| None);
        // The twist that brings the index finger level with the little finger, in front of it.
        let twists = self.arms.map(|[_, _, wrist, index, little]| {
            let across = untwisted[wrist] * (heads[index] - heads[little]);
            across.y.atan2(across.z)
        });
        self.aim(rig, heads, tails, &|bone| {
            let (arm, twist) = self.arms.iter().zip(twists).find(|(arm, _)| arm[..3].contains(&bone))?;
            let share = match arm.iter().position(|&b| b == bone) {
                Some(0) => 1.0 / 3.0,
                Some(1) => 2.0 / 3.0,
                _ => 1.0,
            };
            Some(Rotation3::from_axis_angle(&Point::x_axis(), twist * share))
        })
    }

    /// Rotation of each bone; `twist(bone)` is applied on top of the untwisted rotation of that bone.
    fn aim(
        &self,
        rig: &Rig,
        heads: &[Point],
        tails: &[Point],
        twist: &dyn Fn(usize) -> Option<Rotation3<f64>>,
    ) -> Vec<Rotation3<f64>> {
        let mut plain: Vec<Rotation3<f64>> = Vec::with_capacity(heads.len());
        let mut turned: Vec<Rotation3<f64>> = Vec::with_capacity(heads.len());
        for (b, bone) in rig.bones.iter().enumerate() {
            let (from_plain, from_turned) =
                bone.parent.map_or((Rotation3::identity(), Rotation3::identity()), |p| (plain[p], turned[p]));
            // Arms are laid out untwisted and twisted at once; fingers follow the twisted hand.
            let in_arm = self.arms.iter().any(|arm| arm[..3].contains(&b));
            let parent = if in_arm { from_plain } else { from_turned };
            let end = |toward: Toward| match toward {
                Toward::Head(other) => heads[other] - heads[b],
                Toward::Tail => tails[b] - heads[b],
            };
            let rotation = match self.steps[b] {
                None => parent,
                Some(Step::Upright) => Rotation3::identity(),
                Some(Step::Aim(toward, direction)) => shortest(parent, end(toward), Point::from(direction)),
                Some(Step::Flatten(toward)) => {
                    let now = parent * end(toward);
                    shortest(parent, end(toward), Point::new(now.x, 0.0, now.z))
                }
                Some(Step::Along(toward, [first, next])) => {
                    shortest(parent, end(toward), turned[first] * (heads[next] - heads[first]))
                }
            };
            plain.push(rotation);
            turned.push(twist(b).map_or(rotation, |t| t * rotation));
        }
        turned
    }

    /// Lays the rest angles over the straight pose and gives each bone's motion from the A-pose.
    fn add_rest_angles(
        &self,
        rig: &Rig,
        heads: &[Point],
        straight: &[Rotation3<f64>],
        rest: &RestAngles,
    ) -> Vec<Rigid> {
        let mut extra: Vec<Rotation3<f64>> = Vec::with_capacity(heads.len());
        let mut motions: Vec<Rigid> = Vec::with_capacity(heads.len());
        for (b, bone) in rig.bones.iter().enumerate() {
            let from_parent = bone.parent.map_or(Rotation3::identity(), |p| extra[p]);
            let own = self.starts[b].map_or(Rotation3::identity(), |j| Rotation3::new(rest[j]));
            extra.push(from_parent * own);
            let rotation = extra[b] * straight[b];
            let head = bone.parent.map_or(heads[b], |p| motions[p].apply(&heads[b]));
            motions.push(Rigid { rotation, translation: head - rotation * heads[b] });
        }
        motions
    }
}

/// The rotation that continues `parent` by the smallest turn that brings `bone` (in the A-pose) to `direction`.
fn shortest(parent: Rotation3<f64>, bone: Point, direction: Point) -> Rotation3<f64> {
    let turn = Rotation3::rotation_between(&(parent * bone), &direction);
    turn.map_or(parent, |turn| turn * parent)
}

/// Where the rest pose's joints lie, before the body is placed.
#[must_use]
pub fn joints(rig: &Rig, rules: &[skeleton::JointRule], heads: &[Point]) -> Vec<Point> {
    let size = skeleton::size(rig, heads);
    rules.iter().map(|rule| rule.at(heads, size)).collect()
}
