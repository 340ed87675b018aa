//! A stroke as pixels, cut into tiles that move on their own.

use crate::job::Stroke;
use image::{GrayImage, Luma};

/// Side of a tile in small pixels.
pub(super) const TILE: u32 = 6;

/// A stroke's pixels at the video's size.
pub(super) struct Painted {
    paint: GrayImage,
    /// Upper left corners of the tiles with paint in them, in small pixels.
    tiles: Vec<[i32; 2]>,
    /// The video's pixels to a small one.
    scale: [f32; 2],
}

impl Painted {
    pub(super) fn new(stroke: &Stroke, (width, height): (u32, u32), small: [u32; 2]) -> Self {
        let paint = paint(stroke, width, height);
        let scale = [width as f32 / small[0] as f32, height as f32 / small[1] as f32];
        let mut tiles = Vec::new();
        for y in (0..small[1]).step_by(TILE as usize) {
            for x in (0..small[0]).step_by(TILE as usize) {
                let of = |from: u32, scale: f32, most: u32| {
                    let edge = |at: u32| ((at as f32 * scale).round() as u32).min(most);
                    edge(from)..edge(from + TILE)
                };
                let (rows, columns) = (of(y, scale[1], height), of(x, scale[0], width));
                let painted = |y: u32| columns.clone().any(|x| paint.get_pixel(x, y)[0] > 0);
                if rows.clone().any(painted) {
                    tiles.push([x as i32, y as i32]);
                }
            }
        }
        Self { paint, tiles, scale }
    }

    pub(super) fn tiles(&self) -> &[[i32; 2]] {
        &self.tiles
    }

    /// The paint where its tiles have gone to; those that were lost are left out.
    pub(super) fn moved(&self, shifts: &[Option<[i32; 2]>]) -> GrayImage {
        let (width, height) = self.paint.dimensions();
        if shifts.iter().all(|shift| *shift == Some([0, 0])) {
            return self.paint.clone();
        }
        let mut out = GrayImage::new(width, height);
        for (tile, shift) in self.tiles.iter().zip(shifts) {
            let Some(shift) = shift else { continue };
            let by = [0, 1].map(|axis| (shift[axis] as f32 * self.scale[axis]).round() as i64);
            // Half a tile more on all sides, so that no gap opens between tiles that part a little.
            let grown = |axis: usize, most: u32| {
                let edge =
                    |at: i32| ((at as f32 * self.scale[axis]).round() as i64).clamp(0, i64::from(most));
                edge(tile[axis] - TILE as i32 / 2)..edge(tile[axis] + TILE as i32 * 3 / 2)
            };
            for y in grown(1, height) {
                for x in grown(0, width) {
                    let level = self.paint.get_pixel(x as u32, y as u32)[0];
                    let (to_x, to_y) = (x + by[0], y + by[1]);
                    let inside =
                        (0..i64::from(width)).contains(&to_x) && (0..i64::from(height)).contains(&to_y);
                    if level > 0 && inside {
                        let pixel = out.get_pixel_mut(to_x as u32, to_y as u32);
                        pixel[0] = pixel[0].max(level);
                    }
                }
            }
        }
        out
    }
}

/// A round brush along the stroke's points, its edge a pixel soft.
fn paint(stroke: &Stroke, width: u32, height: u32) -> GrayImage {
    let radius = (stroke.width * width as f32 / 2.0).max(0.5);
    let points: Vec<[f32; 2]> =
        stroke.points.iter().map(|p| [p[0] * width as f32, p[1] * height as f32]).collect();
    let mut out = GrayImage::new(width, height);
    let single = [points[0], points[0]];
    let lines: Vec<[[f32; 2]; 2]> = if points.len() == 1 {
        vec![single]
    } else {
        points.windows(2).map(|two| [two[0], two[1]]).collect()
    };
    for [a, b] in lines {
        let range = |axis: usize, most: u32| {
            let low = (a[axis].min(b[axis]) - radius - 1.0).floor().clamp(0.0, most as f32);
            let high = (a[axis].max(b[axis]) + radius + 1.0).ceil().clamp(0.0, most as f32);
            low as u32..high as u32
        };
        for y in range(1, height) {
            for x in range(0, width) {
                let away = distance([x as f32 + 0.5, y as f32 + 0.5], a, b);
                let level = ((radius - away + 0.5).clamp(0.0, 1.0) * 255.0).round() as u8;
                let pixel = out.get_pixel_mut(x, y);
                *pixel = Luma([pixel[0].max(level)]);
            }
        }
    }
    out
}

/// From a point to a line between two others.
fn distance(p: [f32; 2], a: [f32; 2], b: [f32; 2]) -> f32 {
    let (along, to) = ([b[0] - a[0], b[1] - a[1]], [p[0] - a[0], p[1] - a[1]]);
    let length = along[0] * along[0] + along[1] * along[1];
    let t = if length > 0.0 { ((to[0] * along[0] + to[1] * along[1]) / length).clamp(0.0, 1.0) } else { 0.0 };
    (to[0] - t * along[0]).hypot(to[1] - t * along[1])
}
