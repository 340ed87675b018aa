//! Short runs of doubtful frames between good ones take their motion and their matte from their neighbours.

use super::assign::mask_of;
use super::bodies::{Bodies, Body};
use super::folders::{Folders, IN_FRONT, MATTES, OTHERS, open, save};
use super::masks::fit_one;
use super::people::Seen;
use super::score::{Verdict, change, doubtful};
use super::small::Sizes;
use crate::Result;
use image::GrayImage;
use smplx::{BodyModel, Motion};
use std::ops::Range;

/// Seconds of a run that neighbours can mend, and good frames that it takes on either side.
const MENDED_S: f32 = 0.35;
const GOOD: usize = 2;
/// Metres around the mended body in which the networks are still believed: at least, and up to where so much of the good neighbours'
/// mattes lies, a wide dress say.
const AROUND_M: f32 = 0.12;
const MOST_OF_IT: f32 = 0.97;
/// Parts of the mended body whose joints are this sure are painted in.
const SURE: f32 = 0.5;
/// What a mended frame is worth that differs from those around by no more than the first of these, or than they do from each other up to
/// the second.
const WORTH: f32 = 0.6;
const ALIKE: [f32; 2] = [0.28, 0.4];

/// Mends what can be mended of one person; gives the new motion where something was.
pub(super) fn mend(
    body: &BodyModel,
    seen: &mut Seen,
    person: usize,
    folders: &Folders,
) -> Result<Option<Motion>> {
    // Frames of several people on one matte aren't taken apart again.
    if seen.replaced.len() > 1 {
        return Ok(None);
    }
    let runs = mendable(seen, person);
    if runs.is_empty() {
        return Ok(None);
    }
    let frames: Vec<usize> = runs.iter().cloned().flatten().collect();
    let taken: Vec<_> = frames.iter().map(|t| seen.people[person].frames[*t].take()).collect();
    let gaps = std::mem::take(&mut seen.people[person].gaps);
    let motion = fit_one(body, seen, person, &mut |_| Ok(()))?;
    let small = Sizes::new(seen.size).small;
    let bodies = Bodies::new(body, small);
    let mended = &mut seen.people[person];
    // They were seen: the gaps are those of before.
    mended.gaps = gaps;
    let at = |t: usize| -> Result<Drawn> {
        let matte = open(&folders.picture(MATTES, t))?;
        Ok((bodies.draw(&motion.frames[t])?, image::imageops::thumbnail(&matte, small[0], small[1])))
    };
    let (mut neighbours, mut around_m) = (Vec::with_capacity(runs.len()), Vec::with_capacity(frames.len()));
    for run in &runs {
        let beside = [at(run.start - 1)?, at(run.end)?];
        let metres = beside.iter().map(worn).fold(AROUND_M, f32::max);
        around_m.extend(run.clone().map(|_| metres));
        neighbours.push(beside);
    }
    for ((t, observation), around_m) in frames.iter().zip(taken).zip(around_m) {
        mended.frames[*t] = observation;
        mended.confidence[*t] = mended.confidence[t.saturating_sub(1)].clone();
        let Some(drawn) = bodies.draw(&motion.frames[*t])? else { continue };
        let path = folders.picture(MATTES, *t);
        let mut matte = open(&path)?;
        let in_front = open(&folders.picture(IN_FRONT, *t))?;
        let others = folders.picture(OTHERS, *t);
        let others = others.is_file().then(|| open(&others)).transpose()?;
        let confidence = &mended.confidence[*t];
        let outline = mask_of((small[0], small[1]), |i| drawn.covers(i));
        let away = bg_mask::squared_distance(&outline);
        let (w, h) = matte.dimensions();
        for (x, y, byte) in matte.enumerate_pixels_mut() {
            let i = (y * small[1] / h) as usize * small[0] as usize + (x * small[0] / w) as usize;
            let somebody_else = others.as_ref().is_some_and(|o| o.get_pixel(x, y)[0] >= bg_mask::THRESHOLD);
            let is_sure = || confidence.get(usize::from(drawn.joint[i])).is_some_and(|c| *c > SURE);
            if somebody_else || in_front.get_pixel(x, y)[0] >= bg_mask::THRESHOLD {
                byte.0 = [0];
            } else if away[i] == 0.0 && is_sure() {
                byte.0 = [255];
            } else if away[i].sqrt() > around_m * drawn.per_metre {
                byte.0 = [0];
            }
        }
        save(&matte, &path)?;
    }
    // A mended frame is worth something where it is like those around it.
    let mut trusted = Vec::new();
    for (run, around) in runs.into_iter().zip(neighbours) {
        let most = unlike(&around[0], &around[1], small[0]).clamp(ALIKE[0], ALIKE[1]);
        for t in run {
            let this = at(t)?;
            let off = around.iter().map(|other| unlike(other, &this, small[0])).fold(0.0, f32::max);
            if off <= most {
                trusted.push(t);
                mended.verdicts[t] =
                    Some(Verdict { score: WORTH, reason: "mended from its neighbours".to_owned() });
            }
        }
    }
    mended.mended = trusted;
    Ok(Some(motion))
}

/// A frame's body, where it is in view, and its small matte.
type Drawn = (Option<Body>, GrayImage);

/// Metres from the body within which most of a frame's matte lies.
fn worn((body, matte): &Drawn) -> f32 {
    let Some(body) = body else { return 0.0 };
    let away = bg_mask::squared_distance(&mask_of(matte.dimensions(), |i| body.covers(i)));
    let mut inside: Vec<f32> =
        matte.iter().zip(away).filter(|(m, _)| **m >= bg_mask::THRESHOLD).map(|(_, away)| away).collect();
    inside.sort_by(f32::total_cmp);
    let at = (MOST_OF_IT * inside.len() as f32) as usize;
    inside.get(at).map_or(0.0, |away| away.sqrt() / body.per_metre)
}

/// How unlike two frames' mattes are after the body's move; 1 where a body isn't in view.
fn unlike(a: &Drawn, b: &Drawn, width: u32) -> f32 {
    let (Some(from), Some(to)) = (&a.0, &b.0) else { return 1.0 };
    let before: Vec<bool> = a.1.iter().map(|v| *v >= bg_mask::THRESHOLD).collect();
    let now: Vec<f32> = b.1.iter().map(|v| f32::from(*v) / 255.0).collect();
    change((from, &before), (to, &now), width as usize)
}

/// Short doubtful runs with good frames of the same shot on both sides; those with fewer between them are one.
fn mendable(seen: &Seen, person: usize) -> Vec<Range<usize>> {
    let this = &seen.people[person];
    let most = ((MENDED_S * seen.fps as f32) as usize).max(1);
    let is_good = |t: usize| this.frames.get(t).is_some_and(Option::is_some) && !this.is_doubtful(t);
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (run, _) in doubtful(&this.verdicts) {
        match runs.last_mut().filter(|last| run.start < last.end + GOOD) {
            Some(last) => last.end = run.end,
            None => runs.push(run),
        }
    }
    runs.retain(|run| {
        run.len() <= most
            && run.start >= GOOD
            && (run.start - GOOD..run.start).all(is_good)
            && (run.end..run.end + GOOD).all(is_good)
            && !seen.cuts[run.start - GOOD + 1..(run.end + GOOD).min(seen.cuts.len())].contains(&true)
    });
    runs
}
