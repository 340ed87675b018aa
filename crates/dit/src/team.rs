//! How ranks divide a step among themselves: the branches first, then each branch's tokens.

use crate::{Branch, Config, Error, Observer, OnRanks, Result, WanModel};
use candle_core::{DType, Device, Tensor};
use ranks::Collectives;
use std::ops::Range;

/// How ranks are divided: the one rule for runs, checks and [`crate::cost`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Division {
    /// Groups with a branch of their own each: 2 for two branches and an even number of ranks, else 1.
    pub groups: usize,
    /// Ranks of a group, which share the tokens of its branches.
    pub sharing: usize,
}

impl Division {
    /// So many ranks for steps with at most `branches` branches.
    ///
    /// # Errors
    /// [`Error::Heads`] when the ranks of a group can't share the model's heads, or there are none.
    pub fn new(config: &Config, ranks: usize, branches: usize) -> Result<Self> {
        let groups = if branches == 2 && ranks > 0 && ranks.is_multiple_of(2) { 2 } else { 1 };
        let (sharing, heads) = (ranks / groups, config.num_heads);
        if sharing == 0 || !heads.is_multiple_of(sharing) {
            return Err(Error::Heads { ranks: sharing, heads });
        }
        Ok(Self { groups, sharing })
    }
}

/// The ranks of a denoising loop.
///
/// With two branches and an even number of ranks, each branch has a group of its own, which costs no more than an exchange of the
/// velocities in each step; a group's ranks share the branch's tokens. Otherwise all ranks share the tokens of all branches.
#[derive(Debug)]
pub struct Team<'a> {
    model: &'a WanModel,
    /// All ranks over one sequence; `None` where only the groups can share the heads.
    whole: Option<OnRanks<'a>>,
    groups: Option<Groups>,
}

#[derive(Debug)]
struct Groups {
    /// The branch of this rank's group.
    branch: usize,
    group: Box<dyn Collectives>,
    /// One rank of each group, in the order of the branches.
    pair: Box<dyn Collectives>,
}

impl<'a> Team<'a> {
    /// A team of one.
    #[must_use]
    pub fn alone(model: &'a WanModel) -> Self {
        Self { model, whole: Some(model.alone()), groups: None }
    }

    /// All ranks of `world`, for steps with at most `branches` branches. Called by all of them.
    ///
    /// # Errors
    /// [`Error::Heads`] when the ranks of a group can't share the model's heads; when a rank fails.
    pub fn new(model: &'a WanModel, world: &'a dyn Collectives, branches: usize) -> Result<Self> {
        let Division { groups, sharing } = Division::new(model.config(), world.size(), branches)?;
        if groups == 1 {
            return Ok(Self { model, whole: Some(model.on_ranks(world)?), groups: None });
        }
        let (branch, place) = (world.rank() / sharing, world.rank() % sharing);
        let groups = Groups { branch, group: world.split(branch)?, pair: world.split(place)? };
        Ok(Self { model, whole: model.on_ranks(world).ok(), groups: Some(groups) })
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &'a WanModel {
        self.model
    }

    /// L, tokens of latents `[B, C, T, H, W]`, on all ranks together.
    ///
    /// # Errors
    /// When they aren't a multiple of the patch.
    pub fn tokens(&self, latents: &Tensor) -> Result<usize> {
        let (_, _, t, h, w) = latents.dims5()?;
        Ok(nn::Grid::of([t, h, w], self.model.config().patch_size)?.tokens())
    }

    /// Who does what in a step with `active` branches. Where one of two branches rests, all ranks share the other one's tokens,
    /// unless what they keep of them from step to step needs the parts to stay (`fixed`): then one group rests too.
    ///
    /// # Errors
    /// [`Error::Heads`]; it would have been found before.
    pub fn turn(&self, active: usize, fixed: bool) -> Result<Turn<'_>> {
        match (&self.groups, self.whole) {
            (Some(groups), whole) if active > 1 || fixed || whole.is_none() => Ok(Turn {
                hands: self.model.on_ranks(&*groups.group)?,
                own: groups.branch.min(active)..(groups.branch + 1).min(active),
                active,
                pair: Some(&*groups.pair),
            }),
            (_, Some(hands)) => Ok(Turn { hands, own: 0..active, active, pair: None }),
            (_, None) => Ok(Turn { hands: self.model.alone(), own: 0..active, active, pair: None }),
        }
    }

    /// Predicts for several branches; everything is whole on every rank.
    ///
    /// # Errors
    /// As [`OnRanks::forward_all`].
    pub fn forward_all(
        &self,
        x: &Tensor,
        timestep: f64,
        branches: &[&Branch],
        observer: &mut dyn Observer,
    ) -> Result<Vec<Tensor>> {
        let turn = self.turn(branches.len(), false)?;
        let own = turn.hands.forward_all(x, timestep, &branches[turn.own.clone()], observer)?;
        turn.all(own, x)
    }
}

/// What a rank does in a step.
#[derive(Clone, Debug)]
pub struct Turn<'a> {
    /// The model as this rank runs it.
    pub hands: OnRanks<'a>,
    /// The branches that it runs.
    pub own: Range<usize>,
    active: usize,
    pair: Option<&'a dyn Collectives>,
}

impl Turn<'_> {
    /// From what each group has made of its branches, tensors of the shape of `like`, those of all branches: on every rank.
    ///
    /// # Errors
    /// When another rank fails.
    pub fn all(&self, own: Vec<Tensor>, like: &Tensor) -> Result<Vec<Tensor>> {
        if self.pair.is_none() {
            return Ok(own);
        }
        let mut own = own.into_iter();
        let one = |branch| {
            let tensor = if self.own.contains(&branch) { own.next() } else { None };
            self.from_branch(branch, tensor.as_ref(), like.dims(), like.device())
        };
        (0..self.active).map(one).collect()
    }

    /// A tensor that the group of `branch` has, on every rank; the others give its shape.
    ///
    /// # Errors
    /// When another rank fails.
    pub fn from_branch(
        &self,
        branch: usize,
        tensor: Option<&Tensor>,
        dims: &[usize],
        device: &Device,
    ) -> Result<Tensor> {
        let Some(pair) = self.pair else {
            return tensor.cloned().ok_or_else(|| Error::Config(format!("branch {branch} wasn't run")));
        };
        let mut values = match tensor {
            Some(tensor) => tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?,
            None => vec![0.0; dims.iter().product()],
        };
        pair.broadcast_f32(branch, &mut values)?;
        match tensor {
            Some(tensor) => Ok(tensor.clone()),
            None => Ok(Tensor::from_vec(values, dims, &Device::Cpu)?.to_device(device)?),
        }
    }
}
