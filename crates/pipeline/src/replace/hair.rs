//! Hair that networks leave out: what hangs together with a head, beside it, and has its hair's colours and none of the background's.

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
/// Pixels are the head's from the first byte on, by both networks, and the background's below the second by either.
const HEAD: u8 = 215;
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

/// A place as the face sees it: to its right and down from its middle, in sides of its region.
fn of_face(face: &Region, at: [f32; 2]) -> [f32; 2] {
    face.from_picture(at).map(|v| v - 0.5)
}

fn from_middle([u, v]: [f32; 2]) -> f32 {
    u.hypot(v + ABOVE)
}

/// How usual each colour is.
struct Colours {
    share: Vec<f32>,
    /// Pixels that were counted.
    count: usize,
}

impl Colours {
    fn of<'a>(pixels: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut share = vec![0.0_f32; STEPS * STEPS * STEPS];
        let mut count = 0;
        for pixel in pixels {
            share[step(pixel)] += 1.0;
            count += 1;
        }
        // Colours beside each other are alike.
        for stride in [1, STEPS, STEPS * STEPS] {
            let before = share.clone();
            for (i, value) in share.iter_mut().enumerate() {
                let place = i / stride % STEPS;
                let below = if place > 0 { before[i - stride] } else { 0.0 };
                let above = if place + 1 < STEPS { before[i + stride] } else { 0.0 };
                *value += below + above;
            }
        }
        share.iter_mut().for_each(|v| *v /= count.max(1) as f32);
        Self { share, count }
    }
}

fn step(pixel: &[u8]) -> usize {
    pixel[..3].iter().fold(0, |sum, v| sum * STEPS + usize::from(*v) * STEPS / 256)
}

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
    let (w, n) = (size.0 as usize, own.len());
    // The less and the more that they say.
    let bytes: Vec<[u8; 2]> = own.iter().zip(anybody.iter()).map(|(a, b)| [*a.min(b), *a.max(b)]).collect();
    let places: Vec<[f32; 2]> =
        (0..n).map(|i| of_face(face, [(i % w) as f32 + 0.5, (i / w) as f32 + 0.5])).collect();
    let in_zone = |i: usize| places[i][1] < BELOW && from_middle(places[i]) < REACH;
    let is_hair = |i: usize| {
        let [u, v] = places[i];
        in_zone(i) && bytes[i][0] >= HEAD && (u.abs() > FACE || v < -FOREHEAD)
    };
    let head = super::assign::mask_of(size, |i| bytes[i][0] >= bg_mask::THRESHOLD);
    let away = bg_mask::squared_distance(&head);
    let near = (STICKS_OUT * face.size).powi(2);
    let is_background = |i: usize| {
        let is_around = places[i][1] < BELOW && from_middle(places[i]) < AROUND;
        is_around && bytes[i][1] < BACKGROUND && (away[i] > near || from_middle(places[i]) > REACH)
    };
    let pixel = |i: usize| &picture.as_raw()[3 * i..3 * i + 3];
    let hair = Colours::of((0..n).filter(|i| is_hair(*i)).map(pixel));
    let background = Colours::of((0..n).filter(|i| is_background(*i)).map(pixel));
    if hair.count < FEW || background.count < FEW {
        return Vec::new();
    }
    let usual = |i: usize| {
        let at = step(pixel(i));
        hair.share[at] > USUAL * background.share[at].max(1.0 / background.count as f32)
    };
    let part = |of: &dyn Fn(usize) -> bool, count: usize| {
        (0..n).filter(|i| of(*i) && usual(*i)).count() as f32 / count as f32
    };
    if part(&is_background, background.count) > HARDLY_ANY || part(&is_hair, hair.count) < MOST {
        return Vec::new();
    }
    let mut found: Vec<bool> = (0..n).map(|i| in_zone(i) && bytes[i][0] >= bg_mask::THRESHOLD).collect();
    let inside = found.iter().filter(|found| **found).count();
    let mut open: Vec<usize> = (0..n).filter(|i| found[*i]).collect();
    let mut new = Vec::new();
    while let Some(i) = open.pop() {
        let x = i % w;
        let beside = [(x > 0).then(|| i - 1), (x + 1 < w).then(|| i + 1), i.checked_sub(w), Some(i + w)];
        for j in beside.into_iter().flatten().filter(|j| *j < n) {
            if !found[j] && in_zone(j) && away[j] <= near && usual(j) {
                found[j] = true;
                new.push(j);
                open.push(j);
            }
        }
    }
    if new.len() as f32 > MORE * inside as f32 {
        return Vec::new();
    }
    // What is in specks is something behind the head.
    let is_solid = |i: &usize| {
        let [x, y] = [i % w, i / w];
        let around = (y.saturating_sub(SPECK)..(y + SPECK + 1).min(n / w))
            .flat_map(|v| (x.saturating_sub(SPECK)..(x + SPECK + 1).min(w)).map(move |u| v * w + u));
        let (all, of_it) = around.fold((0, 0), |(all, of_it), j| (all + 1, of_it + usize::from(found[j])));
        of_it as f32 >= SOLID * all as f32
    };
    let new: Vec<usize> = new.into_iter().filter(is_solid).collect();
    for i in &new {
        (own.as_mut()[*i], anybody.as_mut()[*i]) = (255, 255);
    }
    new
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
