//! Synthetic training clips: a person in a lit scene, and what the pipeline would be given of it.
//!
//! A clip is 16 frames of 320×192 and a character picture. The target shows a dressed body in motion in a scene whose sun and
//! shadows tell how it must be lit; the condition is what the pipeline makes: a Gaussian avatar, coloured from one picture in
//! another light, splatted over a plate, with the body's mesh beside it.
//!
//! Everything follows from a seed, a split and a number. The splits share no person, scene or motion: their random streams
//! differ, and so do the families they are drawn from. Only training has the patterns of cloth stripes, pinstripes, checks, prints,
//! camouflage, halves, bands and dyes, the textures bricks, tiles, planks, grass, asphalt, facades, bands, fields and slabs for
//! ground and walls, the scenes street, room, park, plaza, gym, yard and studio, and the motions walk, run, idle, gesture, wave, dance, turn
//! and squat; only validation has diagonals, dots, zigzags and argyle; cobbles, waves, hexagons and weave; station and terrace; march, jumping jack
//! and stretch. Plain and denim cloth, plain surfaces, bark and leaves occur in both.
//!
//! ```no_run
//! use synth::{Maker, Part, Split};
//!
//! let clip = Maker::new()?.clip(1, Split::Train, 0, &Part::ALL)?;
//! assert_eq!(clip.part(Part::Reference).len(), 192 * 320 * 3);
//! # Ok::<(), synth::Error>(())
//! ```

pub mod avatar;
pub mod clip;
pub mod cloth;
pub mod extras;
pub mod figure;
pub mod layout;
pub mod light;
pub mod look;
pub mod material;
pub mod motion;
pub mod noise;
pub mod plate;
pub mod portrait;
pub mod random;
pub mod raster;
pub mod render;
pub mod scenes;
pub mod shadow;
pub mod sheet;
pub mod shots;
pub mod stats;
pub mod template;
pub mod track;
pub mod view;
pub mod world;

pub use clip::{Clip, Maker, Watched};
pub use layout::Part;
pub use shots::{Shot, Taker, TrueFrame, TruePerson};

/// Which set a clip belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// For training.
    Train = 0,
    /// Held out.
    Val = 1,
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The body.
    #[error(transparent)]
    Body(#[from] smplx::Error),
    /// A renderer.
    #[error(transparent)]
    Render(#[from] avatar_render::Error),
    /// A blend or a resize.
    #[error(transparent)]
    Mask(#[from] bg_mask::Error),
    /// A picture that can't be written.
    #[error("{}: {source}", path.display())]
    Write {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: image::ImageError,
    },
    /// A file or folder that can't be written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: std::path::PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// A fault of this crate.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;

pub(crate) fn vec3(v: [f32; 3]) -> glam::Vec3 {
    glam::Vec3::from_array(v)
}
