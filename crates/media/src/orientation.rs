//! How a stored picture must be turned to stand upright.

use image::{RgbImage, imageops};

/// The turn that an mp4's display matrix asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Orientation {
    /// Quarter turns clockwise, 0 to 3.
    pub quarter_turns: u8,
    /// Mirror left and right before turning.
    pub mirrored: bool,
}

impl Orientation {
    /// From the matrix of a track header: `[a b u; c d v; x y w]`, 16.16 fixed point.
    pub(crate) fn from_matrix(matrix: &[i32; 9]) -> Self {
        let sign = |i: usize| matrix[i].signum();
        // (a, b) is where the picture's x axis goes, (c, d) where its y axis goes; y points down.
        let (quarter_turns, mirrored) = match (sign(0), sign(1), sign(3), sign(4)) {
            (0, 1, -1, 0) => (1, false),
            (-1, 0, 0, -1) => (2, false),
            (0, -1, 1, 0) => (3, false),
            (-1, 0, 0, 1) => (0, true),
            (0, -1, -1, 0) => (1, true),
            (1, 0, 0, -1) => (2, true),
            (0, 1, 1, 0) => (3, true),
            _ => (0, false),
        };
        Self { quarter_turns, mirrored }
    }

    /// Degrees clockwise.
    #[must_use]
    pub fn degrees(self) -> u32 {
        u32::from(self.quarter_turns % 4) * 90
    }

    /// The upright size of a stored picture.
    #[must_use]
    pub fn upright_size(self, (width, height): (u32, u32)) -> (u32, u32) {
        if self.quarter_turns % 2 == 1 { (height, width) } else { (width, height) }
    }

    /// Turns a stored picture upright.
    #[must_use]
    pub fn apply(self, mut picture: RgbImage) -> RgbImage {
        if self.mirrored {
            imageops::flip_horizontal_in_place(&mut picture);
        }
        match self.quarter_turns % 4 {
            0 => picture,
            1 => imageops::rotate90(&picture),
            2 => {
                imageops::rotate180_in_place(&mut picture);
                picture
            }
            _ => imageops::rotate270(&picture),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    const ONE: i32 = 0x1_0000;

    /// Where the matrix sends the stored pixel (x, y) of a 2×1 picture, moved into view.
    fn by_matrix(a: i32, b: i32, c: i32, d: i32) -> ((u32, u32), Vec<u8>) {
        let at = |x: i32, y: i32| ((a * x + c * y), (b * x + d * y));
        let corners = [at(0, 0), at(1, 0), at(0, 2), at(1, 2)];
        let (x0, y0) =
            (corners.iter().map(|p| p.0).min().unwrap(), corners.iter().map(|p| p.1).min().unwrap());
        let size = (
            (corners.iter().map(|p| p.0).max().unwrap() - x0 + 1) as u32,
            (corners.iter().map(|p| p.1).max().unwrap() - y0 + 1) as u32,
        );
        let mut out = vec![0; (size.0 * size.1) as usize];
        for y in 0..3 {
            for x in 0..2 {
                let (u, v) = at(x, y);
                out[((v - y0) as u32 * size.0 + (u - x0) as u32) as usize] = (y * 2 + x) as u8;
            }
        }
        (size, out)
    }

    #[test]
    fn turning_agrees_with_the_matrix() {
        let picture = RgbImage::from_fn(2, 3, |x, y| Rgb([(y * 2 + x) as u8; 3]));
        for (a, b, c, d) in [
            (1, 0, 0, 1),
            (0, 1, -1, 0),
            (-1, 0, 0, -1),
            (0, -1, 1, 0),
            (-1, 0, 0, 1),
            (0, -1, -1, 0),
            (1, 0, 0, -1),
            (0, 1, 1, 0),
        ] {
            let matrix = [a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 0x4000_0000];
            let orientation = Orientation::from_matrix(&matrix);
            let (size, expected) = by_matrix(a, b, c, d);
            let upright = orientation.apply(picture.clone());
            assert_eq!(upright.dimensions(), size, "{orientation:?}");
            assert_eq!(orientation.upright_size((2, 3)), size);
            let got: Vec<u8> = upright.pixels().map(|p| p[0]).collect();
            assert_eq!(got, expected, "{orientation:?}");
        }
    }
}
