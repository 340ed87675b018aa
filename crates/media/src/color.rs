//! 4:2:0 YCbCr to RGB bytes and back, for BT.601 and BT.709 in limited and full range.
//!
//! With `Kr` and `Kb` of the matrix and `Kg = 1 - Kr - Kb`:
//! `Y = Kr R + Kg G + Kb B`, `Cb = (B - Y) / (2 (1 - Kb))`, `Cr = (R - Y) / (2 (1 - Kr))`.
//! Limited range puts Y into 16…235 and chroma into 16…240 around 128, full range uses all of 0…255.
//! Constants: ITU-R BT.601-7 and BT.709-6, section 3. The loops are fixed-point over whole rows and are written so
//! that the compiler turns them into vector code; the tests compare them with the formula in floats.

use rayon::prelude::*;

/// Which luma weights a video was made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matrix {
    /// Standard definition: `Kr` 0.299, `Kb` 0.114.
    Bt601,
    /// High definition: `Kr` 0.2126, `Kb` 0.0722.
    Bt709,
    /// Ultra high definition, non-constant luminance: `Kr` 0.2627, `Kb` 0.0593.
    Bt2020,
}

impl Matrix {
    /// `Kr` and `Kb`.
    #[must_use]
    pub fn weights(self) -> (f64, f64) {
        match self {
            Self::Bt601 => (0.299, 0.114),
            Self::Bt709 => (0.2126, 0.0722),
            Self::Bt2020 => (0.2627, 0.0593),
        }
    }
}

/// Which bytes stand for black and white.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// 16…235 for luma, 16…240 for chroma.
    Limited,
    /// 0…255.
    Full,
}

/// How the bytes of a video are to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColorSpace {
    /// Luma weights.
    pub matrix: Matrix,
    /// Byte range.
    pub range: Range,
}

impl ColorSpace {
    /// BT.709 in limited range: what this crate writes.
    pub const BT709: Self = Self { matrix: Matrix::Bt709, range: Range::Limited };
}

/// A borrowed 4:2:0 picture. Odd sizes round their chroma up.
#[derive(Clone, Copy, Debug)]
pub struct Yuv420<'a> {
    /// Luma, chroma blue, chroma red.
    pub planes: [&'a [u8]; 3],
    /// Bytes from one row to the next in each plane.
    pub strides: [usize; 3],
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
}

const BITS: i32 = 14;
const HALF: i32 = 1 << (BITS - 1);

fn fixed(x: f64) -> i32 {
    (x * f64::from(1 << BITS)).round() as i32
}

/// Fixed-point constants of YCbCr → RGB.
#[derive(Clone, Copy, Debug)]
struct ToRgb {
    luma: i32,
    luma_zero: i32,
    red_of_cr: i32,
    green_of_cb: i32,
    green_of_cr: i32,
    blue_of_cb: i32,
}

impl ToRgb {
    fn new(space: ColorSpace) -> Self {
        let (kr, kb) = space.matrix.weights();
        let kg = 1.0 - kr - kb;
        let (luma, chroma, luma_zero) = match space.range {
            Range::Limited => (255.0 / 219.0, 255.0 / 224.0, 16),
            Range::Full => (1.0, 1.0, 0),
        };
        Self {
            luma: fixed(luma),
            luma_zero,
            red_of_cr: fixed(chroma * 2.0 * (1.0 - kr)),
            green_of_cb: fixed(chroma * 2.0 * (1.0 - kb) * kb / kg),
            green_of_cr: fixed(chroma * 2.0 * (1.0 - kr) * kr / kg),
            blue_of_cb: fixed(chroma * 2.0 * (1.0 - kb)),
        }
    }
}

/// Converts a 4:2:0 picture to interleaved RGB; each chroma sample covers its two by two pixels.
///
/// # Panics
/// When `rgb` isn't `width * height * 3` bytes or a plane is shorter than its size asks for.
pub fn yuv420_to_rgb(picture: &Yuv420<'_>, space: ColorSpace, rgb: &mut [u8]) {
    let (width, height) = (picture.width, picture.height);
    assert_eq!(rgb.len(), width * height * 3, "the RGB buffer has the picture's size");
    if rgb.is_empty() {
        return;
    }
    let constants = ToRgb::new(space);
    let chroma_width = width.div_ceil(2);
    rgb.par_chunks_mut(width * 3 * 2).enumerate().for_each_init(
        || ChromaRow::new(chroma_width),
        |chroma, (pair, rows)| {
            let u = &picture.planes[1][pair * picture.strides[1]..][..chroma_width];
            let v = &picture.planes[2][pair * picture.strides[2]..][..chroma_width];
            chroma.fill(u, v, &constants);
            for (k, row) in rows.chunks_exact_mut(width * 3).enumerate() {
                let luma = &picture.planes[0][(2 * pair + k) * picture.strides[0]..][..width];
                chroma.write_row(luma, &constants, row);
            }
        },
    );
}

/// What chroma adds to red, green and blue of two rows, in fixed point.
struct ChromaRow {
    red: Vec<i32>,
    green: Vec<i32>,
    blue: Vec<i32>,
}

impl ChromaRow {
    fn new(n: usize) -> Self {
        Self { red: vec![0; n], green: vec![0; n], blue: vec![0; n] }
    }

    fn fill(&mut self, u: &[u8], v: &[u8], c: &ToRgb) {
        let zero = c.luma * c.luma_zero;
        for (out, &v) in self.red.iter_mut().zip(v) {
            *out = c.red_of_cr * (i32::from(v) - 128) + HALF - zero;
        }
        for ((out, &u), &v) in self.green.iter_mut().zip(u).zip(v) {
            let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
            *out = HALF - zero - c.green_of_cb * u - c.green_of_cr * v;
        }
        for (out, &u) in self.blue.iter_mut().zip(u) {
            *out = c.blue_of_cb * (i32::from(u) - 128) + HALF - zero;
        }
    }

    fn write_row(&self, luma: &[u8], c: &ToRgb, row: &mut [u8]) {
        let (pairs, odd) = luma.as_chunks::<2>();
        let (out, out_odd) = row.as_chunks_mut::<6>();
        let chroma = self.red.iter().zip(&self.green).zip(&self.blue);
        for ((out, y), ((&r, &g), &b)) in out.iter_mut().zip(pairs).zip(chroma) {
            let (y0, y1) = (c.luma * i32::from(y[0]), c.luma * i32::from(y[1]));
            let sums = [y0 + r, y0 + g, y0 + b, y1 + r, y1 + g, y1 + b];
            *out = sums.map(|x| (x >> BITS).clamp(0, 255) as u8);
        }
        if let ([y], [red, green, blue]) = (odd, out_odd) {
            let (last, y) = (pairs.len(), c.luma * i32::from(*y));
            for (out, chroma) in [(red, &self.red), (green, &self.green), (blue, &self.blue)] {
                *out = ((y + chroma[last]) >> BITS).clamp(0, 255) as u8;
            }
        }
    }
}

/// An owned 4:2:0 picture with even sizes and no padding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Yuv420Buffer {
    /// Luma, `[H, W]`.
    pub y: Vec<u8>,
    /// Chroma blue, `[H/2, W/2]`.
    pub u: Vec<u8>,
    /// Chroma red, `[H/2, W/2]`.
    pub v: Vec<u8>,
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
}

impl Yuv420Buffer {
    /// Black picture of an even size.
    #[must_use]
    pub fn new(width: usize, height: usize) -> Self {
        let chroma = (width / 2) * (height / 2);
        Self { y: vec![16; width * height], u: vec![128; chroma], v: vec![128; chroma], width, height }
    }

    /// Fills the picture from interleaved RGB; chroma is the mean of its two by two pixels.
    ///
    /// # Panics
    /// When `rgb` isn't `width * height * 3` bytes.
    pub fn fill_from_rgb(&mut self, rgb: &[u8], space: ColorSpace) {
        let (width, half) = (self.width, self.width / 2);
        assert_eq!(rgb.len(), width * self.height * 3, "the RGB buffer has the picture's size");
        if rgb.is_empty() {
            return;
        }
        let constants = FromRgb::new(space);
        self.y
            .par_chunks_exact_mut(width * 2)
            .zip(self.u.par_chunks_exact_mut(half))
            .zip(self.v.par_chunks_exact_mut(half))
            .zip(rgb.par_chunks_exact(width * 6))
            .for_each(|(((y, u), v), rows)| {
                let (upper, lower) = rows.split_at(width * 3);
                let (y_upper, y_lower) = y.split_at_mut(width);
                constants.luma_row(upper, y_upper);
                constants.luma_row(lower, y_lower);
                constants.chroma_row(upper, lower, u, v);
            });
    }

    /// The picture, borrowed.
    #[must_use]
    pub fn view(&self) -> Yuv420<'_> {
        let (width, height) = (self.width, self.height);
        Yuv420 { planes: [&self.y, &self.u, &self.v], strides: [width, width / 2, width / 2], width, height }
    }
}

/// Fixed-point constants of RGB → YCbCr.
#[derive(Clone, Copy, Debug)]
struct FromRgb {
    y: [i32; 3],
    y_zero: i32,
    u: [i32; 3],
    v: [i32; 3],
}

impl FromRgb {
    fn new(space: ColorSpace) -> Self {
        let (kr, kb) = space.matrix.weights();
        let (luma, chroma, zero) = match space.range {
            Range::Limited => (219.0 / 255.0, 224.0 / 255.0, 16),
            Range::Full => (1.0, 1.0, 0),
        };
        let (to_u, to_v) = (chroma / (2.0 * (1.0 - kb)), chroma / (2.0 * (1.0 - kr)));
        // The largest weight takes up the rounding of the others, so that grey stays exactly grey.
        let y = [fixed(luma * kr), 0, fixed(luma * kb)];
        let (u_of, v_of) = (
            [fixed(-to_u * kr), 0, fixed(to_u * (1.0 - kb))],
            [fixed(to_v * (1.0 - kr)), 0, fixed(-to_v * kb)],
        );
        Self {
            y: [y[0], fixed(luma) - y[0] - y[2], y[2]],
            y_zero: (zero << BITS) + HALF,
            u: [u_of[0], -u_of[0] - u_of[2], u_of[2]],
            v: [v_of[0], -v_of[0] - v_of[2], v_of[2]],
        }
    }

    fn luma_row(&self, rgb: &[u8], out: &mut [u8]) {
        for (out, p) in out.iter_mut().zip(rgb.as_chunks::<3>().0) {
            let sum = self.y[0] * i32::from(p[0]) + self.y[1] * i32::from(p[1]) + self.y[2] * i32::from(p[2]);
            *out = ((sum + self.y_zero) >> BITS).clamp(0, 255) as u8;
        }
    }

    fn chroma_row(&self, upper: &[u8], lower: &[u8], u: &mut [u8], v: &mut [u8]) {
        // Sums of four pixels: two more fraction bits.
        const ZERO: i32 = (128 << (BITS + 2)) + (1 << (BITS + 1));
        let blocks = upper.as_chunks::<6>().0.iter().zip(lower.as_chunks::<6>().0);
        for ((u, v), (a, b)) in u.iter_mut().zip(v).zip(blocks) {
            let sum: [i32; 3] = std::array::from_fn(|k| {
                i32::from(a[k]) + i32::from(a[k + 3]) + i32::from(b[k]) + i32::from(b[k + 3])
            });
            let dot = |w: [i32; 3]| w[0] * sum[0] + w[1] * sum[1] + w[2] * sum[2];
            *u = ((dot(self.u) + ZERO) >> (BITS + 2)).clamp(0, 255) as u8;
            *v = ((dot(self.v) + ZERO) >> (BITS + 2)).clamp(0, 255) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACES: [ColorSpace; 5] = [
        ColorSpace { matrix: Matrix::Bt601, range: Range::Limited },
        ColorSpace { matrix: Matrix::Bt601, range: Range::Full },
        ColorSpace { matrix: Matrix::Bt709, range: Range::Limited },
        ColorSpace { matrix: Matrix::Bt709, range: Range::Full },
        ColorSpace { matrix: Matrix::Bt2020, range: Range::Limited },
    ];

    fn ranges(space: ColorSpace) -> (f64, f64, f64) {
        match space.range {
            Range::Limited => (219.0, 224.0, 16.0),
            Range::Full => (255.0, 255.0, 0.0),
        }
    }

    fn rgb_by_formula(yuv: [u8; 3], space: ColorSpace) -> [f64; 3] {
        let (kr, kb) = space.matrix.weights();
        let (luma, chroma, zero) = ranges(space);
        let y = (f64::from(yuv[0]) - zero) / luma;
        let cb = (f64::from(yuv[1]) - 128.0) / chroma;
        let cr = (f64::from(yuv[2]) - 128.0) / chroma;
        let (r, b) = (y + 2.0 * (1.0 - kr) * cr, y + 2.0 * (1.0 - kb) * cb);
        [r, (y - kr * r - kb * b) / (1.0 - kr - kb), b].map(|x| (x * 255.0).clamp(0.0, 255.0))
    }

    fn yuv_by_formula(rgb: [f64; 3], space: ColorSpace) -> [f64; 3] {
        let (kr, kb) = space.matrix.weights();
        let (luma, chroma, zero) = ranges(space);
        let [r, g, b] = rgb.map(|x| x / 255.0);
        let y = kr * r + (1.0 - kr - kb) * g + kb * b;
        let (cb, cr) = ((b - y) / (2.0 * (1.0 - kb)), (r - y) / (2.0 * (1.0 - kr)));
        [y * luma + zero, cb * chroma + 128.0, cr * chroma + 128.0].map(|x| x.clamp(0.0, 255.0))
    }

    #[test]
    fn to_rgb_follows_the_formula_for_every_kind_of_byte() {
        for space in SPACES {
            let mut worst = 0.0_f64;
            for y in (0..=255).step_by(3) {
                for u in (0..=255).step_by(5) {
                    for v in (0..=255).step_by(5) {
                        let mut rgb = [0; 3];
                        let picture =
                            Yuv420 { planes: [&[y], &[u], &[v]], strides: [1; 3], width: 1, height: 1 };
                        yuv420_to_rgb(&picture, space, &mut rgb);
                        for (got, want) in rgb.into_iter().zip(rgb_by_formula([y, u, v], space)) {
                            worst = worst.max((f64::from(got) - want).abs());
                        }
                    }
                }
            }
            assert!(worst < 0.53, "{space:?}: {worst}");
        }
    }

    #[test]
    fn from_rgb_follows_the_formula() {
        for space in SPACES {
            let mut worst = 0.0_f64;
            let mut picture = Yuv420Buffer::new(2, 2);
            for r in (0..=255).step_by(15) {
                for g in (0..=255).step_by(15) {
                    for b in (0..=255).step_by(15) {
                        let rgb = [r, g, b].repeat(4);
                        picture.fill_from_rgb(&rgb, space);
                        let want = yuv_by_formula([r, g, b].map(f64::from), space);
                        for (got, want) in [picture.y[3], picture.u[0], picture.v[0]].into_iter().zip(want) {
                            worst = worst.max((f64::from(got) - want).abs());
                        }
                    }
                }
            }
            assert!(worst < 0.53, "{space:?}: {worst}");
        }
    }

    #[test]
    fn chroma_is_the_mean_of_its_block() {
        let rgb = [[255, 0, 0], [0, 0, 0], [0, 0, 255], [0, 255, 0]].concat();
        let mut picture = Yuv420Buffer::new(2, 2);
        picture.fill_from_rgb(&rgb, ColorSpace::BT709);
        let want = yuv_by_formula([63.75; 3], ColorSpace::BT709);
        assert_eq!(f64::from(picture.u[0]), want[1].round());
        assert_eq!(f64::from(picture.v[0]), want[2].round());
    }

    #[test]
    fn grey_stays_grey_and_odd_sizes_work() {
        for space in SPACES {
            for (width, height) in [(1_usize, 1_usize), (3, 1), (5, 3), (4, 2)] {
                let (cw, ch) = (width.div_ceil(2), height.div_ceil(2));
                let y = vec![100; (width + 3) * height];
                let chroma = vec![128; (cw + 1) * ch];
                let planes = [&y[..], &chroma, &chroma];
                let picture = Yuv420 { planes, strides: [width + 3, cw + 1, cw + 1], width, height };
                let mut rgb = vec![0; width * height * 3];
                yuv420_to_rgb(&picture, space, &mut rgb);
                let grey = rgb[0];
                assert!(rgb.iter().all(|&x| x == grey) && grey > 90, "{rgb:?}");
            }
        }
        yuv420_to_rgb(
            &Yuv420 { planes: [&[]; 3], strides: [0; 3], width: 0, height: 0 },
            ColorSpace::BT709,
            &mut [],
        );
    }
}
