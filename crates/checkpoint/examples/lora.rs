//! What a LoRA would do to a model, by the files' headers: `cargo run -p anicrafter-checkpoint --example lora -- MODEL LORA…`.
//!
//! Without files it writes a small model and a LoRA that fits it but for one part.
#![expect(clippy::print_stdout, reason = "an example")]

use anicrafter_checkpoint::{Alpha, Checkpoint, Lora, Model};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tensorfile::{TensorView, write_safetensors};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<()> {
    let given: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let made = tempfile::tempdir()?;
    let files = if given.len() < 2 { small(made.path())? } else { given };
    let mut model = Checkpoint::open_model(Model::Dit, &files[..1])?;
    for file in &files[1..] {
        let lora = Lora::open(&[file], Alpha::FromFile)?;
        // Tried on the model by itself, so that a refusal is said and what fits is merged all the same.
        if let Err(error) = Checkpoint::open_model(Model::Dit, &files[..1])?.with_lora(&lora, 1.0) {
            println!("{error}\n");
        }
        model = model.with_lora(&lora.skip_unmatched(true), 1.0)?;
    }
    for report in model.lora_reports() {
        println!("{report}");
    }
    Ok(())
}

fn small(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let (model, lora) = (folder.join("model.safetensors"), folder.join("lora.safetensors"));
    let zeros = |shape: &[usize]| TensorView::from_f32(shape, &vec![0.0; shape.iter().product()]);
    let tensors = [
        ("patch_embedding.weight", zeros(&[8, 36, 1, 2, 2])?),
        ("blocks.0.self_attn.q.weight", zeros(&[8, 8])?),
        ("blocks.0.self_attn.q.bias", zeros(&[8])?),
    ];
    write_safetensors(&model, &tensors, &BTreeMap::new())?;
    let tensors = [
        ("diffusion_model.blocks.0.self_attn.q.lora_down.weight", zeros(&[4, 8])?),
        ("diffusion_model.blocks.0.self_attn.q.lora_up.weight", zeros(&[8, 4])?),
        ("diffusion_model.blocks.0.self_attn.q.alpha", TensorView::from_f32(&[], &[2.0])?),
        ("diffusion_model.blocks.0.self_attn.q.diff_b", zeros(&[8])?),
        // Of a text-to-video model: 16 channels, not 36.
        ("diffusion_model.patch_embedding.diff", zeros(&[8, 16, 1, 2, 2])?),
    ];
    write_safetensors(&lora, &tensors, &BTreeMap::new())?;
    Ok(vec![model, lora])
}
