//! The feature map of one video.

use super::workspace::{Buffer, Storage, Values, Workspace};
use crate::slices;
use candle_core::{Device, Result, Tensor, bail};
use half::bf16;
use kernels::conv::Frame;
use std::sync::Arc;

/// T frames of C channels and H×W pixels. Cloning shares the memory.
#[derive(Clone, Debug)]
pub struct Frames {
    data: Data,
    size: [usize; 3],
}

#[derive(Clone, Debug)]
pub(crate) enum Data {
    /// One buffer `[H, W, C]` for each frame.
    Buffers(Vec<Arc<Buffer>>),
    /// `[T, C, H, W]`
    Tensor(Tensor),
}

impl Frames {
    /// Takes the frames of `x` `[C, T, H, W]`.
    ///
    /// # Errors
    /// When it has another rank or no elements, or for buffers isn't f32 in main memory.
    pub fn from_tensor(workspace: &Workspace, x: &Tensor) -> Result<Self> {
        let (c, t, h, w) = x.dims4()?;
        if c * t * h * w == 0 {
            bail!("a video of {t} frames of {h}×{w} pixels with {c} channels");
        }
        if workspace.storage() == Storage::Tensor {
            return Ok(Self { data: Data::Tensor(x.transpose(0, 1)?.contiguous()?), size: [c, h, w] });
        }
        let mut frames = Vec::with_capacity(t);
        slices::read::<f32, _>(x, |x| {
            for i in 0..t {
                let mut buffer = workspace.buffer(h * w * c);
                let of = |p: usize, k: usize| x[(k * t + i) * h * w + p];
                match buffer.values_mut() {
                    Values::F32(values) => scatter(values, c, of),
                    Values::Bf16(values) => scatter(values, c, |p, k| bf16::from_f32(of(p, k))),
                }
                frames.push(Arc::new(buffer));
            }
            Ok(())
        })?;
        Ok(Self { data: Data::Buffers(frames), size: [c, h, w] })
    }

    /// A contiguous tensor `[C, T, H, W]`, f32 where the frames are buffers.
    ///
    /// # Errors
    /// When candle fails.
    pub fn to_tensor(&self) -> Result<Tensor> {
        let [c, h, w] = self.size;
        match &self.data {
            Data::Tensor(x) => x.transpose(0, 1)?.contiguous(),
            Data::Buffers(frames) => {
                let t = frames.len();
                let mut out = vec![0.0; c * t * h * w];
                for (i, frame) in frames.iter().enumerate() {
                    let mut put = |p: usize, k: usize, v: f32| out[(k * t + i) * h * w + p] = v;
                    match frame.values() {
                        Values::F32(values) => gather(values, c, &mut put),
                        Values::Bf16(values) => gather(values, c, |p, k, v: bf16| put(p, k, v.to_f32())),
                    }
                }
                Tensor::from_vec(out, (c, t, h, w), &Device::Cpu)
            }
        }
    }

    /// T, number of frames.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.data {
            Data::Buffers(frames) => frames.len(),
            Data::Tensor(x) => x.dims()[0],
        }
    }

    /// Is T 0?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Channels, height and width of every frame, `[C, H, W]`.
    #[must_use]
    pub fn size(&self) -> [usize; 3] {
        self.size
    }

    /// The last `n` frames of `past` followed by `self`; fewer where there are fewer.
    ///
    /// # Errors
    /// When the two differ in size or kind.
    pub fn tail(past: Option<&Self>, x: &Self, n: usize) -> Result<Self> {
        let (own, old) = (x.len().min(n), past.map_or(0, Self::len));
        let borrowed = (n - own).min(old);
        let Some(past) = past.filter(|_| borrowed > 0) else { return x.narrow(x.len() - own, own) };
        if past.size != x.size {
            bail!("cached frames of {:?} (C, H, W) before frames of {:?}", past.size, x.size);
        }
        let past = past.narrow(old - borrowed, borrowed)?;
        let x = x.narrow(x.len() - own, own)?;
        let data = match (&past.data, &x.data) {
            (Data::Buffers(a), Data::Buffers(b)) => Data::Buffers(a.iter().chain(b).cloned().collect()),
            (Data::Tensor(a), Data::Tensor(b)) => Data::Tensor(Tensor::cat(&[a, b], 0)?),
            _ => bail!("cached frames and frames are of different kinds"),
        };
        Ok(Self { data, size: x.size })
    }

    /// `n` frames from number `start` on.
    ///
    /// # Errors
    /// When there aren't so many.
    pub fn narrow(&self, start: usize, n: usize) -> Result<Self> {
        if start + n > self.len() {
            bail!("frames {start} to {} of {}", start + n, self.len());
        }
        let data = match &self.data {
            Data::Buffers(frames) => Data::Buffers(frames[start..start + n].to_vec()),
            Data::Tensor(x) => Data::Tensor(x.narrow(0, start, n)?),
        };
        Ok(Self { data, size: self.size })
    }

    /// `a[0], b[0], a[1], b[1], …`
    ///
    /// # Errors
    /// When the two differ in frames, size or kind.
    pub fn interleave(a: &Self, b: &Self) -> Result<Self> {
        if a.size != b.size || a.len() != b.len() {
            bail!("interleaving {} frames of {:?} with {} of {:?}", a.len(), a.size, b.len(), b.size);
        }
        let data = match (&a.data, &b.data) {
            (Data::Buffers(x), Data::Buffers(y)) => {
                Data::Buffers(x.iter().zip(y).flat_map(|(x, y)| [x.clone(), y.clone()]).collect())
            }
            (Data::Tensor(x), Data::Tensor(y)) => Data::Tensor(Tensor::stack(&[x, y], 1)?.flatten(0, 1)?),
            _ => bail!("interleaving frames of different kinds"),
        };
        Ok(Self { data, size: a.size })
    }

    pub(crate) fn from_buffers(frames: Vec<Buffer>, size: [usize; 3]) -> Self {
        Self { data: Data::Buffers(frames.into_iter().map(Arc::new).collect()), size }
    }

    /// `x` is `[T, C, H, W]`.
    pub(crate) fn of_tensor(x: Tensor) -> Result<Self> {
        let (_, c, h, w) = x.dims4()?;
        Ok(Self { data: Data::Tensor(x), size: [c, h, w] })
    }

    pub(crate) fn data(&self) -> &Data {
        &self.data
    }
}

/// A buffer as the kernels read it.
pub(crate) fn view(buffer: &Buffer) -> Frame<'_> {
    match buffer.values() {
        Values::F32(values) => Frame::F32(values),
        Values::Bf16(values) => Frame::Bf16(values),
    }
}

fn scatter<T>(values: &mut [T], c: usize, of: impl Fn(usize, usize) -> T) {
    for (p, pixel) in values.chunks_exact_mut(c).enumerate() {
        for (k, v) in pixel.iter_mut().enumerate() {
            *v = of(p, k);
        }
    }
}

fn gather<T: Copy>(values: &[T], c: usize, mut put: impl FnMut(usize, usize, T)) {
    for (p, pixel) in values.chunks_exact(c).enumerate() {
        for (k, &v) in pixel.iter().enumerate() {
            put(p, k, v);
        }
    }
}
