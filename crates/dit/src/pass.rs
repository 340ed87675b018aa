//! A step over the transformer: embed, blocks, head; on one machine, or on a rank that has a part of the tokens.
//!
//! After `model_fn_wan_video` of AniCrafter (commit e9e8965). On ranks the tokens are split where that function splits them, after the
//! condition tokens are added, and gathered behind the head.

use crate::model::shape;
use crate::share::{Among, Part};
use crate::{Branch, Context, Division, Error, Observer, Result, Scope, WanModel};
use candle_core::Tensor;
use nn::{Activation, Grid, ProbeAt, Rope3d, patchify, timestep_embedding, unpatchify};
use ranks::Collectives;
use std::ops::ControlFlow;

/// A latent's tokens and everything else that the blocks and the head need for one step of one branch.
#[derive(Clone, Debug)]
pub struct Embedded {
    /// `[B, L, D]`, the added condition included; on a rank, its part of them.
    pub tokens: Tensor,
    /// `[1, D]`, the embedded timestep.
    pub t: Tensor,
    /// `[1, 6, D]`, what the blocks are modulated by; step caches compare it.
    pub t_mod: Tensor,
    context: Context,
    rope: Rope3d,
    grid: Grid,
    part: Option<Part>,
}

impl WanModel {
    /// The model in the hands of a rank: the group's ranks share each sequence of tokens. All of them make the same calls with the
    /// same inputs and get the whole result.
    ///
    /// # Errors
    /// [`Error::Heads`] when the number of ranks doesn't divide that of the heads.
    pub fn on_ranks<'a>(&'a self, group: &'a dyn Collectives) -> Result<OnRanks<'a>> {
        let Division { sharing, .. } = Division::new(&self.config, group.size(), 1)?;
        Ok(OnRanks { model: self, group: (sharing > 1).then_some(group) })
    }

    /// The model on this machine alone, as a group of one rank.
    #[must_use]
    pub fn alone(&self) -> OnRanks<'_> {
        OnRanks { model: self, group: None }
    }

    /// Predicts the velocity for one branch.
    ///
    /// # Shapes
    /// `x` `[B, C, T, H, W]` latents, f32 → `[B, out_dim, T, H, W]`, f32. `timestep` in 0 to 1000; the reference rounds
    /// it to bf16 before it comes here.
    ///
    /// # Errors
    /// When the shapes don't fit, a block can't be read, or the observer says stop.
    pub fn forward(
        &self,
        x: &Tensor,
        timestep: f64,
        branch: &Branch,
        observer: &mut dyn Observer,
    ) -> Result<Tensor> {
        let mut outputs = self.forward_all(x, timestep, &[branch], observer)?;
        Ok(outputs.remove(0))
    }

    /// Predicts for several branches, taking each block once: streamed weights are read once for all of them.
    ///
    /// # Errors
    /// As [`WanModel::forward`].
    pub fn forward_all(
        &self,
        x: &Tensor,
        timestep: f64,
        branches: &[&Branch],
        observer: &mut dyn Observer,
    ) -> Result<Vec<Tensor>> {
        self.alone().forward_all(x, timestep, branches, observer)
    }

    /// The first part of a step: tokens and timestep.
    ///
    /// # Errors
    /// When the shapes don't fit.
    pub fn embed(&self, x: &Tensor, timestep: f64, branch: &Branch) -> Result<Embedded> {
        self.alone().embed(x, timestep, branch)
    }

    /// The middle part of a step: all blocks, for the branches that need them. A step cache may leave a branch out and
    /// reuse its last difference between what comes out here and [`Embedded::tokens`].
    ///
    /// # Shapes
    /// `[B, L, D]` for each branch.
    ///
    /// # Errors
    /// When a block can't be read or the observer says stop.
    pub fn run_blocks(&self, branches: &[&Embedded], observer: &mut dyn Observer) -> Result<Vec<Tensor>> {
        self.alone().run_blocks(branches, observer)
    }

    /// The last part of a step: from the tokens that left the blocks to the prediction.
    ///
    /// # Shapes
    /// `tokens` `[B, L, D]` → `[B, out_dim, T, H, W]`.
    ///
    /// # Errors
    /// When the shapes don't fit.
    pub fn head(&self, tokens: &Tensor, embedded: &Embedded) -> Result<Tensor> {
        self.alone().head(tokens, embedded)
    }
}

/// A [`WanModel`] in the hands of one rank of a group: [`WanModel::on_ranks`]. An error here is told to all ranks of the program,
/// so that none of them waits for this one.
#[derive(Clone, Copy, Debug)]
pub struct OnRanks<'a> {
    model: &'a WanModel,
    /// `None` where the whole sequence is here.
    group: Option<&'a dyn Collectives>,
}

impl<'a> OnRanks<'a> {
    /// Predicts for several branches, as [`WanModel::forward_all`]; the result is whole on every rank.
    ///
    /// # Errors
    /// As [`WanModel::forward`]; when another rank fails; [`Error::Watched`] where the observer has a probe.
    pub fn forward_all(
        &self,
        x: &Tensor,
        timestep: f64,
        branches: &[&Branch],
        observer: &mut dyn Observer,
    ) -> Result<Vec<Tensor>> {
        let mut embedded = Vec::with_capacity(branches.len());
        for (n, branch) in branches.iter().enumerate() {
            let mut probe = ProbeAt::root(observer.probe(n));
            embedded.push(self.told(self.embed_probed(x, timestep, branch, &mut probe))?);
        }
        let tokens = self.run_blocks(&embedded.iter().collect::<Vec<_>>(), observer)?;
        let mut outputs = Vec::with_capacity(tokens.len());
        for (n, (tokens, embedded)) in tokens.iter().zip(&embedded).enumerate() {
            let mut probe = ProbeAt::root(observer.probe(n));
            outputs.push(self.told(self.head_probed(tokens, embedded, &mut probe))?);
        }
        Ok(outputs)
    }

    /// The first part of a step, as [`WanModel::embed`]: this rank's tokens, and zeros where they end before the others'.
    ///
    /// # Errors
    /// When the shapes don't fit.
    pub fn embed(&self, x: &Tensor, timestep: f64, branch: &Branch) -> Result<Embedded> {
        self.told(self.embed_probed(x, timestep, branch, &mut ProbeAt::default()))
    }

    /// The middle part of a step, as [`WanModel::run_blocks`].
    ///
    /// # Shapes
    /// This rank's `[B, rows, D]` for each branch.
    ///
    /// # Errors
    /// As [`WanModel::run_blocks`]; when another rank fails; [`Error::Watched`] where the observer has a probe.
    pub fn run_blocks(&self, branches: &[&Embedded], observer: &mut dyn Observer) -> Result<Vec<Tensor>> {
        self.told(self.run_blocks_watched(branches, observer))
    }

    /// The last part of a step, as [`WanModel::head`]; the result is whole on every rank.
    ///
    /// # Shapes
    /// This rank's `tokens` `[B, rows, D]` → `[B, out_dim, T, H, W]`.
    ///
    /// # Errors
    /// As [`WanModel::head`]; when another rank fails.
    pub fn head(&self, tokens: &Tensor, embedded: &Embedded) -> Result<Tensor> {
        self.told(self.head_probed(tokens, embedded, &mut ProbeAt::default()))
    }

    /// This rank's part of tokens `[B, L, D]`, as [`Embedded::tokens`] has them: for what was saved whole.
    ///
    /// # Errors
    /// When the device fails.
    pub fn cut(&self, whole: &Tensor) -> Result<Tensor> {
        match self.group {
            Some(group) => Part::of(whole.dim(1)?, group).cut(whole),
            None => Ok(whole.clone()),
        }
    }

    /// All `tokens` of a sequence, of which every rank brings its part: the reverse of [`OnRanks::cut`].
    ///
    /// # Errors
    /// When another rank fails.
    pub fn gather(&self, part: &Tensor, tokens: usize) -> Result<Tensor> {
        match self.group {
            Some(group) => self.told(Among::new(group, tokens).gather(part)),
            None => Ok(part.clone()),
        }
    }

    /// Tells the others what went wrong here.
    pub(crate) fn told<T>(&self, result: Result<T>) -> Result<T> {
        if let (Err(error), Some(group)) = (&result, self.group) {
            group.fail(&error.to_string());
        }
        result
    }

    fn among(&self, grid: Grid) -> Option<Among<'a>> {
        self.group.map(|group| Among::new(group, grid.tokens()))
    }

    fn embed_probed(
        &self,
        x: &Tensor,
        timestep: f64,
        branch: &Branch,
        probe: &mut ProbeAt<'_>,
    ) -> Result<Embedded> {
        let model = self.model;
        let c = &model.config;
        let sinusoid = timestep_embedding(&[timestep], c.freq_dim, &model.device)?; // [1, freq_dim]
        probe.show("sinusoidal", &sinusoid);
        let [time_in, time_out] = &model.time_embedding;
        let t = time_out.forward(&time_in.forward_act(&sinusoid, Activation::Silu)?)?; // [1, D]
        probe.show("t", &t);
        let t_proj = model.time_projection.forward(&Activation::Silu.forward(&t)?)?; // [1, 6·D]
        probe.show("t_proj", &t_proj);
        let t_mod = t_proj.reshape((1, 6, c.dim))?; // [1, 6, D]

        let Ok((b, channels, frames, height, width)) = x.dims5() else {
            return shape("x", "[B, C, T, H, W]".into(), x);
        };
        let x = match &branch.y {
            Some(y) => {
                let expected = [b, c.in_dim.saturating_sub(channels), frames, height, width];
                if y.dims() != expected {
                    return shape("y", format!("{expected:?}"), y);
                }
                Tensor::cat(&[x, y], 1)? // [B, in_dim, T, H, W]
            }
            None => x.clone(),
        };
        if x.dims()[1] != c.in_dim {
            return shape("x", format!("{} channels with y", c.in_dim), &x);
        }
        let (patches, grid) = patchify(&x, c.patch_size)?;
        let part = self.among(grid).map(|among| among.part);
        let own = |rows: &Tensor| part.map_or_else(|| Ok(rows.clone()), |part| part.cut(rows));
        let mut tokens = model.patch_embedding.forward(&own(&patches)?)?; // [B, L, D]
        if part.is_none() {
            probe.show_with("patch_embedding", || {
                // As the convolution that it is in the reference; a copy, since the condition is added in place.
                tokens.transpose(1, 2)?.force_contiguous()?.reshape((b, c.dim, grid.t, grid.h, grid.w))
            })?;
        }
        if let Some(condition) = &branch.add_condition {
            let expected = [b, grid.tokens(), c.dim];
            if condition.dims() != expected {
                return shape("add_condition", format!("{expected:?}"), condition);
            }
            tokens = nn::add_gated(tokens, 0, &own(condition)?, None)?;
        }
        let rope = Rope3d::new(c.head_dim(), grid, &model.device)?;
        let rope = part.map_or_else(|| Ok(rope.clone()), |part| rope.part(part.first(), part.rows()))?;
        Ok(Embedded { tokens, t, t_mod, context: branch.context.clone(), rope, grid, part })
    }

    fn run_blocks_watched(&self, branches: &[&Embedded], observer: &mut dyn Observer) -> Result<Vec<Tensor>> {
        for (n, e) in branches.iter().enumerate() {
            self.check(e)?;
            if let (Some(part), Some(_)) = (e.part, observer.probe(n)) {
                return Err(Error::Watched { ranks: part.ranks });
            }
        }
        // The blocks work in place; the caller's tokens stay as they are.
        let mut tokens = branches.iter().map(|e| e.tokens.copy()).collect::<candle_core::Result<Vec<_>>>()?;
        let of = self.model.config.num_layers;
        let may_go_on = |observer: &mut dyn Observer, block| {
            // A rank of another group may have failed, for whom this one waits only at the step's end.
            self.group.map_or(Ok(()), Collectives::check)?;
            match observer.block(block, of) {
                ControlFlow::Continue(()) => Ok(()),
                ControlFlow::Break(()) => Err(Error::Cancelled { block, of }),
            }
        };
        if branches.is_empty() {
            return Ok(tokens);
        }
        self.model.blocks.for_each(&mut |n, block| {
            may_go_on(observer, n)?;
            for (b, (x, e)) in tokens.iter_mut().zip(branches).enumerate() {
                let scope = Scope {
                    context: &e.context,
                    t_mod: &e.t_mod,
                    rope: &e.rope,
                    rows: self.model.rows,
                    ranks: self.among(e.grid),
                };
                let mut probe = ProbeAt::root(observer.probe(b));
                let name = format!("block{n}");
                *x = block.forward_probed(x.clone(), &scope, &mut probe.pp(&name))?;
                probe.show_with(&name, || x.copy())?; // the next block works in place
            }
            Ok(())
        })?;
        may_go_on(observer, of)?;
        Ok(tokens)
    }

    fn head_probed(&self, tokens: &Tensor, embedded: &Embedded, probe: &mut ProbeAt<'_>) -> Result<Tensor> {
        self.check(embedded)?;
        let mut rows = self.model.head.forward(tokens, &embedded.t)?; // [B, L, pt·ph·pw·out_dim]
        if let Some(among) = self.among(embedded.grid) {
            rows = among.gather(&rows)?;
        }
        probe.show("head", &rows);
        Ok(unpatchify(&rows, embedded.grid, self.model.config.patch_size)?)
    }

    /// Was this embedded here?
    fn check(&self, embedded: &Embedded) -> Result<()> {
        let own = self.among(embedded.grid).map(|among| among.part);
        if own == embedded.part {
            return Ok(());
        }
        let place = |part: Option<Part>| part.map_or((0, 1), |part| (part.rank, part.ranks));
        Err(Error::OtherRank { rank: place(own), embedded: place(embedded.part) })
    }
}
