//! What a program holds for as long as it works with AniCrafter.

use crate::estimate::{Estimate, estimate};
use crate::inspect::{Findings, inspect};
use crate::job::Job;
use crate::models::{GIB, ModelCache, ModelSet, PreparedPlace};
use crate::needs::{StageNeeds, needs};
use crate::preview::Preview;
use crate::progress::{CancelToken, Context, Quiet, Stage};
use crate::ranks::{Ranks, agree, dismiss, follow};
use crate::run::{Finished, run, run_stages};
use crate::stages::prepare_weights;
use crate::work::{Fingerprint, WorkDir};
use crate::{Error, Result};
use ::ranks::Collectives;
use avatar_render::RendererChoice;
use image::RgbImage;
use std::path::PathBuf;

/// What a program holds for as long as it works with AniCrafter; a [`Job`] is what one video wants.
///
/// A session fills in what a job leaves open: device, memory, work folder; and it can keep models in memory from job to job. It runs a job as far as the job says,
/// from a raw video or from ready files, to a condition video or to the whole result with its report.
///
/// ```no_run
/// use anicrafter_pipeline::{Actor, CancelToken, Context, Event, Job, Preset, Session};
///
/// let session = Session::builder().memory_gib(8.0).work_root("work").build()?;
/// let mut job = Job::new(Preset::Demo);
/// job.input.actors.push(Actor::new("avatar.safetensors", "motion.json"));
/// job.input.background = "street.mp4".into();
/// session.preview(&job, 0)?.save("first.png")?;
/// let (observer, cancel) = (|event: &Event| eprintln!("{event:?}"), CancelToken::new());
/// let finished = session.run(&job, Context::new(&observer, &cancel))?;
/// println!("{:?}", finished.written);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Session {
    settings: SessionBuilder,
    cache: ModelCache,
    threads: Option<rayon::ThreadPool>,
}

/// What a session is to be like.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct SessionBuilder {
    device: Option<String>,
    memory_gib: Option<f64>,
    threads: Option<usize>,
    work_root: Option<PathBuf>,
    keep_gib: f64,
    prepared_root: Option<PathBuf>,
    rates: Option<PathBuf>,
    renderer: RendererChoice,
    note: Option<String>,
    ranks: Option<usize>,
}

impl SessionBuilder {
    /// Where models run for jobs that say `auto`: `cpu`, `cuda:N` or `metal`.
    pub fn device(mut self, device: impl Into<String>) -> Self {
        self.device = Some(device.into());
        self
    }

    /// Memory for a transformer's weights in GiB, for jobs that don't say.
    pub fn memory_gib(mut self, gib: f64) -> Self {
        self.memory_gib = Some(gib);
        self
    }

    /// Threads that work; those of rayon's global pool where it isn't given.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// The folder for the work folders of jobs that name none; beside each video where it isn't given.
    pub fn work_root(mut self, folder: impl Into<PathBuf>) -> Self {
        self.work_root = Some(folder.into());
        self
    }

    /// Memory in GiB for models that stay loaded when their stage is over, so that the next job finds them; 0 where it isn't
    /// given: each is dropped behind its stage. [`Session::release`] gives the memory back.
    pub fn keep_gib(mut self, gib: f64) -> Self {
        self.keep_gib = gib;
        self
    }

    /// The folder for prepared weights of jobs that name none; where neither does, weights are prepared only on demand.
    pub fn prepared_root(mut self, folder: impl Into<PathBuf>) -> Self {
        self.prepared_root = Some(folder.into());
        self
    }

    /// The file that keeps what was measured of this machine, for [`Session::estimate`]; without one, each estimate measures anew.
    pub fn rates_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.rates = Some(path.into());
        self
    }

    /// What renders avatars.
    pub fn renderer(mut self, renderer: RendererChoice) -> Self {
        self.renderer = renderer;
        self
    }

    /// Threads of this process that share the transformer's tokens, each with its part of the threads that work: for machines whose
    /// sockets are better off with memory of their own. 1 where it isn't given.
    pub fn ranks(mut self, ranks: usize) -> Self {
        self.ranks = Some(ranks);
        self
    }

    /// What the readers of reports must know.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// The session.
    ///
    /// # Errors
    /// [`Error::Option`] when a size of memory makes no sense, the device is unknown or not there, or threads can't be started.
    pub fn build(self) -> Result<Session> {
        let refuse = |option, why: String| Error::Option { option, why };
        if self.memory_gib.is_some_and(|gib| !(gib.is_finite() && gib > 0.0)) {
            return Err(refuse("memory", "must be a positive number of GiB".to_owned()));
        }
        if !(self.keep_gib.is_finite() && self.keep_gib >= 0.0) {
            return Err(refuse("keep", "must be a number of GiB, 0 or more".to_owned()));
        }
        if let Some(device) = &self.device {
            crate::models::open_device(device)?;
        }
        let pool = |threads: usize| {
            if threads == 0 {
                return Err(refuse("threads", "must be at least 1".to_owned()));
            }
            let built = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            built.map_err(|e| refuse("threads", e.to_string()))
        };
        let threads = self.threads.map(pool).transpose()?;
        let cache = ModelCache::new((self.keep_gib * GIB) as u64);
        Ok(Session { settings: self, cache, threads })
    }
}

impl Session {
    /// A session of choice.
    pub fn builder() -> SessionBuilder {
        SessionBuilder::default()
    }

    /// The job as it is run: with what this session says where the job says nothing.
    ///
    /// # Errors
    /// When the work folder's name can't be made.
    pub fn prepare(&self, job: &Job) -> Result<Job> {
        let mut job = job.clone();
        let own = &self.settings;
        if let (true, Some(device)) = (job.models.device == "auto", &own.device) {
            job.models.device.clone_from(device);
        }
        job.models.memory_gib = job.models.memory_gib.or(own.memory_gib);
        if job.models.prepared.is_none() {
            job.models.prepared.clone_from(&own.prepared_root);
        }
        if let (None, Some(root)) = (&job.output.work, &own.work_root) {
            // Videos of one name in different folders don't share a work folder.
            let video = &job.output.video;
            let place =
                std::path::absolute(video).map_err(|source| Error::Io { path: video.clone(), source })?;
            let stem = video.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            job.output.work = Some(root.join(format!("{stem}-{}", Fingerprint::of(&place)?.as_str())));
        }
        Ok(job)
    }

    /// Runs a job as far as it goes; what is finished in its work folder isn't done again.
    ///
    /// # Errors
    /// The first thing that goes wrong in any stage, or [`Error::Cancelled`].
    pub fn run(&self, job: &Job, context: Context<'_>) -> Result<Finished> {
        let job = self.prepare(job)?;
        let own = &self.settings;
        self.at_work(|| {
            let ranks = own.ranks.map_or(Ranks::One, Ranks::Threads);
            run(&job, own.renderer, &self.cache, own.note.as_deref(), ranks, context)
        })
    }

    /// Runs a job as a rank of `world`: all of its ranks call this with the same job. Rank 0 does the job and gets what is finished;
    /// the others need the weights alone, share the transformer's work, and get `None` when all is done. What goes wrong on
    /// a rank ends all, with an error that names it.
    ///
    /// # Errors
    /// As [`Session::run`]; when the ranks want different things, can't share the model's heads, or one of them fails; when the
    /// session has threads of its own, which a world's ends can't be handed to.
    pub fn run_among(
        &self,
        world: &dyn Collectives,
        job: &Job,
        context: Context<'_>,
    ) -> Result<Option<Finished>> {
        let work = || {
            if self.threads.is_some() || self.settings.ranks.is_some() {
                let why = "a session that is a rank itself has no threads or ranks of its own".to_owned();
                return Err(Error::Option { option: "ranks", why });
            }
            let job = self.prepare(job)?;
            agree(world, &job)?;
            if world.rank() > 0 {
                follow(world, &job, &self.cache, context)?;
                return Ok(None);
            }
            let own = &self.settings;
            let ranks = Ranks::World(world);
            let finished = run(&job, own.renderer, &self.cache, own.note.as_deref(), ranks, context)?;
            dismiss(world)?;
            Ok(Some(finished))
        };
        let made = work();
        if let Err(error) = &made {
            world.fail(&error.to_string());
        }
        made
    }

    /// Makes some stages of a job alone, from what its folders have of the others: [`Job::stages`] says which there are and
    /// which has to be made first. Machines that see the same folders under the same names can share a job so; two that make the
    /// same stage wait for one another.
    ///
    /// # Errors
    /// As [`Session::run`]; [`Error::Missing`] where an earlier stage isn't finished; [`Error::Busy`] where another run makes
    /// the stage and `context` has no more patience; [`Error::Option`] for stages that the job doesn't have.
    pub fn run_stages(&self, job: &Job, stages: &[Stage], context: Context<'_>) -> Result<Finished> {
        let job = self.prepare(job)?;
        let own = &self.settings;
        self.at_work(|| {
            let ranks = own.ranks.map_or(Ranks::One, Ranks::Threads);
            run_stages(&job, own.renderer, &self.cache, own.note.as_deref(), ranks, (stages, context))
        })
    }

    /// What each stage of a job takes: memory by the plan, seconds on this machine.
    ///
    /// # Errors
    /// As [`Session::estimate`].
    pub fn needs(&self, job: &Job) -> Result<Vec<StageNeeds>> {
        let estimate = job.output.until.is_none().then(|| self.estimate(job)).transpose()?;
        needs(&self.prepare(job)?, estimate.as_ref())
    }

    /// Everything that can be known to be wrong with a job before anything runs: files are opened as far as their headers,
    /// nothing is decoded.
    ///
    /// # Errors
    /// As [`Session::prepare`]; what is wrong with the job is in the findings.
    pub fn inspect(&self, job: &Job) -> Result<Findings> {
        Ok(inspect(&self.prepare(job)?))
    }

    /// Arithmetic, memory and reading of one window of a job.
    ///
    /// # Errors
    /// When the window's size doesn't fit the models, or the memory holds no block of the transformer.
    pub fn plan(&self, job: &Job) -> Result<dit::plan::Plan> {
        let job = self.prepare(job)?;
        ModelSet::new(&job.models)?.plan(&job)
    }

    /// How long a job will take on this machine, stage by stage. Where this isn't known yet, its rates are measured, which takes a
    /// second or two.
    ///
    /// # Errors
    /// As [`Session::plan`], or when a device fails.
    pub fn estimate(&self, job: &Job) -> Result<Estimate> {
        let job = self.prepare(job)?;
        let own = &self.settings;
        self.at_work(|| estimate(&job, own.renderer, own.rates.as_deref()))
    }

    /// The condition video's frame `frame`, counted from 0, made by the code that makes the video. Where the job has a raw
    /// video, masks, motion and background are found in it first, or taken from the work folder.
    ///
    /// # Errors
    /// When a file can't be read, there is no such frame, or rendering fails.
    pub fn preview(&self, job: &Job, frame: usize) -> Result<RgbImage> {
        let cancel = CancelToken::new();
        let mut preview = self.open_preview(job, Context::new(&Quiet, &cancel))?;
        self.at_work(|| preview.frame(frame))
    }

    /// The condition video of a job, to look at its frames one by one, in any order. Where the job has a raw video, masks, motion
    /// and background are found in it first, or taken from the work folder.
    ///
    /// # Errors
    /// When a file can't be read, or [`Error::Cancelled`].
    pub fn open_preview(&self, job: &Job, context: Context<'_>) -> Result<Preview> {
        let job = self.prepare(job)?;
        self.at_work(|| Preview::open(&job, self.settings.renderer, context))
    }

    /// The device that it works on, for what isn't a job.
    ///
    /// # Errors
    /// When it isn't there any more.
    pub fn open_device(&self) -> Result<candle_core::Device> {
        crate::models::open_device(self.settings.device.as_deref().unwrap_or("auto"))
    }

    /// Throws away what a job's work folder has of a stage and the later ones.
    ///
    /// # Errors
    /// When a folder can't be removed.
    pub fn forget_from(&self, job: &Job, stage: Stage) -> Result<()> {
        WorkDir::of(&self.prepare(job)?)?.forget_from(stage)
    }

    /// Prepares the weights of a job's transformer ahead: what `models.prepare` does within a run. `None` where the job wants none.
    ///
    /// # Errors
    /// As [`ModelSet::prepare`]; [`Error::Cancelled`].
    pub fn prepare_weights(&self, job: &Job, context: Context<'_>) -> Result<Option<PreparedPlace>> {
        let job = self.prepare(job)?;
        let models = ModelSet::new(&job.models)?;
        self.at_work(|| prepare_weights(&models, context))
    }

    /// The models that stayed in memory, and their bytes.
    #[must_use]
    pub fn loaded(&self) -> Vec<(&'static str, u64)> {
        self.cache.held()
    }

    /// Gives the memory of all models back. One that a running job uses goes when its stage is over.
    pub fn release(&self) {
        self.cache.release();
    }

    /// In the session's own threads, where it has some.
    fn at_work<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.threads {
            Some(threads) => threads.install(work),
            None => work(),
        }
    }
}
