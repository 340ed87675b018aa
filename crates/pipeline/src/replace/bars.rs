//! Bars: edges of one colour on opposite sides of a picture that was brought to another shape. A dark desk alone is none.
//!
//! They belong to no scene. Whoever is searched there isn't found, whoever is cut by them is cut by the picture's border, and a background
//! that is carried across would bring them in. So people and background are found in the picture between them, and bars stay what they are.

use crate::{Context, Result};
use image::{GrayImage, ImageBuffer, Pixel, Rgb, RgbImage};
use media::VideoReader;
use serde::{Deserialize, Serialize};
use smplx::Camera;
use std::path::Path;

/// A line of a bar differs from its colour by no more than this on average, and by more than [`FAR`] in hardly a pixel. A bar may change
/// from frame to frame by [`FAR`] too.
const NEAR: f32 = 6.0;
const FAR: u8 = 20;
const HARDLY: f32 = 0.02;
/// Where a bar ends the picture begins all along it: in some frame so much of a line differs by [`FAR`], so many lines farther in; more
/// where it isn't black (no channel above `BLACK`), since walls behind people are even too.
const BEGINS: [f32; 2] = [0.6, 0.9];
const BLACK: u8 = 30;
const BEHIND: u32 = 2;
/// Narrower bars aren't worth it, in lines and as a part of the side; no bar is wider than this part.
const LEAST: u32 = 4;
const LEAST_PART: f32 = 0.01;
const MOST_PART: f32 = 0.45;

/// Top, bottom, left, right.
const SIDES: [Side; 4] = [Side::Top, Side::Bottom, Side::Left, Side::Right];

#[derive(Clone, Copy, Debug)]
enum Side {
    Top,
    Bottom,
    Left,
    Right,
}

/// The bars around a picture: how wide each is, and its colour, in the order top, bottom, left, right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bars {
    widths: [u32; 4],
    colours: [[u8; 3]; 4],
}

/// How a line along a side differs from a colour: on average, and the part of it that differs by more than [`FAR`].
struct Line {
    off: f32,
    far: f32,
}

/// A side's bar as the frames so far show it.
#[derive(Clone, Copy, Debug)]
struct Found {
    width: u32,
    colour: [u8; 3],
    /// The largest part of the line behind its end that showed a picture.
    begins: f32,
}

impl Found {
    fn is_believed(&self) -> bool {
        let is_black = self.colour.iter().all(|v| *v <= BLACK);
        self.begins >= BEGINS[usize::from(!is_black)]
    }
}

impl Side {
    /// The pixel of the line that is `depth` away from the side, `along` it.
    fn pixel(self, picture: &RgbImage, depth: u32, along: u32) -> [u8; 3] {
        let (w, h) = picture.dimensions();
        let (x, y) = match self {
            Self::Top => (along, depth),
            Self::Bottom => (along, h - 1 - depth),
            Self::Left => (depth, along),
            Self::Right => (w - 1 - depth, along),
        };
        picture.get_pixel(x, y).0
    }

    /// Pixels across the picture from this side to the other, and the pixels along it that aren't in bars above and below.
    fn across(self, (w, h): (u32, u32), found: &[Option<Found>; 4]) -> (u32, std::ops::Range<u32>) {
        let width = |n: usize| found[n].filter(Found::is_believed).map_or(0, |found| found.width);
        match self {
            Self::Top | Self::Bottom => (h, 0..w),
            Self::Left | Self::Right => (w, width(0)..h - width(1)),
        }
    }

    /// The mean colour of the outermost line.
    fn colour(self, picture: &RgbImage, along: std::ops::Range<u32>) -> [u8; 3] {
        let (count, mut sum) = (along.len().max(1), [0_usize; 3]);
        for i in along {
            let pixel = self.pixel(picture, 0, i);
            sum.iter_mut().zip(pixel).for_each(|(sum, v)| *sum += usize::from(v));
        }
        sum.map(|sum| (sum / count) as u8)
    }

    fn line(self, picture: &RgbImage, depth: u32, along: std::ops::Range<u32>, colour: [u8; 3]) -> Line {
        let count = along.len().max(1) as f32;
        let (mut off, mut far) = (0_u64, 0_usize);
        for i in along {
            let most = most_apart(self.pixel(picture, depth, i), colour);
            off += u64::from(most);
            far += usize::from(most > FAR);
        }
        Line { off: off as f32 / count, far: far as f32 / count }
    }
}

/// By how much the channel differs that differs most.
fn most_apart(a: [u8; 3], b: [u8; 3]) -> u8 {
    a.into_iter().zip(b).map(|(a, b)| a.abs_diff(b)).max().unwrap_or(0)
}

impl Line {
    fn is_even(&self) -> bool {
        self.off <= NEAR && self.far <= HARDLY
    }
}

/// Looks for bars in frame after frame.
#[derive(Default)]
struct Finder {
    found: Option<[Option<Found>; 4]>,
}

impl Finder {
    /// Looks at a frame; `false` where no bar is left to look for.
    fn look(&mut self, picture: &RgbImage) -> bool {
        let size = picture.dimensions();
        let mut now = [None; 4];
        for (n, side) in SIDES.into_iter().enumerate() {
            let (across, along) = side.across(size, self.found.as_ref().unwrap_or(&now));
            let known = self.found.map(|found| found[n]);
            if known.is_some_and(|known| known.is_none()) || along.is_empty() {
                continue;
            }
            let known = known.flatten();
            let colour = known.map_or_else(|| side.colour(picture, along.clone()), |found| found.colour);
            let most = known.map_or((MOST_PART * across as f32) as u32, |found| found.width);
            let even = |depth: &u32| side.line(picture, *depth, along.clone(), colour).is_even();
            let width = (0..most).take_while(even).count() as u32;
            if width == most && known.is_none() {
                // Nothing is to be seen in this frame: a fade, perhaps.
                return true;
            }
            let behind = (width + BEHIND).min(across - 1);
            let begins = side.line(picture, behind, along, colour).far;
            let before = known.filter(|known| known.width == width).map_or(0.0, |known| known.begins);
            let wide = width >= LEAST && width as f32 >= LEAST_PART * across as f32;
            now[n] = wide.then_some(Found { width, colour, begins: begins.max(before) });
        }
        // Opposite sides go together.
        let now = std::array::from_fn(|n| now[n].filter(|_| now[n ^ 1].is_some()));
        self.found = Some(now);
        now.iter().any(Option::is_some)
    }

    fn bars(self) -> Bars {
        let mut bars = Bars::default();
        let found = self.found.unwrap_or_default().map(|found| found.filter(Found::is_believed));
        for n in 0..SIDES.len() {
            if let (Some(bar), Some(other)) = (found[n], found[n ^ 1])
                && most_apart(bar.colour, other.colour) <= FAR
            {
                (bars.widths[n], bars.colours[n]) = (bar.width, bar.colour);
            }
        }
        bars
    }
}

impl Bars {
    /// Looks for bars that are there in every frame of a video. Where the first frame that shows anything has none, no other is read.
    ///
    /// # Errors
    /// When the video can't be read.
    pub(super) fn find(video: &Path, context: Context<'_>) -> Result<Self> {
        let mut finder = Finder::default();
        for frame in VideoReader::open(video)? {
            context.check()?;
            if !finder.look(&frame?) {
                break;
            }
        }
        Ok(finder.bars())
    }

    pub(super) fn any(&self) -> bool {
        self.widths != [0; 4]
    }

    /// The size of what is between them, in a picture of a size.
    pub(super) fn inner(&self, [w, h]: [u32; 2]) -> [u32; 2] {
        let [top, bottom, left, right] = self.widths;
        [w - left - right, h - top - bottom]
    }

    /// The size of the whole picture around one of a size.
    pub(super) fn outer(&self, [w, h]: [u32; 2]) -> [u32; 2] {
        let [top, bottom, left, right] = self.widths;
        [w + left + right, h + top + bottom]
    }

    /// The camera of what is between them, of a size, becomes that of the whole picture.
    pub(super) fn surround_view(&self, camera: &mut Camera, inner: [u32; 2]) {
        *camera = camera.resized(inner);
        let corner = self.corner();
        camera.principal_px = std::array::from_fn(|i| camera.principal_px[i] + corner[i] as f32);
        camera.size_px = self.outer(inner);
    }

    /// Where the picture between them begins, across and down.
    pub(super) fn corner(&self) -> [u32; 2] {
        [self.widths[2], self.widths[0]]
    }

    /// A place given in parts of a picture of a size, in parts of what is between the bars.
    pub(super) fn place_within(&self, place: [f32; 2], size: [u32; 2]) -> [f32; 2] {
        let (inner, corner) = (self.inner(size), self.corner());
        [0, 1].map(|i| (place[i] * size[i] as f32 - corner[i] as f32) / inner[i] as f32)
    }

    /// The picture or matte between them.
    pub(super) fn crop<P: Pixel<Subpixel = u8> + 'static>(
        &self,
        picture: ImageBuffer<P, Vec<u8>>,
    ) -> ImageBuffer<P, Vec<u8>> {
        if !self.any() {
            return picture;
        }
        let ([x, y], [w, h]) = (self.corner(), self.inner(picture.dimensions().into()));
        image::imageops::crop_imm(&picture, x, y, w, h).to_image()
    }

    /// A picture with the bars around it.
    pub(super) fn surround(&self, inner: RgbImage) -> RgbImage {
        if !self.any() {
            return inner;
        }
        let ([left, top], [w, h]) = (self.corner(), self.outer(inner.dimensions().into()));
        let [_, bottom, _, right] = self.widths;
        let mut whole = RgbImage::from_fn(w, h, |x, y| {
            let in_bar = [y < top, y >= h - bottom, x < left, x >= w - right];
            Rgb(in_bar.iter().position(|is_in| *is_in).map_or([0; 3], |n| self.colours[n]))
        });
        image::imageops::replace(&mut whole, &inner, i64::from(left), i64::from(top));
        whole
    }

    /// A matte with one value in the bars around it.
    pub(super) fn surround_matte(&self, inner: &GrayImage, byte: u8) -> GrayImage {
        let ([left, top], [w, h]) = (self.corner(), self.outer(inner.dimensions().into()));
        let mut whole = GrayImage::from_pixel(w, h, image::Luma([byte]));
        image::imageops::replace(&mut whole, inner, i64::from(left), i64::from(top));
        whole
    }

    /// Where they are, in words.
    pub(super) fn in_words(&self) -> String {
        let names = ["above", "below", "on the left", "on the right"];
        let there = names.into_iter().zip(self.widths).filter(|(_, width)| *width > 0);
        there.map(|(name, width)| format!("{width} pixels {name}")).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture that changes from frame to frame, between bars.
    fn picture(size: [u32; 2], bars: &Bars, n: u32) -> RgbImage {
        let [w, h] = bars.inner(size);
        bars.surround(RgbImage::from_fn(w, h, |x, y| {
            Rgb([(40 + (7 * x + 13 * y + 5 * n) % 160) as u8, 120, 90])
        }))
    }

    fn found(frames: impl IntoIterator<Item = RgbImage>) -> Bars {
        let mut finder = Finder::default();
        let _ = frames.into_iter().all(|frame| finder.look(&frame));
        finder.bars()
    }

    #[test]
    fn bars_are_found_and_put_back() {
        let size = [96, 64];
        let white = [250; 3];
        for (widths, sides) in [
            ([8, 8, 0, 0], [[3; 3]; 2]),
            ([0, 0, 21, 20], [white; 2]),
            ([6, 9, 12, 7], [[9, 8, 7]; 2]),
            ([0, 0, 0, 0], [[0; 3]; 2]),
        ] {
            let bars = Bars { widths, colours: [[3; 3], [3; 3], sides[0], sides[1]] };
            let none = Bars::default();
            let frames = || (0..4).map(|n| picture(size, &bars, n));
            let same = found(frames());
            assert_eq!(same.widths, widths);
            for frame in frames() {
                assert_eq!(same.surround(same.crop(frame.clone())), frame);
            }
            // A fade before it shows nothing.
            let dark = RgbImage::from_pixel(96, 64, Rgb([3, 3, 3]));
            assert_eq!(found(std::iter::once(dark).chain(frames())), same);
            // What isn't there in every frame is no bar.
            assert_eq!(found(frames().chain([picture(size, &none, 9)])).widths, [0; 4]);
        }
    }

    #[test]
    fn a_desk_is_no_bar() {
        let desk = Bars { widths: [0, 20, 0, 0], colours: [[21, 21, 20]; 4] };
        assert!(!found((0..3).map(|n| picture([96, 64], &desk, n))).any());
    }

    #[test]
    fn an_even_wall_beside_somebody_is_no_bar() {
        let person = |x: u32, y: u32| x.abs_diff(48) < 9 && y > 20;
        let frame = RgbImage::from_fn(96, 64, |x, y| Rgb(if person(x, y) { [200, 40, 40] } else { [90; 3] }));
        assert!(!found([frame.clone(), frame]).any());
    }

    #[test]
    fn places_and_mattes_are_those_of_the_picture_between() {
        let bars = Bars { widths: [10, 10, 20, 0], colours: [[0; 3]; 4] };
        assert_eq!(bars.inner([100, 60]), [80, 40]);
        let [x, y] = bars.place_within([0.6, 0.5], [100, 60]);
        assert!((x - 0.5).abs() < 1e-6 && (y - 0.5).abs() < 1e-6);
        let matte = bars.surround_matte(&GrayImage::from_pixel(80, 40, image::Luma([7])), 255);
        assert_eq!(matte.dimensions(), (100, 60));
        assert_eq!((matte.get_pixel(19, 30)[0], matte.get_pixel(20, 30)[0]), (255, 7));
        assert_eq!(bars.crop(matte), GrayImage::from_pixel(80, 40, image::Luma([7])));
        assert_eq!(bars.in_words(), "10 pixels above, 10 pixels below, 20 pixels on the left");
    }
}
