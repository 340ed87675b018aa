//! Hair that networks leave out: what hangs together with a head, beside it, and has its hair's colours and none of the background's.

use super::assign::{bin, mask_of};
use image::{GrayImage, RgbImage};
use mocap::Region;

/// Small pixels of a face's region below which hair isn't looked for.
const LEAST_FACE: f32 = 40.0;
/// In sides of the face's region: how far above its middle the middle of the hair is, how far hair reaches from there, up to where the
/// background around it is looked at, and how far below the face's middle both may be.
const ABOVE: f32 = 0.12;
const REACH: f32 = 0.75;
const AROUND: f32 = 1.3;
const BELOW: f32 = 0.3;
/// The face itself: half its width, and where its forehead begins above the middle.
const FACE: f32 = 0.27;
const FOREHEAD: f32 = 0.2;
/// Farther from the head than this hair isn't believed, in sides of the face's region.
const STICKS_OUT: f32 = 0.25;
/// Networks are sure of somebody from the first byte on, and of the background below the second.
const SURE: u8 = 215;
const BACKGROUND: u8 = 20;
/// Fewer pixels of hair or background say nothing.
const FEW: usize = 150;
/// A colour is hair's where it is so many times as usual in hair as in the background. The background must have hardly any such colours, and
/// hair most of them.
const USUAL: f32 = 6.0;
const HARDLY_ANY: f32 = 0.02;
const MOST: f32 = 0.5;
/// More than this part of the head isn't left out by networks.
const MORE: f32 = 0.4;
/// So much of what lies so many pixels around a pixel of hair must be hair or head.
const SPECK: usize = 3;
const SOLID: f32 = 0.6;
/// Levels of a colour channel's steps.
const STEPS: usize = 32;

/// Adds hair to what two networks say of somebody's pixels, in a small picture in which the face's region is this one, and gives its
/// pixels. Where hair and background can't be told apart by colour there are none.
pub(super) fn add(
    picture: &RgbImage,
    face: &Region,
    own: &mut GrayImage,
    anybody: &mut GrayImage,
) -> Vec<usize> {
    let size = picture.dimensions();
    if face.size < LEAST_FACE || own.dimensions() != size || anybody.dimensions() != size {
        return Vec::new();
    }
    let found = Around::new(picture, face, own, anybody).hair();
    for i in &found {
        (own.as_mut()[*i], anybody.as_mut()[*i]) = (255, 255);
    }
    found
}

/// What lies around a face.
struct Around<'a> {
    picture: &'a RgbImage,
    /// By pixel: to the face's right and down from its middle, in sides of its region.
    places: Vec<[f32; 2]>,
    /// By pixel: the less and the more that the two networks say.
    said: Vec<[u8; 2]>,
    /// By pixel: the squared distance from what both networks see, in pixels; and how far from there hair may be.
    away: Vec<f32>,
    near: f32,
}

impl<'a> Around<'a> {
    fn new(picture: &'a RgbImage, face: &Region, own: &GrayImage, anybody: &GrayImage) -> Self {
        let w = picture.width() as usize;
        let middle = |i: usize| [i % w, i / w].map(|v| v as f32 + 0.5);
        let places = (0..own.len()).map(|i| face.from_picture(middle(i)).map(|v| v - 0.5)).collect();
        let said: Vec<[u8; 2]> =
            own.iter().zip(anybody.iter()).map(|(a, b)| [*a.min(b), *a.max(b)]).collect();
        let seen = mask_of(picture.dimensions(), |i| said[i][0] >= bg_mask::THRESHOLD);
        let away = bg_mask::squared_distance(&seen);
        Self { picture, places, said, away, near: (STICKS_OUT * face.size).powi(2) }
    }

    fn pixel(&self, i: usize) -> &[u8] {
        &self.picture.as_raw()[3 * i..3 * i + 3]
    }

    /// How far a pixel is from the middle of the hair, in sides of the face's region; `None` too far below it.
    fn away_from_hair(&self, i: usize) -> Option<f32> {
        let [u, v] = self.places[i];
        (v < BELOW).then(|| u.hypot(v + ABOVE))
    }

    fn in_reach(&self, i: usize) -> bool {
        self.away_from_hair(i).is_some_and(|away| away < REACH)
    }

    fn is_head(&self, i: usize) -> bool {
        self.in_reach(i) && self.said[i][0] >= bg_mask::THRESHOLD
    }

    /// Hair that both networks are sure of.
    fn is_hair(&self, i: usize) -> bool {
        let [u, v] = self.places[i];
        self.in_reach(i) && self.said[i][0] >= SURE && (u.abs() > FACE || v < -FOREHEAD)
    }

    /// What neither network takes for anybody, farther from the head than hair is.
    fn is_background(&self, i: usize) -> bool {
        let is_out = |away: f32| away < AROUND && (away > REACH || self.away[i] > self.near);
        self.said[i][1] < BACKGROUND && self.away_from_hair(i).is_some_and(is_out)
    }

    /// By pixel: does it have hair's colours and none of the background's? `None` where colours don't tell.
    fn coloured_like_hair(&self) -> Option<Vec<bool>> {
        let all = 0..self.said.len();
        let hair: Vec<usize> = all.clone().filter(|i| self.is_hair(*i)).collect();
        let background: Vec<usize> = all.clone().filter(|i| self.is_background(*i)).collect();
        if hair.len().min(background.len()) < FEW {
            return None;
        }
        let [in_hair, behind] = [&hair, &background].map(|of| shares(of.iter().map(|i| self.pixel(*i))));
        let rare = 1.0 / background.len() as f32;
        let is_like = |i: usize| {
            let at = bin::<STEPS>(self.pixel(i));
            in_hair[at] > USUAL * behind[at].max(rare)
        };
        let part = |of: &[usize]| of.iter().filter(|i| is_like(**i)).count() as f32 / of.len() as f32;
        let do_tell = part(&background) <= HARDLY_ANY && part(&hair) >= MOST;
        do_tell.then(|| all.map(is_like).collect())
    }

    /// What hangs together with the head and is coloured like its hair.
    fn hair(&self) -> Vec<usize> {
        let Some(is_like) = self.coloured_like_hair() else { return Vec::new() };
        let [w, n] = [self.picture.width() as usize, self.said.len()];
        let mut found: Vec<bool> = (0..n).map(|i| self.is_head(i)).collect();
        let mut open: Vec<usize> = (0..n).filter(|i| found[*i]).collect();
        let (head, mut new) = (open.len(), Vec::new());
        while let Some(i) = open.pop() {
            let x = i % w;
            let beside = [(x > 0).then(|| i - 1), (x + 1 < w).then(|| i + 1), i.checked_sub(w), Some(i + w)];
            for j in beside.into_iter().flatten().filter(|j| *j < n) {
                if !found[j] && is_like[j] && self.in_reach(j) && self.away[j] <= self.near {
                    found[j] = true;
                    new.push(j);
                    open.push(j);
                }
            }
        }
        if new.len() as f32 > MORE * head as f32 {
            return Vec::new();
        }
        // What is in specks is something behind the head.
        new.retain(|i| {
            let [x, y] = [i % w, i / w];
            let around = (y.saturating_sub(SPECK)..(y + SPECK + 1).min(n / w))
                .flat_map(|v| (x.saturating_sub(SPECK)..(x + SPECK + 1).min(w)).map(move |u| v * w + u));
            let (all, of_it) =
                around.fold((0, 0), |(all, of_it), j| (all + 1, of_it + usize::from(found[j])));
            of_it as f32 >= SOLID * all as f32
        });
        new
    }
}

/// How usual each colour is among pixels; colours beside each other are alike.
fn shares<'a>(pixels: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<f32> {
    let each = 1.0 / pixels.len().max(1) as f32;
    let mut share = vec![0.0_f32; STEPS * STEPS * STEPS];
    pixels.for_each(|pixel| share[bin::<STEPS>(pixel)] += each);
    for stride in [1, STEPS, STEPS * STEPS] {
        let before = share.clone();
        for (i, value) in share.iter_mut().enumerate() {
            let place = i / stride % STEPS;
            let below = if place > 0 { before[i - stride] } else { 0.0 };
            let above = if place + 1 < STEPS { before[i + stride] } else { 0.0 };
            *value += below + above;
        }
    }
    share
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Luma, Rgb};

    /// A head of 80 pixels with hair that sticks out to the left, of which the networks see none, before a wall of a colour; `true` where
    /// the hair is seen then.
    fn sees_hair(wall: [u8; 3]) -> bool {
        let face = Region { centre: [100.0, 90.0], size: 120.0, angle: 0.0 };
        let head = |x: u32, y: u32| (x as f32 - 100.0).hypot(y as f32 - 80.0) < 42.0;
        let tuft = |x: u32, y: u32| (45..70).contains(&x) && (50..70).contains(&y);
        let skin = |x: u32, y: u32| x.abs_diff(100) < 28 && y > 70;
        let picture = RgbImage::from_fn(200, 160, |x, y| {
            let noise = ((x * 7 + y * 13) % 11) as u8;
            Rgb(match (head(x, y), tuft(x, y)) {
                (true, _) if skin(x, y) => [190 + noise, 150, 130],
                (false, false) => wall.map(|v| v + noise),
                _ => [30 + noise, 25, 20],
            })
        });
        let mut own =
            GrayImage::from_fn(200, 160, |x, y| Luma([if head(x, y) && !tuft(x, y) { 255 } else { 0 }]));
        let mut anybody = own.clone();
        let before = own.clone();
        add(&picture, &face, &mut own, &mut anybody);
        assert_eq!(own, anybody);
        // Nothing is taken away, and nothing of the wall added.
        for (x, y, byte) in own.enumerate_pixels() {
            let was = before.get_pixel(x, y);
            assert!(byte == was || (tuft(x, y) && byte[0] == 255), "{x}, {y}");
        }
        own.get_pixel(50, 60)[0] == 255
    }

    #[test]
    fn hair_is_known_by_its_colour_where_the_background_has_none_of_it() {
        assert!(sees_hair([200, 205, 190]));
        // Before a dark wall nothing is known.
        assert!(!sees_hair([28, 22, 20]));
    }
}
