//! The `.ply` of 3D Gaussian splatting: one vertex a Gaussian with `x y z`, `f_dc_0..2`, `f_rest_*` (channel by
//! channel), `opacity` (a logit), `scale_0..2` (logarithms) and `rot_0..3` (w, x, y, z, any length).

use crate::{Colors, Error, Gaussians, Result, sh};
use std::io::Write;

/// Opacities are kept this far from 0 and 1 when written: their logit is infinite there.
const LOGIT_MARGIN: f32 = 1e-6;
/// Longest header that is looked through.
const MAX_HEADER: usize = 64 << 10;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Ascii,
    Little,
    Big,
}

#[derive(Clone, Copy)]
enum Number {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    F32,
    F64,
}

struct Property {
    name: String,
    kind: Number,
}

struct Element {
    name: String,
    count: usize,
    properties: Vec<Property>,
}

fn wrong(what: impl Into<String>) -> Error {
    Error::Ply { what: what.into() }
}

/// Reads the Gaussians of a `.ply`: ASCII or binary of either byte order.
pub(super) fn read(bytes: &[u8]) -> Result<Gaussians> {
    let (encoding, elements, body) = header(bytes)?;
    let mut body = &bytes[body..];
    for element in &elements {
        if element.name == "vertex" {
            let columns = Columns::find(element)?;
            let table = Table::new(element, encoding, body)?;
            return columns.gaussians(element.count, table);
        }
        let skipped = Table::new(element, encoding, body)?.bytes;
        body = &body[skipped..];
    }
    Err(wrong("there is no element \"vertex\""))
}

fn header(bytes: &[u8]) -> Result<(Encoding, Vec<Element>, usize)> {
    const END: &[u8] = b"end_header";
    let searched = &bytes[..bytes.len().min(MAX_HEADER)];
    let end = searched.windows(END.len()).position(|w| w == END);
    let end = end.ok_or_else(|| wrong("the header has no end"))?;
    let line_end =
        bytes[end..].iter().position(|&b| b == b'\n').ok_or_else(|| wrong("the header has no end"))?;
    let text = std::str::from_utf8(&bytes[..end]).map_err(|_| wrong("the header isn't text"))?;
    let mut encoding = None;
    let mut elements: Vec<Element> = Vec::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words[..] {
            ["format", name, "1.0"] => {
                encoding = Some(match name {
                    "ascii" => Encoding::Ascii,
                    "binary_little_endian" => Encoding::Little,
                    "binary_big_endian" => Encoding::Big,
                    _ => return Err(wrong(format!("format {name:?} is unknown"))),
                });
            }
            ["element", name, count] => {
                let count = count.parse().map_err(|_| wrong(format!("element {name}: count {count:?}")))?;
                elements.push(Element { name: name.to_owned(), count, properties: Vec::new() });
            }
            ["property", kind, name] => {
                let element = elements.last_mut().ok_or_else(|| wrong("a property before any element"))?;
                let kind = number(kind).ok_or_else(|| wrong(format!("property {name}: type {kind:?}")))?;
                element.properties.push(Property { name: name.to_owned(), kind });
            }
            ["property", "list", _, _, name] => {
                let element = elements.last().ok_or_else(|| wrong("a property before any element"))?;
                // Lists after the Gaussians are never looked at.
                if element.name == "vertex" || !elements.iter().any(|e| e.name == "vertex") {
                    return Err(wrong(format!("property {name}: a list where Gaussians have numbers")));
                }
            }
            _ => {}
        }
    }
    let encoding = encoding.ok_or_else(|| wrong("the header names no format"))?;
    Ok((encoding, elements, end + line_end + 1))
}

fn number(kind: &str) -> Option<Number> {
    Some(match kind {
        "char" | "int8" => Number::I8,
        "uchar" | "uint8" => Number::U8,
        "short" | "int16" => Number::I16,
        "ushort" | "uint16" => Number::U16,
        "int" | "int32" => Number::I32,
        "uint" | "uint32" => Number::U32,
        "float" | "float32" => Number::F32,
        "double" | "float64" => Number::F64,
        _ => return None,
    })
}

impl Number {
    fn bytes(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// `bytes` has as many as this type.
    fn read(self, bytes: &[u8], encoding: Encoding) -> f32 {
        let mut word = [0; 8];
        let n = self.bytes();
        word[..n].copy_from_slice(&bytes[..n]);
        if encoding == Encoding::Big {
            word[..n].reverse();
        }
        let [a, b, c, d, ..] = word;
        match self {
            Self::I8 => f32::from(a as i8),
            Self::U8 => f32::from(a),
            Self::I16 => f32::from(i16::from_le_bytes([a, b])),
            Self::U16 => f32::from(u16::from_le_bytes([a, b])),
            Self::I32 => i32::from_le_bytes([a, b, c, d]) as f32,
            Self::U32 => u32::from_le_bytes([a, b, c, d]) as f32,
            Self::F32 => f32::from_le_bytes([a, b, c, d]),
            Self::F64 => f64::from_le_bytes(word) as f32,
        }
    }
}

/// The rows of one element.
struct Table<'a> {
    encoding: Encoding,
    /// Offset and type of each property in a binary row.
    fields: Vec<(usize, Number)>,
    stride: usize,
    body: &'a [u8],
    /// How much of the body they take.
    bytes: usize,
}

impl<'a> Table<'a> {
    fn new(element: &Element, encoding: Encoding, body: &'a [u8]) -> Result<Self> {
        let mut stride = 0;
        let fields = element.properties.iter().map(|p| {
            let at = stride;
            stride += p.kind.bytes();
            (at, p.kind)
        });
        let fields: Vec<_> = fields.collect();
        let short = || {
            let (name, count) = (&element.name, element.count);
            wrong(format!("{count} elements {name:?} don't fit into {} bytes", body.len()))
        };
        let bytes = if encoding == Encoding::Ascii {
            // A digit and a line end for each number at the least.
            let least = element.count.checked_mul(2 * fields.len().max(1));
            least.filter(|n| *n <= body.len().saturating_add(1)).ok_or_else(short)?;
            let ends = body.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1);
            match element.count {
                0 => 0,
                n => ends.chain([body.len()]).nth(n - 1).ok_or_else(short)?,
            }
        } else {
            element.count.checked_mul(stride).filter(|n| *n <= body.len()).ok_or_else(short)?
        };
        Ok(Self { encoding, fields, stride, body: &body[..bytes], bytes })
    }

    /// Hands each row's numbers to `f`.
    fn rows(&self, count: usize, mut f: impl FnMut(&[f32])) -> Result<()> {
        let mut row = Vec::with_capacity(self.fields.len());
        if self.encoding == Encoding::Ascii {
            let text = std::str::from_utf8(self.body).map_err(|_| wrong("the body isn't text"))?;
            let mut lines = text.lines();
            for i in 0..count {
                let line = lines.next().ok_or_else(|| wrong(format!("row {i} is missing")))?;
                row.clear();
                for word in line.split_ascii_whitespace().take(self.fields.len()) {
                    let value = word.parse::<f32>();
                    row.push(value.map_err(|_| wrong(format!("row {i}: {word:?} isn't a number")))?);
                }
                if row.len() != self.fields.len() {
                    return Err(wrong(format!("row {i} has {} of {} numbers", row.len(), self.fields.len())));
                }
                f(&row);
            }
        } else {
            for bytes in self.body.chunks_exact(self.stride.max(1)).take(count) {
                row.clear();
                row.extend(self.fields.iter().map(|&(at, kind)| kind.read(&bytes[at..], self.encoding)));
                f(&row);
            }
        }
        Ok(())
    }
}

/// Which property is what.
struct Columns {
    position: [usize; 3],
    dc: [usize; 3],
    rest: Vec<usize>,
    degree: u8,
    opacity: usize,
    scale: [usize; 3],
    rotation: [usize; 4],
}

impl Columns {
    fn find(element: &Element) -> Result<Self> {
        let find = |name: &str| element.properties.iter().position(|p| p.name == name);
        let need = |name: String| find(&name).ok_or_else(|| wrong(format!("no property {name:?}")));
        let three = |prefix: &str| -> Result<[usize; 3]> {
            Ok([need(format!("{prefix}0"))?, need(format!("{prefix}1"))?, need(format!("{prefix}2"))?])
        };
        let rest: Vec<usize> = (0..).map_while(|i| find(&format!("f_rest_{i}"))).collect();
        let degree = (0..=sh::MAX_DEGREE).find(|&d| 3 * (sh::n_coefficients(d) - 1) == rest.len());
        Ok(Self {
            position: [need("x".into())?, need("y".into())?, need("z".into())?],
            dc: three("f_dc_")?,
            degree: degree
                .ok_or_else(|| wrong(format!("{} properties f_rest_*, not 0, 9, 24 or 45", rest.len())))?,
            rest,
            opacity: need("opacity".into())?,
            scale: three("scale_")?,
            rotation: {
                let [w, x, y] = three("rot_")?;
                [w, x, y, need("rot_3".into())?]
            },
        })
    }

    fn gaussians(&self, count: usize, table: Table<'_>) -> Result<Gaussians> {
        let mut g = Gaussians::default();
        let mut rgb = Vec::new();
        let mut coefficients = Vec::new();
        table.rows(count, |row| {
            g.means.push(self.position.map(|i| row[i]));
            g.scales.push(self.scale.map(|i| row[i].exp()));
            g.rotations.push(normalized(self.rotation.map(|i| row[i])));
            g.opacities.push(1.0 / (1.0 + (-row[self.opacity]).exp()));
            let dc = self.dc.map(|i| row[i]);
            if self.degree == 0 {
                rgb.push(dc.map(|c| at_least_zero(sh::color_from_dc(c))));
            } else {
                coefficients.extend(dc);
                let n = self.rest.len() / 3;
                for k in 0..n {
                    coefficients.extend([0, 1, 2].map(|channel| row[self.rest[channel * n + k]]));
                }
            }
        })?;
        g.colors = match self.degree {
            0 => Colors::Rgb(rgb),
            degree => Colors::Sh { degree, coefficients },
        };
        Ok(g)
    }
}

/// Negative colours are drawn black; a NaN stays one, for the check that follows reading.
fn at_least_zero(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// The trained files leave the length free; renderers normalise. A zero has no direction and means no turn.
fn normalized(q: [f32; 4]) -> [f32; 4] {
    let norm = q.iter().map(|x| x * x).sum::<f32>().sqrt();
    if norm == 0.0 { [1.0, 0.0, 0.0, 0.0] } else { q.map(|x| x / norm) }
}

/// Writes binary little-endian, normals zero, the properties in the order of the original trainer.
pub(super) fn write(g: &Gaussians, out: &mut impl Write) -> std::io::Result<()> {
    let degree = match &g.colors {
        Colors::Rgb(_) => 0,
        Colors::Sh { degree, .. } => *degree,
    };
    let k = sh::n_coefficients(degree);
    let mut names: Vec<String> = ["x", "y", "z", "nx", "ny", "nz"].map(String::from).to_vec();
    names.extend((0..3).map(|i| format!("f_dc_{i}")));
    names.extend((0..3 * (k - 1)).map(|i| format!("f_rest_{i}")));
    names.push("opacity".into());
    names.extend((0..3).map(|i| format!("scale_{i}")));
    names.extend((0..4).map(|i| format!("rot_{i}")));
    write!(out, "ply\nformat binary_little_endian 1.0\nelement vertex {}\n", g.len())?;
    for name in &names {
        writeln!(out, "property float {name}")?;
    }
    out.write_all(b"end_header\n")?;
    for i in 0..g.len() {
        let mut row = g.means[i].to_vec();
        row.extend([0.0; 3]);
        match &g.colors {
            Colors::Rgb(rgb) => row.extend(rgb[i].map(sh::dc_from_color)),
            Colors::Sh { coefficients, .. } => {
                let c = &coefficients[3 * k * i..3 * k * (i + 1)];
                row.extend(&c[..3]);
                for channel in 0..3 {
                    row.extend(c[3..].iter().skip(channel).step_by(3));
                }
            }
        }
        let o = g.opacities[i].clamp(LOGIT_MARGIN, 1.0 - LOGIT_MARGIN);
        row.push((o / (1.0 - o)).ln());
        row.extend(g.scales[i].map(|s| s.max(f32::MIN_POSITIVE).ln()));
        row.extend(g.rotations[i]);
        for x in row {
            out.write_all(&x.to_le_bytes())?;
        }
    }
    Ok(())
}
