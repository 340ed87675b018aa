//! Several avatars and things in front of them, over one plate.

use crate::error::{Result, same_size};
use crate::render::Render;
use image::{GrayImage, RgbImage};
use rayon::prelude::*;

/// Something of the scene that stays in front of every avatar: a railing, a leaf, another person.
#[derive(Clone, Copy, Debug)]
pub struct Occluder<'a> {
    /// 255 where it hides what is behind it.
    pub matte: &'a GrayImage,
    /// Its own colour, not premultiplied; None takes the plate's, which already shows it.
    pub color: Option<&'a RgbImage>,
}

/// Lays avatars over the plate, the farthest first, and occluders over them in the order given.
///
/// Where all avatars come with depth, each pixel sorts them by it, so that they can pass through each other;
/// otherwise the list goes from far to near. Values are mixed in floats and rounded once; a pixel that no avatar
/// covers keeps the plate's bytes, unless an occluder with a colour of its own lies over it.
///
/// # Errors
/// When a size differs from the plate's.
pub fn composite_layers(
    plate: &RgbImage,
    avatars: &[Render<'_>],
    occluders: &[Occluder<'_>],
) -> Result<RgbImage> {
    let size = plate.dimensions();
    for avatar in avatars {
        same_size("an avatar's render", size, avatar.dimensions())?;
    }
    for occluder in occluders {
        same_size("an occluder's matte", size, occluder.matte.dimensions())?;
        if let Some(color) = occluder.color {
            same_size("an occluder's colour", size, color.dimensions())?;
        }
    }
    let by_depth = avatars.len() > 1 && avatars.iter().all(|a| a.depth().is_some());
    let mut out = plate.clone();
    let width = size.0 as usize;
    out.par_chunks_exact_mut((width * 3).max(1)).enumerate().for_each_init(
        || (0..avatars.len()).collect::<Vec<usize>>(),
        |order, (y, row)| {
            for (x, pixel) in row.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                let i = y * width + x;
                let covered = avatars.iter().any(|a| a.alpha()[i] > 0.0);
                let repainted = occluders.iter().any(|o| o.color.is_some() && o.matte.as_raw()[i] > 0);
                if !covered && !repainted {
                    continue;
                }
                if by_depth {
                    sort_far_to_near(order, avatars, i);
                }
                let plate = pixel.map(f32::from);
                let mut value = plate;
                for &k in order.iter() {
                    let (color, alpha) = (avatars[k].color_at(i), avatars[k].alpha()[i].clamp(0.0, 1.0));
                    if alpha > 0.0 {
                        value = std::array::from_fn(|c| color[c] * 255.0 + value[c] * (1.0 - alpha));
                    }
                }
                for occluder in occluders {
                    let m = f32::from(occluder.matte.as_raw()[i]) / 255.0;
                    let front = match occluder.color {
                        Some(color) => std::array::from_fn(|c| f32::from(color.as_raw()[3 * i + c])),
                        None => plate,
                    };
                    value = std::array::from_fn(|c| front[c] * m + value[c] * (1.0 - m));
                }
                *pixel = value.map(crate::blend::round_byte);
            }
        },
    );
    Ok(out)
}

fn sort_far_to_near(order: &mut [usize], avatars: &[Render<'_>], pixel: usize) {
    let depth = |k: usize| match avatars[k].depth() {
        Some(depth) if avatars[k].alpha()[pixel] > 0.0 => depth[pixel],
        _ => f32::INFINITY,
    };
    order.sort_by(|&a, &b| depth(b).total_cmp(&depth(a)).then(a.cmp(&b)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Layout;
    use image::{Luma, Rgb};

    const RED: [f32; 3] = [1.0, 0.0, 0.0];
    const BLUE: [f32; 3] = [0.0, 0.0, 1.0];

    #[test]
    fn depth_decides_pixel_by_pixel_and_else_the_list() {
        let plate = RgbImage::from_pixel(2, 1, Rgb([50; 3]));
        let (red, blue) = ([RED, RED].concat(), [BLUE, BLUE].concat());
        let alpha = [1.0; 2];
        let a = Render::new((2, 1), &red, Layout::Interleaved, &alpha).unwrap();
        let b = Render::new((2, 1), &blue, Layout::Interleaved, &alpha).unwrap();
        let out = composite_layers(&plate, &[a, b], &[]).unwrap();
        assert_eq!(out.as_raw(), &[0, 0, 255, 0, 0, 255]);
        let (near_far, far_near) = ([1.0, 3.0], [2.0, 2.0]);
        let (a, b) = (a.with_depth(&near_far).unwrap(), b.with_depth(&far_near).unwrap());
        let out = composite_layers(&plate, &[a, b], &[]).unwrap();
        assert_eq!(out.as_raw(), &[255, 0, 0, 0, 0, 255]);
    }

    #[test]
    fn occluders_stay_in_front() {
        let plate = RgbImage::from_pixel(3, 1, Rgb([50, 60, 70]));
        let red = [RED, RED, RED].concat();
        let avatar = Render::new((3, 1), &red, Layout::Interleaved, &[1.0; 3]).unwrap();
        let matte = GrayImage::from_fn(3, 1, |x, _| Luma([[0, 255, 51][x as usize]]));
        let occluder = Occluder { matte: &matte, color: None };
        let out = composite_layers(&plate, &[avatar], &[occluder]).unwrap();
        assert_eq!(out.as_raw(), &[255, 0, 0, 50, 60, 70, 214, 12, 14]);
        let green = RgbImage::from_pixel(3, 1, Rgb([0, 200, 0]));
        let occluder = Occluder { matte: &matte, color: Some(&green) };
        let out = composite_layers(&plate, &[], &[occluder]).unwrap();
        assert_eq!(out.as_raw(), &[50, 60, 70, 0, 200, 0, 40, 88, 56]);
    }

    #[test]
    fn one_layer_is_over() {
        let plate = RgbImage::from_fn(8, 4, |x, y| Rgb([(x * 31) as u8, (y * 60) as u8, 9]));
        let color: Vec<f32> = (0..96).map(|i| (i % 7) as f32 / 20.0).collect();
        let alpha: Vec<f32> = (0..32).map(|i| (i % 5) as f32 / 4.0).collect();
        let render = Render::new((8, 4), &color, Layout::Planar, &alpha).unwrap();
        assert_eq!(composite_layers(&plate, &[render], &[]).unwrap(), crate::over(&render, &plate).unwrap());
        assert!(composite_layers(&RgbImage::new(8, 5), &[render], &[]).is_err());
    }
}
