//! The vector code's tests on CPUs that this machine isn't, under QEMU's user mode.
//!
//! Every test there compares all instruction sets of the CPU it finds with the portable code. `ANICRAFTER_REQUIRE_CPU` makes
//! the tests fail where QEMU offers another best one than the run is for.

use crate::shell::{self, command};
use anyhow::Result;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The crates with code for particular instruction sets.
const CRATES: [&str; 4] =
    ["anicrafter-simd", "anicrafter-kernels", "anicrafter-avatar-render", "anicrafter-smplx"];
/// Debian's cross compiler and its C library.
const ARM_LINKER: &str = "aarch64-linux-gnu-gcc";
const ARM_LIBRARIES: &str = "/usr/aarch64-linux-gnu";

/// A CPU that QEMU emulates.
struct Cpu {
    qemu: &'static str,
    model: &'static str,
    target: &'static str,
    /// Its best level, as the tests name it.
    best: &'static str,
}

const CPUS: [Cpu; 3] = [
    Cpu { qemu: "x86_64", model: "Nehalem", target: "x86_64-unknown-linux-gnu", best: "portable" },
    Cpu { qemu: "x86_64", model: "Haswell", target: "x86_64-unknown-linux-gnu", best: "avx2" },
    Cpu { qemu: "aarch64", model: "max", target: "aarch64-unknown-linux-gnu", best: "neon" },
];

/// Tests on each CPU for which the emulator, the compiler's target and a linker are installed, and names the others.
pub(crate) fn check() -> Result<()> {
    for cpu in CPUS {
        match runner(&cpu) {
            Ok(runner) => test(&cpu, runner)?,
            Err(missing) => println!("{}: skipped, as {missing}", cpu.model),
        }
    }
    Ok(())
}

fn test(cpu: &Cpu, runner: OsString) -> Result<()> {
    println!("{} with QEMU's {} CPU", cpu.best, cpu.model);
    let variable =
        |name: &str| format!("CARGO_TARGET_{}_{name}", cpu.target.to_uppercase().replace('-', "_"));
    let mut test = command("test");
    test.args(["--lib", "--tests"]).env(variable("RUNNER"), runner).env("ANICRAFTER_REQUIRE_CPU", cpu.best);
    for name in CRATES {
        test.args(["-p", name]);
    }
    if cpu.target != host() {
        test.args(["--target", cpu.target]).env(variable("LINKER"), ARM_LINKER);
    }
    // Layers of full width take QEMU's x86 CPUs more than ten minutes; the other tests have narrow ones of every kind.
    if cpu.qemu == "x86_64" {
        test.args(["--", "--skip", "agrees_with_the_definition_for_the_layers"]);
    }
    shell::run(&mut test)
}

/// The emulator's command, or what is missing.
fn runner(cpu: &Cpu) -> Result<OsString, String> {
    let qemu = format!("qemu-{}", cpu.qemu);
    let names = [format!("{qemu}-static"), qemu.clone()];
    let found = names.iter().find_map(|name| on_path(name)).ok_or(format!("{qemu} isn't installed"))?;
    let mut runner = OsString::from(found);
    runner.push(format!(" -cpu {}", cpu.model));
    if cpu.target == host() {
        return Ok(runner);
    }
    if cpu.qemu != "aarch64" {
        return Err(format!("its tests are built on {} alone", cpu.target));
    }
    if on_path(ARM_LINKER).is_none() || !Path::new(ARM_LIBRARIES).exists() {
        return Err(format!("{ARM_LINKER} isn't installed"));
    }
    let libraries = Command::new("rustc").args(["--print", "target-libdir", "--target", cpu.target]).output();
    let libraries = libraries.map_err(|e| format!("rustc doesn't run: {e}"))?.stdout;
    if !Path::new(String::from_utf8_lossy(&libraries).trim()).exists() {
        return Err(format!("the compiler has no {}: rustup target add {0}", cpu.target));
    }
    runner.push(format!(" -L {ARM_LIBRARIES}"));
    Ok(runner)
}

fn host() -> &'static str {
    if cfg!(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64")) {
        "x86_64-unknown-linux-gnu"
    } else if cfg!(all(target_os = "linux", target_env = "gnu", target_arch = "aarch64")) {
        "aarch64-unknown-linux-gnu"
    } else {
        "another"
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(name)).find(|path| path.is_file())
}
