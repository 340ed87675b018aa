//! A soft contact shadow on the plate, under the places where a person touches the ground.
//!
//! Nothing is known of the scene's light here, so this is the shadow that every light leaves: darkest right under the
//! feet, gone after a few centimetres. It is meant to stop a composite from floating.

use crate::error::{Result, in_range};
use crate::mask::{Component, components};
use image::{GrayImage, RgbImage};

/// How dark and how wide the shadow is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ContactShadow {
    /// Share of the light that is gone in the middle, 0 to 1.
    pub strength: f32,
    /// Half-widths of the shadow for one half-width of the foot.
    pub spread: f32,
    /// Height of the shadow for one width of it: how flat the ground is seen.
    pub flatness: f32,
}

impl Default for ContactShadow {
    fn default() -> Self {
        Self { strength: 0.45, spread: 1.8, flatness: 0.28 }
    }
}

/// A place where something stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contact {
    /// Middle column in pixels.
    pub x: f32,
    /// Lowest row in pixels.
    pub y: f32,
    /// Half the width of what stands there, in pixels.
    pub half_width: f32,
}

/// Guesses the contacts from a person mask: the separate runs of the lowest 4 % of each piece that is at least
/// `min_area` pixels large. Where the ankles' positions are known, make [`Contact`]s of them instead: a jump has no
/// contact.
#[must_use]
pub fn contacts_of(mask: &GrayImage, min_area: usize) -> Vec<Contact> {
    let found = components(mask);
    let mut out = Vec::new();
    for (k, piece) in found.list.iter().enumerate().filter(|(_, c)| c.area >= min_area) {
        out.extend(feet(mask.width(), &found.labels, k as u32 + 1, piece));
    }
    out
}

fn feet(width: u32, labels: &[u32], label: u32, piece: &Component) -> Vec<Contact> {
    let band = ((piece.bottom - piece.top) / 25).max(1);
    let top = piece.bottom.saturating_sub(band);
    // The lowest row of each column within the band; a gap between columns separates two feet.
    let lowest = |x: u32| (top..=piece.bottom).rev().find(|y| labels[(*y * width + x) as usize] == label);
    let mut out = Vec::new();
    let mut run: Option<(u32, u32)> = None;
    for x in piece.left..=piece.right + 1 {
        let row = if x <= piece.right { lowest(x) } else { None };
        match (row, run) {
            (Some(y), None) => run = Some((x, y)),
            (Some(y), Some((start, low))) => run = Some((start, low.max(y))),
            (None, Some((start, low))) => {
                let half_width = (x - start) as f32 / 2.0;
                out.push(Contact { x: start as f32 + half_width - 0.5, y: low as f32, half_width });
                run = None;
            }
            (None, None) => {}
        }
    }
    out
}

/// Darkens the plate around the contacts. Pixels outside the ellipses stay as they are.
///
/// # Errors
/// When an option is out of range.
pub fn cast_contact_shadow(plate: &mut RgbImage, contacts: &[Contact], shadow: &ContactShadow) -> Result<()> {
    in_range("strength", shadow.strength, 0.0..=1.0, "0 to 1")?;
    in_range("spread", shadow.spread, 0.0..=100.0, "0 to 100")?;
    in_range("flatness", shadow.flatness, 0.01..=10.0, "0.01 to 10")?;
    let (width, height) = (plate.width() as i64, plate.height() as i64);
    for contact in contacts {
        let radius_x = contact.half_width * shadow.spread;
        let radius_y = radius_x * shadow.flatness;
        if !(contact.x.is_finite() && contact.y.is_finite() && radius_x > 0.0 && radius_x < 1e6) {
            continue;
        }
        let rows = (contact.y - radius_y).floor() as i64..=(contact.y + radius_y).ceil() as i64;
        for y in (*rows.start()).max(0)..(rows.end() + 1).min(height) {
            let v = (y as f32 - contact.y) / radius_y;
            let columns = (contact.x - radius_x).floor() as i64..=(contact.x + radius_x).ceil() as i64;
            for x in (*columns.start()).max(0)..(columns.end() + 1).min(width) {
                let u = (x as f32 - contact.x) / radius_x;
                let inside = 1.0 - u * u - v * v;
                if inside > 0.0 {
                    let left = 1.0 - shadow.strength * inside * inside;
                    let pixel = plate.get_pixel_mut(x as u32, y as u32);
                    pixel.0 = pixel.0.map(|byte| crate::blend::round_byte(f32::from(byte) * left));
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{Luma, Rgb};

    fn walker() -> GrayImage {
        // A body from row 10 to 89 on two legs that end at rows 99 and 97.
        GrayImage::from_fn(100, 120, |x, y| {
            let body = (30..60).contains(&x) && (10..90).contains(&y);
            let left = (30..38).contains(&x) && (90..100).contains(&y);
            let right = (50..60).contains(&x) && (90..98).contains(&y);
            Luma([if body || left || right { 255 } else { 0 }])
        })
    }

    #[test]
    fn two_feet_are_found() {
        let contacts = contacts_of(&walker(), 100);
        assert_eq!(
            contacts,
            [Contact { x: 33.5, y: 99.0, half_width: 4.0 }, Contact { x: 54.5, y: 97.0, half_width: 5.0 },]
        );
        assert!(contacts_of(&walker(), 1_000_000).is_empty());
        assert!(contacts_of(&GrayImage::new(0, 0), 0).is_empty());
    }

    #[test]
    fn the_shadow_is_local_and_darkest_under_the_foot() {
        let plate = RgbImage::from_pixel(100, 120, Rgb([200; 3]));
        let mut shaded = plate.clone();
        cast_contact_shadow(&mut shaded, &contacts_of(&walker(), 100), &ContactShadow::default()).unwrap();
        // Half a pixel from the middle, 45 % of the light is as good as gone.
        assert_eq!(shaded.get_pixel(34, 99), &Rgb([111; 3]));
        assert!(shaded.get_pixel(38, 99)[0] > 111 && shaded.get_pixel(38, 99)[0] < 200);
        assert_eq!(shaded.get_pixel(34, 80), plate.get_pixel(34, 80));
        let off = ContactShadow { strength: 0.0, ..ContactShadow::default() };
        let mut same = plate.clone();
        cast_contact_shadow(&mut same, &contacts_of(&walker(), 100), &off).unwrap();
        assert_eq!(same, plate);
    }

    #[test]
    fn wild_contacts_and_options() {
        let mut plate = RgbImage::from_pixel(4, 4, Rgb([9; 3]));
        let contact = |x, y, half_width| Contact { x, y, half_width };
        let wild = [
            contact(f32::NAN, 0.0, 1.0),
            contact(0.0, f32::INFINITY, 1.0),
            contact(-1e9, 0.0, 1.0),
            contact(1.0, 1.0, 1e30),
            contact(1.0, 1.0, -1.0),
        ];
        cast_contact_shadow(&mut plate, &wild, &ContactShadow::default()).unwrap();
        assert!(plate.iter().all(|&x| x == 9));
        let bad = ContactShadow { strength: f32::NAN, ..ContactShadow::default() };
        assert!(cast_contact_shadow(&mut plate, &[], &bad).is_err());
    }
}
