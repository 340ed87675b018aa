//! Says how large the embedded body is: `cargo run -p anicrafter-assets --example body [-- COPY.npz]`, which also writes it.
#![expect(clippy::print_stdout, reason = "an example")]

fn main() -> std::io::Result<()> {
    let body = anicrafter_assets::BODY;
    println!("the CC0 body, a zip of arrays: {} bytes", body.len());
    std::env::args_os().nth(1).map_or(Ok(()), |path| std::fs::write(path, body))
}
