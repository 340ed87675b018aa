//! Makes a Gaussian avatar from one picture of a person. No network and no training: the picture is projected onto a
//! posed SMPL-X body.
//!
//! What it needs beside the picture: a mask of the person, and the pose, shape and camera of the picture as a
//! [`smplx::MotionFrame`]; [`fit_pose`] finds a rough one for a person who stands upright and faces the camera. What comes
//! out is an [`avatar_render::Avatar`] like any other.
//!
//! # Method
//!
//! 1. **Outline.** The body is posed as in the picture. At the rim of its silhouette the distance to the mask's edge says
//!    how far clothes and hair stand off the body; that spreads smoothly over the surface, and the surface moves along its
//!    normals. Hands and feet move little, the front of the face not at all.
//! 2. **Seen colours.** A depth map of the moved surface says what the picture shows. Colours are means over the patch
//!    that a point stands for, taken inside of the eroded mask, weighted by how the surface faces the camera.
//! 3. **Hidden colours.** First from the mirror image, left for right, where the picture shows that; the rest is a smooth
//!    field between what is known, drawn towards the usual colour around the limb at the same height: hems and stripes go
//!    round to the back, the print of a shirt doesn't. The back of the head takes the hair's colour, never the face's.
//! 4. **Points.** Gaussians flat along the surface, as wide as their distance from each other, denser on face and hands
//!    and where the picture shows the body.
//! 5. **Refinement.** The avatar is rendered as in the picture, and colours are corrected by the difference.
//!
//! # Units and axes
//!
//! Metres, radians, pixels; camera axes are OpenCV's (x right, y down, z forward). Colours are those of the picture as it
//! is stored (sRGB), 0 to 1, with the picture's light in them.
//!
//! # Limits
//!
//! The pose has to be right to a few centimetres: where an arm is misplaced its colours land on what lies behind. What
//! stands off the body by more than [`Options::max_offset_m`] (bags, wide skirts, long loose hair) isn't made. Light and
//! folds of the front are copied with the colours.
//!
//! # Example
//!
//! ```
//! use anicrafter_avatar_bake::{Baker, Options, Photo};
//! use image::{GrayImage, Luma, Rgb, RgbImage};
//! use smplx::{BodyModel, BodyPose, Camera, MotionFrame};
//!
//! let model = BodyModel::from_bytes(anicrafter_assets::BODY.to_vec())?;
//! // The body stands upright 3 m in front of the camera; half a turn about x brings its axes to the camera's.
//! let frame = MotionFrame {
//!     pose: BodyPose { root: [std::f32::consts::PI, 0.0, 0.0], ..BodyPose::default() },
//!     translation: [0.0, 0.35, 3.0],
//!     camera: Some(Camera { focal_px: [260.0; 2], principal_px: [96.0, 96.0], size_px: [192, 192] }),
//!     ..MotionFrame::default()
//! };
//! // A picture in one green, and a mask that says where the person is.
//! let picture = RgbImage::from_pixel(192, 192, Rgb([40, 160, 60]));
//! let mask = GrayImage::from_fn(192, 192, |x, y| {
//!     Luma([if (30..162).contains(&x) && (16..180).contains(&y) { 255 } else { 0 }])
//! });
//! let photo = Photo { picture: &picture, mask: &mask, frame: &frame };
//! let baked = Baker::new(&model)?.bake(&photo, &Options { points: 4000, ..Options::default() })?;
//! assert_eq!(baked.avatar.gaussians.len(), 4000);
//! assert!(baked.report.seen > 0.3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod backdrop;
mod bake;
mod colors;
mod error;
mod field;
mod fit;
mod outline;
mod pixels;
mod points;
mod posed;
mod refine;
mod surface;

pub use backdrop::plain_backdrop;
pub use bake::{Baked, Baker, Options, Photo, Report};
pub use error::{Error, Result};
pub use fit::{Fitted, fit_pose, usual_focal_px};
