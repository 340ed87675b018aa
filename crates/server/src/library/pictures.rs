//! Pictures of what is in the library: thumbnails, film strips, turntables.

use super::FileKind;
use crate::error::{ApiError, ApiResult};
use avatar_render::{
    Avatar, Camera, Frame, Mesh, MeshFrame, MeshOptions, Renderer, RendererChoice, SplatOptions, Turntable,
};
use image::imageops::{FilterType, overlay, resize};
use image::{Rgb, RgbImage};
use media::VideoReader;
use smplx::{Motion, Rotations};
use std::fs;
use std::path::Path;

/// Longer side of a thumbnail in pixels.
const THUMB: u32 = 320;
/// What lies behind what is transparent.
const BEHIND: [u8; 3] = [226, 228, 232];
/// Frames that are read at most to show one: the end of a longer video isn't shown.
const STRIP_READS: usize = 5000;
/// Pictures that are kept.
const KEPT: usize = 3000;

/// A picture of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Small.
    Thumbnail,
    /// One frame of a video, counted from 0, as large as it is.
    Frame { index: usize },
    /// So many frames of a video side by side, each so many pixels high.
    Strip { count: u32, height: u32 },
    /// An avatar from so many sides, side by side, each so many pixels wide and high.
    Turntable { count: u32, size: u32 },
}

impl Look {
    /// Makes the picture, as a JPEG.
    pub(crate) fn of(self, path: &Path, kind: FileKind) -> ApiResult<Vec<u8>> {
        let picture = match (self, kind) {
            (Self::Thumbnail, FileKind::Picture) => {
                small(over(&media::read_picture_rgba(path).map_err(refused)?))
            }
            (Self::Thumbnail, FileKind::Video) => small(early_frame(path)?),
            (Self::Frame { index }, FileKind::Video) => frame(path, index)?,
            (Self::Frame { index: 0 }, FileKind::Picture) => {
                over(&media::read_picture_rgba(path).map_err(refused)?)
            }
            (Self::Thumbnail, FileKind::Avatar) => turned(path, 1, THUMB)?,
            (Self::Thumbnail, FileKind::Motion) => posed(path)?,
            (Self::Strip { count, height }, FileKind::Video) => strip(path, count, height)?,
            (Self::Turntable { count, size }, FileKind::Avatar) => turned(path, count, size)?,
            _ => {
                let what = "there is no such picture of this kind of file";
                return Err(ApiError::new(axum::http::StatusCode::NOT_FOUND, "no_picture", what));
            }
        };
        jpeg(&picture, 85)
    }
}

fn refused(error: impl std::fmt::Display) -> ApiError {
    ApiError::new(axum::http::StatusCode::UNPROCESSABLE_ENTITY, "unreadable", error.to_string())
}

/// A picture as a JPEG.
pub(crate) fn jpeg(picture: &RgbImage, quality: u8) -> ApiResult<Vec<u8>> {
    let mut bytes = Vec::new();
    let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, quality);
    picture.write_with_encoder(encoder).map_err(|e| ApiError::internal(e.to_string()))?;
    Ok(bytes)
}

fn over(picture: &image::RgbaImage) -> RgbImage {
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let [r, g, b, a] = picture.get_pixel(x, y).0;
        let mix = |c: u8, behind: u8| {
            ((u32::from(c) * u32::from(a) + u32::from(behind) * (255 - u32::from(a)) + 127) / 255) as u8
        };
        Rgb([mix(r, BEHIND[0]), mix(g, BEHIND[1]), mix(b, BEHIND[2])])
    })
}

fn small(picture: RgbImage) -> RgbImage {
    let (w, h) = picture.dimensions();
    let longer = w.max(h).max(1);
    if longer <= THUMB {
        return picture;
    }
    let side = |n: u32| (u64::from(n) * u64::from(THUMB) / u64::from(longer)).max(1) as u32;
    resize(&picture, side(w), side(h), FilterType::Triangle)
}

/// A frame near the start, where a fade-in is over.
fn early_frame(path: &Path) -> ApiResult<RgbImage> {
    let reader = VideoReader::open(path).map_err(refused)?;
    frame(path, reader.info().frames.map_or(0, |frames| (frames / 4).min(12)))
}

fn frame(path: &Path, index: usize) -> ApiResult<RgbImage> {
    for (i, frame) in VideoReader::open(path).map_err(refused)?.take(STRIP_READS).enumerate() {
        let frame = frame.map_err(refused)?;
        if i == index {
            return Ok(frame);
        }
    }
    Err(ApiError::not_found("frame", &index.to_string()))
}

fn strip(path: &Path, count: u32, height: u32) -> ApiResult<RgbImage> {
    let reader = VideoReader::open(path).map_err(refused)?;
    let frames = reader.info().frames.unwrap_or(STRIP_READS).clamp(1, STRIP_READS);
    let (w, h) = reader.info().size();
    let width =
        (u64::from(w) * u64::from(height) / u64::from(h.max(1))).clamp(1, 4 * u64::from(height)) as u32;
    let mut out = RgbImage::from_pixel(width * count, height, Rgb(BEHIND));
    let wanted = |n: u32| (n as usize * frames + frames / 2) / count as usize;
    let mut next = 0;
    for (i, frame) in reader.take(frames).enumerate() {
        let frame = frame.map_err(refused)?;
        while next < count && wanted(next) == i {
            let tile = resize(&frame, width, height, FilterType::Triangle);
            overlay(&mut out, &tile, i64::from(next * width), 0);
            next += 1;
        }
        if next == count {
            break;
        }
    }
    Ok(out)
}

fn turned(path: &Path, count: u32, size: u32) -> ApiResult<RgbImage> {
    let avatar = Avatar::open(path).map_err(refused)?;
    let table = Turntable::around(&avatar.gaussians).map_err(refused)?;
    let mut renderer = Renderer::new(RendererChoice::Cpu).map_err(refused)?;
    let background = BEHIND.map(|c| f32::from(c) / 255.0);
    let options = SplatOptions { background, ..SplatOptions::default() };
    let mut frame = Frame::new();
    let mut out = RgbImage::new(size * count, size);
    for i in 0..count {
        let camera = table.camera(i as f32 / count as f32, size as usize).map_err(refused)?;
        renderer.splat(&avatar.gaussians, &camera, &options, &mut frame).map_err(refused)?;
        let tile = RgbImage::from_raw(size, size, frame.to_rgb8());
        let tile = tile.ok_or_else(|| ApiError::internal("a render of the wrong size"))?;
        overlay(&mut out, &tile, i64::from(i * size), 0);
    }
    Ok(out)
}

/// The body in the middle of a motion, as its camera sees it.
fn posed(path: &Path) -> ApiResult<RgbImage> {
    let motion = Motion::open(path, 30.0).map_err(refused)?;
    let frame = motion.frames.get(motion.len() / 2).ok_or_else(|| refused("the motion is empty"))?;
    let camera = frame.camera.ok_or_else(|| refused("the motion has no camera"))?;
    let [w, h] = camera.size_px;
    let longer = w.max(h).max(1);
    let side = |n: u32| (u64::from(n) * u64::from(THUMB) / u64::from(longer)).max(1) as u32;
    let size = [side(w), side(h)];
    let body = pipeline::open_body(None).map_err(refused)?;
    let pose = frame.pose.full();
    let posed = body.forward(&smplx::Frame {
        betas: &frame.betas,
        expression: &[],
        rotations: Rotations::AxisAngle(&pose),
        translation: frame.translation,
    });
    let posed = posed.map_err(refused)?;
    let view = Camera::new(&camera.resized(size), &smplx::AFFINE_IDENTITY).map_err(refused)?;
    let mesh = Mesh { vertices: &posed.vertices, faces: body.faces() };
    let mut out = MeshFrame::new();
    let mut renderer = Renderer::new(RendererChoice::Cpu).map_err(refused)?;
    renderer.mesh(&mesh, &view, &MeshOptions::default(), &mut out).map_err(refused)?;
    let picture = RgbImage::from_raw(size[0], size[1], out.rgb8().to_vec());
    picture.ok_or_else(|| ApiError::internal("a render of the wrong size"))
}

/// Keeps the youngest pictures of a cache.
pub(super) fn tidy(cache: &Path) {
    let mut all: Vec<_> = fs::read_dir(cache)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().extension().is_some_and(|e| e == "jpg"))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    all.sort();
    let many = all.len().saturating_sub(KEPT);
    for (_, path) in &all[..many] {
        // What can't be removed now is removed another time.
        let _left = fs::remove_file(path);
    }
}
