//! Any bytes as an avatar: LHM's pickle, splat clouds (plain, compressed, spz), this project's own format.
#![no_main]

use avatar_render::Avatar;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    drop(Avatar::parse(bytes.to_vec()));
});
