//! What no compiler checks.

use crate::shell::root;
use anyhow::{Context, Result, bail, ensure};
use std::path::Path;
use std::process::Command;

/// Crates that take weights and give tensors: no files, no network.
const NO_IO: &[&str] = &[
    "crates/nn/src",
    "crates/dit/src",
    "crates/vae/src",
    "crates/encoders/src",
    "crates/lhm/src",
    "crates/sampler/src",
    "crates/kernels/src",
    "crates/simd/src",
];

/// The programs and tests, and the clocks of the server and of a farm's records: everything else is a library.
const PROGRAMS: &[&str] = &[
    "crates/cli/",
    "crates/farm/src/clock.rs",
    // What it takes to get into an object store.
    "crates/farm/src/store/depot.rs",
    "crates/server/src/clock.rs",
    "xtask/",
    "benches/",
    "tools/",
    "fuzz/",
];

/// Where `unsafe` may be opened: vectors, kernels, and the one memory map.
const UNSAFE_HOMES: &[&str] = &[
    "crates/kernels/",
    "crates/nn/src/cuda/",
    "crates/simd/",
    "crates/tensorfile/src/data.rs",
    "xtask/src/tidy.rs",
];

pub(crate) fn check() -> Result<()> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "*.rs"])
        .current_dir(root())
        .output()
        .context("git ls-files")?;
    ensure!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout).context("a file name isn't UTF-8")?;
    let mut wrong = Vec::new();
    let mut seen = 0;
    for name in names.split('\0').filter(|name| !name.is_empty()) {
        let path = root().join(name);
        if let Ok(text) = std::fs::read_to_string(&path) {
            wrong.extend(findings(name, &text).into_iter().map(|what| format!("{name}: {what}")));
            seen += 1;
        }
    }
    ensure!(seen > 0, "no Rust file was found");
    if !wrong.is_empty() {
        bail!("{} findings:\n  {}", wrong.len(), wrong.join("\n  "));
    }
    Ok(())
}

fn findings(name: &str, text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if !text.trim_start_matches("#![no_main]").trim_start().starts_with("//!") {
        wrong.push("doesn't begin with a `//!` line that says what it is for".to_owned());
    }
    for (i, line) in text.lines().enumerate() {
        if line.ends_with(' ') || line.ends_with('\t') {
            wrong.push(format!("line {}: white space at the end", i + 1));
        }
    }
    let in_tests =
        ["/tests/", "/tests.rs", "/examples/", "/benches/"].iter().any(|place| name.contains(place));
    let library =
        !in_tests && !PROGRAMS.iter().any(|p| name.starts_with(p)) && Path::new(name).starts_with("crates");
    let code = text.split("#[cfg(test)]").next().unwrap_or(text);
    let uses = |what: &str| code.lines().any(|l| !l.trim_start().starts_with("//") && l.contains(what));
    if library && (uses("env::var") || uses("SystemTime::now") || uses("env::args")) {
        wrong.push("a library reads the environment or the clock".to_owned());
    }
    if NO_IO.iter().any(|p| name.starts_with(p))
        && (uses("std::fs") || uses("std::net") || uses("File::open"))
    {
        wrong.push("a crate that does no IO touches files or the network".to_owned());
    }
    if uses("expect(unsafe_code") && !UNSAFE_HOMES.iter().any(|home| name.starts_with(home)) {
        wrong.push("unsafe code outside of kernels and memory maps".to_owned());
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::findings;

    #[test]
    fn finds_what_it_looks_for() {
        let one = |name: &str, text: &str| findings(name, text).len();
        assert_eq!(one("crates/a/src/lib.rs", "//! A.\nfn f() {}\n"), 0);
        assert_eq!(one("crates/a/src/lib.rs", "fn f() {}\n"), 1);
        assert_eq!(one("crates/a/src/lib.rs", "//! A.\nfn f() {} \n"), 1);
        assert_eq!(one("crates/a/src/lib.rs", "//! A.\nfn f() { std::env::var(\"X\"); }\n"), 1);
        assert_eq!(one("crates/cli/src/main.rs", "//! A.\nfn f() { std::env::var(\"X\"); }\n"), 0);
        assert_eq!(one("crates/dit/src/lib.rs", "//! A.\nuse std::fs;\n"), 1);
        assert_eq!(one("crates/dit/src/lib.rs", "//! A.\n#[cfg(test)]\nmod t { use std::fs; }\n"), 0);
        assert_eq!(one("crates/a/src/x.rs", "//! A.\n#![expect(unsafe_code, reason = \"r\")]\n"), 1);
        assert_eq!(one("crates/kernels/src/x.rs", "//! A.\n#![expect(unsafe_code, reason = \"r\")]\n"), 0);
    }
}
