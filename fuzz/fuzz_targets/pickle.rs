//! Any bytes as pickle: every readable tensor is read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tensorfile::{Pickle, TensorSource};

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = Pickle::parse(bytes.to_vec()) else { return };
    for name in file.names() {
        if let Ok(view) = file.tensor(name) {
            assert_eq!(file.info(name), Some(view.info()));
            assert_eq!(view.to_f32().len(), view.len());
            drop(view.to_i64());
        }
    }
});
