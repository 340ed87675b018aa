//! The numbers of the exposure, fitted on training clips.

use crate::composite::{Composer, Known, Switches};
use crate::recorded::Recorded;
use anyhow::Result;
use nalgebra::{DMatrix, DVector};
use scene_light::{Exposure, Levels, features, luma};

/// One clip's levels, and the gains that it should have had: linear light.
#[derive(Clone, Copy, Debug)]
pub struct ExposureRow {
    levels: Levels,
    gains: [f32; 3],
}

/// Shades a clip without any gain and finds the gains that bring it nearest to the target.
///
/// # Errors
/// When a renderer fails.
pub fn row(composer: &mut Composer, recorded: &Recorded, known: Known) -> Result<Option<ExposureRow>> {
    // The levels are measured, and nothing is made of them.
    let switches = Switches { exposure: Some(|_| [1.0; 3]), ..Switches::ALL };
    let shaded = composer.compose(recorded, known, switches)?;
    if known == Known::Person && shaded.probed.is_none() {
        return Ok(None);
    }
    let clip = &recorded.clip;
    let (mut xy, mut xx) = ([0.0_f64; 3], [0.0_f64; 3]);
    for ((made, target), mesh) in shaded.frames.iter().zip(&clip.target).zip(&clip.mesh) {
        for ((x, y), m) in made.pixels().zip(target.pixels()).zip(mesh.pixels()) {
            if m.0 != [0; 3] {
                for c in 0..3 {
                    xy[c] += f64::from(x[c]) * f64::from(y[c]);
                    xx[c] += f64::from(x[c]).powi(2);
                }
            }
        }
    }
    if xx.iter().any(|x| *x <= 0.0) {
        return Ok(None);
    }
    let gains = std::array::from_fn(|c| ((xy[c] / xx[c]).max(0.05) as f32).powf(2.2));
    Ok(Some(ExposureRow { levels: shaded.levels, gains }))
}

/// Collects clips.
#[derive(Debug, Default)]
pub struct ExposureFit {
    rows: Vec<ExposureRow>,
}

impl ExposureFit {
    /// Takes in a clip.
    pub fn add(&mut self, row: &ExposureRow) {
        self.rows.push(*row);
    }

    /// The numbers, with a little ridge; those of the person are 0 where there was none.
    #[must_use]
    pub fn solve(&self, with_person: bool) -> Exposure {
        let (mut lumas, mut colors) = (Vec::new(), Vec::new());
        for row in &self.rows {
            let (f, c) = features(&row.levels);
            let gain = luma(row.gains).max(1e-3).ln();
            lumas.push((f.to_vec(), gain));
            for k in 0..3 {
                colors.push((c[k].to_vec(), row.gains[k].max(1e-3).ln() - gain));
            }
        }
        let used = if with_person { 4 } else { 3 };
        let luma = ridge(&lumas, used, 1.0);
        let chroma = ridge(&colors, used - 1, 1.0);
        Exposure {
            luma: std::array::from_fn(|k| luma.get(k).copied().unwrap_or(0.0)),
            chroma: std::array::from_fn(|k| chroma.get(k).copied().unwrap_or(0.0)),
        }
    }
}

fn ridge(rows: &[(Vec<f32>, f32)], used: usize, hold: f64) -> Vec<f32> {
    let x = DMatrix::from_fn(rows.len(), used, |i, k| f64::from(rows[i].0[k]));
    let y = DVector::from_fn(rows.len(), |i, _| f64::from(rows[i].1));
    let gram = x.transpose() * &x + DMatrix::identity(used, used) * hold;
    let found = gram.cholesky().map(|c| c.solve(&(x.transpose() * y)));
    found.map_or_else(|| vec![0.0; used], |f| f.iter().map(|v| ((v * 1e3).round() / 1e3) as f32).collect())
}
