//! PLY: tables of numbers under a text header, as point clouds, meshes and splats come.
//!
//! [`Ply::parse`] reads the header, [`Ply::table`] finds an element's rows, [`PlyTable::rows`] hands them out as `f32`.
//! Lists (a mesh's faces) have no fixed size: they may stand behind the table that is asked for, not before or in it.

use crate::Dtype;

/// What can be wrong with a PLY file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PlyError {
    /// The header has no end within [`Ply::MAX_HEADER`] bytes.
    #[error("the header has no end")]
    NoEnd,
    /// The header, or the body of an ASCII file, isn't UTF-8.
    #[error("the {part} isn't text")]
    NotText {
        /// `header` or `body`.
        part: &'static str,
    },
    /// No line `format …` of version 1.0.
    #[error("the header names no format")]
    NoFormat,
    /// An encoding that doesn't exist.
    #[error("format {name:?} is unknown")]
    Format {
        /// As written.
        name: String,
    },
    /// A number of rows that isn't one.
    #[error("element {element}: count {count:?}")]
    Count {
        /// The element.
        element: String,
        /// As written.
        count: String,
    },
    /// A property that belongs to no element.
    #[error("a property before any element")]
    Orphan,
    /// A property of a type that PLY doesn't have.
    #[error("property {property}: type {kind:?}")]
    Type {
        /// The property.
        property: String,
        /// As written.
        kind: String,
    },
    /// A list in the element that is asked for, or before it.
    #[error("element {element} has the list property {property}: only plain numbers can be read up to here")]
    List {
        /// The element.
        element: String,
        /// The property.
        property: String,
    },
    /// The file has no such element.
    #[error("there is no element {element:?}")]
    NoElement {
        /// What was asked for.
        element: String,
    },
    /// The element has no such property.
    #[error("element {element} has no property {property:?}")]
    NoProperty {
        /// The element.
        element: String,
        /// What was asked for.
        property: String,
    },
    /// More rows are promised than the file can hold.
    #[error("{count} rows of {element} don't fit into {found} bytes")]
    Short {
        /// The element.
        element: String,
        /// Promised rows.
        count: usize,
        /// Bytes that are left for them.
        found: usize,
    },
    /// A row of an ASCII file that lacks numbers.
    #[error("row {row} of {element} has {found} of {expected} numbers")]
    Row {
        /// The element.
        element: String,
        /// Which row.
        row: usize,
        /// Number of properties.
        expected: usize,
        /// Numbers in the line.
        found: usize,
    },
    /// A word of an ASCII file that is no number.
    #[error("row {row} of {element}: {word:?} isn't a number")]
    Number {
        /// The element.
        element: String,
        /// Which row.
        row: usize,
        /// As written.
        word: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Ascii,
    Little,
    Big,
}

#[derive(Debug)]
struct Element {
    name: String,
    count: usize,
    /// Name and type of each property; no type for a list.
    properties: Vec<(String, Option<Dtype>)>,
}

/// The header of a PLY file, and the bytes behind it.
#[derive(Debug)]
pub struct Ply<'a> {
    encoding: Encoding,
    elements: Vec<Element>,
    body: &'a [u8],
}

impl<'a> Ply<'a> {
    /// Longest header that is read.
    pub const MAX_HEADER: usize = 64 << 10;

    /// Reads the header at the start of `bytes`.
    ///
    /// # Errors
    /// [`PlyError`] for the first line that is wrong.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, PlyError> {
        const END: &[u8] = b"end_header";
        let searched = &bytes[..bytes.len().min(Self::MAX_HEADER)];
        let end = searched.windows(END.len()).position(|w| w == END).ok_or(PlyError::NoEnd)?;
        let newline = bytes[end..].iter().position(|b| *b == b'\n').ok_or(PlyError::NoEnd)?;
        let text = std::str::from_utf8(&bytes[..end]).map_err(|_| PlyError::NotText { part: "header" })?;
        let mut encoding = None;
        let mut elements: Vec<Element> = Vec::new();
        for line in text.lines() {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            match words[..] {
                ["format", name, "1.0"] => encoding = Some(encoding_named(name)?),
                ["element", name, count] => {
                    let wrong = |_| PlyError::Count { element: name.to_owned(), count: count.to_owned() };
                    let count = count.parse().map_err(wrong)?;
                    elements.push(Element { name: name.to_owned(), count, properties: Vec::new() });
                }
                ["property", "list", _, _, name] => {
                    let element = elements.last_mut().ok_or(PlyError::Orphan)?;
                    element.properties.push((name.to_owned(), None));
                }
                ["property", kind, name] => {
                    let element = elements.last_mut().ok_or(PlyError::Orphan)?;
                    let wrong = || PlyError::Type { property: name.to_owned(), kind: kind.to_owned() };
                    let dtype = dtype_named(kind).ok_or_else(wrong)?;
                    element.properties.push((name.to_owned(), Some(dtype)));
                }
                _ => {}
            }
        }
        let encoding = encoding.ok_or(PlyError::NoFormat)?;
        Ok(Self { encoding, elements, body: &bytes[end + newline + 1..] })
    }

    /// Is there an element of that name?
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.elements.iter().any(|element| element.name == name)
    }

    /// The rows of the first element called `name`.
    ///
    /// # Errors
    /// When there is none, a list stands in it or before it, or the file is too short for it.
    pub fn table(&self, name: &str) -> Result<PlyTable<'a>, PlyError> {
        let mut body = self.body;
        for element in &self.elements {
            let table = PlyTable::new(element, self.encoding, body)?;
            if element.name == name {
                return Ok(table);
            }
            body = &body[table.body.len()..];
        }
        Err(PlyError::NoElement { element: name.to_owned() })
    }
}

fn encoding_named(name: &str) -> Result<Encoding, PlyError> {
    Ok(match name {
        "ascii" => Encoding::Ascii,
        "binary_little_endian" => Encoding::Little,
        "binary_big_endian" => Encoding::Big,
        _ => return Err(PlyError::Format { name: name.to_owned() }),
    })
}

fn dtype_named(kind: &str) -> Option<Dtype> {
    Some(match kind {
        "char" | "int8" => Dtype::I8,
        "uchar" | "uint8" => Dtype::U8,
        "short" | "int16" => Dtype::I16,
        "ushort" | "uint16" => Dtype::U16,
        "int" | "int32" => Dtype::I32,
        "uint" | "uint32" => Dtype::U32,
        "float" | "float32" => Dtype::F32,
        "double" | "float64" => Dtype::F64,
        _ => return None,
    })
}

/// The rows of one element.
#[derive(Debug)]
pub struct PlyTable<'a> {
    element: String,
    count: usize,
    encoding: Encoding,
    names: Vec<String>,
    /// Offset and type of each property in a binary row.
    fields: Vec<(usize, Dtype)>,
    stride: usize,
    body: &'a [u8],
}

impl<'a> PlyTable<'a> {
    fn new(element: &Element, encoding: Encoding, body: &'a [u8]) -> Result<Self, PlyError> {
        let mut stride = 0;
        let mut fields = Vec::with_capacity(element.properties.len());
        for (property, dtype) in &element.properties {
            let list = || PlyError::List { element: element.name.clone(), property: property.clone() };
            let dtype = dtype.ok_or_else(list)?;
            fields.push((stride, dtype));
            stride += dtype.block_bytes();
        }
        let count = element.count;
        let short = || PlyError::Short { element: element.name.clone(), count, found: body.len() };
        let bytes = if encoding == Encoding::Ascii {
            // A digit and a line end for each number at the least.
            let least = count.checked_mul(2 * fields.len().max(1));
            least.filter(|n| *n <= body.len().saturating_add(1)).ok_or_else(short)?;
            let ends = body.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1);
            match count {
                0 => 0,
                n => ends.chain([body.len()]).nth(n - 1).ok_or_else(short)?,
            }
        } else {
            count.checked_mul(stride).filter(|n| *n <= body.len()).ok_or_else(short)?
        };
        let names = element.properties.iter().map(|(name, _)| name.clone()).collect();
        let element = element.name.clone();
        Ok(Self { element, count, encoding, names, fields, stride, body: &body[..bytes] })
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Is there no row?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Place of a property in a row.
    #[must_use]
    pub fn find(&self, property: &str) -> Option<usize> {
        self.names.iter().position(|name| name == property)
    }

    /// Place of a property that must be there.
    ///
    /// # Errors
    /// [`PlyError::NoProperty`].
    pub fn column(&self, property: &str) -> Result<usize, PlyError> {
        let missing =
            || PlyError::NoProperty { element: self.element.clone(), property: property.to_owned() };
        self.find(property).ok_or_else(missing)
    }

    /// Hands each row's numbers to `f`, in the order of the header, rounded to `f32`.
    ///
    /// # Errors
    /// When a line of an ASCII file isn't a row of numbers.
    pub fn rows(&self, mut f: impl FnMut(&[f32])) -> Result<(), PlyError> {
        let mut row = Vec::with_capacity(self.fields.len());
        if self.encoding != Encoding::Ascii {
            // Elements without properties have rows without bytes.
            for bytes in self.body.chunks_exact(self.stride.max(1)) {
                row.clear();
                row.extend(self.fields.iter().map(|&(at, dtype)| self.number(dtype, &bytes[at..])));
                f(&row);
            }
            return Ok(());
        }
        let text = std::str::from_utf8(self.body).map_err(|_| PlyError::NotText { part: "body" })?;
        let mut lines = text.lines();
        for i in 0..self.count {
            row.clear();
            for word in lines.next().unwrap_or("").split_ascii_whitespace().take(self.fields.len()) {
                let element = || self.element.clone();
                let wrong = |_| PlyError::Number { element: element(), row: i, word: word.to_owned() };
                row.push(word.parse().map_err(wrong)?);
            }
            let (expected, found) = (self.fields.len(), row.len());
            if found != expected {
                return Err(PlyError::Row { element: self.element.clone(), row: i, expected, found });
            }
            f(&row);
        }
        Ok(())
    }

    /// Whole numbers of some properties, row by row, without the rounding of [`PlyTable::rows`]: for packed bits.
    ///
    /// # Errors
    /// When a property is missing or isn't an unsigned number of 32 bits.
    pub fn integers<const N: usize>(&self, properties: [&str; N]) -> Result<Vec<[u32; N]>, PlyError> {
        let mut columns = [0; N];
        for (column, property) in columns.iter_mut().zip(properties) {
            *column = self.column(property)?;
            let (_, dtype) = self.fields[*column];
            if dtype != Dtype::U32 {
                let (property, kind) = (property.to_owned(), dtype.to_string());
                return Err(PlyError::Type { property, kind });
            }
        }
        let mut rows = Vec::with_capacity(self.count);
        if self.encoding != Encoding::Ascii {
            for bytes in self.body.chunks_exact(self.stride.max(1)) {
                rows.push(columns.map(|c| {
                    let at = self.fields[c].0;
                    let word = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
                    if self.encoding == Encoding::Big {
                        u32::from_be_bytes(word)
                    } else {
                        u32::from_le_bytes(word)
                    }
                }));
            }
            return Ok(rows);
        }
        let text = std::str::from_utf8(self.body).map_err(|_| PlyError::NotText { part: "body" })?;
        for (row, line) in text.lines().take(self.count).enumerate() {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let mut numbers = [0; N];
            for (number, &column) in numbers.iter_mut().zip(&columns) {
                let element = self.element.clone();
                let (expected, found) = (self.fields.len(), words.len());
                let word = words.get(column).ok_or(PlyError::Row { element, row, expected, found })?;
                let wrong =
                    |_| PlyError::Number { element: self.element.clone(), row, word: (*word).to_owned() };
                *number = word.parse().map_err(wrong)?;
            }
            rows.push(numbers);
        }
        Ok(rows)
    }

    /// The number at the start of `bytes`.
    fn number(&self, dtype: Dtype, bytes: &[u8]) -> f32 {
        let mut word = [0; 8];
        let n = dtype.block_bytes();
        word[..n].copy_from_slice(&bytes[..n]);
        if self.encoding == Encoding::Big {
            word[..n].reverse();
        }
        let bits = u64::from_le_bytes(word);
        match dtype {
            Dtype::I8 => f32::from(bits as i8),
            Dtype::U8 => f32::from(bits as u8),
            Dtype::I16 => f32::from(bits as i16),
            Dtype::U16 => f32::from(bits as u16),
            Dtype::I32 => bits as i32 as f32,
            Dtype::U32 => bits as u32 as f32,
            Dtype::F32 => f32::from_bits(bits as u32),
            _ => f64::from_bits(bits) as f32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(bytes: &[u8]) -> Result<Vec<[f32; 3]>, PlyError> {
        let table = Ply::parse(bytes)?.table("vertex")?;
        let at = [table.column("x")?, table.column("y")?, table.column("z")?];
        let mut points = Vec::new();
        table.rows(|row| points.push(at.map(|i| row[i])))?;
        Ok(points)
    }

    #[test]
    fn text_and_both_byte_orders() {
        let faces = "element face 0\nproperty list uchar int vertex_indices\nend_header\n";
        let xyz = "property float x\nproperty float y\nproperty float z\n";
        let ascii = format!("ply\nformat ascii 1.0\nelement vertex 2\n{xyz}{faces}1 2 3\n4 5 6.5\n");
        assert_eq!(points(ascii.as_bytes()).unwrap(), [[1.0, 2.0, 3.0], [4.0, 5.0, 6.5]]);

        let properties = "property uchar q\nproperty double x\nproperty float z\nproperty short y\n";
        let header = |order: &str| {
            format!("ply\nformat binary_{order}_endian 1.0\nelement vertex 1\n{properties}{faces}")
        };
        let mut big = header("big").into_bytes();
        big.push(7);
        big.extend(1.5_f64.to_be_bytes());
        big.extend(2.5_f32.to_be_bytes());
        big.extend((-3_i16).to_be_bytes());
        assert_eq!(points(&big).unwrap(), [[1.5, -3.0, 2.5]]);
        let mut little = header("little").into_bytes();
        little.push(7);
        little.extend(1.5_f64.to_le_bytes());
        little.extend(2.5_f32.to_le_bytes());
        little.extend((-3_i16).to_le_bytes());
        assert_eq!(points(&little).unwrap(), [[1.5, -3.0, 2.5]]);
        little.pop();
        assert!(matches!(points(&little), Err(PlyError::Short { count: 1, found: 14, .. })));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(matches!(points(b""), Err(PlyError::NoEnd)));
        assert!(matches!(points(b"ply\nend_header\n"), Err(PlyError::NoFormat)));
        assert!(matches!(points(b"ply\nformat ascii 1.0\nend_header\n"), Err(PlyError::NoElement { .. })));
        let xyz = "property float x\nproperty float y\nproperty float z\n";
        let file = |head: &str, body: &str| {
            points(format!("ply\nformat ascii 1.0\n{head}end_header\n{body}").as_bytes()).unwrap_err()
        };
        let lists = "element face 1\nproperty list uchar int i\nelement vertex 0\n";
        assert!(matches!(file(lists, "3 0 0 0\n"), PlyError::List { .. }));
        assert!(matches!(file(xyz, ""), PlyError::Orphan));
        let one = format!("element vertex 1\n{xyz}");
        assert!(matches!(file(&one, "1 2     \n"), PlyError::Row { found: 2, expected: 3, row: 0, .. }));
        assert!(matches!(file(&one, "1 2 pi\n"), PlyError::Number { .. }));
        assert!(matches!(file("element vertex 9\n", "\n"), PlyError::Short { .. }));
    }
}
