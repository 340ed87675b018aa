//! The light of a scene and how a camera turns it into bytes.

use crate::noise::FBM;
use crate::random::Random;
use glam::Vec3;

/// Sun, sky and what the ground throws back; linear.
#[derive(Clone, Debug)]
pub struct Light {
    /// Unit vector towards the sun (or the window, or the lamp).
    pub sun: Vec3,
    /// Its light on a surface that faces it.
    pub sun_color: Vec3,
    /// Light from above.
    pub sky: Vec3,
    /// Light from below.
    pub ground: Vec3,
    /// Half-shadow's width a metre behind what casts it, in metres.
    pub softness: f32,
    /// A second light without shadow, from behind: unit vector and colour.
    pub rim: (Vec3, Vec3),
    /// Colours of the sky at the horizon and overhead.
    pub horizon: Vec3,
    /// See `horizon`.
    pub zenith: Vec3,
    /// Share of clouds, 0 to 1.
    pub clouds: f32,
    /// Distance in metres at which half of what is seen is haze.
    pub haze: f32,
    cloud_shift: [f32; 2],
}

/// Kinds of light.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Sun and blue sky.
    Sunny,
    /// A veiled sun: soft shadows.
    Hazy,
    /// No sun.
    Overcast,
    /// A low, warm sun.
    Evening,
    /// A window or lamps.
    Indoor,
    /// After sunset, lit from one side.
    Dusk,
}

impl Light {
    /// Draws a light of a kind; the sun shines from any side.
    #[must_use]
    pub fn random(random: &mut Random, weather: Weather) -> Self {
        let azimuth = random.range(0.0, std::f32::consts::TAU);
        let elevation: f32 = match weather {
            Weather::Evening => random.range(0.22, 0.5),
            Weather::Indoor => random.range(0.5, 1.25),
            Weather::Dusk => random.range(0.35, 0.9),
            _ => random.range(0.5, 1.2),
        };
        let sun =
            Vec3::new(elevation.cos() * azimuth.sin(), elevation.sin(), elevation.cos() * azimuth.cos());
        let v = Vec3::new;
        let (sun_color, sky, softness) = match weather {
            Weather::Sunny => (v(1.0, 0.93, 0.82) * random.range(2.2, 3.6), v(0.50, 0.62, 0.82), 0.02),
            Weather::Hazy => (v(1.0, 0.95, 0.87) * random.range(1.2, 2.0), v(0.72, 0.76, 0.82), 0.09),
            Weather::Overcast => (v(1.0, 1.0, 1.0) * random.range(0.12, 0.4), v(0.95, 0.98, 1.03), 0.3),
            Weather::Evening => (v(1.0, 0.68, 0.40) * random.range(1.8, 2.8), v(0.38, 0.44, 0.60), 0.025),
            Weather::Indoor => {
                let warm = random.unit();
                let tint = v(1.0, 0.93, 0.84).lerp(v(1.0, 0.80, 0.58), warm);
                (tint * random.range(0.8, 2.2), v(0.62, 0.60, 0.56).lerp(v(0.62, 0.55, 0.44), warm), 0.10)
            }
            Weather::Dusk => {
                let tint = if random.chance(0.85) {
                    v(1.0, 0.70, 0.38)
                } else {
                    random.color().lerp(Vec3::ONE * 0.4, 0.5) * 1.6
                };
                (tint * random.range(0.6, 1.4), v(0.16, 0.20, 0.32), 0.05)
            }
        };
        let sky = sky * random.range(0.75, 1.15);
        let rim = if random.chance(0.15) {
            let side = random.range(-1.0, 1.0);
            let d = v(side, random.range(0.1, 0.8), -random.range(0.4, 1.0)).normalize();
            (d, (Vec3::ONE * 0.6 + random.color()) * random.range(0.3, 1.0))
        } else {
            (Vec3::NEG_Z, Vec3::ZERO)
        };
        let bright = sky.max_element();
        let (horizon, zenith) = match weather {
            Weather::Sunny | Weather::Indoor => (v(0.75, 0.85, 0.98), v(0.20, 0.42, 0.85)),
            Weather::Hazy => (v(0.95, 0.94, 0.92), v(0.60, 0.72, 0.88)),
            Weather::Overcast => (v(0.95, 0.96, 0.98), v(0.72, 0.75, 0.79)),
            Weather::Evening => (v(1.1, 0.72, 0.45), v(0.30, 0.38, 0.62)),
            Weather::Dusk => (v(0.32, 0.22, 0.26), v(0.05, 0.07, 0.16)),
        };
        Self {
            sun,
            sun_color,
            sky,
            ground: Vec3::splat(0.2 * bright),
            softness: softness * random.range(0.7, 1.5),
            rim,
            horizon: horizon * random.range(0.8, 1.2),
            zenith: zenith * random.range(0.8, 1.2),
            clouds: if weather == Weather::Overcast { 0.9 } else { random.range(0.0, 0.7) },
            haze: if random.chance(0.3) { random.range(25.0, 80.0) } else { 400.0 },
            cloud_shift: [random.unit(), random.unit()],
        }
    }

    /// What the ground throws back, from its colour.
    pub fn bounce(&mut self, albedo: Vec3) {
        let down = self.sun.y.max(0.0) * self.sun_color * 0.5 + self.sky;
        // Paler than the ground alone: what stands around throws back light too.
        let gray = albedo.dot(Vec3::splat(1.0 / 3.0));
        self.ground = albedo.lerp(Vec3::splat(gray.max(0.12)), 0.45) * down * 0.6;
    }

    /// Light from everywhere on a surface with a normal.
    #[must_use]
    #[inline]
    pub fn ambient(&self, normal: Vec3) -> Vec3 {
        self.ground.lerp(self.sky, 0.5 + 0.5 * normal.y)
    }

    /// What the sky shows in a direction of the world.
    #[must_use]
    pub fn sky_in(&self, d: Vec3) -> Vec3 {
        let up = (d.y / d.length()).max(0.0);
        let mut c = self.horizon.lerp(self.zenith, up.powf(0.55).min(1.0));
        if self.clouds > 0.0 && d.y > 0.0 {
            let far = 1.0 / (d.y / d.length() + 0.12);
            let u = d.x * far * 0.11 + self.cloud_shift[0];
            let w = d.z * far * 0.11 + self.cloud_shift[1];
            let cover = ((FBM.at(u, w, 0.004) + 2.4 * self.clouds - 1.4) * 0.7).clamp(0.0, 1.0);
            let bright = (self.horizon * 0.5 + self.sun_color * 0.22 + self.sky * 0.25).min(Vec3::splat(1.3));
            c = c.lerp(bright, cover * 0.85 * (up * 8.0).min(1.0));
        }
        c
    }
}

/// Exposure, white balance, contrast: from linear light to what is displayed.
#[derive(Clone, Debug)]
pub struct Film {
    gain: Vec3,
    saturation: f32,
    curve: Vec<f32>,
}

/// Entries of the curve for each unit of linear light; it ends at 4.
const CURVE_STEPS: usize = 1024;

impl Film {
    /// Draws a camera's settings around an exposure that suits the light.
    #[must_use]
    pub fn random(random: &mut Random, light: &Light) -> Self {
        let level = light.sky.dot(Vec3::splat(1.0 / 3.0)) * 0.75
            + light.sun_color.dot(Vec3::splat(1.0 / 3.0)) * (0.25 + 0.35 * light.sun.y);
        let key = 0.95 * 2.0_f32.powf(random.range(-0.45, 0.45));
        let tint = Vec3::new(1.0 + 0.07 * random.signed(), 1.0, 1.0 + 0.07 * random.signed());
        Self::new(
            tint * key / level.max(0.05).powf(0.9),
            random.range(0.75, 1.15),
            random.range(0.9, 1.25),
            random.range(0.0, 0.035),
        )
    }

    /// Settings by hand: linear gain, saturation, contrast, black level.
    #[must_use]
    pub fn new(gain: Vec3, saturation: f32, contrast: f32, black: f32) -> Self {
        let curve = (0..4 * CURVE_STEPS + 2)
            .map(|i| {
                let x = i as f32 / CURVE_STEPS as f32;
                // Soft shoulder, then the display's curve, then contrast around the middle.
                let x = x * (1.0 + x / 9.0) / (1.0 + 0.55 * x);
                let s = if x < 0.003_130_8 { 12.92 * x } else { 1.055 * x.powf(1.0 / 2.4) - 0.055 };
                let s = s.min(1.0);
                let curved = s * s * (3.0 - 2.0 * s);
                let s = s + (curved - s) * (contrast - 1.0) * 2.0;
                (black + (1.0 - black) * s).clamp(0.0, 1.0) * 255.0
            })
            .collect();
        Self { gain, saturation, curve }
    }

    /// Displayed levels, 0 to 255, of linear light.
    #[must_use]
    #[inline]
    pub fn display(&self, light: Vec3) -> Vec3 {
        let c = light * self.gain;
        let gray = c.dot(Vec3::new(0.2126, 0.7152, 0.0722));
        let c = Vec3::splat(gray) + (c - Vec3::splat(gray)) * self.saturation;
        Vec3::new(self.level(c.x), self.level(c.y), self.level(c.z))
    }

    #[inline]
    fn level(&self, x: f32) -> f32 {
        let at = x.clamp(0.0, 4.0) * CURVE_STEPS as f32;
        let i = at as usize;
        let (a, b) = (self.curve[i], self.curve[i + 1]);
        a + (b - a) * (at - i as f32)
    }
}
