//! The demo scene of AniCrafter in Rust, as bytes: an avatar, its motion, a background video and a picture of the character.
//!
//! ```
//! let motion = std::str::from_utf8(anicrafter_demo::MOTION)?;
//! assert!(motion.starts_with('{'));
//! # Ok::<(), std::str::Utf8Error>(())
//! ```

/// A file's name and its contents.
pub type File = (&'static str, &'static [u8]);

/// A clothed Gaussian avatar of 30,000 points on the embedded body, in `avatar-render`'s own `.safetensors`.
pub const AVATAR: &[u8] = include_bytes!("../avatar.safetensors");

/// A walk of 49 frames at 16 a second, with the moving camera in it: `smplx`'s one-file JSON.
pub const MOTION: &[u8] = include_bytes!("../motion.json");

/// The street that this camera sees: 49 frames of 640×384, H.264 in mp4.
pub const BACKGROUND: &[u8] = include_bytes!("../background.mp4");

/// The avatar from the front, transparent around it.
pub const CHARACTER: &[u8] = include_bytes!("../character.png");

/// The street's light in each frame, in its camera's axes: a light file of `pipeline`'s.
pub const LIGHT: &[u8] = include_bytes!("../light.json");

/// All of it, under the names that a scene folder of the demo has.
pub const FILES: &[File] = &[
    ("avatar.safetensors", AVATAR),
    ("motion.json", MOTION),
    ("background.mp4", BACKGROUND),
    ("character.png", CHARACTER),
    ("light.json", LIGHT),
];
