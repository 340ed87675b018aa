//! Makes the demo scene of the project out of nothing but the embedded body and arithmetic: a clothed Gaussian avatar,
//! a walk through a street, the street itself seen by the same moving camera, and a picture of the character.
//!
//! ```
//! let model = demo_builder::body()?;
//! let motion = demo_builder::walk::Walker::new(&model)?.motion()?;
//! assert_eq!(motion.len(), demo_builder::stage::FRAMES);
//! # Ok::<(), demo_builder::Error>(())
//! ```

pub mod avatar;
pub mod light;
pub mod noise;
pub mod portrait;
pub mod scene;
pub mod shapes;
pub mod stage;
pub mod surfaces;
pub mod walk;
pub mod wardrobe;

use glam::Vec3;
use smplx::BodyModel;
use std::path::{Path, PathBuf};

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The body or the motion.
    #[error(transparent)]
    Body(#[from] smplx::Error),
    /// The avatar or its rendering.
    #[error(transparent)]
    Render(#[from] avatar_render::Error),
    /// The video.
    #[error(transparent)]
    Media(#[from] media::Error),
    /// A picture can't be written.
    #[error("{}: can't be written", path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// Why.
        source: image::ImageError,
    },
    /// A file or folder can't be written.
    #[error("{}: can't be written", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Result with this crate's error.
pub type Result<T> = std::result::Result<T, Error>;

/// The embedded body.
///
/// # Errors
/// Never for the body that is embedded.
pub fn body() -> Result<BodyModel> {
    Ok(BodyModel::from_bytes(anicrafter_assets::BODY.to_vec())?)
}

/// Makes the whole demo in a folder and says after each file what was written.
///
/// # Errors
/// When a file can't be written.
pub fn build(folder: &Path, mut written: impl FnMut(&Path)) -> Result<()> {
    let io = |source| Error::Io { path: folder.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(io)?;
    let model = body()?;

    let path = folder.join("avatar.safetensors");
    let avatar = avatar::dress(&model)?;
    avatar.save(&path)?;
    written(&path);

    let path = folder.join("motion.json");
    let motion = walk::Walker::new(&model)?.motion()?;
    std::fs::write(&path, motion.to_json()).map_err(|source| Error::Io { path: path.clone(), source })?;
    written(&path);

    let path = folder.join("light.json");
    std::fs::write(&path, light::file()).map_err(|source| Error::Io { path: path.clone(), source })?;
    written(&path);

    let path = folder.join("character.png");
    let picture = portrait::portrait(&model, &avatar, 0.0)?;
    picture.save(&path).map_err(|source| Error::Picture { path: path.clone(), source })?;
    written(&path);

    let path = folder.join("background.mp4");
    let mut options = media::WriteOptions::new(media::FrameRate::whole(stage::FPS));
    options.qp = 22;
    let mut video = media::VideoWriter::create(&path, options)?;
    let street = scene::Street::new();
    for index in 0..stage::FRAMES {
        video.push(&street.render(&stage::View::of_frame(index)))?;
    }
    video.finish()?;
    written(&path);
    Ok(())
}

pub(crate) fn vec3(v: [f32; 3]) -> Vec3 {
    Vec3::from_array(v)
}
