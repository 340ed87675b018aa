//! What denoising left in work folders, compared.

use candle_core::{Device, Tensor};
use std::path::Path;

/// The latents of both windows of a tiny job, by the name of their place in its work folder.
fn latents(work: &Path) -> Vec<(String, Tensor)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(work).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.contains("-denoise-") {
            let tensors = candle_core::safetensors::load(path.join("tensors.safetensors"), &Device::Cpu);
            found.push((name, tensors.unwrap()["latents"].clone()));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(found.len(), 2, "two windows");
    found
}

/// The same places, and the same latents to within a part `most` of the largest.
pub fn assert_same_latents(a: &Path, b: &Path, most: f32) {
    for ((place, a), (other, b)) in latents(a).iter().zip(&latents(b)) {
        assert_eq!(place, other, "ranks don't change what a result is called");
        let largest = |t: Tensor| t.abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
        let error = largest((a - b).unwrap()) / largest(a.clone());
        assert!(error < most, "{place}: {error}");
    }
}
