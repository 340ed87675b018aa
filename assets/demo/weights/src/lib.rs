//! The small diffusion weights of AniCrafter in Rust, as bytes: a video transformer, an autoencoder, two encoders and the
//! condition embedders, in safetensors files under Wan's names. They let the whole job run without a download.
//!
//! ```
//! let (name, bytes) = anicrafter_demo_weights::FILES[0];
//! assert_eq!((name, bytes[0]), ("config.json", b'{'));
//! ```

/// A file's name and its contents.
pub type File = (&'static str, &'static [u8]);

/// One object a model, under the names of the originals' constructors: `dit`, `vae`, `text`, `image`.
pub const CONFIG: &[u8] = include_bytes!("../config.json");

/// How far the weights' difference to their input is to be trusted.
pub const DETAIL: &[u8] = include_bytes!("../detail.json");

/// The shards of the diffusion transformer, in order.
pub const DIT: [&[u8]; 2] = [anicrafter_demo_weights_dit_1::SHARD, anicrafter_demo_weights_dit_2::SHARD];

/// The autoencoder.
pub const VAE: &[u8] = include_bytes!("../vae.safetensors");

/// The text encoder.
pub const TEXT: &[u8] = include_bytes!("../t5.safetensors");

/// The image encoder.
pub const IMAGE: &[u8] = include_bytes!("../clip.safetensors");

/// The condition embedders.
pub const EMBEDDERS: &[u8] = include_bytes!("../anicrafter.safetensors");

/// Everything as a folder of weights has it: written out, the files are what `--demo-weights FOLDER` takes.
pub const FILES: &[File] = &[
    ("config.json", CONFIG),
    ("detail.json", DETAIL),
    ("dit-00001-of-00002.safetensors", DIT[0]),
    ("dit-00002-of-00002.safetensors", DIT[1]),
    ("vae.safetensors", VAE),
    ("t5.safetensors", TEXT),
    ("clip.safetensors", IMAGE),
    ("anicrafter.safetensors", EMBEDDERS),
];
