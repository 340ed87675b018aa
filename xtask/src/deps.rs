//! Which crate may depend on which. The table is the architecture; `cargo metadata` says whether the code keeps to it.

use crate::shell::command;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Published packages are named after their folder with this in front: the short names belong to others in the registry.
const PREFIX: &str = "anicrafter-";

/// Every crate of the workspace, by its short name, with the crates of the workspace that it may build on.
const ALLOWED: &[(&str, &[&str])] = &[
    ("assets", &[]),
    ("demo", &[]),
    ("demo-weights", &["demo-weights-dit-1", "demo-weights-dit-2"]),
    ("demo-weights-dit-1", &[]),
    ("demo-weights-dit-2", &[]),
    ("face-model", &[]),
    ("person-models", &["face-model"]),
    ("sniff", &[]),
    ("tensorfile", &["sniff"]),
    ("simd", &[]),
    ("kernels", &["simd"]),
    ("bg-mask", &[]),
    ("media", &["sniff"]),
    ("smplx", &["simd", "sniff", "tensorfile"]),
    ("mocap", &["person-models", "simd", "smplx", "tflite"]),
    ("avatar-render", &["simd", "smplx", "sniff", "tensorfile"]),
    ("avatar-bake", &["avatar-render", "smplx"]),
    ("scene-light", &["avatar-render", "smplx"]),
    ("evaluation", &["bg-mask", "media", "smplx"]),
    ("sampler", &[]),
    ("nn", &["kernels"]),
    ("tflite", &["kernels"]),
    ("vae", &["nn", "kernels"]),
    ("ranks", &[]),
    ("dit", &["nn", "ranks"]),
    ("encoders", &["nn"]),
    ("conditioning", &["bg-mask", "dit", "nn", "vae"]),
    ("lhm", &["avatar-render", "bg-mask", "encoders", "nn", "smplx"]),
    ("checkpoint", &["nn", "tensorfile"]),
    (
        "pipeline",
        &[
            "assets",
            "demo-weights",
            "avatar-render",
            "bg-mask",
            "checkpoint",
            "conditioning",
            "dit",
            "encoders",
            "evaluation",
            "lhm",
            "media",
            "mocap",
            "nn",
            "ranks",
            "sampler",
            "scene-light",
            "smplx",
            "tensorfile",
            "vae",
        ],
    ),
    (
        "anicrafter",
        &[
            "avatar-bake",
            "avatar-render",
            "bg-mask",
            "checkpoint",
            "demo",
            "dit",
            "evaluation",
            "farm",
            "lhm",
            "media",
            "pipeline",
            "ranks",
            "server",
            "smplx",
        ],
    ),
    ("farm", &["media", "pipeline"]),
    (
        "server",
        &[
            "avatar-bake",
            "avatar-render",
            "bg-mask",
            "demo",
            "evaluation",
            "lhm",
            "media",
            "pipeline",
            "smplx",
            "sniff",
        ],
    ),
];

/// Crates that nothing may depend on (outside of tests): tools and tests of the workspace itself.
const LEAVES: &[&str] = &[
    "benches",
    "body-builder",
    "composite-eval",
    "demo-builder",
    "demo-eval",
    "parity",
    "raw-eval",
    "synth",
    "testkit",
    "xtask",
];

/// Light crates with what must not be below them.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("smplx", &["candle-core", "wgpu"]),
    ("bg-mask", &["candle-core", "wgpu"]),
    ("avatar-render", &["candle-core", "wgpu"]),
    ("avatar-bake", &["candle-core", "wgpu"]),
    ("scene-light", &["candle-core", "wgpu"]),
    ("media", &["candle-core", "wgpu"]),
    ("sniff", &["candle-core", "wgpu"]),
    ("tensorfile", &["candle-core", "wgpu"]),
    ("kernels", &["candle-core", "wgpu"]),
    ("ranks", &["candle-core", "cudarc", "mpi", "wgpu"]),
    ("tflite", &["candle-core", "wgpu"]),
    ("mocap", &["candle-core", "wgpu"]),
    ("evaluation", &["candle-core", "wgpu"]),
];

fn read_metadata() -> Result<Value> {
    let output =
        command("metadata").args(["--format-version", "1", "--locked"]).output().context("cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The packages that users take: all that don't say `publish = false`.
pub(crate) fn published() -> Result<Vec<String>> {
    let metadata = read_metadata()?;
    let members = members(&metadata)?;
    let kept_here = |package: &Value| package["publish"].as_array().is_some_and(Vec::is_empty);
    let name = |package: &Value| package["name"].as_str().map(str::to_owned);
    Ok(members.values().map(|(_, p)| *p).filter(|p| !kept_here(p)).filter_map(name).collect())
}

/// The version that all packages share.
pub(crate) fn version() -> Result<String> {
    let manifest = manifest()?;
    let version = manifest["workspace"]["package"]["version"].as_str();
    Ok(version.context("workspace.package.version")?.to_owned())
}

/// What the workspace asks of a dependency, as it stands in a manifest.
pub(crate) fn requirement(name: &str) -> Result<String> {
    let manifest = manifest()?;
    let found = manifest["workspace"]["dependencies"].get(name);
    Ok(found.with_context(|| format!("workspace.dependencies.{name}"))?.to_string())
}

fn manifest() -> Result<toml::Value> {
    let path = crate::shell::root().join("Cargo.toml");
    Ok(toml::from_str(&std::fs::read_to_string(&path).with_context(|| path.display().to_string())?)?)
}

pub(crate) fn check() -> Result<()> {
    let metadata = read_metadata()?;
    let mut wrong = edges(&metadata)?;
    wrong.extend(heavy(&metadata)?);
    if !wrong.is_empty() {
        bail!("dependencies that the architecture doesn't have:\n  {}", wrong.join("\n  "));
    }
    Ok(())
}

fn short(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

/// The workspace's packages: id → (short name, metadata).
fn members(metadata: &Value) -> Result<BTreeMap<&str, (&str, &Value)>> {
    let ids: BTreeSet<&str> = metadata["workspace_members"]
        .as_array()
        .context("workspace_members")?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let packages = metadata["packages"].as_array().context("packages")?;
    Ok(packages
        .iter()
        .filter_map(|p| Some((p["id"].as_str()?, (short(p["name"].as_str()?), p))))
        .filter(|(id, _)| ids.contains(id))
        .collect())
}

fn edges(metadata: &Value) -> Result<Vec<String>> {
    let members = members(metadata)?;
    let names: BTreeSet<&str> = members.values().map(|(name, _)| *name).collect();
    let mut wrong = Vec::new();
    for (name, package) in members.values() {
        if LEAVES.contains(name) {
            continue;
        }
        let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| known == name) else {
            wrong.push(format!("{name} isn't in the table of xtask/src/deps.rs"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = short(dependency["name"].as_str().unwrap_or_default());
            let for_tests = dependency["kind"] == "dev";
            if names.contains(to) && !for_tests && !allowed.contains(&to) {
                wrong.push(format!("{name} → {to}"));
            }
        }
    }
    Ok(wrong)
}

/// Walks the resolved graph without development dependencies and without optional ones that no default feature brings.
fn heavy(metadata: &Value) -> Result<Vec<String>> {
    let members = members(metadata)?;
    let mut wrong = Vec::new();
    for (light, forbidden) in FORBIDDEN {
        let Some((_, package)) = members.values().find(|(name, _)| name == light) else {
            continue;
        };
        let package = package["name"].as_str().context("a package's name")?;
        let output = command("tree")
            .args(["-p", package, "-e", "normal,build", "--prefix", "none", "--format", "{p}", "--locked"])
            .output()
            .context("cargo tree")?;
        ensure!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
        let tree = String::from_utf8_lossy(&output.stdout).into_owned();
        for name in tree.lines().filter_map(|line| line.split(' ').next()) {
            if forbidden.contains(&name) {
                wrong.push(format!("{light} → … → {name}"));
            }
        }
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn metadata(from: &str, to: &str, kind: Value) -> Value {
        json!({
            "workspace_members": ["1", "2"],
            "packages": [
                {"id": "1", "name": from, "dependencies": [{"name": to, "kind": kind}]},
                {"id": "2", "name": to, "dependencies": []},
            ],
        })
    }

    #[test]
    fn an_arrow_upwards_is_found() {
        assert_eq!(edges(&metadata("nn", "dit", Value::Null)).unwrap(), ["nn → dit"]);
        assert_eq!(edges(&metadata("vae", "dit", Value::Null)).unwrap(), ["vae → dit"]);
    }

    #[test]
    fn allowed_and_test_only_arrows_pass() {
        assert!(edges(&metadata("dit", "nn", Value::Null)).unwrap().is_empty());
        assert!(edges(&metadata("smplx", "testkit", json!("dev"))).unwrap().is_empty());
    }

    #[test]
    fn an_unknown_crate_is_found() {
        assert_eq!(edges(&metadata("surprise", "nn", Value::Null)).unwrap().len(), 1);
    }
}
