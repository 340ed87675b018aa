//! LHM's own files, where the user has them: the dense points that say which vertex each Gaussian follows, and the
//! vertices whose orientation is constrained.

use crate::error::{Error, Result};
use tensorfile::{Npz, TensorSource};

/// The vertices with a positive entry in `masks` of LHM's `human_prior_constrain.npz`.
///
/// # Errors
/// When the bytes aren't such a file.
pub fn constrained_vertices(bytes: &[u8]) -> Result<Vec<u32>> {
    let npz = Npz::parse(bytes.to_vec()).map_err(Error::Npz)?;
    if !npz.contains("masks") {
        return Err(Error::MissingArray { array: "masks", hint: "" });
    }
    let (_, masks) = npz.f32("masks").map_err(|source| Error::Array { array: "masks".to_owned(), source })?;
    Ok((0..).zip(masks).filter(|(_, m)| *m > 0.0).map(|(i, _)| i).collect())
}

/// The vertex positions of a PLY file, ASCII or binary: LHM's `dense_sample_points/1_40000.ply`.
///
/// # Errors
/// [`Error::Ply`] for anything but a PLY file whose vertices have x, y and z.
pub fn ply_points(bytes: &[u8]) -> Result<Vec<[f32; 3]>> {
    let wrong = |problem: &str| Error::Ply { problem: problem.to_owned() };
    let header = Header::parse(bytes)?;
    let data = &bytes[header.end..];
    let at: [usize; 3] = {
        let find = |name| header.properties.iter().position(|p| p.name == name);
        match (find("x"), find("y"), find("z")) {
            (Some(x), Some(y), Some(z)) => [x, y, z],
            _ => return Err(wrong("its vertices have no x, y and z")),
        }
    };
    let points: Vec<[f32; 3]> = match header.encoding {
        Encoding::Ascii => {
            let text = std::str::from_utf8(data).map_err(|_| wrong("its text isn't UTF-8"))?;
            let line = |line: &str| -> Option<[f32; 3]> {
                let numbers: Vec<&str> = line.split_ascii_whitespace().collect();
                let number = |i: usize| numbers.get(i)?.parse().ok();
                Some([number(at[0])?, number(at[1])?, number(at[2])?])
            };
            let lines = text.lines().filter(|l| !l.trim().is_empty());
            lines.take(header.n_vertices).map_while(line).collect()
        }
        Encoding::Binary { big_endian } => {
            let mut starts = vec![0];
            for property in &header.properties {
                starts.push(starts[starts.len() - 1] + property.kind.n_bytes());
            }
            let number = |row: &[u8], i: usize| {
                header.properties[i].kind.number(&row[starts[i]..starts[i + 1]], big_endian)
            };
            let rows = data.chunks_exact(starts[starts.len() - 1].max(1));
            rows.take(header.n_vertices).map(|row| at.map(|i| number(row, i))).collect()
        }
    };
    if points.len() != header.n_vertices {
        let found = points.len();
        let problem = format!("it promises {} vertices, {found} can be read", header.n_vertices);
        return Err(Error::Ply { problem });
    }
    if points.as_flattened().iter().any(|x| !x.is_finite()) {
        return Err(wrong("a coordinate isn't finite"));
    }
    Ok(points)
}

enum Encoding {
    Ascii,
    Binary { big_endian: bool },
}

#[derive(Clone, Copy)]
enum Kind {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    F32,
    F64,
}

impl Kind {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "char" | "int8" => Self::I8,
            "uchar" | "uint8" => Self::U8,
            "short" | "int16" => Self::I16,
            "ushort" | "uint16" => Self::U16,
            "int" | "int32" => Self::I32,
            "uint" | "uint32" => Self::U32,
            "float" | "float32" => Self::F32,
            "double" | "float64" => Self::F64,
            _ => return None,
        })
    }

    fn n_bytes(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    fn number(self, bytes: &[u8], big_endian: bool) -> f32 {
        let mut le = [0_u8; 8];
        let n = bytes.len().min(8);
        le[..n].copy_from_slice(&bytes[..n]);
        if big_endian {
            le[..n].reverse();
        }
        let bits = u64::from_le_bytes(le);
        match self {
            Self::I8 => f32::from(bits as i8),
            Self::U8 => f32::from(bits as u8),
            Self::I16 => f32::from(bits as i16),
            Self::U16 => f32::from(bits as u16),
            Self::I32 => bits as i32 as f32,
            Self::U32 => bits as u32 as f32,
            Self::F32 => f32::from_bits(bits as u32),
            Self::F64 => f64::from_bits(bits) as f32,
        }
    }
}

struct Property {
    name: String,
    kind: Kind,
}

struct Header {
    encoding: Encoding,
    n_vertices: usize,
    properties: Vec<Property>,
    end: usize,
}

impl Header {
    /// Longest header that is read.
    const MAX_BYTES: usize = 1 << 16;

    fn parse(bytes: &[u8]) -> Result<Self> {
        let wrong = |problem: &str| Error::Ply { problem: problem.to_owned() };
        let mark = b"end_header";
        let head = &bytes[..bytes.len().min(Self::MAX_BYTES)];
        let at = head.windows(mark.len()).position(|w| w == mark).ok_or(wrong("its header has no end"))?;
        let newline = head[at..].iter().position(|b| *b == b'\n').ok_or(wrong("its header has no end"))?;
        let text = std::str::from_utf8(&head[..at]).map_err(|_| wrong("its header isn't UTF-8"))?;
        let mut lines = text.lines().map(str::trim);
        if lines.next() != Some("ply") {
            return Err(wrong("it doesn't begin with ply"));
        }
        let mut header =
            Self { encoding: Encoding::Ascii, n_vertices: 0, properties: Vec::new(), end: at + newline + 1 };
        let (mut in_vertices, mut n_elements) = (false, 0);
        for line in lines {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            match words.as_slice() {
                ["format", "ascii", _] => header.encoding = Encoding::Ascii,
                ["format", "binary_little_endian", _] => {
                    header.encoding = Encoding::Binary { big_endian: false };
                }
                ["format", "binary_big_endian", _] => {
                    header.encoding = Encoding::Binary { big_endian: true };
                }
                ["element", "vertex", n] if n_elements == 0 => {
                    header.n_vertices = n.parse().map_err(|_| wrong("its number of vertices isn't one"))?;
                    (in_vertices, n_elements) = (true, 1);
                }
                ["element", "vertex", _] => return Err(wrong("its vertices don't come first")),
                ["element", ..] => (in_vertices, n_elements) = (false, n_elements + 1),
                ["property", "list", ..] if in_vertices => {
                    return Err(wrong("its vertices have a list property"));
                }
                ["property", kind, name] if in_vertices => {
                    let kind = Kind::parse(kind).ok_or(wrong("it has a property of an unknown type"))?;
                    header.properties.push(Property { name: (*name).to_owned(), kind });
                }
                _ => {}
            }
        }
        Ok(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_ascii_and_binary() {
        let ascii = b"ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\nproperty float y\nproperty float z\nelement face 0\nproperty list uchar int vertex_indices\nend_header\n1 2 3\n4 5 6.5\n";
        assert_eq!(ply_points(ascii).unwrap(), [[1.0, 2.0, 3.0], [4.0, 5.0, 6.5]]);
        let mut binary = b"ply\nformat binary_big_endian 1.0\nelement vertex 1\nproperty uchar q\nproperty double x\nproperty float z\nproperty short y\nend_header\n".to_vec();
        binary.push(7);
        binary.extend(1.5_f64.to_be_bytes());
        binary.extend(2.5_f32.to_be_bytes());
        binary.extend((-3_i16).to_be_bytes());
        assert_eq!(ply_points(&binary).unwrap(), [[1.5, -3.0, 2.5]]);
        binary.pop();
        assert!(matches!(ply_points(&binary), Err(Error::Ply { .. })));
        assert!(matches!(ply_points(b"ply\nend_header\n"), Err(Error::Ply { .. })));
        assert!(matches!(ply_points(b""), Err(Error::Ply { .. })));
    }
}
