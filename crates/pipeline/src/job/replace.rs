//! Who is replaced in which raw video.

use super::settings::settings;
use crate::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::path::PathBuf;

/// Who is replaced.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Who {
    /// One person, from 1.
    One(usize),
    /// Whoever is at a place of a frame: written `FRAME:X,Y`.
    At {
        /// The frame, from 0.
        frame: usize,
        /// Across and down, as parts of the picture's width and height.
        place: [f32; 2],
    },
    /// Everybody.
    All,
}

impl std::str::FromStr for Who {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => Ok(Self::All),
            place if place.contains(':') => at(place)
                .ok_or_else(|| format!("{place:?} isn't a frame and a place in it, such as 12:0.5,0.4")),
            number => number
                .parse()
                .map(Self::One)
                .map_err(|_| format!("{number:?} is neither a person's number, from 1, nor a place, such as 12:0.5,0.4, nor \"all\"")),
        }
    }
}

/// `FRAME:X,Y`
fn at(text: &str) -> Option<Who> {
    let (frame, place) = text.split_once(':')?;
    let (x, y) = place.split_once(',')?;
    let part = |text: &str| text.trim().parse().ok().filter(|part| (0.0..=1.0).contains(part));
    Some(Who::At { frame: frame.trim().parse().ok()?, place: [part(x)?, part(y)?] })
}

impl Serialize for Who {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::One(n) => to.serialize_u64(*n as u64),
            Self::At { frame, place: [x, y] } => to.serialize_str(&format!("{frame}:{x},{y}")),
            Self::All => to.serialize_str("all"),
        }
    }
}

impl<'de> Deserialize<'de> for Who {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(usize),
            Word(String),
        }
        match Written::deserialize(from)? {
            Written::Number(n) => Ok(Self::One(n)),
            Written::Word(word) => word.parse().map_err(serde::de::Error::custom),
        }
    }
}

settings! {
    /// A raw video in which somebody is replaced. What `input` leaves out of background and motion is found in it.
    #[heading = "Person"]
    pub struct Replace, changed by ReplaceChanges {
        /// The raw video, or a folder of pictures.
        #[arg(long)]
        video: PathBuf [PathBuf] = PathBuf::new(),
        /// Which person where several are in view, from 1: who is largest for longest first; or whoever is at a place of a frame,
        /// FRAME:X,Y (from 0, and 0 to 1 across and down: 12:0.5,0.4); "all" for everybody, each with an avatar of their own.
        #[arg(long)]
        person: Who [Who] = Who::One(1),
        /// Masks made elsewhere, white on the person: a video or a folder of pictures.
        #[arg(long)]
        mask: Option<PathBuf> [PathBuf] = None,
        /// Focal length of the raw video in pixels; where it is absent, 60° across the longer side, or less where people fill the picture.
        #[arg(long = "focal")]
        focal_px: Option<f32> [f32] = None,
        /// How likely a pixel must be the person's to be taken out, 0..1.
        #[arg(long = "mask-threshold")]
        threshold: f32 [f32] = 0.25,
        /// Pixels by which the mask is grown before the background is filled in; a 55th of the longer side where it is absent.
        #[arg(long = "mask-grow")]
        grow_px: Option<f32> [f32] = None,
        /// Also takes out the shadow: how far it reaches to each side of the feet, as part of the person's height.
        #[arg(long)]
        shadow: f32 [f32] = 0.0,
        /// Leaves avatars their own proportions; else their bones and heads become those of the people whom they replace.
        #[arg(long, num_args = 0..=1, default_missing_value = "true")]
        keep_proportions: bool [bool] = false,
        /// Goes on where frames can't be trusted: else they are named and nothing is written.
        #[arg(long, num_args = 0..=1, default_missing_value = "true")]
        force: bool [bool] = false,
    }
}

impl Replace {
    /// From which byte on a mask's pixel is the person's: ours are probabilities; those brought along are white or black.
    pub(crate) fn mask_level(&self) -> u8 {
        if self.mask.is_some() { 128 } else { (self.threshold * 255.0).round() as u8 }
    }

    /// Pixels by which the mask of a picture of that size is grown.
    pub(crate) fn grow_px_at(&self, (width, height): (u32, u32)) -> f32 {
        self.grow_px.unwrap_or_else(|| (width.max(height) as f32 / 55.0).max(4.0))
    }

    pub(crate) fn validate(&self) -> crate::Result<()> {
        let refuse = |option, why: &str| Err(Error::Option { option, why: why.to_owned() });
        if self.video.as_os_str().is_empty() {
            return refuse("replace.video", "a raw video is needed: give --video FILE");
        }
        if self.person == Who::One(0) {
            return refuse("replace.person", "people are counted from 1");
        }
        if !(0.01..=0.99).contains(&self.threshold) {
            return refuse("replace.threshold", "must lie between 0.01 and 0.99");
        }
        if self.grow_px.is_some_and(|g| !(0.0..=500.0).contains(&g)) {
            return refuse("replace.grow_px", "must lie between 0 and 500 pixels");
        }
        if !(0.0..=1.0).contains(&self.shadow) {
            return refuse("replace.shadow", "must lie between 0 and 1");
        }
        if self.focal_px.is_some_and(|f| !(f.is_finite() && f > 0.0)) {
            return refuse("replace.focal_px", "must be a positive number of pixels");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_named_by_number_place_or_all() {
        let read = |json: &str| serde_json::from_str::<Who>(json);
        for (json, who) in [
            ("2", Who::One(2)),
            ("\"2\"", Who::One(2)),
            ("\"all\"", Who::All),
            ("\"12:0.5,0.25\"", Who::At { frame: 12, place: [0.5, 0.25] }),
        ] {
            assert_eq!(read(json).unwrap(), who);
            assert_eq!(read(&serde_json::to_string(&who).unwrap()).unwrap(), who);
        }
        for wrong in ["\"12:0.5\"", "\"12:0.5,1.5\"", "\"x:0.5,0.5\"", "\"12:NaN,0\"", "\"somebody\""] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
