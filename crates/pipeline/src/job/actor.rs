//! One avatar, its motion, and where it stands.

use super::Job;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use smplx::Stance;
use std::path::PathBuf;
use std::str::FromStr;

/// One avatar and its motion.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Actor {
    /// `*_gaussian.pth` or `.safetensors`; or Gaussians without a body (`.ply`, `.splat`, `.spz`), which follow the pelvis as they
    /// are.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub avatar: PathBuf,
    /// A folder of AniCrafter's parameter files, an AMASS `.npz`, an own motion file, or an estimator's result
    /// ([`smplx::Motion::open_with`]). Empty where it is to be found in the raw video.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub motion: PathBuf,
    /// Where it stands, counted from where the motion has it.
    #[serde(default, skip_serializing_if = "GroundPlace::is_the_motions")]
    pub place: GroundPlace,
    /// Whose proportions it has.
    #[serde(default, skip_serializing_if = "Proportions::are_the_avatars")]
    pub proportions: Proportions,
}

/// Whose bones' lengths, shoulders and size of the head an avatar has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Proportions {
    /// Its own.
    #[default]
    Avatar,
    /// Those of the body that the motion was fitted with: its betas, or the mean body where it has none.
    Motion,
}

impl Proportions {
    fn are_the_avatars(&self) -> bool {
        *self == Self::Avatar
    }
}

impl Actor {
    /// An avatar that stands where its motion says.
    #[must_use]
    pub fn new(avatar: impl Into<PathBuf>, motion: impl Into<PathBuf>) -> Self {
        Self { avatar: avatar.into(), motion: motion.into(), ..Self::default() }
    }
}

/// Where an avatar stands, counted from where its motion has it: along the ground, as the camera sees it. As text
/// `RIGHT,AWAY[,TURN]`: `0.8,0` is 0.8 metres to the right, `0,1.5,90` is 1.5 metres farther away and a quarter turn to its left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct GroundPlace {
    /// Metres to the picture's right.
    pub right_m: f32,
    /// Metres away from the camera.
    pub away_m: f32,
    /// Degrees by which it is turned to its own left about where it stands first, and its path with it.
    pub turn_degrees: f32,
}

impl GroundPlace {
    /// Is it where the motion has it?
    #[must_use]
    pub fn is_the_motions(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn stance(self) -> Stance {
        Stance { right: self.right_m, away: self.away_m, turn: self.turn_degrees.to_radians() }
    }
}

impl FromStr for GroundPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let why = || {
            format!(
                "{text:?} isn't RIGHT,AWAY or RIGHT,AWAY,TURN in metres and degrees, such as 0.8,0 or 0,1.5,90"
            )
        };
        let numbers: Vec<f32> =
            text.split(',').map(|part| part.trim().parse()).collect::<Result<_, _>>().map_err(|_| why())?;
        let (right_m, away_m, turn_degrees) = match numbers[..] {
            [right, away] => (right, away, 0.0),
            [right, away, turn] => (right, away, turn),
            _ => return Err(why()),
        };
        let place = Self { right_m, away_m, turn_degrees };
        place.check().map(|()| place)
    }
}

/// Metres by which an avatar may be moved: farther than any street.
const FARTHEST_M: f32 = 1000.0;

impl GroundPlace {
    fn check(self) -> Result<(), String> {
        for (name, metres) in [("right", self.right_m), ("away", self.away_m)] {
            if !(metres.abs() <= FARTHEST_M) {
                return Err(format!("{metres} metres {name}: at most {FARTHEST_M} either way are taken"));
            }
        }
        if !(self.turn_degrees.abs() <= 360.0) {
            return Err(format!("a turn of {} degrees: -360 to 360 are taken", self.turn_degrees));
        }
        Ok(())
    }
}

impl Job {
    /// Refuses places that are none.
    pub(super) fn check_places(&self) -> Result<()> {
        let moved = self.input.actors.iter().any(|actor| !actor.place.is_the_motions());
        if moved && self.input.mesh_video.is_some() {
            let why = "a ready render shows the body where the motion has it: leave it out where an avatar has a place";
            return Err(Error::Option { option: "input.mesh_video", why: why.to_owned() });
        }
        for (n, actor) in self.input.actors.iter().enumerate() {
            actor.place.check().map_err(|why| Error::Option {
                option: "input.actors",
                why: format!("avatar {}: {why}", n + 1),
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_written_as_numbers() {
        let place = GroundPlace { right_m: 0.8, away_m: -1.5, turn_degrees: 90.0 };
        assert_eq!("0.8, -1.5, 90".parse(), Ok(place));
        assert_eq!("0.8,-1.5".parse(), Ok(GroundPlace { turn_degrees: 0.0, ..place }));
        for wrong in ["", "1", "1,2,3,4", "left,0", "nan,0", "0,inf", "5000,0", "0,0,400"] {
            assert!(wrong.parse::<GroundPlace>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn who_stands_where_the_motion_says_is_written_as_before() {
        let mut actor = Actor::new("a.pth", "m");
        assert_eq!(serde_json::to_string(&actor).unwrap(), r#"{"avatar":"a.pth","motion":"m"}"#);
        actor.place.away_m = 2.0;
        let text = serde_json::to_string(&actor).unwrap();
        assert_eq!(serde_json::from_str::<Actor>(&text).unwrap(), actor);
        let short = r#"{"avatar":"a.pth","motion":"m","place":{"away_m":2.0}}"#;
        assert_eq!(serde_json::from_str::<Actor>(short).unwrap(), actor);
        assert!(serde_json::from_str::<Actor>(r#"{"avatar":"a.pth","place":{"up_m":2.0}}"#).is_err());
    }

    #[test]
    fn a_place_out_of_the_world_is_refused() {
        let mut job = crate::JobChanges::default().into_job();
        job.input.actors = vec![Actor::new("a.pth", "m"), Actor::new("b.pth", "m")];
        job.check_places().unwrap();
        job.input.actors[1].place.right_m = f32::NAN;
        let error = job.check_places().unwrap_err().to_string();
        assert!(error.contains("avatar 2"), "{error}");
    }
}
