//! Gaussians of an avatar, shaded by a scene's light.

use crate::body::BodyParts;
use crate::error::{Result, same_length};
use crate::light::SceneLight;
use crate::shadow::ShadowMap;
use crate::{GAMMA, vec3};
use avatar_render::{Colors, Gaussians};
use glam::{Quat, Vec3};
use rayon::prelude::*;
use smplx::PointBinding;

/// An avatar's normals in its own pose, and what is kept from frame to frame.
#[derive(Clone, Debug)]
pub struct Shading {
    normals: Vec<[f32; 3]>,
    turned: Vec<[f32; 3]>,
}

/// Points that stand off the body by more than this are turned towards where they stand off, in metres.
const STANDS_OFF: f32 = 0.06;
/// Pieces of parallel work.
const AT_A_TIME: usize = 1024;

impl Shading {
    /// From normals in the avatar's own pose.
    #[must_use]
    pub fn new(normals: Vec<[f32; 3]>) -> Self {
        Self { normals, turned: Vec::new() }
    }

    /// The normals of a body's surface next to each point; points that stand off it (hair, skirts) are turned a little towards where
    /// they stand off.
    ///
    /// # Shapes
    /// `points` is `[G, 3]`, and `vertices` `[V, 3]` the body in the same pose.
    ///
    /// # Errors
    /// When the body has no triangles or something isn't finite.
    pub fn on_body(
        points: &[[f32; 3]],
        parts: &BodyParts,
        vertices: &[[f32; 3]],
        faces: &[[u32; 3]],
    ) -> Result<Self> {
        let binding = PointBinding::nearest_surface(points, vertices, faces)?;
        let all = parts.smooth_normals(vertices);
        let mix = |values: &[[f32; 3]], i: usize| -> Vec3 {
            let shares = binding.vertices[i].iter().zip(binding.shares[i]);
            shares.map(|(v, s)| vec3(values[*v as usize]) * s).sum()
        };
        let normal = |(i, p): (usize, &[f32; 3])| {
            let normal = mix(&all, i).normalize_or(Vec3::NEG_Z);
            let off = vec3(*p) - mix(vertices, i);
            let share = (off.length() / STANDS_OFF).min(1.0) * 0.5;
            (normal + off.normalize_or(Vec3::ZERO) * share).normalize_or(normal).to_array()
        };
        Ok(Self::new(points.par_iter().enumerate().map(normal).collect()))
    }

    /// Shades posed Gaussians: `turns` says how each one's surroundings were turned from the avatar's own pose (w, x, y, z), and
    /// `shadow` who stands between them and the sun: themselves.
    ///
    /// # Errors
    /// When lengths differ.
    pub fn apply(
        &mut self,
        gaussians: &mut Gaussians,
        turns: &[[f32; 4]],
        light: &SceneLight,
        shadow: Option<&ShadowMap>,
    ) -> Result<()> {
        self.turned(turns)?;
        shade(gaussians, &self.turned, light, shadow)
    }

    /// The normals in a pose: `turns` as in [`Shading::apply`].
    ///
    /// # Errors
    /// When lengths differ.
    pub fn turned(&mut self, turns: &[[f32; 4]]) -> Result<&[[f32; 3]]> {
        same_length("turns of Gaussians", self.normals.len(), turns.len())?;
        self.turned.clear();
        self.turned.extend(
            self.normals
                .iter()
                .zip(turns)
                .map(|(n, [w, x, y, z])| (Quat::from_xyzw(*x, *y, *z, *w) * vec3(*n)).to_array()),
        );
        Ok(&self.turned)
    }
}

/// Shades Gaussians whose colours are plain, with a normal for each.
///
/// # Errors
/// When lengths differ.
pub fn shade(
    gaussians: &mut Gaussians,
    normals: &[[f32; 3]],
    light: &SceneLight,
    shadow: Option<&ShadowMap>,
) -> Result<()> {
    same_length("normals of Gaussians", gaussians.means.len(), normals.len())?;
    let softness = light.sun.map_or(0.0, |s| s.softness);
    let toward = light.sun.map_or([0.0; 3], |s| s.toward);
    let Colors::Rgb(colors) = &mut gaussians.colors else { return Ok(()) };
    let all = colors.par_chunks_mut(AT_A_TIME).zip(normals.par_chunks(AT_A_TIME));
    all.zip(gaussians.means.par_chunks(AT_A_TIME)).for_each(|((colors, normals), means)| {
        for ((color, normal), mean) in colors.iter_mut().zip(normals).zip(means) {
            // What faces away from the sun gets nothing of it anyway.
            let facing: f32 = (0..3).map(|k| normal[k] * toward[k]).sum();
            let hidden = match shadow {
                Some(map) if facing > -0.2 => {
                    let off: [f32; 3] = std::array::from_fn(|k| mean[k] + 0.01 * normal[k]);
                    map.hidden(off, softness)
                }
                _ => 0.0,
            };
            let gain = light.shade(*normal, 1.0 - hidden);
            *color = std::array::from_fn(|c| lit(color[c], gain[c]));
        }
    });
    Ok(())
}

/// Where bright levels begin to bend towards white.
const SHOULDER: f32 = 0.85;

/// A display-coded level in more or less light: bright ones bend towards white, and what was bright before stays as it was.
fn lit(level: f32, gain: f32) -> f32 {
    let value = level * gain.max(0.0).powf(1.0 / GAMMA);
    if value <= SHOULDER || gain <= 1.0 {
        return value;
    }
    let room = 1.0 - SHOULDER;
    (1.0 - room * (-(value - SHOULDER) / room).exp()).max(level)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SunOptions, UP};
    use smplx::{BodyModel, Frame};

    #[test]
    fn levels_bend_towards_white_and_even_light_changes_nothing() {
        assert_eq!(lit(0.97, 1.0), 0.97);
        assert!(lit(0.9, 3.0) <= 1.0 && lit(0.9, 3.0) > 0.97);
        assert!(lit(0.5, 0.25) < 0.3 && lit(0.0, 5.0) == 0.0);
        let mut g = Gaussians {
            means: vec![[0.0, 0.0, 3.0]; 3],
            colors: Colors::Rgb(vec![[0.2, 0.5, 0.9]; 3]),
            ..Gaussians::default()
        };
        let before = g.clone();
        shade(&mut g, &[[1.0, 0.0, 0.0], UP, [0.0, 0.0, 1.0]], &SceneLight::even(), None).unwrap();
        assert_eq!(g, before);
        assert!(shade(&mut g, &[UP], &SceneLight::even(), None).is_err());
    }

    #[test]
    fn a_turned_avatar_is_lit_from_where_the_sun_is() {
        let model = BodyModel::from_bytes(anicrafter_assets::BODY.to_vec()).unwrap();
        let rest = model.forward(&Frame::REST).unwrap();
        let parts = BodyParts::new(&model).unwrap();
        // A point before the chest, in the body's own axes: y up, z forward.
        let chest = vec3(rest.joints.positions[9]) + Vec3::Z * 0.2;
        let mut shading =
            Shading::on_body(&[chest.to_array()], &parts, &rest.vertices, model.faces()).unwrap();
        assert!(shading.normals[0][2] > 0.8, "{:?}", shading.normals);
        let sun = SunOptions { azimuth: 180.0, elevation: 30.0, ..SunOptions::default() };
        let light = SceneLight::from_sun(&sun, UP).unwrap();
        let mut level = |turn: Quat| {
            let colors = Colors::Rgb(vec![[0.5; 3]]);
            let mut g = Gaussians { means: vec![[0.0; 3]], colors, ..Gaussians::default() };
            shading.apply(&mut g, &[[turn.w, turn.x, turn.y, turn.z]], &light, None).unwrap();
            let Colors::Rgb(c) = g.colors else { unreachable!() };
            c[0][1]
        };
        // Half a turn about x: it faces the camera, behind which the sun is. Half about y more: it faces away.
        let facing = Quat::from_rotation_x(std::f32::consts::PI);
        let away = facing * Quat::from_rotation_y(std::f32::consts::PI);
        assert!(level(facing) > 1.15 * level(away), "{} {}", level(facing), level(away));
    }
}
