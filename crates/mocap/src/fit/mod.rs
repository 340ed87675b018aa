//! Landmarks of a whole clip become SMPL-X parameters and a camera.

mod band;
mod fingers;
mod math;
mod prior;
mod rig;
mod solve;
mod start;
mod steady;
mod view;

use crate::error::{Error, Result};
use crate::hands::Hand;
use crate::landmarks::Observation;
use math::{exp, log, mul, scale, transpose};
use rig::{JOINTS, Rig, State};
use serde::{Deserialize, Serialize};
use smplx::{BodyModel, BodyPose, Camera, Motion, MotionFrame, Side};
use solve::Problem;
use std::ops::{ControlFlow, Range};
use view::View;

/// Frames that are solved together, and how many of them two runs share.
const RUN: usize = 120;
const SHARED: usize = 12;

/// How landmarks become a motion.
#[derive(Clone, Debug, PartialEq)]
pub struct FitOptions {
    /// Frames a second.
    pub fps: f32,
    /// Width and height of the pictures in pixels.
    pub size: [u32; 2],
    /// Focal length in pixels; `None` for 60° across the longer side.
    pub focal_px: Option<f32>,
    /// Shape of the body that is fitted; empty for the mean one.
    pub betas: Vec<f32>,
    /// Seconds without the person that are bridged; in longer gaps the body waits behind the camera, out of view.
    pub bridge_s: f32,
}

impl FitOptions {
    /// Defaults for a video.
    #[must_use]
    pub fn new(fps: f32, size: [u32; 2]) -> Self {
        Self { fps, size, focal_px: None, betas: Vec::new(), bridge_s: 1.0 }
    }

    /// The camera of all frames: the principal point is in the middle.
    #[must_use]
    pub fn camera(&self) -> Camera {
        let [w, h] = self.size.map(|n| n as f32);
        let focal = self.focal_px.unwrap_or_else(|| usual_focal_px(self.size, []));
        Camera { focal_px: [focal; 2], principal_px: [w / 2.0, h / 2.0], size_px: self.size }
    }
}

/// Half the angle across the longer side of a picture of whose camera nothing is known.
const HALF_ANGLE: f32 = 30.0;
/// Nobody stands nearer to a camera than so many metres, but in this part of the frames: what is nearer than 0.2 m isn't drawn, and faces
/// are as near as that in front of a body at 0.4 m.
const NEAREST_M: f32 = 0.5;
const OFTEN: f32 = 0.1;

/// The focal length in pixels to reckon with in pictures of a size of whose camera nothing is known: 60° across the longer side, or
/// less where people fill the picture, who would stand too near to the camera then.
#[must_use]
pub fn usual_focal_px<'a>(size: [u32; 2], people: impl IntoIterator<Item = &'a Observation>) -> f32 {
    let wide = size[0].max(size[1]) as f32 / 2.0 / HALF_ANGLE.to_radians().tan();
    let mut metres: Vec<f32> = people.into_iter().map(|person| person.region.pixels_of_a_metre()).collect();
    metres.sort_by(f32::total_cmp);
    let near = metres.get((metres.len() as f32 * (1.0 - OFTEN)) as usize);
    near.map_or(wide, |near| wide.max(NEAREST_M * near))
}

/// Frames in which nobody was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Which frames.
    pub frames: Range<usize>,
    /// The body was moved smoothly across; else it is out of view.
    pub bridged: bool,
}

/// A motion with what is known about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// The motion, with a camera in every frame.
    pub motion: Motion,
    /// `[T]` how sure each of the first 22 joints is, 0..1: 0 where nobody was seen.
    pub confidence: Vec<[f32; 22]>,
    /// Where nobody was seen.
    pub gaps: Vec<Gap>,
    /// `[T]` mean distance of the sure landmarks from the fitted body in the picture, in pixels; 0 where nobody was seen.
    pub residual_px: Vec<f32>,
}

/// Fits a body to observations, one a frame; `cuts` marks frames that don't follow from the one before.
///
/// # Errors
/// When nobody was seen at all, the settings are impossible, or the body doesn't suit them.
pub fn fit(
    body: &BodyModel,
    observations: &[Option<Observation>],
    cuts: &[bool],
    options: &FitOptions,
) -> Result<Fitted> {
    fit_watched(body, observations, cuts, options, &mut |_| ControlFlow::Continue(()))
}

/// As [`fit`]; after each round of the solver `watch` is told how many frames are done, fractions included, and may stop it.
///
/// # Errors
/// As [`fit`], and [`Error::Stopped`].
pub fn fit_watched(
    body: &BodyModel,
    observations: &[Option<Observation>],
    cuts: &[bool],
    options: &FitOptions,
    watch: &mut dyn FnMut(f64) -> ControlFlow<()>,
) -> Result<Fitted> {
    let bad = |name, problem: String| Err(Error::Setting { name, problem });
    if !(options.fps.is_finite() && options.fps > 0.0) {
        return bad("fps", format!("{} isn't a frame rate", options.fps));
    }
    if options.size.contains(&0) {
        return bad("size", "the picture is empty".to_owned());
    }
    if options.focal_px.is_some_and(|f| !(f.is_finite() && f > 0.0)) {
        return bad("focal", "must be a positive number of pixels".to_owned());
    }
    if cuts.len() != observations.len() {
        return bad("cuts", format!("{} for {} frames", cuts.len(), observations.len()));
    }
    if observations.iter().all(Option::is_none) {
        return Err(Error::Nobody { frames: observations.len() });
    }
    let rig = Rig::new(body, &options.betas)?;
    let camera = options.camera();
    let views: Vec<Option<View>> = observations
        .iter()
        .zip(steady::steadiness(observations, cuts, f64::from(options.fps), options.size))
        .map(|(o, steady)| o.as_ref().map(|o| View::new(o, &steady, &camera, &rig)))
        .collect();
    let mut states = starts(&rig, &views, &camera);
    let clip = Clip { rig: &rig, camera: &camera, views: &views, cuts, fps: options.fps };
    clip.solve(&mut states, watch)?;
    let gaps = find_gaps(&views, cuts, options);
    hold_ends(&mut states, &gaps, views.len());
    let hands = |side: Side| -> Result<Vec<[[f32; 3]; 15]>> {
        let seen: Vec<Option<&Hand>> =
            observations.iter().map(|o| o.as_ref()?.hands[side as usize].as_ref()).collect();
        fingers::fingers(body, &options.betas, side, &seen, cuts, options.fps)
    };
    let (left_hand, right_hand) = (hands(Side::Left)?, hands(Side::Right)?);
    let mut frames = Vec::with_capacity(states.len());
    for (t, state) in states.iter().enumerate() {
        let narrow = |v: [f64; 3]| v.map(|x| x as f32);
        let pose = BodyPose {
            root: narrow(log(&state.rotations[0])),
            body: std::array::from_fn(|j| narrow(log(&state.rotations[j + 1]))),
            left_hand: left_hand[t],
            right_hand: right_hand[t],
            ..BodyPose::default()
        };
        let hidden = gaps.iter().any(|g| !g.bridged && g.frames.contains(&t));
        let translation = if hidden { HIDDEN } else { narrow(state.translation) };
        let betas = options.betas.clone();
        frames.push(MotionFrame { pose, translation, betas, camera: Some(camera), ..MotionFrame::default() });
    }
    let confidence = views.iter().map(|v| v.as_ref().map_or([0.0; 22], |v| confidence(&rig, v))).collect();
    let residual_px = views
        .iter()
        .zip(&states)
        .map(|(v, s)| v.as_ref().map_or(0.0, |v| residual(&rig, v, s, &camera)))
        .collect();
    Ok(Fitted { motion: Motion::new(options.fps, frames)?, confidence, gaps, residual_px })
}

/// Where a body waits that isn't in view: behind the camera.
const HIDDEN: [f32; 3] = [0.0, 0.0, -100.0];

/// First guesses; frames without a person lie between their neighbours.
fn starts(rig: &Rig, views: &[Option<View>], camera: &Camera) -> Vec<State> {
    let known: Vec<Option<State>> =
        views.iter().map(|v| v.as_ref().map(|v| start::start(rig, v, camera))).collect();
    let before = |t: usize| (0..=t).rev().find(|i| known[*i].is_some());
    let after = |t: usize| (t..known.len()).find(|i| known[*i].is_some());
    let get = |t: usize| known[t].clone().unwrap_or_default();
    (0..known.len())
        .map(|t| match (before(t), after(t)) {
            (Some(a), Some(b)) if a != b => {
                let (a_state, b_state) = (get(a), get(b));
                blend(&a_state, &b_state, (t - a) as f64 / (b - a) as f64)
            }
            (Some(a), _) | (None, Some(a)) => get(a),
            (None, None) => State::default(),
        })
        .collect()
}

fn blend(a: &State, b: &State, share: f64) -> State {
    State {
        rotations: std::array::from_fn(|j| {
            let turn = log(&mul(&transpose(&a.rotations[j]), &b.rotations[j]));
            mul(&a.rotations[j], &exp(scale(turn, share)))
        }),
        translation: std::array::from_fn(|k| {
            a.translation[k] + (b.translation[k] - a.translation[k]) * share
        }),
    }
}

/// Everything that is to be solved.
struct Clip<'a> {
    rig: &'a Rig,
    camera: &'a Camera,
    views: &'a [Option<View>],
    cuts: &'a [bool],
    fps: f32,
}

impl Clip<'_> {
    /// Solves run after run; where two share frames, one fades into the other.
    fn solve(&self, states: &mut [State], watch: &mut dyn FnMut(f64) -> ControlFlow<()>) -> Result<()> {
        let Self { rig, camera, .. } = *self;
        let pace = (f64::from(self.fps) / 20.0).powi(2).clamp(0.25, 9.0);
        let (mut from, mut done) = (0, 0);
        while from < states.len() {
            let to = (from + RUN).min(states.len());
            let (views, cuts) = (&self.views[from..to], &self.cuts[from..to]);
            let problem = Problem { rig, camera, views, cuts, pace };
            let mut run = states[from..to].to_vec();
            let fresh = (to - done) as f64;
            problem.solve(&mut run, &mut |share| watch(done as f64 + share * fresh))?;
            done = to;
            for (n, solved) in run.into_iter().enumerate() {
                let share = if from == 0 { 1.0 } else { ((n + 1) as f64 / (SHARED + 1) as f64).min(1.0) };
                states[from + n] =
                    if share < 1.0 { blend(&states[from + n], &solved, share) } else { solved };
            }
            if to == states.len() {
                break;
            }
            from = to - SHARED;
        }
        Ok(())
    }
}

/// The frames of the shot that frame `t` is in, at most `reach` before it and after it. `cuts` marks the frames that begin a shot.
///
/// # Panics
/// When there is no frame `t`.
#[must_use]
pub fn same_shot(cuts: &[bool], t: usize, reach: usize) -> Range<usize> {
    let (first, end) = (t.saturating_sub(reach), t.saturating_add(reach).saturating_add(1).min(cuts.len()));
    let begins = |i: &usize| cuts[*i];
    (first..=t).rev().find(begins).unwrap_or(first)..(t + 1..end).find(begins).unwrap_or(end)
}

fn find_gaps(views: &[Option<View>], cuts: &[bool], options: &FitOptions) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let mut t = 0;
    while t < views.len() {
        if views[t].is_some() {
            t += 1;
            continue;
        }
        let end = (t..views.len()).find(|i| views[*i].is_some()).unwrap_or(views.len());
        let short = (end - t) as f32 <= options.bridge_s * options.fps;
        let cut = cuts[t..(end + 1).min(cuts.len())].iter().any(|c| *c);
        gaps.push(Gap { frames: t..end, bridged: short && !cut });
        t = end;
    }
    gaps
}

/// Before the first and after the last sight the body keeps still.
fn hold_ends(states: &mut [State], gaps: &[Gap], n: usize) {
    for gap in gaps.iter().filter(|g| g.bridged) {
        let Range { start, end } = gap.frames;
        if start == 0 && end < n {
            let held = states[end].clone();
            states[..end].iter_mut().for_each(|s| *s = held.clone());
        } else if end == n && start > 0 {
            let held = states[start - 1].clone();
            states[start..].iter_mut().for_each(|s| *s = held.clone());
        }
    }
}

/// A joint is as sure as the landmarks on it; one without any as those of the torso.
fn confidence(rig: &Rig, view: &View) -> [f32; JOINTS] {
    let torso = [11, 12, 23, 24].map(|i: usize| view.sure[i]).iter().sum::<f64>() / 4.0;
    std::array::from_fn(|j| {
        let on: Vec<f64> =
            rig.points.iter().filter(|p| p.joint == j).map(|p| view.sure[p.landmark]).collect();
        let sure = if on.is_empty() { torso } else { on.iter().sum::<f64>() / on.len() as f64 };
        sure as f32
    })
}

fn residual(rig: &Rig, view: &View, state: &State, camera: &Camera) -> f32 {
    let placed = rig.place(state);
    let (mut sum, mut n) = (0.0, 0);
    for seen in &view.seen {
        if view.sure[rig.points[seen.point].landmark] < 0.5 {
            continue;
        }
        let p = placed.points[seen.point].map(|v| v as f32);
        if let Some(at) = camera.project(p) {
            sum += (at[0] - seen.pixel[0] as f32).hypot(at[1] - seen.pixel[1] as f32);
            n += 1;
        }
    }
    if n == 0 { 0.0 } else { sum / n as f32 }
}

#[cfg(test)]
mod tests;
