//! LHM: encoders, transformer, heads, points, pictures, and all of it from picture to file.

mod encoders;
mod end_to_end;
mod heads;
mod points;
mod preprocess;
mod transformer;

pub(super) use encoders::{dinov2, sapiens};
pub(super) use end_to_end::run as end_to_end;
pub(super) use heads::run as heads;
pub(super) use points::run as points;
pub(super) use preprocess::run as preprocess;
pub(super) use transformer::run as transformer;

use super::tensor::to_f32;
use anyhow::{Context, Result, ensure};
use candle_core::{Device, Tensor};
use image::{GrayImage, RgbImage};
use testkit::{Array, Case, Checker};

/// `[H, W, 3]` bytes, or four of which the last is dropped, as a picture.
fn picture(array: Array<u8>) -> Result<RgbImage> {
    let &[height, width, channels] = array.shape.as_slice() else {
        anyhow::bail!("not a picture: shape {:?}", array.shape);
    };
    ensure!(channels == 3 || channels == 4, "not a picture: {channels} channels");
    let rgb = array.data.chunks_exact(channels).flat_map(|p| [p[0], p[1], p[2]]).collect();
    RgbImage::from_raw(u32::try_from(width)?, u32::try_from(height)?, rgb).context("picture too large")
}

/// `[H, W]` bytes as a mask.
fn mask(array: Array<u8>) -> Result<GrayImage> {
    let &[height, width] = array.shape.as_slice() else {
        anyhow::bail!("not a mask: shape {:?}", array.shape);
    };
    GrayImage::from_raw(u32::try_from(width)?, u32::try_from(height)?, array.data).context("mask too large")
}

/// A picture as `[1, 3, H, W]` in 0 to 1.
fn tensor_of(picture: &RgbImage, device: &Device) -> Result<Tensor> {
    let (pixels, height, width) = lhm::HeadPicture::of_picture(picture);
    Ok(Tensor::from_vec(pixels, (1, 3, height, width), device)?)
}

/// Compares a tensor if the case has it.
fn compare(check: &mut Checker<'_>, name: &str, value: &Tensor) -> Result<()> {
    if check.expects(name) {
        check.f32(name, value.dims(), &to_f32(value)?);
    }
    Ok(())
}

/// Compares every so many rows of `[1, L, D]`, as many as the case has.
fn compare_rows(
    case: &Case,
    check: &mut Checker<'_>,
    name: &str,
    value: &Tensor,
    stride: usize,
) -> Result<()> {
    if !check.expects(name) {
        return Ok(());
    }
    let rows = value.dim(1)?.div_ceil(stride);
    ensure!(case.outputs.shape(name)?[1] == rows, "{name}: {rows} rows at a stride of {stride}");
    let index: Vec<u32> = (0..rows).map(|i| (i * stride) as u32).collect();
    let index = Tensor::new(index, value.device())?;
    compare(check, name, &value.index_select(&index, 1)?)
}

/// Flat positions of planes, by channel: `[planes, samples]`.
fn samples(planes: &[f32], size: usize, index: &[i64]) -> Vec<f32> {
    planes.chunks_exact(size).flat_map(|plane| index.iter().map(|i| plane[*i as usize])).collect()
}

/// The expected number of a run.
fn number(run: &serde_json::Value, key: &str) -> Result<usize> {
    run[key].as_u64().map(|n| n as usize).with_context(|| format!("run {} has no {key}", run["name"]))
}

fn box_of(array: &Array<f32>) -> Result<[f32; 4]> {
    array.data.as_slice().try_into().context("a box isn't four numbers")
}

fn indices(case: &Case, tensor: &str) -> Result<Vec<u32>> {
    Ok(case.inputs.i64(tensor)?.data.into_iter().map(u32::try_from).collect::<Result<_, _>>()?)
}
