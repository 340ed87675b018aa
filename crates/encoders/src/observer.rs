//! Watching a model that takes a while: progress, cancellation, intermediate results.

use crate::{Error, Result};
use nn::{Probe, ProbeAt};
use std::ops::ControlFlow;

/// Told about a forward pass while it runs. `()` watches nothing.
pub trait Observer {
    /// Called before block `block` of `of` runs, and once more at the end with `block == of`. `Break` ends the pass with
    /// [`Error::Cancelled`].
    fn block(&mut self, block: usize, of: usize) -> ControlFlow<()> {
        let _ = (block, of);
        ControlFlow::Continue(())
    }

    /// Who is shown the intermediate results.
    fn probe(&mut self) -> Option<&mut dyn Probe> {
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

/// Keeps intermediate results and watches nothing else.
impl Observer for nn::Recording {
    fn probe(&mut self) -> Option<&mut dyn Probe> {
        Some(self)
    }
}

/// A probe that watches nothing else.
pub(crate) struct Probing<'a>(pub(crate) &'a mut dyn Probe);

impl Observer for Probing<'_> {
    fn probe(&mut self) -> Option<&mut dyn Probe> {
        Some(self.0)
    }
}

/// The root of the observer's probe.
pub(crate) fn probe_of(observer: &mut dyn Observer) -> ProbeAt<'_> {
    ProbeAt::root(observer.probe())
}

/// An error if the observer wants no more.
pub(crate) fn step(observer: &mut dyn Observer, block: usize, of: usize) -> Result<()> {
    match observer.block(block, of) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Cancelled { block, of }),
    }
}
