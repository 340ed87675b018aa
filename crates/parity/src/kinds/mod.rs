//! One module for each kind of golden case: it reads the case, calls the public API of the crate that ports it and
//! hands every output to the checker.

use anyhow::Result;
use testkit::{Case, Checker};

/// Runs a case and records the comparisons.
pub type Run = fn(&Case, &mut Checker<'_>) -> Result<()>;

/// The kinds that this build can run.
pub const KINDS: &[(&str, Run)] = &[];
