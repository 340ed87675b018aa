//! What the pipeline would know of a clip: everything in each frame's camera axes, as it is there.

use crate::clip::Clip;
use anyhow::{Context, Result};
use avatar_render::{Colors, Gaussians};
use glam::{Mat3, Quat, Vec3};
use image::{GrayImage, RgbImage};
use scene_light::{BodyParts, Footing, Soles};
use synth::{Maker, Part, Split, Watched, layout};

/// A frame.
#[derive(Debug)]
pub struct Frame {
    /// The camera.
    pub camera: smplx::Camera,
    /// The avatar.
    pub gaussians: Gaussians,
    /// Its normals.
    pub normals: Vec<[f32; 3]>,
    /// The estimated body.
    pub body: Vec<[f32; 3]>,
    /// Its feet.
    pub footing: Footing,
    /// The background.
    pub plate: RgbImage,
    /// The raw video with the person who is removed.
    pub raw: RgbImage,
    /// Where that person is.
    pub matte: GrayImage,
    /// Up, in truth.
    pub up: [f32; 3],
    /// Towards the sun, in truth.
    pub sun: [f32; 3],
}

/// A clip and what it was made of.
#[derive(Debug)]
pub struct Recorded {
    /// The clip.
    pub clip: Clip,
    /// Its frames.
    pub frames: Vec<Frame>,
    /// The light, in truth, in the world's axes.
    pub light: synth::light::Light,
}

impl Recorded {
    /// Makes clip `n` of a split.
    ///
    /// # Errors
    /// When a renderer fails.
    pub fn make(maker: &mut Maker, seed: u64, split: Split, n: u64) -> Result<Self> {
        let (mut frames, mut light) = (Vec::new(), None);
        let mut failed = None;
        let made = maker.clip_watched(seed, split, n, &Part::ALL, &mut |watched| {
            match Frame::of(&watched) {
                Ok(frame) => frames.push(frame),
                Err(error) => failed = Some(error),
            }
            light = Some(watched.light.clone());
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        let clip = Clip::of(format!("clip_{n:08}"), &made)?;
        Ok(Self { clip, frames, light: light.context("a clip without frames")? })
    }
}

impl Frame {
    fn of(w: &Watched<'_>) -> Result<Self> {
        let turn = w.view.turn;
        let place = |p: [f32; 3]| w.view.to_camera(Vec3::from_array(p)).to_array();
        let along = |d: Vec3| (turn * d).to_array();
        let [height, width] = layout::SIZE;
        let picture = |bytes: &[u8]| {
            RgbImage::from_raw(width as u32, height as u32, bytes.to_vec()).context("a frame's size")
        };
        let soles = Soles::new(w.model, w.betas)?.posed(&w.guessed.skeleton, w.guessed.shift);
        let feet = (w.guessed.joints[7] + w.guessed.joints[8]) / 2.0;
        let matte = w.other.cover.iter().map(|c| (255.0 * c) as u8).collect();
        Ok(Self {
            camera: smplx::Camera {
                focal_px: [w.view.focal; 2],
                principal_px: w.view.middle.to_array(),
                size_px: w.view.size,
            },
            gaussians: turned(w.gaussians, turn, &place),
            normals: w.normals.iter().map(|n| along(Vec3::from_array(*n))).collect(),
            body: w.guessed.bare.iter().map(|p| place(*p)).collect(),
            footing: Footing { soles: soles.map(place), upright: along(w.guessed.joints[12] - feet) },
            plate: picture(w.plate)?,
            raw: picture(&w.other.full)?,
            matte: GrayImage::from_raw(width as u32, height as u32, matte).context("a matte's size")?,
            up: along(Vec3::Y),
            sun: along(w.light.sun),
        })
    }
}

fn turned(g: &Gaussians, turn: Mat3, place: &dyn Fn([f32; 3]) -> [f32; 3]) -> Gaussians {
    let q = Quat::from_mat3(&turn);
    let rotation = |[w, x, y, z]: &[f32; 4]| {
        let r = q * Quat::from_xyzw(*x, *y, *z, *w);
        [r.w, r.x, r.y, r.z]
    };
    Gaussians {
        means: g.means.iter().map(|p| place(*p)).collect(),
        scales: g.scales.clone(),
        rotations: g.rotations.iter().map(rotation).collect(),
        opacities: g.opacities.clone(),
        colors: match &g.colors {
            Colors::Rgb(c) => Colors::Rgb(c.clone()),
            other => other.clone(),
        },
    }
}

/// The body's parts, which all clips share.
///
/// # Errors
/// Never for the body that is embedded.
pub fn parts() -> Result<(BodyParts, Vec<[u32; 3]>)> {
    let template = synth::template::Template::new()?;
    Ok((BodyParts::new(&template.model)?, template.model.faces().to_vec()))
}
