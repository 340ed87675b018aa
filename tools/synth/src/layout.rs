//! The file of a clip: planes of bytes, one after another.

use serde_json::{Value, json};

/// Height and width of all pictures in pixels.
pub const SIZE: [usize; 2] = [192, 320];
/// Frames in a clip.
pub const FRAMES: usize = 16;

/// A part of a clip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// `[H, W, 3]` the character picture as the pipeline gives it.
    Reference,
    /// `[T, H, W, 3]` the avatar over the plate.
    Blend,
    /// `[T, H, W, 3]` the body on exact black.
    Mesh,
    /// `[T, H, W, 3]` the person in the scene.
    Target,
    /// `[T, H, W, 3]` the background as the pipeline gets it.
    Plate,
    /// `[T, H, W, 3]` the body's normals in camera axes (x right, y down, z forward) as (n + 1) / 2 · 255; 0 on the
    /// background.
    Normals,
    /// `[T, H, W]` by how many levels the person's shadow darkens what is visible of the scene.
    Shadow,
}

impl Part {
    /// In the order of the file.
    pub const ALL: [Self; 7] =
        [Self::Reference, Self::Blend, Self::Mesh, Self::Target, Self::Plate, Self::Normals, Self::Shadow];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::Blend => "blend",
            Self::Mesh => "mesh",
            Self::Target => "target",
            Self::Plate => "plate",
            Self::Normals => "normals",
            Self::Shadow => "shadow",
        }
    }

    /// The part of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.name() == name)
    }

    /// Its shape.
    #[must_use]
    pub fn shape(self) -> Vec<usize> {
        let [h, w] = SIZE;
        match self {
            Self::Reference => vec![h, w, 3],
            Self::Shadow => vec![FRAMES, h, w],
            _ => vec![FRAMES, h, w, 3],
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(self) -> usize {
        self.shape().iter().product()
    }
}

/// The layout of files with some parts as JSON.
#[must_use]
pub fn describe(parts: &[Part]) -> Value {
    let mut offset = 0;
    let fields: Vec<Value> = parts
        .iter()
        .map(|p| {
            let field = json!({"name": p.name(), "shape": p.shape(), "offset": offset, "bytes": p.bytes()});
            offset += p.bytes();
            field
        })
        .collect();
    json!({
        "dtype": "u8",
        "height": SIZE[0],
        "width": SIZE[1],
        "frames": FRAMES,
        "bytes": offset,
        "fields": fields,
    })
}
