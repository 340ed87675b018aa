//! Writes a full-size installation without the weights in it, checks it, and times every loader:
//! `cargo run --release -p anicrafter-checkpoint --example skeleton -- DIR [BLOCKS] [--layout LAYOUT]`. The files are sparse: 90 GB
//! that take some 100 MB of disk, and 1.4 GB for each of the transformer's BLOCKS that is filled with random numbers (none unless
//! asked for). LAYOUT is `published`, `comfyui`, `diffusers` or `gguf`; with `--write-only` nothing is read back.
//!
//! Without a folder it writes a small transformer and reads it back with a LoRA.
#![expect(clippy::print_stdout, reason = "an example")]

use anicrafter_checkpoint::{
    Alpha, Checkpoint, Layout, Lora, Manifest, Model, Part, Skeleton, check_installation, preset,
    write_skeleton,
};
use candle_core::{DType, Device};
use nn::Weights;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Processor time so far in seconds, on Linux.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Fields 14 and 15, user and system time in hundredths; the second field may hold spaces, so count from its end.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let hundredths = |i: usize| fields.get(i).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (hundredths(11) + hundredths(12)) / 100.0
}

/// Peak and current resident memory in MB, where the system tells.
fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let find = |key: &str| {
        status.lines().find_map(|l| l.strip_prefix(key)?.split_whitespace().next()?.parse::<u64>().ok())
    };
    format!(
        "resident {} MB, peak {} MB",
        find("VmRSS:").unwrap_or(0) / 1024,
        find("VmHWM:").unwrap_or(0) / 1024
    )
}

fn timed<T>(what: &str, run: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    let (start, processor) = (Instant::now(), processor_seconds());
    let done = run()?;
    let (wall, processor) = (start.elapsed().as_secs_f64(), processor_seconds() - processor);
    println!("{what:<58} {wall:>8.3} s ({processor:.2} s of processor), {}", resident());
    Ok(done)
}

/// All tensors of one block, one after the other.
fn read_block(weights: &Weights, manifest: &Manifest, block: usize) -> Outcome<usize> {
    let prefix = format!("blocks.{block}.");
    let mut elements = 0;
    for (name, shape) in manifest.tensors.range(prefix.clone()..).take_while(|(n, _)| n.starts_with(&prefix))
    {
        elements += weights.get(shape.as_slice(), name)?.elem_count();
    }
    Ok(elements)
}

fn full_size(folder: &Path, blocks: usize, layout: Layout, write_only: bool) -> Outcome<()> {
    let skeleton = Skeleton { layout, blocks: 0..blocks, ..Skeleton::default() };
    timed("writing the skeleton", || Ok(write_skeleton(folder, &skeleton)?))?;
    let installation = timed("checking the installation", || Ok(check_installation(folder)?))?;
    print!("{installation}");
    if write_only {
        return Ok(());
    }
    let manifest = Manifest::of(Model::Dit, &skeleton.config)?;
    let open = || Ok(Checkpoint::open_model(Model::Dit, installation.files(Part::Transformer)?)?);
    let plain = timed("opening the transformer", open)?;
    let plain = Weights::new(Arc::new(plain), DType::BF16, &Device::Cpu);
    for block in [0, 1, 2] {
        timed(&format!("block {block} as BF16"), || read_block(&plain, &manifest, block))?;
    }
    let shards = installation.files(Part::AniCrafter)?;
    let lora = timed("opening the LoRA (2 shards)", || Ok(Lora::open(shards, Alpha::Ignore)?))?;
    let merged = timed("opening the transformer with it", || Ok(open()?.with_lora(&lora, 1.0)?))?;
    let merged = Weights::new(Arc::new(merged), DType::BF16, &Device::Cpu);
    timed("block 0 as BF16, LoRA of rank 128 merged", || read_block(&merged, &manifest, 0))?;
    for (model, part, config) in [
        (Model::Vae, Part::Vae, "wan2.1-vae"),
        (Model::T5, Part::TextEncoder, "umt5-xxl"),
        (Model::Clip, Part::ImageEncoder, "clip-vit-h-14"),
    ] {
        let files = installation.files(part)?;
        let source =
            timed(&format!("opening the {}", part.name()), || Ok(Checkpoint::open_model(model, files)?))?;
        let manifest = Manifest::of(model, &preset(config)?)?;
        let weights = Weights::new(Arc::new(source), DType::BF16, &Device::Cpu);
        timed("  reading each of its tensors once as BF16", || {
            for (name, shape) in manifest.tensors.iter().filter(|(name, _)| weights.contains(name)) {
                weights.get(shape.as_slice(), name)?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn small() -> Outcome<()> {
    let dir = tempfile::tempdir()?;
    let config = serde_json::json!({
        "dim": 32, "in_dim": 36, "ffn_dim": 64, "out_dim": 16, "text_dim": 24, "freq_dim": 32, "eps": 1e-6,
        "patch_size": [1, 2, 2], "num_heads": 2, "num_layers": 2, "has_image_input": true, "image_dim": 24,
    });
    let skeleton = Skeleton { config: config.clone(), blocks: 0..2, rank: 4, ..Skeleton::default() };
    write_skeleton(dir.path(), &skeleton)?;
    let index = dir.path().join("diffusion_pytorch_model.safetensors.index.json");
    let shards = [10, 11].map(|n| dir.path().join(format!("model-{n:05}-of-00011.safetensors")));
    let lora = Lora::open(&shards, Alpha::Ignore)?;
    let checkpoint = Arc::new(Checkpoint::open_model(Model::Dit, &[index])?.with_lora(&lora, 0.8)?);
    println!(
        "{} tensors, {} of them changed by {}",
        checkpoint.names().count(),
        checkpoint.patched().len(),
        lora.name()
    );
    println!("{}", checkpoint.compare(&Manifest::of(Model::Dit, &config)?));
    let weights = Weights::new(checkpoint, DType::F32, &Device::Cpu);
    let q = weights.pp("blocks").pp(0).pp("self_attn").pp("q").get((32, 32), "weight")?;
    println!("blocks.0.self_attn.q.weight: mean of squares {:.4}", q.sqr()?.mean_all()?.to_scalar::<f32>()?);
    Ok(())
}

fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    let (mut folder, mut blocks, mut layout, mut write_only) = (None, 0, Layout::Published, false);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--write-only" => write_only = true,
            "--layout" => {
                let name = args.next().unwrap_or_default();
                let found = Layout::ALL.into_iter().find(|(known, _)| *known == name);
                layout = found.ok_or("LAYOUT is published, comfyui, diffusers or gguf")?.1;
            }
            _ if folder.is_none() => folder = Some(arg),
            _ => blocks = arg.parse()?,
        }
    }
    let Some(folder) = folder else { return small() };
    full_size(Path::new(&folder), blocks, layout, write_only)
}
