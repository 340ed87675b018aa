//! Gauss–Newton with damping over a run of frames: landmarks in the picture, bone directions, what bodies are likely to do,
//! and smoothness, all at once. The system is banded: a frame meets only its neighbours.

use super::band::Band;
use super::math::{V3, apply, column, cross, log, log_jacobian, mul, norm, sub, transpose};
use super::prior::{EXPECTED, HINGE_SPREAD, HINGES, TRANSLATION_JERK, UNSEEN, UPRIGHT_SPREAD};
use super::rig::{JOINTS, Rig, State, UNKNOWNS};
use super::view::View;
use crate::error::{Error, Result};
use smplx::Camera;
use std::ops::ControlFlow;

/// Residuals beyond this many standard deviations count linearly.
const HUBER: f64 = 2.0;
/// Metres by which the end of a bone may miss its direction: across the line of sight, and along it.
const BONE_NOISE: [f64; 2] = [0.06, 0.09];
const ITERATIONS: usize = 14;
/// The sum of squares must fall by this part, or it is enough.
const ENOUGH: f64 = 1e-4;

/// A run of frames to be solved together.
pub(crate) struct Problem<'a> {
    pub rig: &'a Rig,
    pub camera: &'a Camera,
    /// What each frame shows; `None` where nobody was seen.
    pub views: &'a [Option<View>],
    /// Frames that don't follow from the one before.
    pub cuts: &'a [bool],
    /// Makes smoothness independent of the frame rate: 1 at 20 frames a second.
    pub pace: f64,
}

/// Sums of squares and, where asked for, their derivatives.
struct System {
    cost: f64,
    matrix: Option<(Band, Vec<f64>)>,
}

impl System {
    /// Adds `weight² · residual²`, robustly if asked; `row` lists unknowns with derivatives.
    fn add(&mut self, row: &[(usize, f64)], residual: f64, weight: f64, robust: bool) {
        let r = residual * weight;
        let (cost, soften) = if robust && r.abs() > HUBER {
            (2.0 * HUBER * r.abs() - HUBER * HUBER, HUBER / r.abs())
        } else {
            (r * r, 1.0)
        };
        self.cost += cost;
        if let Some((band, gradient)) = &mut self.matrix {
            let w = weight * weight * soften;
            for (n, &(i, a)) in row.iter().enumerate() {
                gradient[i] += w * a * residual;
                for &(j, b) in &row[..=n] {
                    let (i, j) = if i >= j { (i, j) } else { (j, i) };
                    band.add(i, j, w * a * b);
                }
            }
        }
    }
}

impl Problem<'_> {
    fn evaluate(&self, states: &[State], with_matrix: bool) -> System {
        let n = states.len() * UNKNOWNS;
        let matrix = with_matrix.then(|| (Band::new(n, (3 * UNKNOWNS - 1).min(n.max(1) - 1)), vec![0.0; n]));
        let mut system = System { cost: 0.0, matrix };
        for (t, state) in states.iter().enumerate() {
            let view = self.views[t].as_ref();
            if let Some(view) = view {
                self.landmarks(&mut system, t * UNKNOWNS, state, view);
                upright(&mut system, t * UNKNOWNS, state, view);
            }
            prior(&mut system, t * UNKNOWNS, state, view);
        }
        for t in 1..states.len() {
            if let (Some(view), false) = (&self.views[t], self.cuts[t]) {
                self.stillness(&mut system, t, &states[t - 1..=t], view);
            }
        }
        for t in 1..states.len().saturating_sub(1) {
            if !self.cuts[t] && !self.cuts[t + 1] {
                self.smoothness(&mut system, t, &states[t - 1..=t + 1]);
            }
        }
        system
    }

    fn landmarks(&self, system: &mut System, base: usize, state: &State, view: &View) {
        let placed = self.rig.place(state);
        let [f, c] = [self.camera.focal_px, self.camera.principal_px].map(|v| v.map(f64::from));
        let mut columns: Vec<(usize, V3)> = Vec::new();
        let mut row: Vec<(usize, f64)> = Vec::new();
        for seen in &view.seen {
            let p = placed.points[seen.point];
            let z = p[2].max(0.1);
            columns.clear();
            self.rig.derivatives(&placed, seen.point, |i, d| columns.push((base + i, d)));
            for k in 0..3 {
                let mut d = [0.0; 3];
                d[k] = 1.0;
                columns.push((base + 3 * JOINTS + k, d));
            }
            for k in 0..2 {
                let residual = f[k] * p[k] / z + c[k] - seen.pixel[k];
                row.clear();
                row.extend(columns.iter().map(|(i, d)| (*i, f[k] * (d[k] - p[k] / z * d[2]) / z)));
                system.add(&row, residual, seen.weight, true);
            }
        }
        for bone in &view.bones {
            let vector = sub(placed.points[bone.to], placed.points[bone.from]);
            let length = norm(sub(at_rest(self.rig, bone.to), at_rest(self.rig, bone.from)));
            columns.clear();
            self.rig.derivatives(&placed, bone.to, |i, d| columns.push((base + i, d)));
            self.rig.derivatives(&placed, bone.from, |i, d| {
                match columns.iter_mut().find(|c| c.0 == base + i) {
                    Some(found) => found.1 = sub(found.1, d),
                    None => columns.push((base + i, d.map(|v| -v))),
                }
            });
            for k in 0..3 {
                let residual = vector[k] - bone.direction[k] * length;
                row.clear();
                row.extend(columns.iter().map(|(i, d)| (*i, d[k])));
                system.add(&row, residual, bone.trust / BONE_NOISE[usize::from(k == 2)], true);
            }
        }
    }

    /// What nobody sees keeps still: an arm that the border cuts doesn't swing.
    fn stillness(&self, system: &mut System, t: usize, states: &[State], view: &View) {
        for j in 1..JOINTS {
            let unseen = view.unseen(j);
            if unseen == 0.0 {
                continue;
            }
            let change = log(&mul(&transpose(&states[0].rotations[j]), &states[1].rotations[j]));
            let weight = unseen * self.pace.sqrt() / UNSEEN.1;
            for (k, residual) in change.into_iter().enumerate() {
                let i = t * UNKNOWNS + 3 * j + k;
                system.add(&[(i - UNKNOWNS, -1.0), (i, 1.0)], residual, weight, false);
            }
        }
    }

    fn smoothness(&self, system: &mut System, t: usize, states: &[State]) {
        let at = |dt: usize, i: usize| (t - 1 + dt) * UNKNOWNS + i;
        for j in 0..JOINTS {
            let change =
                |a: usize| log(&mul(&transpose(&states[a].rotations[j]), &states[a + 1].rotations[j]));
            let residual = sub(change(1), change(0));
            let weight = self.pace / EXPECTED[j].jerk;
            for k in 0..3 {
                let i = 3 * j + k;
                system.add(&[(at(0, i), 1.0), (at(1, i), -2.0), (at(2, i), 1.0)], residual[k], weight, false);
            }
        }
        for k in 0..3 {
            let [a, b, c] = [0, 1, 2].map(|n: usize| states[n].translation[k]);
            let i = 3 * JOINTS + k;
            // Far away bodies may move more, and are known less well.
            let weight = self.pace / (TRANSLATION_JERK[k] * (states[1].translation[2].abs() / 3.0).max(0.5));
            system.add(&[(at(0, i), 1.0), (at(1, i), -2.0), (at(2, i), 1.0)], a - 2.0 * b + c, weight, false);
        }
    }

    /// Improves `states`; `watch` is told before each round which part is done, and once at the end.
    pub(crate) fn solve(
        &self,
        states: &mut Vec<State>,
        watch: &mut dyn FnMut(f64) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut tell = |share| match watch(share) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Stopped),
        };
        let mut lambda = 1e-3;
        let mut system = self.evaluate(states, true);
        for round in 0..ITERATIONS {
            tell(round as f64 / ITERATIONS as f64)?;
            let cost = system.cost;
            let Some((mut band, gradient)) = system.matrix.take() else { break };
            band.damp(lambda);
            let step = band.solve(&gradient.iter().map(|g| -g).collect::<Vec<f64>>());
            let moved: Option<Vec<State>> = step.map(|step| {
                states.iter().zip(step.chunks_exact(UNKNOWNS)).map(|(s, step)| s.stepped(step)).collect()
            });
            let better = moved.filter(|moved| self.evaluate(moved, false).cost < cost);
            match better {
                Some(moved) => {
                    *states = moved;
                    lambda = (lambda * 0.2).max(1e-7);
                    system = self.evaluate(states, true);
                    if system.cost > cost * (1.0 - ENOUGH) {
                        break;
                    }
                }
                None => {
                    lambda *= 20.0;
                    if lambda > 1e4 {
                        break;
                    }
                    system = self.evaluate(states, true);
                }
            }
        }
        tell(1.0)
    }
}

fn at_rest(rig: &Rig, point: usize) -> V3 {
    let p = &rig.points[point];
    super::math::add(rig.rest[p.joint], p.offset)
}

/// Where the hips aren't seen, the trunk stands: landmarks alone would let it lie down.
fn upright(system: &mut System, base: usize, state: &State, view: &View) {
    let weight = (1.0 - 2.0 * view.hips).max(0.0) / UPRIGHT_SPREAD;
    if weight == 0.0 {
        return;
    }
    // The body's upward axis in camera axes, and how it changes with the root's turn: y points down there.
    let root = &state.rotations[0];
    let up = column(root, 1);
    let by = [0, 1, 2].map(|k| {
        let mut axis = [0.0; 3];
        axis[k] = 1.0;
        apply(root, cross(axis, [0.0, 1.0, 0.0]))
    });
    for (k, wanted) in [0.0, -1.0, 0.0].into_iter().enumerate() {
        let row: [(usize, f64); 3] = std::array::from_fn(|i| (base + i, by[i][k]));
        system.add(&row, up[k] - wanted, weight, false);
    }
}

fn prior(system: &mut System, base: usize, state: &State, view: Option<&View>) {
    for (j, expected) in EXPECTED.iter().enumerate().skip(1) {
        let nearer = 1.0 + (UNSEEN.0 - 1.0) * view.map_or(0.0, |view| view.unseen(j));
        let v = log(&state.rotations[j]);
        let jacobian = log_jacobian(v);
        for k in 0..3 {
            let row: [(usize, f64); 3] = std::array::from_fn(|i| (base + 3 * j + i, jacobian[k][i]));
            system.add(&row, v[k] - expected.reference[k], nearer / expected.spread[k], false);
        }
        for &(_, axis, [low, high]) in HINGES.iter().filter(|h| h.0 == j) {
            let beyond = v[axis] - v[axis].clamp(low, high);
            if beyond != 0.0 {
                let row: [(usize, f64); 3] = std::array::from_fn(|i| (base + 3 * j + i, jacobian[axis][i]));
                system.add(&row, beyond, 1.0 / HINGE_SPREAD, false);
            }
        }
    }
}
