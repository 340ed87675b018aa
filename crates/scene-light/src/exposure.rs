//! How bright an avatar has to be in a scene.
//!
//! A person's brightness in a picture is their own colour times the light; neither is known of an avatar in a scene where it never was. What
//! can be told from its own level, from the plate's around it, and from that of somebody who stood there, is a sum of their logarithms,
//! whose weights are near those of a least-squares fit on clips whose truth is known (`cargo xtask eval-composite -- --fit 64`, training
//! clips). Of the colours the plate's alone counts, as the fit of the other two is hardly better than none.

use crate::{display, linear, luma};
use avatar_render::{Colors, Gaussians};
use image::RgbImage;

/// What is known of the levels: linear light, the geometric mean over what is seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Levels {
    /// The avatar's, in the light that it was made in.
    pub avatar: [f32; 3],
    /// The plate's around the avatar.
    pub plate: [f32; 3],
    /// That of the person who was there, where there was one.
    pub person: Option<[f32; 3]>,
}

impl Levels {
    /// The level of an avatar's Gaussians as far as they face the camera; `None` where none does.
    #[must_use]
    pub fn of_avatar(gaussians: &Gaussians, normals: &[[f32; 3]]) -> Option<[f32; 3]> {
        let Colors::Rgb(colors) = &gaussians.colors else { return None };
        let (mut sums, mut weights) = ([0.0_f64; 3], 0.0_f64);
        let all = colors.iter().zip(normals).zip(&gaussians.scales).zip(&gaussians.means);
        for (((color, normal), scale), mean) in all {
            let facing: f32 = -(0..3).map(|k| normal[k] * mean[k]).sum::<f32>();
            let area = scale[0] * scale[1];
            if facing > 0.0 && area.is_finite() {
                let distance = mean.iter().map(|m| m * m).sum::<f32>().sqrt().max(1e-3);
                let weight = f64::from(area * facing / distance);
                for (s, c) in sums.iter_mut().zip(color) {
                    *s += weight * f64::from(linear(*c).max(DARKEST).ln());
                }
                weights += weight;
            }
        }
        (weights > 0.0).then(|| sums.map(|s| (s / weights).exp() as f32))
    }

    /// The level of a plate around somebody: within a quarter of their height of the rectangle that they fill, but not on them.
    /// `alpha` is `[H, W]`. `None` where nothing is left.
    #[must_use]
    pub fn around(plate: &RgbImage, alpha: &[f32]) -> Option<[f32; 3]> {
        let (w, h) = (plate.width() as usize, plate.height() as usize);
        let (mut x0, mut x1, mut y0, mut y1) = (w, 0, h, 0);
        for (y, row) in alpha.chunks_exact(w.max(1)).enumerate().take(h) {
            let inside = |a: &f32| *a > 0.5;
            if let (Some(first), Some(last)) = (row.iter().position(inside), row.iter().rposition(inside)) {
                (x0, x1) = (x0.min(first), x1.max(last));
                (y0, y1) = (y0.min(y), y1.max(y));
            }
        }
        if x0 > x1 {
            return None;
        }
        let margin = (y1 - y0) / 4 + 2;
        let (x0, y0) = (x0.saturating_sub(margin), y0.saturating_sub(margin));
        let (x1, y1) = ((x1 + margin).min(w - 1), (y1 + margin).min(h - 1));
        let logs: [f32; 256] = std::array::from_fn(|v| linear(v as f32 / 255.0).max(DARKEST).ln());
        let (mut sums, mut n) = ([0.0_f64; 3], 0.0_f64);
        for y in y0..=y1 {
            for x in x0..=x1 {
                if alpha[y * w + x] < 0.02 {
                    let pixel = &plate.as_raw()[3 * (y * w + x)..];
                    for (s, v) in sums.iter_mut().zip(pixel) {
                        *s += f64::from(logs[usize::from(*v)]);
                    }
                    n += 1.0;
                }
            }
        }
        (n > 0.0).then(|| sums.map(|s| (s / n).exp() as f32))
    }

    /// A level as it is displayed, 0 to 255.
    #[must_use]
    pub fn shown(level: [f32; 3]) -> [f32; 3] {
        level.map(|l| 255.0 * display(l))
    }
}

/// Darker than this isn't told apart.
const DARKEST: f32 = 2e-3;

/// The numbers: how the logarithm of the avatar's gain follows from the logarithms of the levels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exposure {
    /// Of the luma: constant, avatar, plate, person.
    pub luma: [f32; 4],
    /// Of each channel against the luma: avatar, plate, person.
    pub chroma: [f32; 3],
}

/// No gain is larger or smaller than this, as a factor of linear light.
const MOST: f32 = 3.0;

impl Exposure {
    /// For scenes in which somebody was.
    pub const WITH_PERSON: Self = Self { luma: [0.125, -0.205, 0.154, 0.233], chroma: [0.0, 0.12, 0.0] };
    /// For scenes of which only the plate is known.
    pub const WITHOUT: Self = Self { luma: [-0.22, -0.15, 0.275, 0.0], chroma: [0.0, 0.15, 0.0] };

    /// The gains of linear light for the levels that are known.
    #[must_use]
    pub fn gains(levels: &Levels) -> [f32; 3] {
        match levels.person {
            Some(_) => Self::WITH_PERSON.of(levels),
            None => Self::WITHOUT.of(levels),
        }
    }

    /// The gains by these numbers.
    #[must_use]
    pub fn of(&self, levels: &Levels) -> [f32; 3] {
        let (features, colors) = features(levels);
        let base: f32 = self.luma.iter().zip(features).map(|(k, f)| k * f).sum();
        std::array::from_fn(|c| {
            let color: f32 = self.chroma.iter().zip(colors[c]).map(|(k, f)| k * f).sum();
            (base + color).exp().clamp(1.0 / MOST, MOST)
        })
    }
}

/// What the numbers of [`Exposure`] multiply: for the luma, and for each channel.
#[must_use]
pub fn features(levels: &Levels) -> ([f32; 4], [[f32; 3]; 3]) {
    let log = |level: [f32; 3]| luma(level).max(1e-3).ln();
    let person = levels.person.unwrap_or([1.0; 3]);
    let known = if levels.person.is_some() { 1.0 } else { 0.0 };
    let color = |level: [f32; 3], c: usize| (level[c].max(1e-3) / luma(level).max(1e-3)).ln();
    let lumas = [1.0, log(levels.avatar), log(levels.plate), known * log(person)];
    let colors =
        [0, 1, 2].map(|c| [color(levels.avatar, c), color(levels.plate, c), known * color(person, c)]);
    (lumas, colors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dark_scene_darkens_and_a_warm_one_warms() {
        let levels = |plate: [f32; 3]| Levels { avatar: [0.2; 3], plate, person: None };
        let numbers = Exposure { luma: [0.4, -0.2, 0.3, 0.0], chroma: [-0.1, 0.5, 0.0] };
        let (dark, bright) = (numbers.of(&levels([0.05; 3])), numbers.of(&levels([0.5; 3])));
        assert!(dark[0] < bright[0] && dark[0] == dark[2]);
        let warm = numbers.of(&levels([0.4, 0.2, 0.1]));
        assert!(warm[0] > warm[1] && warm[1] > warm[2]);
        let wild = numbers.of(&levels([0.0; 3]));
        assert!(wild.iter().all(|g| (1.0 / MOST..=MOST).contains(g)));
    }
}
