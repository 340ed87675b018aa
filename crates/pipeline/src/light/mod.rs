//! Lights of a video, shot by shot: what a light file holds.

pub(crate) mod find;

use crate::work::{read_json, write_atomically};
use crate::{Error, Result};
use scene_light::SceneLight;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The light of a shot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShotLight {
    /// Its first frame.
    pub start: usize,
    /// The light in the camera's axes; `None` where it can't be told.
    pub light: Option<SceneLight>,
    /// What the person who was there sends, linear; `None` where it isn't known.
    #[serde(default)]
    pub person: Option<[f32; 3]>,
    /// Is the light's brightness known too, and not only how it is distributed?
    #[serde(default)]
    pub absolute: bool,
    /// Does the background show that person's own shadow?
    #[serde(default)]
    pub own_shadow: bool,
    /// What was found, in words: name and value.
    #[serde(default)]
    pub notes: Vec<(String, String)>,
}

/// The lights of a video, in the order of its shots.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lights {
    /// The shots; the first begins with the video.
    pub shots: Vec<ShotLight>,
    /// Where the background was filled in, if it was.
    #[serde(default)]
    pub hole: Option<Hole>,
}

/// Where a background was filled in: there, a shadow that it shows elsewhere is missing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hole {
    /// The masks of the person who was there.
    pub masks: PathBuf,
    /// From which level on a pixel is the person's.
    pub level: u8,
    /// Pixels by which they were grown.
    pub grow_px: f32,
}

impl Lights {
    /// Reads a light file.
    ///
    /// # Errors
    /// When it can't be read, isn't one, or a number in it isn't finite.
    pub fn read(path: &Path) -> Result<Self> {
        let lights: Self = read_json(path)?;
        let damaged = |why: &str| Error::Damaged { path: path.to_owned(), why: why.to_owned() };
        if lights.shots.is_empty() {
            return Err(damaged("it has no shots"));
        }
        if lights.shots.windows(2).any(|pair| pair[0].start >= pair[1].start) {
            return Err(damaged("its shots aren't in order"));
        }
        for light in lights.shots.iter().filter_map(|shot| shot.light.as_ref()) {
            let sun = light.sun.iter().flat_map(|s| [s.toward, s.color, [s.softness; 3]].concat());
            if light.ambient.0.iter().flatten().copied().chain(sun).any(|v| !(v.abs() <= 1e3)) {
                return Err(damaged("a number of a light isn't finite, or out of all bounds"));
            }
        }
        Ok(lights)
    }

    /// Writes one.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let json = serde_json::to_vec_pretty(self).map_err(|e| Error::Settings(e.to_string()))?;
        write_atomically(path, &json)
    }

    /// The shot of a frame.
    #[must_use]
    pub fn at(&self, frame: usize) -> Option<&ShotLight> {
        self.shots.iter().rev().find(|shot| shot.start <= frame).or(self.shots.first())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shot(start: usize) -> ShotLight {
        let light = Some(SceneLight::even());
        ShotLight { start, light, person: None, absolute: false, own_shadow: false, notes: Vec::new() }
    }

    #[test]
    fn each_frame_has_its_shot() {
        let lights = Lights { shots: vec![shot(0), shot(10)], hole: None };
        let start = |frame| lights.at(frame).map(|s| s.start);
        assert_eq!([start(0), start(9), start(10), start(99)], [Some(0), Some(0), Some(10), Some(10)]);
        assert_eq!(Lights::default().at(3), None);
    }

    #[test]
    fn files_come_back_and_damaged_ones_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("light.json");
        let lights = Lights { shots: vec![shot(0), shot(10)], hole: None };
        lights.write(&path).unwrap();
        assert_eq!(Lights::read(&path).unwrap(), lights);
        for text in ["{}", "{\"shots\": []}", "nothing", "{\"shots\": [{\"start\": 0, \"light\": 3}]}"] {
            std::fs::write(&path, text).unwrap();
            assert!(Lights::read(&path).is_err(), "{text}");
        }
        Lights { shots: vec![shot(5), shot(5)], hole: None }.write(&path).unwrap();
        assert!(Lights::read(&path).is_err());
    }
}
