//! The golden cases that the project carries, through the same code as `cargo xtask parity`.

use parity::kinds::Device;
use std::path::Path;
use testkit::Status;

#[test]
fn every_fixture_agrees_with_the_reference() {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/goldens");
    let mut summary = parity::Summary::default();
    for dir in parity::cases(&goldens).unwrap() {
        parity::run_case(&dir, &Device::Cpu, &mut summary, |_| ()).unwrap();
    }
    let bad: Vec<String> = summary
        .rows
        .iter()
        .filter(|r| r.status != Status::Pass)
        .map(|r| {
            format!(
                "{} {}: {:?}, worst {:e}, tolerance {:e} {}",
                r.case, r.tensor, r.status, r.worst, r.atol, r.note
            )
        })
        .collect();
    assert!(bad.is_empty(), "{} of {} differ:\n{}", bad.len(), summary.rows.len(), bad.join("\n"));
    assert!(summary.without_implementation.is_empty(), "no code for {:?}", summary.without_implementation);
    assert!(!summary.rows.is_empty(), "no fixture was run");
}
