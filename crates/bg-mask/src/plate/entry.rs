//! A frame in the window, and how it lies to its neighbours.

use super::gray::{Gray, middle, reduced_mask};
use super::homography::{self, Pair};
use super::lucas;
use super::shift::shift;
use super::warp::Warp;
use image::{GrayImage, RgbImage};
use rayon::prelude::*;

/// Levels of the pyramids.
const LEVELS: usize = 4;
/// Small pixels between nodes of the maps between neighbours.
const STEP: f32 = 16.0;
/// Small pixels over which the rest beyond the homography is smoothed.
const REACH: f32 = 28.0;

/// Small pixels from the hole beyond which it doesn't matter how far it is.
const FAR: f32 = 64.0;

/// A frame.
#[derive(Debug)]
pub(super) struct Entry {
    pub picture: RgbImage,
    pub hole: GrayImage,
    pub small: Vec<Gray>,
    pub small_hole: GrayImage,
    /// Distance in small pixels from the hole and what else isn't background; 0 in it.
    pub clear: Vec<f32>,
    pub corners: Vec<[f32; 2]>,
    pub to_next: Option<Warp>,
    pub to_previous: Option<Warp>,
    /// The camera didn't move to the next frame.
    pub still_next: bool,
}

impl Entry {
    /// `unusable` is the hole with what else isn't background, where there is more than the hole.
    pub(super) fn new(
        picture: RgbImage,
        hole: GrayImage,
        unusable: Option<&GrayImage>,
        scale: usize,
    ) -> Self {
        let small_hole = reduced_mask(&hole, scale);
        let small_unusable = unusable.map(|mask| reduced_mask(mask, scale));
        let small_unusable = small_unusable.as_ref().unwrap_or(&small_hole);
        let clear = crate::distance::squared_distance_up_to(small_unusable, FAR)
            .into_iter()
            .map(|d| d.sqrt().min(FAR))
            .collect();
        let gray = Gray::reduced(&picture, scale);
        let corners = lucas::corners(&gray, small_unusable);
        Self {
            picture,
            hole,
            small: gray.pyramid(LEVELS),
            small_hole,
            clear,
            corners,
            to_next: None,
            to_previous: None,
            still_next: false,
        }
    }

    /// Width and height of the small picture.
    pub(super) fn size(&self) -> [usize; 2] {
        [self.small[0].width, self.small[0].height]
    }

    /// Distance from the hole at a small position, in small pixels; negative outside of the picture.
    pub(super) fn clear_at(&self, [x, y]: [f32; 2]) -> f32 {
        let [w, h] = self.size();
        // The nearest whole position.
        let (u, v) = (x + 0.5, y + 0.5);
        if !(u >= 0.0 && v >= 0.0 && u < w as f32 && v < h as f32) {
            return -1.0;
        }
        self.clear[v as i32 as usize * w + u as i32 as usize]
    }
}

/// Half of what is found again moves less than this where a camera stands still, in small pixels.
const STILL: f32 = 0.3;

fn median_move(pairs: &[Pair]) -> f32 {
    let mut moves: Vec<f32> = pairs.iter().map(|(p, q)| (p[0] - q[0]).hypot(p[1] - q[1])).collect();
    middle(&mut moves).unwrap_or(f32::INFINITY)
}

/// Does the background lie in the same place in two frames that are far apart?
pub(super) fn same_place(a: &Entry, b: &Entry) -> bool {
    let pairs: Vec<Pair> = a
        .corners
        .par_iter()
        .step_by(3)
        .filter(|p| b.clear_at(**p) > 3.0)
        .filter_map(|p| Some((*p, lucas::find_in_pyramid(&a.small, *p, &b.small, *p)?)))
        .collect();
    if pairs.len() < 6 {
        return shift(a, b).is_some_and(|moved| moved[0].hypot(moved[1]) < STILL);
    }
    median_move(&pairs) < STILL
}

/// How two neighbours lie to each other.
#[derive(Debug)]
pub(super) struct Links {
    pub to_next: Warp,
    pub to_previous: Warp,
    /// The camera didn't move between them.
    pub still: bool,
}

/// Corners of one frame that are found again in another, outside of its hole.
pub(super) fn pairs(a: &Entry, b: &Entry) -> Vec<Pair> {
    a.corners
        .par_iter()
        .filter_map(|p| {
            let q = lucas::find_in_pyramid(&a.small, *p, &b.small, *p)?;
            (b.clear_at(q) > 3.0).then_some((*p, q))
        })
        .collect()
}

/// The camera didn't move.
pub(super) fn is_still(pairs: &[Pair]) -> bool {
    pairs.len() >= 12 && median_move(pairs) < STILL
}

/// So many of all pairs agree that the map is believed.
pub(super) fn agree(n: usize, all: usize) -> bool {
    n >= 12 && n * 5 >= all
}

/// Finds the maps between two neighbours; `None` where too little agrees.
pub(super) fn links(a: &Entry, b: &Entry) -> Option<Links> {
    let pairs = pairs(a, b);
    by_corners(a, b, &pairs).or_else(|| {
        let moved = shift(a, b)?;
        let warp = |size, by: [f32; 2]| {
            Warp::from_pairs(size, &homography::shift(by.map(f64::from)), &[], STEP, REACH)
        };
        Some(Links {
            to_next: warp(a.size(), moved),
            to_previous: warp(b.size(), moved.map(|v| -v)),
            still: moved[0].hypot(moved[1]) < STILL,
        })
    })
}

fn by_corners(a: &Entry, b: &Entry, pairs: &[Pair]) -> Option<Links> {
    let back: Vec<Pair> = pairs.iter().map(|(p, q)| (*q, *p)).collect();
    let (there, back_again) = rayon::join(
        || {
            let (h, n) = homography::robust(pairs)?;
            agree(n, pairs.len()).then(|| Warp::from_pairs(a.size(), &h, pairs, STEP, REACH))
        },
        || {
            let (h, _) = homography::robust(&back)?;
            Some(Warp::from_pairs(b.size(), &h, &back, STEP, REACH))
        },
    );
    Some(Links { to_next: there?, to_previous: back_again?, still: median_move(pairs) < STILL })
}
