//! The autoencoder: loading, whole passes.

use crate::block::pointwise;
use crate::network::Network;
use crate::stats::LatentStats;
use crate::stream::{DecodeStream, EncodeStream};
use crate::{Config, Error, Observer, Result};
use candle_core::{DType, Device, Tensor};
use nn::Weights;
use nn::conv3d::{Conv3d, Storage, Workspace};
use std::ops::ControlFlow;

/// Which implementation the layers take, and how feature maps are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// CPU kernels in main memory, candle's operations on other devices and where weights are variables; feature maps
    /// in bf16 if the weights are.
    #[default]
    Auto,
    /// As [`Backend::Auto`], but feature maps in f32 whatever the weights are.
    Exact,
}

/// The halves of the autoencoder that are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Halves {
    /// Encoder and decoder.
    #[default]
    Both,
    /// For encoding only.
    Encoder,
    /// For decoding only.
    Decoder,
}

/// Pixels to latents.
#[derive(Debug)]
pub(crate) struct Encoder {
    pub(crate) network: Network,
    pub(crate) conv1: Conv3d,
}

/// Latents to pixels.
#[derive(Debug)]
pub(crate) struct Decoder {
    pub(crate) network: Network,
    pub(crate) conv2: Conv3d,
}

/// The Wan causal 3-D autoencoder.
///
/// Videos are `[B, 3, T, H, W]` in -1 to 1, latents `[B, z_dim, T', H', W']`, normalised by channel. Frame 0
/// stands alone, later frames go in chunks (4 for Wan 2.1): T' = 1 + (T - 1) / 4; frames of an incomplete last chunk
/// are dropped, as in the reference.
#[derive(Debug)]
pub struct Vae {
    config: Config,
    encoder: Option<Encoder>,
    decoder: Option<Decoder>,
    pub(crate) stats: LatentStats,
    storage: Storage,
    device: Device,
}

impl Vae {
    /// Loads both halves; keys as in `Wan2.1_VAE.pth`.
    ///
    /// # Errors
    /// When the config is inconsistent, or a tensor is missing or has another shape.
    pub fn load(config: &Config, weights: &Weights) -> Result<Self> {
        Self::load_with(config, weights, Halves::Both, Backend::Auto)
    }

    /// Loads what is wanted.
    ///
    /// # Errors
    /// When the config is inconsistent, or a tensor is missing or has another shape.
    pub fn load_with(config: &Config, weights: &Weights, halves: Halves, backend: Backend) -> Result<Self> {
        config.validate()?;
        let z = config.z_dim;
        let encoder = match halves {
            Halves::Decoder => None,
            Halves::Both | Halves::Encoder => Some(Encoder {
                network: Network::encoder(config, &weights.pp("encoder"))?,
                conv1: pointwise(&weights.pp("conv1"), 2 * z, 2 * z)?,
            }),
        };
        let decoder = match halves {
            Halves::Encoder => None,
            Halves::Both | Halves::Decoder => Some(Decoder {
                network: Network::decoder(config, &weights.pp("decoder"))?,
                conv2: pointwise(&weights.pp("conv2"), z, z)?,
            }),
        };
        let layer = encoder.as_ref().map(|e| &e.conv1).or(decoder.as_ref().map(|d| &d.conv2));
        let half = weights.dtype() == DType::BF16 && backend == Backend::Auto;
        let storage = match (layer.is_some_and(Conv3d::on_kernels), half) {
            (false, _) => Storage::Tensor,
            (true, false) => Storage::F32,
            (true, true) => Storage::Bf16,
        };
        let stats = LatentStats::new(config, weights.dtype(), weights.device())?;
        Ok(Self {
            config: config.clone(),
            encoder,
            decoder,
            stats,
            storage,
            device: weights.device().clone(),
        })
    }

    /// What it was loaded with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Bytes of the loaded weights, as packed.
    #[must_use]
    pub fn weight_bytes(&self) -> usize {
        let encoder = self.encoder.iter().flat_map(|e| e.network.convs().chain([&e.conv1]));
        let decoder = self.decoder.iter().flat_map(|d| d.network.convs().chain([&d.conv2]));
        encoder.chain(decoder).map(Conv3d::weight_bytes).sum()
    }

    /// What feature maps are made of between the layers.
    #[must_use]
    pub fn storage(&self) -> Storage {
        self.storage
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    pub(crate) fn workspace(&self) -> Workspace {
        Workspace::new(self.storage)
    }

    pub(crate) fn encoder(&self) -> Result<&Encoder> {
        self.encoder.as_ref().ok_or_else(|| Error::Config("the encoder wasn't loaded".to_owned()))
    }

    pub(crate) fn decoder(&self) -> Result<&Decoder> {
        self.decoder.as_ref().ok_or_else(|| Error::Config("the decoder wasn't loaded".to_owned()))
    }

    /// Encodes `video` `[B, 3, T, H, W]` to latents `[B, z_dim, T', H', W']` (f32), the normalised mean.
    ///
    /// # Errors
    /// When the shape doesn't fit, the observer cancels, or a tensor operation fails.
    pub fn encode(&self, video: &Tensor, observer: &mut dyn Observer) -> Result<Tensor> {
        let (b, t) = self.check_video(video)?;
        let chunks = self.config.latent_frames(t);
        let mut progress = Progress::new(b * chunks, observer)?;
        let mut clips = Vec::with_capacity(b);
        for i in 0..b {
            clips.push(self.encode_clip(&video.get(i)?, observer, &mut progress)?);
        }
        Ok(Tensor::stack(&clips, 0)?)
    }

    /// Decodes latents `[B, z_dim, T', H', W']` to a video `[B, 3, T, H, W]` (f32) in -1 to 1.
    ///
    /// # Errors
    /// When the shape doesn't fit, the observer cancels, or a tensor operation fails.
    pub fn decode(&self, latents: &Tensor, observer: &mut dyn Observer) -> Result<Tensor> {
        let (b, t) = self.check_latents(latents)?;
        let mut progress = Progress::new(b * t, observer)?;
        let mut clips = Vec::with_capacity(b);
        for i in 0..b {
            clips.push(self.decode_clip(&latents.get(i)?, observer, &mut progress)?);
        }
        Ok(Tensor::stack(&clips, 0)?)
    }

    /// Encodes chunk by chunk: see [`EncodeStream`].
    ///
    /// # Errors
    /// When the encoder wasn't loaded.
    pub fn encode_stream(&self) -> Result<EncodeStream<'_>> {
        EncodeStream::new(self)
    }

    /// Decodes latent frame by latent frame: see [`DecodeStream`].
    ///
    /// # Errors
    /// When the decoder wasn't loaded.
    pub fn decode_stream(&self) -> Result<DecodeStream<'_>> {
        DecodeStream::new(self)
    }

    /// One clip `[3, T, H, W]`, a chunk at a time.
    pub(crate) fn encode_clip(
        &self,
        video: &Tensor,
        observer: &mut dyn Observer,
        progress: &mut Progress,
    ) -> Result<Tensor> {
        let factor = self.config.temporal_factor();
        let mut stream = self.encode_stream()?;
        let mut parts = Vec::new();
        for k in 0..self.config.latent_frames(video.dims()[1]) {
            let (start, n) = if k == 0 { (0, 1) } else { (1 + (k - 1) * factor, factor) };
            parts.extend(stream.push_observed(&video.narrow(1, start, n)?, observer)?);
            progress.step(observer)?;
        }
        Ok(Tensor::cat(&parts, 1)?)
    }

    /// One clip `[z_dim, T', H', W']`, a latent frame at a time.
    fn decode_clip(
        &self,
        z: &Tensor,
        observer: &mut dyn Observer,
        progress: &mut Progress,
    ) -> Result<Tensor> {
        Ok(self.decode_clip_unclamped(z, observer, progress)?.clamp(-1_f32, 1_f32)?)
    }

    pub(crate) fn decode_clip_unclamped(
        &self,
        latents: &Tensor,
        observer: &mut dyn Observer,
        progress: &mut Progress,
    ) -> Result<Tensor> {
        let mut stream = self.decode_stream()?;
        let mut parts = Vec::new();
        for k in 0..latents.dims()[1] {
            parts.push(stream.push_unclamped(&latents.narrow(1, k, 1)?, observer)?);
            progress.step(observer)?;
        }
        Ok(Tensor::cat(&parts, 1)?)
    }

    /// B and T of a video that can be encoded.
    pub(crate) fn check_video(&self, video: &Tensor) -> Result<(usize, usize)> {
        let wrong = || Error::Shape {
            what: "video",
            expected: "[B, 3, T, H, W] with at least one frame".to_owned(),
            got: video.dims().to_vec(),
        };
        let &[b, 3, t, height, width] = video.dims() else { return Err(wrong()) };
        if b * t * height * width == 0 {
            return Err(wrong());
        }
        self.check_size(height, width)?;
        Ok((b, t))
    }

    pub(crate) fn check_size(&self, height: usize, width: usize) -> Result<()> {
        let factor = self.config.spatial_factor();
        if height.is_multiple_of(factor) && width.is_multiple_of(factor) {
            Ok(())
        } else {
            Err(Error::Size { height, width, factor })
        }
    }

    /// B and T' of latents that can be decoded.
    pub(crate) fn check_latents(&self, latents: &Tensor) -> Result<(usize, usize)> {
        match *latents.dims() {
            [b, z, t, h, w] if z == self.config.z_dim && b * t * h * w > 0 => Ok((b, t)),
            _ => Err(Error::Shape {
                what: "latents",
                expected: format!("[B, {}, T, H, W] with at least one frame", self.config.z_dim),
                got: latents.dims().to_vec(),
            }),
        }
    }
}

/// Counts chunks and asks the observer after each.
pub(crate) struct Progress {
    done: usize,
    of: usize,
}

impl Progress {
    pub(crate) fn new(of: usize, observer: &mut dyn Observer) -> Result<Self> {
        let progress = Self { done: 0, of };
        progress.ask(observer)?;
        Ok(progress)
    }

    pub(crate) fn step(&mut self, observer: &mut dyn Observer) -> Result<()> {
        self.done += 1;
        self.ask(observer)
    }

    fn ask(&self, observer: &mut dyn Observer) -> Result<()> {
        match observer.progress(self.done, self.of) {
            ControlFlow::Continue(()) => Ok(()),
            // Everything is done already: nothing left to cancel.
            ControlFlow::Break(()) if self.done == self.of => Ok(()),
            ControlFlow::Break(()) => Err(Error::Cancelled { done: self.done, of: self.of }),
        }
    }
}
