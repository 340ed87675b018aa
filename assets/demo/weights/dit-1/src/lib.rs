//! The first of two shards of the demo's small diffusion transformer; `anicrafter-demo-weights` puts them together.

/// A safetensors file in f16.
pub const SHARD: &[u8] = include_bytes!("../dit-00001-of-00002.safetensors");
