//! What a job will take, before anything runs: arithmetic, memory, reading.
//!
//! Pure arithmetic over the hyperparameters; the number of parameters is exact, memory is an estimate of the peak.

use crate::model::rows_at_a_time;
use crate::{Config, Result, Streaming};
use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device};
use nn::Grid;

/// How the blocks' matrices are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// One `F32` or `BF16` an element.
    Dense(DType),
    /// In blocks of this format.
    Quantized(GgmlDType),
    /// 8 bits an element, and a scale and a sum a row.
    Rows8,
}

impl Storage {
    /// Bytes of a matrix of so many rows and columns.
    #[must_use]
    pub fn bytes(self, rows: u64, columns: u64) -> u64 {
        let elements = rows * columns;
        match self {
            Self::Dense(dtype) => elements * dtype.size_in_bytes() as u64,
            Self::Quantized(dtype) => elements.div_ceil(dtype.block_size() as u64) * dtype.type_size() as u64,
            Self::Rows8 => elements + 8 * rows,
        }
    }
}

/// What is to be computed: how large a latent, how often, with which weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Latent frames, height and width: (81 - 1) / 4 + 1, 720 / 8, 1280 / 8 for 81 frames of 720p.
    pub latent: [usize; 3],
    /// Denoising steps; each runs the model once for each branch.
    pub steps: usize,
    /// 2 with guidance (positive and negative), 1 without.
    pub branches: usize,
    /// How the blocks' matrices are held.
    pub storage: Storage,
    /// `None` keeps all blocks in memory.
    pub streaming: Option<Streaming>,
}

/// What it takes. Sizes in bytes, arithmetic in floating-point operations (a multiply-add counts as 2).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plan {
    /// L, tokens of the latent.
    pub tokens: usize,
    /// Arithmetic of one block for one branch.
    pub block_flops: f64,
    /// Of that, attention among the tokens, which grows with the square of L.
    pub self_attention_flops: f64,
    /// Arithmetic of one step, all branches.
    pub step_flops: f64,
    /// Arithmetic of all steps.
    pub total_flops: f64,
    /// How many numbers all weights together are.
    pub parameters: u64,
    /// Weights of one block.
    pub block_bytes: u64,
    /// Weights of everything but the blocks.
    pub other_bytes: u64,
    /// Weights in memory at once.
    pub weight_bytes: u64,
    /// Everything else in memory at the peak of a step: tokens, keys, values, one chunk's intermediates.
    pub activation_bytes: u64,
    /// Weights that are read from their source over the whole job.
    pub read_bytes: u64,
}

/// The matrices of a block, outputs by inputs, and how many of each there are.
fn matrices(c: &Config) -> [(u64, (u64, u64)); 3] {
    let (d, f) = (c.dim as u64, c.ffn_dim as u64);
    let image = u64::from(c.has_image_input);
    [(8 + 2 * image, (d, d)), (1, (f, d)), (1, (d, f))]
}

/// Parameters of the model: (one block's matrices, one block's vectors, everything else).
fn parameters(c: &Config) -> (u64, u64, u64) {
    let n = |x: usize| x as u64;
    let (d, f) = (n(c.dim), n(c.ffn_dim));
    let patch = n(c.patch_size.iter().product());
    let image = u64::from(c.has_image_input);
    let matrices = matrices(c).iter().map(|(count, (rows, columns))| count * rows * columns).sum();
    // Biases of q, k, v, o twice and of the feed-forward layer, q and k norms twice, norm3, modulation; image: k, v, norm.
    let vectors = (8 + 1 + 4 + 2 + 6 + 3 * image) * d + f;
    let linear = |a: u64, b: u64| a * b + b;
    let i = n(c.image_dim);
    let other = linear(n(c.in_dim) * patch, d)
        + linear(n(c.text_dim), d)
        + linear(d, d)
        + linear(n(c.freq_dim), d)
        + linear(d, d)
        + linear(d, 6 * d)
        + linear(d, n(c.out_dim) * patch)
        + 2 * d
        + image * (2 * i + linear(i, i) + linear(i, d) + 2 * d);
    (matrices, vectors, other)
}

/// Works out what a job takes.
///
/// # Errors
/// When the config doesn't hold together or the latent isn't a multiple of the patch.
pub fn plan(config: &Config, job: &Workload) -> Result<Plan> {
    config.validate()?;
    let c = config;
    let grid = Grid::of(job.latent, c.patch_size)?;
    let tokens = grid.tokens();
    let (l, d, f) = (tokens as f64, c.dim as f64, c.ffn_dim as f64);
    let text = c.text_len as f64;
    let image = if c.has_image_input { c.image_tokens as f64 } else { 0.0 };
    let patch = c.patch_size.iter().product::<usize>() as f64;

    let self_attention_flops = 4.0 * l * l * d;
    let block_flops = 2.0 * l * (4.0 * d * d + 2.0 * d * d + 2.0 * d * f)
        + self_attention_flops
        + 4.0 * (text + image) * d * d
        + 4.0 * l * (text + image) * d;
    let ends = 2.0 * l * patch * d * (c.in_dim + c.out_dim) as f64 + 2.0 * d * (c.freq_dim as f64 + 7.0 * d);
    let step_flops = job.branches as f64 * (c.num_layers as f64 * block_flops + ends);
    let (i, td) = (c.image_dim as f64, c.text_dim as f64);
    let once = job.branches as f64 * 2.0 * (text * (td * d + d * d) + image * (i * i + i * d));

    let (elements, vectors, other) = parameters(c);
    let n = c.num_layers as u64;
    let held = matrices(c).map(|(count, (rows, columns))| count * job.storage.bytes(rows, columns));
    let block_bytes = held.iter().sum::<u64>() + 4 * vectors;
    let other_bytes = match job.storage {
        Storage::Dense(dtype) => other * dtype.size_in_bytes() as u64,
        Storage::Quantized(_) | Storage::Rows8 => other * 2,
    };
    let (held, passes_read) = match job.streaming {
        None => (n, 0),
        Some(s) => {
            let keep = (s.keep as u64).min(n);
            ((keep + s.in_flight as u64).min(n), n - keep)
        }
    };
    let first_read = (n - passes_read) * block_bytes + other_bytes;

    // The tokens before and while the blocks run, for each branch; then keys and values and the RoPE table; then the
    // widest moment of one chunk, which is attention (input, q, result) or the feed-forward layer.
    let rows = rows_at_a_time(c, &Device::Cpu).min(tokens) as u64;
    let (tokens64, dim) = (tokens as u64, c.dim as u64);
    let stream = 2 * job.branches as u64 * tokens64 * dim;
    let keys = 2 * tokens64 * dim + tokens64 * c.head_dim() as u64;
    let cross = 2 * (c.text_len as u64 + image as u64) * dim;
    let chunk = rows * (3 * dim).max(dim + c.ffn_dim as u64) + cross;
    Ok(Plan {
        tokens,
        block_flops,
        self_attention_flops,
        step_flops,
        total_flops: job.steps as f64 * step_flops + once,
        parameters: n * (elements + vectors) + other,
        block_bytes,
        other_bytes,
        weight_bytes: held * block_bytes + other_bytes,
        activation_bytes: 4 * (stream + keys + chunk),
        read_bytes: first_read + job.steps as u64 * passes_read * block_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Workload = Workload {
        latent: [4, 32, 32],
        steps: 50,
        branches: 2,
        storage: Storage::Dense(DType::BF16),
        streaming: None,
    };

    #[test]
    fn counts_the_published_model_exactly() {
        // parameter_count of the manifest of the I2V 14B checkpoint.
        assert_eq!(plan(&Config::i2v_14b_720p(), &SMALL).unwrap().parameters, 16_394_878_784);
    }

    #[test]
    fn a_block_of_1024_tokens_takes_730_gflop() {
        let plan = plan(&Config::i2v_14b_720p(), &SMALL).unwrap();
        assert_eq!(plan.tokens, 1024);
        assert!((plan.block_flops / 1e9 - 730.0).abs() < 40.0, "{}", plan.block_flops / 1e9);
    }

    #[test]
    fn streaming_trades_memory_for_reading() {
        let config = Config::i2v_14b_720p();
        let resident = plan(&config, &SMALL).unwrap();
        let streaming = Some(Streaming { in_flight: 2, keep: 1 });
        let streamed = plan(&config, &Workload { streaming, ..SMALL }).unwrap();
        assert_eq!(resident.weight_bytes, 40 * resident.block_bytes + resident.other_bytes);
        assert_eq!(resident.read_bytes, resident.weight_bytes);
        assert_eq!(streamed.weight_bytes, 3 * resident.block_bytes + resident.other_bytes);
        assert_eq!(streamed.read_bytes, (1 + 50 * 39) * resident.block_bytes + resident.other_bytes);
        assert_eq!(streamed.total_flops, resident.total_flops);
    }

    #[test]
    fn quantised_blocks_take_their_share() {
        let storage = Storage::Quantized(GgmlDType::Q8_0);
        assert_eq!(storage.bytes(2, 32), 2 * 34);
        let config = Config::t2v_1_3b();
        let q8 = plan(&config, &Workload { storage, ..SMALL }).unwrap();
        let half = plan(&config, &SMALL).unwrap();
        let share = q8.block_bytes as f64 / half.block_bytes as f64;
        assert!((share - 34.0 / 64.0).abs() < 0.01, "{share}");
        let rows8 = plan(&config, &Workload { storage: Storage::Rows8, ..SMALL }).unwrap();
        assert!(rows8.block_bytes < q8.block_bytes && 2 * rows8.block_bytes > half.block_bytes);
        assert!(plan(&config, &Workload { latent: [1, 3, 4], ..SMALL }).is_err());
    }
}
