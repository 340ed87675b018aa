//! Colours of the street: brick with windows, paving, plaster, leaves, wood, metal.

use crate::noise::{fractal, hash, smoothstep};
use glam::{IVec3, Vec2, Vec3};

/// What a solid is covered with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Surface {
    /// Brick courses; a facade has windows.
    Brick {
        /// Whether there are windows.
        windows: bool,
    },
    /// Painted plaster with windows.
    Plaster(Vec3),
    /// Paving stones.
    Paving,
    /// Smooth paint.
    Paint(Vec3),
    /// Concrete.
    Concrete,
    /// Planks.
    Wood,
    /// Leaves.
    Leaves(Vec3),
    /// Bark.
    Bark,
    /// Stripes of cloth along x.
    Awning,
    /// Glass in a frame: a door or a shop window.
    Glass,
}

/// How a place on a surface looks.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Share of light that it reflects, linear.
    pub albedo: Vec3,
    /// Share of the mirrored sky that it shows.
    pub mirror: f32,
    /// Slope of small bumps, added to the normal.
    pub bump: Vec3,
}

/// Colour as pictures store it, to linear light.
#[must_use]
pub fn linear(r: f32, g: f32, b: f32) -> Vec3 {
    Vec3::new(r, g, b).powf(2.2)
}

fn matte(albedo: Vec3) -> Look {
    Look { albedo, mirror: 0.0, bump: Vec3::ZERO }
}

/// Windows of a facade: distance between middles, and half the size of one.
const WINDOW_STEP: Vec2 = Vec2::new(2.1, 2.75);
const WINDOW_HALF: Vec2 = Vec2::new(0.52, 0.80);
/// Height of the middle of the lowest row.
const WINDOW_BASE: f32 = 1.95;

/// The place of the window nearest to a point of a facade, as its middle.
#[must_use]
pub fn window_middle(at: Vec2) -> Vec2 {
    let first = Vec2::new(0.35, WINDOW_BASE);
    first + ((at - first) / WINDOW_STEP).round() * WINDOW_STEP
}

impl Surface {
    /// The look at a point with a normal; `footprint` is the size of a pixel there, in metres.
    #[must_use]
    pub fn look(self, p: Vec3, normal: Vec3, footprint: f32) -> Look {
        // Coordinates along the surface.
        let flat = if normal.y.abs() > 0.7 {
            Vec2::new(p.x, p.z)
        } else if normal.x.abs() > normal.z.abs() {
            Vec2::new(p.z, p.y)
        } else {
            Vec2::new(p.x, p.y)
        };
        match self {
            Self::Brick { windows } => {
                match (windows && p.y < 3.3).then(|| window(flat, p, footprint)).flatten() {
                    Some(look) if normal.z > 0.5 => look,
                    _ => brick(flat, p, footprint),
                }
            }
            Self::Plaster(color) => match window(flat, p, footprint) {
                Some(look) if normal.z > 0.5 => look,
                _ => {
                    let stain = 0.16 * fractal(p * Vec3::new(1.4, 0.5, 1.4), 5, footprint);
                    matte(color * (1.0 + stain + 0.07 * fractal(p * 22.0, 3, 22.0 * footprint)))
                }
            },
            Self::Paving => paving(p, footprint),
            Self::Paint(color) => {
                Look { mirror: 0.06, ..matte(color * (1.0 + 0.08 * fractal(p * 9.0, 3, 9.0 * footprint))) }
            }
            Self::Concrete => {
                let grain = 0.22 * fractal(p * 5.0, 5, 5.0 * footprint);
                matte(linear(0.66, 0.65, 0.62) * (1.0 + grain))
            }
            Self::Wood => {
                let plank = (flat.y * 9.0).floor();
                let joint =
                    smoothstep(0.0, 0.12 + 9.0 * footprint, 0.5 - ((flat.y * 9.0).fract() - 0.5).abs());
                let grain = fractal(Vec3::new(flat.x * 2.5, flat.y * 60.0, plank * 7.0), 4, 20.0 * footprint);
                matte(linear(0.56, 0.38, 0.23) * (1.0 + 0.3 * grain) * (0.45 + 0.55 * joint))
            }
            Self::Leaves(color) => {
                let scale = 15.0;
                let clump = fractal(p * 4.5, 2, 4.5 * footprint);
                let leaf = fractal(p * scale, 4, scale * footprint);
                let tint = color * (1.0 + 0.85 * leaf + 0.55 * clump).max(0.12);
                let slope = |d: Vec3| fractal((p + d) * scale, 2, scale * footprint) - leaf;
                let bump =
                    -Vec3::new(slope(Vec3::X * 0.03), slope(Vec3::Y * 0.03), slope(Vec3::Z * 0.03)) * 1.6;
                Look { bump, ..matte(tint) }
            }
            Self::Bark => {
                let ridges = fractal(p * Vec3::new(26.0, 5.0, 26.0), 4, 26.0 * footprint);
                matte(linear(0.40, 0.32, 0.25) * (1.0 + 0.55 * ridges))
            }
            Self::Awning => {
                let stripe = ((p.x * 3.2).rem_euclid(1.0) - 0.5).abs() * 2.0;
                let light = smoothstep(0.5 - 3.2 * footprint, 0.5 + 3.2 * footprint, stripe);
                matte(linear(0.72, 0.20, 0.16).lerp(linear(0.93, 0.89, 0.80), light))
            }
            Self::Glass => {
                let cell = (flat * Vec2::new(1.82, 1.05)).fract_gl();
                let edge = (cell - 0.5).abs().max_element();
                let frame = smoothstep(0.45, 0.45 + 1.3 * footprint + 1e-3, edge);
                // Shelves with things on them in a warm light.
                let shelf = flat * Vec2::new(7.0, 2.6);
                let thing = IVec3::new(shelf.x.floor() as i32, shelf.y.floor() as i32, 11);
                let (hue, height) = (hash(thing), 0.35 + 0.5 * hash(thing + IVec3::Z));
                let there = shelf.y.rem_euclid(1.0) < height && (shelf.x.rem_euclid(1.0) - 0.5).abs() < 0.36;
                let goods = linear(0.62, 0.30, 0.20).lerp(linear(0.80, 0.66, 0.36), hue);
                let back = linear(0.30, 0.22, 0.16) * (1.0 + 0.4 * fractal(p * 1.7, 3, footprint));
                let board = shelf.y.rem_euclid(1.0) > 0.93;
                let inside = if board {
                    linear(0.42, 0.30, 0.2)
                } else if there {
                    goods * 0.55
                } else {
                    back
                };
                Look { mirror: 0.26 * (1.0 - frame), ..matte(inside.lerp(linear(0.20, 0.33, 0.29), frame)) }
            }
        }
    }
}

fn brick(flat: Vec2, p: Vec3, footprint: f32) -> Look {
    const SIZE: Vec2 = Vec2::new(0.24, 0.078);
    let row = (flat.y / SIZE.y).floor();
    let x = flat.x / SIZE.x + 0.5 * (row.rem_euclid(2.0)) + 0.03 * hash(IVec3::new(row as i32, 7, 1));
    let cell = IVec3::new(x.floor() as i32, row as i32, 3);
    let inside = Vec2::new(x - x.floor(), flat.y / SIZE.y - row);
    let edge = (Vec2::splat(0.5) - (inside - 0.5).abs()) * SIZE;
    let joint = 0.0055;
    let blur = footprint * 0.6;
    let stone = smoothstep(joint - blur, joint + blur + 0.002, edge.min_element());
    // Far away the joints become a share of the colour.
    let far = smoothstep(0.02, 0.06, footprint);
    let stone = stone + (0.82 - stone) * far;
    let tint = hash(cell);
    let vary = 0.34 * (hash(cell + IVec3::Z) - 0.5);
    let color = linear(0.62, 0.33, 0.25).lerp(linear(0.71, 0.46, 0.34), tint)
        * (1.0 + vary + 0.16 * fractal(p * 30.0, 3, 30.0 * footprint))
        * (1.0 + 0.22 * fractal(p * Vec3::new(0.7, 0.45, 0.7), 3, footprint));
    let dirt = 0.75 + 0.25 * smoothstep(0.0, 0.9, p.y);
    matte(linear(0.70, 0.66, 0.59).lerp(color, stone) * dirt)
}

/// A window with its frame and stone surround; `None` beside windows.
fn window(flat: Vec2, p: Vec3, footprint: f32) -> Option<Look> {
    let middle = window_middle(flat);
    let at = flat - middle;
    let out = at.abs() - WINDOW_HALF;
    let border = out.max_element();
    if border > 0.11 || p.y < 0.6 {
        return None;
    }
    let number = IVec3::new((middle.x * 10.0) as i32, (middle.y * 10.0) as i32, p.z as i32);
    let fine = footprint.max(0.004);
    let stone = linear(0.83, 0.79, 0.71) * (1.0 + 0.1 * fractal(p * 8.0, 3, 8.0 * footprint));
    let frame = linear(0.91, 0.90, 0.86);
    let bars = at.x.abs().min((at.y - 0.22).abs());
    let in_frame =
        smoothstep(-0.055 - fine, -0.055 + fine, border).max(1.0 - smoothstep(0.022, 0.022 + fine, bars));
    let curtain = hash(number);
    let drawn = smoothstep(0.20 + 0.2 * curtain, 0.23 + 0.2 * curtain, at.x.abs());
    let cloth = linear(0.74, 0.70, 0.62) * (0.42 + 0.16 * (at.x * 70.0).sin());
    let room = linear(0.13, 0.15, 0.19).lerp(cloth, drawn * smoothstep(0.25, 0.5, curtain));
    // The frame's own shadow at the upper edge of the pane.
    let shade = 1.0 - 0.6 * smoothstep(WINDOW_HALF.y - 0.22, WINDOW_HALF.y - 0.05, at.y);
    let pane = Look { mirror: 0.34, ..matte(room * shade) };
    let surround = smoothstep(-fine, fine, border);
    let albedo = pane.albedo.lerp(frame, in_frame).lerp(stone, surround);
    let mirror = pane.mirror * (1.0 - in_frame) * (1.0 - surround);
    Some(Look { mirror, ..matte(albedo) })
}

fn paving(p: Vec3, footprint: f32) -> Look {
    const SIZE: Vec2 = Vec2::new(0.62, 0.41);
    let row = (p.z / SIZE.y).floor();
    let x = p.x / SIZE.x + 0.5 * row.rem_euclid(2.0);
    let cell = IVec3::new(x.floor() as i32, 5, row as i32);
    let inside = Vec2::new(x - x.floor(), p.z / SIZE.y - row);
    let edge = ((Vec2::splat(0.5) - (inside - 0.5).abs()) * SIZE).min_element();
    let blur = footprint * 0.8;
    let gap = 0.006 + 0.002 * fractal(p * 12.0, 2, 12.0 * footprint);
    let stone = smoothstep(gap - blur, gap + blur + 0.004, edge);
    let far = smoothstep(0.05, 0.2, footprint);
    let stone = stone + (0.93 - stone) * far;
    let tint = linear(0.60, 0.58, 0.55).lerp(linear(0.69, 0.65, 0.58), hash(cell));
    let worn = 1.0
        + 0.16 * (hash(cell + IVec3::Z) - 0.5) * (1.0 - far)
        + 0.20 * fractal(p * 3.0, 5, 3.0 * footprint)
        + 0.18 * fractal(p * 40.0, 2, 40.0 * footprint);
    let moss = linear(0.33, 0.34, 0.27) * 0.55;
    matte(moss.lerp(tint * worn, stone))
}
