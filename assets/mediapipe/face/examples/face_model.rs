//! Says how large the embedded model is: `cargo run -p anicrafter-face-model --example face_model`.
#![expect(clippy::print_stdout, reason = "an example")]

fn main() {
    println!("{:>10} bytes  face landmarks", anicrafter_face_model::FACE_LANDMARK.len());
}
