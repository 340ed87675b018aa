//! The rendered avatars over the plate, with light and shadow.

use super::actor::Actors;
use super::geometry::Sizes;
use super::lighting::Lighting;
use super::picture::resized_mask;
use crate::job::{Blend, Video};
use crate::{Error, Result};
use bg_mask::{ContactShadow, EdgeMatch, Layout, LightMatch, LightOptions, Render};
use image::{GrayImage, RgbImage};

/// How avatars are laid over a plate, and what the light was until now.
pub(super) struct Layers {
    blend: Blend,
    light: Option<LightMatch>,
    contact_shadow: bool,
    edges: Option<EdgeMatch>,
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

/// The alpha of all avatars at the canvas's size, by the nearest pixels.
pub(super) fn alpha_at(actors: &Actors, sizes: Sizes) -> Vec<f32> {
    let ([rw, rh], [w, h]) = (sizes.render, sizes.canvas);
    let mut out = vec![0.0_f32; (w * h) as usize];
    for actor in actors.iter() {
        let alpha = actor.splats.alpha();
        if alpha.len() != (rw * rh) as usize {
            continue;
        }
        for (y, row) in out.chunks_exact_mut(w.max(1) as usize).enumerate() {
            let from = (y as u64 * u64::from(rh) / u64::from(h)) as usize * rw as usize;
            for (x, out) in row.iter_mut().enumerate() {
                let column = (x as u64 * u64::from(rw) / u64::from(w)) as usize;
                *out = out.max(alpha[from + column]);
            }
        }
    }
    out
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
        Ok(Self { blend: video.blend, light, contact_shadow: video.contact_shadow, edges })
    }

    /// Are edges and grain matched?
    pub(super) fn edges(&self) -> bool {
        self.edges.is_some()
    }

    /// The avatars, as they were last rendered, over a plate of the canvas's size.
    pub(super) fn over(
        &mut self,
        actors: &Actors,
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
        let alpha = self.edges.is_some().then(|| alpha_at(actors, sizes));
        if let (Some(edges), Some(alpha)) = (&mut self.edges, &alpha) {
            edges.update(own_plate, alpha)?;
        }
        let colors: Vec<&[f32]> = match &lit {
            Some(lit) => lit.iter().map(Vec::as_slice).collect(),
            None => actors.iter().map(|actor| actor.splats.color()).collect(),
        };
        let mut blend = self.blend(actors, &colors, plate, sizes)?;
        if let (Some(edges), Some(alpha)) = (&self.edges, &alpha) {
            edges.add_grain(&mut blend, alpha)?;
        }
        Ok(blend)
    }

    fn blend(
        &self,
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
        let softened = match &self.edges {
            Some(edges) => actors
                .iter()
                .zip(colors)
                .map(|(actor, color)| Ok(edges.soften(color, actor.splats.alpha(), size)?))
                .collect::<Result<Vec<_>>>()?,
            None => Vec::new(),
        };
        let mut renders = Vec::with_capacity(colors.len());
        for (i, (actor, color)) in actors.iter().zip(colors).enumerate() {
            let soft = softened.get(i).and_then(Option::as_ref);
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
