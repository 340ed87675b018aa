//! Command line of the demo's builder: `demo-builder OUT_DIR`.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [folder] = arguments.as_slice() else {
        let _ = writeln!(std::io::stderr(), "usage: demo-builder OUT_DIR");
        return ExitCode::from(2);
    };
    let told = |path: &Path| {
        let size = std::fs::metadata(path).map_or(0, |m| m.len());
        let _ = writeln!(std::io::stdout(), "{} ({size} bytes)", path.display());
    };
    match demo_builder::build(Path::new(folder), told) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}
