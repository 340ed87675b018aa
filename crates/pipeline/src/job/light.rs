//! The scene's light on the avatar, its shadow and its edges.

use super::settings::settings;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::str::FromStr;

settings! {
    /// The scene's light on the avatar, its shadow on the ground, its edges. Nothing of it changes a condition unless it is asked
    /// for here, or somebody is replaced in a raw video.
    #[heading = "Light"]
    pub struct Light, changed by LightChanges {
        /// Where the avatar's light comes from.
        #[arg(long = "light")]
        source: LightSource [LightSource] = LightSource::Given,
        /// The sun's place in degrees, AZIMUTH,ELEVATION: about the vertical from where the camera looks to the right (90 is
        /// right, 180 behind the camera), and above the horizon.
        #[arg(long, value_name = "AZIMUTH,ELEVATION", allow_hyphen_values = true)]
        sun: Option<SunPlace> [SunPlace] = None,
        /// The sun's light on what faces it, for one part of light from everywhere.
        #[arg(long)]
        sun_strength: f32 [f32] = 2.0,
        /// The sun's colour: 0 is white, 1 an evening's, -1 as blue as that is red.
        #[arg(long, allow_hyphen_values = true)]
        sun_warmth: f32 [f32] = 0.25,
        /// The scene's surroundings as an equirectangular .hdr or .exr picture.
        #[arg(long)]
        environment: Option<PathBuf> [PathBuf] = None,
        /// Degrees right of that picture's middle at which the camera looks.
        #[arg(long, allow_hyphen_values = true)]
        environment_turn: f32 [f32] = 0.0,
        /// A light that was found in a video: the light.json of a demo scene or of a work folder.
        #[arg(long = "light-file")]
        file: Option<PathBuf> [PathBuf] = None,
        /// How much of the light the avatar takes on, 0 to 1.
        #[arg(long = "light-strength")]
        strength: f32 [f32] = 1.0,
        /// Throws the avatar's shadow on the ground under its feet; where it is absent, if a light is known.
        #[arg(long, num_args = 0..=1, default_missing_value = "true")]
        cast_shadow: Option<bool> [bool] = None,
        /// How dark that shadow is: 1 as the light says.
        #[arg(long)]
        shadow_strength: f32 [f32] = 1.0,
        /// Gives the avatar's edge the background's blur, and the avatar its grain; where it is absent, if a light is known.
        #[arg(long, num_args = 0..=1, default_missing_value = "true")]
        match_edges: Option<bool> [bool] = None,
    }
}

/// Where an avatar's light comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum LightSource {
    /// Nowhere, whatever else is given: the avatar keeps the light that it was made in.
    Off,
    /// From a sun, surroundings or a light file where one is given; else nowhere.
    Given,
    /// From what is given, else from the person who is replaced, else from the background around the avatar.
    Auto,
}

/// The sun's place in degrees.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "[f32; 2]", into = "[f32; 2]")]
pub struct SunPlace {
    /// About the vertical, from where the camera looks to the right.
    pub azimuth: f32,
    /// Above the horizon.
    pub elevation: f32,
}

impl From<[f32; 2]> for SunPlace {
    fn from([azimuth, elevation]: [f32; 2]) -> Self {
        Self { azimuth, elevation }
    }
}

impl From<SunPlace> for [f32; 2] {
    fn from(place: SunPlace) -> Self {
        [place.azimuth, place.elevation]
    }
}

impl FromStr for SunPlace {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let wrong = || format!("{text:?}: write AZIMUTH,ELEVATION in degrees, as in 120,45");
        let (azimuth, elevation) = text.split_once(',').ok_or_else(wrong)?;
        let number = |t: &str| t.trim().parse().map_err(|_| wrong());
        Ok(Self { azimuth: number(azimuth)?, elevation: number(elevation)? })
    }
}

impl Light {
    /// Is there a light to shade by, or will one be looked for?
    #[must_use]
    pub fn is_on(&self) -> bool {
        match self.source {
            LightSource::Off => false,
            LightSource::Given => self.is_given(),
            LightSource::Auto => true,
        }
    }

    /// Is a light given?
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.sun.is_some() || self.environment.is_some() || self.file.is_some()
    }

    /// Is a shadow thrown?
    #[must_use]
    pub fn casts(&self) -> bool {
        self.cast_shadow.unwrap_or_else(|| self.is_on())
    }

    /// Are edges and grain matched?
    #[must_use]
    pub fn edges(&self) -> bool {
        self.match_edges.unwrap_or_else(|| self.is_on())
    }

    pub(crate) fn validate(&self) -> Result<()> {
        let refuse = |option, why: &str| Err(Error::Option { option, why: why.to_owned() });
        let given =
            [self.sun.is_some(), self.environment.is_some(), self.file.is_some()].into_iter().filter(|g| *g);
        if given.count() > 1 {
            return refuse(
                "light.source",
                "give one of a sun, an environment and a light file: each says the whole light",
            );
        }
        if let Some(sun) = &self.sun {
            if !(-360.0..=360.0).contains(&sun.azimuth) {
                return refuse("light.sun", "the azimuth must lie between -360 and 360 degrees");
            }
            if !(1.0..=90.0).contains(&sun.elevation) {
                return refuse("light.sun", "the elevation must lie between 1 and 90 degrees");
            }
        }
        if !(0.0..=20.0).contains(&self.sun_strength) {
            return refuse("light.sun_strength", "must lie between 0 and 20");
        }
        if !(-1.0..=1.0).contains(&self.sun_warmth) {
            return refuse("light.sun_warmth", "must lie between -1 and 1");
        }
        if !(-360.0..=360.0).contains(&self.environment_turn) {
            return refuse("light.environment_turn", "must lie between -360 and 360 degrees");
        }
        if !(0.0..=1.0).contains(&self.strength) {
            return refuse("light.strength", "must lie between 0 and 1");
        }
        if !(0.0..=2.0).contains(&self.shadow_strength) {
            return refuse("light.shadow_strength", "must lie between 0 and 2");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_switches_it_on_and_off_stays_off() {
        let mut light = Light::default();
        assert!(!light.is_on() && !light.casts() && !light.edges());
        light.sun = Some("120,45".parse().unwrap());
        assert!(light.is_on() && light.casts() && light.edges());
        light.cast_shadow = Some(false);
        assert!(!light.casts() && light.edges());
        light.source = LightSource::Off;
        assert!(!light.is_on() && !light.edges());
        assert!(Light { source: LightSource::Auto, ..Light::default() }.is_on());
    }

    #[test]
    fn places_are_read_and_wrong_ones_refused() {
        assert_eq!("-30, 12.5".parse::<SunPlace>().unwrap(), SunPlace { azimuth: -30.0, elevation: 12.5 });
        for wrong in ["", "30", "a,b", "1,2,3"] {
            assert!(wrong.parse::<SunPlace>().unwrap_err().contains("AZIMUTH"), "{wrong}");
        }
        let refused = |change: fn(&mut Light)| {
            let mut light = Light::default();
            change(&mut light);
            match light.validate() {
                Err(Error::Option { option, .. }) => option,
                other => panic!("{other:?}"),
            }
        };
        assert!(Light::default().validate().is_ok());
        assert_eq!(refused(|l| l.sun = Some([10.0, 0.0].into())), "light.sun");
        assert_eq!(refused(|l| l.sun = Some([f32::NAN, 10.0].into())), "light.sun");
        assert_eq!(refused(|l| l.strength = 1.5), "light.strength");
        assert_eq!(refused(|l| l.sun_warmth = f32::NAN), "light.sun_warmth");
        let both = |l: &mut Light| {
            l.sun = Some([10.0, 40.0].into());
            l.environment = Some("sky.hdr".into());
        };
        assert_eq!(refused(both), "light.source");
    }
}
