//! Step caches over a model whose answers are known.
#![expect(clippy::unwrap_used, reason = "tests, helpers included")]

use anicrafter_sampler::{
    Decision, Error, FlowMatch, Level, Signals, Solver, SolverKind, StepCache, StepCacheKind, TeaCacheModel,
};
use candle_core::{DType, Device, Tensor};

const KINDS: [StepCacheKind; 4] = [
    StepCacheKind::Tea { threshold: 0.3, model: TeaCacheModel::I2v14b720p },
    StepCacheKind::Easy { threshold: 0.05, keep_first: 5 },
    StepCacheKind::Taylor { interval: 3, order: 1, keep_first: 3 },
    StepCacheKind::Taylor { interval: 3, order: 2, keep_first: 3 },
];

/// The flow of a target distribution N(m, 0.5²), m being the branch's: smooth in the sample and the noise level.
fn velocity(branch: usize, sigma: f64, x: &Tensor) -> Tensor {
    let mean = 2.0 - branch as f64;
    let variance = (1.0 - sigma).powi(2) * 0.25 + sigma * sigma;
    let centred = (x - mean * (1.0 - sigma)).unwrap();
    ((centred * ((sigma - (1.0 - sigma) * 0.25) / variance)).unwrap() - mean).unwrap()
}

struct Run {
    latents: Tensor,
    /// Decisions, one a step.
    decisions: Vec<Decision>,
    /// Latents and state after each step.
    saved: Vec<(Tensor, anicrafter_sampler::SavedState, anicrafter_sampler::SavedState)>,
}

/// A guided loop of two branches; from a saved step on where one is given.
fn run(kind: Option<StepCacheKind>, solver: SolverKind, steps: usize, from: Option<(usize, &Run)>) -> Run {
    let mut solver = Solver::new(solver, FlowMatch::new(steps, 5.0).unwrap());
    let mut cache = kind.map(|kind| StepCache::new(kind, steps).unwrap());
    let mut x = Tensor::new(&[1.5_f32, -0.7, 0.2, 3.0], &Device::Cpu).unwrap();
    let mut first = 0;
    if let Some((done, run)) = from {
        let (latents, solver_state, cache_state) = &run.saved[done - 1];
        (first, x) = (done, latents.clone());
        solver.restore(solver_state).unwrap();
        cache.as_mut().unwrap().restore(cache_state).unwrap();
    }
    let (mut decisions, mut saved) = (Vec::new(), Vec::new());
    for step in first..steps {
        let sigma = solver.schedule().sigmas()[step];
        // The modulation moves as the timestep does.
        let modulation = Tensor::full(1.0 + sigma, (1, 6, 4), &Device::Cpu).unwrap();
        let signals = Signals { sigma, sample: &x, modulation: Some(&modulation) };
        let decision = match &mut cache {
            Some(cache) => cache.decide(&signals, 2).unwrap(),
            None => Decision::Compute,
        };
        let branches: Vec<Tensor> = (0..2)
            .map(|branch| match &mut cache {
                Some(cache) if decision != Decision::Compute => cache.predict(branch, &x).unwrap(),
                other => {
                    let velocity = velocity(branch, sigma.into(), &x);
                    if let Some(cache) = other {
                        cache.store(branch, &x, &velocity).unwrap();
                    }
                    velocity
                }
            })
            .collect();
        let guided = (&branches[1] + ((&branches[0] - &branches[1]).unwrap() * 1.5).unwrap()).unwrap();
        x = solver.step(step, &guided, &x).unwrap();
        decisions.push(decision);
        let cache_state = cache.as_ref().map(|cache| cache.save().unwrap()).unwrap_or_default();
        saved.push((x.clone(), solver.save().unwrap(), cache_state));
    }
    Run { latents: x, decisions, saved }
}

fn bits(x: &Tensor) -> Vec<u32> {
    x.to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
}

fn rms(a: &Tensor, b: &Tensor) -> f32 {
    (a - b).unwrap().sqr().unwrap().mean_all().unwrap().sqrt().unwrap().to_scalar().unwrap()
}

#[test]
fn ends_always_run_and_something_is_left_out() {
    for kind in KINDS {
        let run = run(Some(kind), SolverKind::Euler, 50, None);
        let computed = run.decisions.iter().filter(|d| **d == Decision::Compute).count();
        assert_eq!(run.decisions[0], Decision::Compute, "{kind:?}");
        assert_eq!(run.decisions[49], Decision::Compute, "{kind:?}");
        assert!(computed < 45, "{kind:?} ran {computed} of 50 steps");
        let keep = match kind {
            StepCacheKind::Easy { keep_first, .. } | StepCacheKind::Taylor { keep_first, .. } => keep_first,
            StepCacheKind::Tea { .. } => 1,
        };
        assert!(run.decisions[..keep].iter().all(|d| *d == Decision::Compute), "{kind:?}");
    }
}

#[test]
fn forecasts_are_better_than_repeating() {
    let exact = run(None, SolverKind::Euler, 50, None).latents;
    let error = |order| {
        let kind = StepCacheKind::Taylor { interval: 3, order, keep_first: 3 };
        rms(&run(Some(kind), SolverKind::Euler, 50, None).latents, &exact)
    };
    let errors = [0, 1, 2].map(error);
    assert!(errors[1] < 0.3 * errors[0] && errors[2] < errors[1], "{errors:?}");
}

#[test]
fn a_polynomial_is_forecast_exactly() {
    let kind = StepCacheKind::Taylor { interval: 4, order: 2, keep_first: 3 };
    let mut cache = StepCache::new(kind, 20).unwrap();
    let velocity =
        |sigma: f32| Tensor::new(&[1.0 + 2.0 * sigma - 3.0 * sigma * sigma], &Device::Cpu).unwrap();
    let x = Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap();
    for sigma in [1.0_f32, 0.9, 0.85, 0.7] {
        match cache.decide(&Signals { sigma, sample: &x, modulation: None }, 1).unwrap() {
            Decision::Compute => cache.store(0, &x, &velocity(sigma)).unwrap(),
            Decision::Forecast => assert!(rms(&cache.predict(0, &x).unwrap(), &velocity(sigma)) < 1e-5),
            Decision::Reuse => panic!("a forecast was due"),
        }
    }
}

/// Stopped after any step and gone on from what was saved: the same bits, also with the multistep solver.
#[test]
fn a_cached_loop_resumes_to_the_same_bits() {
    for kind in KINDS {
        for solver in [SolverKind::Euler, SolverKind::UniPc] {
            let whole = run(Some(kind), solver, 20, None);
            for done in [1, 4, 9, 10, 11, 19] {
                let resumed = run(Some(kind), solver, 20, Some((done, &whole)));
                assert_eq!(
                    bits(&resumed.latents),
                    bits(&whole.latents),
                    "{kind:?}, {solver:?}, {done} steps"
                );
                assert_eq!(resumed.decisions, whole.decisions[done..]);
            }
        }
    }
}

/// EasyCache by hand: the change of the sample times the rate, over the velocity's size, is added up.
#[test]
fn easy_cache_adds_up_what_its_paper_says() {
    let tensor = |x: f32| Tensor::new(&[x], &Device::Cpu).unwrap();
    let mut cache = StepCache::new(StepCacheKind::Easy { threshold: 0.5, keep_first: 2 }, 10).unwrap();
    let decide = |cache: &mut StepCache, x: f32| {
        cache.decide(&Signals { sigma: 0.5, sample: &tensor(x), modulation: None }, 1).unwrap()
    };
    assert_eq!(cache.level(), Level::Velocity);
    assert_eq!(decide(&mut cache, 1.0), Decision::Compute);
    cache.store(0, &tensor(1.0), &tensor(4.0)).unwrap();
    assert_eq!(decide(&mut cache, 2.0), Decision::Compute);
    cache.store(0, &tensor(2.0), &tensor(4.5)).unwrap(); // rate: 0.5 / 1
    assert_eq!(decide(&mut cache, 4.7), Decision::Reuse); // 0.5 · 2.7 / 4.5 = 0.3
    assert!((cache.accumulated() - 0.3).abs() < 1e-6);
    let reused = cache.predict(0, &tensor(4.7)).unwrap().to_vec1::<f32>().unwrap();
    assert!((reused[0] - (4.7 + 2.5)).abs() < 1e-6);
    assert_eq!(decide(&mut cache, 6.6), Decision::Compute); // 0.3 + 0.5 · 1.9 / 4.5 > 0.5
    assert_eq!(cache.accumulated(), 0.0);
}

/// A branch that sat out the last computed step has nothing to reuse: the step runs.
#[test]
fn a_branch_that_comes_back_is_computed() {
    for kind in KINDS {
        let mut cache = StepCache::new(kind, 50).unwrap();
        let x = Tensor::ones(4, DType::F32, &Device::Cpu).unwrap();
        let decide = |cache: &mut StepCache, branches| {
            let modulation = x.clone();
            let signals = Signals { sigma: 0.5, sample: &x, modulation: Some(&modulation) };
            let decision = cache.decide(&signals, branches).unwrap();
            if decision == Decision::Compute {
                for branch in 0..branches {
                    cache.store(branch, &x, &(&x * 1.5).unwrap()).unwrap();
                }
            }
            decision
        };
        for _ in 0..8 {
            decide(&mut cache, 1);
        }
        assert_eq!(decide(&mut cache, 2), Decision::Compute, "{kind:?}");
    }
}

#[test]
fn wrong_use_is_an_error() {
    let tea = StepCacheKind::Tea { threshold: f64::NAN, model: TeaCacheModel::T2v14b };
    assert!(matches!(StepCache::new(tea, 3), Err(Error::Threshold(_))));
    let taylor = StepCacheKind::Taylor { interval: 1, order: 1, keep_first: 1 };
    assert!(matches!(StepCache::new(taylor, 3), Err(Error::Interval(1))));
    let x = Tensor::zeros(2, DType::F32, &Device::Cpu).unwrap();
    let mut cache = StepCache::new(KINDS[0], 30).unwrap();
    assert!(matches!(cache.predict(0, &x), Err(Error::NoResidual)));
    let blind = Signals { sigma: 0.5, sample: &x, modulation: None };
    assert!(matches!(cache.decide(&blind, 1), Err(Error::SignalMissing("modulation"))));
    let error = cache.restore(&StepCache::new(KINDS[2], 30).unwrap().save().unwrap()).unwrap_err();
    assert!(error.to_string().contains("accumulated"), "{error}");
}
