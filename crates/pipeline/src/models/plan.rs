//! What the transformer takes: one answer for plans, dry runs and runs.

use super::ModelSet;
use crate::job::{Dtype, Job};
use crate::{Error, Result};
use candle_core::DType;
use candle_core::quantized::GgmlDType;
use checkpoint::Model;
use dit::Streaming;
use dit::plan::{Plan, Storage, Workload, plan};
use nn::{QuantizeOnLoad, RoundOnLoad, WeightSource};
use std::sync::Arc;

/// Bytes of a GiB.
pub const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

/// How matrices are held.
pub(super) fn storage(dtype: Dtype) -> Storage {
    match dtype {
        Dtype::F32 => Storage::Dense(DType::F32),
        Dtype::Bf16 => Storage::Dense(DType::BF16),
        Dtype::Q8 => Storage::Quantized(GgmlDType::Q8_0),
        Dtype::Q4 => Storage::Quantized(GgmlDType::Q4K),
        Dtype::Int8 => Storage::Rows8,
    }
}

/// A source whose matrices are handed out as they are held.
pub(crate) fn held(source: Arc<dyn WeightSource>, dtype: Dtype) -> Arc<dyn WeightSource> {
    match storage(dtype) {
        Storage::Dense(_) => source,
        Storage::Quantized(blocks) => Arc::new(QuantizeOnLoad::new(source, blocks)),
        Storage::Rows8 => Arc::new(RoundOnLoad::new(source)),
    }
}

impl ModelSet {
    /// How the transformer's blocks are held.
    #[must_use]
    pub fn storage(&self) -> Storage {
        storage(self.settings.dtype)
    }

    /// Is nothing quantised on loading?
    pub(crate) fn storage_is_dense(&self) -> bool {
        matches!(self.storage(), Storage::Dense(_))
    }

    /// Which blocks are kept within the settings' memory, and which are read again in each pass; `None` where all are held.
    ///
    /// # Errors
    /// When not even one block fits.
    pub fn streaming(&self) -> Result<Option<Streaming>> {
        self.within_memory("transformer", self.configs.dit.num_layers, || self.block_bytes())
    }

    /// As [`ModelSet::streaming`], of the text encoder.
    ///
    /// # Errors
    /// When not even one block fits.
    pub fn text_streaming(&self) -> Result<Option<Streaming>> {
        self.within_memory("text encoder", self.configs.text.num_layers, || self.text_block_bytes())
    }

    /// Bytes of the text encoder's blocks that are in memory at once. Of the words' table only the prompt's rows are read.
    ///
    /// # Errors
    /// As [`ModelSet::streaming`].
    pub fn text_bytes(&self) -> Result<u64> {
        let n_blocks = self.configs.text.num_layers;
        let held = self.text_streaming()?.map_or(n_blocks, |streaming| streaming.held(n_blocks));
        Ok(self.text_block_bytes()? * held as u64)
    }

    /// What of a model's blocks fits into the settings' memory; `None` without a limit.
    fn within_memory(
        &self,
        model: &str,
        n_blocks: usize,
        block: impl FnOnce() -> Result<u64>,
    ) -> Result<Option<Streaming>> {
        let Some(gib) = self.settings.memory_gib else { return Ok(None) };
        let block = block()?;
        let streaming = Streaming::for_budget((gib * GIB) as u64, block, n_blocks);
        streaming.map(Some).ok_or_else(|| Error::Option {
            option: "models.memory_gib",
            why: format!("{gib} GiB hold no block of the {model}: one takes {:.2} GiB", block as f64 / GIB),
        })
    }

    /// Bytes of one block of the text encoder.
    pub(super) fn text_block_bytes(&self) -> Result<u64> {
        let mut manifest = self.configs.manifest(Model::T5)?;
        manifest.tensors.retain(|name, _| name.starts_with("blocks.0."));
        Ok(manifest.parameters() * self.compute_type(Model::T5).size_in_bytes() as u64)
    }

    /// Bytes of one block of the transformer.
    pub(super) fn block_bytes(&self) -> Result<u64> {
        Ok(self.least_plan(None)?.block_bytes)
    }

    /// The plan of the least job: for what doesn't depend on a job, the weights.
    pub(super) fn least_plan(&self, streaming: Option<Streaming>) -> Result<Plan> {
        let config = &self.configs.dit;
        let storage = self.storage();
        let least = Workload { latent: config.patch_size, steps: 1, branches: 1, storage, streaming };
        Ok(plan(config, &least)?)
    }

    /// Arithmetic, memory and reading of one window of a job.
    ///
    /// # Errors
    /// When the window's size doesn't fit the models, or as [`ModelSet::streaming`].
    pub fn plan(&self, job: &Job) -> Result<Plan> {
        Ok(plan(&self.configs.dit, &self.workload(job)?)?)
    }

    /// What the transformer has to do for one window of a job.
    ///
    /// # Errors
    /// As [`ModelSet::streaming`].
    pub fn workload(&self, job: &Job) -> Result<Workload> {
        let (vae, video) = (&self.configs.vae, &job.video);
        let factor = vae.spatial_factor();
        Ok(Workload {
            latent: [
                vae.latent_frames(video.window),
                video.height as usize / factor,
                video.width as usize / factor,
            ],
            steps: job.sampling.steps,
            branches: job.sampling.branches(),
            storage: self.storage(),
            streaming: self.streaming()?,
        })
    }
}
