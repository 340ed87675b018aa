//! The denoising loop over a small transformer with random weights: stopping and going on, guidance, noise.
#![allow(clippy::unwrap_used, reason = "tests")]

use anicrafter_pipeline::denoise::{
    FewStepName, Interval, Sampling, SavedState, SolverName, Start, Step, StepCacheName, StepCacheSettings,
    Watch, denoise, denoise_on_ranks, window_seed,
};
use anicrafter_pipeline::{Error, Result};
use candle_core::{DType, Device, Tensor};
use dit::{Conditions, Config, WanModel};
use nn::{RandomWeights, Weights};
use ranks::{Collectives, Threads};
use std::sync::Arc;

const SHAPE: [usize; 5] = [1, 16, 2, 4, 4];

struct Small {
    model: WanModel,
    positive: Tensor,
    negative: Tensor,
}

impl Small {
    fn new() -> Self {
        let config =
            Config { dim: 48, ffn_dim: 64, num_heads: 2, num_layers: 2, text_dim: 32, ..Config::t2v_1_3b() };
        let weights = Weights::new(Arc::new(RandomWeights::default()), DType::F32, &Device::Cpu);
        let rows = |x: f32| Tensor::full(x, (1, 6, 32), &Device::Cpu).unwrap();
        Self { model: WanModel::load(&config, &weights).unwrap(), positive: rows(0.7), negative: rows(-0.4) }
    }

    fn run(&self, sampling: &Sampling, start: Start, watch: &mut dyn Watch) -> Result<Tensor> {
        let of = |context| Conditions { context, clip_feature: None, y: None, add_condition: None };
        let (positive, negative) = (of(&self.positive), of(&self.negative));
        denoise(&self.model, &positive, Some(&negative), start, sampling, watch)
    }

    /// What each of `size` ranks gets, and what rank 0's watcher saw.
    fn run_on(
        &self,
        size: usize,
        sampling: &Sampling,
        start: &Start,
        watch: impl Fn() -> Saving + Sync,
    ) -> Result<(Vec<Tensor>, Saving)> {
        let of = |context| Conditions { context, clip_feature: None, y: None, add_condition: None };
        let (positive, negative) = (of(&self.positive), of(&self.negative));
        let seen = std::sync::Mutex::new(Saving::default());
        let latents = Threads::run(size, |rank| {
            let mut own = watch();
            let (model, start) = (&self.model, start.clone());
            let others: &mut dyn Watch = &mut ();
            let watch: &mut dyn Watch = if rank.rank() == 0 { &mut own } else { others };
            let made = denoise_on_ranks(rank, model, &positive, Some(&negative), start, sampling, watch);
            if rank.rank() == 0 {
                *seen.lock().unwrap() = own;
            }
            made
        });
        let seen = seen.into_inner().unwrap();
        latents.map(|latents| (latents, seen))
    }
}

fn sampling(steps: usize) -> Sampling {
    Sampling { steps, cfg_scale: 2.0, bf16_timestep: false, bf16_latents: false, ..Sampling::reference() }
}

fn noise(seed: u64) -> Start {
    Start::noise(seed, SHAPE, &Device::Cpu).unwrap()
}

fn bits(x: &Tensor) -> Vec<u32> {
    let values: Vec<f32> = x.flatten_all().unwrap().to_vec1().unwrap();
    values.into_iter().map(f32::to_bits).collect()
}

/// Keeps what an interrupted loop would have on disk, and how many branches ran in each step.
#[derive(Default)]
struct Saving {
    saved: Vec<(Tensor, SavedState)>,
    guided: Vec<bool>,
    computed: Vec<bool>,
    stop_after: Option<usize>,
}

impl Watch for Saving {
    fn saves(&mut self, _: usize) -> bool {
        true
    }

    fn step(&mut self, step: &Step<'_>) -> Result<()> {
        self.saved.push((step.latents.clone(), step.carried.save()?));
        self.guided.push(step.negative.is_some());
        self.computed.push(step.cache[0].0);
        if self.stop_after == Some(step.index) { Err(Error::Cancelled) } else { Ok(()) }
    }
}

/// What each step says of the clean latents, beside what the latents before it say.
struct Clean {
    before: Tensor,
    before_sigma: f64,
    steps: usize,
}

impl Watch for Clean {
    fn step(&mut self, step: &Step<'_>) -> Result<()> {
        let own = (&self.before - (step.velocity * self.before_sigma)?)?;
        let difference = (step.clean()? - own)?.abs()?.max_all()?.to_scalar::<f32>()?;
        assert!(difference < 1e-4, "step {}: {difference}", step.index);
        (self.before, self.before_sigma) = (step.latents.clone(), step.sigma);
        self.steps += 1;
        Ok(())
    }
}

#[test]
fn the_clean_latents_lie_on_the_line_that_a_step_goes_along() {
    let small = Small::new();
    let start = noise(5);
    let mut clean = Clean { before: start.latents.clone(), before_sigma: 1.0, steps: 0 };
    let sampling = Sampling { solver: SolverName::Euler, ..sampling(6) };
    let result = small.run(&sampling, start, &mut clean).unwrap();
    assert_eq!((clean.steps, clean.before_sigma), (6, 0.0));
    assert_eq!(bits(&result), bits(&clean.before), "after the last step nothing is left to take away");
}

/// Thresholds high enough for random weights, whose answers jump from step to step.
fn caches() -> Vec<Option<StepCacheSettings>> {
    let of = StepCacheSettings::of;
    let tea = StepCacheSettings { threshold: Some(1e6), ..of(StepCacheName::Tea) };
    let easy = StepCacheSettings { threshold: Some(2.0), keep_first: Some(3), ..of(StepCacheName::Easy) };
    vec![None, Some(tea), Some(easy), Some(of(StepCacheName::Taylor))]
}

#[test]
fn a_loop_that_was_stopped_goes_on_to_the_same_bits() {
    let small = Small::new();
    for step_cache in caches() {
        for solver in [SolverName::Euler, SolverName::UniPc, SolverName::Lcm] {
            let sampling = Sampling { solver, step_cache: step_cache.clone(), ..sampling(12) };
            let mut whole = Saving::default();
            let result = small.run(&sampling, noise(5), &mut whole).unwrap();
            if step_cache.is_some() {
                assert!(whole.computed.iter().any(|computed| !computed), "{step_cache:?} leaves steps out");
            }
            for last in [0, 4, 6, 10] {
                let mut stopped = Saving { stop_after: Some(last), ..Saving::default() };
                assert!(matches!(small.run(&sampling, noise(5), &mut stopped), Err(Error::Cancelled)));
                let (latents, state) = stopped.saved.pop().unwrap();
                let start = Start { latents, step: last + 1, seed: 5, state };
                let resumed = small.run(&sampling, start, &mut ()).unwrap();
                assert_eq!(bits(&resumed), bits(&result), "{step_cache:?}, {solver:?}, stopped after {last}");
            }
        }
    }
}

#[test]
fn guidance_is_on_within_its_interval_alone() {
    let small = Small::new();
    let levels = sampling(8).schedule().unwrap().sigmas().to_vec();
    let limited = Sampling { guidance_interval: Some([0.5, 0.9].into()), ..sampling(8) };
    let mut watch = Saving::default();
    let result = small.run(&limited, noise(1), &mut watch).unwrap();
    let expected: Vec<bool> = levels.iter().map(|sigma| (0.5..=0.9).contains(sigma)).collect();
    assert_eq!(watch.guided, expected);
    assert!(expected.contains(&true) && expected.contains(&false));
    let always = small.run(&sampling(8), noise(1), &mut ()).unwrap();
    assert_ne!(bits(&result), bits(&always));
    let everywhere = Sampling { guidance_interval: Some([0.0, 1.0].into()), ..sampling(8) };
    assert_eq!(bits(&small.run(&everywhere, noise(1), &mut ()).unwrap()), bits(&always));
    // A cache has nothing of the branch that comes back: the step is computed.
    for step_cache in caches().into_iter().flatten() {
        let cached = Sampling { step_cache: Some(step_cache), ..limited.clone() };
        let mut watch = Saving::default();
        small.run(&cached, noise(1), &mut watch).unwrap();
        let first = expected.iter().position(|guided| *guided).unwrap();
        assert!(watch.computed[first]);
    }
}

#[test]
fn windows_have_noise_of_their_own_in_every_step() {
    let small = Small::new();
    let sampling = Sampling { solver: SolverName::Lcm, ..sampling(3) };
    // The same start: only what is drawn between the steps differs.
    let latents = noise(0).latents;
    let of_window = |n| {
        let start = Start::at(latents.clone(), window_seed(sampling.seed, n));
        bits(&small.run(&sampling, start, &mut ()).unwrap())
    };
    assert_eq!(of_window(0), of_window(0));
    assert_ne!(of_window(0), of_window(1));
    assert_ne!(of_window(1), of_window(2));
}

#[test]
fn a_preset_runs() {
    let small = Small::new();
    let mut sampling = sampling(50);
    sampling.use_few_step(FewStepName::LongLive);
    let mut watch = Saving::default();
    small.run(&sampling, noise(0), &mut watch).unwrap();
    assert_eq!(watch.guided, [false; 4]);
}

/// Largest difference over the largest value.
fn difference(got: &Tensor, want: &Tensor) -> f32 {
    let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (got, want) = (values(got), values(want));
    assert_eq!(got.len(), want.len());
    let largest = want.iter().fold(0_f32, |m, v| m.max(v.abs()));
    got.iter().zip(&want).fold(0_f32, |m, (a, b)| m.max((a - b).abs())) / largest
}

#[test]
fn ranks_go_through_the_loop_as_one_does() {
    let small = Small::new();
    // Guidance over all steps, over some, none; ranks in groups and not.
    let some = Some(Interval { low: 0.3, high: 0.9 });
    for step_cache in caches() {
        for (cfg_scale, guidance_interval, size) in
            [(2.0, None, 2), (2.0, None, 4), (2.0, some, 2), (2.0, some, 4), (1.0, None, 2)]
        {
            let name = format!("{step_cache:?}, guidance {cfg_scale} {guidance_interval:?}, {size} ranks");
            let sampling =
                Sampling { step_cache: step_cache.clone(), cfg_scale, guidance_interval, ..sampling(9) };
            let mut alone = Saving::default();
            let result = small.run(&sampling, noise(4), &mut alone).unwrap();
            let (latents, seen) = small.run_on(size, &sampling, &noise(4), Saving::default).unwrap();
            assert_eq!((&seen.computed, &seen.guided), (&alone.computed, &alone.guided), "{name}");
            for latents in &latents {
                assert!(difference(latents, &result) < 1e-6, "{name}: {}", difference(latents, &result));
            }
            // What was saved on ranks is whole: one rank, or another number of them, goes on from it.
            for step in [3, 6] {
                let (latents, state) = seen.saved[step].clone();
                let start = Start { latents, step: step + 1, seed: 4, state };
                let resumed = small.run(&sampling, start.clone(), &mut ()).unwrap();
                assert!(difference(&resumed, &result) < 1e-6, "{name}, resumed alone at {step}");
                let other = if size == 2 { 4 } else { 2 };
                let other = if cfg_scale == 1.0 { 1 } else { other };
                let (resumed, _) = small.run_on(other, &sampling, &start, Saving::default).unwrap();
                assert!(difference(&resumed[0], &result) < 1e-6, "{name}, resumed on {other} at {step}");
            }
        }
    }
}

#[test]
fn ranks_stop_when_one_of_them_is_stopped() {
    let small = Small::new();
    let stopped =
        small.run_on(4, &sampling(4), &noise(4), || Saving { stop_after: Some(1), ..Saving::default() });
    assert!(matches!(stopped, Err(Error::Cancelled)), "{:?}", stopped.err());
    // 8 ranks are two groups of 4, which can't share 2 heads.
    let refused = small.run_on(8, &sampling(4), &noise(4), Saving::default).err().unwrap().to_string();
    assert!(refused.contains("4 ranks can't share 2 heads"), "{refused}");
}

#[test]
fn a_part_of_a_state_is_not_saved_for_the_whole() {
    struct Careless(Option<Error>);
    impl Watch for Careless {
        fn step(&mut self, step: &Step<'_>) -> Result<()> {
            self.0 = step.carried.save().err();
            Ok(())
        }
    }
    let small = Small::new();
    let of = |context| Conditions { context, clip_feature: None, y: None, add_condition: None };
    let sampling = Sampling { step_cache: caches().remove(1), cfg_scale: 1.0, ..sampling(3) };
    let errors = Threads::run(2, |rank| {
        let mut watch = Careless(None);
        denoise_on_ranks(rank, &small.model, &of(&small.positive), None, noise(4), &sampling, &mut watch)?;
        Ok::<_, Error>(watch.0)
    });
    assert!(errors.unwrap().iter().all(|error| matches!(error, Some(Error::PartOfAState))));
}
