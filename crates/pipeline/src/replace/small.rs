//! The small pictures in which pixels are given to people: made while a video is read for the first time, kept on the disk, and read
//! from there afterwards.

use crate::{Error, Result};
use image::RgbImage;
use rayon::prelude::*;
use std::fs::File;
use std::io::{BufReader, Read as _, Write as _};
use std::path::PathBuf;

/// Longer side of the small pictures.
const SMALL: u32 = 400;

/// A video's pictures, and the small ones in which pixels are given to people.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) full: [u32; 2],
    pub(super) small: [u32; 2],
    /// Pixels along the side of a small one.
    pub(super) reduced: u32,
}

impl Sizes {
    pub(super) fn new(full: [u32; 2]) -> Self {
        let reduced = full[0].max(full[1]).div_ceil(SMALL).max(1);
        Self { full, small: full.map(|n| n.div_ceil(reduced)), reduced }
    }

    /// A small picture: the mean of each square, or of what of it lies in the picture.
    fn shrink(&self, picture: &RgbImage) -> RgbImage {
        let [width, side] = [self.full[0], self.reduced].map(|n| n as usize);
        let mut small = RgbImage::new(self.small[0], self.small[1]);
        let line = 3 * self.small[0] as usize;
        let squares = picture.par_chunks(3 * width * side);
        small.par_chunks_mut(line).zip(squares).for_each(|(out, rows)| {
            let mut sums = vec![0_u32; line];
            for row in rows.chunks_exact(3 * width) {
                for (sum, pixels) in sums.chunks_exact_mut(3).zip(row.chunks(3 * side)) {
                    for pixel in pixels.chunks_exact(3) {
                        sum.iter_mut().zip(pixel).for_each(|(sum, v)| *sum += u32::from(*v));
                    }
                }
            }
            let height = rows.len() / (3 * width);
            for (x, (out, sum)) in out.chunks_exact_mut(3).zip(sums.chunks_exact(3)).enumerate() {
                let area = (height * side.min(width - x * side)) as u32;
                out.iter_mut().zip(sum).for_each(|(out, sum)| *out = ((sum + area / 2) / area) as u8);
            }
        });
        small
    }
}

/// The small pictures of a video's frames, one after the other in a file: bytes of red, green and blue.
#[derive(Debug)]
pub(super) struct SmallPictures {
    path: PathBuf,
    sizes: Sizes,
    count: usize,
}

/// Writes them.
#[derive(Debug)]
pub(super) struct SmallWriter {
    file: File,
    made: SmallPictures,
}

impl SmallWriter {
    /// Adds a frame's.
    pub(super) fn push(&mut self, frame: &RgbImage) -> Result<()> {
        let Self { file, made } = self;
        let small = made.sizes.shrink(frame);
        made.count += 1;
        file.write_all(small.as_raw()).map_err(|source| Error::Io { path: made.path.clone(), source })
    }

    /// All that were added.
    pub(super) fn finish(self) -> SmallPictures {
        self.made
    }
}

impl SmallPictures {
    /// Begins an empty file.
    pub(super) fn create(path: PathBuf, sizes: Sizes) -> Result<SmallWriter> {
        let file = File::create(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
        Ok(SmallWriter { file, made: Self { path, sizes, count: 0 } })
    }

    /// All of them, in order.
    pub(super) fn read(&self) -> Result<impl Iterator<Item = Result<RgbImage>>> {
        let fail = |source| Error::Io { path: self.path.clone(), source };
        let mut file = BufReader::new(File::open(&self.path).map_err(fail)?);
        let [w, h] = self.sizes.small;
        Ok((0..self.count).map(move |_| {
            let mut picture = RgbImage::new(w, h);
            file.read_exact(&mut picture).map_err(fail)?;
            Ok(picture)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_become_pixels_also_at_the_border() {
        let sizes = Sizes::new([1001, 6]);
        assert_eq!((sizes.small, sizes.reduced), ([334, 2], 3));
        let picture = RgbImage::from_fn(1001, 6, |x, y| image::Rgb([(x / 3 % 200) as u8, (10 * y) as u8, 7]));
        let small = sizes.shrink(&picture);
        assert_eq!(small.dimensions(), (334, 2));
        for (x, y, pixel) in small.enumerate_pixels() {
            assert_eq!(pixel.0, [(x % 200) as u8, if y == 0 { 10 } else { 40 }, 7]);
        }
        // Pictures that aren't larger stay as they are.
        let same = Sizes::new([40, 30]);
        let picture = RgbImage::from_fn(40, 30, |x, y| image::Rgb([x as u8, y as u8, 9]));
        assert_eq!(same.shrink(&picture), picture);
    }

    #[test]
    fn pictures_come_back_from_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let mut pictures = SmallPictures::create(dir.path().join("small"), Sizes::new([801, 600])).unwrap();
        let frames: Vec<RgbImage> =
            (0..3).map(|t| RgbImage::from_fn(801, 600, |x, y| image::Rgb([t, x as u8, y as u8]))).collect();
        frames.iter().for_each(|frame| pictures.push(frame).unwrap());
        let pictures = pictures.finish();
        for _ in 0..2 {
            let read: Vec<RgbImage> = pictures.read().unwrap().map(Result::unwrap).collect();
            let made: Vec<RgbImage> = frames.iter().map(|frame| pictures.sizes.shrink(frame)).collect();
            assert_eq!(read, made);
        }
        // A file that lost its end.
        File::options().write(true).open(&pictures.path).unwrap().set_len(1000).unwrap();
        assert!(matches!(pictures.read().unwrap().next(), Some(Err(Error::Io { .. }))));
    }
}
