//! Solvers: how a predicted velocity becomes the next sample.

use crate::flow_match::scale;
use crate::{Error, FlowMatch, Result, SavedState};
use candle_core::{DType, Tensor};

/// The choice of solver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SolverKind {
    /// First-order Euler steps: what the reference does.
    Euler,
    /// UniPC, second order: the same quality in fewer steps.
    UniPc,
    /// Predict the clean sample, then add fresh noise down to the next level: for distilled few-step weights.
    Lcm,
}

/// A solver over a schedule.
#[derive(Clone, Debug)]
pub struct Solver {
    schedule: FlowMatch,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Euler,
    Lcm,
    UniPc(UniPc),
}

impl Solver {
    /// A solver of the given kind.
    #[must_use]
    pub fn new(kind: SolverKind, schedule: FlowMatch) -> Self {
        let state = match kind {
            SolverKind::Euler => State::Euler,
            SolverKind::Lcm => State::Lcm,
            SolverKind::UniPc => State::UniPc(UniPc::default()),
        };
        Self { schedule, state }
    }

    /// Euler steps.
    #[must_use]
    pub fn euler(schedule: FlowMatch) -> Self {
        Self::new(SolverKind::Euler, schedule)
    }

    /// The schedule.
    #[must_use]
    pub fn schedule(&self) -> &FlowMatch {
        &self.schedule
    }

    /// Does [`Solver::step_with_noise`] use noise at this step?
    #[must_use]
    pub fn wants_noise(&self, step: usize) -> bool {
        matches!(self.state, State::Lcm) && step + 1 < self.schedule.len()
    }

    /// The sample after step `step`, from the velocity predicted at it.
    ///
    /// # Errors
    /// When the step lies outside the schedule or out of order, when fresh noise is needed, or when shapes differ.
    pub fn step(&mut self, step: usize, velocity: &Tensor, sample: &Tensor) -> Result<Tensor> {
        if self.wants_noise(step) {
            return Err(Error::NoiseMissing(step));
        }
        self.advance(step, velocity, sample, None)
    }

    /// As [`Solver::step`], with fresh normal noise for solvers that want some.
    ///
    /// # Errors
    /// When the step lies outside the schedule or out of order, or when shapes differ.
    pub fn step_with_noise(
        &mut self,
        step: usize,
        velocity: &Tensor,
        sample: &Tensor,
        noise: &Tensor,
    ) -> Result<Tensor> {
        self.advance(step, velocity, sample, Some(noise))
    }

    /// Everything besides the sample that the next steps depend on: nothing for solvers that look at one step alone.
    ///
    /// # Errors
    /// When the device fails.
    pub fn save(&self) -> Result<SavedState> {
        let mut saved = SavedState::default();
        let State::UniPc(state) = &self.state else { return Ok(saved) };
        saved.put_number("due", state.due as f64)?;
        for (i, (lambda, clean)) in state.history.iter().enumerate() {
            saved.put_number(&format!("lambda.{i}"), *lambda)?;
            saved.put(format!("clean.{i}"), clean);
        }
        if let Some((sample, order)) = &state.last {
            saved.put("sample", sample);
            saved.put_number("order", *order as f64)?;
        }
        Ok(saved)
    }

    /// Goes on from what [`Solver::save`] gave for a solver of the same kind and schedule.
    ///
    /// # Errors
    /// When a part of the state is missing.
    pub fn restore(&mut self, saved: &SavedState) -> Result<()> {
        let State::UniPc(state) = &mut self.state else { return Ok(()) };
        state.due = saved.count("due")?;
        let history = saved.list("clean").into_iter().enumerate();
        state.history = history
            .map(|(i, clean)| Ok((saved.number(&format!("lambda.{i}"))?, clean)))
            .collect::<Result<_>>()?;
        state.last = match saved.get("sample") {
            Some(sample) => Some((sample, saved.count("order")?)),
            None => None,
        };
        Ok(())
    }

    fn advance(
        &mut self,
        step: usize,
        velocity: &Tensor,
        sample: &Tensor,
        noise: Option<&Tensor>,
    ) -> Result<Tensor> {
        match &mut self.state {
            State::Euler => self.schedule.euler(step, velocity, sample),
            State::Lcm => {
                let (now, next) = self.schedule.interval(step)?;
                let clean = (sample - scale(velocity, now)?)?;
                match noise {
                    Some(noise) if next > 0.0 => Ok((scale(&clean, 1.0 - next)? + scale(noise, next)?)?),
                    _ => Ok(clean),
                }
            }
            State::UniPc(state) => state.step(&self.schedule, step, velocity, sample),
        }
    }
}

/// UniPC (arXiv 2302.04867) of order 2 with `B₂(h) = eʰ − 1`, predicting the clean sample, in the
/// parametrisation of flow matching: α = 1 − σ, λ = ln α − ln σ.
#[derive(Clone, Debug, Default)]
struct UniPc {
    /// Step that is due.
    due: usize,
    /// Clean-sample predictions of the last two steps with their λ, the newest last.
    history: Vec<(f64, Tensor)>,
    /// The sample that the last prediction step started from, and its order.
    last: Option<(Tensor, usize)>,
}

impl UniPc {
    fn step(
        &mut self,
        schedule: &FlowMatch,
        step: usize,
        velocity: &Tensor,
        sample: &Tensor,
    ) -> Result<Tensor> {
        if step != self.due {
            return Err(Error::StepOrder { expected: self.due, got: step });
        }
        let (now, next) = schedule.interval(step)?;
        let dtype = sample.dtype();
        let sample = sample.to_dtype(DType::F32)?;
        let clean = (&sample - scale(&velocity.to_dtype(DType::F32)?, now)?)?;

        let corrected = self.correct(schedule, step, &clean, &sample)?;
        self.history.push((lambda(now), clean));
        if self.history.len() > 2 {
            self.history.remove(0);
        }
        let steps_left = schedule.len() - step;
        let order = self.history.len().min(steps_left).min(2);
        let predicted = self.predict(now, next, order, &corrected)?;
        self.last = Some((corrected, order));
        self.due += 1;
        Ok(predicted.to_dtype(dtype)?)
    }

    /// Improves the sample that the last step predicted, now that the model was asked there.
    fn correct(&self, schedule: &FlowMatch, step: usize, clean: &Tensor, sample: &Tensor) -> Result<Tensor> {
        let (Some((origin, order)), Some((_, previous))) = (&self.last, self.history.last()) else {
            return Ok(sample.clone());
        };
        let (from, _) = schedule.interval(step - 1)?;
        let (to, _) = schedule.interval(step)?;
        let h = lambda(to) - lambda(from);
        let b = (-h).exp_m1();
        let base = linear(origin, f64::from(to / from), previous, -(1.0 - f64::from(to)) * b)?;
        let here = (clean - previous)?;
        let correction = if *order < 2 || self.history.len() < 2 {
            (here * 0.5)?
        } else {
            let (older_lambda, older) = &self.history[0];
            let r = (older_lambda - lambda(from)) / h;
            let [r1, r2] = solve_order_two(-h, r);
            linear(&((older - previous)? / r)?, r1, &here, r2)?
        };
        linear(&base, 1.0, &correction, -(1.0 - f64::from(to)) * b)
    }

    fn predict(&self, now: f32, next: f32, order: usize, sample: &Tensor) -> Result<Tensor> {
        let Some((newest_lambda, newest)) = self.history.last() else {
            return Ok(sample.clone());
        };
        if next == 0.0 {
            // The limit h → ∞: the clean prediction itself.
            return Ok(newest.clone());
        }
        let h = lambda(next) - newest_lambda;
        let b = (-h).exp_m1();
        let alpha = 1.0 - f64::from(next);
        let base = linear(sample, f64::from(next / now), newest, -alpha * b)?;
        if order < 2 {
            return Ok(base);
        }
        let (older_lambda, older) = &self.history[0];
        let r = (older_lambda - newest_lambda) / h;
        let slope = ((older - newest)? / r)?;
        linear(&base, 1.0, &slope, -alpha * b * 0.5)
    }
}

/// `λ(σ) = ln(1 − σ) − ln σ`; σ = 1 is moved just inside.
fn lambda(sigma: f32) -> f64 {
    let sigma = f64::from(sigma).min(1.0 - 1e-6);
    (1.0 - sigma).ln() - sigma.ln()
}

/// The corrector's two weights: solves `[[1, 1], [r, 1]] · ρ = [φ₂/B, 2·φ₃/B]` at `hh = −h`.
fn solve_order_two(hh: f64, r: f64) -> [f64; 2] {
    let b = hh.exp_m1();
    let phi2 = b / hh - 1.0;
    let phi3 = phi2 / hh - 0.5;
    let (b1, b2) = (phi2 / b, 2.0 * phi3 / b);
    let first = (b2 - b1) / (r - 1.0);
    [first, b1 - first]
}

fn linear(a: &Tensor, wa: f64, b: &Tensor, wb: f64) -> Result<Tensor> {
    Ok(((a * wa)? + (b * wb)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// Integrates the flow of a target distribution N(2, 0.5²) with `steps` steps; the exact end is known.
    fn error_of(kind: SolverKind, steps: usize) -> f64 {
        let mut solver = Solver::new(kind, FlowMatch::new(steps, 3.0).unwrap());
        let mut x = Tensor::new(&[1.5f64, -0.7], &Device::Cpu).unwrap().to_dtype(DType::F32).unwrap();
        for i in 0..steps {
            let sigma = f64::from(solver.schedule().sigmas()[i]);
            // E[noise − x₀ | x] for x = (1 − σ)·x₀ + σ·noise with x₀ ~ N(2, 0.25)
            let variance = (1.0 - sigma).powi(2) * 0.25 + sigma * sigma;
            let centred = (&x - 2.0 * (1.0 - sigma)).unwrap();
            let velocity = ((centred * ((sigma - (1.0 - sigma) * 0.25) / variance)).unwrap() - 2.0).unwrap();
            x = solver.step(i, &velocity, &x).unwrap();
        }
        let got = x.to_vec1::<f32>().unwrap();
        let exact = [2.0 + 0.5 * 1.5, 2.0 - 0.5 * 0.7];
        got.iter().zip(exact).map(|(g, e)| (f64::from(*g) - e).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn unipc_converges_faster_than_euler() {
        let errors = |kind| [8, 16, 32, 64].map(|steps| error_of(kind, steps));
        let (euler, unipc) = (errors(SolverKind::Euler), errors(SolverKind::UniPc));
        assert!(unipc.iter().zip(&euler).all(|(u, e)| u < e), "UniPC {unipc:?}, Euler {euler:?}");
        // At 32 steps the second-order rule is far ahead; beyond, single precision is what is left of its error.
        assert!(unipc[2] < 0.1 * euler[2] && euler[3] > 0.4 * euler[2], "UniPC {unipc:?}, Euler {euler:?}");
    }

    #[test]
    fn one_few_step_jump_lands_on_the_prediction() {
        let mut solver = Solver::new(SolverKind::Lcm, FlowMatch::new(1, 5.0).unwrap());
        let noise = Tensor::new(&[0.3f32, -1.0], &Device::Cpu).unwrap();
        let clean = Tensor::new(&[0.5f32, 0.25], &Device::Cpu).unwrap();
        let velocity = (&noise - &clean).unwrap();
        let out = solver.step(0, &velocity, &noise).unwrap().to_vec1::<f32>().unwrap();
        assert!((out[0] - 0.5).abs() < 1e-6 && (out[1] - 0.25).abs() < 1e-6);
    }

    #[test]
    fn the_few_step_rule_asks_for_noise_and_unipc_for_order() {
        let x = Tensor::zeros(2, DType::F32, &Device::Cpu).unwrap();
        let mut lcm = Solver::new(SolverKind::Lcm, FlowMatch::new(2, 5.0).unwrap());
        assert!(lcm.wants_noise(0) && !lcm.wants_noise(1));
        assert!(matches!(lcm.step(0, &x, &x), Err(Error::NoiseMissing(0))));
        let mut unipc = Solver::new(SolverKind::UniPc, FlowMatch::new(2, 5.0).unwrap());
        assert!(matches!(unipc.step(1, &x, &x), Err(Error::StepOrder { expected: 0, got: 1 })));
    }
}
