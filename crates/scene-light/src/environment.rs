//! An equirectangular picture of the surroundings as light.

#[cfg(feature = "hdri")]
use crate::error::{Error, Result};
use crate::harmonics::Harmonics;
use crate::light::{SceneLight, Sun};
use crate::{luma, vec3};
use glam::{Mat3, Vec3};
use image::Rgb32FImage;
use std::f32::consts::{PI, TAU};
#[cfg(feature = "hdri")]
use std::path::Path;

/// Light from each direction. Its upper edge is straight up, its middle straight ahead.
#[derive(Clone, Debug)]
pub struct Environment {
    picture: Rgb32FImage,
}

/// A spot that shines brighter than its surroundings by this is a sun.
const BRIGHTER: f32 = 8.0;
/// How far around its brightest place a sun reaches, in radians.
const SUN_RADIUS: f32 = 0.12;

impl Environment {
    /// A picture of linear light, twice as wide as high.
    ///
    /// # Errors
    /// When it has another shape or shows nothing but black.
    pub fn new(picture: Rgb32FImage) -> std::result::Result<Self, String> {
        let (w, h) = picture.dimensions();
        if w < 8 || w != 2 * h {
            return Err(format!("{w}×{h} pixels: an equirectangular picture is twice as wide as high"));
        }
        if picture.iter().any(|v| !v.is_finite() || *v < 0.0) {
            return Err("it holds numbers that aren't light (negative or not finite)".to_owned());
        }
        if picture.iter().all(|v| *v == 0.0) {
            return Err("it is black everywhere".to_owned());
        }
        Ok(Self { picture })
    }

    /// Reads `.hdr` and `.exr` files.
    ///
    /// # Errors
    /// When the file can't be read, or isn't such a picture.
    #[cfg(feature = "hdri")]
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |why: String| Error::Environment { path: path.to_owned(), why };
        let bytes = std::fs::read(path).map_err(|e| failed(e.to_string()))?;
        let reader = image::ImageReader::new(std::io::Cursor::new(bytes))
            .with_guessed_format()
            .map_err(|e| failed(e.to_string()))?;
        match reader.format() {
            Some(image::ImageFormat::Hdr | image::ImageFormat::OpenExr) => {}
            _ => {
                let why = "neither a Radiance .hdr nor an OpenEXR picture: light needs more than 8 bits";
                return Err(failed(why.to_owned()));
            }
        }
        let picture = reader.decode().map_err(|e| failed(e.to_string()))?;
        Self::new(picture.into_rgb32f()).map_err(failed)
    }

    /// The light, where `up` is up and the camera looks at the column that is `turn` degrees right of the middle. Its mean is 1.
    #[must_use]
    pub fn light(&self, up: [f32; 3], turn: f32) -> SceneLight {
        let axes = axes(vec3(up), turn);
        let (w, h) = self.picture.dimensions();
        let direction = |x: u32, y: u32| {
            let (phi, theta) = ((x as f32 + 0.5) / w as f32 * TAU - PI, (y as f32 + 0.5) / h as f32 * PI);
            let (s, c) = theta.sin_cos();
            axes * Vec3::new(s * phi.sin(), c, s * phi.cos())
        };
        let area = |y: u32| {
            let top = (y as f32 / h as f32 * PI).cos();
            let low = ((y + 1) as f32 / h as f32 * PI).cos();
            (top - low) * TAU / w as f32
        };
        // The brightest place of a slightly smoothed picture.
        let (mut total, mut best) = (0.0, (0.0, Vec3::ZERO));
        for y in 0..h {
            for x in 0..w {
                let light = luma(self.picture.get_pixel(x, y).0);
                total += light * area(y);
                if light > best.0 {
                    best = (light, direction(x, y));
                }
            }
        }
        let mean = total / (2.0 * TAU);
        let has_sun = best.0 > BRIGHTER * mean;
        // What lies near it, over what its surroundings would give.
        let (mut radiance, mut sun, mut toward) = (Harmonics::default(), [0.0_f32; 3], Vec3::ZERO);
        for y in 0..h {
            for x in 0..w {
                let (color, d) = (self.picture.get_pixel(x, y).0, direction(x, y));
                let near = has_sun && d.dot(best.1) > SUN_RADIUS.cos() && luma(color) > 2.0 * mean;
                if near {
                    let kept = color.map(|c| c * 2.0 * mean / luma(color));
                    for (s, (c, k)) in sun.iter_mut().zip(color.iter().zip(kept)) {
                        *s += (c - k) * area(y) / PI;
                    }
                    toward += d * (luma(color) * area(y));
                    radiance.add_radiance(d.to_array(), kept, area(y));
                } else {
                    radiance.add_radiance(d.to_array(), color, area(y));
                }
            }
        }
        let sun = (has_sun && luma(sun) > 0.0).then(|| Sun {
            toward: toward.normalize_or(best.1).to_array(),
            color: sun,
            softness: 0.03,
        });
        SceneLight { ambient: radiance.irradiance(), sun }.of_mean_one()
    }
}

/// From right, up, ahead of the picture to the camera's axes.
fn axes(up: Vec3, turn: f32) -> Mat3 {
    let up = up.normalize_or(Vec3::NEG_Y);
    let ahead = Vec3::Z.reject_from(up).normalize_or(Vec3::X);
    let right = ahead.cross(up);
    let (s, c) = turn.to_radians().sin_cos();
    // The camera's ahead is seen `turn` to the right of the picture's middle.
    Mat3::from_cols(right * c + ahead * s, up, ahead * c - right * s)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::UP;
    use image::Rgb;

    fn sky(sun: Option<(u32, u32)>) -> Environment {
        Environment::new(Rgb32FImage::from_fn(64, 32, |x, y| {
            if sun == Some((x, y)) {
                Rgb([900.0, 800.0, 600.0])
            } else if y < 16 {
                Rgb([0.5, 0.7, 1.0])
            } else {
                Rgb([0.2; 3])
            }
        }))
        .unwrap()
    }

    #[test]
    fn a_sky_lights_from_above() {
        let light = sky(None).light(UP, 0.0);
        assert!(light.sun.is_none());
        let (up, down) = (light.shade(UP, 1.0), light.shade([0.0, 1.0, 0.0], 1.0));
        assert!(up[2] > 2.0 * down[2] && up[2] > up[0], "{up:?} {down:?}");
        assert!((luma(light.mean()) - 1.0).abs() < 1e-3);
    }

    #[test]
    fn a_sun_is_found_where_it_stands_and_turns_with_the_picture() {
        // Three quarters across: on the right. A quarter down: 45 degrees high.
        let environment = sky(Some((48, 8)));
        let sun = environment.light(UP, 0.0).sun.unwrap();
        assert!(sun.toward[0] > 0.6 && sun.toward[1] < -0.6 && sun.toward[2].abs() < 0.1, "{sun:?}");
        assert!(sun.color[0] > sun.color[2]);
        // Looking to the right, it is ahead.
        let turned = environment.light(UP, 90.0).sun.unwrap();
        assert!(turned.toward[2] > 0.6 && turned.toward[0].abs() < 0.1, "{turned:?}");
    }

    #[test]
    fn what_is_no_environment_is_refused() {
        assert!(Environment::new(Rgb32FImage::new(64, 64)).is_err());
        assert!(Environment::new(Rgb32FImage::new(64, 32)).unwrap_err().contains("black"));
        let mut wrong = Rgb32FImage::from_pixel(64, 32, Rgb([1.0; 3]));
        wrong.put_pixel(3, 3, Rgb([f32::NAN; 3]));
        assert!(Environment::new(wrong).is_err());
    }

    #[cfg(feature = "hdri")]
    #[test]
    fn files_are_read_and_wrong_ones_named() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["sky.hdr", "sky.exr"] {
            let path = dir.path().join(name);
            image::DynamicImage::ImageRgb32F(sky(Some((48, 8))).picture).save(&path).unwrap();
            let sun = Environment::open(&path).unwrap().light(UP, 0.0).sun.unwrap();
            assert!(sun.toward[0] > 0.6, "{name}");
        }
        let path = dir.path().join("sky.png");
        image::RgbImage::new(64, 32).save(&path).unwrap();
        let error = Environment::open(&path).unwrap_err().to_string();
        assert!(error.contains("sky.png") && error.contains(".hdr"), "{error}");
        assert!(Environment::open(&dir.path().join("none.exr")).is_err());
    }
}
