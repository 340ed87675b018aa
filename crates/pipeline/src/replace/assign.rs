//! Whose pixel is it: the networks' evidence, the fitted bodies and everybody's colours, weighed in a small picture.

use super::bodies::Body;
use image::{GrayImage, RgbImage};
use std::collections::BTreeMap;

/// Metres from the fitted body within which a pixel may be the person's (clothes, hair, what is carried), and from which on it
/// isn't.
const REACH_M: [f32; 2] = [0.30, 0.55];
/// Metres from the body within which one network's word is enough, and from which on both must say the same.
const ALONE_M: [f32; 2] = [0.12, 0.26];
/// The same where one network sees people in the background: beyond this distance from the body, in metres, it finds this much more
/// than the other one, as a part of the body. Between the two parts the one gives way to the other.
const TOGETHER_M: [f32; 2] = [0.02, 0.08];
const SPILT_M: f32 = 0.08;
const SPILT: [f32; 2] = [0.08, 0.2];
/// How much the person's own network, the body, its distance (by metre) and the colours weigh beside each other.
const OWN: f32 = 5.0;
const COVERED: f32 = 2.5;
const HIDDEN: f32 = -1.5;
const DISTANCE: f32 = 9.0;
const COLOUR: f32 = 2.0;
/// What others' networks say of a pixel counts so much for those whom none looked at.
const UNREAD: f32 = 0.8;
/// Metres beyond which distance says no more.
const FAR_M: f32 = 0.5;
/// Colours are learnt from pixels this sure, this far from everybody else's body in metres.
const SURE: u8 = 215;
const CLEAR_M: f32 = 0.12;
/// Steps of each colour channel, how fast colours are forgotten, and what every colour is given at first.
const LEVELS: usize = 8;
const KEPT: f32 = 0.9;
const FLOOR: f32 = 0.02;
/// From so many pixels of late on somebody's colours are known.
const KNOWN: f32 = 50.0;

/// Whose colours are seen where two bodies lie over each other is in front: if that is so many pixels, as a part of the smaller body,
/// their colours differ so much, and what is seen is this much nearer to the one's than to the other's (1 would be the one's alone).
const OVERLAP: f32 = 0.1;
const DIFFERENT: f32 = 0.8;
const NEARER: f32 = 0.65;
/// What a frame shows counts so much in the next one.
const REMEMBERED: f32 = 0.4;
/// Whoever is behind is moved so many metres behind the other one.
const BEHIND_M: f32 = 0.15;

/// Somebody in a frame.
#[derive(Debug)]
pub(super) struct Somebody {
    pub(super) person: usize,
    /// How likely a pixel of the small picture is this person's, and how likely it is anybody's.
    pub(super) own: GrayImage,
    pub(super) anybody: GrayImage,
    pub(super) body: Option<Body>,
    /// `[h, w]` metres from the body outwards; 0 within.
    pub(super) away: Vec<f32>,
    /// Small pixels of hair that no network sees.
    pub(super) hair: Vec<usize>,
    /// They aren't found any more, but should still be there: nothing is judged by it.
    pub(super) is_expected: bool,
    /// Networks looked at them in this frame.
    pub(super) is_read: bool,
    /// Metres from the body within which one network's word is enough, and from which on both must say the same.
    alone_m: [f32; 2],
}

impl Somebody {
    pub(super) fn new(person: usize, own: GrayImage, anybody: GrayImage, body: Option<Body>) -> Self {
        let away = match &body {
            Some(body) => {
                distance(&own, |i| body.covers(i)).into_iter().map(|d| d / body.per_metre).collect()
            }
            None => vec![0.0; own.len()],
        };
        let area = body.as_ref().map_or(0, Body::area).max(1) as f32;
        let spilt = |network: &GrayImage| {
            let far = network
                .iter()
                .zip(&away)
                .filter(|(byte, away)| **byte >= bg_mask::THRESHOLD && (SPILT_M..REACH_M[1]).contains(*away));
            far.count() as f32 / area
        };
        let more = (spilt(&own) - spilt(&anybody)).abs();
        let doubt = ((more - SPILT[0]) / (SPILT[1] - SPILT[0])).clamp(0.0, 1.0);
        let alone_m = [0, 1].map(|k| ALONE_M[k] + doubt * (TOGETHER_M[k] - ALONE_M[k]));
        Self {
            person,
            own,
            anybody,
            body,
            away,
            hair: Vec::new(),
            is_expected: false,
            is_read: true,
            alone_m,
        }
    }

    /// How much of the surer network's word counts at a pixel: all of it on the body, none far away; between, both networks
    /// must say the same.
    fn reach(&self, pixel: usize) -> f32 {
        let share = |[near, far]: [f32; 2]| ((far - self.away[pixel]) / (far - near)).clamp(0.0, 1.0);
        let (own, any) = (f32::from(self.own.as_raw()[pixel]), f32::from(self.anybody.as_raw()[pixel]));
        let agreed = own.min(any) / own.max(any).max(1.0);
        let alone = share(self.alone_m);
        share(REACH_M) * (alone + (1.0 - alone) * agreed)
    }

    /// Metres inwards from the body's outline; 0 outside.
    pub(super) fn depth_in_body(&self) -> Vec<f32> {
        match &self.body {
            Some(body) => {
                distance(&self.own, |i| !body.covers(i)).into_iter().map(|d| d / body.per_metre).collect()
            }
            None => vec![0.0; self.own.len()],
        }
    }
}

/// A mask of the pixels that are picked.
pub(super) fn mask_of((width, height): (u32, u32), of: impl Fn(usize) -> bool) -> GrayImage {
    let mut mask = GrayImage::new(width, height);
    mask.iter_mut().enumerate().for_each(|(i, byte)| *byte = if of(i) { 255 } else { 0 });
    mask
}

/// Distance in pixels to the pixels that are picked.
fn distance(like: &GrayImage, of: impl Fn(usize) -> bool) -> Vec<f32> {
    let mask = mask_of(like.dimensions(), of);
    bg_mask::squared_distance(&mask).into_iter().map(f32::sqrt).collect()
}

/// Gives every pixel to one person or to none, frame after frame.
#[derive(Debug, Default)]
pub(super) struct Assigner {
    /// By person: how often each colour was seen on them.
    colours: BTreeMap<usize, Vec<f32>>,
    /// By two people: in how many pixels they lay over each other of late, and how much likelier the colours there were the first one's.
    over: BTreeMap<[usize; 2], [f32; 2]>,
}

impl Assigner {
    /// `[people][h, w]` which share of the pixel's likeliness is whose, 0..1: all of them together are at most 1.
    pub(super) fn shares(&mut self, picture: &RgbImage, people: &[Somebody]) -> Vec<Vec<f32>> {
        let n = picture.width() as usize * picture.height() as usize;
        if let [alone] = people {
            return vec![(0..n).map(|i| alone.reach(i)).collect()];
        }
        self.learn(picture, people);
        let mut shares = vec![vec![0.0; n]; people.len()];
        let mut weights = vec![0.0; people.len()];
        let palettes = self.palettes(people.iter());
        for i in 0..n {
            let likely: f32 = people
                .iter()
                .map(|p| f32::from(p.own.as_raw()[i].max(p.anybody.as_raw()[i])))
                .fold(0.0, f32::max);
            if likely < 8.0 {
                continue;
            }
            let nearest = people
                .iter()
                .filter_map(|p| p.body.as_ref().map(|b| b.depth[i]).filter(|d| *d > 0.0))
                .fold(f32::INFINITY, f32::min);
            let colour = bin::<LEVELS>(&picture.as_raw()[3 * i..]);
            for (k, (weight, p)) in weights.iter_mut().zip(people).enumerate() {
                // Networks that didn't look at somebody say nothing against them either.
                let own = if p.is_read { f32::from(p.own.as_raw()[i]) } else { UNREAD * likely } / 255.0;
                let body = match &p.body {
                    Some(body) if body.covers(i) => {
                        if body.depth[i] <= nearest {
                            COVERED
                        } else {
                            HIDDEN
                        }
                    }
                    Some(_) => 0.0,
                    None => 0.0,
                };
                *weight =
                    OWN * own + body - DISTANCE * p.away[i].min(FAR_M) + COLOUR * palettes.word(k, colour);
            }
            let most = weights.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            weights.iter_mut().for_each(|w| *w = (2.0 * (*w - most)).exp());
            let sum: f32 = weights.iter().sum();
            for ((share, weight), p) in shares.iter_mut().zip(&weights).zip(people) {
                share[i] = weight / sum * p.reach(i);
            }
        }
        let w = picture.width() as usize;
        shares.iter_mut().for_each(|share| smooth(share, w));
        shares
    }

    /// Moves bodies that lie over each other into the order that colours show: fitted depths may be wrong by more than people are apart.
    pub(super) fn order(&mut self, picture: &RgbImage, people: &mut [Somebody]) {
        let before = std::mem::take(&mut self.over);
        for b in 1..people.len() {
            let (first, rest) = people.split_at_mut(b);
            for a in first {
                let pair = [a.person, rest[0].person];
                let known = before.get(&pair).copied().unwrap_or_default().map(|v| v * REMEMBERED);
                let over = self.put_in_order(picture, a, &mut rest[0], known);
                self.over.insert(pair, over);
            }
        }
    }

    /// Two of them; gives what is known of them now.
    fn put_in_order(
        &self,
        picture: &RgbImage,
        a: &mut Somebody,
        b: &mut Somebody,
        [mut pixels, mut sum]: [f32; 2],
    ) -> [f32; 2] {
        let likely = |i: usize| {
            let of = |p: &Somebody| p.own.as_raw()[i].max(p.anybody.as_raw()[i]);
            of(a).max(of(b)) >= bg_mask::THRESHOLD
        };
        let (Some(first), Some(second)) = (&a.body, &b.body) else { return [0.0; 2] };
        let both: Vec<usize> =
            (0..first.depth.len()).filter(|i| first.covers(*i) && second.covers(*i)).collect();
        if both.is_empty() {
            return [pixels, sum];
        }
        let palettes = self.palettes([&*a, &*b].into_iter());
        let of_a = |colour: usize| palettes.word(0, colour) - palettes.word(1, colour);
        for i in both.iter().copied().filter(|i| likely(*i)) {
            (pixels, sum) = (pixels + 1.0, sum + of_a(bin::<LEVELS>(&picture.as_raw()[3 * i..])));
        }
        let least = OVERLAP * first.area().min(second.area()) as f32;
        let [usual_a, usual_b] = [0, 1].map(|person| palettes.mean(person, of_a));
        if pixels < least || usual_a - usual_b < DIFFERENT {
            return [pixels, sum];
        }
        let is_a = (sum / pixels - usual_b) / (usual_a - usual_b);
        let (front, behind) = if is_a > NEARER {
            (first, &mut b.body)
        } else if is_a < 1.0 - NEARER {
            (second, &mut a.body)
        } else {
            return [pixels, sum];
        };
        if let Some(behind) = behind {
            let there = |body: &Body| both.iter().map(|i| body.depth[*i]).sum::<f32>() / both.len() as f32;
            let by = (front.mean_depth() - behind.mean_depth()).max(there(front) - there(behind));
            if by + BEHIND_M > 0.0 {
                behind.move_back(by + BEHIND_M);
            }
        }
        [pixels, sum]
    }

    fn learn(&mut self, picture: &RgbImage, people: &[Somebody]) {
        for (k, p) in people.iter().enumerate() {
            let Some(body) = &p.body else { continue };
            let known = self.colours.entry(p.person).or_insert_with(|| vec![0.0; LEVELS * LEVELS * LEVELS]);
            known.iter_mut().for_each(|v| *v *= KEPT);
            for (i, own) in p.own.as_raw().iter().enumerate() {
                let clear = || people.iter().enumerate().all(|(l, o)| l == k || o.away[i] > CLEAR_M);
                if *own >= SURE && body.covers(i) && clear() {
                    known[bin::<LEVELS>(&picture.as_raw()[3 * i..])] += 1.0;
                }
            }
        }
    }

    /// What is known of people's colours so far.
    fn palettes<'a>(&self, people: impl Iterator<Item = &'a Somebody>) -> Palettes {
        let chances = people.map(|p| {
            let known = self.colours.get(&p.person)?;
            let all: f32 = known.iter().sum();
            (all >= KNOWN).then(|| known.iter().map(|often| often / all + FLOOR).collect())
        });
        Palettes(chances.collect())
    }
}

/// By person: how likely they show each colour. `None` unless everybody's colours are known.
struct Palettes(Option<Vec<Vec<f32>>>);

impl Palettes {
    /// The logarithm of how much likelier a colour is the one's than anybody's.
    fn word(&self, person: usize, colour: usize) -> f32 {
        let Some(chances) = &self.0 else { return 0.0 };
        let mean = chances.iter().map(|of| of[colour]).sum::<f32>() / chances.len() as f32;
        (chances[person][colour] / mean).ln().clamp(-2.0, 2.0)
    }

    /// The mean over what a person shows.
    fn mean(&self, person: usize, of: impl Fn(usize) -> f32) -> f32 {
        let Some(chances) = &self.0 else { return 0.0 };
        chances[person].iter().enumerate().map(|(colour, chance)| (chance - FLOOR) * of(colour)).sum()
    }
}

/// The number of a colour among those of so many steps a channel.
pub(super) fn bin<const STEPS: usize>(pixel: &[u8]) -> usize {
    pixel[..3].iter().fold(0, |sum, v| sum * STEPS + usize::from(*v) * STEPS / 256)
}

/// A mean over 3 × 3 pixels.
pub(super) fn smooth(values: &mut [f32], width: usize) {
    let before = values.to_vec();
    let height = before.len() / width.max(1);
    for y in 0..height {
        for x in 0..width {
            let (mut sum, mut n) = (0.0, 0.0);
            for v in y.saturating_sub(1)..(y + 2).min(height) {
                for u in x.saturating_sub(1)..(x + 2).min(width) {
                    sum += before[v * width + u];
                    n += 1.0;
                }
            }
            values[y * width + x] = sum / n;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::bodies::JOINTS;
    use super::*;
    use image::Rgb;

    const SIZE: (u32, u32) = (60, 30);

    /// Somebody whose body covers columns, seen there by both networks.
    fn somebody(person: usize, columns: std::ops::Range<u32>, depth: f32) -> Somebody {
        let inside = |i: usize| columns.contains(&(i as u32 % SIZE.0));
        let seen = mask_of(SIZE, inside);
        let body = Body {
            depth: (0..seen.len()).map(|i| if inside(i) { depth } else { 0.0 }).collect(),
            joint: vec![0; seen.len()],
            per_metre: 50.0,
            joints: [[0.0; 2]; JOINTS],
            places: [[0.0; 3]; JOINTS],
        };
        Somebody::new(person, seen.clone(), seen, Some(body))
    }

    #[test]
    fn who_is_carried_across_behind_somebody_keeps_what_shows() {
        let mut assigner = Assigner::default();
        let [red, blue, floor] = [Rgb([200, 30, 30]), Rgb([30, 40, 200]), Rgb([120; 3])];
        let apart = RgbImage::from_fn(SIZE.0, SIZE.1, |x, _| match x {
            5..15 => red,
            40..50 => blue,
            _ => floor,
        });
        for _ in 0..5 {
            assigner.shares(&apart, &[somebody(0, 5..15, 3.0), somebody(1, 40..50, 4.0)]);
        }
        // The blue one shows on the right of the red one, whose networks take both for one person.
        let crossing = RgbImage::from_fn(SIZE.0, SIZE.1, |x, _| match x {
            20..30 => red,
            30..35 => blue,
            _ => floor,
        });
        let mut front = somebody(0, 20..30, 3.0);
        let both = mask_of(SIZE, |i| (20..35).contains(&(i as u32 % SIZE.0)));
        (front.own, front.anybody) = (both.clone(), both.clone());
        let mut behind = somebody(1, 24..34, 4.0);
        (behind.own, behind.anybody, behind.is_read) =
            (GrayImage::new(SIZE.0, SIZE.1), GrayImage::new(SIZE.0, SIZE.1), false);
        let shares = assigner.shares(&crossing, &[front, behind]);
        let at = |x: usize| 15 * SIZE.0 as usize + x;
        assert!(
            shares[0][at(26)] > 0.9 && shares[1][at(32)] > 0.9,
            "{} {}",
            shares[0][at(26)],
            shares[1][at(32)]
        );
    }

    #[test]
    fn whose_colours_are_seen_is_in_front_whatever_was_fitted() {
        let [red, blue, floor] = [Rgb([200, 30, 30]), Rgb([30, 40, 200]), Rgb([120; 3])];
        let picture = |red_at: std::ops::Range<u32>, blue_at: std::ops::Range<u32>| {
            RgbImage::from_fn(SIZE.0, SIZE.1, |x, _| match x {
                x if red_at.contains(&x) => red,
                x if blue_at.contains(&x) => blue,
                _ => floor,
            })
        };
        // The second one's clothes differ, or are the first one's.
        for (other, is_moved) in [(blue, true), (red, false)] {
            let mut assigner = Assigner::default();
            let apart = RgbImage::from_fn(SIZE.0, SIZE.1, |x, _| match x {
                5..15 => red,
                40..50 => other,
                _ => floor,
            });
            for _ in 0..5 {
                let mut people = [somebody(0, 5..15, 3.0), somebody(1, 40..50, 2.5)];
                assigner.order(&apart, &mut people);
                assigner.shares(&apart, &people);
                assert_eq!(people[1].body.as_ref().unwrap().mean_depth(), 2.5);
            }
            // Red is seen where both are, and was fitted further away.
            let mut people = [somebody(0, 20..30, 3.0), somebody(1, 25..35, 2.5)];
            assigner.order(&picture(20..30, 30..35), &mut people);
            let depths = people.each_ref().map(|p| p.body.as_ref().unwrap().mean_depth());
            assert!((depths[0] - 3.0).abs() < 1e-3, "{depths:?}");
            assert_eq!(depths[1] > depths[0], is_moved, "{depths:?}");
        }
    }
}
