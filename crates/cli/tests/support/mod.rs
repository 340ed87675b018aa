//! What the tests of the binary share.

use std::path::{Path, PathBuf};

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn scene() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/demo")
}

/// A tiny job over the demo scene: a few frames of a stamp-sized picture.
pub(crate) fn tiny(out: &Path, more: &[&str]) -> Vec<String> {
    let s = scene();
    let path = |name: &str| s.join(name).display().to_string();
    let mut args: Vec<String> = vec!["animate".into(), "--progress".into(), "plain".into()];
    for (option, value) in [
        ("--avatar", path("avatar.safetensors")),
        ("--motion", path("motion.json")),
        ("--background", path("background.mp4")),
        ("--character", path("character.png")),
        ("--size", "80x48".into()),
        ("--window", "5".into()),
        ("--overlap", "1".into()),
        ("--end", "7".into()),
        ("--steps", "2".into()),
        ("--save-every", "1".into()),
        ("--renderer", "cpu".into()),
        ("--output", out.display().to_string()),
    ] {
        args.push(option.into());
        args.push(value);
    }
    args.extend(more.iter().map(|s| (*s).to_owned()));
    args
}
