//! The examples of the API's page, run as they stand; the ComfyUI node, run without ComfyUI.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

#[path = "support/lhm.rs"]
mod lhm;
mod support;

use std::path::Path;
use std::process::Command;
use support::{Running, video};

fn is_there(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        let required = std::env::var("ANICRAFTER_REQUIRE_EXAMPLES").is_ok_and(|v| v == "1");
        assert!(!required, "ANICRAFTER_REQUIRE_EXAMPLES is set, and there is no {program}");
        println!("SKIPPED: there is no {program}");
    }
    found
}

#[test]
fn the_examples_work_when_they_are_pasted() {
    let dir = tempfile::tempdir().unwrap();
    let studio = Running::start(&dir.path().join("library"));
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/page/examples");
    for (needs, runs, file) in
        [("curl", "sh", "example.sh"), ("python3", "python3", "example.py"), ("node", "node", "example.mjs")]
    {
        if !is_there(needs) {
            continue;
        }
        // As the page shows it.
        let shown = studio.send("GET", &format!("/page/{file}"), &[], b"").text();
        assert_eq!(shown, std::fs::read_to_string(examples.join(file)).unwrap());
        let folder = dir.path().join(runs);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join(file), shown.replace("http://127.0.0.1:8585", &studio.url())).unwrap();
        let output = Command::new(runs).arg(file).current_dir(&folder).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{file}: {said}");
        assert_eq!(std::fs::read(folder.join("demo.mp4")).unwrap(), video(), "{file}: {said}");
    }
}

#[test]
fn the_comfyui_node_makes_a_video() {
    if !is_there("python3") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let studio = Running::start(&dir.path().join("library"));
    let node = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../integrations/comfyui");
    let output = Command::new("python3")
        .arg(node.join("test_node.py"))
        .env("STUDIO", studio.url())
        .env("DEMO", Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/demo"))
        .current_dir(dir.path())
        .output()
        .unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    assert_eq!(std::fs::read(dir.path().join("output.mp4")).unwrap(), video(), "{said}");
}

#[test]
fn every_endpoint_can_be_called_from_pythons_standard_library() {
    if !is_there("python3") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (studio, weights) = lhm::studio(dir.path());
    let output = Command::new("python3")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/every_endpoint.py"))
        .env("STUDIO", studio.url())
        .env("WEIGHTS", &weights)
        .output()
        .unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    assert!(output.status.success(), "{said}");
}
