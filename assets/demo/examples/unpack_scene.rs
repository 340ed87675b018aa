//! Writes the scene into a folder, or lists it: `cargo run -p anicrafter-demo --example unpack_scene -- [FOLDER]`.
#![expect(clippy::print_stdout, reason = "an example")]

fn main() -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).map(std::path::PathBuf::from);
    for (name, bytes) in anicrafter_demo::FILES {
        println!("{:>10} bytes  {name}", bytes.len());
        if let Some(folder) = &folder {
            std::fs::create_dir_all(folder)?;
            std::fs::write(folder.join(name), bytes)?;
        }
    }
    Ok(())
}
