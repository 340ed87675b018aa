//! With the feature `cuda`: compiles `src/cuda/*.cu` to PTX, which the driver compiles for the card at hand.

#[cfg(not(feature = "cuda"))]
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}

#[cfg(feature = "cuda")]
fn main() -> cudaforge::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/cuda");
    // Compute capability 8.0 is the first with the bf16 matrix instructions and asynchronous copies that are used.
    cudaforge::KernelBuilder::new()
        .source_files(["src/cuda/attention.cu", "src/cuda/rows.cu"])
        .compute_cap(80)
        .arg("-std=c++17")
        .arg("-O3")
        .build_ptx()?;
    Ok(())
}
