//! Four steps of a preset over a model that is a closure, with a step cache beside fifty steps of it.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use anicrafter_sampler::{
    Decision, FewStep, FlowMatch, Signals, Solver, SolverKind, StepCache, StepCacheKind, noise,
};
use candle_core::{Device, Tensor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A model of pictures that are all 2: the velocity from noise towards it.
    let model = |x: &Tensor, sigma: f32| (x - 2.0)? / f64::from(sigma);
    let start = Tensor::new(noise::randn(0, 8), &Device::Cpu)?;

    let preset = FewStep::named("lightx2v").ok_or("no such preset")?;
    let mut solver = Solver::new(preset.solver, preset.schedule()?);
    let mut x = start.clone();
    for step in 0..solver.schedule().len() {
        let velocity = model(&x, solver.schedule().sigmas()[step])?;
        x = solver.step(step, &velocity, &x)?;
    }
    println!("{} steps of {}: {:?}", preset.steps(), preset.name, x.to_vec1::<f32>()?);

    let steps = 50;
    let mut solver = Solver::new(SolverKind::Euler, FlowMatch::new(steps, 5.0)?);
    let mut cache = StepCache::new(StepCacheKind::Taylor { interval: 3, order: 1, keep_first: 3 }, steps)?;
    let (mut x, mut calls) = (start, 0);
    for step in 0..steps {
        let sigma = solver.schedule().sigmas()[step];
        let signals = Signals { sigma, sample: &x, modulation: None };
        let velocity = if cache.decide(&signals, 1)? == Decision::Compute {
            let velocity = model(&x, sigma)?;
            cache.store(0, &x, &velocity)?;
            calls += 1;
            velocity
        } else {
            cache.predict(0, &x)?
        };
        x = solver.step(step, &velocity, &x)?;
    }
    println!("{steps} steps, {calls} calls of the model: {:?}", x.to_vec1::<f32>()?);
    Ok(())
}
