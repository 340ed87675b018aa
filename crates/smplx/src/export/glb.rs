//! Binary glTF 2.0: the body's mesh with its skeleton, and a motion as an animation of the joints.

use crate::error::{Error, Result};
use crate::model::BodyModel;
use crate::motion::Motion;
use crate::rotation::quat_from_axis_angle;
use crate::skeleton::{JOINT_NAMES, N_JOINTS};
use crate::weights::VertexWeight;
use serde_json::{Value, json};

/// Which way is up in a motion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Axes {
    /// y up, as glTF has it.
    #[default]
    YUp,
    /// Camera axes, y down and z forward: a node above the body turns it by half a turn about x.
    Camera,
}

/// Joints that a vertex may have in the file: two sets of four.
const MAX_JOINTS: usize = 8;

// Numbers of the glTF specification.
const ARRAY_BUFFER: u32 = 34962;
const ELEMENT_ARRAY_BUFFER: u32 = 34963;
const UNSIGNED_BYTE: u32 = 5121;
const UNSIGNED_INT: u32 = 5125;
const FLOAT: u32 = 5126;
const GLB_MAGIC: &[u8; 4] = b"glTF";
const CHUNK_JSON: &[u8; 4] = b"JSON";
const CHUNK_BIN: &[u8; 4] = b"BIN\0";

/// Body and motion as an animated `.glb`.
///
/// The mesh has the shape (and expression) of the motion's first frame. The animation turns the 55 joints and moves the
/// pelvis; viewers then skin the mesh by its weights (the eight largest of each vertex). What glTF's skinning can't say is
/// left out: pose correctives, and coefficients that change over time.
///
/// # Errors
/// When the motion can't be used with this body.
pub fn glb(model: &BodyModel, motion: &Motion, axes: Axes) -> Result<Vec<u8>> {
    motion.check()?;
    let first = &motion.frames[0];
    let vertices = model.shaped(&first.betas, &first.expression)?;
    let rest = model.rest_joints(&first.betas, &first.expression)?;
    let mut file = File::default();

    let positions = file.vertices(&vertices);
    let normals = file.vectors("VEC3", normals(&vertices, model.faces()).as_flattened(), 3, true);
    let indices: Vec<u8> = model.faces().as_flattened().iter().flat_map(|v| v.to_le_bytes()).collect();
    let n_indices = model.faces().len() * 3;
    let indices = file.accessor(&indices, UNSIGNED_INT, "SCALAR", n_indices, Some(ELEMENT_ARRAY_BUFFER));
    let mut attributes = json!({ "POSITION": positions, "NORMAL": normals });
    for (set, (joints, weights)) in joint_sets(model).into_iter().enumerate() {
        let joints = file.accessor(&joints, UNSIGNED_BYTE, "VEC4", vertices.len(), Some(ARRAY_BUFFER));
        attributes[format!("JOINTS_{set}")] = joints.into();
        attributes[format!("WEIGHTS_{set}")] = file.vectors("VEC4", &weights, 4, true).into();
    }
    let inverse_bind: Vec<f32> = rest
        .iter()
        .flat_map(|[x, y, z]| [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, -x, -y, -z, 1.0])
        .collect();
    let inverse_bind = file.vectors("MAT4", &inverse_bind, 16, false);

    // Node j is joint j; then the mesh; then the node above all.
    let (mesh_node, top_node) = (N_JOINTS, N_JOINTS + 1);
    let mut nodes: Vec<Value> = (0..N_JOINTS)
        .map(|j| {
            let parent = model.parents()[j].map_or([0.0; 3], |p| rest[usize::from(p)]);
            let bone: [f32; 3] = std::array::from_fn(|k| rest[j][k] - parent[k]);
            let children: Vec<usize> =
                (0..N_JOINTS).filter(|c| model.parents()[*c].map(usize::from) == Some(j)).collect();
            let mut node = json!({ "name": JOINT_NAMES[j], "translation": bone });
            if !children.is_empty() {
                node["children"] = json!(children);
            }
            node
        })
        .collect();
    nodes.push(json!({ "name": "body", "mesh": 0, "skin": 0 }));
    let rotation = match axes {
        Axes::YUp => [0.0, 0.0, 0.0, 1.0],
        Axes::Camera => [1.0, 0.0, 0.0, 0.0],
    };
    nodes.push(json!({ "name": "motion", "rotation": rotation, "children": [0, mesh_node] }));

    let animation = animation(&mut file, motion, rest[0]);
    let skin = json!({
        "joints": (0..N_JOINTS).collect::<Vec<_>>(), "skeleton": 0, "inverseBindMatrices": inverse_bind,
    });
    let primitive = json!({ "attributes": attributes, "indices": indices, "material": 0 });
    let material = json!({
        "pbrMetallicRoughness": {
            "baseColorFactor": [0.72, 0.66, 0.62, 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.8,
        },
    });
    file.finish(json!({
        "asset": { "version": "2.0", "generator": concat!("smplx ", env!("CARGO_PKG_VERSION")) },
        "scene": 0,
        "scenes": [{ "nodes": [top_node] }],
        "nodes": nodes,
        "meshes": [{ "name": "body", "primitives": [primitive] }],
        "materials": [material],
        "skins": [skin],
        "animations": [animation],
    }))
}

/// Rotations of all joints and the place of the pelvis over time.
fn animation(file: &mut File, motion: &Motion, pelvis: [f32; 3]) -> Value {
    let times: Vec<f32> = (0..motion.len()).map(|i| i as f32 / motion.fps).collect();
    let time = file.vectors("SCALAR", &times, 1, false);
    file.accessors[time]["min"] = json!([times[0]]);
    file.accessors[time]["max"] = json!([times[times.len() - 1]]);
    let (mut samplers, mut channels) = (Vec::new(), Vec::new());
    let mut channel = |node: usize, path: &str, output: usize| {
        channels.push(json!({ "sampler": samplers.len(), "target": { "node": node, "path": path } }));
        samplers.push(json!({ "input": time, "output": output, "interpolation": "LINEAR" }));
    };
    let poses: Vec<_> = motion.frames.iter().map(|f| f.pose.full()).collect();
    for joint in 0..N_JOINTS {
        let mut values = Vec::with_capacity(poses.len() * 4);
        let mut before = [1.0, 0.0, 0.0, 0.0];
        for pose in &poses {
            let mut q = quat_from_axis_angle(pose[joint]);
            // The nearer of the two quaternions of this rotation, so that viewers turn the short way.
            if q.iter().zip(before).map(|(a, b)| a * b).sum::<f32>() < 0.0 {
                q = q.map(|x| -x);
            }
            before = q;
            let [w, x, y, z] = q;
            values.extend([x, y, z, w]);
        }
        channel(joint, "rotation", file.vectors("VEC4", &values, 4, false));
    }
    let places: Vec<f32> = motion
        .frames
        .iter()
        .flat_map(|f| -> [f32; 3] { std::array::from_fn(|k| pelvis[k] + f.translation[k]) })
        .collect();
    channel(0, "translation", file.vectors("VEC3", &places, 3, false));
    json!({ "name": "motion", "channels": channels, "samplers": samplers })
}

/// The largest weights of each vertex as sets of four joints and four weights; they sum to one over the sets.
fn joint_sets(model: &BodyModel) -> Vec<(Vec<u8>, Vec<f32>)> {
    let n = model.n_vertices();
    let most = (0..n).map(|v| model.weights().get(v).len()).max().unwrap_or(0);
    let n_sets = most.clamp(1, MAX_JOINTS).div_ceil(4);
    let mut sets = vec![(vec![0; n * 4], vec![0.0; n * 4]); n_sets];
    for vertex in 0..n {
        let mut weights: Vec<VertexWeight> = model.weights().get(vertex).to_vec();
        weights.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        weights.truncate(n_sets * 4);
        let sum: f32 = weights.iter().map(|w| w.weight).sum();
        for (i, w) in weights.iter().enumerate() {
            let (joints, shares) = &mut sets[i / 4];
            joints[vertex * 4 + i % 4] = w.joint as u8;
            shares[vertex * 4 + i % 4] = w.weight / sum;
        }
    }
    sets
}

/// Unit normals of the vertices: the sum of the normals of their triangles, weighted by area.
fn normals(vertices: &[[f32; 3]], faces: &[[u32; 3]]) -> Vec<[f32; 3]> {
    let mut normals = vec![[0.0_f32; 3]; vertices.len()];
    for face in faces {
        let [a, b, c] = face.map(|v| vertices[v as usize]);
        let (u, v): ([f32; 3], [f32; 3]) =
            (std::array::from_fn(|k| b[k] - a[k]), std::array::from_fn(|k| c[k] - a[k]));
        let n = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
        for vertex in face {
            let sum = &mut normals[*vertex as usize];
            *sum = std::array::from_fn(|k| sum[k] + n[k]);
        }
    }
    for n in &mut normals {
        let length = n.iter().map(|x| x * x).sum::<f32>().sqrt();
        *n = if length > 1e-20 { n.map(|x| x / length) } else { [0.0, 1.0, 0.0] };
    }
    normals
}

/// The binary chunk as it grows, and what lies where in it.
#[derive(Default)]
struct File {
    binary: Vec<u8>,
    views: Vec<Value>,
    accessors: Vec<Value>,
}

impl File {
    fn accessor(
        &mut self,
        bytes: &[u8],
        component: u32,
        kind: &str,
        count: usize,
        target: Option<u32>,
    ) -> usize {
        self.binary.resize(self.binary.len().next_multiple_of(4), 0);
        let mut view = json!({ "buffer": 0, "byteOffset": self.binary.len(), "byteLength": bytes.len() });
        if let Some(target) = target {
            view["target"] = target.into();
        }
        self.binary.extend(bytes);
        self.accessors.push(json!({
            "bufferView": self.views.len(), "componentType": component, "count": count, "type": kind,
        }));
        self.views.push(view);
        self.accessors.len() - 1
    }

    /// Floats, `width` for each element.
    fn vectors(&mut self, kind: &str, values: &[f32], width: usize, of_vertices: bool) -> usize {
        let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let target = of_vertices.then_some(ARRAY_BUFFER);
        self.accessor(&bytes, FLOAT, kind, values.len() / width, target)
    }

    /// Positions, with the bounds that the format asks for.
    fn vertices(&mut self, vertices: &[[f32; 3]]) -> usize {
        let at = self.vectors("VEC3", vertices.as_flattened(), 3, true);
        let bound = |pick: fn(f32, f32) -> f32| -> [f32; 3] {
            std::array::from_fn(|k| vertices.iter().map(|v| v[k]).fold(vertices[0][k], pick))
        };
        self.accessors[at]["min"] = json!(bound(f32::min));
        self.accessors[at]["max"] = json!(bound(f32::max));
        at
    }

    fn finish(mut self, mut root: Value) -> Result<Vec<u8>> {
        self.binary.resize(self.binary.len().next_multiple_of(4), 0);
        root["buffers"] = json!([{ "byteLength": self.binary.len() }]);
        root["bufferViews"] = self.views.into();
        root["accessors"] = self.accessors.into();
        let mut text = root.to_string().into_bytes();
        text.resize(text.len().next_multiple_of(4), b' ');
        let total = 12 + 8 + text.len() + 8 + self.binary.len();
        let too_large = |_| Error::Argument {
            what: "motion",
            problem: format!("{total} bytes are more than a glb file can have"),
        };
        let length = |n: usize| u32::try_from(n).map(u32::to_le_bytes).map_err(too_large);
        let mut out = Vec::with_capacity(total);
        out.extend(GLB_MAGIC);
        out.extend(2_u32.to_le_bytes());
        out.extend(length(total)?);
        for (kind, chunk) in [(CHUNK_JSON, &text), (CHUNK_BIN, &self.binary)] {
            out.extend(length(chunk.len())?);
            out.extend(kind);
            out.extend(chunk);
        }
        Ok(out)
    }
}
