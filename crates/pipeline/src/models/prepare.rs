//! The transformer's weights prepared once for runs that stream them.

use super::{ModelSet, Wanted, held};
use crate::job::Prepare;
use crate::work::Fingerprint;
use crate::{Error, Result};
use checkpoint::{Model, PREPARED_FORMAT, Prepared, PreparedFor, prepare};
use nn::WeightSource;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where prepared weights are, or will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreparedPlace {
    /// The folder of this transformer, with these LoRAs, in this type.
    pub folder: PathBuf,
    /// What it takes.
    pub bytes: u64,
    /// Is it there already?
    pub is_ready: bool,
}

/// Is there room on the disk? A share is left to everybody else; what an interrupted call wrote counts as room.
fn check_room(place: &PreparedPlace) -> Result<()> {
    const SPARE: u64 = 1 << 30;
    let existing = place.folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
    // Where the system doesn't tell, writing will.
    let Ok(free) = fs4::available_space(existing) else { return Ok(()) };
    let written = checkpoint::prepared_so_far(&place.folder);
    if free.saturating_add(written) < place.bytes.saturating_add(SPARE) {
        return Err(Error::NoRoom { path: place.folder.clone(), needed: place.bytes, free });
    }
    Ok(())
}

impl ModelSet {
    /// Where the transformer's prepared weights are or will be; `None` where none are wanted: `models.prepare` says so, or, as
    /// long as it leaves the choice, where all blocks stay in memory or the weights are the small ones.
    ///
    /// # Errors
    /// When a file of the weights can't be looked at, the memory holds no block, or weights are to be prepared and no folder is
    /// known for them.
    pub fn prepared_place(&self) -> Result<Option<PreparedPlace>> {
        let own = &self.settings;
        let streams = self.streaming()?.is_some_and(|s| s.keep < self.configs.dit.num_layers);
        let root = match (own.prepare, &own.prepared) {
            (Prepare::Never, _) => return Ok(None),
            (Prepare::Auto, root) => {
                let Some(root) = root.as_ref().filter(|_| streams && self.is_real()) else { return Ok(None) };
                root
            }
            (Prepare::Always, Some(root)) => root,
            (Prepare::Always, None) => {
                return Err(Error::Option {
                    option: "models.prepared",
                    why: "weights are to be prepared (models.prepare), and no folder is named for them"
                        .to_owned(),
                });
            }
        };
        let key = (PREPARED_FORMAT, self.weights_key(Wanted::Transformer)?, self.prepared_for() as u8);
        let folder = root.join(format!("transformer-{}", Fingerprint::of(&key)?.as_str()));
        let is_ready = folder.is_dir();
        let bytes = self.configs.dit.num_layers as u64 * self.block_bytes()?;
        Ok(Some(PreparedPlace { folder, bytes, is_ready }))
    }

    /// Prepares the transformer's weights, unless they are ready or not wanted. `observer` is told how many blocks are done, of
    /// how many; an interrupted call is taken up by the next one.
    ///
    /// # Errors
    /// As [`ModelSet::prepared_place`] and [`checkpoint::prepare`].
    pub fn prepare(
        &self,
        observer: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Result<Option<PreparedPlace>> {
        let place = match self.prepared_place()? {
            Some(place) if !place.is_ready => place,
            known => return Ok(known),
        };
        check_room(&place)?;
        let source = self.blocks_source(self.transformer_weights()?);
        let manifest = self.configs.manifest(Model::Dit)?;
        let (dtype, target) = (self.compute_type(Model::Dit), self.prepared_for());
        match prepare(&place.folder, &manifest, source.as_ref(), dtype, target, observer) {
            Err(checkpoint::Error::Cancelled) => Err(Error::Cancelled),
            made => Ok(made.map(|()| Some(PreparedPlace { is_ready: true, ..place }))?),
        }
    }

    /// The prepared weights, where they are ready.
    pub(super) fn prepared(&self) -> Result<Option<Prepared>> {
        match self.prepared_place()? {
            Some(place) => Ok(Prepared::open(&place.folder)?),
            None => Ok(None),
        }
    }

    /// The blocks' weights from the original files, in the type that they are held in.
    pub(super) fn blocks_source(&self, source: Arc<dyn WeightSource>) -> Arc<dyn WeightSource> {
        held(source, self.settings.dtype)
    }

    fn prepared_for(&self) -> PreparedFor {
        if self.device.is_cpu() { PreparedFor::Cpu } else { PreparedFor::Device }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_seen_before_anything_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let place = |bytes| PreparedPlace { folder: dir.path().join("a").join("b"), bytes, is_ready: false };
        check_room(&place(1)).unwrap();
        let error = check_room(&place(u64::MAX - 1)).unwrap_err();
        assert!(matches!(error, Error::NoRoom { .. }) && error.to_string().contains("GiB"), "{error}");
    }
}
