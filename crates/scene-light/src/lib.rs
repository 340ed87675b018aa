//! The light of a filmed scene: found on a person, given as a sun or an environment; shading and shadows from it.
//!
//! | what | with |
//! | --- | --- |
//! | light from everywhere and a sun, over surface normals | [`SceneLight`], [`Harmonics`] |
//! | the light on a person in the picture whose body is known | [`Probe`], [`BodyParts`] |
//! | how bright an avatar has to be beside what is seen | [`Exposure`] |
//! | the ground under the feet of somebody who moves | [`Ground`] |
//! | somebody's shadow in a picture, and the sun that throws it | [`find_shadow`] |
//! | avatars shaded, with their shadow on themselves and on the ground | [`Shading`], [`ShadowMap`] |
//!
//! Axes are those of the motion, which are the camera's: x right, y down, z forward; lengths are metres. Pictures are display-coded;
//! light is linear, and relative to the even light that an avatar's colours were made in: [`SceneLight::shade`] says what they are
//! multiplied by.

mod body;
mod environment;
mod error;
mod exposure;
mod ground;
mod harmonics;
mod light;
mod probe;
mod search;
mod shading;
mod shadow;

pub use body::{BodyParts, N_PARTS, PART_NAMES, Soles};
pub use environment::Environment;
pub use error::{Error, Result};
pub use exposure::{Exposure, Levels, features};
pub use ground::{Footing, Ground};
pub use harmonics::Harmonics;
pub use light::{SceneLight, Sun, SunOptions, UP};
pub use probe::{Probe, Probed, Sample};
pub use search::{FoundShadow, ShadowFrame, darkness, find_shadow};
pub use shading::{Shading, shade};
pub use shadow::{CastOptions, ShadowMap, View, cast};

use glam::Vec3;

/// How levels of pictures become light and back: a display's curve as a power.
pub(crate) const GAMMA: f32 = 2.2;

/// Linear light of a display-coded level, 0 to 1.
#[must_use]
pub fn linear(level: f32) -> f32 {
    level.max(0.0).powf(GAMMA)
}

/// The display-coded level, 0 to 1, of linear light.
#[must_use]
pub fn display(light: f32) -> f32 {
    light.max(0.0).powf(1.0 / GAMMA)
}

/// Luma of linear light (BT.709).
#[must_use]
pub fn luma([r, g, b]: [f32; 3]) -> f32 {
    0.2126 * r + 0.7152 * g + 0.0722 * b
}

pub(crate) fn vec3(v: [f32; 3]) -> Vec3 {
    Vec3::from_array(v)
}
