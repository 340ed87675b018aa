//! The rendered avatars over the plate, with light and shadow.

use super::actor::Actors;
use super::geometry::Sizes;
use super::lighting::Lighting;
use super::picture::resized_mask;
use crate::job::{Blend, Video};
use crate::{Error, Result};
use bg_mask::{ContactShadow, EdgeMatch, Layout, LightMatch, LightOptions, Render, Softened};
use image::{GrayImage, RgbImage};
use rayon::prelude::*;

/// How avatars are laid over a plate, and what the light was until now.
pub(super) struct Layers {
    blend: Blend,
    light: Option<LightMatch>,
    contact_shadow: bool,
    edges: Option<EdgeMatch>,
    /// The actors with softened rims.
    softened: Vec<Softened>,
}

/// Shadows that are thrown by a light.
pub(super) struct Shadows<'a> {
    pub lighting: &'a Lighting,
    /// At the canvas's size.
    pub camera: &'a smplx::Camera,
    pub frame: usize,
    /// Where the sun's count; everywhere where there is none.
    pub place: Option<&'a GrayImage>,
}

/// The alpha of all avatars at the canvas's size, by the nearest pixels, as they were last rendered.
#[derive(Default)]
pub(super) struct CanvasAlpha {
    values: Vec<f32>,
    /// Which column of the render each of the canvas's shows.
    columns: Vec<usize>,
}

impl CanvasAlpha {
    /// `[H, W]` of the canvas.
    pub(super) fn values(&self) -> &[f32] {
        &self.values
    }

    /// Is it of a canvas of this size?
    pub(super) fn is_of(&self, [w, h]: [u32; 2]) -> bool {
        self.values.len() == (w * h) as usize
    }

    /// Takes the actors as they are rendered.
    pub(super) fn update(&mut self, actors: &Actors, sizes: Sizes) {
        let ([rw, rh], [w, h]) = (sizes.render, sizes.canvas);
        self.values.clear();
        self.values.resize((w * h) as usize, 0.0);
        self.columns.clear();
        self.columns.extend((0..u64::from(w)).map(|x| (x * u64::from(rw) / u64::from(w)) as usize));
        let columns = &self.columns;
        for actor in actors.iter() {
            let alpha = actor.splats.alpha();
            if alpha.len() != (rw * rh) as usize {
                continue;
            }
            self.values.par_chunks_exact_mut(w.max(1) as usize).enumerate().for_each(|(y, row)| {
                let from = (y as u64 * u64::from(rh) / u64::from(h)) as usize * rw as usize;
                let alpha = &alpha[from..from + rw as usize];
                for (out, column) in row.iter_mut().zip(columns) {
                    *out = out.max(alpha[*column]);
                }
            });
        }
    }
}

/// What the avatars cover of the canvas: made when somebody first asks.
#[derive(Default)]
pub(super) struct Cover(Option<GrayImage>);

impl Cover {
    /// White where any of the rendered avatars is.
    pub(super) fn of(&mut self, actors: &Actors, sizes: Sizes) -> Result<&GrayImage> {
        let mask = match self.0.take() {
            Some(mask) => mask,
            None => {
                let [w, h] = sizes.render;
                let mut all = GrayImage::new(w, h);
                for actor in actors.iter() {
                    let (color, alpha) = (actor.splats.color(), actor.splats.alpha());
                    let render = Render::new((w, h), color, Layout::Interleaved, alpha)?;
                    all = bg_mask::union(&all, &bg_mask::alpha_mask(&render))?;
                }
                resized_mask(all, sizes.canvas)?
            }
        };
        Ok(self.0.insert(mask))
    }
}

impl Layers {
    pub(super) fn new(video: &Video, edges: bool) -> Result<Self> {
        let light = video.match_light.then(|| LightMatch::new(LightOptions::default())).transpose()?;
        let edges = edges.then(EdgeMatch::default);
        let softened = Vec::new();
        Ok(Self { blend: video.blend, light, contact_shadow: video.contact_shadow, edges, softened })
    }

    /// Are edges and grain matched?
    pub(super) fn edges(&self) -> bool {
        self.edges.is_some()
    }

    /// The avatars, as they were last rendered, over a plate of the canvas's size; `alpha` is of the same rendering.
    pub(super) fn over(
        &mut self,
        (actors, alpha): (&Actors, &CanvasAlpha),
        plate: &RgbImage,
        sizes: Sizes,
        cover: &mut Cover,
        shadows: Option<Shadows<'_>>,
    ) -> Result<RgbImage> {
        let own_plate = plate;
        let lit = match &mut self.light {
            Some(light) => {
                let gains = light.update(plate, cover.of(actors, sizes)?)?;
                let lit = |actor: &super::actor::Actor| -> Result<Vec<f32>> {
                    let mut color = actor.splats.color().to_vec();
                    bg_mask::apply_gains(&mut color, actor.splats.alpha(), gains)?;
                    Ok(color)
                };
                Some(actors.iter().map(lit).collect::<Result<Vec<_>>>()?)
            }
            None => None,
        };
        let mut plate = plate.clone();
        if self.contact_shadow {
            let least = (plate.width() * plate.height() / 2000) as usize;
            let contacts = bg_mask::contacts_of(cover.of(actors, sizes)?, least);
            bg_mask::cast_contact_shadow(&mut plate, &contacts, &ContactShadow::default())?;
        }
        if let Some(s) = shadows {
            s.lighting.cast(&mut plate, s.camera, s.frame, s.place)?;
        }
        if let Some(edges) = &mut self.edges {
            edges.update(own_plate, alpha.values())?;
        }
        let colors: Vec<&[f32]> = match &lit {
            Some(lit) => lit.iter().map(Vec::as_slice).collect(),
            None => actors.iter().map(|actor| actor.splats.color()).collect(),
        };
        let mut blend = self.blend(actors, &colors, plate, sizes)?;
        if let Some(edges) = &self.edges {
            edges.add_grain(&mut blend, alpha.values())?;
        }
        Ok(blend)
    }

    fn blend(
        &mut self,
        actors: &Actors,
        colors: &[&[f32]],
        mut plate: RgbImage,
        sizes: Sizes,
    ) -> Result<RgbImage> {
        let size: (u32, u32) = sizes.render.into();
        let depths: Vec<Vec<f32>> = if actors.are_one() {
            Vec::new()
        } else {
            actors.iter().map(|actor| actor.splats.mean_depth()).collect()
        };
        self.softened.resize_with(colors.len(), Softened::default);
        let mut is_soft = vec![false; colors.len()];
        if let Some(edges) = &self.edges {
            let each = actors.iter().zip(colors).zip(&mut self.softened).zip(&mut is_soft);
            for (((actor, color), soft), is_soft) in each {
                *is_soft = edges.soften(color, actor.splats.alpha(), size, soft)?;
            }
        }
        let mut renders = Vec::with_capacity(colors.len());
        for (i, (actor, color)) in actors.iter().zip(colors).enumerate() {
            let soft = self.softened.get(i).filter(|_| is_soft[i]);
            let (color, alpha) =
                soft.map_or((*color, actor.splats.alpha()), |s| (s.color.as_slice(), s.alpha.as_slice()));
            let render = Render::new(size, color, Layout::Interleaved, alpha)?;
            renders.push(match depths.get(i) {
                Some(depth) => render.with_depth(depth)?,
                None => render,
            });
        }
        match (self.blend, renders.as_slice()) {
            (Blend::Reference, [render]) => Ok(bg_mask::reference_blend(render, &plate)?),
            (Blend::Reference, _) => {
                let why = "the reference's blend takes one avatar; set it to \"over\" for several".to_owned();
                Err(Error::Option { option: "video.blend", why })
            }
            (Blend::Over, [render]) => {
                bg_mask::over_in_place(render, &mut plate)?;
                Ok(plate)
            }
            (Blend::Over, renders) => Ok(bg_mask::composite_layers(&plate, renders, &[])?),
        }
    }
}
