//! The shipped models against outputs of the LiteRT runtime, and files that were tampered with.
#![expect(clippy::unwrap_used, reason = "tests")]

use anicrafter_person_models::{
    FACE_LANDMARK, HAND_LANDMARK, POSE_DETECTION, POSE_LANDMARK, SELFIE_SEGMENTATION,
};
use anicrafter_tflite::{Error, Model};

/// A picture with edges and gradients that any program can compute: element `i` of a buffer.
fn pattern(i: usize) -> f32 {
    ((i * 7919) % 256) as f32 / 255.0 * 0.25 + ((i / 96) % 64) as f32 / 63.0 * 0.75
}

/// Lines of the fixture: model, output, and `index:value` pairs with the output's largest magnitude first.
fn golden(model: &str) -> Vec<(f32, Vec<(usize, f32)>)> {
    include_str!("litert.txt")
        .lines()
        .filter_map(|line| line.strip_prefix(model)?.strip_prefix(' '))
        .map(|line| {
            let mut words = line.split(' ');
            let largest = words.next().unwrap().parse().unwrap();
            let pair = |word: &str| {
                let (i, v) = word.split_once(':').unwrap();
                (i.parse().unwrap(), v.parse().unwrap())
            };
            (largest, words.map(pair).collect())
        })
        .collect()
}

#[test]
fn outputs_are_those_of_litert() {
    for (name, bytes) in [
        ("pose_detection", POSE_DETECTION),
        ("pose_landmark_full", POSE_LANDMARK),
        ("selfie_segmentation", SELFIE_SEGMENTATION),
        ("hand_landmark_lite", HAND_LANDMARK),
        ("face_landmark", FACE_LANDMARK),
    ] {
        let model = Model::from_bytes(bytes).unwrap();
        let n: usize = model.inputs()[0].iter().product();
        let picture: Vec<f32> = (0..n).map(pattern).collect();
        let outputs = model.run(&[&picture]).unwrap();
        let golden = golden(name);
        assert_eq!((outputs.len(), golden.len()), (model.outputs().len(), outputs.len()));
        for (k, (output, (largest, values))) in outputs.iter().zip(&golden).enumerate() {
            assert!(!values.is_empty());
            for (i, expected) in values {
                let error = (output.data[*i] - expected).abs() / largest.max(0.01);
                assert!(error < 1e-3, "{name} output {k} at {i}: {} against {expected}", output.data[*i]);
            }
        }
    }
}

#[test]
fn inputs_of_another_size_are_refused() {
    let model = Model::from_bytes(SELFIE_SEGMENTATION).unwrap();
    assert_eq!(model.run(&[&[0.0; 5]]), Err(Error::Input { index: 0, expected: 256 * 256 * 3, got: 5 }));
    assert!(matches!(model.run(&[]), Err(Error::Input { .. })));
    let picture = vec![0.0; 256 * 256 * 3];
    assert!(matches!(model.run(&[&picture, &picture]), Err(Error::Input { index: 1, .. })));
}

#[test]
fn tampered_files_never_panic() {
    assert!(matches!(Model::from_bytes(b"no model at all"), Err(Error::NotAModel(_))));
    for cut in [0, 7, 8, 100, 5_000, 240_000] {
        let _ = Model::from_bytes(&SELFIE_SEGMENTATION[..cut]);
    }
    // The tables lie at both ends of the file: change bytes there, a few at a time.
    let mut state = 12345_u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    let mut refused = 0;
    for _ in 0..300 {
        let mut bytes = SELFIE_SEGMENTATION.to_vec();
        let n = bytes.len();
        for _ in 0..1 + next(6) {
            let at = if next(4) == 0 { next(600) } else { n - 1 - next(40_000) };
            bytes[at] = next(256) as u8;
        }
        refused += usize::from(Model::from_bytes(&bytes).is_err());
    }
    assert!(refused > 20, "{refused} of 300 were refused");
}
