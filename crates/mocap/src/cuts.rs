//! Where one shot ends and another begins.

use crate::region::Region;
use image::RgbImage;

/// A mean change of the small picture above this is a cut, in bytes.
const CUT: f32 = 60.0;
/// So is one above this which is so many times the usual one.
const SUDDEN: (f32, f32) = (18.0, 4.0);
/// How fast the usual change follows.
const USUAL: f32 = 0.25;
/// Side of the small picture that cuts are found on.
const THUMB: usize = 32;

/// Finds cuts, frame after frame.
#[derive(Debug, Default)]
pub(crate) struct Cuts {
    thumb: Vec<f32>,
    /// The mean change from frame to frame of late.
    usual: Option<f32>,
}

impl Cuts {
    /// Does the next frame have nothing to do with the one before?
    pub(crate) fn is_cut(&mut self, picture: &RgbImage) -> bool {
        let thumb = Region::around(picture.width(), picture.height()).sample(picture, THUMB, 0.0, 255.0);
        // The square is black beside the picture.
        let (w, h) = (picture.width() as f32, picture.height() as f32);
        let part = w.min(h) / w.max(h);
        let sum = thumb.iter().zip(&self.thumb).map(|(a, b)| (a - b).abs()).sum::<f32>();
        let change = sum / (thumb.len() as f32 * part);
        let first = self.thumb.is_empty();
        self.thumb = thumb;
        if first {
            return false;
        }
        let sudden = self.usual.is_some_and(|usual| change > SUDDEN.0 && change > SUDDEN.1 * usual);
        let cut = change > CUT || sudden;
        if cut {
            self.usual = None;
        } else {
            let usual = self.usual.unwrap_or(change);
            self.usual = Some(usual + (change - usual) * USUAL);
        }
        cut
    }
}
