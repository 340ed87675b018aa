//! Puts two stand-in people (ellipsoids) on a plate, with contact shadows and a railing in front, and locks the
//! background of a "generated" version of it. Writes the pictures as PNG files into the folder given.
//!
//! `cargo run -p anicrafter-bg-mask --example place_person -- OUT_DIR`
#![expect(clippy::print_stdout, reason = "a command-line example")]

use anicrafter_bg_mask::{
    ContactShadow, Layout, LightMatch, LightOptions, LockOptions, Occluder, Render, alpha_mask, apply_gains,
    cast_contact_shadow, composite_layers, contacts_of, lock_background, lock_mask, union,
};
use image::{GrayImage, Luma, Rgb, RgbImage};
use std::path::PathBuf;

const SIZE: (u32, u32) = (640, 360);

/// Premultiplied colour, alpha and depth of a shaded ellipsoid.
struct Figure {
    color: Vec<f32>,
    alpha: Vec<f32>,
    depth: Vec<f32>,
}

fn figure(center: (f32, f32), radii: (f32, f32), tint: [f32; 3], depth_m: f32) -> Figure {
    let n = (SIZE.0 * SIZE.1) as usize;
    let (mut color, mut alpha) = (Vec::with_capacity(3 * n), Vec::with_capacity(n));
    for y in 0..SIZE.1 {
        for x in 0..SIZE.0 {
            let (u, v) = ((x as f32 - center.0) / radii.0, (y as f32 - center.1) / radii.1);
            let inside = 1.0 - u * u - v * v;
            let a = (inside * radii.0 / 2.0).clamp(0.0, 1.0);
            let light = 0.4 + 0.6 * (0.6 * inside.max(0.0).sqrt() - 0.4 * u - 0.5 * v).clamp(0.0, 1.0);
            color.extend(tint.map(|t| t * light * a));
            alpha.push(a);
        }
    }
    Figure { color, alpha, depth: vec![depth_m; n] }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("which folder?")?);
    std::fs::create_dir_all(&folder)?;
    // An evening floor and wall.
    let plate = RgbImage::from_fn(SIZE.0, SIZE.1, |x, y| {
        let wall = y < 210;
        let check = (x / 40 + (y.pow(2) / 2600)) % 2 == 0;
        Rgb(match (wall, check) {
            (true, _) => [150 - (x / 10) as u8, 110, 80],
            (false, true) => [130, 100, 80],
            (false, false) => [95, 75, 62],
        })
    });
    let mut near = figure((250.0, 190.0), (46.0, 130.0), [0.8, 0.75, 0.7], 2.0);
    let mut far = figure((330.0, 180.0), (38.0, 105.0), [0.35, 0.5, 0.8], 3.0);
    let person = |f: &Figure| -> anicrafter_bg_mask::Result<GrayImage> {
        Ok(alpha_mask(&Render::new(SIZE, &f.color, Layout::Interleaved, &f.alpha)?))
    };
    let (near_mask, far_mask) = (person(&near)?, person(&far)?);
    let people = union(&near_mask, &far_mask)?;

    let gains = LightMatch::new(LightOptions::default())?.update(&plate, &people)?;
    apply_gains(&mut near.color, &near.alpha, gains)?;
    apply_gains(&mut far.color, &far.alpha, gains)?;
    let mut ground = plate.clone();
    for mask in [&near_mask, &far_mask] {
        cast_contact_shadow(&mut ground, &contacts_of(mask, 100), &ContactShadow::default())?;
    }
    let rail =
        GrayImage::from_fn(SIZE.0, SIZE.1, |_, y| Luma([if (250..262).contains(&y) { 255 } else { 0 }]));
    let iron = RgbImage::from_pixel(SIZE.0, SIZE.1, Rgb([40, 42, 48]));
    let renders = [
        Render::new(SIZE, &near.color, Layout::Interleaved, &near.alpha)?.with_depth(&near.depth)?,
        Render::new(SIZE, &far.color, Layout::Interleaved, &far.alpha)?.with_depth(&far.depth)?,
    ];
    let rail = [Occluder { matte: &rail, color: Some(&iron) }];
    let composite = composite_layers(&ground, &renders, &rail)?;
    let source = composite_layers(&plate, &[], &rail)?;

    // A stand-in for a model that damages the whole frame.
    let mut generated = image::imageops::blur(&composite, 2.0);
    generated.iter_mut().for_each(|byte| *byte = byte.saturating_add(8));
    let options = LockOptions { dilate_px: 8.0, feather_px: 12.0, ..LockOptions::default() };
    let locked = lock_background(&generated, &source, &people, &options)?;
    let mask = lock_mask(&generated, &source, &people, &options)?;

    composite.save(folder.join("composite.png"))?;
    generated.save(folder.join("generated.png"))?;
    locked.save(folder.join("locked.png"))?;
    mask.save(folder.join("lock_mask.png"))?;
    println!("gains {gains:?}; pictures in {}", folder.display());
    Ok(())
}
