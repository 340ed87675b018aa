//! Prompt and picture to the rows that a Wan transformer attends to, with small random weights in place of the published ones.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use anicrafter_encoders::{clip_vision, umt5};
use candle_core::{DType, Device, Tensor};
use nn::{RandomWeights, Weights};
use std::sync::Arc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let weights = Weights::new(Arc::new(RandomWeights::default()), DType::F32, &Device::Cpu);

    let config = umt5::Config {
        vocab: 64,
        dim: 32,
        dim_attn: 32,
        dim_ffn: 64,
        num_heads: 2,
        num_layers: 2,
        ..umt5::Config::umt5_xxl()
    };
    let text = umt5::TextEncoder::new(&config, &weights)?;
    // Ids come from `umt5::Tokenizer`, which reads `tokenizer.json` or `spiece.model`; 1 ends the prompt.
    let context = text.encode(&[17, 42, 5, 1], 16)?;
    println!("prompt: {:?}", context.dims()); // [1, 16, 32], rows after the prompt are zero

    let config = clip_vision::Config {
        image_size: 56,
        vision_dim: 64,
        vision_heads: 4,
        vision_layers: 3,
        ..clip_vision::Config::vit_h_14()
    };
    let tower = clip_vision::ImageEncoder::new(&config, &weights)?;
    let picture = Tensor::zeros((1, 3, 180, 320), DType::F32, &Device::Cpu)?; // -1 to 1, any size
    println!("picture: {:?}", tower.encode(&picture)?.dims()); // [1, 1 + 16, 64]

    // A probe sees what happens inside and changes nothing.
    let mut names = Vec::new();
    text.forward_probed(&[17, 42, 5, 1], 4, &mut |name: &str, _: &Tensor| names.push(name.to_owned()))?;
    println!("seen on the way: {}", names.join(", "));
    Ok(())
}
