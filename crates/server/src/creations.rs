//! Avatars that a network makes of a picture: they take minutes and much memory, so each waits until no job runs, tells how far
//! it is, and can be stopped. They aren't kept over the end of the program.

use crate::avatars::{CreateAvatar, named, picture};
use crate::clock::Clock;
use crate::error::{ApiError, ApiResult};
use crate::library::{Library, LibraryFile};
use crate::names::new_id;
use lhm::{Config, Part, QueryPoints, Variant};
use pipeline::{
    Activations, CancelToken, CreatePlan, Dtype, LHM_LICENCE, LhmRequest, LhmSetup, Session, Subject,
    SubjectOptions, create_avatar,
};
use serde::de::IntoDeserializer;
use serde::de::value::StrDeserializer;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use utoipa::ToSchema;

/// Makings that are kept in mind, and that wait or run at once.
const KNOWN: usize = 50;
const MOST_OPEN: usize = 10;

/// What making an avatar with LHM takes.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct AvatarPlan {
    /// Always `avatar.plan`.
    pub object: &'static str,
    /// The files that were chosen, line by line.
    pub files: Vec<String>,
    /// What of files and picture the user should know.
    pub notes: Vec<String>,
    /// What the weights may be used for.
    pub licence: &'static str,
    /// Gaussians that it will have.
    pub points: usize,
    /// Arithmetic in floating-point operations.
    pub flops: f64,
    /// Memory at the peak, in bytes.
    pub peak_bytes: u64,
    /// Weights that are read, in bytes.
    pub read_bytes: u64,
    /// Seconds that it takes at the speed that was measured here.
    pub seconds: f64,
    /// The share of the body's height that is in view, 0 to 1.
    pub body_in_view: f32,
    /// Is a head in view?
    pub head_in_view: bool,
}

/// How far an avatar is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Making {
    /// Names it in requests.
    pub id: String,
    /// Always `avatar`.
    pub object: &'static str,
    /// `queued`, `in_progress`, `completed` or `failed`.
    pub status: &'static str,
    /// What it is called.
    pub title: String,
    /// How much is done, in percent.
    pub progress: u8,
    /// The part that is worked on: `body`, `head`, `points`, `gaussians`.
    pub part: Option<&'static str>,
    /// The avatar's file in the library, once it is there.
    pub file: Option<LibraryFile>,
    /// Number of Gaussians, once it is there.
    pub gaussians: Option<usize>,
    /// What the user should know.
    pub notes: Vec<String>,
    /// What the weights may be used for, and what is made with them.
    pub licence: &'static str,
    /// Why there is no avatar.
    pub error: Option<String>,
}

#[derive(Debug)]
struct Known {
    making: Making,
    cancel: CancelToken,
}

type All = Arc<Mutex<BTreeMap<String, Known>>>;

/// The avatars that are being made.
#[derive(Debug)]
pub(crate) struct Creations {
    all: All,
    /// Held by whatever needs the whole machine: a job, or the making of an avatar.
    heavy: Arc<Mutex<()>>,
    session: Arc<Session>,
    library: Arc<Library>,
}

/// Everything that is known before the network runs.
struct Prepared {
    setup: LhmSetup,
    subject: Subject,
    points: QueryPoints,
    plan: AvatarPlan,
    dtype: Dtype,
}

impl Creations {
    pub(crate) fn new(heavy: Arc<Mutex<()>>, session: Arc<Session>, library: Arc<Library>) -> Self {
        Self { all: All::default(), heavy, session, library }
    }

    /// What it takes. The picture is looked at, and a product is timed.
    pub(crate) fn plan(&self, wanted: &CreateAvatar, weights: &Path) -> ApiResult<AvatarPlan> {
        Ok(self.prepare(wanted, weights)?.plan)
    }

    /// Begins to make an avatar, once the files and the picture were found to serve.
    pub(crate) fn begin(&self, wanted: CreateAvatar, weights: PathBuf, clock: &Clock) -> ApiResult<Making> {
        let title = named(&self.library, &wanted)?;
        let prepared = self.prepare(&wanted, &weights)?;
        let making = Making {
            id: new_id("avatar", clock)?,
            object: "avatar",
            status: "queued",
            title,
            progress: 0,
            part: None,
            file: None,
            gaussians: None,
            notes: prepared.plan.notes.clone(),
            licence: LHM_LICENCE,
            error: None,
        };
        let cancel = CancelToken::new();
        {
            let mut all = lock(&self.all);
            let open = all.values().filter(|known| !is_over(&known.making)).count();
            if open >= MOST_OPEN {
                return Err(ApiError::busy(format!("{open} avatars wait already")));
            }
            let over: Vec<String> =
                all.values().filter(|k| is_over(&k.making)).map(|k| k.making.id.clone()).collect();
            for id in over.iter().take((all.len() + 1).saturating_sub(KNOWN)) {
                all.remove(id);
            }
            all.insert(making.id.clone(), Known { making: making.clone(), cancel: cancel.clone() });
        }
        let (all, id, heavy) = (self.all.clone(), making.id.clone(), self.heavy.clone());
        let (session, library) = (self.session.clone(), self.library.clone());
        let thread = std::thread::Builder::new().name("anicrafter-avatar".to_owned());
        let work = move || {
            let _whole_machine = heavy.lock().unwrap_or_else(PoisonError::into_inner);
            // What jobs left in memory makes room.
            session.release();
            let told = all.clone();
            let tell = |change: &mut dyn FnMut(&mut Making)| {
                if let Some(known) = lock(&told).get_mut(&id) {
                    change(&mut known.making);
                }
            };
            let made =
                catch_unwind(AssertUnwindSafe(|| make(&prepared, &library, &session, &cancel, &tell, &id)));
            let fault = || Err(ApiError::internal("a fault of the program ended it; please report it"));
            match made.unwrap_or_else(|_| fault()) {
                Ok((file, gaussians)) => tell(&mut |making| {
                    (making.status, making.progress, making.part) = ("completed", 100, None);
                    (making.file, making.gaussians) = (Some(file.clone()), Some(gaussians));
                }),
                Err(error) => tell(&mut |making| {
                    (making.status, making.part) = ("failed", None);
                    making.error = Some(error.text().to_owned());
                }),
            }
        };
        thread.spawn(work).map_err(|e| ApiError::internal(e.to_string()))?;
        Ok(making)
    }

    /// All that are being made, or were since the program began.
    pub(crate) fn list(&self) -> Vec<Making> {
        lock(&self.all).values().map(|known| known.making.clone()).collect()
    }

    pub(crate) fn get(&self, id: &str) -> ApiResult<Making> {
        let all = lock(&self.all);
        all.get(id).map(|known| known.making.clone()).ok_or_else(|| ApiError::not_found("avatar", id))
    }

    /// Stops one that is being made, and forgets it. The file of one that is made stays in the library.
    pub(crate) fn remove(&self, id: &str) -> ApiResult<()> {
        let known = lock(&self.all).remove(id).ok_or_else(|| ApiError::not_found("avatar", id))?;
        known.cancel.cancel();
        Ok(())
    }

    /// Stops all of them.
    pub(crate) fn close(&self) {
        lock(&self.all).values().for_each(|known| known.cancel.cancel());
    }

    fn prepare(&self, wanted: &CreateAvatar, weights: &Path) -> ApiResult<Prepared> {
        let (rgb, alpha) = picture(&self.library, wanted)?;
        let refused = |param: &'static str| {
            move |e: pipeline::Error| ApiError::invalid(param, self.plain(&e.to_string()))
        };
        let variant = wanted.variant.as_deref().map(variant).transpose()?;
        let dtype = wanted.dtype.as_deref().map(dtype).transpose()?.unwrap_or(Dtype::F32);
        let request = LhmRequest { folder: weights.to_owned(), variant, ..LhmRequest::default() };
        let setup = LhmSetup::find(&request).map_err(refused("weights"))?;
        let points = setup.points(wanted.points).map_err(refused("weights"))?;
        let subject = subject(&rgb, alpha, wanted, &setup.config).map_err(refused("picture"))?;
        let device = self.session.open_device().map_err(|e| ApiError::internal(e.to_string()))?;
        let reckoned = CreatePlan::new(&setup.config, dtype, points.positions.len(), &device)
            .map_err(|e| ApiError::internal(e.to_string()))?;
        let files = self.plain(&setup.to_string()).lines().map(str::to_owned).collect();
        let notes = setup.notes.iter().chain(&subject.notes).map(|note| self.plain(note)).collect();
        let plan = AvatarPlan {
            object: "avatar.plan",
            files,
            notes,
            licence: LHM_LICENCE,
            points: reckoned.work.points,
            flops: reckoned.work.flops(),
            peak_bytes: reckoned.work.peak_bytes,
            read_bytes: reckoned.work.read_bytes,
            seconds: reckoned.seconds,
            body_in_view: subject.body_ratio,
            head_in_view: subject.has_head,
        };
        Ok(Prepared { setup, subject, points, plan, dtype })
    }

    /// Words without the folder that the library lies in, and with the page's words for the command's options.
    fn plain(&self, words: &str) -> String {
        words
            .replace(&format!("{}{}", self.library.root().display(), std::path::MAIN_SEPARATOR), "")
            .replace("--model mini, 500m or 1b", "its model: mini, 500m or 1b")
    }
}

fn is_over(making: &Making) -> bool {
    matches!(making.status, "completed" | "failed")
}

fn lock(all: &All) -> MutexGuard<'_, BTreeMap<String, Known>> {
    all.lock().unwrap_or_else(PoisonError::into_inner)
}

fn variant(name: &str) -> ApiResult<Variant> {
    let found = Variant::ALL.into_iter().find(|(own, _)| own.eq_ignore_ascii_case(name));
    found.map(|(_, variant)| variant).ok_or_else(|| {
        let names: Vec<&str> = Variant::ALL.iter().map(|(own, _)| *own).collect();
        ApiError::invalid("variant", format!("{name:?} is none of {}", names.join(", ")))
    })
}

fn dtype(name: &str) -> ApiResult<Dtype> {
    // The error lists what there is.
    let read: StrDeserializer<'_, serde::de::value::Error> = name.into_deserializer();
    Dtype::deserialize(read).map_err(|e| ApiError::invalid("dtype", e.to_string()))
}

fn subject(
    rgb: &image::RgbImage,
    alpha: Option<image::GrayImage>,
    wanted: &CreateAvatar,
    config: &Config,
) -> pipeline::Result<Subject> {
    let person = wanted.person.unwrap_or(1).saturating_sub(1);
    let options = SubjectOptions {
        mask: alpha,
        person: pipeline::PersonOptions { person, focal_px: None },
        ..SubjectOptions::default()
    };
    Subject::new(rgb, &options, config, &pipeline::open_body(None)?)
}

/// Changes what is known of a making, if it is still wanted.
type Tell<'a> = &'a dyn Fn(&mut dyn FnMut(&mut Making));

/// Runs the network.
fn make(
    prepared: &Prepared,
    library: &Library,
    session: &Session,
    cancel: &CancelToken,
    tell: Tell<'_>,
    id: &str,
) -> ApiResult<(LibraryFile, usize)> {
    let failed = |error: pipeline::Error| match error {
        pipeline::Error::Cancelled => ApiError::conflict("cancelled", "it was stopped"),
        other => ApiError::internal(other.to_string()),
    };
    if cancel.is_cancelled() {
        return Err(failed(pipeline::Error::Cancelled));
    }
    tell(&mut |making| making.status = "in_progress");
    let device = session.open_device().map_err(failed)?;
    let model = prepared.setup.model(prepared.dtype, Activations::Float, &device).map_err(failed)?;
    // What the parts take of the time, by their arithmetic.
    let work = lhm::plan(
        &prepared.setup.config,
        &lhm::Workload { points: Some(prepared.points.positions.len()), ..lhm::Workload::default() },
    );
    let all = (work.body_flops + work.head_flops + work.points_flops).max(1.0);
    let mut watch = |part: Part, done: f64| {
        let (before, own) = match part {
            Part::Body => (0.0, work.body_flops),
            Part::Head => (work.body_flops, work.head_flops),
            Part::Points => (work.body_flops + work.head_flops, work.points_flops),
            Part::Gaussians => (all, 0.0),
        };
        let percent = (99.0 * (before + own * done) / all).clamp(0.0, 99.0) as u8;
        tell(&mut |making| (making.part, making.progress) = (Some(part.name()), percent));
        if cancel.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let avatar =
        create_avatar(&model, &prepared.subject, &prepared.points, &[0.0; 10], &mut watch).map_err(failed)?;
    let folder = tempfile::tempdir_in(library.own("uploads")).map_err(|e| ApiError::io(&e))?;
    let whole = folder.path().join("avatar.safetensors");
    avatar.save(&whole).map_err(|e| ApiError::internal(e.to_string()))?;
    let mut title = String::new();
    tell(&mut |making| title.clone_from(&making.title));
    if title.is_empty() {
        // It was removed while it was made.
        return Err(ApiError::not_found("avatar", id));
    }
    let file = library.adopt(&whole, &format!("{title}.safetensors"))?;
    Ok((file, avatar.gaussians.len()))
}
