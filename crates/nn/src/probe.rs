//! Watching intermediate results without changing how they are computed.

use candle_core::{Result, Tensor};
use std::collections::BTreeMap;
use std::fmt::Display;

/// Is shown intermediate results of a model while it runs, by the reference's names (`block0.self_attn`, `enc.conv1` …).
///
/// Watching changes nothing: the same kernels run over the same chunks, and the result is the same to the last bit. A value
/// that a fused kernel never forms is computed aside for the probe; memory and time are what watching costs.
///
/// Closures `|name: &str, value: &Tensor|` are probes; [`Recording`] keeps everything.
pub trait Probe {
    /// Should the value of this name be shown? What nobody wants is neither computed aside nor kept.
    fn wants(&self, name: &str) -> bool {
        let _ = name;
        true
    }

    /// Shows a value. It belongs to this moment: a probe that keeps it copies nothing, later results don't write over it.
    fn show(&mut self, name: &str, value: &Tensor);
}

impl<F: FnMut(&str, &Tensor)> Probe for F {
    fn show(&mut self, name: &str, value: &Tensor) {
        self(name, value);
    }
}

/// Keeps all values by name, in the order in which they came: once for each call of the layer.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// What was shown.
    pub values: BTreeMap<String, Vec<Tensor>>,
}

impl Probe for Recording {
    fn show(&mut self, name: &str, value: &Tensor) {
        self.values.entry(name.to_owned()).or_default().push(value.clone());
    }
}

/// A probe, or none, and the place in the model where it stands: the form in which models hand probes down to their layers.
#[derive(Default)]
pub struct ProbeAt<'a> {
    probe: Option<&'a mut dyn Probe>,
    prefix: String,
}

impl std::fmt::Debug for ProbeAt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ProbeAt({:?}, watching: {})", self.prefix, self.probe.is_some())
    }
}

impl<'a> ProbeAt<'a> {
    /// At the model's root.
    #[must_use]
    pub fn root(probe: Option<&'a mut dyn Probe>) -> Self {
        Self { probe, prefix: String::new() }
    }

    /// One level down: names given there begin with `segment` and a dot.
    #[must_use]
    pub fn pp(&mut self, segment: impl Display) -> ProbeAt<'_> {
        match &mut self.probe {
            Some(probe) => {
                let prefix = format!("{}{segment}.", self.prefix);
                ProbeAt { probe: Some(&mut **probe), prefix }
            }
            None => ProbeAt::default(),
        }
    }

    /// Shows a value that is there anyway and that nothing will change.
    pub fn show(&mut self, name: impl Display, value: &Tensor) {
        if let Some(probe) = &mut self.probe {
            let name = format!("{}{name}", self.prefix);
            if probe.wants(&name) {
                probe.show(&name, value);
            }
        }
    }

    /// Shows a value that is computed only if it is wanted.
    ///
    /// # Errors
    /// What `value` returns.
    pub fn show_with(&mut self, name: impl Display, value: impl FnOnce() -> Result<Tensor>) -> Result<()> {
        if let Some(probe) = &mut self.probe {
            let name = format!("{}{name}", self.prefix);
            if probe.wants(&name) {
                probe.show(&name, &value()?);
            }
        }
        Ok(())
    }

    /// Begins a value that is computed piece by piece; [`ProbeAt::show_pieces`] shows it.
    #[must_use]
    pub fn pieces(&self, name: &'static str) -> Pieces {
        let wanted = self.probe.as_ref().is_some_and(|probe| probe.wants(&format!("{}{name}", self.prefix)));
        Pieces { name, wanted, parts: Vec::new() }
    }

    /// Shows the pieces, joined along `axis`.
    ///
    /// # Errors
    /// When they don't fit together.
    pub fn show_pieces(&mut self, pieces: Pieces, axis: usize) -> Result<()> {
        match pieces.parts.as_slice() {
            [] => Ok(()),
            [one] => {
                self.show(pieces.name, one);
                Ok(())
            }
            parts => self.show_with(pieces.name, || Tensor::cat(parts, axis)),
        }
    }
}

/// A value in pieces, kept only if a probe wants it.
#[derive(Debug)]
pub struct Pieces {
    name: &'static str,
    wanted: bool,
    parts: Vec<Tensor>,
}

impl Pieces {
    /// Adds the next piece, computed only if the value is wanted.
    ///
    /// # Errors
    /// What `piece` returns.
    pub fn add_with(&mut self, piece: impl FnOnce() -> Result<Tensor>) -> Result<()> {
        if self.wanted {
            self.parts.push(piece()?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    struct OneName(Recording);

    impl Probe for OneName {
        fn wants(&self, name: &str) -> bool {
            name == "block3.ffn"
        }

        fn show(&mut self, name: &str, value: &Tensor) {
            self.0.show(name, value);
        }
    }

    #[test]
    fn only_what_is_wanted_is_computed() {
        let row = |n: usize| Tensor::full(n as f32, (1, n, 2), &Device::Cpu);
        let mut probe = OneName(Recording::default());
        let mut root = ProbeAt::root(Some(&mut probe));
        let mut at = root.pp("block3");
        at.show_with("attn", || panic!("nobody wants it")).unwrap();
        let mut pieces = at.pieces("ffn");
        pieces.add_with(|| row(1)).unwrap();
        pieces.add_with(|| row(3)).unwrap();
        at.show_pieces(pieces, 1).unwrap();
        let mut other = at.pieces("attn");
        other.add_with(|| panic!("nobody wants it")).unwrap();
        at.show_pieces(other, 1).unwrap();
        assert_eq!(probe.0.values["block3.ffn"][0].dims(), [1, 4, 2]);
        assert_eq!(probe.0.values.len(), 1);
        // Without a probe nothing is computed at all.
        let mut off = ProbeAt::default();
        off.pp("x").show_with("y", || panic!("nobody watches")).unwrap();
        off.show("z", &Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap());
    }
}
