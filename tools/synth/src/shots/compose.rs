//! Everybody was painted alone with the scene: one picture of all, and who is seen where.

use super::image_of;
use crate::Result;
use crate::render::{Painter, Picture};
use crate::world::World;
use image::{GrayImage, RgbImage};

/// One person's picture.
struct Layer {
    /// Displayed colours times cover.
    color: Vec<f32>,
    /// What is seen of the person where nobody else stands, 0..1.
    cover: Vec<f32>,
    /// What would be seen without the scene's things, 0..1.
    whole: Vec<f32>,
    /// 1 / depth.
    near: Vec<f32>,
    /// By how much the person's shadow dims the scene, `[H, W, 3]`.
    dim: Vec<f32>,
}

/// Everybody's pictures of one frame.
pub(super) struct Layers {
    size: [u32; 2],
    empty: Vec<u8>,
    layers: Vec<Layer>,
    /// How much of a pixel shows something held, and its nearness.
    held: Vec<(f32, f32)>,
}

/// What a camera shows, and the truth.
pub(super) struct Composed {
    pub(super) picture: RgbImage,
    /// What is seen of each, and what would be seen if nothing were in front.
    pub(super) people: Vec<(GrayImage, GrayImage)>,
    pub(super) in_front: GrayImage,
    pub(super) held: GrayImage,
}

impl Layers {
    pub(super) fn new(size: [u32; 2]) -> Self {
        Self { size, empty: Vec::new(), layers: Vec::new(), held: Vec::new() }
    }

    /// Adds who was painted last.
    pub(super) fn add(&mut self, painter: &Painter, picture: &Picture, world: &World, held: Option<usize>) {
        let [w, h] = self.size.map(|n| n as usize);
        let n = w * h;
        let places = (0..n).map(|i| (i % w, i / w));
        if self.layers.is_empty() {
            self.empty.clone_from(&picture.empty);
            self.held = match held {
                Some(first) => places.clone().map(|(x, y)| painter.thing_cover(world, first, x, y)).collect(),
                None => vec![(0.0, 0.0); n],
            };
        }
        let mut layer = Layer {
            color: vec![0.0; 3 * n],
            cover: picture.cover.clone(),
            whole: places.clone().map(|(x, y)| painter.person_cover(x, y)).collect(),
            near: places.map(|(x, y)| painter.person_near(x, y)).collect(),
            dim: vec![1.0; 3 * n],
        };
        for i in 0..n {
            for k in 3 * i..3 * i + 3 {
                let shaded = f32::from(picture.shaded[k]);
                layer.color[k] = (f32::from(picture.full[k]) - shaded * (1.0 - layer.cover[i])).max(0.0);
                layer.dim[k] = shaded / f32::from(picture.empty[k]).max(1.0);
            }
        }
        self.layers.push(layer);
    }

    pub(super) fn compose(self) -> Result<Composed> {
        let n = self.held.len();
        let mut picture = vec![0; 3 * n];
        let mut mattes = vec![vec![0_u8; n]; self.layers.len()];
        let (mut in_front, mut held) = (vec![0_u8; n], vec![0_u8; n]);
        let byte = |share: f32| (share.clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
        for i in 0..n {
            let mut order: Vec<usize> = (0..self.layers.len()).collect();
            order.sort_by(|a, b| self.layers[*a].near[i].total_cmp(&self.layers[*b].near[i]));
            let mut color: [f32; 3] = std::array::from_fn(|k| {
                let dim: f32 = self.layers.iter().map(|l| l.dim[3 * i + k].min(1.0)).product();
                f32::from(self.empty[3 * i + k]) * dim
            });
            let mut open = 1.0;
            for &l in &order {
                let layer = &self.layers[l];
                for (k, c) in color.iter_mut().enumerate() {
                    *c = *c * (1.0 - layer.cover[i]) + layer.color[3 * i + k];
                }
            }
            for &l in order.iter().rev() {
                mattes[l][i] = byte(self.layers[l].cover[i] * open);
                open *= 1.0 - self.layers[l].cover[i];
            }
            for k in 0..3 {
                picture[3 * i + k] = (color[k] + 0.5).clamp(0.0, 255.0) as u8;
            }
            let behind = self.layers.iter().map(|l| l.whole[i] - l.cover[i]).fold(0.0, f32::max);
            in_front[i] = byte(behind * open);
            let (share, near) = self.held[i];
            if self.layers.iter().all(|l| l.cover[i] == 0.0 || l.near[i] < near) {
                held[i] = byte(share);
            } else {
                held[i] = byte(share.min(open));
            }
        }
        let people = mattes.into_iter().zip(&self.layers).map(|(matte, layer)| {
            let whole = layer.whole.iter().map(|v| byte(*v)).collect();
            Ok((image_of(self.size, matte)?, image_of(self.size, whole)?))
        });
        Ok(Composed {
            people: people.collect::<Result<_>>()?,
            picture: image_of(self.size, picture)?,
            in_front: image_of(self.size, in_front)?,
            held: image_of(self.size, held)?,
        })
    }
}
