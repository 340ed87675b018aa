//! Colours of the background, looked up in the frames that see it.

use super::sources::Source;
use image::RgbImage;

/// From small to full positions.
pub(super) fn full(p: [f32; 2], scale: usize) -> [f32; 2] {
    p.map(|v| (v + 0.5) * scale as f32 - 0.5)
}

/// A small position in a source.
#[derive(Clone, Copy, Default)]
struct Sight {
    weight: f32,
    source: usize,
    at: [f32; 2],
    /// How `at` changes for a step across and a step down.
    slopes: [[f32; 2]; 2],
}

/// The two sources that see a small position best, the better one first.
fn best(sources: &[Source<'_>], p: [f32; 2]) -> [Sight; 2] {
    let mut best = [(0.0, 0); 2];
    for (n, source) in sources.iter().enumerate() {
        if source.near <= best[1].0 {
            // Those that follow are farther.
            break;
        }
        let weight = source.weight(source.warp.at(p));
        if weight > best[0].0 {
            best = [(weight, n), best[0]];
        } else if weight > best[1].0 {
            best[1] = (weight, n);
        }
    }
    best.map(|(weight, source)| {
        let (at, slopes) = sources[source].warp.at_with_slopes(p);
        Sight { weight, source, at, slopes }
    })
}

/// Colours of the full-size rows that belong to row `v` of small pixels, from column `u` of those on: `out` is `[rows, width]`, and
/// those of its pixels that are `wanted` (by their index) and seen get a colour.
pub(super) fn mix_rows(
    sources: &[Source<'_>],
    scale: usize,
    [u, v]: [usize; 2],
    width: usize,
    out: &mut [Option<[f32; 3]>],
    wanted: impl Fn(usize) -> bool,
) {
    if sources.is_empty() {
        return;
    }
    let (rows, across) = (out.len() / width, (width / scale).max(1));
    for n in 0..across {
        // The last square takes the columns that are left over.
        let columns = n * scale..if n + 1 == across { width } else { (n + 1) * scale };
        let mut sights = None;
        for y in 0..rows {
            for x in columns.clone().filter(|x| wanted(y * width + x)) {
                let sights = sights.get_or_insert_with(|| best(sources, [(u + n) as f32, v as f32]));
                let offset = [x - n * scale, y].map(|n| (n as f32 + 0.5) / scale as f32 - 0.5);
                out[y * width + x] = mixed(sources, sights, offset, scale);
            }
        }
    }
}

/// The colour beside a small position, from the sources that see it best.
fn mixed(sources: &[Source<'_>], sights: &[Sight; 2], offset: [f32; 2], scale: usize) -> Option<[f32; 3]> {
    let (mut sum, mut total) = ([0.0; 3], 0.0);
    for sight in sights {
        let w = sight.weight;
        if w <= 0.0 || w < total * 0.05 {
            continue;
        }
        let source = &sources[sight.source];
        let [across, down] = sight.slopes;
        let at = [0, 1].map(|k| sight.at[k] + across[k] * offset[0] + down[k] * offset[1]);
        let color = sample(source.picture, full(at, scale));
        (0..3).for_each(|k| sum[k] += w * (color[k] + source.offset[k]));
        total += w;
    }
    (total > 1e-9).then(|| sum.map(|s| s / total))
}

/// Cubic interpolation (Catmull–Rom), which keeps a texture as sharp as it is.
fn sample(picture: &RgbImage, [x, y]: [f32; 2]) -> [f32; 3] {
    let (w, h) = (picture.width() as usize, picture.height() as usize);
    // Rounded down by hand: without newer instructions `floor` is a call.
    let down = |v: f32| {
        let whole = v as i32;
        whole - i32::from((whole as f32) > v)
    };
    let (x0, y0) = (down(x), down(y));
    let taps = |f: f32| {
        let (f2, f3) = (f * f, f * f * f);
        [
            0.5 * (-f3 + 2.0 * f2 - f),
            0.5 * (3.0 * f3 - 5.0 * f2 + 2.0),
            0.5 * (-3.0 * f3 + 4.0 * f2 + f),
            0.5 * (f3 - f2),
        ]
    };
    let (wx, wy) = (taps(x - x0 as f32), taps(y - y0 as f32));
    let bytes = picture.as_raw();
    let mut sum = [0.0; 3];
    if x0 >= 1 && y0 >= 1 && x0 + 2 < w as i32 && y0 + 2 < h as i32 {
        // Down first: four pixels side by side are twelve lanes.
        let mut lanes = [0.0_f32; 12];
        for (j, wy) in wy.iter().enumerate() {
            let from = ((y0 as usize + j - 1) * w + x0 as usize - 1) * 3;
            for (lane, byte) in lanes.iter_mut().zip(&bytes[from..from + 12]) {
                *lane += wy * f32::from(*byte);
            }
        }
        for (pixel, wx) in lanes.as_chunks::<3>().0.iter().zip(&wx) {
            (0..3).for_each(|k| sum[k] += wx * pixel[k]);
        }
        return sum.map(|v| v.clamp(0.0, 255.0));
    }
    for (j, wy) in wy.iter().enumerate() {
        let v = (y0 + j as i32 - 1).clamp(0, h as i32 - 1) as usize;
        for (i, wx) in wx.iter().enumerate() {
            let u = (x0 + i as i32 - 1).clamp(0, w as i32 - 1) as usize;
            let pixel = &bytes[(v * w + u) * 3..][..3];
            let weight = wx * wy;
            (0..3).for_each(|k| sum[k] += weight * f32::from(pixel[k]));
        }
    }
    sum.map(|v| v.clamp(0.0, 255.0))
}
