//! Masks, plates and compositing.
mod blend;
pub mod conditions;
mod error;
mod fit;
mod normalize;
mod render;
pub mod resample;
pub use blend::{mix, over, over_in_place, reference_blend, reference_blend_planes, truncate_planes};
pub use error::{Error, Result};
pub use fit::{pad_image_to_aspect_ratio, resize};
pub use normalize::{Scaling, from_planes, to_planes};
pub use render::{Layout, Render};
