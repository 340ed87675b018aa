//! H.264 streams: their parameters, decoding and encoding.

pub(crate) mod avcc;
pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod sps;
