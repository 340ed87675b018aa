//! The rasterizer's semantics in the fewest lines, without a thought for speed: what the fast path and the shaders
//! are held against.

use super::{Projected, SplatOptions, project};
use crate::constants::{MAX_ALPHA, MIN_ALPHA, MIN_TRANSMITTANCE, TILE};
use crate::{Camera, Frame, Gaussians, PixelRect, Result};

/// Splats with the literal arithmetic of the reference, pixel by pixel.
///
/// # Errors
/// When the columns of `gaussians` don't fit each other.
pub fn render(gaussians: &Gaussians, camera: &Camera, options: &SplatOptions) -> Result<Frame> {
    gaussians.check()?;
    let (width, height) = (camera.width(), camera.height());
    let splats: Vec<Projected> =
        (0..gaussians.len()).map(|i| project(gaussians, i, camera, options)).collect();
    let mut order: Vec<usize> = (0..splats.len()).filter(|&i| splats[i].radius > 0).collect();
    order.sort_by_key(|&i| splats[i].depth.to_bits());

    let mut frame = Frame::new();
    frame.prepare(width, height, options.background);
    frame.covered = PixelRect { x0: 0, y0: 0, x1: width, y1: height };
    frame.contributors = vec![0; width * height];
    for tile_y in 0..height.div_ceil(TILE) {
        for tile_x in 0..width.div_ceil(TILE) {
            let here: Vec<&Projected> = order
                .iter()
                .map(|&i| &splats[i])
                .filter(|s| {
                    let r = s.tiles;
                    (usize::from(r.x0)..usize::from(r.x1)).contains(&tile_x)
                        && (usize::from(r.y0)..usize::from(r.y1)).contains(&tile_y)
                })
                .collect();
            for y in tile_y * TILE..((tile_y + 1) * TILE).min(height) {
                for x in tile_x * TILE..((tile_x + 1) * TILE).min(width) {
                    let pixel = composite(&here, x as f32, y as f32, options.background);
                    let at = y * width + x;
                    frame.color[3 * at..3 * at + 3].copy_from_slice(&pixel.color);
                    frame.alpha[at] = pixel.alpha;
                    frame.depth[at] = pixel.depth;
                    frame.contributors[at] = pixel.contributors;
                }
            }
        }
    }
    if !options.contributors {
        frame.contributors = Vec::new();
    }
    Ok(frame)
}

#[derive(Default)]
struct Pixel {
    color: [f32; 3],
    alpha: f32,
    depth: f32,
    contributors: u32,
}

fn composite(splats: &[&Projected], x: f32, y: f32, background: [f32; 3]) -> Pixel {
    let mut pixel = Pixel::default();
    let mut transmittance = 1.0_f32;
    for s in splats {
        let (dx, dy) = (s.mean_px[0] - x, s.mean_px[1] - y);
        let power = -0.5 * (s.conic[0] * dx * dx + s.conic[2] * dy * dy) - s.conic[1] * dx * dy;
        if power > 0.0 {
            continue;
        }
        let alpha = (s.opacity * power.exp()).min(MAX_ALPHA);
        if alpha < MIN_ALPHA {
            continue;
        }
        let after = transmittance * (1.0 - alpha);
        if after < MIN_TRANSMITTANCE {
            break;
        }
        let weight = alpha * transmittance;
        for (sum, c) in pixel.color.iter_mut().zip(s.color) {
            *sum += c * weight;
        }
        pixel.depth += s.depth * weight;
        pixel.alpha += weight;
        pixel.contributors += 1;
        transmittance = after;
    }
    for (sum, b) in pixel.color.iter_mut().zip(background) {
        *sum += transmittance * b;
    }
    pixel
}
