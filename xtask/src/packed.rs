//! What a stranger gets: every published package from its packed file, used by a project that isn't this workspace.
//!
//! The packages are packed as for the registry, unpacked side by side, and a project whose dependencies are those copies
//! builds the first example of each README and runs it in an empty folder. The command is installed from its packed form
//! and runs its demo in another empty folder, with an empty environment.

use crate::shell::{self, command};
use crate::{deps, readme};
use anyhow::{Context, Result, bail, ensure};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The registry takes no larger file.
const LARGEST: u64 = 10 * 1024 * 1024;

/// The package with the command.
const COMMAND: &str = "anicrafter";

/// Crates that examples use beside the package that they belong to.
const BESIDE: [&str; 3] = ["candle-core", "half", "image"];

/// Does what publishing does, short of the upload, and looks at the archives' sizes. With `verify` each package is also
/// built from its packed form.
pub(crate) fn publish(verify: bool) -> Result<()> {
    let mut publish = command("publish");
    publish.args(["--workspace", "--dry-run", "--allow-dirty", "--quiet"]);
    if !verify {
        publish.arg("--no-verify");
    }
    shell::run(&mut publish)?;
    // Publishing keeps its archives to itself; the same ones again, where they can be looked at.
    let mut package = command("package");
    package.args(["--allow-dirty", "--no-verify", "--quiet"]);
    for name in deps::published()? {
        package.arg("--package").arg(name);
    }
    shell::run(&mut package)?;
    for archive in archives()? {
        let bytes = fs::metadata(&archive).with_context(|| archive.display().to_string())?.len();
        ensure!(bytes <= LARGEST, "{} has {bytes} bytes, the registry takes {LARGEST}", archive.display());
    }
    Ok(())
}

/// Builds and runs everything from the packed files of an earlier [`publish`].
pub(crate) fn use_from_outside() -> Result<()> {
    let folder = shell::target().join("packed");
    let (vendor, outside) = (folder.join("vendor"), folder.join("outside"));
    for dir in [&vendor, &outside] {
        if dir.exists() {
            fs::remove_dir_all(dir)?;
        }
        fs::create_dir_all(dir)?;
    }
    let version = deps::version()?;
    let mut packages = Vec::new();
    for archive in archives()? {
        shell::run(Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(&vendor))?;
        let stem = archive.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let name = stem.strip_suffix(&format!("-{version}")).context("an archive's name")?.to_owned();
        packages.push((name, vendor.join(stem)));
    }
    let examples = write_project(&outside, &packages, &version)?;
    let manifest = outside.join("Cargo.toml");
    let cargo = |subcommand: &str| {
        let mut cargo = shell::bare(subcommand);
        cargo.arg("--manifest-path").arg(&manifest).env("CARGO_TARGET_DIR", shell::target());
        cargo
    };
    shell::run(cargo("build").args(["--quiet", "--bins"]))?;
    for example in examples {
        println!("{example}: the README's example");
        let program =
            shell::target().join("debug").join(format!("{example}{}", std::env::consts::EXE_SUFFIX));
        alone(&folder.join("empty"), &program, &[])?;
    }
    install(&folder, &packages)
}

/// Installs the command from its packed form and runs the demo.
fn install(folder: &Path, packages: &[(String, PathBuf)]) -> Result<()> {
    let (_, source) = packages.iter().find(|(name, _)| name == COMMAND).context("the command's package")?;
    // A packed package is a workspace root of its own; its dependencies on the others are redirected to their copies.
    let mut install = shell::bare("install");
    install.arg("--path").arg(source).arg("--root").arg(folder.join("installed"));
    install.args(["--debug", "--force", "--quiet"]).env("CARGO_TARGET_DIR", shell::target());
    // Installing reads no configuration of the working folder: these are the workspace's profiles, which optimise.
    install.arg("--config").arg(shell::root().join(".cargo").join("config.toml"));
    for (name, path) in packages.iter().filter(|(name, _)| name != COMMAND) {
        install.arg("--config").arg(format!("patch.crates-io.{name}.path={:?}", path.display().to_string()));
    }
    shell::run(&mut install)?;
    let program =
        folder.join("installed").join("bin").join(format!("{COMMAND}{}", std::env::consts::EXE_SUFFIX));
    println!("{COMMAND} demo, in an empty folder and an empty environment");
    let empty = folder.join("empty-demo");
    alone(&empty, &program, &["demo", "--frames", "8"])?;
    let video = empty.join("out").join("demo").join("demo.mp4");
    ensure!(video.is_file(), "the installed command's demo wrote no {}", video.display());
    Ok(())
}

/// Runs a program in a folder that is empty before, with an empty environment.
fn alone(folder: &Path, program: &Path, args: &[&str]) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    shell::run(Command::new(program).args(args).current_dir(folder).env_clear())
}

/// The archives that packing wrote for this version.
fn archives() -> Result<Vec<PathBuf>> {
    let folder = shell::target().join("package");
    let version = deps::version()?;
    let mut found = Vec::new();
    for name in deps::published()? {
        let archive = folder.join(format!("{name}-{version}.crate"));
        ensure!(archive.is_file(), "{} wasn't packed", archive.display());
        found.push(archive);
    }
    ensure!(!found.is_empty(), "no package was packed");
    Ok(found)
}

/// Writes a project with a program for each README's example, and gives the programs' names.
fn write_project(outside: &Path, packages: &[(String, PathBuf)], version: &str) -> Result<Vec<String>> {
    let mut manifest = "[package]\nname = \"outside\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n".to_owned();
    for (name, _) in packages.iter().filter(|(name, _)| name != COMMAND) {
        writeln!(manifest, "{name} = \"{version}\"")?;
    }
    for name in BESIDE {
        writeln!(manifest, "{name} = {}", deps::requirement(name)?)?;
    }
    manifest.push_str("\n[patch.crates-io]\n");
    for (name, path) in packages {
        writeln!(manifest, "{name} = {{ path = {:?} }}", path.display().to_string())?;
    }
    fs::write(outside.join("Cargo.toml"), manifest)?;
    fs::copy(shell::root().join("Cargo.lock"), outside.join("Cargo.lock"))?;
    let bins = outside.join("src").join("bin");
    fs::create_dir_all(&bins)?;
    let mut examples = Vec::new();
    for (name, path) in packages.iter().filter(|(name, _)| name != COMMAND) {
        let file = path.join("README.md");
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let Some(program) = readme::program(&text) else {
            bail!("{name}: the README shows no Rust code that could be run");
        };
        let example = format!("readme_{}", name.replace('-', "_"));
        fs::write(bins.join(format!("{example}.rs")), program)?;
        examples.push(example);
    }
    Ok(examples)
}
