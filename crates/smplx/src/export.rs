//! Pictures of the numbers for other programs: OBJ and PLY meshes, and an animated binary glTF.

mod glb;

pub use glb::{Axes, glb};

use crate::error::{Error, Result};
use std::fmt::Write;

/// A mesh as Wavefront OBJ text.
///
/// # Errors
/// When a triangle names a vertex that doesn't exist.
pub fn obj(vertices: &[[f32; 3]], faces: &[[u32; 3]]) -> Result<String> {
    check(vertices, faces)?;
    let mut text = String::with_capacity(vertices.len() * 36 + faces.len() * 20);
    for [x, y, z] in vertices {
        writeln!(text, "v {x} {y} {z}").expect("writing to a string");
    }
    for [a, b, c] in faces.iter().map(|f| f.map(|v| v + 1)) {
        writeln!(text, "f {a} {b} {c}").expect("writing to a string");
    }
    Ok(text)
}

/// A mesh as binary little-endian PLY; without faces, a point cloud.
///
/// # Errors
/// When a triangle names a vertex that doesn't exist.
pub fn ply(vertices: &[[f32; 3]], faces: &[[u32; 3]]) -> Result<Vec<u8>> {
    check(vertices, faces)?;
    let mut bytes = format!(
        "ply\nformat binary_little_endian 1.0\nelement vertex {}\nproperty float x\nproperty float y\n\
         property float z\nelement face {}\nproperty list uchar uint vertex_indices\nend_header\n",
        vertices.len(),
        faces.len()
    )
    .into_bytes();
    bytes.extend(vertices.as_flattened().iter().flat_map(|x| x.to_le_bytes()));
    for face in faces {
        bytes.push(3);
        bytes.extend(face.iter().flat_map(|v| v.to_le_bytes()));
    }
    Ok(bytes)
}

fn check(vertices: &[[f32; 3]], faces: &[[u32; 3]]) -> Result<()> {
    match faces.as_flattened().iter().position(|v| *v as usize >= vertices.len()) {
        None => Ok(()),
        Some(index) => Err(Error::Value {
            array: "faces".to_owned(),
            index,
            problem: format!("there is no vertex {}", faces.as_flattened()[index]),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_triangle() {
        let (vertices, faces) = ([[0.0; 3], [1.5, 0.0, 0.0], [0.0, -1.0, 0.25]], [[0, 1, 2]]);
        assert_eq!(obj(&vertices, &faces).unwrap(), "v 0 0 0\nv 1.5 0 0\nv 0 -1 0.25\nf 1 2 3\n");
        let ply = ply(&vertices, &faces).unwrap();
        assert_eq!(crate::ply_points(&ply).unwrap(), vertices);
        assert!(ply.ends_with(&[3, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0]));
        assert!(matches!(obj(&vertices, &[[0, 1, 3]]), Err(Error::Value { index: 2, .. })));
    }
}
