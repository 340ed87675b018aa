//! Streaming: chunks in, results out, with the feature cache in between. A whole pass is a stream that got everything.

use crate::block::{Cache, Pass};
use crate::model::Vae;
use crate::{Error, Observer, Result};
use candle_core::{DType, Tensor};
use nn::ProbeAt;
use nn::conv3d::{Frames, Read, Window, Workspace};

/// Encodes a video whose frames come bit by bit.
///
/// Memory doesn't grow with the number of frames.
#[derive(Debug)]
pub struct EncodeStream<'a> {
    vae: &'a Vae,
    workspace: Workspace,
    cache: Cache,
    /// Frames that don't fill a chunk yet, `[3, T, H, W]`.
    pending: Option<Tensor>,
    started: bool,
}

impl<'a> EncodeStream<'a> {
    pub(crate) fn new(vae: &'a Vae) -> Result<Self> {
        vae.encoder()?;
        let workspace = vae.workspace();
        Ok(Self { vae, workspace, cache: Cache::default(), pending: None, started: false })
    }

    /// Takes any number of frames `[3, T, H, W]`; gives the latents `[z_dim, T', H', W']` of the chunks they
    /// completed, `None` if there were none.
    ///
    /// # Errors
    /// When the shape doesn't fit (all calls need the same H and W), or a tensor operation fails.
    pub fn push(&mut self, frames: &Tensor) -> Result<Option<Tensor>> {
        self.push_observed(frames, &mut ())
    }

    /// Frames that wait for the rest of their chunk. They are lost when the stream ends, as in the reference.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.as_ref().map_or(0, |p| p.dims()[1])
    }

    /// Most bytes of feature maps so far (CPU kernels only).
    #[must_use]
    pub fn peak_bytes(&self) -> usize {
        self.workspace.peak_bytes()
    }

    pub(crate) fn push_observed(
        &mut self,
        frames: &Tensor,
        observer: &mut dyn Observer,
    ) -> Result<Option<Tensor>> {
        let wrong = || Error::Shape {
            what: "frames",
            expected: "[3, T, H, W] with at least one frame, H and W as before".to_owned(),
            got: frames.dims().to_vec(),
        };
        let &[3, t, h, w] = frames.dims() else { return Err(wrong()) };
        if t * h * w == 0 || self.pending.as_ref().is_some_and(|p| p.dims()[2..] != [h, w]) {
            return Err(wrong());
        }
        self.vae.check_size(h, w)?;
        let mut rest = match self.pending.take() {
            None => frames.to_dtype(DType::F32)?,
            Some(pending) => Tensor::cat(&[pending, frames.to_dtype(DType::F32)?], 1)?,
        };
        let mut latents = Vec::new();
        loop {
            let n = if self.started { self.vae.config().temporal_factor() } else { 1 };
            let t = rest.dims()[1];
            if t < n {
                break;
            }
            latents.push(self.chunk(&rest.narrow(1, 0, n)?, observer)?);
            self.started = true;
            if t == n {
                return Ok(Some(Tensor::cat(&latents, 1)?));
            }
            rest = rest.narrow(1, n, t - n)?;
        }
        self.pending = Some(rest.force_contiguous()?);
        if latents.is_empty() { Ok(None) } else { Ok(Some(Tensor::cat(&latents, 1)?)) }
    }

    fn chunk(&mut self, frames: &Tensor, observer: &mut dyn Observer) -> Result<Tensor> {
        let encoder = self.vae.encoder()?;
        let x = Frames::from_tensor(&self.workspace, &frames.to_device(self.vae.device())?)?;
        let mut pass = Pass {
            workspace: &self.workspace,
            cache: &mut self.cache,
            probe: ProbeAt::root(observer.probe()),
        };
        let x = encoder.network.forward(&mut pass, &x)?;
        let moments = encoder.conv1.apply(&self.workspace, Window::of(&x), Read::PLAIN, None)?;
        pass.show("moments", &moments)?;
        let mu = moments.to_tensor()?.narrow(0, 0, self.vae.config().z_dim)?;
        self.vae.stats.normalise(&mu)
    }
}

/// Decodes latents that come bit by bit.
///
/// Memory doesn't grow with the number of frames.
#[derive(Debug)]
pub struct DecodeStream<'a> {
    vae: &'a Vae,
    workspace: Workspace,
    cache: Cache,
}

impl<'a> DecodeStream<'a> {
    pub(crate) fn new(vae: &'a Vae) -> Result<Self> {
        vae.decoder()?;
        Ok(Self { vae, workspace: vae.workspace(), cache: Cache::default() })
    }

    /// Takes any number of latent frames `[z_dim, T', H', W']`; gives their frames `[3, T, H, W]` in -1 to 1: one for the
    /// very first latent frame, a whole chunk for each later one.
    ///
    /// # Errors
    /// When the shape doesn't fit (all calls need the same H' and W'), or a tensor operation fails.
    pub fn push(&mut self, latents: &Tensor) -> Result<Tensor> {
        self.push_observed(latents, &mut ())
    }

    /// Most bytes of feature maps so far (CPU kernels only).
    #[must_use]
    pub fn peak_bytes(&self) -> usize {
        self.workspace.peak_bytes()
    }

    pub(crate) fn push_observed(&mut self, latents: &Tensor, observer: &mut dyn Observer) -> Result<Tensor> {
        Ok(self.push_unclamped(latents, observer)?.clamp(-1_f32, 1_f32)?)
    }

    /// Values outside -1 to 1 stay: seams of tiles are blended before clamping.
    pub(crate) fn push_unclamped(&mut self, latents: &Tensor, observer: &mut dyn Observer) -> Result<Tensor> {
        let z = self.vae.config().z_dim;
        let t = match *latents.dims() {
            [c, t, h, w] if c == z && t * h * w > 0 => t,
            _ => {
                return Err(Error::Shape {
                    what: "latents",
                    expected: format!("[{z}, T, H, W] with at least one frame"),
                    got: latents.dims().to_vec(),
                });
            }
        };
        let decoder = self.vae.decoder()?;
        let mut frames = Vec::with_capacity(t);
        for k in 0..t {
            let x = latents.narrow(1, k, 1)?.to_device(self.vae.device())?;
            let x = Frames::from_tensor(&self.workspace, &self.vae.stats.restore(&x)?)?;
            let mut pass = Pass {
                workspace: &self.workspace,
                cache: &mut self.cache,
                probe: ProbeAt::root(observer.probe()),
            };
            let x = decoder.conv2.apply(&self.workspace, Window::of(&x), Read::PLAIN, None)?;
            pass.show("conv2", &x)?;
            let x = decoder.network.forward(&mut pass, &x)?;
            frames.push(x.to_tensor()?.to_dtype(DType::F32)?);
        }
        Ok(Tensor::cat(&frames, 1)?)
    }
}
