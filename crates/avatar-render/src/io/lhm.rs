//! The list that LHM and AniCrafter pickle as `*_gaussian.pth` (`lhm_runner.py:526-540` of AniCrafter, commit
//! e9e8965): offset `[G, 3]`, query points `[G, 3]`, colour `[G, 3]` in 0 to 1, opacity `[G, 1]`, scale `[G, 3]`,
//! rotation `[G, 4]` (w, x, y, z), 55 transforms from the neutral to the zero pose `[55, 4, 4]`, betas `[10]`, body
//! ratio, whether there is a face.

use super::{joint_transforms, rows};
use crate::{Avatar, Colors, Error, Gaussians, LhmBody, Result};
use std::path::Path;
use tensorfile::pickle::{TorchItem, Value, write_torch_list};
use tensorfile::{Pickle, TensorSource, TensorView};

const ITEMS: usize = 10;

pub(super) fn read(bytes: Vec<u8>) -> Result<Avatar> {
    let file = Pickle::parse(bytes)?;
    let items = file.root().as_list().ok_or_else(|| wrong("the file doesn't hold a list".into()))?;
    if items.len() != ITEMS {
        return Err(wrong(format!("a list of {} items, not {ITEMS}", items.len())));
    }
    let offset = rows("0 (offset)", "[G, 3]", squeeze(&file, "0")?)?;
    let query: Vec<[f32; 3]> = rows("1 (query points)", "[G, 3]", squeeze(&file, "1")?)?;
    let rgb = rows("2 (colour)", "[G, 3]", squeeze(&file, "2")?)?;
    let opacity: Vec<[f32; 1]> = rows("3 (opacity)", "[G, 1]", squeeze(&file, "3")?)?;
    let scales = rows("4 (scale)", "[G, 3]", squeeze(&file, "4")?)?;
    let rotations = rows("5 (rotation)", "[G, 4]", squeeze(&file, "5")?)?;
    let neutral_to_zero = joint_transforms("6 (neutral transforms)", squeeze(&file, "6")?)?;
    let (_, betas) = file.f32("7")?;
    if offset.len() != query.len() {
        return Err(Error::Length { field: "offset", expected: query.len(), got: offset.len() });
    }
    if let Some(index) = betas.iter().position(|b| !b.is_finite()) {
        return Err(Error::NotFinite { field: "beta", index });
    }
    let add = |(q, o): (&[f32; 3], &[f32; 3])| std::array::from_fn(|k| q[k] + o[k]);
    let gaussians = Gaussians {
        means: query.iter().zip(&offset).map(add).collect(),
        scales,
        rotations,
        opacities: opacity.into_flattened(),
        colors: Colors::Rgb(rgb),
    };
    let body_ratio = number(&file, items, 8, "body ratio")? as f32;
    let has_face = number(&file, items, 9, "has face")? != 0.0;
    let lhm = Some(LhmBody { query, offset, neutral_to_zero, betas, body_ratio, has_face });
    Ok(Avatar { gaussians, lhm })
}

/// Writes the list, so that the original's `torch.load` reads it.
pub(super) fn write(avatar: &Avatar, path: &Path) -> Result<()> {
    let body = avatar.lhm.as_ref().ok_or(Error::NoBody)?;
    let g = &avatar.gaussians;
    let Colors::Rgb(rgb) = &g.colors else {
        return Err(wrong(
            "colours that depend on the direction have no place in LHM's list; write .safetensors".into(),
        ));
    };
    let n = g.len();
    for (field, got) in [("query", body.query.len()), ("offset", body.offset.len())] {
        if got != n {
            return Err(Error::Length { field, expected: n, got });
        }
    }
    let transforms: Vec<f32> =
        body.neutral_to_zero.iter().flat_map(|t| smplx::affine_to_4x4(t).as_flattened().to_vec()).collect();
    // The mean shape is ten zeros there.
    let betas = if body.betas.is_empty() { &[0.0; 10] } else { &body.betas[..] };
    let tensor = |shape: &[usize], values: &[f32]| {
        Ok::<_, Error>(TorchItem::Tensor(TensorView::from_f32(shape, values)?))
    };
    let rows = |values: &[[f32; 3]]| tensor(&[n, 3], values.as_flattened());
    let items = [
        rows(&body.offset)?,
        rows(&body.query)?,
        rows(rgb)?,
        tensor(&[n, 1], &g.opacities)?,
        rows(&g.scales)?,
        tensor(&[n, 4], g.rotations.as_flattened())?,
        tensor(&[smplx::N_JOINTS, 4, 4], &transforms)?,
        tensor(&[betas.len()], betas)?,
        TorchItem::Float(shortest(body.body_ratio)),
        TorchItem::Int(i64::from(body.has_face)),
    ];
    Ok(write_torch_list(path, &items)?)
}

/// The number with the fewest digits that rounds to `x`: 0.93 stays 0.93 where it becomes a Python `float`.
fn shortest(x: f32) -> f64 {
    x.to_string().parse().unwrap_or(f64::from(x))
}

fn wrong(what: String) -> Error {
    Error::Lhm { what }
}

/// A tensor without leading axes of length 1.
fn squeeze(file: &Pickle, name: &str) -> Result<(Vec<usize>, Vec<f32>)> {
    let (mut shape, data) = file.f32(name)?;
    while shape.len() > 2 && shape[0] == 1 {
        shape.remove(0);
    }
    Ok((shape, data))
}

/// A number, be it Python's own or a tensor of one element.
fn number(file: &Pickle, items: &[Value], index: usize, what: &str) -> Result<f64> {
    let value = match &items[index] {
        Value::Bool(b) => f64::from(u8::from(*b)),
        Value::Int(i) => *i as f64,
        Value::Float(x) => *x,
        Value::Tensor(_) | Value::Array(_) => match file.f64(&index.to_string())?.1[..] {
            [x] => x,
            ref many => return Err(wrong(format!("{what} (item {index}) has {} elements", many.len()))),
        },
        _ => return Err(wrong(format!("{what} (item {index}) isn't a number"))),
    };
    if value.is_finite() { Ok(value) } else { Err(wrong(format!("{what} (item {index}) isn't finite"))) }
}
