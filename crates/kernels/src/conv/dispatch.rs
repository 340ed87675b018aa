//! Choosing the instruction set, spreading blocks over threads, and writing results.
#![expect(unsafe_code, reason = "pixels of one frame are written by several threads")]

use half::bf16;
use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{ConvShape, Frame, FrameMut, Input};
use crate::scratch::{SLACK, to_line};
use crate::shared::SharedOut;
use simd::{EveryWide, Level, Simd, dispatch_wide, level};

/// One call: what to read and how.
pub(super) struct Job<'a> {
    pub(super) shape: &'a ConvShape,
    pub(super) input: &'a Input<'a>,
    /// Padded by a whole vector and more.
    pub(super) bias: &'a [f32],
    /// Output height and width.
    pub(super) size: (usize, usize),
}

enum OutFrame<'a> {
    F32(SharedOut<'a>),
    Bf16(SharedOut<'a, bf16>),
}

/// Where the results go: frames that several threads write disjoint pixels of.
pub(super) struct Target<'a> {
    residual: Option<&'a [Frame<'a>]>,
    out: Vec<OutFrame<'a>>,
}

impl<'a> Target<'a> {
    pub(super) fn new(residual: Option<&'a [Frame<'a>]>, out: &'a mut [FrameMut<'_>]) -> Self {
        let out = out
            .iter_mut()
            .map(|frame| match frame {
                FrameMut::F32(data) => OutFrame::F32(SharedOut::new(data)),
                FrameMut::Bf16(data) => OutFrame::Bf16(SharedOut::new(data)),
            })
            .collect();
        Self { residual, out }
    }

    /// Number of frames.
    pub(super) fn frames(&self) -> usize {
        self.out.len()
    }

    /// Writes `values + bias + residual` to pixel number `pixel` of frame `t`; `values` is used up.
    ///
    /// The loops are plain: inlined into a function compiled for an instruction set, they become its vectors.
    ///
    /// # Safety
    /// No other thread writes the pixel.
    #[inline(always)]
    pub(super) unsafe fn store_pixel(&self, job: &Job<'_>, t: usize, pixel: usize, values: &mut [f32]) {
        let c = job.shape.c_out;
        let at = pixel * c;
        let values = &mut values[..c];
        match self.residual.map(|r| r[t]) {
            None => {}
            Some(Frame::F32(r)) => values.iter_mut().zip(&r[at..at + c]).for_each(|(v, r)| *v += r),
            Some(Frame::Bf16(r)) => {
                for (v, r) in values.iter_mut().zip(&r[at..at + c]) {
                    *v += f32::from_bits(u32::from(r.to_bits()) << 16);
                }
            }
        }
        let sums = values.iter().zip(&job.bias[..c]).map(|(v, b)| v + b);
        match &self.out[t] {
            OutFrame::F32(out) => {
                // SAFETY: the pixel is this thread's alone, and so is this piece of it.
                let out = unsafe { out.piece(at, c) };
                out.iter_mut().zip(sums).for_each(|(o, v)| *o = v);
            }
            OutFrame::Bf16(out) => {
                // SAFETY: the pixel is this thread's alone, and so is this piece of it.
                let out = unsafe { out.piece(at, c) };
                out.iter_mut().zip(sums).for_each(|(o, v)| *o = round_to_bf16(v));
            }
        }
    }

    /// Are frame `t` and what is added to it f32, so that [`Target::store_vector`] may write it?
    pub(super) fn takes_vectors(&self, t: usize) -> bool {
        let plain = self.residual.is_none_or(|r| matches!(r[t], Frame::F32(_)));
        plain && matches!(self.out[t], OutFrame::F32(_))
    }

    /// Writes `v + bias + residual` to a vector of channels from `channel` on of pixel number `pixel` of frame `t`, which takes
    /// vectors.
    ///
    /// # Safety
    /// No other thread writes the pixel.
    #[inline(always)]
    pub(super) unsafe fn store_vector<S: Simd>(
        &self,
        s: S,
        job: &Job<'_>,
        t: usize,
        pixel: usize,
        channel: usize,
        v: S::V,
    ) {
        let at = pixel * job.shape.c_out + channel;
        let OutFrame::F32(out) = &self.out[t] else { unreachable!("a frame of bf16") };
        let mut v = v;
        if let Some(Frame::F32(residual)) = self.residual.map(|r| r[t]) {
            v = s.add(v, s.load(&residual[at..]));
        }
        // SAFETY: the pixel is this thread's alone, and so is this piece of it.
        let out = unsafe { out.piece(at, S::LANES) };
        s.store(s.add(v, s.load(&job.bias[channel..])), out);
    }
}

/// Nearest even, without branches.
#[inline(always)]
fn round_to_bf16(v: f32) -> bf16 {
    let bits = v.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    // A NaN stays one: the addition may not carry it into infinity's or zero's pattern.
    let nan = (bits >> 16) | 0x40;
    bf16::from_bits(if v.is_nan() { nan as u16 } else { rounded as u16 })
}

thread_local! {
    /// Working memory of a thread, kept from call to call so that the steady state allocates nothing.
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Runs `work` on every block from 0 to `blocks`, each once, on the threads of the current pool, with `scratch` floats
/// of working memory (of any content, from the start of a cache line) for each thread.
pub(super) fn for_each_block(blocks: usize, scratch: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    let next = AtomicUsize::new(0);
    let worker = || {
        SCRATCH.with_borrow_mut(|memory| {
            if memory.len() < scratch + SLACK {
                *memory = Vec::new(); // frees before it grows
                memory.resize(scratch + SLACK, 0.0);
            }
            let start = to_line(memory);
            loop {
                let block = next.fetch_add(1, Ordering::Relaxed);
                if block >= blocks {
                    break;
                }
                work(block, &mut memory[start..start + scratch]);
            }
        });
    };
    let workers = rayon::current_num_threads().min(blocks);
    if workers <= 1 {
        return worker();
    }
    rayon::scope(|scope| {
        for _ in 1..workers {
            scope.spawn(|_| worker());
        }
        worker();
    });
}

/// Output features of a weight panel: what wastes least of the registers of the level in use.
pub(super) fn panel_width(c_out: usize) -> usize {
    match level() {
        Level::Avx512 | Level::Avx512Bf16 | Level::Amx => 16,
        _ if c_out <= 8 => 8,
        _ if c_out.next_multiple_of(24) <= c_out.next_multiple_of(16) => 24,
        _ => 16,
    }
}

/// A multiple of the lanes of every vector type that works on panels of that width.
pub(super) fn lanes(panel_width: usize) -> usize {
    if panel_width == 16 { 16 } else { 8 }
}

/// Runs a kernel at the level in use. Panels that aren't 16 wide, from weights packed at a lower level, keep AVX-512 at vectors of
/// 8 lanes.
pub(super) fn run_block<K: EveryWide<()>>(panel_width: usize, kernel: K) {
    let level = if panel_width == 16 { level() } else { level().min(Level::Avx2) };
    dispatch_wide(level, kernel);
}
