//! Follows tiles of a stroke from frame to frame by what the picture shows there.
//!
//! Each tile looks for its surroundings as they were where it was painted, near where it was on the frame before. What is flat
//! could be anywhere: such tiles go with the stroke's others. A tile that isn't recognised any more is lost, and with most of its
//! tiles the stroke.

use super::paint::TILE;
use image::{RgbImage, imageops};

/// Longer side of the small pictures.
const SMALL: u32 = 256;
/// What is compared: so many small pixels more than the tile on each side.
const ROOM: i32 = 4;
const PATCH: i32 = TILE as i32 + 2 * ROOM;
/// Small pixels that a tile moves from one frame to the next at most.
const FARTHEST: i32 = 10;
/// Mean difference, in levels, above which a tile isn't recognised; and from which on it is looked for as it is now.
const LOST: f32 = 18.0;
const CHANGED: f32 = 8.0;
/// What a small pixel of way costs, in levels: between equals the nearest is taken.
const WAY: f32 = 0.05;
/// How much better than with the others a tile must be off on a way of its own, in levels.
const OWN_WAY: f32 = 3.0;
/// The share of its tiles with which a stroke goes on.
const ENOUGH: f32 = 0.4;

/// A small picture of a frame: its brightness.
pub(super) struct Small {
    pub(super) size: [u32; 2],
    levels: Vec<u8>,
}

impl Small {
    pub(super) fn of(frame: &RgbImage) -> Self {
        let longer = frame.width().max(frame.height()).max(1);
        let side = |n: u32| if longer <= SMALL { n.max(1) } else { (n * SMALL).div_ceil(longer).max(1) };
        let size = [side(frame.width()), side(frame.height())];
        let small = imageops::thumbnail(frame, size[0], size[1]);
        let levels = small
            .pixels()
            .map(|p| ((77 * u32::from(p[0]) + 150 * u32::from(p[1]) + 29 * u32::from(p[2])) >> 8) as u8);
        Self { size, levels: levels.collect() }
    }

    /// The surroundings of a tile at a place; beyond the edge the picture's last pixels.
    fn patch(&self, at: [i32; 2]) -> Vec<u8> {
        let [w, h] = self.size.map(|n| n as i32);
        let mut out = Vec::with_capacity((PATCH * PATCH) as usize);
        for y in at[1] - ROOM..at[1] - ROOM + PATCH {
            let row = (y.clamp(0, h - 1) * w) as usize;
            out.extend(
                (at[0] - ROOM..at[0] - ROOM + PATCH).map(|x| self.levels[row + x.clamp(0, w - 1) as usize]),
            );
        }
        out
    }

    /// Mean difference of a patch from the surroundings of a tile at a place.
    fn difference(&self, patch: &[u8], at: [i32; 2]) -> f32 {
        let [w, h] = self.size.map(|n| n as i32);
        let mut sum = 0;
        for (y, line) in patch.chunks_exact(PATCH as usize).enumerate() {
            let y = (at[1] - ROOM + y as i32).clamp(0, h - 1);
            let row = (y * w) as usize;
            let left = at[0] - ROOM;
            if left >= 0 && left + PATCH <= w {
                let own = &self.levels[row + left as usize..][..PATCH as usize];
                sum += own.iter().zip(line).map(|(a, b)| u32::from(a.abs_diff(*b))).sum::<u32>();
            } else {
                for (x, level) in line.iter().enumerate() {
                    let x = (left + x as i32).clamp(0, w - 1) as usize;
                    sum += u32::from(self.levels[row + x].abs_diff(*level));
                }
            }
        }
        sum as f32 / (PATCH * PATCH) as f32
    }

    fn holds(&self, at: [i32; 2]) -> bool {
        let middle = TILE as i32 / 2;
        (0..2).all(|axis| (0..self.size[axis] as i32).contains(&(at[axis] + middle)))
    }
}

struct Tile {
    home: [i32; 2],
    shift: [i32; 2],
    /// As it is looked for.
    patch: Vec<u8>,
    lost: bool,
}

/// Tiles on their way.
pub(super) struct Follower {
    tiles: Vec<Tile>,
}

impl Follower {
    pub(super) fn new(start: &Small, homes: &[[i32; 2]]) -> Self {
        let tile =
            |home: &[i32; 2]| Tile { home: *home, shift: [0; 2], patch: start.patch(*home), lost: false };
        Self { tiles: homes.iter().map(tile).collect() }
    }

    /// How far each tile has gone by the next frame; `None` for the lost ones, and for all when too few are left.
    pub(super) fn next(&mut self, frame: &Small) -> Option<Vec<Option<[i32; 2]>>> {
        let mut ways = Vec::new();
        let mut found = Vec::new();
        for tile in &self.tiles {
            let best = (!tile.lost).then(|| nearest(tile, frame));
            if let Some((shift, _)) = best {
                ways.push([shift[0] - tile.shift[0], shift[1] - tile.shift[1]]);
            }
            found.push(best);
        }
        let common = median(&mut ways);
        let mut left = 0;
        for (tile, best) in self.tiles.iter_mut().zip(found) {
            let Some((own, difference)) = best else { continue };
            let with_others = [tile.shift[0] + common[0], tile.shift[1] + common[1]];
            let there = frame.difference(&tile.patch, moved(tile.home, with_others));
            let (shift, difference) =
                if there < difference + OWN_WAY { (with_others, there) } else { (own, difference) };
            let at = moved(tile.home, shift);
            tile.shift = shift;
            tile.lost = difference > LOST || !frame.holds(at);
            if !tile.lost {
                left += 1;
                if difference > CHANGED {
                    tile.patch = frame.patch(at);
                }
            }
        }
        let enough = left > 0 && left as f32 >= ENOUGH * self.tiles.len() as f32;
        enough.then(|| self.tiles.iter().map(|tile| (!tile.lost).then_some(tile.shift)).collect())
    }
}

fn moved(home: [i32; 2], by: [i32; 2]) -> [i32; 2] {
    [home[0] + by[0], home[1] + by[1]]
}

/// The shift near the last one with which a tile's surroundings fit best, and their difference: every second one first, then those
/// around the best.
fn nearest(tile: &Tile, frame: &Small) -> ([i32; 2], f32) {
    let mut best = (f32::INFINITY, tile.shift, f32::INFINITY);
    let look = |by: [i32; 2], best: &mut (f32, [i32; 2], f32)| {
        let shift = moved(tile.shift, by);
        let difference = frame.difference(&tile.patch, moved(tile.home, shift));
        let cost = difference + WAY * (by[0] as f32).hypot(by[1] as f32);
        if cost < best.0 {
            *best = (cost, shift, difference);
        }
    };
    for y in (-FARTHEST..=FARTHEST).step_by(2) {
        for x in (-FARTHEST..=FARTHEST).step_by(2) {
            look([x, y], &mut best);
        }
    }
    let middle = [best.1[0] - tile.shift[0], best.1[1] - tile.shift[1]];
    for y in -1..=1 {
        for x in -1..=1 {
            look([middle[0] + x, middle[1] + y], &mut best);
        }
    }
    (best.1, best.2)
}

/// The middle way, axis by axis.
fn median(ways: &mut [[i32; 2]]) -> [i32; 2] {
    if ways.is_empty() {
        return [0; 2];
    }
    [0, 1].map(|axis| {
        ways.sort_unstable_by_key(|way| way[axis]);
        ways[ways.len() / 2][axis]
    })
}
