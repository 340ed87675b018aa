//! The embedded default: a human body in SMPL-X's terms that anyone may use.

/// The CC0 body, made from MakeHuman's data: a compact `.npz` that `smplx::BodyModel::from_bytes` reads.
pub const BODY: &[u8] = include_bytes!("../body/anicrafter_body.npz");
