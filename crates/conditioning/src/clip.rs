//! The pictures that a window is conditioned on, in the order in which the models see them.

use crate::mask::{Planes, background_mask, latent_mask};
use crate::{Error, Result, Strides};
use bg_mask::{Scaling, to_planes};
use candle_core::{DType, Device, Tensor};
use image::RgbImage;

/// The reference picture and the frames behind it. The models' frame 0 is the reference picture's, so frame i of `blend` and
/// `mesh` is their frame i + 1: F = 1 + the number of frames.
///
/// The reference implementation takes F frames of each video and drops the last one to make room for the picture; whoever
/// has F frames leaves the last one out.
#[derive(Clone, Copy, Debug)]
pub struct Clip<'a> {
    reference: &'a RgbImage,
    blend: &'a [RgbImage],
    mesh: &'a [RgbImage],
    strides: Strides,
}

impl<'a> Clip<'a> {
    /// Pictures of one size: the character on white, the avatar over the background, the body on black.
    ///
    /// # Errors
    /// When there isn't a body for each avatar frame, the frames aren't whole latent frames, or a picture has another size
    /// than the reference or one that isn't whole latents.
    pub fn new(
        reference: &'a RgbImage,
        blend: &'a [RgbImage],
        mesh: &'a [RgbImage],
        strides: Strides,
    ) -> Result<Self> {
        let pixels = |(w, h): (u32, u32)| format!("{w}×{h} pixels");
        let size = reference.dimensions();
        for (name, frames) in [("avatar", blend), ("body", mesh)] {
            if let Some((i, frame)) = frames.iter().enumerate().find(|(_, f)| f.dimensions() != size) {
                return Err(Error::Clip {
                    what: format!("{name} frame {i}"),
                    expected: format!("{}, as the reference picture", pixels(size)),
                    got: pixels(frame.dimensions()),
                });
            }
        }
        let whole = |n: u32| n > 0 && (n as usize).is_multiple_of(strides.space);
        if !(whole(size.0) && whole(size.1)) {
            return Err(Error::Clip {
                what: "the reference picture".to_owned(),
                expected: format!("multiples of {}", strides.space),
                got: pixels(size),
            });
        }
        if blend.len() != mesh.len() || !blend.len().is_multiple_of(strides.time) {
            return Err(Error::Clip {
                what: "avatar and body frames behind the reference picture".to_owned(),
                expected: format!("as many of both, a multiple of {}", strides.time),
                got: format!("{} and {}", blend.len(), mesh.len()),
            });
        }
        Ok(Self { reference, blend, mesh, strides })
    }

    /// F, H, W.
    #[must_use]
    pub fn size(&self) -> [usize; 3] {
        let (w, h) = self.reference.dimensions();
        [1 + self.blend.len(), h as usize, w as usize]
    }

    /// The VAE's strides that the clip was cut for.
    #[must_use]
    pub fn strides(&self) -> Strides {
        self.strides
    }

    /// Reference picture and avatar frames, `[3, F, H, W]` in −1..1: what the VAE encodes.
    ///
    /// # Errors
    /// When the device fails.
    pub fn blend_frames(&self, device: &Device) -> Result<Tensor> {
        self.behind_the_reference(self.blend, device)
    }

    /// Reference picture and body frames, `[3, F, H, W]` in −1..1.
    ///
    /// # Errors
    /// When the device fails.
    pub fn mesh_frames(&self, device: &Device) -> Result<Tensor> {
        self.behind_the_reference(self.mesh, device)
    }

    fn behind_the_reference(&self, frames: &[RgbImage], device: &Device) -> Result<Tensor> {
        let [f, h, w] = self.size();
        let mut values = vec![0.0_f32; 3 * f * h * w];
        for (i, frame) in std::iter::once(self.reference).chain(frames).enumerate() {
            let planes = to_planes(frame, Scaling::FrameProcessNorm);
            for (channel, plane) in planes.chunks_exact(h * w).enumerate() {
                values[(channel * f + i) * h * w..][..h * w].copy_from_slice(plane);
            }
        }
        Ok(Tensor::from_vec(values, (3, f, h, w), &Device::Cpu)?.to_device(device)?)
    }

    /// 1 on the background, 0 on the body: `[F − 1, H, W]`, for the frames behind the reference picture.
    ///
    /// # Errors
    /// None that [`Clip::new`] let through.
    pub fn background(&self) -> Result<Planes> {
        background_mask(self.reference.dimensions(), self.mesh)
    }

    /// The background at the latents' resolution, blurred: `[F − 1, h, w]`.
    ///
    /// # Errors
    /// When the pictures are too small for the blur.
    pub fn latent_mask(&self) -> Result<Planes> {
        latent_mask(&self.background()?, self.strides)
    }

    /// What the two embedders read: for the avatar frames and for the body frames, `[1, 4, F + leading, H, W]` with the mask
    /// first, then red, green, blue. The reference picture's frame stands there `1 + leading` times, with a mask of ones.
    ///
    /// # Errors
    /// When the device fails.
    pub fn embedder_inputs(&self, device: &Device) -> Result<[Tensor; 2]> {
        let mask = self.embedder_mask(device)?;
        let leading = self.strides.leading();
        let input = |frames: Tensor| -> Result<Tensor> {
            let first = frames.narrow(1, 0, 1)?;
            let mut parts = vec![&first; leading];
            parts.push(&frames);
            Ok(Tensor::cat(&[&mask, &Tensor::cat(&parts, 1)?.unsqueeze(0)?], 1)?)
        };
        Ok([input(self.blend_frames(device)?)?, input(self.mesh_frames(device)?)?])
    }

    /// The embedders' mask alone, `[1, 1, F + leading, H, W]`.
    ///
    /// # Errors
    /// When the device fails.
    pub fn embedder_mask(&self, device: &Device) -> Result<Tensor> {
        let [f, h, w] = self.size();
        let first = Tensor::ones((1 + self.strides.leading(), h, w), DType::F32, device)?;
        let background = self.background()?;
        let mask = if background.frames > 0 {
            let rest = Tensor::from_vec(background.data, (f - 1, h, w), &Device::Cpu)?.to_device(device)?;
            Tensor::cat(&[first, rest], 0)?
        } else {
            first
        };
        Ok(mask.unsqueeze(0)?.unsqueeze(0)?)
    }
}
