//! The mp4 container: reading and writing, without any codec.

pub(crate) mod boxes;
pub(crate) mod demux;
mod fragments;
pub(crate) mod mux;
pub(crate) mod samples;
pub(crate) mod timeline;
