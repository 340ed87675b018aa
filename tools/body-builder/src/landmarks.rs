//! Named vertices: the extra joints that SMPL-X users know, and face landmarks.

use crate::Point;
use crate::base_mesh::{BaseMesh, Part};
use crate::error::Error;
use crate::makehuman::{MakeHuman, RestBody};

/// Names of the extra joints, in the order in which the Python package `smplx` appends them to the 55.
pub const EXTRA: [&str; 21] = [
    "nose",
    "reye",
    "leye",
    "rear",
    "lear",
    "LBigToe",
    "LSmallToe",
    "LHeel",
    "RBigToe",
    "RSmallToe",
    "RHeel",
    "lthumb",
    "lindex",
    "lmiddle",
    "lring",
    "lpinky",
    "rthumb",
    "rindex",
    "rmiddle",
    "rring",
    "rpinky",
];

/// Finds the vertices of [`EXTRA`] by their place on the rest body: each is the vertex that lies farthest in some
/// direction among those that a bone moves most.
///
/// # Errors
/// The rig lacks a bone, or a bone moves no vertex.
pub fn extra_vertices(human: &MakeHuman, rest: &RestBody) -> Result<Vec<usize>, Error> {
    EXTRA.iter().map(|name| extra_vertex(human, rest, name)).collect()
}

fn extra_vertex(human: &MakeHuman, rest: &RestBody, name: &str) -> Result<usize, Error> {
    let forward = Point::z();
    let finger = ["thumb", "index", "middle", "ring", "pinky"].iter().position(|f| name[1..].starts_with(f));
    let side = name[..1].to_ascii_uppercase();
    let (bone, part, direction) = match (name, finger) {
        (_, Some(k)) => (format!("finger{}-3.{side}", k + 1), Part::Skin, None),
        ("nose", _) => return Ok(nose(human, rest)),
        ("reye" | "leye", _) => (format!("eye.{side}"), Part::Eye, Some(forward)),
        ("rear", _) => ("head".to_owned(), Part::Skin, Some(-Point::x())),
        ("lear", _) => ("head".to_owned(), Part::Skin, Some(Point::x())),
        _ if name.ends_with("BigToe") => (format!("toe1-2.{side}"), Part::Skin, None),
        _ if name.ends_with("SmallToe") => (format!("toe5-3.{side}"), Part::Skin, None),
        _ => (format!("foot.{side}"), Part::Skin, Some(-forward)),
    };
    let missing = || Error::malformed("rig.default.json", &bone, "a bone that moves vertices", "none");
    let number = human.rig.bone(&bone).ok_or_else(missing)?;
    let [head, tail] = rest.bones[number];
    let direction = direction.unwrap_or(tail - head);
    farthest(human, rest, direction, |v| human.mesh.part[v] == part && strongest_bone(human, v) == number)
        .ok_or_else(missing)
}

/// The tip of the nose: the skin that lies farthest forward near the plane of symmetry, below the eyes.
fn nose(human: &MakeHuman, rest: &RestBody) -> usize {
    let [eye, jaw] = [rest.joints[23].y, rest.joints[22].y];
    let near = |v: usize| {
        let p = rest.vertices[v];
        human.mesh.part[v] == Part::Skin && p.x.abs() < 0.01 && p.y < eye && p.y > jaw - 0.02
    };
    farthest(human, rest, Point::z(), near).unwrap_or(0)
}

fn farthest(
    human: &MakeHuman,
    rest: &RestBody,
    direction: Point,
    wanted: impl Fn(usize) -> bool,
) -> Option<usize> {
    (0..human.mesh.kept.len())
        .filter(|&v| wanted(v))
        .max_by(|&a, &b| rest.vertices[a].dot(&direction).total_cmp(&rest.vertices[b].dot(&direction)))
}

fn strongest_bone(human: &MakeHuman, vertex: usize) -> usize {
    let weights = &human.rig.weights[human.mesh.kept[vertex]];
    weights.iter().max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |&(bone, _)| bone)
}

/// Base mesh vertices of the 51 landmarks (iBUG 68 without the 17 of the contour): right brow 5, left brow 5, bridge of
/// the nose 4, nostrils 5, right eye 6, left eye 6, outer lips 12, inner lips 8; "right" is the person's right.
pub const LANDMARKS: [usize; 51] = [
    225, 224, 222, 223, 233, 7006, 6997, 6996, 6998, 6999, 133, 131, 201, 5134, 358, 314, 343, 7077, 7119,
    1090, 6762, 6763, 1130, 47, 4859, 7822, 13359, 13358, 7782, 11477, 6831, 3704, 448, 461, 509, 7220, 7208,
    10372, 7165, 7325, 492, 586, 405, 442, 518, 474, 7265, 7202, 7259, 494, 511,
];

/// A triangle at each landmark: the first that has the vertex as a corner.
///
/// # Errors
/// A landmark's vertex belongs to no triangle.
pub fn face_triangles(mesh: &BaseMesh) -> Result<Vec<[usize; 2]>, Error> {
    LANDMARKS
        .iter()
        .map(|&vertex| {
            mesh.triangles
                .iter()
                .enumerate()
                .find_map(|(t, triangle)| Some([t, triangle.iter().position(|&c| mesh.kept[c] == vertex)?]))
                .ok_or_else(|| Error::malformed("base.obj", format!("vertex {vertex}"), "a triangle", "none"))
        })
        .collect()
}
