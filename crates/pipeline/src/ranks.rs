//! One video on several ranks: who reads what, who writes, and how the transformer's work is divided.
//!
//! Rank 0 does the whole job. Where it comes to the transformer, it hands the conditions to all others, which have loaded the
//! same weights meanwhile, and all of them go through the denoising loop together. Nobody else reads inputs or writes
//! results, so that the others need neither the work folder nor the videos, only the weights.

use crate::denoise::{SavedState, Start, Watch, denoise, denoise_on_ranks};
use crate::job::Job;
use crate::models::{ModelCache, ModelSet, Wanted};
use crate::progress::{Context, Stage};
use crate::work::Fingerprint;
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use dit::{Conditions, Division, WanModel};
use ranks::{Collectives, Threads};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

/// Where the ranks are that share the transformer's work.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Ranks<'a> {
    /// This thread alone.
    #[default]
    One,
    /// So many threads of this process.
    Threads(usize),
    /// The ranks of a program, of which this one is rank 0.
    World(&'a dyn Collectives),
}

impl Ranks<'_> {
    /// Refuses what would fail hours later: ranks that can't share the model's heads, threads that share a card.
    pub(crate) fn check(self, job: &Job) -> Result<()> {
        let size = match self {
            Self::One => return Ok(()),
            Self::Threads(size) => size,
            Self::World(world) => world.size(),
        };
        let refuse = |why: String| Err(Error::Option { option: "ranks", why });
        if size == 0 {
            return refuse("must be at least 1".to_owned());
        }
        let models = ModelSet::new(&job.models)?;
        if let Err(error) = Division::new(models.dit_config(), size, job.sampling.branches()) {
            let in_groups = matches!(error, dit::Error::Heads { ranks, .. } if ranks != size);
            let groups = if in_groups { ", in each of two groups for the branches of guidance" } else { "" };
            return refuse(format!("{error}{groups}"));
        }
        if size > 1 && !models.device().is_cpu() {
            match self {
                Self::World(_) if cfg!(feature = "nccl") && models.device().is_cuda() => {}
                Self::World(_) => {
                    return refuse(
                        "processes with a card each need a build with the feature `nccl`".to_owned(),
                    );
                }
                _ => {
                    return refuse(format!(
                        "{size} threads would share one card (models.device {:?}): start a process for each card (mpirun)",
                        job.models.device
                    ));
                }
            }
        }
        Ok(())
    }

    /// Tells the others that the transformer is needed.
    pub(crate) fn announce_load(self) -> Result<()> {
        match self {
            Self::World(world) if world.size() > 1 => Ok(world.broadcast_vec(0, &mut vec![LOAD])?),
            _ => Ok(()),
        }
    }

    /// Runs the denoising loop of a window.
    pub(crate) fn denoise(
        self,
        model: &WanModel,
        (positive, negative): (&Conditions<'_>, Option<&Conditions<'_>>),
        start: Start,
        job: &Job,
        watch: &mut (dyn Watch + Send),
    ) -> Result<Tensor> {
        let sampling = &job.sampling;
        match self {
            Self::One | Self::Threads(1) => denoise(model, positive, negative, start, sampling, watch),
            Self::World(world) if world.size() == 1 => {
                denoise(model, positive, negative, start, sampling, watch)
            }
            Self::Threads(size) => {
                let watch = Mutex::new(watch);
                let latents = Threads::run(size, |rank| {
                    let again = |watch: &mut dyn Watch| {
                        denoise_on_ranks(rank, model, positive, negative, start.clone(), sampling, watch)
                    };
                    if rank.rank() == 0 {
                        again(&mut **watch.lock().unwrap_or_else(PoisonError::into_inner))
                    } else {
                        again(&mut ())
                    }
                })?;
                latents.into_iter().next().ok_or(Error::Internal("a rank 0"))
            }
            Self::World(world) => {
                let mut bytes = Order { positive, negative, start: &start }.encode()?;
                world.broadcast_vec(0, &mut bytes)?;
                drop(bytes);
                let cards = Cards::join(world, start.latents.device())?;
                denoise_on_ranks(cards.or(world), model, positive, negative, start, sampling, watch)
            }
        }
    }
}

/// The way from card to card, where the ranks have cards.
struct Cards(Option<Box<dyn Collectives>>);

impl Cards {
    fn join(world: &dyn Collectives, device: &Device) -> Result<Self> {
        #[cfg(feature = "nccl")]
        if let Device::Cuda(card) = device {
            let joined = ranks::Nccl::join(world.split(0)?, card.cuda_stream())?;
            return Ok(Self(Some(Box::new(joined))));
        }
        let _ = (world, device);
        Ok(Self(None))
    }

    fn or<'a>(&'a self, world: &'a dyn Collectives) -> &'a dyn Collectives {
        self.0.as_deref().unwrap_or(world)
    }
}

/// Do all ranks want the same?
pub(crate) fn agree(world: &dyn Collectives, job: &Job) -> Result<()> {
    let models = ModelSet::new(&job.models)?;
    let own = &job.models;
    let loras: Vec<_> = own.lora.iter().map(|lora| (lora.path.file_name(), lora.strength())).collect();
    let kind = (own.preset, own.dtype, own.activations, own.untrained, own.skip_unmatched);
    let key = (env!("CARGO_PKG_VERSION"), &job.sampling, kind, loras, models.dit_config());
    let mine = Fingerprint::of(&key)?;
    let width = mine.as_str().len();
    let mut all = vec![0; width * world.size()];
    world.all_gather(mine.as_str().as_bytes(), &mut all)?;
    match all.chunks_exact(width).position(|one| one != &all[..width]) {
        None => Ok(()),
        Some(rank) => Err(Error::Option {
            option: "ranks",
            why: format!(
                "rank {rank} has another version, other settings or other weights than rank 0: start all with the same command"
            ),
        }),
    }
}

/// Tells the others that there is nothing more to do.
pub(crate) fn dismiss(world: &dyn Collectives) -> Result<()> {
    Ok(world.broadcast_vec(0, &mut vec![DONE])?)
}

/// Does what rank 0 says, until it says that it is done.
pub(crate) fn follow(
    world: &dyn Collectives,
    job: &Job,
    cache: &ModelCache,
    context: Context<'_>,
) -> Result<()> {
    let models = ModelSet::new(&job.models)?;
    let load = || {
        let (key, bytes) = (models.key_in_memory(Wanted::Transformer)?, models.bytes(Wanted::Transformer)?);
        cache.get_or_load(Wanted::Transformer.name(), key, bytes, || models.transformer())
    };
    let mut model = None;
    loop {
        let mut bytes = Vec::new();
        world.broadcast_vec(0, &mut bytes)?;
        match bytes.first() {
            Some(&DONE) => return Ok(()),
            Some(&LOAD) => model = Some(load()?),
            Some(&DENOISE) => {
                let model = match &mut model {
                    Some(model) => model,
                    none => none.insert(load()?),
                };
                let given = Given::decode(&bytes, models.device())?;
                drop(bytes);
                let (positive, negative) = given.conditions()?;
                let cards = Cards::join(world, models.device())?;
                let mut watch = Following { context, steps: job.sampling.steps };
                let world = cards.or(world);
                let start = given.start.clone();
                denoise_on_ranks(
                    world,
                    model,
                    &positive,
                    negative.as_ref(),
                    start,
                    &job.sampling,
                    &mut watch,
                )?;
            }
            _ => return Err(Error::Internal("an order that no rank knows")),
        }
    }
}

/// Stops where the caller wants it.
struct Following<'a> {
    context: Context<'a>,
    steps: usize,
}

impl Watch for Following<'_> {
    fn block(&mut self, step: usize, block: usize, of: usize) -> ControlFlow<()> {
        let done = step as f64 + block as f64 / of.max(1) as f64;
        crate::stages::flow(self.context.advance(Stage::Denoise, done, self.steps))
    }
}

/// First byte of an order.
const DONE: u8 = 0;
const LOAD: u8 = 1;
const DENOISE: u8 = 2;

/// Bytes before the tensors: what it is, the step, the seed; so many that the tensors are aligned.
const HEADER: usize = 24;

/// What rank 0 hands out for a window.
struct Order<'a> {
    positive: &'a Conditions<'a>,
    negative: Option<&'a Conditions<'a>>,
    start: &'a Start,
}

impl Order<'_> {
    fn encode(&self) -> Result<Vec<u8>> {
        let mut tensors: HashMap<String, Tensor> = HashMap::new();
        let mut put = |name: String, tensor: &Tensor| -> Result<()> {
            tensors.insert(name, tensor.to_device(&Device::Cpu)?.contiguous()?);
            Ok(())
        };
        put("latents".to_owned(), &self.start.latents)?;
        for (name, tensor) in &self.start.state.tensors {
            put(format!("state.{name}"), tensor)?;
        }
        for (branch, conditions) in [("positive", Some(self.positive)), ("negative", self.negative)] {
            let Some(Conditions { context, clip_feature, y, add_condition }) = conditions else { continue };
            let parts =
                [("context", Some(context)), ("clip_feature", clip_feature.as_ref()), ("y", y.as_ref())];
            for (name, tensor) in parts.into_iter().chain([("add_condition", add_condition.as_ref())]) {
                // What both branches share goes once.
                let is_shared = branch == "negative" && matches!(name, "clip_feature" | "y");
                if let (Some(tensor), false) = (tensor, is_shared) {
                    put(format!("{branch}.{name}"), tensor)?;
                }
            }
        }
        let packed = safetensors::serialize(&tensors, None)
            .map_err(|e| Error::Ranks(ranks::Error::Start(format!("the conditions can't be sent: {e}"))))?;
        let mut bytes = vec![0; HEADER];
        bytes[0] = DENOISE;
        bytes[8..16].copy_from_slice(&(self.start.step as u64).to_le_bytes());
        bytes[16..24].copy_from_slice(&self.start.seed.to_le_bytes());
        bytes.extend(packed);
        Ok(bytes)
    }
}

/// What the others get.
struct Given {
    tensors: HashMap<String, Tensor>,
    start: Start,
}

impl Given {
    fn decode(bytes: &[u8], device: &Device) -> Result<Self> {
        let short = || Error::Internal("an order without its numbers");
        let number = |at: usize| -> Result<u64> {
            let bytes = bytes.get(at..at + 8).and_then(|b| <[u8; 8]>::try_from(b).ok());
            Ok(u64::from_le_bytes(bytes.ok_or_else(short)?))
        };
        let packed = bytes.get(HEADER..).ok_or_else(short)?;
        let mut tensors = candle_core::safetensors::load_buffer(packed, device)?;
        let latents = tensors.remove("latents").ok_or_else(short)?;
        let mut state = SavedState::default();
        tensors.retain(|name, tensor| match name.strip_prefix("state.") {
            Some(name) => {
                state.tensors.insert(name.to_owned(), tensor.clone());
                false
            }
            None => true,
        });
        let start = Start { latents, step: number(8)? as usize, seed: number(16)?, state };
        Ok(Self { tensors, start })
    }

    fn conditions(&self) -> Result<(Conditions<'_>, Option<Conditions<'_>>)> {
        let get = |name: &str| self.tensors.get(name);
        let (clip_feature, y) = (get("positive.clip_feature"), get("positive.y"));
        let of = |context, add_condition| Conditions { context, clip_feature, y, add_condition };
        let context = get("positive.context").ok_or(Error::Internal("an order without a context"))?;
        let positive = of(context, get("positive.add_condition"));
        let negative = get("negative.context").map(|context| of(context, get("negative.add_condition")));
        Ok((positive, negative))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_arrive_as_they_were_sent() {
        let row = |x: f32| Tensor::new(&[[x, 2.0]], &Device::Cpu).unwrap();
        let (context, other, y, tokens) = (row(1.0), row(2.0), row(3.0), row(4.0));
        let positive =
            Conditions { context: &context, clip_feature: None, y: Some(&y), add_condition: Some(&tokens) };
        let negative = Conditions { context: &other, add_condition: None, ..positive };
        let mut start = Start { step: 7, ..Start::at(row(5.0), u64::MAX - 3) };
        start.state.tensors.insert("cache.residual.0".to_owned(), row(6.0));
        let order = Order { positive: &positive, negative: Some(&negative), start: &start };
        let given = Given::decode(&order.encode().unwrap(), &Device::Cpu).unwrap();
        let values = |t: &Tensor| t.to_vec2::<f32>().unwrap();
        assert_eq!((given.start.step, given.start.seed), (7, u64::MAX - 3));
        assert_eq!(values(&given.start.latents), values(&start.latents));
        assert_eq!(values(&given.start.state.tensors["cache.residual.0"]), values(&row(6.0)));
        let (got_positive, got_negative) = given.conditions().unwrap();
        let got_negative = got_negative.unwrap();
        assert_eq!(values(got_positive.add_condition.unwrap()), values(&tokens));
        assert_eq!(values(got_negative.context), values(&other));
        assert_eq!(values(got_negative.y.unwrap()), values(&y));
        assert!(got_negative.add_condition.is_none() && got_positive.clip_feature.is_none());
        assert!(Given::decode(&[DENOISE; 10], &Device::Cpu).is_err());
    }
}
