//! How close two videos are, and how steady one is: PSNR, SSIM, L1 and colour difference, split into the person, the
//! seam around it and the background; flicker, seam energy and jumps at window boundaries. [`report`] shows them on a page,
//! [`replaced`] measures what was found in a raw video.
//!
//! No network is involved; everything can be checked by hand on small pictures.
//!
//! ```
//! use anicrafter_evaluation::{Error, Region, evaluate, to_table};
//! use image::{GrayImage, Rgb, RgbImage};
//!
//! let clip = |level: u8| (0..3).map(move |_| Ok::<_, Error>(RgbImage::from_pixel(32, 32, Rgb([level; 3]))));
//! let scores = evaluate(clip(100), clip(110), None::<Vec<Result<GrayImage, Error>>>, 0, &[])?;
//! assert!((scores.regions[&Region::Whole].psnr - 28.13).abs() < 0.01);
//! print!("{}", to_table(&scores));
//! # Ok::<(), Error>(())
//! ```

mod error;
mod frame;
pub mod replaced;
pub mod report;
mod table;
mod video;

pub use error::{Error, Result};
pub use frame::{FrameScore, Region, score_frame, ssim_map};
pub use table::to_table;
pub use video::{Evaluation, RegionScore, evaluate};
