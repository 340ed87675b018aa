//! Lists the tensors of a file of any format: `cargo run -p anicrafter-tensorfile --example list -- FILE`.
//!
//! Without a file it writes a small one first.
#![expect(clippy::print_stdout, reason = "an example")]

use anicrafter_tensorfile::{TensorView, open, write_safetensors};
use std::collections::BTreeMap;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let made = tempfile::tempdir()?;
    let path = match std::env::args_os().nth(1) {
        Some(path) => path.into(),
        None => {
            let path = made.path().join("small.safetensors");
            let tensors = [
                ("layer.weight", TensorView::from_f32(&[2, 3], &[0.5; 6])?),
                ("layer.steps", TensorView::from_i64(&[2], &[1, 2])?),
            ];
            write_safetensors(&path, &tensors, &BTreeMap::new())?;
            path
        }
    };
    let file = open(&path)?;
    for name in file.names() {
        if let Some(info) = file.info(name) {
            println!("{name:<60} {:<8} {:?}", info.dtype.to_string(), info.shape);
        }
    }
    Ok(())
}
