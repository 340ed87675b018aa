//! An avatar from one picture.

use crate::error::{ApiError, ApiResult};
use crate::library::Library;
use avatar_bake::{Baker, Options, Photo};
use image::{GrayImage, RgbImage};
use pipeline::PersonOptions;
use serde::{Deserialize, Serialize};
use std::path::Path;
use utoipa::ToSchema;

/// What an avatar is to be made of.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateAvatar {
    /// The picture: a file's id, or its path in the library. Its alpha channel cuts the person out; where it has none, the person
    /// is found in it.
    pub picture: String,
    /// What the avatar is to be called; as the picture where it isn't given.
    #[serde(default)]
    pub name: Option<String>,
    /// Which person where several are in view, from 1: the largest first.
    #[serde(default)]
    pub person: Option<usize>,
    /// Number of Gaussians, 1,000 to 1,000,000.
    #[serde(default)]
    pub points: Option<usize>,
    /// `bake` (where it isn't given): the picture onto a body, in seconds, without weights. `lhm`: by the network LHM, whose
    /// weights (CC BY-NC 4.0) are for non-commercial research only.
    #[serde(default)]
    pub method: Option<String>,
    /// With `lhm`, the folder or file of its weights: in the library, or in a folder of weights that the server was started with.
    #[serde(default)]
    pub weights: Option<String>,
    /// With `lhm`, which model: `mini`, `500m` or `1b`; as `config.json` beside the weights says where it isn't given.
    #[serde(default)]
    pub variant: Option<String>,
    /// With `lhm`, what matrices are held in: `f32` (where it isn't given), `bf16`, `q8` or `q4`.
    #[serde(default)]
    pub dtype: Option<String>,
}

impl CreateAvatar {
    /// Is it the network that is wanted? Refuses what doesn't fit together.
    pub(crate) fn by_network(&self) -> ApiResult<bool> {
        if self.person == Some(0) {
            return Err(ApiError::invalid("person", "people are counted from 1"));
        }
        if self.points.is_some_and(|points| !(1000..=1_000_000).contains(&points)) {
            return Err(ApiError::invalid("points", "1,000 to 1,000,000 are needed"));
        }
        match self.method.as_deref() {
            Some("lhm") => Ok(true),
            None | Some("bake") => {
                let only = [("weights", &self.weights), ("variant", &self.variant), ("dtype", &self.dtype)];
                match only.iter().find(|(_, given)| given.is_some()) {
                    Some((name, _)) => Err(ApiError::invalid(name, "only the method lhm takes that")),
                    None => Ok(false),
                }
            }
            Some(other) => Err(ApiError::invalid("method", format!("{other:?} is neither bake nor lhm"))),
        }
    }
}

/// How a bake came out.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BakeReport {
    /// Number of Gaussians.
    pub gaussians: usize,
    /// Share of them that the picture shows.
    pub seen: f32,
    /// Overlap of the avatar's outline with the person's mask.
    pub outline: f32,
    /// People in the picture, where it was looked for them.
    pub people: Option<usize>,
    /// What to know of it.
    pub notes: Vec<String>,
}

/// Below this overlap of the bare body and the mask, the pose is likely wrong.
const POOR_FIT: f32 = 0.6;

/// What an avatar is to be called: as was asked for, or as its picture.
pub(crate) fn named(library: &Library, wanted: &CreateAvatar) -> ApiResult<String> {
    let picture = library.resolve("picture", &wanted.picture)?;
    let stem = picture.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(wanted.name.clone().filter(|name| !name.trim().is_empty()).unwrap_or(stem))
}

/// The picture, and its alpha channel where that hides something.
pub(crate) fn picture(library: &Library, wanted: &CreateAvatar) -> ApiResult<(RgbImage, Option<GrayImage>)> {
    let path = library.resolve("picture", &wanted.picture)?;
    let rgba = media::read_picture_rgba(path).map_err(|e| ApiError::invalid("picture", e.to_string()))?;
    let (rgb, alpha) = bg_mask::split_alpha(&rgba);
    let cut_out = alpha.iter().any(|level| *level < 255);
    Ok((rgb, cut_out.then_some(alpha)))
}

/// Bakes the avatar of a picture into a file.
pub(crate) fn bake(library: &Library, wanted: &CreateAvatar, to: &Path) -> ApiResult<BakeReport> {
    let person = wanted.person.unwrap_or(1);
    let refused = |error: &dyn std::fmt::Display| ApiError::invalid("picture", error.to_string());
    let (rgb, alpha) = picture(library, wanted)?;
    let body = pipeline::open_body(None).map_err(|e| refused(&e))?;
    let cut_out = alpha.is_some();
    let focal_px = Some(avatar_bake::usual_focal_px(rgb.dimensions().into()));
    let options = PersonOptions { person: person - 1, focal_px };
    let found = pipeline::find_person(&rgb, &body, &options).map_err(|e| refused(&e))?;
    let rows = rgb.height();
    let mut options = Options::default().with_found_pose(rows);
    if !cut_out {
        options = options.with_found_mask(rows);
    }
    if let Some(points) = wanted.points {
        options.points = points;
    }
    let mask = alpha.unwrap_or(found.mask);
    let photo = Photo { picture: &rgb, mask: &mask, frame: &found.frame };
    let baker = Baker::new(&body).map_err(|e| ApiError::internal(e.to_string()))?;
    let baked = baker.bake(&photo, &options).map_err(|e| refused(&e))?;
    baked.avatar.save(to).map_err(|e| ApiError::internal(e.to_string()))?;
    let mut notes = Vec::new();
    if baked.report.body_iou < POOR_FIT {
        notes.push("the pose fits the outline poorly: colours may land on the wrong places; a picture from the front, with arms off the body, does better".to_owned());
    }
    if !cut_out && found.people > 1 {
        notes.push(format!(
            "{} people are in the picture: this is number {person}, counted from the largest",
            found.people
        ));
    }
    Ok(BakeReport {
        gaussians: baked.avatar.gaussians.len(),
        seen: baked.report.seen,
        outline: baked.report.dressed_iou,
        people: Some(found.people),
        notes,
    })
}
