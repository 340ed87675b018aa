//! Any bytes as npz: every readable tensor is read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tensorfile::{Npz, TensorSource};

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = Npz::parse(bytes.to_vec()).map(|f| f.with_limit(1 << 20)) else { return };
    for name in file.names() {
        if let Ok(view) = file.tensor(name) {
            assert_eq!(file.info(name), Some(view.info()));
            assert_eq!(view.to_f32().len(), view.len());
            drop(view.to_i64());
        }
    }
});
