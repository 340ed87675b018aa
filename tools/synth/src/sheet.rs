//! Contact sheets: rows of clips for looking.

use crate::clip::Clip;
use crate::layout::{FRAMES, Part, SIZE};
use image::{Rgb, RgbImage, imageops};

/// What a sheet shows of each clip.
#[derive(Clone, Debug)]
pub struct Sheet {
    /// Parts after the reference, a block of columns each; shadows are shown in gray.
    pub parts: Vec<Part>,
    /// Frames of each part.
    pub frames: Vec<usize>,
    /// Pixels a pixel.
    pub zoom: u32,
}

impl Default for Sheet {
    fn default() -> Self {
        Self {
            parts: vec![Part::Blend, Part::Mesh, Part::Target, Part::Plate],
            frames: vec![0, FRAMES / 2, FRAMES - 1],
            zoom: 1,
        }
    }
}

impl Sheet {
    /// One row for each clip: the reference, then the parts. Frames that don't exist are left out.
    #[must_use]
    pub fn draw(&self, clips: &[Clip]) -> RgbImage {
        let [h, w] = SIZE.map(|n| n as u32);
        let gap = 4;
        let frames: Vec<usize> = self.frames.iter().copied().filter(|f| *f < FRAMES).collect();
        let columns = 1 + (self.parts.len() * frames.len()) as u32;
        let mut out =
            RgbImage::from_pixel(columns * (w + gap) - gap, clips.len() as u32 * (h + gap), Rgb([128; 3]));
        for (row, clip) in clips.iter().enumerate() {
            let mut column = 0;
            let mut show = |bytes: &[u8]| {
                let (x0, y0) = (column * (w + gap), row as u32 * (h + gap));
                let channels = bytes.len() / (SIZE[0] * SIZE[1]);
                for (i, p) in bytes.chunks_exact(channels.max(1)).enumerate() {
                    let pixel = if channels == 3 { Rgb([p[0], p[1], p[2]]) } else { Rgb([p[0]; 3]) };
                    out.put_pixel(x0 + i as u32 % w, y0 + i as u32 / w, pixel);
                }
                column += 1;
            };
            show(clip.part(Part::Reference));
            for part in self.parts.iter().filter(|p| **p != Part::Reference) {
                let n = part.bytes() / FRAMES;
                for frame in &frames {
                    show(&clip.part(*part)[frame * n..(frame + 1) * n]);
                }
            }
        }
        if self.zoom < 2 {
            return out;
        }
        let (w, h) = (out.width() * self.zoom, out.height() * self.zoom);
        imageops::resize(&out, w, h, imageops::FilterType::CatmullRom)
    }
}
