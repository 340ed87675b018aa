//! This crate's own format: a safetensors file with everything an avatar has.
//!
//! Metadata: `format` = `anicrafter-avatar`, `version` = `1`; with body data also `body_ratio` and `has_face` (`0` or
//! `1`). Tensors, all f32:
//!
//! | name | shape | what |
//! | --- | --- | --- |
//! | `means` | `[G, 3]` | centres in metres, in the avatar's own pose |
//! | `scales` | `[G, 3]` | standard deviations in metres |
//! | `rotations` | `[G, 4]` | quaternions (w, x, y, z) |
//! | `opacities` | `[G]` | 0 to 1 |
//! | `colors` | `[G, 3]` | red, green, blue in 0 to 1; or instead: |
//! | `sh` | `[G, K, 3]` | K = 1, 4, 9 or 16 coefficients of real spherical harmonics |
//! | `query`, `offset` | `[G, 3]` | query points and offsets, in metres (body data) |
//! | `neutral_to_zero` | `[55, 4, 4]` | transforms from the neutral to the zero pose (body data) |
//! | `betas` | `[n]` | shape coefficients (body data) |

use super::{joint_transforms, rows};
use crate::{Avatar, Colors, Error, Gaussians, LhmBody, Result, sh};
use std::collections::BTreeMap;
use std::path::Path;
use tensorfile::{Safetensors, TensorSource, TensorView, write_safetensors};

const FORMAT: &str = "anicrafter-avatar";
const VERSION: &str = "1";

pub(super) fn read(bytes: Vec<u8>) -> Result<Avatar> {
    let file = Safetensors::parse(bytes)?;
    let metadata = file.metadata();
    let text = |key: &str| metadata.get(key).map(String::as_str);
    if (text("format"), text("version")) != (Some(FORMAT), Some(VERSION)) {
        let what = format!(
            "metadata format {:?} version {:?}, not {FORMAT:?} {VERSION:?}",
            text("format").unwrap_or_default(),
            text("version").unwrap_or_default()
        );
        return Err(metadata_error(what));
    }
    let opacities = match file.f32("opacities")? {
        (shape, data) if shape.len() == 1 => data,
        (got, _) => return Err(Error::Shape { tensor: "opacities".into(), expected: "[G]", got }),
    };
    let gaussians = Gaussians {
        means: rows("means", "[G, 3]", file.f32("means")?)?,
        scales: rows("scales", "[G, 3]", file.f32("scales")?)?,
        rotations: rows("rotations", "[G, 4]", file.f32("rotations")?)?,
        opacities,
        colors: colors(&file)?,
    };
    let lhm = if file.info("query").is_some() { Some(body(&file, gaussians.len())?) } else { None };
    Ok(Avatar { gaussians, lhm })
}

fn metadata_error(what: String) -> Error {
    Error::Metadata { what }
}

fn colors(file: &Safetensors) -> Result<Colors> {
    if file.info("sh").is_none() {
        return Ok(Colors::Rgb(rows("colors", "[G, 3]", file.f32("colors")?)?));
    }
    let (shape, coefficients) = file.f32("sh")?;
    let degree = match shape[..] {
        [_, k, 3] => (0..=sh::MAX_DEGREE).find(|&d| sh::n_coefficients(d) == k),
        _ => None,
    };
    match degree {
        Some(degree) => Ok(Colors::Sh { degree, coefficients }),
        None => Err(Error::Shape { tensor: "sh".into(), expected: "[G, 1 | 4 | 9 | 16, 3]", got: shape }),
    }
}

fn body(file: &Safetensors, n: usize) -> Result<LhmBody> {
    let metadata = file.metadata();
    let number = |key: &str| {
        let value = metadata.get(key).and_then(|text| text.parse::<f32>().ok()).filter(|x| x.is_finite());
        value.ok_or_else(|| metadata_error(format!("metadata {key:?} is missing or not a number")))
    };
    let query: Vec<[f32; 3]> = rows("query", "[G, 3]", file.f32("query")?)?;
    let offset: Vec<[f32; 3]> = rows("offset", "[G, 3]", file.f32("offset")?)?;
    for (field, got) in [("query", query.len()), ("offset", offset.len())] {
        if got != n {
            return Err(Error::Length { field, expected: n, got });
        }
    }
    let (_, betas) = file.f32("betas")?;
    if let Some(index) = betas.iter().position(|b| !b.is_finite()) {
        return Err(Error::NotFinite { field: "beta", index });
    }
    Ok(LhmBody {
        query,
        offset,
        neutral_to_zero: joint_transforms("neutral_to_zero", file.f32("neutral_to_zero")?)?,
        betas,
        body_ratio: number("body_ratio")?,
        has_face: number("has_face")? != 0.0,
    })
}

pub(super) fn write(avatar: &Avatar, path: &Path) -> Result<()> {
    let g = &avatar.gaussians;
    let n = g.len();
    let mut tensors = vec![
        ("means", TensorView::from_f32(&[n, 3], g.means.as_flattened())?),
        ("scales", TensorView::from_f32(&[n, 3], g.scales.as_flattened())?),
        ("rotations", TensorView::from_f32(&[n, 4], g.rotations.as_flattened())?),
        ("opacities", TensorView::from_f32(&[n], &g.opacities)?),
    ];
    match &g.colors {
        Colors::Rgb(rgb) => tensors.push(("colors", TensorView::from_f32(&[n, 3], rgb.as_flattened())?)),
        Colors::Sh { degree, coefficients } => {
            let shape = [n, sh::n_coefficients(*degree), 3];
            tensors.push(("sh", TensorView::from_f32(&shape, coefficients)?));
        }
    }
    let mut metadata: BTreeMap<String, String> =
        [("format", FORMAT), ("version", VERSION)].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    if let Some(body) = &avatar.lhm {
        let transforms: Vec<f32> = body
            .neutral_to_zero
            .iter()
            .flat_map(|t| t.as_flattened().iter().copied().chain([0.0, 0.0, 0.0, 1.0]))
            .collect();
        tensors.push(("query", TensorView::from_f32(&[body.query.len(), 3], body.query.as_flattened())?));
        tensors.push(("offset", TensorView::from_f32(&[body.offset.len(), 3], body.offset.as_flattened())?));
        tensors.push(("neutral_to_zero", TensorView::from_f32(&[smplx::N_JOINTS, 4, 4], &transforms)?));
        tensors.push(("betas", TensorView::from_f32(&[body.betas.len()], &body.betas)?));
        metadata.insert("body_ratio".into(), body.body_ratio.to_string());
        metadata.insert("has_face".into(), u8::from(body.has_face).to_string());
    }
    Ok(write_safetensors(path, &tensors, &metadata)?)
}
