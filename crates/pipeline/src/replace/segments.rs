//! Cuts a picture into segments: places that differ less inside than from what is beside them. After P. Felzenszwalb and
//! D. Huttenlocher, "Efficient Graph-Based Image Segmentation", 2004: what differs inside is tolerated the less the larger a segment is.

use super::scenery::unlike;
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::ops::Range;

/// How much larger than what a segment shows inside a border may be, by pixels: the larger, the larger the segments.
const SCALE: f32 = 200.0;
/// Smaller ones go to the neighbour that is most like them.
const LEAST: u32 = 12;

/// The segments of a part of a picture.
#[derive(Debug)]
pub(super) struct Segments {
    /// By pixel of the part, row by row: which segment.
    labels: Vec<u32>,
    columns: Range<usize>,
    rows: Range<usize>,
    /// Pixels in a row of the whole picture.
    width: usize,
    count: usize,
}

/// Where two segments meet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Border {
    /// The one to the left or above, and the one to the right or below.
    pub(super) of: [usize; 2],
    /// How many pixels of the latter lie right below the former.
    pub(super) below: usize,
}

impl Segments {
    /// Of the columns and rows given of a picture `width` pixels wide.
    pub(super) fn new(picture: &[[u8; 3]], width: usize, [columns, rows]: [Range<usize>; 2]) -> Self {
        let (w, h) = (columns.len(), rows.len());
        let smooth = blurred(picture, width, [&columns, &rows]);
        // By how much they differ: pairs of pixels, each with the one to its right or below it.
        let mut pairs: Vec<Vec<(u32, u32)>> = vec![Vec::new(); 256];
        for i in 0..w * h {
            let right = (i % w + 1 < w).then_some(i + 1);
            let below = (i + w < w * h).then_some(i + w);
            for j in [right, below].into_iter().flatten() {
                pairs[usize::from(unlike(smooth[i], smooth[j]))].push((i as u32, j as u32));
            }
        }
        let mut joined = Joined::new(w * h);
        for (differ, pairs) in pairs.iter().enumerate() {
            for (a, b) in pairs {
                let (a, b) = (joined.root(*a), joined.root(*b));
                if a != b && differ as f32 <= joined.tolerance(a).min(joined.tolerance(b)) {
                    joined.join(a, b, differ as u8);
                }
            }
        }
        for (differ, pairs) in pairs.iter().enumerate() {
            for (a, b) in pairs {
                let (a, b) = (joined.root(*a), joined.root(*b));
                if a != b && joined.size(a).min(joined.size(b)) < LEAST {
                    joined.join(a, b, differ as u8);
                }
            }
        }
        let mut names = vec![u32::MAX; w * h];
        let mut count = 0;
        let labels = (0..w * h)
            .map(|i| {
                let name = &mut names[joined.root(i as u32) as usize];
                if *name == u32::MAX {
                    *name = count;
                    count += 1;
                }
                *name
            })
            .collect();
        let mut cut = Self { labels, columns, rows, width, count: count as usize };
        cut.sharpen(picture);
        cut
    }

    /// Gives pixels at borders, which were cut in a blurred picture, to the segment there that they are most like.
    fn sharpen(&mut self, picture: &[[u8; 3]]) {
        let means = self.means(picture);
        let (w, h) = (self.columns.len(), self.rows.len());
        let before = self.labels.clone();
        for (i, label) in self.labels.iter_mut().enumerate() {
            let (x, y) = (i % w, i / w);
            let here = picture[(y + self.rows.start) * self.width + x + self.columns.start];
            let differs = |s: u32| unlike(here, means[s as usize]);
            for v in y.saturating_sub(1)..(y + 2).min(h) {
                for u in x.saturating_sub(1)..(x + 2).min(w) {
                    let other = before[v * w + u];
                    if differs(other) < differs(*label) {
                        *label = other;
                    }
                }
            }
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Which one each pixel of the part is in, row by row.
    pub(super) fn labels(&self) -> impl Iterator<Item = usize> {
        self.labels.iter().map(|label| *label as usize)
    }

    /// The mean colour of each in a picture.
    pub(super) fn means(&self, picture: &[[u8; 3]]) -> Vec<[u8; 3]> {
        let mut sums = vec![([0_u64; 3], 0_u64); self.count];
        let places = self.rows.clone().flat_map(|y| self.columns.clone().map(move |x| (x, y)));
        for (s, (x, y)) in self.labels().zip(places) {
            let (sum, n) = &mut sums[s];
            sum.iter_mut().zip(picture[y * self.width + x]).for_each(|(sum, byte)| *sum += u64::from(byte));
            *n += 1;
        }
        sums.into_iter().map(|(sum, n)| sum.map(|s| (s / n.max(1)) as u8)).collect()
    }

    /// Where they meet.
    pub(super) fn borders(&self) -> Vec<Border> {
        let w = self.columns.len();
        let mut found = BTreeMap::new();
        for i in 0..self.labels.len() {
            let right = (i % w + 1 < w).then_some((i + 1, 0));
            let below = (i + w < self.labels.len()).then_some((i + w, 1));
            for (j, upright) in [right, below].into_iter().flatten() {
                let (a, b) = (self.labels[i] as usize, self.labels[j] as usize);
                if a != b {
                    *found.entry([a, b]).or_insert(0) += upright;
                }
            }
        }
        found.into_iter().map(|(of, below)| Border { of, below }).collect()
    }

    /// Which one a pixel is in; `None` outside the part that was cut.
    pub(super) fn at(&self, x: usize, y: usize) -> Option<usize> {
        let inside = self.columns.contains(&x) && self.rows.contains(&y);
        inside.then(|| {
            self.labels[(y - self.rows.start) * self.columns.len() + x - self.columns.start] as usize
        })
    }
}

/// Columns and rows of a picture in which each pixel is the mean of itself and its neighbours.
fn blurred(picture: &[[u8; 3]], width: usize, [columns, rows]: [&Range<usize>; 2]) -> Vec<[u8; 3]> {
    let height = picture.len() / width.max(1);
    let near = |at: usize, n: usize| at.saturating_sub(1)..(at + 2).min(n);
    let mut smooth = vec![[0; 3]; columns.len() * rows.len()];
    let lines = smooth.par_chunks_mut(columns.len().max(1)).zip(rows.clone());
    lines.for_each_init(
        || vec![[0_u16; 3]; width],
        |down, (line, y)| {
            // Each column's sum first, then those of three columns.
            let reached = columns.start.saturating_sub(1)..(columns.end + 1).min(width);
            down[reached.clone()].fill([0; 3]);
            for v in near(y, height) {
                let row = &picture[v * width..][..width];
                for (sum, pixel) in down[reached.clone()].iter_mut().zip(&row[reached.clone()]) {
                    (0..3).for_each(|k| sum[k] += u16::from(pixel[k]));
                }
            }
            for (out, x) in line.iter_mut().zip(columns.clone()) {
                let across = near(x, width);
                let n = (across.len() * near(y, height).len()) as u16;
                *out = std::array::from_fn(|k| {
                    (down[across.clone()].iter().map(|sum| sum[k]).sum::<u16>() / n) as u8
                });
            }
        },
    );
    smooth
}

/// Pixels joined into segments.
struct Joined {
    /// The parent of each, itself for a root; of roots: how many pixels, and the largest difference that was joined over.
    parent: Vec<u32>,
    size: Vec<u32>,
    inside: Vec<u8>,
}

impl Joined {
    fn new(n: usize) -> Self {
        Self { parent: (0..n as u32).collect(), size: vec![1; n], inside: vec![0; n] }
    }

    fn root(&mut self, mut i: u32) -> u32 {
        while self.parent[i as usize] != i {
            let above = self.parent[self.parent[i as usize] as usize];
            self.parent[i as usize] = above;
            i = above;
        }
        i
    }

    fn size(&self, root: u32) -> u32 {
        self.size[root as usize]
    }

    fn tolerance(&self, root: u32) -> f32 {
        f32::from(self.inside[root as usize]) + SCALE / self.size(root) as f32
    }

    fn join(&mut self, a: u32, b: u32, differ: u8) {
        let (a, b) = if self.size(a) >= self.size(b) { (a, b) } else { (b, a) };
        self.parent[b as usize] = a;
        self.size[a as usize] += self.size[b as usize];
        self.inside[a as usize] = differ.max(self.inside[a as usize]).max(self.inside[b as usize]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_out_is_a_segment_of_its_own() {
        // Planks, and a grey post before them in columns 20 to 25.
        let (w, h) = (48, 36);
        let is_post = |i: usize| (20..26).contains(&(i % w));
        let picture: Vec<[u8; 3]> = (0..w * h)
            .map(|i| {
                let plank = (i / w / 6 % 2 * 12) as u8;
                if is_post(i) { [150; 3] } else { [140 + plank, 100 + plank, 70 + plank] }
            })
            .collect();
        let segments = Segments::new(&picture, w, [0..w, 0..h]);
        let post = segments.at(22, 18).unwrap();
        for i in 0..w * h {
            // The blur mixes what is beside a border.
            if [18, 19, 20, 25, 26, 27].contains(&(i % w)) {
                continue;
            }
            assert_eq!(segments.at(i % w, i / w) == Some(post), is_post(i), "pixel {i}");
        }
        // Six planks on either side, and slivers where the blur was.
        assert!(segments.count() < 40, "{}", segments.count());
        assert_eq!(segments.at(w, 0), None);
    }

    #[test]
    fn each_pixel_is_the_mean_of_its_neighbours() {
        let (w, h) = (7, 5);
        let picture: Vec<[u8; 3]> =
            (0..w * h).map(|i| [(i * 37 % 256) as u8, (i * i % 251) as u8, 9]).collect();
        for [columns, rows] in [[0..7, 0..5], [2..6, 1..3], [6..7, 4..5], [3..3, 0..5]] {
            let found = blurred(&picture, w, [&columns, &rows]);
            let places = rows.flat_map(|y| columns.clone().map(move |x| (x, y)));
            let expected: Vec<[u8; 3]> = places
                .map(|(x, y)| {
                    let near = |i: usize| (i % w).abs_diff(x) <= 1 && (i / w).abs_diff(y) <= 1;
                    let around: Vec<_> = (0..w * h).filter(|i| near(*i)).collect();
                    [0, 1, 2].map(|k| {
                        (around.iter().map(|i| usize::from(picture[*i][k])).sum::<usize>() / around.len())
                            as u8
                    })
                })
                .collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn nothing_has_no_segments() {
        assert_eq!(Segments::new(&[[0; 3]; 6], 3, [0..0, 0..0]).count(), 0);
    }
}
