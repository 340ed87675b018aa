//! The `anicrafter` command.
fn main() {}
