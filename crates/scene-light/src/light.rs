//! The light of a scene and what it does to a surface.

use crate::error::{Result, in_range};
use crate::harmonics::Harmonics;
use crate::{luma, vec3};
use glam::Vec3;
use serde::{Deserialize, Serialize};

/// Straight up for a level camera.
pub const UP: [f32; 3] = [0.0, -1.0, 0.0];

/// How far light reaches around a surface's edge: cloth and skin are soft.
const WRAP: f32 = 0.12;
/// No surface gets less than this.
const LEAST: f32 = 0.04;

/// Light from below and from above, where nothing is known.
const ANY_SKY: [f32; 2] = [0.85, 1.15];

/// Light from one direction, which throws shadows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sun {
    /// Unit vector towards it.
    pub toward: [f32; 3],
    /// Its light on a surface that faces it.
    pub color: [f32; 3],
    /// Width of the half-shadow a metre behind what casts it, in metres.
    pub softness: f32,
}

/// The light of a scene, relative to the even light that avatars' colours are made in.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SceneLight {
    /// Light from everywhere but the sun, for each normal.
    pub ambient: Harmonics,
    /// The sun, or the window, or the lamp.
    pub sun: Option<Sun>,
}

/// A sun by hand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SunOptions {
    /// Degrees about the vertical from the direction in which the camera looks, to the right: 90 is a sun on the right, 180 one
    /// behind the camera.
    pub azimuth: f32,
    /// Degrees above the horizon.
    pub elevation: f32,
    /// Its light on a surface that faces it, for one part of light from everywhere.
    pub strength: f32,
    /// Its colour: 0 is white, 1 an evening's, −1 as blue as that is red.
    pub warmth: f32,
}

impl Default for SunOptions {
    /// A clear day.
    fn default() -> Self {
        Self { azimuth: 150.0, elevation: 45.0, strength: 2.0, warmth: 0.25 }
    }
}

impl SunOptions {
    /// The unit vector towards it, where `up` is up.
    ///
    /// # Errors
    /// When a number is out of range.
    pub fn toward(&self, up: [f32; 3]) -> Result<[f32; 3]> {
        in_range("the sun's azimuth", self.azimuth, -360.0..=360.0, "between -360 and 360 degrees")?;
        in_range("the sun's elevation", self.elevation, 1.0..=90.0, "between 1 and 90 degrees")?;
        let up = vec3(up).normalize_or(vec3(UP));
        let ahead = Vec3::Z.reject_from(up).normalize_or(Vec3::X);
        let right = ahead.cross(up);
        let (s, c) = self.azimuth.to_radians().sin_cos();
        let (high, level) = self.elevation.to_radians().sin_cos();
        Ok(((ahead * c + right * s) * level + up * high).to_array())
    }
}

impl SceneLight {
    /// The light that avatars' colours are made in: nothing changes.
    #[must_use]
    pub fn even() -> Self {
        Self { ambient: Harmonics::constant([1.0; 3]), sun: None }
    }

    /// What is likely where nothing is known: a little more from above than from below, and no sun.
    #[must_use]
    pub fn of_any_sky(up: [f32; 3]) -> Self {
        let [low, high] = ANY_SKY;
        Self { ambient: Harmonics::gradient(up, [low; 3], [high; 3]), sun: None }
    }

    /// A sun and the sky that goes with it, of the even light's mean brightness.
    ///
    /// # Errors
    /// When a number is out of range.
    pub fn from_sun(options: &SunOptions, up: [f32; 3]) -> Result<Self> {
        in_range("the sun's strength", options.strength, 0.0..=20.0, "between 0 and 20")?;
        in_range("the sun's warmth", options.warmth, -1.0..=1.0, "between -1 and 1")?;
        let toward = options.toward(up)?;
        let color = tint(options.warmth).map(|c| c * options.strength);
        // The sky is as much bluer as the sun is warmer; the ground throws back about a third of what falls on it.
        let sky = tint(-0.35 * options.warmth).map(|c| 1.3 * c);
        let high = vec3(toward).dot(vec3(up)).max(0.0);
        let ground = std::array::from_fn(|c| 0.28 * (sky[c] + 0.6 * color[c] * high) + 0.2);
        let sun = Sun { toward, color, softness: 0.03 };
        Ok(Self { ambient: Harmonics::gradient(up, ground, sky), sun: Some(sun) }.of_mean_one())
    }

    /// What a surface's colour is multiplied by, in linear light; `sunlit` is the share of the sun that isn't hidden.
    #[must_use]
    #[inline]
    pub fn shade(&self, normal: [f32; 3], sunlit: f32) -> [f32; 3] {
        let mut light = self.ambient.at(normal).map(|l| l.max(LEAST));
        if let Some(sun) = &self.sun {
            let facing: f32 = (0..3).map(|k| normal[k] * sun.toward[k]).sum();
            let direct = ((facing + WRAP) / (1.0 + WRAP)).max(0.0) * sunlit;
            for (l, s) in light.iter_mut().zip(sun.color) {
                *l += s * direct;
            }
        }
        light
    }

    /// The mean over all normals, nothing being hidden.
    #[must_use]
    pub fn mean(&self) -> [f32; 3] {
        // The mean of the wrapped cosine over the sphere is (1 + w)/4.
        let sun = self.sun.map_or([0.0; 3], |s| s.color.map(|c| c * 0.25 * (1.0 + WRAP)));
        std::array::from_fn(|c| self.ambient.mean()[c] + sun[c])
    }

    /// Each channel times a number.
    #[must_use]
    pub fn scaled(&self, by: [f32; 3]) -> Self {
        let sun = self.sun.map(|s| Sun { color: std::array::from_fn(|c| s.color[c] * by[c]), ..s });
        Self { ambient: self.ambient.scaled(by), sun }
    }

    /// The same light with a mean luma of 1.
    #[must_use]
    pub fn of_mean_one(&self) -> Self {
        self.scaled([1.0 / luma(self.mean()).max(1e-3); 3])
    }

    /// Part of the way from the even light to this one: 0 is even, 1 this.
    #[must_use]
    pub fn softened(&self, share: f32) -> Self {
        let even = Harmonics::constant([1.0 - share; 3]);
        let lit = self.scaled([share; 3]);
        Self { ambient: even.plus(&lit.ambient), sun: lit.sun }
    }

    /// The share of the light on level ground that the sun brings, by channel.
    #[must_use]
    pub fn sun_share(&self, up: [f32; 3]) -> [f32; 3] {
        let open = self.ambient.at(up).map(|l| l.max(LEAST));
        let sun = self.sun.map_or([0.0; 3], |s| {
            let facing = vec3(s.toward).dot(vec3(up)).max(0.0);
            s.color.map(|c| c * facing)
        });
        std::array::from_fn(|c| sun[c] / (sun[c] + open[c]))
    }
}

/// A colour of luma 1 for a warmth between −1 and 1.
fn tint(warmth: f32) -> [f32; 3] {
    let color = [1.0 + 0.45 * warmth, 1.0 + 0.02 * warmth, 1.0 - 0.55 * warmth];
    color.map(|c| c / luma(color))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suns_place_is_seen_from_the_camera() {
        let toward = |azimuth, elevation| {
            SunOptions { azimuth, elevation, ..SunOptions::default() }.toward(UP).unwrap()
        };
        let near = |a: [f32; 3], b: [f32; 3]| (vec3(a) - vec3(b)).length() < 1e-5;
        assert!(near(toward(0.0, 90.0), UP));
        assert!(near(toward(90.0, 1.0), [0.999_848, -0.017_452, 0.0]));
        assert!(toward(180.0, 20.0)[2] < -0.9 && toward(0.0, 20.0)[2] > 0.9);
        let wrong = SunOptions { elevation: f32::NAN, ..SunOptions::default() };
        assert!(wrong.toward(UP).is_err());
    }

    #[test]
    fn a_given_sun_keeps_the_mean_and_tints() {
        let light = SceneLight::from_sun(&SunOptions { warmth: 0.8, ..SunOptions::default() }, UP).unwrap();
        assert!((luma(light.mean()) - 1.0).abs() < 1e-4);
        let sun = light.sun.unwrap();
        let (lit, dark) = (light.shade(sun.toward, 1.0), light.shade(sun.toward, 0.0));
        assert!(lit[0] > dark[0] + 0.5 && lit[0] / lit[2] > dark[0] / dark[2]);
        let half = light.softened(0.5).shade(sun.toward, 1.0);
        assert!((half[1] - 0.5 - 0.5 * lit[1]).abs() < 1e-4);
        let share = light.sun_share(UP);
        assert!(share[0] > 0.3 && share[0] < 0.9 && share[0] > share[2]);
    }

    #[test]
    fn it_comes_back_from_json() {
        let light = SceneLight::from_sun(&SunOptions::default(), UP).unwrap();
        let text = serde_json::to_string(&light).unwrap();
        assert_eq!(serde_json::from_str::<SceneLight>(&text).unwrap(), light);
    }
}
