//! The mp4 container: reading and writing, without any codec.

pub(crate) mod boxes;
pub(crate) mod demux;
pub(crate) mod mux;
