//! The rendered avatars over the plate, with light and shadow.

use super::actor::Actors;
use super::geometry::Sizes;
use super::picture::resized_mask;
use crate::job::{Blend, Video};
use crate::{Error, Result};
use bg_mask::{ContactShadow, Layout, LightMatch, LightOptions, Render};
use image::{GrayImage, RgbImage};

/// How avatars are laid over a plate, and what the light was until now.
pub(super) struct Layers {
    blend: Blend,
    light: Option<LightMatch>,
    contact_shadow: bool,
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
    pub(super) fn new(video: &Video) -> Result<Self> {
        let light = video.match_light.then(|| LightMatch::new(LightOptions::default())).transpose()?;
        Ok(Self { blend: video.blend, light, contact_shadow: video.contact_shadow })
    }

    /// The avatars, as they were last rendered, over a plate of the canvas's size.
    pub(super) fn over(
        &mut self,
        actors: &Actors,
        plate: &RgbImage,
        sizes: Sizes,
        cover: &mut Cover,
    ) -> Result<RgbImage> {
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
        let colors: Vec<&[f32]> = match &lit {
            Some(lit) => lit.iter().map(Vec::as_slice).collect(),
            None => actors.iter().map(|actor| actor.splats.color()).collect(),
        };
        self.blend(actors, &colors, plate, sizes)
    }

    fn blend(
        &self,
        actors: &Actors,
        colors: &[&[f32]],
        mut plate: RgbImage,
        sizes: Sizes,
    ) -> Result<RgbImage> {
        let size = sizes.render.into();
        let depths: Vec<Vec<f32>> = if actors.are_one() {
            Vec::new()
        } else {
            actors.iter().map(|actor| actor.splats.mean_depth()).collect()
        };
        let mut renders = Vec::with_capacity(colors.len());
        for (i, (actor, color)) in actors.iter().zip(colors).enumerate() {
            let render = Render::new(size, color, Layout::Interleaved, actor.splats.alpha())?;
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
