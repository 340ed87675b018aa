//! A rank's share of the tokens, and how ranks exchange theirs.
//!
//! Sequence parallelism as in "DeepSpeed Ulysses" (arXiv 2309.14509) and the xfuser path of the reference
//! (`usp_attn_forward`): between the layers each rank has all heads of its own tokens; for self-attention they exchange, and each
//! has all tokens of its own heads.

use crate::{Error, Result};
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};
use ranks::Collectives;
use std::cell::RefCell;

/// Which tokens of a sequence a rank has: `rows()` from `first()` on. All ranks have equally many; what the last ones have beyond
/// the sequence's end is padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// L, tokens of the whole sequence.
    pub(crate) tokens: usize,
    pub(crate) rank: usize,
    pub(crate) ranks: usize,
}

impl Part {
    pub(crate) fn of(tokens: usize, group: &dyn Collectives) -> Self {
        Self { tokens, rank: group.rank(), ranks: group.size() }
    }

    /// Tokens of a rank, padding included.
    pub(crate) fn rows(self) -> usize {
        self.tokens.div_ceil(self.ranks)
    }

    pub(crate) fn first(self) -> usize {
        self.rank * self.rows()
    }

    /// `[B, L, ..]` → `[B, rows, ..]`: this rank's tokens, then zeros.
    pub(crate) fn cut(self, x: &Tensor) -> Result<Tensor> {
        let first = self.first().min(self.tokens);
        let real = self.rows().min(self.tokens - first);
        let own = x.narrow(1, first, real)?;
        Ok(own.pad_with_zeros(1, 0, self.rows() - real)?.contiguous()?)
    }
}

/// The ranks that share a pass over a sequence.
#[derive(Clone, Copy, Debug)]
pub struct Among<'a> {
    pub(crate) group: &'a dyn Collectives,
    pub(crate) part: Part,
}

impl<'a> Among<'a> {
    pub(crate) fn new(group: &'a dyn Collectives, tokens: usize) -> Self {
        Self { group, part: Part::of(tokens, group) }
    }

    /// From all heads of this rank's tokens to all tokens, padding included, of this rank's heads:
    /// `[B, rows, D]` → `[B, N·rows, D/N]`.
    pub(crate) fn to_heads(self, x: &Tensor) -> Result<Tensor> {
        let (b, rows, d) = x.dims3()?;
        let n = self.part.ranks;
        let parts = x.reshape((b, rows, n, d / n))?.permute((2, 0, 1, 3))?; // [to, B, rows, D/N]
        let parts = self.exchange(&parts, Way::AllToAll)?; // [from, B, rows, D/N]
        Ok(parts.transpose(0, 1)?.reshape((b, n * rows, d / n))?)
    }

    /// The way back: `[B, N·rows, D/N]` → `[B, rows, D]`.
    pub(crate) fn to_tokens(self, x: &Tensor) -> Result<Tensor> {
        let (b, all, width) = x.dims3()?;
        let n = self.part.ranks;
        let parts = x.reshape((b, n, all / n, width))?.transpose(0, 1)?; // [to, B, rows, D/N]
        let parts = self.exchange(&parts, Way::AllToAll)?; // [from, B, rows, D/N]
        Ok(parts.permute((1, 2, 0, 3))?.reshape((b, all / n, n * width))?)
    }

    /// Everybody's rows: `[B, rows, C]` → `[B, L, C]`.
    pub(crate) fn gather(self, x: &Tensor) -> Result<Tensor> {
        let (b, rows, c) = x.dims3()?;
        let n = self.part.ranks;
        let parts = self.exchange(x, Way::AllGather)?.reshape((n, b, rows, c))?;
        let all = parts.transpose(0, 1)?.reshape((b, n * rows, c))?;
        Ok(all.narrow(1, 0, self.part.tokens)?.contiguous()?)
    }

    fn exchange(self, x: &Tensor, way: Way) -> Result<Tensor> {
        if x.track_op() {
            return Err(Error::Gradient);
        }
        let op = Exchange { group: self.group, way, error: RefCell::default() };
        match x.contiguous()?.apply_op1_no_bwd(&op) {
            Ok(received) => Ok(received),
            Err(error) => Err(op.error.take().map_or_else(|| Error::Tensor(error), Error::Ranks)),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Way {
    /// One part of the first axis for each rank.
    AllToAll,
    /// Everything of everybody, along the first axis.
    AllGather,
}

/// The exchange of a contiguous f32 tensor where it lies.
struct Exchange<'a> {
    group: &'a dyn Collectives,
    way: Way,
    /// What the ranks said: candle's errors have no place for it.
    error: RefCell<Option<ranks::Error>>,
}

impl Exchange<'_> {
    fn received(&self, sent: &Shape) -> Shape {
        let mut dims = sent.dims().to_vec();
        if matches!(self.way, Way::AllGather) {
            dims[0] *= self.group.size();
        }
        dims.into()
    }

    fn done<T>(&self, result: ranks::Result<T>) -> candle_core::Result<T> {
        result.map_err(|error| {
            let message = candle_core::Error::Msg(error.to_string());
            self.error.replace(Some(error));
            message
        })
    }

    fn range(layout: &Layout) -> candle_core::Result<(usize, usize)> {
        layout
            .contiguous_offsets()
            .ok_or_else(|| candle_core::Error::Msg("a strided tensor among ranks".into()))
    }
}

impl CustomOp1 for Exchange<'_> {
    fn name(&self) -> &'static str {
        "exchange among ranks"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (first, end) = Self::range(layout)?;
        let send = &storage.as_slice::<f32>()?[first..end];
        let shape = self.received(layout.shape());
        let mut receive = vec![0.0; shape.elem_count()];
        self.done(match self.way {
            Way::AllToAll => self.group.all_to_all_f32(send, &mut receive),
            Way::AllGather => self.group.all_gather_f32(send, &mut receive),
        })?;
        Ok((CpuStorage::F32(receive), shape))
    }

    #[cfg(feature = "nccl")]
    fn cuda_fwd(
        &self,
        storage: &candle_core::CudaStorage,
        layout: &Layout,
    ) -> candle_core::Result<(candle_core::CudaStorage, Shape)> {
        use candle_core::backend::BackendStorage;
        let Some(cards) = self.group.nccl() else {
            candle_core::bail!("tensors on a card need ranks that were joined by NCCL (ranks::Nccl)");
        };
        let (first, end) = Self::range(layout)?;
        let device = storage.device().clone();
        let shape = self.received(layout.shape());
        let send = storage.as_cuda_slice::<f32>()?.slice(first..end);
        let mut receive = device.alloc_zeros::<f32>(shape.elem_count())?;
        self.done(match self.way {
            Way::AllToAll => cards.all_to_all(&send, &mut receive),
            Way::AllGather => cards.all_gather(&send, &mut receive),
        })?;
        Ok((candle_core::CudaStorage::wrap_cuda_slice(receive, device), shape))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use ranks::Threads;

    #[test]
    fn heads_and_tokens_lead_back_to_each_other() {
        for (size, tokens) in [(1, 5), (2, 6), (3, 7), (4, 3), (2, 1)] {
            let device = Device::Cpu;
            let x = Tensor::arange(0_f32, (2 * tokens * 12) as f32, &device).unwrap();
            let x = x.reshape((2, tokens, 12)).unwrap();
            let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            Threads::run(size, |end| -> Result<()> {
                let among = Among::new(end, tokens);
                let own = among.part.cut(&x)?;
                let heads = among.to_heads(&own)?;
                // All tokens, in order, of this rank's heads; behind them padding.
                let width = 12 / size;
                let mine = x.narrow(2, end.rank() * width, width)?;
                assert_eq!(values(&heads.narrow(1, 0, tokens)?), values(&mine));
                let padding = heads.narrow(1, tokens, heads.dims()[1] - tokens)?;
                assert!(values(&padding).iter().all(|v| *v == 0.0));
                assert_eq!(values(&among.to_tokens(&heads)?), values(&own));
                assert_eq!(values(&among.gather(&own)?), values(&x));
                Ok(())
            })
            .unwrap();
        }
    }
}
