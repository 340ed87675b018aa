//! Writes LHM's files and Sapiens' at full size without the weights in them, and checks what was written: sparse files, 8 GB that
//! take some megabytes of disk. `cargo run -p anicrafter-pipeline --example lhm_skeleton -- DIR [mini|500m|1b]`; then
//! `anicrafter models check DIR`.
#![expect(clippy::print_stdout, reason = "an example")]

use anicrafter_pipeline::{LhmRequest, LhmSetup};
use lhm::{Config, Variant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().ok_or("name a folder")?;
    let name = args.next().unwrap_or("500m".to_owned());
    let variant = Variant::ALL.into_iter().find(|(own, _)| *own == name).ok_or("mini, 500m or 1b")?.1;
    checkpoint::write_lhm_skeleton(&folder, &serde_json::to_value(Config::variant(variant))?)?;
    println!("{}", LhmSetup::find(&LhmRequest { folder: folder.into(), ..LhmRequest::default() })?);
    Ok(())
}
