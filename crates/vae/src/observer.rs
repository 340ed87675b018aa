//! Watching and cancelling a pass.

use nn::Probe;
use std::ops::ControlFlow;

/// Watches a pass through the autoencoder. Every method has a default that does nothing; `&mut ()` is the observer that
/// doesn't care.
pub trait Observer {
    /// Called before the first chunk (`done == 0`) and after each; a chunk is a temporal step of a tile.
    /// `Break` ends the pass with [`Error::Cancelled`](crate::Error::Cancelled).
    fn progress(&mut self, done: usize, of: usize) -> ControlFlow<()> {
        let _ = (done, of);
        ControlFlow::Continue(())
    }

    /// Who is shown the modules' outputs `[1, C, T, H, W]`, chunk by chunk, named as in the reference:
    /// `enc.downsamples.3`, `dec.middle.1`, `enc` … The result is the same with and without a probe.
    fn probe(&mut self) -> Option<&mut dyn Probe> {
        None
    }
}

impl Observer for () {}

/// A closure watches the progress: `|done, of| ControlFlow::Continue(())`.
impl<F: FnMut(usize, usize) -> ControlFlow<()>> Observer for F {
    fn progress(&mut self, done: usize, of: usize) -> ControlFlow<()> {
        self(done, of)
    }
}
