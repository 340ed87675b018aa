//! What segments of the scene do to whoever is there: hide them, or not.

use super::occluders::Says;
use super::scenery::{LIKE_IT, unlike};
use super::segments::{Border, Segments};

/// The part of the frames nearby, in which the body is there, that must agree.
const STEADY: f32 = 0.6;
/// The part of all frames (and, of a segment, of its pixels in them) in which what hides the body must do so.
const HIDES: f32 = 0.8;
/// A segment that hid it in less than this part is behind it.
const SHOWS: f32 = 0.5;
/// A segment hides whoever is there if one of its pixels did in so many frames.
const FRAMES: u16 = 2;
/// What lies within the body in this part of pixels and frames isn't before it, but something worn that networks don't know.
const WITHIN: f32 = 0.8;

/// How many frames say what of a pixel, by the values of [`Says`]: those nearby, and all.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Votes {
    near: Counts,
    all: Counts,
}

/// A count of each value, in [`BITS`] each: one addition counts.
#[derive(Clone, Copy, Debug, Default)]
struct Counts(u64);

const BITS: usize = 64 / Says::COUNT;

impl Counts {
    fn add(&mut self, says: Says, n: u64) {
        self.0 += n << (BITS * says as usize);
    }

    fn of(self, says: Says) -> u16 {
        (self.0 >> (BITS * says as usize) & ((1 << BITS) - 1)) as u16
    }
}

impl Votes {
    /// Takes a frame's word: of fewer than 4096 frames.
    pub(super) fn add(&mut self, says: Says, is_near: bool) {
        self.all.add(says, 1);
        self.near.add(says, u64::from(is_near));
    }

    /// Frames that say it, of all.
    pub(super) fn all(&self, says: Says) -> u16 {
        self.all.of(says)
    }

    /// Frames nearby that say it.
    pub(super) fn near(&self, says: Says) -> u16 {
        self.near.of(says)
    }

    /// All frames that say anything.
    fn frames(&self) -> u16 {
        Says::ALL.iter().map(|says| self.all(*says)).sum()
    }

    /// Frames in which the body is there, but for its very edge.
    pub(super) fn bodies(&self) -> u16 {
        [Says::Seen, Says::Hidden, Says::Empty].iter().map(|says| self.all(*says)).sum()
    }

    /// What looks empty is hidden where a thing was found in another frame.
    fn hides(of: Counts, least: u16, part: f32) -> bool {
        let [seen, hidden, empty] = [Says::Seen, Says::Hidden, Says::Empty].map(|says| of.of(says));
        hidden > 0
            && hidden + empty >= least
            && f32::from(hidden + empty) >= part * f32::from(seen + hidden + empty)
    }

    /// Frames nearby agree that something hides the body.
    pub(super) fn near_hides(&self) -> bool {
        Self::hides(self.near, 1, STEADY)
    }

    /// So do all frames, for so many at least.
    pub(super) fn always_hides(&self, long: usize) -> bool {
        Self::hides(self.all, long as u16, HIDES)
    }
}

/// What a segment of the scene does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hiding {
    /// Nobody was there, or frames and pixels disagree.
    Unknown,
    /// It hides whoever is there.
    All,
    /// Whoever was there was seen before it.
    None,
}

impl Hiding {
    /// Of each segment, by the votes on its pixels and by what is beside it. `looks` is what was cut into segments; a thing hides the
    /// body in `least` pixels at least, counted in every frame.
    pub(super) fn of(segments: &Segments, votes: &[Votes], looks: &[[u8; 3]], least: f32) -> Vec<Self> {
        let mut sums = vec![Sum::default(); segments.count()];
        for (s, votes) in segments.labels().zip(votes) {
            sums[s].add(votes);
        }
        let beside = segments.borders();
        let mut is_thing = vec![false; sums.len()];
        let mut hidden = 0;
        for group in groups(&sums, &beside) {
            let sum = group.iter().fold(Sum::default(), |sum, s| sum.with(&sums[*s]));
            if !sum.is_within() {
                group.iter().for_each(|s| is_thing[*s] = true);
                hidden += sum.hidden;
            }
        }
        let any = hidden as f32 >= least;
        if !any {
            is_thing.fill(false);
        }
        let alone = |(sum, is_thing): (&Sum, &bool)| match is_thing {
            true => Self::All,
            false if sum.is_within() => Self::None,
            false if sum.seen > 0 && (any || !sum.hides(SHOWS)) => Self::None,
            false => Self::Unknown,
        };
        let mut found: Vec<Self> = sums.iter().zip(&is_thing).map(alone).collect();
        if !any {
            return found;
        }
        let colours = segments.means(looks);
        loop {
            let mut more = find_alike(&mut found, &sums, &colours, &beside);
            more |= find_below(&mut found, &sums, &beside);
            if !more {
                return found;
            }
        }
    }
}

/// What is said of a segment's pixels, in all frames.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    seen: usize,
    hidden: usize,
    /// All pixels in all frames, and those where the body is.
    all: usize,
    covered: usize,
    /// Frames in which a pixel was hidden, at most.
    longest: u16,
}

impl Sum {
    /// What only looks empty says nothing: it may be what somebody wears, or their skin.
    fn add(&mut self, votes: &Votes) {
        self.seen += usize::from(votes.all(Says::Seen));
        self.hidden += usize::from(votes.all(Says::Hidden));
        let all = usize::from(votes.frames());
        self.all += all;
        self.covered += all - usize::from(votes.all(Says::Away));
        self.longest = self.longest.max(votes.all(Says::Hidden));
    }

    fn with(self, other: &Self) -> Self {
        Self {
            seen: self.seen + other.seen,
            hidden: self.hidden + other.hidden,
            all: self.all + other.all,
            covered: self.covered + other.covered,
            longest: self.longest.max(other.longest),
        }
    }

    fn hides(&self, part: f32) -> bool {
        self.hidden as f32 >= part * (self.seen + self.hidden) as f32
    }

    fn may_hide(&self) -> bool {
        self.longest >= FRAMES && self.hides(HIDES)
    }

    /// Does it lie within the body?
    fn is_within(&self) -> bool {
        self.all > 0 && self.covered as f32 >= WITHIN * self.all as f32
    }

    fn is_unknown(&self) -> bool {
        self.seen + self.hidden == 0
    }
}

/// Segments that may hide the body, together with those beside them that may, too.
fn groups(sums: &[Sum], beside: &[Border]) -> Vec<Vec<usize>> {
    let mut around = vec![Vec::new(); sums.len()];
    for Border { of: [a, b], .. } in beside {
        around[*a].push(*b);
        around[*b].push(*a);
    }
    let mut open: Vec<bool> = sums.iter().map(Sum::may_hide).collect();
    let mut groups = Vec::new();
    for first in 0..sums.len() {
        if !std::mem::take(&mut open[first]) {
            continue;
        }
        let mut group = vec![first];
        let mut next = 0;
        while next < group.len() {
            for s in &around[group[next]] {
                if std::mem::take(&mut open[*s]) {
                    group.push(*s);
                }
            }
            next += 1;
        }
        groups.push(group);
    }
    groups
}

/// A part of a thing that looks like the rest does what the rest does; `true` where one was found.
fn find_alike(found: &mut [Hiding], sums: &[Sum], colours: &[[u8; 3]], beside: &[Border]) -> bool {
    let mut more = false;
    for [a, b] in beside.iter().flat_map(|Border { of: [a, b], .. }| [[*a, *b], [*b, *a]]) {
        if found[a] == Hiding::All
            && found[b] != Hiding::All
            && !sums[b].is_unknown()
            && unlike(colours[a], colours[b]) <= LIKE_IT
            && sums[a].with(&sums[b]).hides(HIDES)
        {
            found[b] = Hiding::All;
            more = true;
        }
    }
    more
}

/// Things stand on the ground: what is below one, before which nobody was seen, is its lower part; `true` where one was found.
fn find_below(found: &mut [Hiding], sums: &[Sum], beside: &[Border]) -> bool {
    // By segment: pixels along its upper border, and those of them that lie below a thing.
    let mut above = vec![[0_usize; 2]; found.len()];
    for Border { of: [a, b], below } in beside {
        above[*b][0] += below;
        above[*b][1] += if found[*a] == Hiding::All { *below } else { 0 };
    }
    let mut more = false;
    for ((hiding, sum), [all, under]) in found.iter_mut().zip(sums).zip(above) {
        if *hiding != Hiding::All && sum.is_unknown() && under > 0 && 2 * under >= all {
            *hiding = Hiding::All;
            more = true;
        }
    }
    more
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A wall, before it a post of two shades that stands on a base that nobody was near; somebody's skin looks like the wall.
    #[test]
    fn a_post_hides_and_a_wall_that_looks_like_skin_does_not() {
        let (w, h) = (60, 60);
        let is_post = |x: usize| (24..36).contains(&x);
        let looks: Vec<[u8; 3]> = (0..w * h)
            .map(|i| match (i % w, i / w) {
                (_, 50..) => [60, 120, 60],
                (x, 40..) if is_post(x) => [20, 20, 20],
                (30..36, _) => [112; 3],
                (24..30, _) => [130; 3],
                _ => [200, 150, 120],
            })
            .collect();
        let votes: Vec<Votes> = (0..w * h)
            .map(|i| {
                let mut votes = Votes::default();
                let mut say = |n: usize, says: Says| (0..n).for_each(|_| votes.add(says, true));
                say(2, Says::Away);
                match (i % w, i / w) {
                    (_, 40..) => {}
                    // The fit is a little off beyond the darker side.
                    (35, _) => say(3, Says::Seen),
                    (x, 10..) if is_post(x) => say(4, Says::Hidden),
                    (_, 10..20) => say(3, Says::Empty),
                    (_, 20..22) => say(3, Says::Hidden),
                    (_, 22..) => say(4, Says::Seen),
                    _ => {}
                }
                votes
            })
            .collect();
        let segments = Segments::new(&looks, w, [0..w, 0..h]);
        let of = |least: f32| Hiding::of(&segments, &votes, &looks, least);
        let at = |found: &[Hiding], x: usize, y: usize| found[segments.at(x, y).unwrap()];
        let found = of(500.0);
        assert_eq!(at(&found, 26, 30), Hiding::All);
        assert_eq!(at(&found, 32, 30), Hiding::All, "the darker side goes with the lighter one");
        assert_eq!(at(&found, 30, 45), Hiding::All, "the base");
        assert_eq!(at(&found, 10, 15), Hiding::None, "the wall");
        assert_ne!(at(&found, 10, 55), Hiding::All, "the floor");
        // As if it were a part of whoever is there.
        let worn: Vec<Votes> = votes
            .iter()
            .map(|votes| {
                let away = u64::from(votes.all(Says::Away));
                Votes { all: Counts(votes.all.0 - (away << (BITS * Says::Away as usize))), ..*votes }
            })
            .collect();
        let found = Hiding::of(&segments, &worn, &looks, 500.0);
        assert_eq!(at(&found, 26, 30), Hiding::None);
        // Too little of anybody was hidden to be sure of a thing.
        assert!(of(1e6).iter().all(|hiding| *hiding != Hiding::All));
    }
}
