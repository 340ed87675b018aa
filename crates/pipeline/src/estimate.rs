//! How long a job will take on this machine: its arithmetic, and rates that are measured for the purpose.
//!
//! A rate is taken from the operation that a stage spends its time in, over the model's own widths and types, for a fraction of a
//! second. Loading is timed on a matrix of the weights' own files, with everything that happens to it on the way.

use crate::composite::Compositor;
use crate::job::Job;
use crate::models::{ModelSet, Wanted};
use crate::progress::Stage;
use crate::windows::windows;
use crate::work::{Fingerprint, read_json, write_atomically};
use crate::{Error, Result};
use avatar_render::RendererChoice;
use candle_core::{DType, Tensor};
use conditioning::Strides;
use dit::plan::Storage;
use nn::{Attention, Inputs, Linear, Precision, RandomBlocks, RandomWeights, RoundOnLoad, Weights};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use vae::{Direction, Halves};

/// Rows of the products that are timed: enough that the kernels are at their rate.
const ROWS: usize = 512;
/// Keys and queries of the attention that is timed.
const KEYS: usize = 1024;
/// Widest matrix that is timed; a wider model's rate is the same.
const WIDEST: usize = 2048;
/// Pixels of a side of the video that the VAE is timed on.
const SIDE: usize = 64;
/// Frames of a condition video that are timed, behind one that warms up.
const FRAMES: usize = 3;

/// Floating-point operations a second, measured; whole numbers, which a file gives back as they are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Rates {
    /// The transformer's products, in its type.
    products: f64,
    /// The transformer's attention.
    attention: f64,
    /// The text encoder's products.
    text: f64,
    /// The image encoder's products.
    image: f64,
    /// The VAE's encoder and decoder.
    encoder: f64,
    decoder: f64,
}

/// How long a job will take on this machine.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Seconds of each stage, in order. A stage whose inputs aren't there to be tried is left out.
    pub stages: Vec<(Stage, f64)>,
    /// Windows of the video.
    pub windows: usize,
    /// Frames of the video; `None` where the job's inputs can't be opened, and one window is reckoned with.
    pub frames: Option<usize>,
}

impl Estimate {
    /// Seconds of all stages.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.stages.iter().map(|(_, seconds)| seconds).sum()
    }
}

/// Estimates a job. `known` is a file of rates that were measured before, which new ones are added to.
pub(crate) fn estimate(job: &Job, renderer: RendererChoice, known: Option<&Path>) -> Result<Estimate> {
    let set = ModelSet::new(&job.models)?;
    let mut stages = Vec::new();
    let tried = try_condition(job, renderer).ok();
    if let Some((frames, seconds)) = tried {
        stages.push((Stage::Composite, frames as f64 * seconds));
    }
    let frames = tried.map(|(frames, _)| frames);
    let strides = Strides::of(set.vae_config());
    let size = job.video.window - 1;
    let windows = windows(frames.unwrap_or(size).max(1), size, job.video.overlap, strides);
    let rates = rates(&set, known)?;
    stages.push((Stage::Text, text(&set, job, &rates)?));
    stages.push((Stage::Image, image(&set, &rates)?));
    let (width, height) = (job.video.width as usize, job.video.height as usize);
    let vae = set.vae_config();
    let frames_of = |direction| -> f64 {
        windows.iter().map(|w| vae.flops(direction, w.padded + 1, height, width)).sum::<f64>()
    };
    // The embedders' arithmetic is a few per cent of the encoder's.
    let encode = frames_of(Direction::Encode) / rates.encoder + load_seconds(&set, Wanted::Encoder)?;
    stages.push((Stage::Condition, encode));
    stages.push((Stage::Denoise, denoise(&set, job, windows.len(), &rates)?));
    let decodings = if job.output.detail_transfer { 2.0 } else { 1.0 };
    let decode =
        decodings * frames_of(Direction::Decode) / rates.decoder + load_seconds(&set, Wanted::Decoder)?;
    stages.push((Stage::Decode, decode));
    if let Some((frames, seconds)) = tried {
        // Joining and encoding frames is about as much work as rendering them.
        stages.push((Stage::Finish, frames as f64 * seconds));
    }
    Ok(Estimate { stages, windows: windows.len(), frames })
}

/// Frames of the condition video, and seconds that one takes.
fn try_condition(job: &Job, renderer: RendererChoice) -> Result<(usize, f64)> {
    let mut compositor = Compositor::open(job, renderer)?;
    let frames = compositor.len();
    compositor.next_frame()?;
    let start = Instant::now();
    let mut made = 0;
    while made < FRAMES && compositor.next_frame()?.is_some() {
        made += 1;
    }
    let seconds = start.elapsed().as_secs_f64();
    if made == 0 {
        Err(Error::Internal("a condition video of one frame"))
    } else {
        Ok((frames, seconds / made as f64))
    }
}

fn text(set: &ModelSet, job: &Job, rates: &Rates) -> Result<f64> {
    if job.prompt.embeddings.is_some() {
        return Ok(0.0);
    }
    let config = &set.configs().text;
    // About four letters a token; an encoder's layer multiplies each by all of its weights.
    let tokens = |text: &str| (text.len() / 4 + 1).min(set.context_rows()) as f64;
    let negative = if job.sampling.cfg_scale == 1.0 { 0.0 } else { tokens(&job.prompt.negative) };
    let layer = 4 * config.dim * config.dim_attn + 3 * config.dim * config.dim_ffn;
    let flops = 2.0 * (layer * config.num_layers) as f64 * (tokens(&job.prompt.positive) + negative);
    Ok(flops / rates.text + load_seconds(set, Wanted::Text)?)
}

fn image(set: &ModelSet, rates: &Rates) -> Result<f64> {
    let config = &set.configs().image;
    let (d, tokens) = (config.vision_dim, config.n_tokens() as f64);
    let layer = (4 + 2 * config.vision_mlp_ratio) * d * d;
    let flops =
        config.vision_layers as f64 * (2.0 * layer as f64 * tokens + 4.0 * tokens * tokens * d as f64);
    Ok(flops / rates.image + load_seconds(set, Wanted::Image)?)
}

fn denoise(set: &ModelSet, job: &Job, windows: usize, rates: &Rates) -> Result<f64> {
    let plan = set.plan(job)?;
    let config = set.dit_config();
    let (layers, steps) = (config.num_layers as f64, job.sampling.steps as f64);
    let branches = job.sampling.branches() as f64;
    let attention = layers * branches * plan.self_attention_flops;
    let compute = (plan.step_flops - attention) / rates.products + attention / rates.attention;
    let once = (plan.total_flops - steps * plan.step_flops).max(0.0) / rates.products;
    let block = load_block_seconds(set)?;
    // Weights that are still to be prepared are read from their files once, and how fast they are read afterwards isn't known.
    let unprepared = matches!(set.prepared_place(), Ok(Some(place)) if !place.is_ready);
    let (preparing, block) = if unprepared { (config.num_layers as f64 * block, 0.0) } else { (0.0, block) };
    let streaming = set.streaming()?;
    let kept = streaming.map_or(config.num_layers, |s| s.keep.min(config.num_layers));
    let read = (config.num_layers - kept) as f64 * block;
    // Where another thread reads ahead, the slower of the two decides; it shares the processors with the products.
    let step = if streaming.is_some_and(|s| s.in_flight > 1) { compute.max(read) } else { compute + read };
    Ok(preparing + kept as f64 * block + windows as f64 * (steps * step + once))
}

/// Seconds to load a model: by the time that one of its matrices takes.
fn load_seconds(set: &ModelSet, wanted: Wanted) -> Result<f64> {
    let Some((seconds, share)) = set.time_a_matrix(wanted)? else { return Ok(0.0) };
    Ok(seconds / share)
}

/// Seconds to load a block of the transformer, as it comes from the files: merged and converted, or prepared.
fn load_block_seconds(set: &ModelSet) -> Result<f64> {
    Ok(load_seconds(set, Wanted::Transformer)? / set.dit_config().num_layers.max(1) as f64)
}

/// The rates of this machine for these models, measured unless they are known.
fn rates(set: &ModelSet, known: Option<&Path>) -> Result<Rates> {
    let key = Fingerprint::of(&(
        processor(),
        rayon::current_num_threads(),
        env!("CARGO_PKG_VERSION"),
        set.rate_key()?,
    ))?;
    let mut all: BTreeMap<String, Rates> = match known {
        // A file of another version, or a damaged one, is measured anew.
        Some(path) if path.is_file() => read_json(path).unwrap_or_default(),
        _ => BTreeMap::new(),
    };
    if let Some(rates) = all.get(key.as_str()) {
        return Ok(*rates);
    }
    let rates = measure(set)?;
    if let Some(path) = known {
        all.insert(key.as_str().to_owned(), rates);
        let json = serde_json::to_vec_pretty(&all).map_err(|e| Error::Settings(e.to_string()))?;
        // Rates that can't be kept are only measured again.
        let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        if folder.is_ok() {
            let _ = write_atomically(path, &json);
        }
    }
    Ok(rates)
}

/// The processor's name, where the system tells it (Linux); else the architecture.
fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = info.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split_once(':')).map(|(_, name)| name.trim().to_owned());
    name.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

fn measure(set: &ModelSet) -> Result<Rates> {
    let (dit, text, image) = (set.dit_config(), &set.configs().text, &set.configs().image);
    let dense = |model| Storage::Dense(set.compute_type(model));
    Ok(Rates {
        products: products_rate(set, set.storage(), dit.dim, dit.ffn_dim)?,
        attention: attention_rate(set, dit.num_heads, dit.dim)?,
        text: products_rate(set, dense(checkpoint::Model::T5), text.dim, text.dim_ffn)?,
        image: products_rate(set, dense(checkpoint::Model::Clip), image.vision_dim, image.vision_dim)?,
        encoder: vae_rate(set, Direction::Encode)?,
        decoder: vae_rate(set, Direction::Decode)?,
    })
}

/// The better of two runs behind one that warms up, in seconds.
fn best(mut run: impl FnMut() -> Result<()>) -> Result<f64> {
    run()?;
    let mut best = f64::INFINITY;
    for _ in 0..2 {
        let start = Instant::now();
        run()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best.max(1e-9))
}

fn products_rate(set: &ModelSet, storage: Storage, d_in: usize, d_out: usize) -> Result<f64> {
    let (d_in, d_out) = (d_in.min(WIDEST), d_out.min(WIDEST));
    let device = set.device();
    let weights = match storage {
        Storage::Dense(dtype) => Weights::new(Arc::new(RandomWeights { seed: 0 }), dtype, device),
        Storage::Quantized(dtype) => {
            Weights::new(Arc::new(RandomBlocks { seed: 0, dtype }), DType::BF16, device)
                .with_inputs(if set.rounds_activations() { Inputs::Int8 } else { Inputs::Float })
        }
        Storage::Rows8 => {
            let random = Arc::new(RandomWeights { seed: 0 });
            Weights::new(Arc::new(RoundOnLoad::new(random)), DType::BF16, device)
        }
    };
    let layer = Linear::load_without_bias(&weights, d_in, d_out)?;
    let x = Tensor::randn(0_f32, 1.0, (1, ROWS, d_in), device)?;
    let seconds = best(|| {
        layer.forward(&x)?;
        Ok(device.synchronize()?)
    })?;
    Ok(((2 * ROWS * d_in * d_out) as f64 / seconds).round())
}

fn attention_rate(set: &ModelSet, heads: usize, dim: usize) -> Result<f64> {
    let head = dim / heads.max(1);
    let heads = heads.min(4);
    let device = set.device();
    let bf16 = set.compute_type(checkpoint::Model::Dit) == DType::BF16;
    let precision = if bf16 { Precision::Bf16 } else { Precision::F32 };
    let options = Attention { precision, ..Attention::new(heads) };
    let rows = || Tensor::randn(0_f32, 1.0, (1, KEYS, heads * head), device);
    let (q, k, v) = (rows()?, rows()?, rows()?);
    let seconds = best(|| {
        options.forward(&q, &k, &v)?;
        Ok(device.synchronize()?)
    })?;
    Ok(((4 * KEYS * KEYS * heads * head) as f64 / seconds).round())
}

/// The two levels of the VAE with the most pixels, where its time goes, on a small video.
fn vae_rate(set: &ModelSet, direction: Direction) -> Result<f64> {
    let whole = set.vae_config();
    let levels = whole.dim_mult.len().min(2);
    let config = vae::Config {
        dim_mult: whole.dim_mult[..levels].to_vec(),
        temperal_downsample: vec![true; levels - 1],
        attn_scales: Vec::new(),
        num_res_blocks: 1,
        ..whole.clone()
    };
    let dtype = set.compute_type(checkpoint::Model::Vae);
    let weights = Weights::new(Arc::new(RandomWeights { seed: 0 }), dtype, set.device());
    let halves = if direction == Direction::Encode { Halves::Encoder } else { Halves::Decoder };
    let vae = vae::Vae::load_with(&config, &weights, halves, vae::Backend::Auto)?;
    let frames = 1 + 2 * config.temporal_factor();
    let input = match direction {
        Direction::Encode => Tensor::zeros((1, 3, frames, SIDE, SIDE), DType::F32, set.device())?,
        Direction::Decode => {
            let side = SIDE / config.spatial_factor();
            let t = config.latent_frames(frames);
            Tensor::zeros((1, config.z_dim, t, side, side), DType::F32, set.device())?
        }
    };
    let seconds = best(|| {
        match direction {
            Direction::Encode => vae.encode(&input, &mut ())?,
            Direction::Decode => vae.decode(&input, &mut ())?,
        };
        Ok(set.device().synchronize()?)
    })?;
    Ok((config.flops(direction, frames, SIDE, SIDE) / seconds).round())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Dtype, Models};

    #[test]
    fn rates_are_measured_once() {
        let dir = tempfile::tempdir().unwrap();
        let known = dir.path().join("cache").join("rates.json");
        let set = ModelSet::new(&Models::default()).unwrap();
        let first = rates(&set, Some(&known)).unwrap();
        assert!(known.is_file() && first.products > 0.0 && first.decoder > 0.0);
        assert_eq!(rates(&set, Some(&known)).unwrap(), first);
        // Another type has a rate of its own; a damaged file is written anew.
        std::fs::write(&known, b"{").unwrap();
        let f32 = ModelSet::new(&Models { dtype: Dtype::F32, ..Models::default() }).unwrap();
        rates(&f32, Some(&known)).unwrap();
        rates(&set, Some(&known)).unwrap();
        let kept: BTreeMap<String, Rates> = read_json(&known).unwrap();
        assert_eq!(kept.len(), 2);
    }
}
