//! Person masks: where they come from, and the pieces they are made of.

use crate::distance::THRESHOLD;
use crate::error::{Error, Result};
use crate::render::Render;
use image::{GrayImage, RgbImage};

/// Is this pixel of a body rendered on black background? The reference asks that every channel of the picture scaled to −1..1
/// be at most −0.99, which in bytes is at most 1.
#[must_use]
pub fn is_background(mesh_pixel: [u8; 3]) -> bool {
    mesh_pixel.iter().all(|&x| x <= 1)
}

/// 255 where a mesh rendered on black shows the body, 0 on the background; the same test as the model's masks.
#[must_use]
pub fn person_mask(mesh: &RgbImage) -> GrayImage {
    let mut out = GrayImage::new(mesh.width(), mesh.height());
    for (out, &pixel) in out.iter_mut().zip(mesh.as_raw().as_chunks::<3>().0) {
        *out = if is_background(pixel) { 0 } else { 255 };
    }
    out
}

/// A render's alpha as bytes, rounded to nearest.
#[must_use]
pub fn alpha_mask(render: &Render<'_>) -> GrayImage {
    let (width, height) = render.dimensions();
    let mut out = GrayImage::new(width, height);
    for (out, &alpha) in out.iter_mut().zip(render.alpha()) {
        *out = crate::blend::round_byte(alpha.clamp(0.0, 1.0) * 255.0);
    }
    out
}

/// The larger of two masks, pixel by pixel.
///
/// # Errors
/// When the sizes differ.
pub fn union(a: &GrayImage, b: &GrayImage) -> Result<GrayImage> {
    crate::error::same_size("the second mask", a.dimensions(), b.dimensions())?;
    let mut out = a.clone();
    for (out, &b) in out.iter_mut().zip(b.as_raw()) {
        *out = (*out).max(b);
    }
    Ok(out)
}

/// One connected piece of a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Component {
    /// Number of pixels.
    pub area: usize,
    /// Leftmost column.
    pub left: u32,
    /// Topmost row.
    pub top: u32,
    /// Rightmost column, inclusive.
    pub right: u32,
    /// Bottommost row, inclusive.
    pub bottom: u32,
}

/// The pieces of a mask and which pixel belongs to which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Components {
    /// Every piece, in order of its first pixel.
    pub list: Vec<Component>,
    /// For each pixel 0 (outside) or 1 + the index of its piece, `[H, W]`.
    pub labels: Vec<u32>,
}

/// Finds the pieces of a mask; pixels that touch at a corner belong together.
#[must_use]
pub fn components(mask: &GrayImage) -> Components {
    label(mask, |byte| byte >= THRESHOLD, Neighbours::Eight)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Neighbours {
    Four,
    Eight,
}

fn label(mask: &GrayImage, belongs: impl Fn(u8) -> bool, neighbours: Neighbours) -> Components {
    let (width, height) = (mask.width() as usize, mask.height() as usize);
    let bytes = mask.as_raw();
    let mut labels = vec![0_u32; bytes.len()];
    let mut list: Vec<Component> = Vec::new();
    let mut stack = Vec::new();
    for first in 0..bytes.len() {
        if labels[first] != 0 || !belongs(bytes[first]) {
            continue;
        }
        let number = list.len() as u32 + 1;
        let (x, y) = ((first % width) as u32, (first / width) as u32);
        let mut found = Component { area: 0, left: x, top: y, right: x, bottom: y };
        labels[first] = number;
        stack.push(first);
        while let Some(i) = stack.pop() {
            let (x, y) = (i % width, i / width);
            found.area += 1;
            found.left = found.left.min(x as u32);
            found.right = found.right.max(x as u32);
            found.bottom = found.bottom.max(y as u32);
            for v in y.saturating_sub(1)..(y + 2).min(height) {
                for u in x.saturating_sub(1)..(x + 2).min(width) {
                    let j = v * width + u;
                    let near = neighbours == Neighbours::Eight || u == x || v == y;
                    if near && labels[j] == 0 && belongs(bytes[j]) {
                        labels[j] = number;
                        stack.push(j);
                    }
                }
            }
        }
        list.push(found);
    }
    Components { list, labels }
}

/// Keeps the pieces that `keep` picks; bytes of kept pixels stay as they are, all others become 0.
#[must_use]
pub fn keep_components(mask: &GrayImage, keep: impl Fn(&Component) -> bool) -> GrayImage {
    let found = components(mask);
    let kept: Vec<bool> = std::iter::once(false).chain(found.list.iter().map(keep)).collect();
    let mut out = mask.clone();
    for (out, &label) in out.iter_mut().zip(&found.labels) {
        if !kept[label as usize] {
            *out = 0;
        }
    }
    out
}

/// Keeps the `n` largest pieces: the people, without the specks.
#[must_use]
pub fn largest_components(mask: &GrayImage, n: usize) -> GrayImage {
    let found = components(mask);
    let mut order: Vec<usize> = (0..found.list.len()).collect();
    // Equal areas: the one found first wins, so the result doesn't depend on the sort.
    order.sort_by_key(|&i| (std::cmp::Reverse(found.list[i].area), i));
    let mut kept = vec![false; found.list.len() + 1];
    for i in order.into_iter().take(n) {
        kept[i + 1] = true;
    }
    let mut out = mask.clone();
    for (out, &label) in out.iter_mut().zip(&found.labels) {
        if !kept[label as usize] {
            *out = 0;
        }
    }
    out
}

/// Fills holes of at most `max_area` pixels that don't touch the border.
#[must_use]
pub fn fill_holes(mask: &GrayImage, max_area: usize) -> GrayImage {
    let holes = label(mask, |byte| byte < THRESHOLD, Neighbours::Four);
    let (right, bottom) = (mask.width().saturating_sub(1), mask.height().saturating_sub(1));
    let inner =
        |c: &Component| c.area <= max_area && c.left > 0 && c.top > 0 && c.right < right && c.bottom < bottom;
    let filled: Vec<bool> = std::iter::once(false).chain(holes.list.iter().map(inner)).collect();
    let mut out = mask.clone();
    for (out, &label) in out.iter_mut().zip(&holes.labels) {
        if filled[label as usize] {
            *out = 255;
        }
    }
    out
}

/// A mask with room for the shadow at the person's feet: every piece is joined by an ellipse around its lowest tenth, as wide
/// as `share` of the piece's height to each side and a third as high. A `share` of 0 is a copy.
#[must_use]
pub fn with_shadow(mask: &GrayImage, share: f32) -> GrayImage {
    let mut out = mask.clone();
    if !(share > 0.0) {
        return out;
    }
    for piece in components(mask).list {
        let height = (piece.bottom - piece.top + 1) as f32;
        let middle = (piece.left + piece.right) as f32 / 2.0;
        let across = (piece.right - piece.left) as f32 / 2.0 + share * height;
        let (low, down) = (piece.bottom as f32 - height * 0.03, (share * height / 3.0).max(1.0));
        for (x, y, byte) in out.enumerate_pixels_mut() {
            let (u, v) = ((x as f32 - middle) / across.max(1.0), (y as f32 - low) / down);
            if u * u + v * v <= 1.0 {
                byte.0 = [255];
            }
        }
    }
    out
}

/// Makes a mask from bytes.
///
/// # Errors
/// When the number of bytes isn't `width * height`.
pub fn mask_from_bytes(width: u32, height: u32, bytes: Vec<u8>) -> Result<GrayImage> {
    let got = bytes.len();
    let expected = width as usize * height as usize;
    if got != expected {
        return Err(Error::Length { what: "the mask", expected, got });
    }
    GrayImage::from_raw(width, height, bytes).ok_or(Error::TooLarge { what: "the mask", width, height })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(rows: &[&str]) -> GrayImage {
        let bytes = rows.iter().flat_map(|r| r.bytes().map(|b| if b == b'#' { 255 } else { 0 })).collect();
        mask_from_bytes(rows[0].len() as u32, rows.len() as u32, bytes).unwrap()
    }

    #[test]
    fn pieces_touch_at_corners() {
        let mask = drawn(&["##...", "..#..", ".....", "....#"]);
        let found = components(&mask);
        assert_eq!(
            found.list,
            [
                Component { area: 3, left: 0, top: 0, right: 2, bottom: 1 },
                Component { area: 1, left: 4, top: 3, right: 4, bottom: 3 },
            ]
        );
        assert_eq!(largest_components(&mask, 1), drawn(&["##...", "..#..", ".....", "....."]));
        assert_eq!(keep_components(&mask, |c| c.area < 2), drawn(&[".....", ".....", ".....", "....#"]));
        assert_eq!(largest_components(&mask, 9), mask);
    }

    #[test]
    fn holes_are_filled_but_not_bays() {
        let mask = drawn(&["#####.", "#.#.#.", "###.#.", "#..##.", "####.."]);
        // The bay at the right opens to the border through a corner only for eight neighbours, so it is a hole here.
        assert_eq!(fill_holes(&mask, 1), drawn(&["#####.", "###.#.", "###.#.", "#..##.", "####.."]));
        assert_eq!(fill_holes(&mask, 2), drawn(&["#####.", "#####.", "#####.", "#####.", "####.."]));
    }

    #[test]
    fn a_shadow_lies_at_the_feet() {
        let mask = GrayImage::from_fn(60, 50, |x, y| {
            image::Luma([if (25..35).contains(&x) && y < 40 { 255 } else { 0 }])
        });
        assert_eq!(with_shadow(&mask, 0.0), mask);
        let wider = with_shadow(&mask, 0.4);
        let at = |x, y| wider.get_pixel(x, y)[0];
        assert_eq!((at(16, 39), at(30, 42), at(16, 20), at(30, 49)), (255, 255, 0, 0));
    }

    #[test]
    fn body_pixels_are_those_above_one() {
        let mesh = RgbImage::from_raw(3, 1, vec![0, 1, 1, 2, 0, 0, 0, 0, 90]).unwrap();
        assert_eq!(person_mask(&mesh).as_raw(), &[0, 255, 255]);
        assert!(person_mask(&RgbImage::new(0, 0)).is_empty());
        assert!(components(&GrayImage::new(0, 3)).list.is_empty());
    }
}
