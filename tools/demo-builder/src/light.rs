//! The street's light as the composite takes it: for each frame in its camera's axes.

use crate::stage::{FRAMES, View, sun};
use glam::Vec3;
use scene_light::{Harmonics, SceneLight, Sun};

/// The sun's light on an avatar: softer than bare, since the street throws back light from everywhere.
const SUN: Vec3 = Vec3::new(1.55, 1.40, 1.18);
/// What comes from above and below.
const SKY: Vec3 = Vec3::new(0.44, 0.52, 0.64);
const GROUND: Vec3 = Vec3::new(0.44, 0.43, 0.42);
/// The half-shadow's width a metre behind what casts it.
const SOFTNESS: f32 = 0.022;

/// The light of a frame, for surfaces whose colours were made in a light of 1.
#[must_use]
pub fn of_frame(index: usize) -> SceneLight {
    let turn = View::of_frame(index).turn;
    let ambient = Harmonics::gradient((turn * Vec3::Y).to_array(), GROUND.to_array(), SKY.to_array());
    let sun = Sun { toward: (turn * sun()).to_array(), color: SUN.to_array(), softness: SOFTNESS };
    SceneLight { ambient, sun: Some(sun) }
}

/// The light file of the whole video.
#[must_use]
pub fn file() -> String {
    let shot =
        |start: usize| serde_json::json!({ "start": start, "light": of_frame(start), "absolute": true });
    let shots: Vec<_> = (0..FRAMES).map(shot).collect();
    let notes = serde_json::json!([["sun and sky", "those that the street was computed with"]]);
    let mut file = serde_json::json!({ "shots": shots });
    file["shots"][0]["notes"] = notes;
    file.to_string() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sun_stands_where_the_streets_does() {
        let view = View::of_frame(20);
        let sun_of = of_frame(20).sun.map(|s| s.toward).unwrap_or_default();
        let back = view.turn.transpose() * Vec3::from_array(sun_of);
        assert!((back - sun()).length() < 1e-5);
        let up = (view.turn * Vec3::Y).to_array();
        let share = of_frame(20).sun_share(up);
        assert!((0.55..0.8).contains(&share[0]), "{share:?}");
    }
}
