//! LHM (arXiv 2503.10625): one picture of a person becomes a Gaussian avatar that a body can animate.
//!
//! ```text
//! picture, mask ─► body picture ─► Sapiens ─┐
//! head box ─► head picture ─► DINOv2 ───────┼─► transformer ─► heads ─► Gaussians
//! body, dense points ─► PointEmbed ─────────┘
//! ```
//!
//! [`body_picture`] and [`head_picture`] cut and size as the original does; [`QueryPoints`] puts the points on the body;
//! [`Model`] is the network, layer by layer from a cursor of weights, so that no part's weights are held longer than it runs.
//! The published weights (`3DAIGC/LHM-MINI`, `LHM-500M-HF`, `LHM-1B-HF`) and Sapiens' are for non-commercial research; none of them
//! ship with this crate.
//!
//! ```
//! use anicrafter_lhm::{Config, Variant, Workload, plan};
//!
//! let config = Config::variant(Variant::M500);
//! let plan = plan(&config, &Workload::default());
//! assert_eq!(plan.parameters, 668_992_854);
//! assert!((plan.flops() / 1e12 - 62.5).abs() < 0.5);
//! ```

mod block;
mod config;
mod error;
mod heads;
mod model;
mod observer;
mod picture;
mod plan;
mod points;
mod scatter;
mod transformer;

pub use config::{Config, HeadsConfig, MlpConfig, PictureConfig, TransformerConfig, Variant};
pub use error::{Error, Result, Unfit};
pub use heads::{Heads, Raw};
pub use model::{Input, Model};
pub use observer::{Observer, Part};
pub use picture::{BodyPicture, HeadPicture, body_picture, check_body_ratio, head_picture};
pub use plan::{Plan, Storage, Workload, plan};
pub use points::{EMBED_HIDDEN, LOWER_BODY, PointEmbed, QueryPoints, UPPER_BODY, follows_joints};
pub use scatter::scatter;
pub use transformer::Transformer;
