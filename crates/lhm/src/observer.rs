//! Watching a run: progress, cancellation, intermediate results.

use crate::{Error, Result};
use nn::{Probe, ProbeAt};
use std::ops::ControlFlow;

/// The parts of a run, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The body picture through Sapiens.
    Body,
    /// The head picture through DINOv2.
    Head,
    /// Points and picture tokens through the transformer.
    Points,
    /// The points' features become Gaussians.
    Gaussians,
}

impl Part {
    /// All parts in their order.
    pub const ALL: [Self; 4] = [Self::Body, Self::Head, Self::Points, Self::Gaussians];

    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Head => "head",
            Self::Points => "points",
            Self::Gaussians => "gaussians",
        }
    }
}

/// Told about a run while it goes on. `()` watches nothing.
pub trait Observer {
    /// `done` of 1 of `part` is through; comes several times in a layer. `Break` ends the run with [`Error::Cancelled`].
    fn progress(&mut self, part: Part, done: f64) -> ControlFlow<()> {
        let _ = (part, done);
        ControlFlow::Continue(())
    }

    /// Who is shown the intermediate results, by the reference's names.
    fn probe(&mut self) -> Option<&mut dyn Probe> {
        None
    }
}

impl Observer for () {}

/// A closure watches the progress: `|part, done| ControlFlow::Continue(())`.
impl<F: FnMut(Part, f64) -> ControlFlow<()>> Observer for F {
    fn progress(&mut self, part: Part, done: f64) -> ControlFlow<()> {
        self(part, done)
    }
}

/// Keeps intermediate results and watches nothing else.
impl Observer for nn::Recording {
    fn probe(&mut self) -> Option<&mut dyn Probe> {
        Some(self)
    }
}

/// An error if the observer wants no more.
pub(crate) fn tell(observer: &mut dyn Observer, part: Part, done: f64) -> Result<()> {
    match observer.progress(part, done) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Cancelled),
    }
}

/// The root of the observer's probe.
pub(crate) fn probe_of(observer: &mut dyn Observer) -> ProbeAt<'_> {
    ProbeAt::root(observer.probe())
}

/// Hands an encoder's progress on.
pub(crate) struct OfEncoder<'a> {
    pub(crate) observer: &'a mut dyn Observer,
    pub(crate) part: Part,
}

impl encoders::Observer for OfEncoder<'_> {
    fn block(&mut self, block: usize, of: usize) -> ControlFlow<()> {
        self.observer.progress(self.part, block as f64 / of.max(1) as f64)
    }
}
