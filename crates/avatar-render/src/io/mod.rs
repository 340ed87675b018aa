//! Avatar files.

mod compressed_ply;
mod lhm;
mod ply;
mod safetensors;
mod splat;
mod spz;

use crate::{Avatar, Colors, Error, Gaussians, Result, sh};
use sniff::Kind;
use std::io::Write;
use std::path::Path;

/// An avatar and the number of Gaussians that were left out.
pub(crate) fn open(path: &Path) -> Result<(Avatar, usize)> {
    let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let named_splat = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("splat"));
    let read =
        if named_splat && splat::fits(&bytes) { Ok(plain(splat::read(&bytes))) } else { read(bytes, path) };
    let finished = read.and_then(finished);
    finished.map_err(|cause| Error::File { path: path.to_owned(), source: Box::new(cause) })
}

pub(crate) fn parse(bytes: Vec<u8>) -> Result<(Avatar, usize)> {
    read(bytes, Path::new("")).and_then(finished)
}

fn plain(gaussians: Gaussians) -> Avatar {
    Avatar { gaussians, lhm: None }
}

fn read(bytes: Vec<u8>, path: &Path) -> Result<Avatar> {
    let avatar = match bytes.get(..16).unwrap_or(&bytes) {
        [b'p', b'l', b'y', b'\n' | b'\r', ..] => plain(ply::read(&bytes)?),
        // PyTorch's zip, or a pickle of protocol 2 and later.
        [0x80, 2..=5, ..] => lhm::read(bytes)?,
        [b'P', b'K', ..]
            if Kind::of(&bytes[..bytes.len().min(4096)]) != Kind::Npz && !is_sog(&bytes, path) =>
        {
            lhm::read(bytes)?
        }
        // A length of eight bytes, then a JSON object.
        [_, _, _, _, _, _, _, _, b'{', ..] => safetensors::read(bytes)?,
        [0x1f, 0x8b, ..] => plain(spz::read(&bytes)?),
        _ => return Err(unknown(&bytes, path)),
    };
    Ok(avatar)
}

/// PlayCanvas's archive of pictures.
fn is_sog(bytes: &[u8], path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("sog"))
        || bytes[..bytes.len().min(4096)].windows(9).any(|w| w == b"meta.json")
}

/// What a file is instead of an avatar.
fn unknown(bytes: &[u8], path: &Path) -> Error {
    let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    let kind = match extension.as_deref() {
        Some("ksplat") => Kind::Ksplat,
        Some("sog") => Kind::Sog,
        _ => Kind::of(&bytes[..bytes.len().min(4096)]),
    };
    let advice = kind
        .advice()
        .unwrap_or("avatars are LHM's .pth, Gaussians as .ply, .splat or .spz, and .safetensors");
    Error::NotAnAvatar { found: kind.to_string(), advice }
}

/// Checks the columns and leaves out Gaussians with a number that isn't finite.
fn finished(mut avatar: Avatar) -> Result<(Avatar, usize)> {
    avatar.gaussians.check()?;
    let finite = |values: &[f32]| values.iter().all(|x| x.is_finite());
    let g = &avatar.gaussians;
    let width = match &g.colors {
        Colors::Rgb(_) => 3,
        Colors::Sh { degree, .. } => 3 * sh::n_coefficients(*degree),
    };
    let colors = match &g.colors {
        Colors::Rgb(rgb) => rgb.as_flattened(),
        Colors::Sh { coefficients, .. } => coefficients,
    };
    let kept: Vec<bool> = (0..g.len())
        .map(|i| {
            finite(&g.means[i])
                && finite(&g.scales[i])
                && finite(&g.rotations[i])
                && g.opacities[i].is_finite()
                && finite(&colors[width * i..width * (i + 1)])
                && avatar.lhm.as_ref().is_none_or(|body| finite(&body.query[i]) && finite(&body.offset[i]))
        })
        .collect();
    let left_out = kept.iter().filter(|kept| !**kept).count();
    if left_out == 0 {
        return Ok((avatar, 0));
    }
    if left_out == kept.len() {
        // Nothing is left: the first one's fault is named.
        avatar.gaussians.check_finite()?;
        return Err(Error::NotFinite { field: "query point", index: 0 });
    }
    let g = &mut avatar.gaussians;
    keep(&mut g.means, &kept, 1);
    keep(&mut g.scales, &kept, 1);
    keep(&mut g.rotations, &kept, 1);
    keep(&mut g.opacities, &kept, 1);
    match &mut g.colors {
        Colors::Rgb(rgb) => keep(rgb, &kept, 1),
        Colors::Sh { coefficients, .. } => keep(coefficients, &kept, width),
    }
    if let Some(body) = &mut avatar.lhm {
        keep(&mut body.query, &kept, 1);
        keep(&mut body.offset, &kept, 1);
    }
    Ok((avatar, left_out))
}

/// Keeps the rows of `width` values that are marked.
fn keep<T>(values: &mut Vec<T>, kept: &[bool], width: usize) {
    let mut at = 0;
    values.retain(|_| {
        at += 1;
        kept[(at - 1) / width]
    });
}

pub(crate) fn save(avatar: &Avatar, path: &Path) -> Result<()> {
    avatar.gaussians.check()?;
    avatar.gaussians.check_finite()?;
    let ending = path.extension().map(|e| e.to_ascii_lowercase());
    match ending.as_ref().and_then(|e| e.to_str()) {
        Some("ply") => Ok(tensorfile::write_atomically(path, |file| {
            let mut file = std::io::BufWriter::new(file);
            ply::write(&avatar.gaussians, &mut file)?;
            file.flush()
        })?),
        Some("safetensors") => safetensors::write(avatar, path),
        Some("pth") => lhm::write(avatar, path),
        _ => Err(Error::UnknownFormat { path: path.to_owned() }),
    }
}

/// Flat numbers as rows, where the shape is what the format says.
pub(crate) fn rows<const N: usize>(
    tensor: &str,
    expected: &'static str,
    (shape, data): (Vec<usize>, Vec<f32>),
) -> Result<Vec<[f32; N]>> {
    match shape[..] {
        [_, n] if n == N => Ok(data.as_chunks::<N>().0.to_vec()),
        _ => Err(Error::Shape { tensor: tensor.to_owned(), expected, got: shape }),
    }
}

/// The 55 upper 3×4 parts of `[55, 4, 4]`.
pub(crate) fn joint_transforms(
    tensor: &str,
    (shape, data): (Vec<usize>, Vec<f32>),
) -> Result<Box<[smplx::Affine; smplx::N_JOINTS]>> {
    if shape != [smplx::N_JOINTS, 4, 4] {
        return Err(Error::Shape { tensor: tensor.to_owned(), expected: "[55, 4, 4]", got: shape });
    }
    if let Some(at) = data.iter().position(|x| !x.is_finite()) {
        return Err(Error::NotFinite { field: "joint transform", index: at / 16 });
    }
    let at = |joint: usize, row: usize, column: usize| data[16 * joint + 4 * row + column];
    Ok(Box::new(std::array::from_fn(|j| std::array::from_fn(|r| std::array::from_fn(|c| at(j, r, c))))))
}

/// Trained files leave a quaternion's length free; renderers normalise. A zero has no direction and means no turn.
fn normalized(q: [f32; 4]) -> [f32; 4] {
    let norm = q.iter().map(|x| x * x).sum::<f32>().sqrt();
    if norm == 0.0 { [1.0, 0.0, 0.0, 0.0] } else { q.map(|x| x / norm) }
}
