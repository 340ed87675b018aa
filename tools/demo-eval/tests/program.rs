//! The program on two tiny clips.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};
use std::process::Command;

const SIZE: [usize; 2] = [48, 64];
const FRAMES: usize = 4;

/// A bright body that slides over a flat ground; the target is darker than the condition by `shade`, and the condition's body
/// is wider by `fringe` pixels on either side.
fn write_clip(folder: &Path, name: &str, shade: f32, fringe: usize) {
    let [h, w] = SIZE;
    let is_within = |f: usize, x: usize, y: usize, fringe: usize| {
        (10..40).contains(&y) && (20 + f - fringe..36 + f + fringe).contains(&x)
    };
    let is_body = |f: usize, x: usize, y: usize| is_within(f, x, y, 0);
    let rgb = |value: &dyn Fn(usize, usize, usize) -> [u8; 3], frames: usize| -> Vec<u8> {
        let at = (0..frames).flat_map(|f| (0..h * w).map(move |i| (f, i % w, i / w)));
        at.flat_map(|(f, x, y)| value(f, x, y)).collect()
    };
    let scaled = |v: u8| (f32::from(v) * shade) as u8;
    let body = [180, 120, 90];
    let fields: [(&str, Vec<u8>, Vec<usize>); 7] = [
        ("reference", rgb(&|_, _, _| [255; 3], 1), vec![h, w, 3]),
        (
            "blend",
            rgb(&|f, x, y| if is_within(f, x, y, fringe) { body } else { [90; 3] }, FRAMES),
            vec![FRAMES, h, w, 3],
        ),
        (
            "mesh",
            rgb(&|f, x, y| if is_body(f, x, y) { [200; 3] } else { [0; 3] }, FRAMES),
            vec![FRAMES, h, w, 3],
        ),
        (
            "target",
            rgb(&|f, x, y| if is_body(f, x, y) { body.map(scaled) } else { [90; 3] }, FRAMES),
            vec![FRAMES, h, w, 3],
        ),
        ("plate", rgb(&|_, _, _| [90; 3], FRAMES), vec![FRAMES, h, w, 3]),
        (
            "normals",
            rgb(&|f, x, y| if is_body(f, x, y) { [(100 + x) as u8, 120, 30] } else { [0; 3] }, FRAMES),
            vec![FRAMES, h, w, 3],
        ),
        ("shadow", vec![0; FRAMES * h * w], vec![FRAMES, h, w]),
    ];
    let (mut bytes, mut layout) = (Vec::new(), Vec::new());
    for (field, data, shape) in fields {
        layout.push(serde_json::json!({ "name": field, "offset": bytes.len(), "shape": shape }));
        bytes.extend(data);
    }
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join(format!("{name}.bin")), bytes).unwrap();
    std::fs::write(folder.join("layout.json"), serde_json::json!({ "fields": layout }).to_string()).unwrap();
}

fn weights() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/demo/weights")
}

fn run(folder: &Path, weights: &Path, calibrate: bool) -> std::process::Output {
    let calibrate =
        calibrate.then(|| [PathBuf::from("--edge=3"), "--calibrate".into(), folder.join("train")]);
    Command::new(env!("CARGO_BIN_EXE_demo-eval"))
        .args(["--steps", "1", "--clips"])
        .arg(folder.join("val"))
        .arg("--train")
        .arg(folder.join("train"))
        .arg("--weights")
        .arg(weights)
        .arg("--output")
        .arg(folder.join("out"))
        .args(calibrate.into_iter().flatten())
        .output()
        .unwrap()
}

#[test]
fn measures_baselines_and_result() {
    let folder = tempfile::tempdir().unwrap();
    for n in 0..2 {
        write_clip(&folder.path().join("train"), &format!("clip_{n}"), 0.5, 0);
        write_clip(&folder.path().join("val"), &format!("clip_{n}"), 0.5, 0);
    }
    let output = run(folder.path(), &weights(), false);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let table = std::fs::read(folder.path().join("out/table.json")).unwrap();
    let table: serde_json::Value = serde_json::from_slice(&table).unwrap();
    let person = |method: &str| table["methods"][method]["person"].as_f64().unwrap();
    // The target is the condition at half brightness: a fixed gain finds it, the composite is far off.
    assert!(person("raw composite") < 20.0, "{}", person("raw composite"));
    assert!(person("fixed colour gain") > 40.0, "{}", person("fixed colour gain"));
    assert!(person("least-squares relighting") > 40.0);
    assert!(person("result, detail transfer").is_finite());
    assert_eq!(table["clips"], 2);
    for strip in ["best", "median", "worst"] {
        assert!(folder.path().join(format!("out/{strip}.png")).is_file());
    }
}

#[test]
fn detail_transfer_is_fitted_and_kept_beside_the_weights() {
    let folder = tempfile::tempdir().unwrap();
    for part in ["train", "val"] {
        write_clip(&folder.path().join(part), "clip_0", 0.9, 1);
    }
    let copy = folder.path().join("weights");
    std::fs::create_dir(&copy).unwrap();
    for (name, bytes) in anicrafter_demo_weights::FILES {
        if *name != "detail.json" {
            std::fs::write(copy.join(name), bytes).unwrap();
        }
    }
    let output = run(folder.path(), &copy, true);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let detail: serde_json::Value =
        serde_json::from_slice(&std::fs::read(copy.join("detail.json")).unwrap()).unwrap();
    // The fringe isn't in the target; frames so small have but the outermost ring.
    assert!(detail["edge"][0]["plate"].as_f64().unwrap() > 0.8, "{detail}");
    assert_eq!(detail["edge"][2]["plate"], 0.0, "{detail}");
    let table = std::fs::read(folder.path().join("out/table.json")).unwrap();
    let table: serde_json::Value = serde_json::from_slice(&table).unwrap();
    let person = |method: &str| table["methods"][method]["person"].as_f64().unwrap();
    let (own, whole) = (person("result, detail transfer"), person("result, whole difference"));
    assert!(own > whole + 0.1, "{own} {whole}");
}

#[test]
fn a_cut_clip_is_named() {
    let folder = tempfile::tempdir().unwrap();
    write_clip(&folder.path().join("train"), "clip_0", 0.5, 0);
    write_clip(&folder.path().join("val"), "clip_0", 0.5, 0);
    let path = folder.path().join("val/clip_0.bin");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let output = run(folder.path(), &weights(), false);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("clip_0.bin"));
}
