//! How close two videos are, and how steady one is: PSNR, SSIM, L1 and colour difference, split into the person, the
//! seam around it and the background; flicker, seam energy and jumps at window boundaries.
//!
//! No network is involved; everything can be checked by hand on small pictures.

mod frame;
pub mod replaced;
mod table;
mod video;

pub use frame::{FrameScore, Region, score_frame, ssim_map};
pub use table::to_table;
pub use video::{Evaluation, RegionScore, evaluate};
