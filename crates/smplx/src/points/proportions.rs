//! One body's build with another's proportions.

use super::retarget::solve;
use crate::error::Result;
use crate::model::BodyModel;

/// Joints whose bones are proportions: pelvis and `body_pose`.
const JOINTS: usize = 22;
/// The head's joint.
const HEAD: usize = 15;
/// Places of the head's surface that are compared.
const HEAD_POINTS: usize = 48;
/// Metres by which a bone or a place of the head may miss, against one unit of a shape coefficient.
const SPREAD_M: f64 = 0.004;

/// Shape coefficients of a body that is built like `own` and has the proportions of `of`: its bones' lengths, its shoulders and
/// hips, the size of its head. What bones and head don't show, such as how stout somebody is, stays as in `own`.
///
/// # Errors
/// When there are more coefficients than components.
pub fn with_proportions(model: &BodyModel, own: &[f32], of: &[f32]) -> Result<Vec<f32>> {
    let change = change(own, of);
    let rows = (0..change.len()).map(|c| bones(model, c)).collect::<Result<Vec<_>>>()?;
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / SPREAD_M.powi(2);
    let mut matrix: Vec<Vec<f64>> = rows.iter().map(|a| rows.iter().map(|b| dot(a, b)).collect()).collect();
    let wanted = |row: &Vec<f64>| row.iter().zip(&change).map(|(m, c)| m * f64::from(*c)).sum();
    let right = matrix.iter().map(wanted).collect();
    for (i, row) in matrix.iter_mut().enumerate() {
        row[i] += 1.0;
    }
    let own = own.iter().copied().chain(std::iter::repeat(0.0));
    Ok(solve(matrix, right).into_iter().zip(own).map(|(step, own)| own + step as f32).collect())
}

/// What has to be added to some shape coefficients for others; those that are left out are 0.
pub(super) fn change(from: &[f32], to: &[f32]) -> Vec<f32> {
    let at = |betas: &[f32], c: usize| betas.get(c).copied().unwrap_or(0.0);
    (0..from.len().max(to.len())).map(|c| at(to, c) - at(from, c)).collect()
}

/// How bones, and places of the head as seen from its joint, change with one unit of a shape component, in metres.
fn bones(model: &BodyModel, component: usize) -> Result<Vec<f64>> {
    let mut unit = vec![0.0; component + 1];
    unit[component] = 1.0;
    let (rest, mean) = (model.rest_joints(&unit, &[])?, model.rest_joints(&[], &[])?);
    let moved = |j: usize, k: usize| f64::from(rest[j][k] - mean[j][k]);
    let mut all = Vec::new();
    for j in 1..JOINTS {
        let parent = model.parents()[j].map_or(0, usize::from);
        all.extend((0..3).map(|k| moved(j, k) - moved(parent, k)));
    }
    let of_head = |v: &usize| model.weights().dominant_joint(*v) == HEAD;
    let head: Vec<usize> = (0..model.n_vertices()).filter(of_head).collect();
    for v in head.iter().step_by(head.len().div_ceil(HEAD_POINTS).max(1)) {
        let place = model.shape_direction(*v, component);
        all.extend((0..3).map(|k| f64::from(place[k]) - moved(HEAD, k)));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{self, Size};

    #[test]
    fn bones_become_the_others() {
        let model = synthetic::body(Size { n_vertices: 400, ..Size::OFFICIAL }, 5);
        let n = 6;
        let own: Vec<f32> = (0..n).map(|c| (c as f32 * 1.7).sin()).collect();
        let of: Vec<f32> = (0..n).map(|c| (c as f32 * 0.9 + 1.0).cos()).collect();
        let found = with_proportions(&model, &own, &of).unwrap();
        let length = |betas: &[f32], j: usize| {
            let rest = model.rest_joints(betas, &[]).unwrap();
            let parent = usize::from(model.parents()[j].unwrap());
            (0..3).map(|k| (rest[j][k] - rest[parent][k]).powi(2)).sum::<f32>().sqrt()
        };
        for j in 1..JOINTS {
            let [own, found, of] = [&own, &found, &of].map(|betas| length(betas, j));
            assert!(
                (found - of).abs() < 0.002 + 0.1 * (own - of).abs(),
                "{j}: {own} became {found}, not {of}"
            );
        }
        // Nobody changes into themselves.
        let same = with_proportions(&model, &own, &own).unwrap();
        assert!(same.iter().zip(&own).all(|(a, b)| (a - b).abs() < 1e-5));
        assert!(with_proportions(&model, &own, &vec![0.0; model.n_betas() + 1]).is_err());
    }
}
