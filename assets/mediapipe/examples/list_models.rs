//! Lists the embedded models: `cargo run -p anicrafter-person-models --example list_models`.
#![expect(clippy::print_stdout, reason = "an example")]

fn main() {
    let models = [
        ("pose detection", anicrafter_person_models::POSE_DETECTION),
        ("pose landmarks", anicrafter_person_models::POSE_LANDMARK),
        ("selfie segmentation", anicrafter_person_models::SELFIE_SEGMENTATION),
        ("hand landmarks", anicrafter_person_models::HAND_LANDMARK),
        ("face landmarks", anicrafter_person_models::FACE_LANDMARK),
    ];
    for (name, bytes) in models {
        println!("{:>10} bytes  {name}", bytes.len());
    }
}
