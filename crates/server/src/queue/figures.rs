//! Figures of a result, and what they mean.

use super::worker::Made;
use evaluation::Region;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How good a result is, as far as figures tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Figures {
    /// In words, the most telling first.
    pub words: Vec<String>,
    /// Largest mean colour shift from window to window, in 255ths.
    pub colour_shift: Option<f64>,
    /// Likeness of the background to the one that came in, in dB.
    pub background_psnr: Option<f64>,
    /// Mean change of brightness from frame to frame, over that of the condition.
    pub flicker_ratio: Option<f64>,
    /// Strength of the edge around the person, over that of the condition.
    pub seam_energy: Option<f64>,
}

impl Figures {
    pub(crate) fn of(made: &Made) -> Self {
        let shifts = made.drift.iter().flat_map(|drift| drift.colour).map(f64::abs);
        let mut figures = Self { colour_shift: shifts.reduce(f64::max), ..Self::default() };
        if let Some(found) = &made.evaluation {
            figures.background_psnr = found
                .regions
                .get(&Region::Background)
                .map(|score| score.psnr)
                .filter(|psnr| psnr.is_finite());
            figures.flicker_ratio =
                (found.reference_flicker > 1e-6).then(|| found.flicker / found.reference_flicker);
            figures.seam_energy = found.seam_energy;
        }
        figures.words = figures.in_words();
        figures
    }

    fn in_words(&self) -> Vec<String> {
        let mut words = Vec::new();
        if let Some(shift) = self.colour_shift {
            words.push(match shift {
                s if s < 1.0 => {
                    format!("Windows meet without a visible change of colour (at most {s:.1} of 255).")
                }
                s if s < 3.0 => format!("Colours change a little where windows meet (up to {s:.1} of 255)."),
                s => format!(
                    "Colours drift where windows meet (up to {s:.1} of 255): match windows takes that out."
                ),
            });
        }
        if let Some(psnr) = self.background_psnr {
            words.push(match psnr {
                p if p >= 38.0 => format!("The background is as it came in ({p:.0} dB)."),
                p if p >= 28.0 => format!("The background is nearly as it came in ({p:.0} dB)."),
                p => format!("The background was changed ({p:.0} dB): the background lock puts it back."),
            });
        }
        if let Some(ratio) = self.flicker_ratio {
            words.push(match ratio {
                r if r <= 1.1 => format!("It flickers no more than its condition ({r:.2} times)."),
                r if r <= 1.5 => format!("It flickers a little more than its condition ({r:.2} times)."),
                r => format!("It flickers more than its condition ({r:.2} times)."),
            });
        }
        if let Some(energy) = self.seam_energy {
            words.push(match energy {
                e if e <= 1.15 => format!("No edge shows around the person ({e:.2} times the condition's)."),
                e => format!("An edge shows around the person ({e:.2} times the condition's)."),
            });
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline::windows::Drift;

    #[test]
    fn the_words_follow_the_figures() {
        let drift = |shift: f64| Made {
            drift: vec![Drift { colour: [0.1, -shift, 0.2], difference: 1.0 }],
            ..Made::default()
        };
        assert!(Figures::of(&drift(0.4)).words[0].contains("without a visible change"));
        assert!(Figures::of(&drift(9.0)).words[0].contains("drift"));
        assert_eq!(Figures::of(&Made::default()), Figures::default());
    }
}
