//! Person masks, background plates and layered compositing, for people rendered into real video.
//!
//! Frames are [`image::RgbImage`], masks [`image::GrayImage`] (255 is person), renders plain `f32` buffers. There is
//! no tensor library here and no file is opened.
//!
//! * [`over`] and [`composite_layers`] put avatars on a plate, the latter several of them by depth and with occluders
//!   in front; [`reference_blend`] does it the way the AniCrafter reference does, bit for bit.
//! * [`person_mask`], [`components`], [`dilate`], [`grow`] and friends make and shape masks,
//!   [`refine_matte`] brings coarse ones to the picture's edges.
//! * [`reference_frame`] cuts a character out of its picture as the reference does.
//! * [`PlateBuilder`] takes people out of a video: plates for moving and standing cameras, frame by frame.
//! * [`cast_contact_shadow`] and [`LightMatch`] seat an avatar in its scene, [`EdgeMatch`] gives it the plate's blur and grain.
//! * [`lock_background`] puts the source back around a generated person.
//! * [`resample`](mod@resample) resizes as Pillow does, byte for byte; [`area`] as OpenCV's INTER_AREA does.
//!
//! ```
//! use anicrafter_bg_mask::{Layout, Render, over};
//! use image::{Rgb, RgbImage};
//!
//! // A red pixel of half coverage (colour is premultiplied) beside an empty one, over a white plate.
//! let color = [0.5, 0.0, 0.0, 0.0, 0.0, 0.0];
//! let render = Render::new((2, 1), &color, Layout::Interleaved, &[0.5, 0.0])?;
//! let out = over(&render, &RgbImage::from_pixel(2, 1, Rgb([255; 3])))?;
//! assert_eq!(out.as_raw(), &[255, 128, 128, 255, 255, 255]);
//! # Ok::<(), anicrafter_bg_mask::Error>(())
//! ```

pub mod area;
mod blend;
mod character;
mod distance;
mod edges;
mod error;
mod fit;
mod layers;
mod light;
mod lock;
mod mask;
mod matte;
mod normalize;
mod plate;
mod render;
pub mod resample;
mod shadow;

pub use blend::{mix, over, over_in_place, reference_blend, reference_blend_planes, truncate_planes};
pub use character::{person_box, reference_frame, split_alpha};
pub use distance::{THRESHOLD, dilate, erode, grow, squared_distance};
pub use edges::{EdgeMatch, Softened};
pub use error::{Error, Result};
pub use fit::{pad_image_to_aspect_ratio, resize};
pub use layers::{Occluder, composite_layers};
pub use light::{LightMatch, LightOptions, apply_gains};
pub use lock::{LockOptions, lock_background, lock_mask};
pub use mask::{
    Component, Components, alpha_mask, components, fill_holes, is_background, keep_components,
    largest_components, mask_from_bytes, person_mask, union, with_shadow,
};
pub use matte::refine_matte;
pub use normalize::{Scaling, from_planes, to_planes};
pub use plate::{FrameMap, PlaneFinder, PlaneMap, PlanePiece, Plate, PlateBuilder, PlateOptions};
pub use render::{Layout, Render};
pub use shadow::{Contact, ContactShadow, cast_contact_shadow, contacts_of};
