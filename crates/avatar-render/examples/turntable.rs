//! Renders an avatar from all sides: `turntable [FILE] [--y-up] [OUT_DIR]`.
//!
//! Without a file a made-up figure is shown. Files of LHM and of most trainers have y up: pass `--y-up`.
#![expect(clippy::print_stdout, reason = "a command-line program")]

use anicrafter_avatar_render::{Avatar, Camera, Frame, Gaussians, SplatOptions, SplatRenderer, synthetic};
use std::path::{Path, PathBuf};

const VIEWS: usize = 12;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (flags, paths): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|a| a.starts_with("--"));
    let is_file = |p: &&String| Path::new(p.as_str()).is_file();
    let gaussians = match paths.iter().find(is_file) {
        Some(file) => Avatar::open(file)?.gaussians,
        None => synthetic::avatar(40_000, 0.0, 1),
    };
    let out = paths.iter().find(|p| !is_file(p)).map_or_else(|| PathBuf::from("."), PathBuf::from);
    std::fs::create_dir_all(&out)?;

    let up = if flags.iter().any(|f| f == "--y-up") { -1.0 } else { 1.0 };
    let (center, reach) = bounds(&gaussians);
    let (mut renderer, mut frame) = (SplatRenderer::new(), Frame::new());
    for view in 0..VIEWS {
        let angle = std::f32::consts::TAU * view as f32 / VIEWS as f32;
        let camera = orbit(center, 2.6 * reach, angle, up)?;
        renderer.render(&gaussians, &camera, &SplatOptions::default(), &mut frame)?;
        let path = out.join(format!("turntable_{view:02}.png"));
        let (w, h) = (frame.width() as u32, frame.height() as u32);
        image::save_buffer(&path, &frame.to_rgba8(), w, h, image::ColorType::Rgba8)?;
        println!("{}", path.display());
    }
    Ok(())
}

/// The middle of the cloud and the distance of its furthest point.
fn bounds(g: &Gaussians) -> ([f32; 3], f32) {
    let fold = |f: fn(f32, f32) -> f32, start: f32| {
        g.means.iter().fold([start; 3], |m, p| std::array::from_fn(|k| f(m[k], p[k])))
    };
    let (low, high) = (fold(f32::min, f32::INFINITY), fold(f32::max, f32::NEG_INFINITY));
    let half: [f32; 3] = std::array::from_fn(|k| 0.5 * (high[k] - low[k]));
    let center = std::array::from_fn(|k| 0.5 * (high[k] + low[k]));
    (center, half.iter().map(|x| x * x).sum::<f32>().sqrt())
}

/// A camera that looks at `center` from `distance`; `up` is -1 where y points up.
fn orbit(center: [f32; 3], distance: f32, angle: f32, up: f32) -> anicrafter_avatar_render::Result<Camera> {
    let (s, c) = angle.sin_cos();
    let turn = [[c, 0.0, s], [0.0, up, 0.0], [-s * up, 0.0, c * up]];
    let view = std::array::from_fn(|r| {
        let moved: f32 = (0..3).map(|k| turn[r][k] * center[k]).sum();
        let away = if r == 2 { distance } else { 0.0 };
        [turn[r][0], turn[r][1], turn[r][2], away - moved]
    });
    Camera::pinhole([512, 768], [900.0; 2], [256.0, 384.0], &view)
}
