//! What a person paints on frames.

use super::Job;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// What a stroke says of the pixels under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum StrokePart {
    /// They are the person's who is replaced.
    Person,
    /// They are neither the person's nor in front.
    Background,
    /// They stay in front of the avatar.
    Front,
}

/// A stroke of a brush on a frame. It is carried on to the frames around it for as long as what is under it is found there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Stroke {
    /// The frame of the raw video, or of the background where there is none, from 0.
    pub frame: usize,
    /// What is painted: `person`, `background` or `front`.
    pub part: StrokePart,
    /// Width of the brush, as part of the picture's width.
    pub width: f32,
    /// Where the brush went: across and down, as parts of the picture's width and height.
    pub points: Vec<[f32; 2]>,
    /// Frames before and after that it is carried on to at most; as far as it is found where that isn't given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reach: Option<usize>,
}

/// Strokes of a job, and points of a stroke, at most.
const MOST_STROKES: usize = 2000;
const MOST_POINTS: usize = 10_000;

impl Job {
    /// Refuses strokes that can't be painted.
    pub(super) fn check_strokes(&self) -> Result<()> {
        let strokes = &self.input.strokes;
        let refuse = |why: String| Err(Error::Option { option: "input.strokes", why });
        if strokes.len() > MOST_STROKES {
            return refuse(format!("{} strokes: {MOST_STROKES} are the most", strokes.len()));
        }
        for (n, stroke) in strokes.iter().enumerate() {
            let n = n + 1;
            if !(0.0005..=1.0).contains(&stroke.width) {
                return refuse(format!(
                    "stroke {n}: its width is {}: part of the picture's width, 0.0005 to 1, is needed",
                    stroke.width
                ));
            }
            if !(1..=MOST_POINTS).contains(&stroke.points.len()) {
                let many = stroke.points.len();
                return refuse(format!("stroke {n}: it has {many} points: 1 to {MOST_POINTS} are needed"));
            }
            if stroke.points.iter().flatten().any(|at| !(-1.0..=2.0).contains(at)) {
                return refuse(format!(
                    "stroke {n}: a point is far outside of the picture, which reaches from 0 to 1"
                ));
            }
            if stroke.part == StrokePart::Person && self.replace.is_none() {
                return refuse(format!(
                    "stroke {n}: nobody is replaced, so there is no mask of a person: paint front or background"
                ));
            }
        }
        Ok(())
    }
}
