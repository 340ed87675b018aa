//! Watching a forward pass: progress, cancellation, intermediate results.

use nn::Probe;
use std::ops::ControlFlow;

/// Told about a forward pass while it runs. `()` watches nothing.
pub trait Observer {
    /// Called before block `block` of `of` runs, for all branches of the pass, and once more at the end with
    /// `block == of`. `Break` ends the pass with [`Error::Cancelled`](crate::Error::Cancelled).
    fn block(&mut self, block: usize, of: usize) -> ControlFlow<()> {
        let _ = (block, of);
        ControlFlow::Continue(())
    }

    /// Who is shown the intermediate results of branch `branch` (counted from 0), named as in the reference: `t`,
    /// `block0.self_attn`, `head` … The prediction is the same with and without a probe; only memory and time differ.
    fn probe(&mut self, branch: usize) -> Option<&mut dyn Probe> {
        let _ = branch;
        None
    }
}

impl Observer for () {}

/// A closure watches the progress: `|block, of| ControlFlow::Continue(())`.
impl<F: FnMut(usize, usize) -> ControlFlow<()>> Observer for F {
    fn block(&mut self, block: usize, of: usize) -> ControlFlow<()> {
        self(block, of)
    }
}
