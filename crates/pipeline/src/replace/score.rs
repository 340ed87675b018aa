//! How far a frame's masks and motion can be trusted, from checks that need no truth.

use super::assign::Somebody;
use super::bodies::{Body, JOINTS};
use super::scenery::{Scenery, Shown};
use serde::{Deserialize, Serialize};

/// Below this a frame isn't trusted.
pub(super) const TRUSTED: f32 = 0.5;
/// A pixel is the person's from this likeliness on.
const INSIDE: f32 = 0.5;
/// Metres around the body that clothes and hair may fill, and by which the fit may miss.
const AROUND_M: f32 = 0.15;
const MISS_M: f32 = 0.05;
/// Parts of the body whose joints are this sure must be in the matte.
const SURE: f32 = 0.6;

/// Networks that give a pixel less than this byte aren't sure, and from that on they are.
const WEAK: u8 = 190;
const SURE_BYTE: u8 = 225;

/// What a frame's checks found about a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Checks {
    /// Part of the picture that is the person's.
    pub(super) area: f32,
    /// Part of the matte that lies away from the fitted body.
    pub(super) outside: f32,
    /// Part of the surely fitted body that isn't in the matte.
    pub(super) missing: f32,
    /// Part on which two networks disagree.
    pub(super) disagree: f32,
    /// How undecided the networks are, 0..1.
    pub(super) undecided: f32,
    /// Degrees between head and trunk.
    pub(super) head_deg: f32,
    /// Degrees between trunk and upright.
    pub(super) tilt_deg: f32,
    /// Height of the matte by its width: upright people are high.
    pub(super) slender: f32,
    /// Metres by which landmarks miss the fitted body.
    pub(super) residual_m: f32,
    /// The fastest sure joint in metres a second, seen from the hips.
    pub(super) speed: f32,
    /// How sure the landmarks' network is, 0..1.
    pub(super) detected: f32,
    /// How unlike the person looks to what is known of them, 0..1.
    pub(super) strange: f32,
    /// Part of the matte that looks as it does while nobody is there.
    pub(super) empty: f32,
    /// Pixels near the body that look otherwise and are nobody's, as part of the matte.
    pub(super) forgotten: f32,
    /// The same as part of the fitted body.
    pub(super) left: f32,
    /// Part of the fitted body that is seen.
    pub(super) visible: f32,
    /// Part of the fitted body that lies behind other bodies.
    pub(super) behind: f32,
    /// Part of the fitted body that lies behind or before other bodies.
    pub(super) shared: f32,
    /// How undecided it is whose the pixels are, 0..1.
    pub(super) contested: f32,
    /// 1 less intersection over union of the matte and the body where it isn't hidden.
    pub(super) unlike: f32,
    /// Part of the matte that isn't in its largest piece.
    pub(super) scattered: f32,
    /// 1 less intersection over union with the frame before, after the body's move.
    pub(super) change: f32,
    /// Mean confidence of the joints.
    pub(super) confidence: f32,
    /// Part of the fitted body's joints that lie in the picture.
    pub(super) inside: f32,
    /// Part of the matte that no network is sure of.
    pub(super) weak: f32,
    /// Whether what is behind is known: part of the matte's pixels.
    pub(super) known: f32,
    /// Part of the fitted body's places that look as they do while nobody is there.
    pub(super) gone: f32,
    /// The person wasn't found in this frame, but carried across from those around.
    pub(super) carried: bool,
}

/// What is thought of a frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Verdict {
    /// 0 for useless to 1 for perfect.
    pub(super) score: f32,
    /// The check that decided it.
    pub(super) reason: String,
}

/// Everything about one person in one frame.
pub(super) struct Looked<'a> {
    pub(super) somebody: &'a Somebody,
    /// Everybody in the frame.
    pub(super) others: &'a [Somebody],
    /// `[h, w]` the person's matte, 0..1, and the part of it that is this person's.
    pub(super) matte: &'a [f32],
    pub(super) share: &'a [f32],
    /// `[h, w]` pixels of others, and those of things in front.
    pub(super) taken: &'a [bool],
    pub(super) thing: &'a [bool],
    pub(super) scenery: &'a Scenery,
    pub(super) carried: bool,
    pub(super) confidence: &'a [f32],
    pub(super) detected: f32,
    pub(super) familiar: f32,
    pub(super) residual_px: f32,
    pub(super) reduced: f32,
}

impl Checks {
    pub(super) fn new(looked: &Looked<'_>) -> Self {
        let Looked { somebody, matte, confidence, .. } = looked;
        let taken: Vec<bool> = looked.taken.iter().zip(looked.thing).map(|(t, thing)| *t || *thing).collect();
        let inside = |i: usize| matte[i] >= INSIDE;
        let area = (0..matte.len()).filter(|i| inside(*i)).count();
        let mut checks = Self {
            area: area as f32 / matte.len().max(1) as f32,
            carried: looked.carried,
            detected: looked.detected,
            strange: 1.0 - looked.familiar,
            slender: slender(matte, somebody.own.width() as usize),
            ..Self::default()
        };
        let (mut both, mut either, mut soft, mut n) = (0, 0, 0.0, 0);
        for (i, m) in matte.iter().enumerate() {
            let own = somebody.own.as_raw()[i] >= 128 && !taken[i];
            let any = somebody.anybody.as_raw()[i] >= 128 && !taken[i] && somebody.away[i] < 2.0 * AROUND_M;
            both += usize::from(own && any);
            either += usize::from(own || any);
            if *m > 0.1 {
                soft += 4.0 * m * (1.0 - m);
                n += 1;
            }
        }
        checks.disagree = 1.0 - both as f32 / either.max(1) as f32;
        checks.undecided = soft / n.max(1) as f32;
        checks.confidence = confidence.iter().sum::<f32>() / confidence.len().max(1) as f32;
        checks.scattered = scattered(matte, somebody.own.width());
        checks.looked_over(looked, area);
        let Some(body) = &somebody.body else { return checks };
        let outside = (0..matte.len()).filter(|i| inside(*i) && somebody.away[*i] > AROUND_M).count();
        checks.outside = outside as f32 / area.max(1) as f32;
        let depth = somebody.depth_in_body();
        let (mut sure, mut missing) = (0, 0);
        for i in (0..matte.len()).filter(|i| body.covers(*i) && depth[*i] > MISS_M && !taken[*i]) {
            if confidence.get(usize::from(body.joint[i])).is_some_and(|c| *c > SURE) {
                sure += 1;
                missing += usize::from(!inside(i));
            }
        }
        checks.missing = missing as f32 / sure.max(1) as f32;
        checks.residual_m = looked.residual_px / looked.reduced / body.per_metre.max(1e-3);
        (checks.head_deg, checks.tilt_deg) = angles(body);
        checks.beside(looked, body);
        checks
    }

    /// What places look like while nobody is there says of the matte.
    fn looked_over(&mut self, looked: &Looked<'_>, area: usize) {
        let Looked { somebody, matte, share, scenery, .. } = looked;
        let (mut known, mut empty, mut forgotten, mut weak, mut contested, mut all) = (0, 0, 0, 0, 0.0, 0);
        for (i, shown) in scenery.shown.iter().enumerate() {
            if matte[i] >= INSIDE {
                known += usize::from(*shown != Shown::Unknown);
                // Not the soft margin around people, but what both networks swear to.
                let sure = somebody.own.as_raw()[i].min(somebody.anybody.as_raw()[i]) >= SURE_BYTE;
                let on_body = somebody.away[i] <= MISS_M;
                empty += usize::from(*shown == Shown::Same && !looked.thing[i] && sure && on_body);
                weak += usize::from(somebody.own.as_raw()[i].max(somebody.anybody.as_raw()[i]) < WEAK);
            } else if *shown == Shown::Other
                && somebody.body.is_some()
                && somebody.away[i] < AROUND_M
                && !looked.taken[i]
                && !looked.thing[i]
            {
                forgotten += 1;
            }
            if somebody.away[i] == 0.0 && somebody.body.is_some() && somebody.anybody.as_raw()[i] >= 128 {
                all += 1;
                contested += 4.0 * share[i].min(1.0) * (1.0 - share[i].min(1.0));
            }
        }
        let part = |n: usize| n as f32 / area.max(1) as f32;
        (self.known, self.empty, self.forgotten, self.weak) =
            (part(known), part(empty), part(forgotten), part(weak));
        self.left = forgotten as f32 / somebody.body.as_ref().map_or(0, Body::area).max(1) as f32;
        self.contested = contested / all.max(1) as f32;
    }

    /// Does the matte look as the fitted body says?
    fn is_as_fitted(&self) -> bool {
        let found = [self.outside, self.missing, self.unlike, self.residual_m];
        found.iter().zip(AS_FITTED).all(|(found, most)| *found < most)
    }

    /// The matte beside the body, and the body beside others'.
    fn beside(&mut self, looked: &Looked<'_>, body: &Body) {
        let Looked { somebody, others, matte, .. } = looked;
        let (mut area, mut seen, mut behind, mut shared, mut both, mut either) = (0, 0, 0, 0, 0, 0);
        let mut gone = 0;
        for (i, m) in matte.iter().enumerate() {
            let (covered, inside) = (body.covers(i), *m >= INSIDE && !looked.thing[i]);
            let open = covered && !looked.taken[i] && !looked.thing[i];
            both += usize::from(open && inside);
            either += usize::from(open || inside);
            if !covered {
                continue;
            }
            area += 1;
            seen += usize::from(inside);
            gone += usize::from(matches!(looked.scenery.shown[i], Shown::Same | Shown::Shadow));
            let of = others.iter().filter(|o| o.person != somebody.person).filter_map(|o| o.body.as_ref());
            let nearest = of.map(|o| o.depth[i]).filter(|d| *d > 0.0).fold(f32::INFINITY, f32::min);
            shared += usize::from(nearest.is_finite());
            behind += usize::from(nearest < body.depth[i]);
        }
        let part = |n: usize, of: usize| n as f32 / of.max(1) as f32;
        (self.visible, self.behind, self.shared) = (part(seen, area), part(behind, area), part(shared, area));
        self.gone = part(gone, area);
        self.unlike = 1.0 - part(both, either);
        let (w, h) = (somebody.own.width() as f32, somebody.own.height() as f32);
        let inside = |[x, y]: &&[f32; 2]| (0.0..w).contains(x) && (0.0..h).contains(y);
        self.inside = part(body.joints.iter().filter(inside).count(), JOINTS);
    }
}

/// Part of a matte that isn't in its largest piece.
fn scattered(matte: &[f32], width: u32) -> f32 {
    let bytes = matte.iter().map(|m| if *m >= INSIDE { 255 } else { 0 }).collect();
    let Ok(mask) = bg_mask::mask_from_bytes(width, matte.len() as u32 / width.max(1), bytes) else {
        return 0.0;
    };
    let areas: Vec<usize> = bg_mask::components(&mask).list.iter().map(|piece| piece.area).collect();
    let (all, largest) = (areas.iter().sum::<usize>(), areas.iter().copied().max().unwrap_or(0));
    1.0 - largest as f32 / all.max(1) as f32
}

/// 1 less intersection over union of a matte with that of the frame before, which moves as the body's joints do on average.
pub(super) fn change(before: (&Body, &[bool]), now: (&Body, &[f32]), width: usize) -> f32 {
    let moves: Vec<[f32; 2]> = before
        .0
        .joints
        .iter()
        .zip(&now.0.joints)
        .map(|(a, b)| [b[0] - a[0], b[1] - a[1]])
        .filter(|d| d.iter().all(|v| v.is_finite()))
        .collect();
    let mean =
        |k: usize| (moves.iter().map(|d| d[k]).sum::<f32>() / moves.len().max(1) as f32).round() as isize;
    let (dx, dy, height) = (mean(0), mean(1), now.1.len() / width.max(1));
    let (mut both, mut either) = (0, 0);
    for (i, m) in now.1.iter().enumerate() {
        let (x, y) = ((i % width) as isize - dx, (i / width) as isize - dy);
        // What came in over the border isn't compared.
        if x < 0 || y < 0 || x >= width as isize || y >= height as isize {
            continue;
        }
        let (a, b) = (before.1[y as usize * width + x as usize], *m >= INSIDE);
        both += usize::from(a && b);
        either += usize::from(a || b);
    }
    1.0 - both as f32 / either.max(1) as f32
}

/// Height by width of what is white.
fn slender(matte: &[f32], width: usize) -> f32 {
    let inside =
        || matte.iter().enumerate().filter(|(_, m)| **m >= INSIDE).map(|(i, _)| (i % width, i / width));
    let span = |of: &dyn Fn((usize, usize)) -> usize| {
        let (low, high) = inside().fold((usize::MAX, 0), |(l, h), p| (l.min(of(p)), h.max(of(p))));
        high.saturating_sub(low) as f32 + 1.0
    };
    span(&|p| p.1) / span(&|p| p.0)
}

/// Degrees between head and trunk, and between trunk and upright in the picture.
fn angles(body: &Body) -> (f32, f32) {
    let p = &body.places;
    let hips: [f32; 3] = std::array::from_fn(|k| (p[1][k] + p[2][k]) / 2.0);
    let trunk: [f32; 3] = std::array::from_fn(|k| p[12][k] - hips[k]);
    let head: [f32; 3] = std::array::from_fn(|k| p[15][k] - p[12][k]);
    let dot = |a: [f32; 3], b: [f32; 3]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let angle = |a: [f32; 3], b: [f32; 3]| {
        let norm = (dot(a, a) * dot(b, b)).sqrt().max(1e-9);
        (dot(a, b) / norm).clamp(-1.0, 1.0).acos().to_degrees()
    };
    (angle(head, trunk), angle(trunk, [0.0, -1.0, 0.0]))
}

/// The fastest sure joint from one frame to the next, in metres a second, seen from the neck: the whole body's depth is known
/// badly.
pub(super) fn speed(before: &Body, after: &Body, confidence: &[f32], fps: f32) -> f32 {
    (0..JOINTS)
        .filter(|j| confidence.get(*j).is_some_and(|c| *c > SURE))
        .map(|j| {
            let at = |body: &Body, k: usize| body.places[j][k] - body.places[12][k];
            let moved: f32 = (0..3).map(|k| (at(after, k) - at(before, k)).powi(2)).sum();
            moved.sqrt() * fps
        })
        .fold(0.0, f32::max)
}

/// The matte is the fitted body's: at most so much of it lies beside, is missing and is unlike, and landmarks are so many metres off.
const AS_FITTED: [f32; 4] = [0.06, 0.06, 0.36, 0.05];
/// Two networks agree if they differ by less than this part, and less than this part of a person may look like what is behind.
const AGREED: f32 = 0.25;
const ALIKE: f32 = 0.5;

/// A check: what it is called, where it is well and where it is bad, and the value that it looks at. The bounds were fitted on
/// synthetic shots: beyond the first lie few good frames, beyond the second none.
type Check = (&'static str, [f32; 2], fn(&Checks) -> f32);

const CHECKS: [Check; 19] = [
    ("the mask reaches away from the body", [0.06, 0.26], |c| c.outside),
    ("the mask leaves out parts of the body that are seen", [0.10, 0.40], |c| c.missing),
    ("mask and body are unlike", [0.45, 0.75], |c| c.unlike),
    ("the networks disagree about the person's outline", [0.32, 0.62], |c| {
        // One of them may know nothing of an unusual pose: the fitted body is a third witness.
        if c.is_as_fitted() { 0.0 } else { c.disagree }
    }),
    ("the networks can't decide", [0.40, 0.70], |c| c.undecided),
    ("no network is sure of the mask", [0.15, 0.45], |c| c.weak),
    ("the mask is in pieces", [0.12, 0.45], |c| c.scattered),
    ("the mask changes more than the body moves", [0.45, 0.85], |c| c.change),
    ("the mask holds places that look as if nobody were there", [0.06, 0.20], |c| {
        // Clothes may have the colour of the wall behind, where everything else says that somebody is there.
        if c.empty < ALIKE && c.disagree < AGREED && c.is_as_fitted() { 0.0 } else { c.empty }
    }),
    ("something that came into the picture is in no mask", [0.10, 0.35], |c| c.forgotten),
    ("most of the person is hidden", [0.55, 0.85], |c| 1.0 - c.visible),
    ("the person is behind somebody", [0.05, 0.45], |c| c.behind),
    ("bodies lie over each other", [0.3, 0.9], |c| c.shared),
    ("the head doesn't sit on the trunk", [40.0, 80.0], |c| c.head_deg),
    ("the body lies where the mask stands", [0.0, 0.8], |c| {
        // Who bends forwards lies from the hips up, and stands all the same.
        let lies = ((c.tilt_deg - 35.0) / 40.0).clamp(0.0, 1.0) * ((c.slender - 0.8) / 0.6).clamp(0.0, 1.0);
        if c.is_as_fitted() { 0.0 } else { lies }
    }),
    ("landmarks and body lie apart", [0.05, 0.14], |c| c.residual_m),
    ("a joint moves faster than people do", [9.0, 20.0], |c| c.speed),
    ("it looks like somebody else", [0.25, 0.70], |c| c.strange),
    ("the mask covers the whole picture", [0.8, 0.97], |c| c.area),
];

/// Doubts add up: a frame that is bad by one check, or half bad by two, is just not trusted any more.
const WEIGHT: f32 = 0.55;

/// How much the area may differ from its neighbours', as a logarithm: well and bad.
const AREA: [f32; 2] = [0.3, 0.9];
/// Seconds to either side that count as neighbours.
const NEIGHBOURS_S: f32 = 0.5;

/// Whoever isn't found doesn't show if this part of the body at least lies behind others or looks as if nobody were there, less than that
/// is in the matte, and less than that looks otherwise without being anybody's; else it is guessed what does.
const COVERED: f32 = 0.8;
const SHOWS: f32 = 0.05;
const LEFT: f32 = 0.005;
const HIDDEN: &str = "nothing of the person shows";
const CARRIED: &str = "the person wasn't found and is carried across";
const CARRIED_WORTH: f32 = 0.2;

fn badness(value: f32, [well, bad]: [f32; 2]) -> f32 {
    ((value - well) / (bad - well)).clamp(0.0, 1.0)
}

/// Judges every frame in which the person was seen; `cuts` marks frames that don't follow from the one before.
pub(super) fn judge(checks: &[Option<Checks>], cuts: &[bool], fps: f32) -> Vec<Option<Verdict>> {
    let reach = ((NEIGHBOURS_S * fps).round() as usize).max(2);
    (0..checks.len())
        .map(|t| {
            let this = checks[t].as_ref()?;
            if this.carried {
                // Behind others, behind a thing, or away.
                let nothing_shows =
                    this.visible < SHOWS && this.behind + this.gone > COVERED && this.left < LEFT;
                let (score, reason) = if nothing_shows { (1.0, HIDDEN) } else { (CARRIED_WORTH, CARRIED) };
                return Some(Verdict { score, reason: reason.to_owned() });
            }
            let found = CHECKS.iter().map(|(name, range, of)| (*name, badness(of(this), *range)));
            let around = mocap::same_shot(cuts, t, reach);
            let mut areas: Vec<f32> = around.filter_map(|i| Some(checks[i].as_ref()?.area)).collect();
            areas.sort_by(f32::total_cmp);
            let usual = areas.get(areas.len() / 2).copied().unwrap_or(this.area);
            let jump = (this.area.max(1e-5) / usual.max(1e-5)).ln().abs();
            let found: Vec<(&str, f32)> =
                found.chain([("the mask's area jumps", badness(jump, AREA))]).collect();
            let doubts: f32 = found.iter().map(|(_, badness)| badness).sum();
            let worst = found.into_iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
            Some(Verdict { score: (1.0 - WEIGHT * doubts).max(0.0), reason: worst.0.to_owned() })
        })
        .collect()
}

/// Runs of frames that aren't trusted, each with its commonest reason.
pub(super) fn doubtful(verdicts: &[Option<Verdict>]) -> Vec<(std::ops::Range<usize>, String)> {
    let bad = |t: usize| verdicts[t].as_ref().is_some_and(|v| v.score < TRUSTED);
    let mut runs = Vec::new();
    let mut t = 0;
    while t < verdicts.len() {
        if !bad(t) {
            t += 1;
            continue;
        }
        let end = (t..verdicts.len()).find(|i| !bad(*i)).unwrap_or(verdicts.len());
        let worst = verdicts[t..end].iter().flatten().min_by(|a, b| a.score.total_cmp(&b.score));
        runs.push((t..end, worst.map_or_else(String::new, |v| v.reason.clone())));
        t = end;
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_odd_is_named_and_what_is_usual_is_not() {
        let usual = Checks {
            area: 0.1,
            outside: 0.05,
            missing: 0.05,
            disagree: 0.2,
            detected: 0.9,
            visible: 0.9,
            ..Checks::default()
        };
        let mut checks = vec![Some(usual); 12];
        checks[3] = Some(Checks { outside: 0.7, ..usual });
        checks[7] = Some(Checks { area: 0.35, ..usual });
        checks[9] = None;
        let verdicts = judge(&checks, &[false; 12], 12.0);
        let named: Vec<_> = doubtful(&verdicts).into_iter().collect();
        assert_eq!(named.len(), 2, "{named:?}");
        assert!(named[0] == (3..4, "the mask reaches away from the body".to_owned()));
        assert!(named[1] == (7..8, "the mask's area jumps".to_owned()));
        assert!(verdicts[9].is_none() && verdicts[0].as_ref().unwrap().score > 0.9);
        // A network that doesn't know a pose is no reason while body and matte are alike.
        let alone = Checks { disagree: 0.8, residual_m: 0.02, unlike: 0.3, missing: 0.01, ..usual };
        let of = |this: Checks| judge(&[Some(this)], &[false], 12.0)[0].as_ref().unwrap().score;
        assert!(of(alone) > 0.9 && of(Checks { unlike: 0.5, ..alone }) < TRUSTED);
        // White before a white wall; a chair that is taken for somebody looks so everywhere.
        let white = Checks { empty: 0.3, residual_m: 0.02, unlike: 0.3, missing: 0.01, ..usual };
        assert!(of(white) > 0.9 && of(Checks { empty: 0.9, ..white }) < TRUSTED);
        assert!(of(Checks { disagree: 0.31, ..white }) < TRUSTED);
        // Who bends forwards is fitted well; a body across a matte that stands isn't.
        let bends =
            Checks { tilt_deg: 85.0, slender: 2.0, residual_m: 0.02, unlike: 0.3, missing: 0.01, ..usual };
        assert!(of(bends) > 0.9 && of(Checks { outside: 0.1, ..bends }) < TRUSTED);
        // Whoever is carried across behind somebody, and of whom nothing is left beside.
        let carried = Checks { carried: true, behind: 0.9, visible: 0.0, ..usual };
        assert!(of(carried) > TRUSTED && of(Checks { left: 0.01, ..carried }) < TRUSTED);
        // After a cut another area is no jump.
        let mut cut = [false; 12];
        cut[6] = true;
        let mut checks = vec![Some(usual); 6];
        checks.extend(vec![Some(Checks { area: 0.4, ..usual }); 6]);
        assert!(doubtful(&judge(&checks, &cut, 12.0)).is_empty());
    }
}
