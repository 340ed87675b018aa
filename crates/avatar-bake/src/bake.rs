//! The whole of it: picture, mask and pose in, avatar out.

use crate::colors::{Known, Looks, fill, paint};
use crate::pixels::{Mask, Pyramid};
use crate::points::{Points, scatter};
use crate::posed::{Body, DepthMap, View};
use crate::refine::refine;
use crate::surface::Surface;
use crate::{Error, Result, outline};
use avatar_render::{Avatar, Colors, Gaussians, LhmBody};
use image::{GrayImage, RgbImage};
use smplx::{BodyModel, MotionFrame, PointBinding};

/// What is baked: one picture of a person.
#[derive(Clone, Copy, Debug)]
pub struct Photo<'a> {
    /// The picture.
    pub picture: &'a RgbImage,
    /// The person: 255 where they are, 0 elsewhere; of the picture's size.
    pub mask: &'a GrayImage,
    /// Pose, shape and place of the person and the picture's camera. The camera may be one for another size of the
    /// same shape. Expression coefficients aren't used.
    pub frame: &'a MotionFrame,
}

/// How to bake.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// G: number of Gaussians, 1,000 to 1,000,000.
    pub points: usize,
    /// Fill hidden places from their mirror image, and the back from the front at the same height.
    pub symmetry: bool,
    /// Furthest that clothes and hair may stand off the body, in metres, 0 to 0.5; 0 leaves the surface on the body.
    pub max_offset_m: f32,
    /// Pixels at the mask's edge whose colours aren't trusted, 0 to 64; `None` takes one for each 400 rows of the picture,
    /// at least one.
    pub erode_px: Option<usize>,
    /// Pixels around the edge of what lies in front (an arm before the chest) in which colours of what lies behind aren't
    /// trusted, 1 to 64: how far the pose may be off. `None` takes one for each 256 rows, at most eight.
    pub occluder_px: Option<usize>,
    /// Rounds in which the avatar is rendered as in the picture and its colours are corrected, 0 to 20.
    pub refine: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            points: 36_000,
            symmetry: true,
            max_offset_m: 0.12,
            erode_px: None,
            occluder_px: None,
            refine: 2,
        }
    }
}

impl Options {
    /// For a mask that a network found in a picture of that many rows: its edge is less sure than one that was drawn. An
    /// [`Options::erode_px`] that was chosen stays.
    #[must_use]
    pub fn with_found_mask(self, rows: u32) -> Self {
        Self { erode_px: self.erode_px.or(Some(margin(rows, FOUND_MASK))), ..self }
    }

    /// For a pose that was found from landmarks in a picture of that many rows. An [`Options::occluder_px`] that was chosen
    /// stays.
    #[must_use]
    pub fn with_found_pose(self, rows: u32) -> Self {
        Self { occluder_px: self.occluder_px.or(Some(margin(rows, FOUND_POSE))), ..self }
    }
}

/// How far a found pose may be off, in parts of the picture's height.
const FOUND_POSE: u32 = 60;
/// How far a found mask's edge may be off, likewise.
const FOUND_MASK: u32 = 120;

fn margin(rows: u32, parts: u32) -> usize {
    (rows / parts).clamp(1, 64) as usize
}

/// An avatar and how it came out.
#[derive(Clone, Debug)]
pub struct Baked {
    /// The avatar in the neutral pose; its query points carry the person's shape.
    pub avatar: Avatar,
    /// Which vertices each point follows; with [`smplx::Retarget::bound`] the avatar can be posed without a search.
    pub binding: PointBinding,
    /// The shape coefficients of the frame.
    pub betas: Vec<f32>,
    /// What was seen and how well it fits.
    pub report: Report,
}

/// Figures of a bake.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report {
    /// Share of the points whose colour comes from their own place on the picture.
    pub seen: f32,
    /// Intersection over union of the body's outline and the mask.
    pub body_iou: f32,
    /// The same of the dressed body.
    pub dressed_iou: f32,
    /// Largest offset from the body, in metres.
    pub furthest_m: f32,
    /// The hair's colour, where hair was seen.
    pub hair: Option<[f32; 3]>,
}

/// Bakes pictures of people on one body. Keep it from picture to picture: what depends on the body alone is computed
/// once.
#[derive(Debug)]
pub struct Baker<'a> {
    model: &'a BodyModel,
    surface: Surface,
}

/// Fewest points that have to lie on the person, as a share.
const LEAST_SEEN: f32 = 0.01;

impl<'a> Baker<'a> {
    /// Prepares a body.
    ///
    /// # Errors
    /// When the body has no triangles.
    pub fn new(model: &'a BodyModel) -> Result<Self> {
        Ok(Self { model, surface: Surface::new(model)? })
    }

    /// Bakes one picture. The same input gives the same avatar, byte for byte, on any number of threads.
    ///
    /// # Errors
    /// When the mask is empty, full or of another size than the picture; when there is no camera, or one for another
    /// shape of picture; when pose, shape or camera aren't finite or don't fit the body; when the posed body and the mask
    /// don't meet; when an option is out of range.
    pub fn bake(&self, photo: &Photo<'_>, options: &Options) -> Result<Baked> {
        options.check()?;
        photo.check()?;
        let size = photo.picture.dimensions().into();
        let view = View::new(photo.frame, size)?;
        let body = Body::new(self.model, &self.surface, photo.frame)?;
        let mask = Mask::new(photo.mask);
        let mut map = DepthMap::default();

        let bare = vec![0.0; body.neutral.len()];
        let body_iou = iou(map.draw(&body.in_view(&bare), &self.surface.faces, &view)?, mask.values());
        let offsets = if options.max_offset_m > 0.0 {
            outline::fit(&body, &view, &mask, &mut map, options)?
        } else {
            bare
        };

        let erode = options.erode_px.unwrap_or((view.size()[1] / 400).max(1));
        let pyramid = Pyramid::new(photo.picture, &mask.eroded(erode));
        let looks = Looks::new(&body, &offsets, &view, &pyramid, &mut map, options)?;
        let dressed_iou = iou(looks.depth(), mask.values());
        let fill = fill(&body, &looks, options);
        let points = scatter(&self.surface, &body.dressed(&offsets), &fill.seen, options.points);
        let painted = paint(&body, &looks, &fill, &points, options);
        let seen = painted.iter().filter(|k| k.weight > 0.5).count();
        if (seen as f32) < LEAST_SEEN * painted.len() as f32 {
            return Err(Error::NothingSeen { seen, points: painted.len() });
        }
        let furthest_m = offsets.iter().copied().fold(0.0, f32::max);
        let report = Report {
            seen: seen as f32 / painted.len() as f32,
            body_iou,
            dressed_iou,
            furthest_m,
            hair: fill.hair,
        };
        let mut baked = assemble(&body, &offsets, points, &painted, photo.frame, report);
        refine(self.model, &mut baked, photo.frame, &view, &painted, &pyramid, options.refine)?;
        Ok(baked)
    }
}

/// Puts the columns of the avatar together.
fn assemble(
    body: &Body<'_>,
    offsets: &[f32],
    points: Points,
    painted: &[Known],
    frame: &MotionFrame,
    report: Report,
) -> Baked {
    let dressed = body.dressed(offsets);
    let query: Vec<[f32; 3]> = points.places.iter().map(|p| p.of(&body.neutral).to_array()).collect();
    let means: Vec<[f32; 3]> = points.places.iter().map(|p| p.of(&dressed).to_array()).collect();
    let offset = means.iter().zip(&query).map(|(m, q)| std::array::from_fn(|k| m[k] - q[k])).collect();
    let (vertices, shares) = points.places.iter().map(|p| (p.vertices, p.shares)).unzip();
    let parts = &body.surface.parts;
    let face = |p: &&crate::surface::Place| parts[p.vertices[0] as usize].face > 0.5;
    let faces = points.places.iter().filter(face).count();
    let seen_faces =
        points.places.iter().zip(painted).filter(|(p, known)| face(p) && known.weight > 0.5).count();
    let gaussians = Gaussians {
        opacities: vec![OPACITY; means.len()],
        means,
        scales: points.scales,
        rotations: points.rotations,
        colors: Colors::Rgb(painted.iter().map(|k| k.color).collect()),
    };
    let lhm = LhmBody {
        query,
        offset,
        neutral_to_zero: body.neutral_to_zero.clone(),
        // The query points carry the shape already.
        betas: Vec::new(),
        body_ratio: 1.0,
        has_face: 2 * seen_faces > faces,
    };
    Baked {
        avatar: Avatar { gaussians, lhm: Some(lhm) },
        binding: PointBinding { vertices, shares },
        betas: frame.betas.clone(),
        report,
    }
}

/// Opacity of every point.
const OPACITY: f32 = 0.97;

/// Intersection over union of a depth map and a mask.
fn iou(depth: &[f32], mask: &[f32]) -> f32 {
    let (both, either) = depth.iter().zip(mask).fold((0_usize, 0_usize), |(both, either), (d, m)| {
        let (d, m) = (*d > 0.0, *m >= 0.5);
        (both + usize::from(d && m), either + usize::from(d || m))
    });
    both as f32 / either.max(1) as f32
}

impl Photo<'_> {
    fn check(&self) -> Result<()> {
        let picture = self.picture.dimensions().into();
        let mask = self.mask.dimensions().into();
        if mask != picture {
            return Err(Error::MaskSize { mask, picture });
        }
        if self.mask.as_raw().iter().all(|m| *m < 128) {
            return Err(Error::EmptyMask);
        }
        if self.mask.as_raw().iter().all(|m| *m >= 128) {
            return Err(Error::FullMask);
        }
        Ok(())
    }
}

impl Options {
    fn check(&self) -> Result<()> {
        let option = |option, value: String, allowed, inside: bool| {
            if inside { Ok(()) } else { Err(Error::Option { option, value, allowed }) }
        };
        let points = self.points;
        option("points", points.to_string(), "1000 to 1000000", (1000..=1_000_000).contains(&points))?;
        let out = self.max_offset_m;
        option("max_offset_m", out.to_string(), "0 to 0.5", (0.0..=0.5).contains(&out))?;
        let erode = self.erode_px.unwrap_or(0);
        option("erode_px", erode.to_string(), "0 to 64", erode <= 64)?;
        let occluder = self.occluder_px.unwrap_or(1);
        option("occluder_px", occluder.to_string(), "1 to 64", (1..=64).contains(&occluder))?;
        option("refine", self.refine.to_string(), "0 to 20", self.refine <= 20)
    }
}
