//! Figures of a clip: how far the condition is from the target.

use crate::clip::Clip;
use crate::layout::Part;

/// PSNR of the blend against the target in dB, and how much of the picture is what.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stats {
    /// On the body's mesh.
    pub person: Option<f64>,
    /// Where the person's shadow darkens the scene by more than 8 levels.
    pub shadow: Option<f64>,
    /// Everywhere.
    pub whole: Option<f64>,
    /// Share of pixels on the mesh.
    pub person_share: f64,
    /// Share of pixels in the shadow.
    pub shadow_share: f64,
}

impl Stats {
    /// Of a clip with all parts.
    #[must_use]
    pub fn of(clip: &Clip) -> Self {
        let (blend, target) = (clip.part(Part::Blend), clip.part(Part::Target));
        let (mesh, shadow) = (clip.part(Part::Mesh), clip.part(Part::Shadow));
        let n = shadow.len();
        let on = |test: &dyn Fn(usize) -> bool| {
            let (mut sum, mut count) = (0.0, 0_usize);
            for i in (0..n).filter(|i| test(*i)) {
                for k in 3 * i..3 * i + 3 {
                    sum += (f64::from(blend[k]) - f64::from(target[k])).powi(2);
                }
                count += 3;
            }
            let psnr = -10.0 * (sum.max(1e-9) / count.max(1) as f64 / 65025.0).log10();
            ((count > 0).then_some(psnr), count as f64 / 3.0 / n.max(1) as f64)
        };
        let (person, person_share) = on(&|i| mesh[3 * i] > 1);
        let (shadow, shadow_share) = on(&|i| shadow[i] > 8);
        let (whole, _) = on(&|_| true);
        Self { person, shadow, whole, person_share, shadow_share }
    }

    /// Means over clips, of each figure over those that have it.
    #[must_use]
    pub fn mean(all: &[Self]) -> Self {
        let some = |of: fn(&Self) -> Option<f64>| {
            let values: Vec<f64> = all.iter().filter_map(of).collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
        };
        Self {
            person: some(|s| s.person),
            shadow: some(|s| s.shadow),
            whole: some(|s| s.whole),
            person_share: some(|s| Some(s.person_share)).unwrap_or_default(),
            shadow_share: some(|s| Some(s.shadow_share)).unwrap_or_default(),
        }
    }
}

impl std::fmt::Display for Stats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = |v: Option<f64>| v.map_or("-".to_owned(), |v| format!("{v:.2} dB"));
        write!(
            f,
            "person {} ({:.1} %), shadow {} ({:.1} %), whole {}",
            text(self.person),
            100.0 * self.person_share,
            text(self.shadow),
            100.0 * self.shadow_share,
            text(self.whole)
        )
    }
}
