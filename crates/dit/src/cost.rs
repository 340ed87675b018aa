//! What a job gains from several ranks, before anything runs: arithmetic, bytes over the wire, stragglers.
//!
//! A model of a step of the denoising loop on machines of one kind. The tokens of the two branches go to two groups of ranks
//! first, where their number is even; the ranks of a group share a branch's tokens. In each block, queries, keys, values and
//! the attention's result change hands, one all-to-all each; a rank sends of each what the others' heads or tokens are. What every
//! rank does for itself, the keys and values of the text and image rows, doesn't shrink.

use crate::plan::{Workload, plan};
use crate::{Config, Division, Result};

/// All-to-all exchanges of a block: queries, keys, values, results.
pub const EXCHANGES: usize = 4;

/// Ranks and what they can do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cluster {
    /// How many ranks.
    pub ranks: usize,
    /// Floating-point operations a second of one rank, as it reaches them.
    pub flops: f64,
    /// Bytes a second that a rank sends while it receives as many.
    pub bytes_per_second: f64,
    /// Seconds that an exchange takes at least: all ranks meet, messages travel.
    pub latency: f64,
    /// How much longer than the average the slowest rank takes for its part: 0.05 is 5 %. All others wait for it.
    pub straggler: f64,
}

/// What a step takes on a rank.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Groups of ranks: 2 where each branch has its own.
    pub groups: usize,
    /// Ranks that share a branch's tokens.
    pub sharing: usize,
    /// Floating-point operations of a rank.
    pub flops: f64,
    /// Bytes that a rank sends to others in its blocks.
    pub block_bytes: f64,
    /// All bytes that it sends, the heads' gather and the exchange of velocities included.
    pub bytes: f64,
    /// Seconds of arithmetic, of the slowest rank.
    pub compute: f64,
    /// Seconds of exchange.
    pub exchange: f64,
}

impl Step {
    /// Seconds of the step: nothing overlaps.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.compute + self.exchange
    }
}

/// Bytes that a rank sends to others in one all-to-all of `tokens` tokens among `ranks` ranks, padding included.
#[must_use]
pub fn all_to_all_bytes(config: &Config, tokens: usize, ranks: usize) -> u64 {
    let rows = tokens.div_ceil(ranks) as u64;
    4 * rows * (config.dim / ranks) as u64 * (ranks as u64 - 1)
}

/// Reckons a step of `job` on a cluster.
///
/// # Errors
/// As [`plan`]; [`crate::Error::Heads`] when the ranks can't share the model's heads.
pub fn step(config: &Config, job: &Workload, cluster: &Cluster) -> Result<Step> {
    let whole = plan(config, job)?;
    let Division { groups, sharing } = Division::new(config, cluster.ranks, job.branches)?;
    let branches = (job.branches / groups) as f64; // of one rank
    let d = config.dim as f64;
    let image = if config.has_image_input { config.image_tokens as f64 } else { 0.0 };
    // Every rank makes the keys and values of the text and image rows in each block.
    let context = config.num_layers as f64 * 4.0 * (config.text_len as f64 + image) * d * d;
    let whole_branch = whole.step_flops / job.branches as f64;
    let padded = (whole.tokens.div_ceil(sharing) * sharing) as f64 / whole.tokens as f64;
    let flops = branches * ((whole_branch - context) * padded / sharing as f64 + context);

    let exchanges = branches * (config.num_layers * EXCHANGES) as f64;
    let block_bytes = exchanges * all_to_all_bytes(config, whole.tokens, sharing) as f64;
    let patch: usize = config.patch_size.iter().product();
    let rows = whole.tokens.div_ceil(sharing) * (sharing - 1);
    let gathered = branches * (4 * rows * patch * config.out_dim) as f64;
    // The two groups' velocities: each rank hears the other branch's from its partner there.
    let velocity = 4.0 * (whole.tokens * patch * config.out_dim) as f64;
    let swapped = if groups == 2 { velocity } else { 0.0 };
    let bytes = block_bytes + gathered + swapped;
    let calls = if sharing > 1 { exchanges + branches } else { 0.0 } + if groups == 2 { 2.0 } else { 0.0 };
    let slowest = if cluster.ranks > 1 { 1.0 + cluster.straggler } else { 1.0 };
    Ok(Step {
        groups,
        sharing,
        flops,
        block_bytes,
        bytes,
        compute: slowest * flops / cluster.flops,
        exchange: bytes / cluster.bytes_per_second + calls * cluster.latency,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use crate::plan::Storage;
    use candle_core::DType;

    const JOB: Workload = Workload {
        latent: [21, 90, 160],
        steps: 50,
        branches: 2,
        storage: Storage::Dense(DType::BF16),
        streaming: None,
    };

    fn cluster(ranks: usize) -> Cluster {
        Cluster { ranks, flops: 1e12, bytes_per_second: 1e9, latency: 1e-4, straggler: 0.0 }
    }

    #[test]
    fn one_rank_is_the_plan() {
        let config = Config::i2v_14b_720p();
        let one = step(&config, &JOB, &cluster(1)).unwrap();
        let whole = plan(&config, &JOB).unwrap();
        assert!((one.flops / whole.step_flops - 1.0).abs() < 1e-12);
        assert_eq!((one.groups, one.sharing, one.bytes, one.exchange), (1, 1, 0.0, 0.0));
    }

    #[test]
    fn the_branches_cost_an_exchange_of_velocities_alone() {
        let config = Config::i2v_14b_720p();
        let two = step(&config, &JOB, &cluster(2)).unwrap();
        assert_eq!((two.groups, two.sharing), (2, 1));
        assert_eq!(two.bytes, 4.0 * (16 * 21 * 90 * 160) as f64);
        let one = step(&config, &JOB, &cluster(1)).unwrap();
        assert_eq!(2.0 * two.flops, one.flops);
        let alone = step(&config, &Workload { branches: 1, ..JOB }, &cluster(2)).unwrap();
        assert_eq!((alone.groups, alone.sharing), (1, 2));
    }

    #[test]
    fn bytes_are_those_of_the_exchanges() {
        let config = Config::i2v_14b_720p();
        // 75,600 tokens: a quarter of them, of three other ranks' ten heads of 128.
        let bytes = all_to_all_bytes(&config, 75_600, 4);
        assert_eq!(bytes, 4 * 18_900 * 3 * 10 * 128);
        let eight = step(&config, &JOB, &cluster(8)).unwrap();
        assert_eq!((eight.groups, eight.sharing), (2, 4));
        assert_eq!(eight.block_bytes, (40 * 4 * bytes) as f64);
        // More ranks: less to send, each to more.
        let more = step(&config, &JOB, &cluster(16)).unwrap();
        assert!(more.block_bytes < eight.block_bytes && more.flops < eight.flops);
    }

    #[test]
    fn ranks_that_cannot_share_the_heads_are_refused() {
        let config = Config::i2v_14b_720p();
        let error = step(&config, &JOB, &cluster(6)).unwrap_err();
        assert!(matches!(error, Error::Heads { ranks: 3, heads: 40 }), "{error}");
        assert!(error.to_string().contains("3 ranks can't share 40 heads"), "{error}");
        assert!(matches!(step(&config, &JOB, &cluster(0)), Err(Error::Heads { ranks: 0, .. })));
    }
}
