//! A studio with LHM's weights: a small network of random numbers.

#[path = "../../../pipeline/tests/support/small_lhm.rs"]
mod small_lhm;

use crate::support::{FakeWorker, Running};
use std::path::{Path, PathBuf};

/// A studio in `folder`, and the weights that it was started with.
pub fn studio(folder: &Path) -> (Running, PathBuf) {
    let weights = folder.join("weights");
    std::fs::create_dir(&weights).unwrap();
    small_lhm::write(&weights);
    let own = weights.clone();
    let studio = Running::start_with(
        &folder.join("library"),
        |options| anicrafter_server::Options { weights: vec![own], ..options },
        FakeWorker::default(),
    );
    (studio, weights)
}
