//! `cargo xtask eval-demo`: clips, then the measurement.

use crate::shell;
use anyhow::Result;
use std::ffi::OsString;

/// Training clips that the baselines are fitted on.
const TRAINING_CLIPS: usize = 32;

/// Clips that detail transfer is fitted on. Their seed isn't the training's: the weights must not have seen them.
const CALIBRATION_CLIPS: usize = 32;
const CALIBRATION_SEED: &str = "4242";

pub(crate) fn run(count: usize, calibrate: bool, mut rest: Vec<OsString>) -> Result<()> {
    let root = shell::root();
    let folder = root.join("out").join("eval-demo");
    let clips_of = |name: &str, split: &str, seed: &str, count: usize| -> Result<OsString> {
        let to = folder.join(name).into_os_string();
        let count = count.to_string();
        let args = ["--split", split, "--seed", seed, "--first", "0", "--count", &count, "--out"];
        let args = args.into_iter().map(OsString::from).chain([to.clone()]).collect();
        shell::cargo(["run", "--release", "--quiet", "--package", "synth", "--", "clips"], args)?;
        Ok(to)
    };
    let clips = |split, count| clips_of(split, split, "1", count);
    let (train, val) = (clips("train", TRAINING_CLIPS)?, clips("val", count)?);
    if calibrate {
        let fresh = clips_of("calibrate", "train", CALIBRATION_SEED, CALIBRATION_CLIPS)?;
        rest.extend([OsString::from("--calibrate"), fresh]);
    }
    let weights = root.join("assets").join("demo").join("weights").into_os_string();
    let named =
        [("--clips", val), ("--train", train), ("--weights", weights), ("--output", folder.into_os_string())];
    let args =
        named.into_iter().flat_map(|(name, value)| [OsString::from(name), value]).chain(rest).collect();
    shell::cargo(["run", "--release", "--quiet", "--package", "demo-eval", "--"], args)
}
