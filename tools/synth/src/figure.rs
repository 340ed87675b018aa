//! A dressed person: the body displaced by what is worn, with what hangs beside it, posed together.

use crate::extras::Extras;
use crate::look::{Look, Piece};
use crate::motion::Pose;
use crate::template::{Template, part_of_joint, touching, vertex_normals};
use crate::{Result, vec3};
use glam::Vec3;
use smplx::{Frame, N_JOINTS, Posed as Body, PosedJoints, Rotations};

/// A person.
#[derive(Debug)]
pub struct Figure {
    /// Looks.
    pub look: Look,
    /// Shape coefficients.
    pub betas: Vec<f32>,
    /// Joints at rest for the shape.
    pub joints: [Vec3; N_JOINTS],
    /// Height of the soles at rest.
    pub ground: f32,
    /// Height of the crown at rest over the soles.
    pub height: f32,
    /// `[V]` how far what is worn stands off, in metres.
    pub thickness: Vec<f32>,
    /// Triangles of body and extras.
    pub faces: Vec<[u32; 3]>,
    /// `[V + extras]` where a vertex lies on the mean body at rest: what looks are cut by.
    pub place: Vec<Vec3>,
    /// `[V + extras]` what a vertex is part of.
    pub piece: Vec<Piece>,
    extras: Extras,
    spheres: Vec<Sphere>,
}

/// A ball within the body that hides light.
#[derive(Clone, Copy, Debug)]
struct Sphere {
    at: Vec3,
    joint: usize,
    radius: f32,
    part: u8,
}

/// A person in a pose.
#[derive(Debug, Default)]
pub struct PosedFigure {
    /// `[V]` vertices of the bare body.
    pub bare: Vec<[f32; 3]>,
    /// `[V + extras]` vertices of the dressed one.
    pub vertices: Vec<Vec3>,
    /// Their unit normals.
    pub normals: Vec<Vec3>,
    /// How much of the sky each sees, 0 to 1.
    pub open: Vec<f32>,
    /// Balls that hide light: middle, radius.
    pub spheres: Vec<(Vec3, f32)>,
    /// Joints.
    pub joints: Vec<Vec3>,
    /// The skeleton, without `shift`.
    pub skeleton: PosedJoints,
    /// Where the body was moved to in the end.
    pub shift: [f32; 3],
    parts: Vec<u8>,
    body: Body,
    bare_normals: Vec<Vec3>,
}

impl Figure {
    /// Dresses a body of a shape.
    ///
    /// # Errors
    /// When there are more betas than components.
    pub fn new(t: &Template, look: Look, betas: Vec<f32>) -> Result<Self> {
        let shaped: Vec<Vec3> = t.model.shaped(&betas, &[])?.into_iter().map(vec3).collect();
        let joints = t.model.rest_joints(&betas, &[])?.map(vec3);
        let mut thickness: Vec<f32> =
            t.rest.iter().zip(&t.normals).map(|(p, n)| look.thickness(t, *p, *n)).collect();
        for (v, eye) in t.eye.iter().enumerate() {
            if *eye {
                thickness[v] = 0.0;
            }
        }
        t.smooth(&mut thickness, 2);
        let extras = Extras::new(t, &look, &shaped, &joints);
        let first = t.rest.len() as u32;
        let mut faces = t.faces.clone();
        faces.extend(extras.faces.iter().map(|f| f.map(|v| v + first)));
        // Extras are cut by their own rest places, brought to the mean body's height.
        let scale = (t.joints[15].y - t.joints[0].y) / (joints[15].y - joints[0].y);
        let mut place = t.rest.clone();
        place.extend(extras.rest.iter().map(|p| t.joints[0] + (*p - joints[0]) * scale));
        let mut piece: Vec<Piece> = t.eye.iter().map(|e| if *e { Piece::Eye } else { Piece::Body }).collect();
        piece.extend(&extras.piece);
        let ground = shaped.iter().map(|v| v.y).fold(f32::INFINITY, f32::min);
        let crown = shaped.iter().map(|v| v.y).fold(f32::NEG_INFINITY, f32::max);
        let spheres = spheres(&joints);
        let height = crown - ground;
        Ok(Self { look, betas, joints, ground, height, thickness, faces, place, piece, extras, spheres })
    }

    /// Poses the person with a thickness of what is worn (the figure's own, or another's idea of it).
    ///
    /// # Errors
    /// When something isn't finite.
    pub fn pose(&self, t: &Template, pose: &Pose, thickness: &[f32], out: &mut PosedFigure) -> Result<()> {
        let rotations = pose.axis_angles();
        let frame = Frame {
            betas: &self.betas,
            expression: &[],
            rotations: Rotations::AxisAngle(&rotations),
            translation: pose.translation(self.joints[0]).to_array(),
        };
        t.model.forward_into(&frame, &mut out.body)?;
        out.bare.clone_from(&out.body.vertices);
        out.vertices.clear();
        out.vertices.extend(out.bare.iter().map(|v| vec3(*v)));
        vertex_normals(&out.vertices, &t.faces, &mut out.bare_normals);
        for ((p, n), d) in out.vertices.iter_mut().zip(&out.bare_normals).zip(thickness) {
            *p += *n * *d;
        }
        let shift = vec3(frame.translation);
        (out.skeleton, out.shift) = (out.body.joints, frame.translation);
        let move_by = |p: Vec3, joint: usize| {
            vec3(smplx::transform_point(&out.body.joints.transforms[joint], p.to_array()))
        };
        let moved = self.extras.rest.iter().zip(&self.extras.weights).map(|(p, w)| {
            w.iter().filter(|w| w.1 > 0.0).map(|(j, s)| move_by(*p, usize::from(*j)) * *s).sum::<Vec3>()
                + shift
        });
        out.vertices.extend(moved);
        vertex_normals(&out.vertices, &self.faces, &mut out.normals);
        out.joints.clear();
        out.joints.extend(out.body.joints.positions.iter().map(|p| vec3(*p)));
        out.spheres.clear();
        out.parts.clear();
        for s in &self.spheres {
            out.spheres.push((move_by(s.at, s.joint) + shift, s.radius));
            out.parts.push(s.part);
        }
        Ok(())
    }

    /// Poses the person as it is, and finds how much of the sky each of its vertices sees.
    ///
    /// # Errors
    /// When something isn't finite.
    pub fn stand(&self, t: &Template, pose: &Pose, out: &mut PosedFigure) -> Result<()> {
        self.pose(t, pose, &self.thickness, out)?;
        self.shade(t, out);
        Ok(())
    }

    /// How much of the sky other parts of the body leave to each vertex.
    fn shade(&self, t: &Template, out: &mut PosedFigure) {
        out.open.clear();
        let apart: [[bool; 11]; 11] =
            std::array::from_fn(|a| std::array::from_fn(|b| !touching(a as u8, b as u8)));
        let n_body = t.rest.len();
        for (v, (p, n)) in out.vertices.iter().zip(&out.normals).enumerate() {
            let (part, base) = if v < n_body { (t.part[v], t.open[v]) } else { (2, 1.0) };
            let mut hidden = 0.0;
            for ((c, r), other) in out.spheres.iter().zip(&out.parts) {
                if apart[usize::from(part)][usize::from(*other)] {
                    hidden += occlusion(*p, *n, *c, *r);
                }
            }
            out.open.push(base * (1.0 - 0.85 * hidden.min(1.0)));
        }
    }
}

/// The share of the light from everywhere that a ball takes from a surface.
#[must_use]
#[inline]
pub fn occlusion(p: Vec3, n: Vec3, c: Vec3, r: f32) -> f32 {
    let d = c - p;
    let (facing, d2) = (n.dot(d), d.length_squared());
    // What is aside or far takes nothing that shows.
    if facing <= 0.0 || d2 > 400.0 * r * r {
        return 0.0;
    }
    let d2 = d2.max(r * r);
    facing * r * r / (d2 * d2.sqrt())
}

fn spheres(j: &[Vec3; N_JOINTS]) -> Vec<Sphere> {
    let mut all = Vec::new();
    let mut add = |at: Vec3, joint: usize, radius: f32| {
        all.push(Sphere { at, joint, radius, part: part_of_joint(joint) });
    };
    add(j[15] + Vec3::new(0.0, 0.08, 0.02), 15, 0.105);
    add(j[12], 12, 0.06);
    for s in [-1.0, 1.0] {
        add((j[9] + j[12]) / 2.0 + Vec3::new(0.07 * s, 0.0, 0.0), 9, 0.12);
        add(j[0] + Vec3::new(0.07 * s, -0.02, 0.0), 0, 0.12);
    }
    add((j[3] + j[6]) / 2.0, 3, 0.13);
    for (hip, knee, ankle, ball) in [(1, 4, 7, 10), (2, 5, 8, 11)] {
        add(j[hip].lerp(j[knee], 0.35), hip, 0.085);
        add(j[hip].lerp(j[knee], 0.75), hip, 0.065);
        add(j[knee].lerp(j[ankle], 0.25), knee, 0.055);
        add(j[knee].lerp(j[ankle], 0.7), knee, 0.045);
        add(j[ankle] - Vec3::Y * 0.03, ankle, 0.05);
        add(j[ball], ball, 0.042);
    }
    for (shoulder, elbow, wrist) in [(16, 18, 20), (17, 19, 21)] {
        add(j[shoulder].lerp(j[elbow], 0.3), shoulder, 0.05);
        add(j[shoulder].lerp(j[elbow], 0.8), shoulder, 0.045);
        add(j[elbow].lerp(j[wrist], 0.4), elbow, 0.042);
        add(j[wrist] + (j[wrist] - j[elbow]).normalize() * 0.06, wrist, 0.05);
    }
    all
}
