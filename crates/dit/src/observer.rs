//! Watching a forward pass: progress, cancellation, intermediate tensors.

use candle_core::Tensor;
use std::ops::ControlFlow;

/// Told about a forward pass while it runs. `()` watches nothing.
pub trait Observer {
    /// Called before block `block` of `of` runs, for all branches of the pass, and once more at the end with
    /// `block == of`. `Break` ends the pass with [`Error::Cancelled`](crate::Error::Cancelled).
    fn block(&mut self, block: usize, of: usize) -> ControlFlow<()> {
        let _ = (block, of);
        ControlFlow::Continue(())
    }

    /// Should [`Observer::intermediate`] be called? It costs memory: tokens are then no longer handled in chunks.
    fn wants_intermediates(&self) -> bool {
        false
    }

    /// An intermediate result of a branch, named as in the reference: `t`, `block0.self_attn`, `head` …
    fn intermediate(&mut self, branch: usize, name: &str, value: &Tensor) {
        let _ = (branch, name, value);
    }
}

impl Observer for () {}

/// A closure watches the progress: `|block, of| ControlFlow::Continue(())`.
impl<F: FnMut(usize, usize) -> ControlFlow<()>> Observer for F {
    fn block(&mut self, block: usize, of: usize) -> ControlFlow<()> {
        self(block, of)
    }
}

/// The observer as the layers see it.
pub(crate) struct Probe<'a> {
    pub(crate) observer: &'a mut dyn Observer,
    pub(crate) branch: usize,
    pub(crate) prefix: String,
    pub(crate) on: bool,
}

impl<'a> Probe<'a> {
    pub(crate) fn new(observer: &'a mut dyn Observer, branch: usize, prefix: String) -> Self {
        let on = observer.wants_intermediates();
        Self { observer, branch, prefix, on }
    }

    pub(crate) fn record(&mut self, name: &str, value: &Tensor) {
        if self.on {
            self.observer.intermediate(self.branch, &format!("{}{name}", self.prefix), value);
        }
    }
}
