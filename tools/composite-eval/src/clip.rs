//! Clips as `synth clips` writes them: flat bytes, laid out as `layout.json` beside them says.

use anyhow::{Context, Result, ensure};
use image::{GrayImage, RgbImage};
use serde::Deserialize;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
struct Layout {
    fields: Vec<Field>,
}

#[derive(Deserialize)]
struct Field {
    name: String,
    offset: usize,
    shape: Vec<usize>,
}

impl Clip {
    /// A clip that was just made.
    ///
    /// # Errors
    /// When it lacks a part.
    pub fn of(name: String, made: &synth::Clip) -> Result<Self> {
        use synth::Part;
        let [h, w] = synth::layout::SIZE;
        let color = |part: Part| -> Result<Vec<RgbImage>> {
            let frames = made.part(part).chunks_exact(3 * w * h);
            frames
                .map(|f| RgbImage::from_raw(w as u32, h as u32, f.to_vec()).context("a frame's size"))
                .collect()
        };
        let shadow = made.part(Part::Shadow).chunks_exact(w * h);
        Ok(Self {
            name,
            reference: color(Part::Reference)?.pop().context("no reference picture")?,
            blend: color(Part::Blend)?,
            mesh: color(Part::Mesh)?,
            target: color(Part::Target)?,
            plate: color(Part::Plate)?,
            normals: color(Part::Normals)?,
            shadow: shadow
                .map(|f| GrayImage::from_raw(w as u32, h as u32, f.to_vec()).context("a frame's size"))
                .collect::<Result<_>>()?,
        })
    }
}

/// One clip.
#[derive(Clone, Debug)]
pub struct Clip {
    /// The file's name.
    pub name: String,
    /// The character on white.
    pub reference: RgbImage,
    /// The avatar over the plate.
    pub blend: Vec<RgbImage>,
    /// The body on black.
    pub mesh: Vec<RgbImage>,
    /// The person in the scene.
    pub target: Vec<RgbImage>,
    /// The background as the pipeline gets it.
    pub plate: Vec<RgbImage>,
    /// The body's normals in camera axes, (n + 1)/2 · 255; black where there is no body.
    pub normals: Vec<RgbImage>,
    /// How much darker the target is through the person's shadow.
    pub shadow: Vec<GrayImage>,
}

/// The clips of a folder in order.
///
/// # Errors
/// When the folder can't be read or holds none.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut paths: Vec<PathBuf> = entries.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    paths.retain(|p| p.extension().is_some_and(|e| e == "bin"));
    paths.sort();
    ensure!(!paths.is_empty(), "{} holds no clips", folder.display());
    Ok(paths)
}

/// Reads a clip.
///
/// # Errors
/// When a file can't be read or isn't a clip.
pub fn read(path: &Path) -> Result<Clip> {
    let layout_path = path.with_file_name("layout.json");
    let layout: Layout = serde_json::from_slice(
        &std::fs::read(&layout_path).with_context(|| layout_path.display().to_string())?,
    )?;
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    // Frames of a field with `channels` bytes a pixel.
    let frames = |name: &str, channels: usize| -> Result<(u32, u32, Vec<Vec<u8>>)> {
        let field = layout.fields.iter().find(|f| f.name == name);
        let field = field.with_context(|| format!("{} lacks the field {name}", layout_path.display()))?;
        let mut shape = field.shape.clone();
        if channels == 3 {
            ensure!(shape.pop() == Some(3), "{name} isn't RGB");
        }
        let (w, h) = (shape.pop().unwrap_or(0), shape.pop().unwrap_or(0));
        let (n, size) = (shape.pop().unwrap_or(1), w * h * channels);
        let data = bytes.get(field.offset..field.offset + n * size);
        let data = data.with_context(|| format!("{} is shorter than its layout says", path.display()))?;
        Ok((w as u32, h as u32, data.chunks_exact(size.max(1)).map(<[u8]>::to_vec).collect()))
    };
    let color = |name: &str| -> Result<Vec<RgbImage>> {
        let (w, h, frames) = frames(name, 3)?;
        frames.into_iter().map(|f| RgbImage::from_raw(w, h, f).context("a frame's size")).collect()
    };
    let (w, h, shadow) = frames("shadow", 1)?;
    let mut reference = color("reference")?;
    Ok(Clip {
        name: path.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
        reference: reference.pop().context("no reference picture")?,
        blend: color("blend")?,
        mesh: color("mesh")?,
        target: color("target")?,
        plate: color("plate")?,
        normals: color("normals")?,
        shadow: shadow
            .into_iter()
            .map(|f| GrayImage::from_raw(w, h, f).context("a frame's size"))
            .collect::<Result<_>>()?,
    })
}
