//! The sizes of a frame on its way through the compositor, decided in one place.

use super::picture::{gray, gray_to_rgb, resized};
use crate::Result;
use crate::job::{Blend, Fit, Video};
use bg_mask::resample::Filter;
use image::{GrayImage, RgbImage};

/// How a frame is brought to the video's size. Everything is `[width, height]` in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Geometry {
    video: [u32; 2],
    fit: Fit,
    blend: Blend,
}

/// The sizes of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    /// At which the avatars are rendered.
    pub render: [u32; 2],
    /// At which plate, blend, body and mask come together.
    pub canvas: [u32; 2],
}

impl Geometry {
    /// The rule of a job's video over a background of a size: a video without a size of its own is as large as the
    /// background, but for an odd last column or row, which video can't have.
    pub(super) fn new(video: &Video, background: (u32, u32)) -> Self {
        let own = [video.width, video.height];
        let video_size = if own == [0, 0] { [background.0 / 2 * 2, background.1 / 2 * 2] } else { own };
        Self { video: video_size, fit: video.fit, blend: video.blend }
    }

    /// The video's size.
    pub(super) fn video(&self) -> (u32, u32) {
        (self.video[0], self.video[1])
    }

    /// The sizes of a frame that the motion's camera sees at `camera`.
    ///
    /// The reference renders at the camera's own size, and blends at that of the video. Where its blend isn't asked for, the
    /// render is stretched by the camera instead, which loses nothing. A frame that is cut or padded is composed as the
    /// camera sees it and changed afterwards, so that nothing is stretched.
    pub(super) fn sizes(&self, camera: [u32; 2]) -> Sizes {
        let canvas = match self.fit {
            Fit::Stretch => self.video,
            Fit::Crop | Fit::Pad => camera,
        };
        let render = match self.blend {
            Blend::Reference => camera,
            Blend::Over => canvas,
        };
        Sizes { render, canvas }
    }

    /// A picture of the canvas at the video's size.
    pub(super) fn fitted(&self, image: RgbImage) -> Result<RgbImage> {
        let (iw, ih) = image.dimensions();
        let [w, h] = self.video;
        if [iw, ih] == self.video {
            return Ok(image);
        }
        match self.fit {
            Fit::Stretch => resized(image, self.video),
            Fit::Crop => {
                let scale = f64::min(f64::from(iw) / f64::from(w), f64::from(ih) / f64::from(h));
                let (cw, ch) = ((f64::from(w) * scale).round() as u32, (f64::from(h) * scale).round() as u32);
                let (cw, ch) = (cw.clamp(1, iw), ch.clamp(1, ih));
                let cut = image::imageops::crop_imm(&image, (iw - cw) / 2, (ih - ch) / 2, cw, ch).to_image();
                Ok(bg_mask::resize(&cut, w, h, Filter::Lanczos)?)
            }
            Fit::Pad => Ok(bg_mask::pad_image_to_aspect_ratio(&image, w, h, image::Rgb([0; 3]))?),
        }
    }

    /// A mask of the canvas at the video's size.
    pub(super) fn fitted_mask(&self, mask: GrayImage) -> Result<GrayImage> {
        if mask.dimensions() == self.video() {
            return Ok(mask);
        }
        Ok(gray(&self.fitted(gray_to_rgb(&mask))?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(fit: Fit, blend: Blend) -> Sizes {
        let video = Video { width: 320, height: 192, fit, blend, ..Video::default() };
        Geometry::new(&video, (640, 480)).sizes([400, 300])
    }

    #[test]
    fn each_fit_and_blend_has_its_sizes() {
        let (video, camera) = ([320, 192], [400, 300]);
        let expected = |render, canvas| Sizes { render, canvas };
        assert_eq!(sizes(Fit::Stretch, Blend::Reference), expected(camera, video));
        assert_eq!(sizes(Fit::Stretch, Blend::Over), expected(video, video));
        for fit in [Fit::Crop, Fit::Pad] {
            for blend in [Blend::Reference, Blend::Over] {
                assert_eq!(sizes(fit, blend), expected(camera, camera));
            }
        }
    }

    #[test]
    fn a_video_without_a_size_takes_the_backgrounds() {
        let video = Video { width: 0, height: 0, ..Video::default() };
        assert_eq!(Geometry::new(&video, (641, 383)).video(), (640, 382));
    }

    #[test]
    fn frames_come_out_at_the_videos_size() {
        for fit in [Fit::Stretch, Fit::Crop, Fit::Pad] {
            let geometry = Geometry { video: [64, 32], fit, blend: Blend::Over };
            let frame = geometry.fitted(RgbImage::new(30, 30)).unwrap();
            let mask = geometry.fitted_mask(GrayImage::new(30, 30)).unwrap();
            assert_eq!((frame.dimensions(), mask.dimensions()), ((64, 32), (64, 32)), "{fit:?}");
        }
    }
}
