//! Any bytes as a TensorFlow Lite model: what is accepted runs.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(model) = tflite::Model::from_bytes(bytes) else { return };
    let sizes: Vec<usize> = model.inputs().iter().map(|shape| shape.iter().product()).collect();
    if sizes.iter().sum::<usize>() > 1 << 20 {
        return;
    }
    let inputs: Vec<Vec<f32>> = sizes.iter().map(|n| vec![0.5; *n]).collect();
    let slices: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
    let outputs = model.run(&slices).expect("a model that was read runs");
    assert!(outputs.iter().zip(model.outputs()).all(|(o, shape)| o.shape == shape));
});
