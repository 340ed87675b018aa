//! Avatar files.

mod lhm;
mod ply;
mod safetensors;

use crate::{Avatar, Error, Result};
use std::io::Write;
use std::path::Path;

pub(crate) fn open(path: &Path) -> Result<Avatar> {
    let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    parse(bytes, path)
}

pub(crate) fn parse(bytes: Vec<u8>, path: &Path) -> Result<Avatar> {
    let avatar = match bytes.get(..16).unwrap_or(&bytes) {
        [b'p', b'l', b'y', b'\n' | b'\r', ..] => Avatar { gaussians: ply::read(&bytes)?, lhm: None },
        // PyTorch's zip, or a pickle of protocol 2 and later.
        [b'P', b'K', ..] | [0x80, 2..=5, ..] => lhm::read(bytes)?,
        // A length of eight bytes, then a JSON object.
        [_, _, _, _, _, _, _, _, b'{', ..] => safetensors::read(bytes)?,
        _ => return Err(Error::UnknownFormat { path: path.to_owned() }),
    };
    avatar.gaussians.check()?;
    avatar.gaussians.check_finite()?;
    Ok(avatar)
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
