//! The clothed avatar: Gaussians spread evenly over the body's surface, flat along it, in the even light of a studio.

use crate::wardrobe::{Anatomy, Cloth, Parts, Place};
use crate::{Result, scene, vec3, walk};
use avatar_render::{Avatar, Colors, Gaussians, LhmBody};
use glam::{Mat3, Quat, Vec3};
use smplx::{BodyModel, Frame, Rotations};

/// G: number of Gaussians.
pub const POINTS: usize = 30_000;

/// A body in the neutral pose, and its normals when it stands.
struct Surface {
    vertices: Vec<Vec3>,
    normals: Vec<Vec3>,
    /// Normals of the standing body.
    standing: Vec<Vec3>,
    parts: Vec<Parts>,
    faces: Vec<[usize; 3]>,
}

/// Dresses the body.
///
/// # Errors
/// When the model can't be posed.
pub fn dress(model: &BodyModel) -> Result<Avatar> {
    let anatomy = Anatomy::new(model)?;
    let surface = Surface::new(model)?;
    let wanted: Vec<f32> = surface
        .faces
        .iter()
        .map(|f| surface.area(f) * anatomy.cloth(&surface.place(f, [1.0 / 3.0; 3])).density)
        .collect();
    let total: f64 = wanted.iter().map(|w| f64::from(*w)).sum();
    let step = total / POINTS as f64;
    let mut g = Gaussians::default();
    let (mut query, mut offset, mut colors) = (Vec::new(), Vec::new(), Vec::new());
    let (mut sum, mut next) = (0.0, 0.5 * step);
    for (face, wanted) in surface.faces.iter().zip(&wanted) {
        sum += f64::from(*wanted);
        while next < sum {
            next += step;
            let shares = barycentric(query.len());
            let place = surface.place(face, shares);
            let cloth = anatomy.cloth(&place);
            // The spread that makes neighbours meet: the distance between points here.
            let spacing = (step as f32 / cloth.density).sqrt();
            let sigma = (0.76 * spacing).clamp(0.0006, 0.011);
            query.push(place.at.to_array());
            offset.push((place.normal * cloth.thickness).to_array());
            g.means.push((place.at + place.normal * cloth.thickness).to_array());
            g.scales.push([sigma * 1.12, sigma * 0.92, sigma * 0.28]);
            g.rotations.push(along_surface(place.normal));
            g.opacities.push(0.97);
            colors.push(surface.lit(face, shares, &place, &cloth));
        }
    }
    g.colors = Colors::Rgb(colors);
    let body = LhmBody {
        query,
        offset,
        neutral_to_zero: Box::new(smplx::neutral_to_zero(model, &[])?),
        betas: vec![0.0; 10],
        body_ratio: 1.0,
        has_face: true,
    };
    Ok(Avatar { gaussians: g, lhm: Some(body) })
}

/// The `index`-th place in a triangle of a sequence that fills it evenly (the two-dimensional golden ratio's).
fn barycentric(index: usize) -> [f32; 3] {
    let (mut u, mut v) = (
        (index as f64 * 0.754_877_666_246_692_7).fract() as f32,
        (index as f64 * 0.569_840_290_998_053_3).fract() as f32,
    );
    if u + v > 1.0 {
        (u, v) = (1.0 - u, 1.0 - v);
    }
    [1.0 - u - v, u, v]
}

/// The orientation (w, x, y, z) whose third axis is the normal and whose first lies as level as it can.
fn along_surface(normal: Vec3) -> [f32; 4] {
    let level = Vec3::Y.cross(normal);
    let first = if level.length_squared() > 1e-4 {
        level.normalize()
    } else {
        Vec3::X.reject_from(normal).normalize()
    };
    let q = Quat::from_mat3(&Mat3::from_cols(first, normal.cross(first), normal)).normalize();
    [q.w, q.x, q.y, q.z]
}

impl Surface {
    fn new(model: &BodyModel) -> Result<Self> {
        let posed = |pose| -> Result<Vec<Vec3>> {
            let frame = Frame { rotations: Rotations::AxisAngle(&pose), ..Frame::REST };
            Ok(model.forward(&frame)?.vertices.into_iter().map(vec3).collect())
        };
        let (vertices, standing) = (posed(smplx::neutral_pose())?, posed(walk::standing())?);
        let faces: Vec<[usize; 3]> = model.faces().iter().map(|f| f.map(|v| v as usize)).collect();
        let parts: Vec<Parts> = (0..model.n_vertices())
            .map(|v| {
                let mut parts = Parts::default();
                model.weights().get(v).iter().for_each(|w| parts.add(usize::from(w.joint), w.weight));
                parts
            })
            .collect();
        let normals = normals(&vertices, &faces);
        let standing = self::normals(&standing, &faces);
        let faces = visible(&faces, &parts);
        Ok(Self { vertices, normals, standing, parts, faces })
    }

    fn area(&self, face: &[usize; 3]) -> f32 {
        let [a, b, c] = face.map(|v| self.vertices[v]);
        (b - a).cross(c - a).length() / 2.0
    }

    fn place(&self, face: &[usize; 3], shares: [f32; 3]) -> Place {
        let mut parts = Parts::default();
        for (v, s) in face.iter().zip(shares) {
            let p = &self.parts[*v];
            parts.head += s * p.head;
            parts.eye += s * p.eye;
            parts.neck += s * p.neck;
            parts.hand += s * p.hand;
            parts.arm += s * p.arm;
            parts.trunk += s * p.trunk;
            parts.leg += s * p.leg;
            parts.foot += s * p.foot;
        }
        let normal = mix(&self.normals, face, shares).normalize_or(Vec3::Z);
        Place { at: mix(&self.vertices, face, shares), normal, parts }
    }

    /// The colour of a place in an even light: the scene's own comes with the composite.
    fn lit(&self, face: &[usize; 3], shares: [f32; 3], place: &Place, cloth: &Cloth) -> [f32; 3] {
        let normal = mix(&self.standing, face, shares).normalize_or(Vec3::Z);
        // Between the legs and under the arms it is darker.
        let inner = if place.parts.leg > 0.5 { (-normal.x * place.at.x.signum()).max(0.0) } else { 0.0 };
        let under = if place.parts.trunk > 0.5 { (normal.x.abs() - 0.75).max(0.0) } else { 0.0 };
        let open = 1.0 - 0.45 * inner - 0.9 * under;
        scene::display(cloth.albedo * open).to_array()
    }
}

fn mix(values: &[Vec3], face: &[usize; 3], shares: [f32; 3]) -> Vec3 {
    face.iter().zip(shares).map(|(v, s)| values[*v] * s).sum()
}

/// Unit normals of the vertices, outwards.
fn normals(vertices: &[Vec3], faces: &[[usize; 3]]) -> Vec<Vec3> {
    let mut normals = vec![Vec3::ZERO; vertices.len()];
    let mut volume = 0.0;
    for face in faces {
        let [a, b, c] = face.map(|v| vertices[v]);
        let n = (b - a).cross(c - a);
        volume += a.dot(n);
        face.iter().for_each(|v| normals[*v] += n);
    }
    let side = if volume < 0.0 { -1.0 } else { 1.0 };
    normals.into_iter().map(|n| (n * side).normalize_or(Vec3::Z)).collect()
}

/// The faces of the skin and of the eyeballs; teeth and tongue stay inside.
fn visible(faces: &[[usize; 3]], parts: &[Parts]) -> Vec<[usize; 3]> {
    let mut group: Vec<usize> = (0..parts.len()).collect();
    fn root(group: &mut [usize], mut v: usize) -> usize {
        while group[v] != v {
            group[v] = group[group[v]];
            v = group[v];
        }
        v
    }
    for [a, b, c] in faces {
        for other in [b, c] {
            let (a, b) = (root(&mut group, *a), root(&mut group, *other));
            group[a.max(b)] = a.min(b);
        }
    }
    let mut count = vec![0_usize; parts.len()];
    for f in faces {
        count[root(&mut group, f[0])] += 1;
    }
    let skin = (0..count.len()).max_by_key(|v| count[*v]).unwrap_or(0);
    let mut keep = |f: &[usize; 3]| parts[f[0]].eye > 0.5 || root(&mut group, f[0]) == skin;
    faces.iter().filter(|f| keep(f)).copied().collect()
}
