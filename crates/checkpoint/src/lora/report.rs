//! What a LoRA did to a model.

use super::scale::ScaleOrigin;
use crate::names::listing;
use std::fmt;

/// Modules of a LoRA that share a scale.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraScale {
    /// What their products are multiplied by, the strength aside.
    pub scale: f64,
    /// Who stated it.
    pub origin: ScaleOrigin,
    /// How many they are.
    pub modules: usize,
}

/// One LoRA on one model: how many targets, which scale, where it came from, and what was left out.
///
/// Its `Display` is a line or two for people.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LoraReport {
    /// The file.
    pub lora: String,
    /// What all of it is multiplied by.
    pub strength: f64,
    /// Tensors of the model that it changes.
    pub targets: usize,
    /// Pairs of matrices among its parts.
    pub pairs: usize,
    /// Differences of weights, biases and modulations.
    pub differences: usize,
    /// Tensors that replace the model's.
    pub whole: usize,
    /// The scales of the pairs, most frequent first.
    pub scales: Vec<LoraScale>,
    /// What doesn't fit the model and was left out on request, by the model's or the file's name.
    pub left_out: Vec<String>,
}

impl fmt::Display for LoraReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LoRA {}: {} tensors changed by ", self.lora, self.targets)?;
        let parts: Vec<String> =
            [(self.pairs, "pairs"), (self.differences, "differences"), (self.whole, "whole tensors")]
                .iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, what)| format!("{count} {what}"))
                .collect();
        write!(
            f,
            "{}, strength {}",
            if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") },
            self.strength
        )?;
        for (i, s) in self.scales.iter().take(3).enumerate() {
            let separator = if i == 0 { ", " } else { "; " };
            write!(f, "{separator}scale {} ", crate::names::short_number(s.scale))?;
            if self.scales.len() > 1 {
                write!(f, "for {} modules ", s.modules)?;
            }
            write!(f, "({})", s.origin)?;
        }
        if self.scales.len() > 3 {
            write!(f, "; {} more scales", self.scales.len() - 3)?;
        }
        if !self.left_out.is_empty() {
            write!(
                f,
                "\n  {} left out, they don't fit the model:{}",
                self.left_out.len(),
                listing(&self.left_out)
            )?;
        }
        Ok(())
    }
}
