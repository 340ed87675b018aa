//! What there is of farms in object stores where they weren't built in: nothing, which says so.

use anyhow::{Result, bail};
use farm::{Collected, Farm, NamedJob, TaskEnd, TaskOptions};
use pipeline::{CancelToken, Context, Observer, Session};
use std::path::Path;

/// Stands for `farm::Mirror`; there is none.
pub(crate) enum Mirror {}

impl Mirror {
    pub(crate) fn open(address: &str, _: &Path) -> Result<Self> {
        bail!(
            "{address}: this program was built without object stores: build it with --features cloud, or take a folder that all machines see"
        )
    }

    pub(crate) fn pull(&self) -> farm::Result<Farm> {
        match *self {}
    }

    pub(crate) fn create(
        &self,
        _: Vec<NamedJob>,
        _: &Session,
        _: &str,
        _: Context<'_>,
    ) -> farm::Result<(Farm, u64)> {
        match *self {}
    }

    pub(crate) fn run_task(
        &self,
        _: (&str, farm::Group),
        _: impl FnOnce(&Farm) -> farm::Result<Session>,
        _: &TaskOptions,
        _: &dyn Observer,
        _: &CancelToken,
    ) -> farm::Result<TaskEnd> {
        match *self {}
    }

    pub(crate) fn collect(&self, _: &Path, _: Context<'_>) -> farm::Result<Collected> {
        match *self {}
    }
}
