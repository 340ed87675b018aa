//! Everything the renderers write, side by side in one picture: `contact_sheet [OUT.png]`.
//!
//! Top: colour, alpha and depth of the splats. Bottom: shaded mesh, normals and depth of the mesh.
#![expect(clippy::print_stdout, reason = "a command-line program")]

use anicrafter_avatar_render::{
    Frame, Mesh, MeshFrame, MeshOptions, MeshRenderer, SplatOptions, SplatRenderer, synthetic,
};
use image::{Rgb, RgbImage, imageops};

const SIZE: (usize, usize) = (400, 640);
const DISTANCE_M: f32 = 2.5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let camera = synthetic::camera(SIZE.0, SIZE.1, 800.0)?;
    let mut splats = Frame::new();
    let gaussians = synthetic::avatar(40_000, DISTANCE_M, 1);
    SplatRenderer::new().render(&gaussians, &camera, &SplatOptions::default(), &mut splats)?;
    let mut mesh = MeshFrame::new();
    let (vertices, faces) = synthetic::body(DISTANCE_M);
    let options = MeshOptions { antialias: true, normals: true, ..MeshOptions::default() };
    let body = Mesh { vertices: &vertices, faces: &faces };
    MeshRenderer::new().render(&body, &camera, &options, &mut mesh)?;

    let panels = [
        rgb(&splats.to_rgb8()),
        gray(splats.alpha(), |a| a),
        gray(&splats.mean_depth(), near_is_bright),
        rgb(mesh.rgb8()),
        rgb(&mesh.normals().iter().map(|n| ((0.5 - 0.5 * n) * 255.0) as u8).collect::<Vec<_>>()),
        gray(mesh.depth(), near_is_bright),
    ];
    let (w, h) = (SIZE.0 as u32, SIZE.1 as u32);
    let mut sheet = RgbImage::from_pixel(3 * w, 2 * h, Rgb([0; 3]));
    for (i, panel) in panels.iter().enumerate() {
        let (x, y) = (i as u32 % 3 * w, i as u32 / 3 * h);
        imageops::replace(&mut sheet, panel, x.into(), y.into());
    }
    let out = std::env::args().nth(1).unwrap_or_else(|| "contact_sheet.png".into());
    sheet.save(&out)?;
    println!("{out}");
    Ok(())
}

fn near_is_bright(depth: f32) -> f32 {
    if depth > 0.0 { (DISTANCE_M + 0.4 - depth).clamp(0.0, 0.8) / 0.8 } else { 0.0 }
}

fn rgb(bytes: &[u8]) -> RgbImage {
    let pixel = |x: u32, y: u32| {
        let at = 3 * (y as usize * SIZE.0 + x as usize);
        Rgb([bytes[at], bytes[at + 1], bytes[at + 2]])
    };
    RgbImage::from_fn(SIZE.0 as u32, SIZE.1 as u32, pixel)
}

fn gray(values: &[f32], level: impl Fn(f32) -> f32) -> RgbImage {
    let bytes: Vec<u8> = values.iter().flat_map(|&v| [(level(v) * 255.0) as u8; 3]).collect();
    rgb(&bytes)
}
