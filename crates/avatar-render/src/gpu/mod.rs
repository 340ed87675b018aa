//! The wgpu back end (Vulkan, Metal, DirectX 12), headless: the CPU rasterizers' stages as compute shaders.
//!
//! The WGSL files hold no numbers of their own: what decides a pixel comes from [`constants`](crate::constants) through
//! a generated preamble.

mod context;
mod mesh;
mod splat;

pub use context::{Adapters, GpuContext};
pub use mesh::GpuMesh;
pub use splat::GpuSplat;

use crate::constants as c;
use crate::mesh::{MIN_LEVEL, SUBPIXEL};
use std::fmt::Write;

/// How far, in units of the last place, two passes may disagree on one triangle's depth.
const DEPTH_TIES: u32 = 4;

/// Every shader of the back end, by name, as it is given to the driver.
#[must_use]
pub fn shaders() -> [(&'static str, String); 2] {
    let with_constants = |source| preamble() + source;
    [
        ("splat.wgsl", with_constants(include_str!("splat.wgsl"))),
        ("mesh.wgsl", with_constants(include_str!("mesh.wgsl"))),
    ]
}

fn preamble() -> String {
    let floats = [
        ("NEAR_CULL", c::NEAR_CULL),
        ("LOW_PASS", c::LOW_PASS),
        ("RADIUS_SIGMAS", c::RADIUS_SIGMAS),
        ("EIGEN_FLOOR", c::EIGEN_FLOOR),
        ("FOV_CLAMP", c::FOV_CLAMP),
        ("W_EPSILON", c::W_EPSILON),
        ("MAX_ALPHA", c::MAX_ALPHA),
        ("MIN_ALPHA", c::MIN_ALPHA),
        ("MIN_TRANSMITTANCE", c::MIN_TRANSMITTANCE),
        ("MIN_LEVEL", MIN_LEVEL),
    ];
    let mut text = String::new();
    for (name, value) in floats {
        // Writing to a string can't fail. `{:e}` prints as many digits as give the same f32 back.
        let _ = writeln!(text, "const {name}: f32 = {value:e}f;");
    }
    let _ = writeln!(text, "const TILE: u32 = {}u;", c::TILE);
    let _ = writeln!(text, "const SUBPIXEL: i32 = {SUBPIXEL};");
    let _ = writeln!(text, "const DEPTH_TIES: u32 = {DEPTH_TIES}u;");
    text
}
