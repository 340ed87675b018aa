//! The denoising loop.
//!
//! Ported from `diffsynth/pipelines/wan_video_v2v_combine.py` of the AniCrafter repository (`__call__` and
//! `model_fn_wan_video`): the positive branch carries the condition tokens, the negative one doesn't; guidance is
//! `negative + cfg · (positive − negative)`; with a scale of exactly 1 the negative branch isn't run. On several ranks
//! ([`denoise_on_ranks`]) all of them go through the same loop, and only the transformer's work is divided.

pub use crate::job::{FewStepName, Interval, Sampling, SolverName, StepCacheName, StepCacheSettings};
pub use sampler::{FewStep, SavedState};

use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use dit::{Branch, Conditions, Embedded, Team, Turn, WanModel};
use ranks::Collectives;
use sampler::noise::Generator;
use sampler::{Decision, Level, Signals, Solver, StepCache};
use std::ops::ControlFlow;

/// What one step computed.
#[derive(Debug)]
pub struct Step<'a> {
    /// The step, from 0.
    pub index: usize,
    /// What the model was told.
    pub timestep: f64,
    /// The velocity of the positive branch.
    pub positive: &'a Tensor,
    /// The velocity of the negative branch, where guidance is on.
    pub negative: Option<&'a Tensor>,
    /// The guided velocity.
    pub velocity: &'a Tensor,
    /// The latents after the step.
    pub latents: &'a Tensor,
    /// The noise that is left in them: sigma, 1 at the start, 0 at the end.
    pub sigma: f64,
    /// For each branch: did the model run, and the change that the step cache had added up.
    pub cache: &'a [(bool, f64)],
    /// What else the next steps depend on.
    pub carried: Carried<'a>,
}

impl Step<'_> {
    /// The clean latents as the model sees them after this step: those after it, without the noise that is left along the velocity.
    ///
    /// # Errors
    /// When the device fails.
    pub fn clean(&self) -> Result<Tensor> {
        let latents = self.latents.to_dtype(DType::F32)?;
        Ok((latents - (self.velocity.to_dtype(DType::F32)? * self.sigma)?)?)
    }
}

/// What a loop carries from step to step besides the latents.
#[derive(Clone, Copy, Debug)]
pub struct Carried<'a> {
    solver: &'a Solver,
    cache: Option<&'a StepCache>,
    /// Does the cache keep a part of what it would on one rank?
    is_part: bool,
}

impl Carried<'_> {
    /// Everything that [`Start::state`] takes: an interrupted loop goes on from it to the same bits.
    ///
    /// # Errors
    /// When the device fails; [`Error::PartOfAState`] on ranks, where [`Watch::saves`] didn't ask for the whole.
    pub fn save(&self) -> Result<SavedState> {
        if self.is_part {
            return Err(Error::PartOfAState);
        }
        let mut state = SavedState::default();
        state.extend("solver", self.solver.save()?);
        if let Some(cache) = self.cache {
            state.extend("cache", cache.save()?);
        }
        Ok(state)
    }
}

/// Watches the loop.
pub trait Watch {
    /// Before block `block` of `of` of a step. `Break` cancels.
    fn block(&mut self, step: usize, block: usize, of: usize) -> ControlFlow<()> {
        let _ = (step, block, of);
        ControlFlow::Continue(())
    }

    /// Will what is carried be saved after this step? Asked on ranks alone, of rank 0's watcher, since a step cache's tokens must then
    /// be brought together.
    fn saves(&mut self, step: usize) -> bool {
        let _ = step;
        false
    }

    /// After a step.
    ///
    /// # Errors
    /// Whatever the watcher wants to end the loop with.
    fn step(&mut self, step: &Step<'_>) -> Result<()> {
        let _ = step;
        Ok(())
    }
}

impl Watch for () {}

/// Where a loop starts: the noise, or what an interrupted loop had reached.
#[derive(Clone, Debug)]
pub struct Start {
    /// `[1, C, T, h, w]`
    pub latents: Tensor,
    /// Steps already done.
    pub step: usize,
    /// Seed of the noise that solvers draw between the steps: the clip's own, see [`window_seed`].
    pub seed: u64,
    /// What [`Carried::save`] gave after the last of those steps; empty at step 0.
    pub state: SavedState,
}

impl Start {
    /// The beginning: [`initial_noise`] of `seed`, latents of `shape` `[1, C, T, h, w]`.
    ///
    /// # Errors
    /// When the device fails.
    pub fn noise(seed: u64, shape: [usize; 5], device: &Device) -> Result<Self> {
        Ok(Self::at(initial_noise(seed, shape, device)?, seed))
    }

    /// The beginning, from latents of the caller's.
    #[must_use]
    pub fn at(latents: Tensor, seed: u64) -> Self {
        Self { latents, step: 0, seed, state: SavedState::default() }
    }
}

/// The seed of window `n` of a job, so that every window has noise of its own; the first one's is the job's.
#[must_use]
pub fn window_seed(seed: u64, n: usize) -> u64 {
    seed.wrapping_add((n as u64) << 20)
}

/// Runs the loop and returns the clean latents `[1, C, T, h, w]`.
///
/// # Errors
/// When shapes don't fit, the settings are impossible, or the watcher ends it.
pub fn denoise(
    model: &WanModel,
    positive: &Conditions<'_>,
    negative: Option<&Conditions<'_>>,
    start: Start,
    sampling: &Sampling,
    watch: &mut dyn Watch,
) -> Result<Tensor> {
    run(model, (positive, negative), start, sampling, watch, None)
}

/// [`denoise`] on the ranks of `world`, each of which calls it with the same inputs and gets the latents: the branches are divided
/// among two groups where that goes, their tokens among a group's ranks. What goes wrong on a rank is told to all.
///
/// # Errors
/// As [`denoise`]; when the ranks can't share the model's heads, or one of them fails.
pub fn denoise_on_ranks(
    world: &dyn Collectives,
    model: &WanModel,
    positive: &Conditions<'_>,
    negative: Option<&Conditions<'_>>,
    start: Start,
    sampling: &Sampling,
    watch: &mut dyn Watch,
) -> Result<Tensor> {
    let made = run(model, (positive, negative), start, sampling, watch, Some(world));
    if let Err(error) = &made {
        world.fail(&error.to_string());
    }
    made
}

fn run(
    model: &WanModel,
    (positive, negative): (&Conditions<'_>, Option<&Conditions<'_>>),
    start: Start,
    sampling: &Sampling,
    watch: &mut dyn Watch,
    world: Option<&dyn Collectives>,
) -> Result<Tensor> {
    sampling.validate()?;
    let mut branches = vec![model.branch(positive)?];
    if sampling.cfg_scale != 1.0 {
        let negative = negative.ok_or(Error::NegativeMissing { cfg_scale: sampling.cfg_scale })?;
        branches.push(model.branch(negative)?);
    }
    let world = world.filter(|world| world.size() > 1);
    let team = match world {
        Some(world) => Team::new(model, world, branches.len())?,
        None => Team::alone(model),
    };
    let mut run = Loop::new(team, world, branches, sampling, &start)?;
    let mut latents = run.keep(&start.latents)?;
    for index in start.step..sampling.steps {
        latents = run.step(index, &latents, watch)?;
    }
    Ok(latents)
}

struct Loop<'a> {
    team: Team<'a>,
    world: Option<&'a dyn Collectives>,
    branches: Vec<Branch>,
    cache: Option<StepCache>,
    solver: Solver,
    sampling: &'a Sampling,
    seed: u64,
    /// L, tokens of a branch.
    tokens: usize,
}

/// The branches' velocities, and of each: did the model run, and the change that the step cache had added up.
type Predictions = (Vec<Tensor>, Vec<(bool, f64)>);

impl<'a> Loop<'a> {
    fn new(
        team: Team<'a>,
        world: Option<&'a dyn Collectives>,
        branches: Vec<Branch>,
        sampling: &'a Sampling,
        start: &Start,
    ) -> Result<Self> {
        let mut cache = sampling.step_cache()?;
        let mut solver = Solver::new(sampling.solver.into(), sampling.schedule()?);
        if start.step > 0 {
            solver.restore(&start.state.part("solver"))?;
            if let Some(cache) = &mut cache {
                cache.restore(&start.state.part("cache"))?;
                // Saved whole; each rank keeps its part.
                let turn = team.turn(branches.len(), true)?;
                cache.change_tokens(|branch, whole| {
                    if turn.own.contains(&branch) { turn.hands.cut(whole) } else { Ok(nothing(whole)?) }
                })?;
            }
        }
        let tokens = team.tokens(&start.latents)?;
        Ok(Self { team, world, branches, cache, solver, sampling, seed: start.seed, tokens })
    }

    /// Rounds to what the reference keeps between operations.
    fn keep(&self, x: &Tensor) -> Result<Tensor> {
        if self.sampling.bf16_latents {
            Ok(x.to_dtype(DType::BF16)?.to_dtype(DType::F32)?)
        } else {
            Ok(x.to_dtype(DType::F32)?)
        }
    }

    fn step(&mut self, index: usize, latents: &Tensor, watch: &mut dyn Watch) -> Result<Tensor> {
        let schedule = self.solver.schedule();
        let timestep = f64::from(if self.sampling.bf16_timestep {
            schedule.timestep_bf16(index)?
        } else {
            schedule.timesteps()[index]
        });
        let (predictions, cache) = self.predict(index, timestep, latents, watch)?;
        let positive = &predictions[0];
        let negative = predictions.get(1);
        let velocity = match negative {
            Some(negative) => self.guide(positive, negative)?,
            None => positive.clone(),
        };
        let next = if self.solver.wants_noise(index) {
            let noise = self.fresh_noise(index, latents)?;
            self.solver.step_with_noise(index, &velocity, latents, &noise)?
        } else if self.sampling.bf16_latents && self.sampling.solver == SolverName::Euler {
            let as_bf16 = |x: &Tensor| x.to_dtype(DType::BF16);
            self.solver.step(index, &as_bf16(&velocity)?, &as_bf16(latents)?)?
        } else {
            self.solver.step(index, &velocity, latents)?
        };
        let next = self.keep(&next)?;
        let whole = self.whole_cache(index, watch)?;
        let in_parts =
            self.world.is_some() && self.cache.as_ref().is_some_and(|c| c.level() == Level::Tokens);
        watch.step(&Step {
            index,
            timestep,
            positive,
            negative,
            velocity: &velocity,
            latents: &next,
            sigma: self.solver.schedule().sigmas().get(index + 1).map_or(0.0, |sigma| f64::from(*sigma)),
            cache: &cache,
            carried: Carried {
                solver: &self.solver,
                cache: whole.as_ref().or(self.cache.as_ref()),
                is_part: in_parts && whole.is_none(),
            },
        })?;
        Ok(next)
    }

    /// The step cache with all tokens, where ranks keep parts of them and rank 0 will save it.
    fn whole_cache(&self, index: usize, watch: &mut dyn Watch) -> Result<Option<StepCache>> {
        let (Some(world), Some(cache)) = (self.world, &self.cache) else { return Ok(None) };
        if cache.level() != Level::Tokens {
            return Ok(None);
        }
        let mut saves = [u8::from(world.rank() == 0 && watch.saves(index))];
        world.broadcast(0, &mut saves)?;
        if saves == [0] {
            return Ok(None);
        }
        let mut whole = cache.clone();
        let turn = self.team.turn(self.branches.len(), true)?;
        whole.change_tokens(|branch, part| {
            let own = turn.own.contains(&branch);
            let gathered = own.then(|| turn.hands.gather(part, self.tokens)).transpose()?;
            let dims = [1, self.tokens, self.team.model().config().dim];
            turn.from_branch(branch, gathered.as_ref(), &dims, part.device())
        })?;
        Ok(Some(whole))
    }

    /// The velocities of the branches that take part in a step.
    fn predict(
        &mut self,
        index: usize,
        timestep: f64,
        latents: &Tensor,
        watch: &mut dyn Watch,
    ) -> Result<Predictions> {
        let sigma = self.solver.schedule().sigmas()[index];
        let active =
            if self.branches.len() > 1 && !self.sampling.guides(sigma) { 1 } else { self.branches.len() };
        let Some(mut cache) = self.cache.take() else {
            let velocities = self.velocities(index, timestep, active, latents, watch)?;
            return Ok((velocities, vec![(true, 0.0); active]));
        };
        let result = match cache.level() {
            Level::Tokens => {
                self.predict_tokens(&mut cache, (index, timestep, sigma), active, latents, watch)
            }
            Level::Velocity => {
                self.predict_velocity(&mut cache, (index, timestep, sigma), active, latents, watch)
            }
        };
        self.cache = Some(cache);
        result
    }

    /// A cache around the blocks: embedding and head run in every step.
    fn predict_tokens(
        &self,
        cache: &mut StepCache,
        (index, timestep, sigma): (usize, f64, f32),
        active: usize,
        latents: &Tensor,
        watch: &mut dyn Watch,
    ) -> Result<Predictions> {
        // The parts of the tokens that ranks keep must stay where they are.
        let turn = self.team.turn(active, true)?;
        let embedded = self.embed(&turn, timestep, latents)?;
        // All branches have one timestep; a rank that rests in this step looks at it too.
        let modulation = match embedded.first() {
            Some(embedded) => embedded.t_mod.clone(),
            None => turn.hands.embed(latents, timestep, &self.branches[0])?.t_mod,
        };
        let signals = Signals { sigma, sample: latents, modulation: Some(&modulation) };
        let compute = cache.decide(&signals, active)? == Decision::Compute;
        let decisions = vec![(compute, cache.accumulated()); active];
        let tokens = if compute {
            let tokens = self.run_blocks(&turn, index, &embedded, watch)?;
            let mut own = tokens.iter().zip(&embedded);
            for branch in 0..active {
                match turn.own.contains(&branch).then(|| own.next()).flatten() {
                    Some((tokens, embedded)) => cache.store(branch, &embedded.tokens, tokens)?,
                    // Another group's: it only counts.
                    None => {
                        let nothing = nothing(latents)?;
                        cache.store(branch, &nothing, &nothing)?;
                    }
                }
            }
            tokens
        } else {
            let one = |(branch, e): (usize, &Embedded)| cache.predict(branch, &e.tokens);
            turn.own.clone().zip(&embedded).map(one).collect::<sampler::Result<_>>()?
        };
        Ok((self.heads(&turn, &tokens, &embedded, latents)?, decisions))
    }

    /// A cache around the whole model: a step that is left out costs next to nothing.
    fn predict_velocity(
        &self,
        cache: &mut StepCache,
        (index, timestep, sigma): (usize, f64, f32),
        active: usize,
        latents: &Tensor,
        watch: &mut dyn Watch,
    ) -> Result<Predictions> {
        let compute =
            cache.decide(&Signals { sigma, sample: latents, modulation: None }, active)? == Decision::Compute;
        let decisions = vec![(compute, cache.accumulated()); active];
        if !compute {
            let one = |branch| self.keep(&cache.predict(branch, latents)?);
            return Ok(((0..active).map(one).collect::<Result<_>>()?, decisions));
        }
        let velocities = self.velocities(index, timestep, active, latents, watch)?;
        for (branch, velocity) in velocities.iter().enumerate() {
            cache.store(branch, latents, velocity)?;
        }
        Ok((velocities, decisions))
    }

    /// What the model says of the active branches.
    fn velocities(
        &self,
        index: usize,
        timestep: f64,
        active: usize,
        latents: &Tensor,
        watch: &mut dyn Watch,
    ) -> Result<Vec<Tensor>> {
        let turn = self.team.turn(active, false)?;
        let embedded = self.embed(&turn, timestep, latents)?;
        let tokens = self.run_blocks(&turn, index, &embedded, watch)?;
        self.heads(&turn, &tokens, &embedded, latents)
    }

    fn embed(&self, turn: &Turn<'_>, timestep: f64, latents: &Tensor) -> Result<Vec<Embedded>> {
        let branches = self.branches[turn.own.clone()].iter();
        Ok(branches.map(|branch| turn.hands.embed(latents, timestep, branch)).collect::<Result<_, _>>()?)
    }

    /// The tokens after all blocks. Each block's weights are used for all branches before the next block's are.
    fn run_blocks(
        &self,
        turn: &Turn<'_>,
        index: usize,
        embedded: &[Embedded],
        watch: &mut dyn Watch,
    ) -> Result<Vec<Tensor>> {
        let mut observer = |block: usize, of: usize| watch.block(index, block, of);
        Ok(turn.hands.run_blocks(&embedded.iter().collect::<Vec<_>>(), &mut observer)?)
    }

    /// The velocities of all active branches.
    fn heads(
        &self,
        turn: &Turn<'_>,
        tokens: &[Tensor],
        embedded: &[Embedded],
        latents: &Tensor,
    ) -> Result<Vec<Tensor>> {
        let own = tokens.iter().zip(embedded).map(|(tokens, e)| turn.hands.head(tokens, e));
        let all = turn.all(own.collect::<Result<_, _>>()?, latents)?;
        all.iter().map(|velocity| self.keep(velocity)).collect()
    }

    fn guide(&self, positive: &Tensor, negative: &Tensor) -> Result<Tensor> {
        let difference = self.keep(&(positive - negative)?)?;
        let scaled = self.keep(&(difference * self.sampling.cfg_scale)?)?;
        self.keep(&(negative + scaled)?)
    }

    /// Noise of a step: its own seed, so that a resumed loop draws the same.
    fn fresh_noise(&self, index: usize, like: &Tensor) -> Result<Tensor> {
        let seed = self.seed.wrapping_add(1 + index as u64);
        let values = Generator::new(seed).randn(like.elem_count());
        Ok(Tensor::from_vec(values, like.shape(), &Device::Cpu)?.to_device(like.device())?)
    }
}

/// Stands where another rank has something.
fn nothing(like: &Tensor) -> candle_core::Result<Tensor> {
    Tensor::zeros((1, 1, 1), DType::F32, like.device())
}

/// The initial noise of a job: PyTorch's CPU generator, `[1, C, T, h, w]` in f32.
///
/// # Errors
/// When the device fails.
pub fn initial_noise(seed: u64, shape: [usize; 5], device: &Device) -> Result<Tensor> {
    let values = sampler::noise::randn(seed, shape.iter().product());
    Ok(Tensor::from_vec(values, shape.as_slice(), &Device::Cpu)?.to_device(device)?)
}
