//! What happens, as it happens.
//!
//! A listener gets the state of what has changed, not each change: who reads slowly skips what is out of date, and costs no memory.

use super::videos::Video;
use crate::Studio;
use crate::error::{ApiError, ApiResult, ErrorBody};
use axum::extract::{Path, State as Shared};
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::watch::Receiver;

/// The shortest time between two looks at what has changed.
const PAUSE: Duration = Duration::from_millis(200);

struct Listener {
    studio: Studio,
    changed: Receiver<u64>,
    version: u64,
    /// The one video that is listened for; all where there is none.
    only: Option<String>,
    ready: VecDeque<Event>,
    ended: bool,
    first: bool,
    _permit: OwnedSemaphorePermit,
}

fn event(name: &str, data: &impl Serialize) -> Option<Event> {
    Event::default().event(name).json_data(data).ok()
}

impl Listener {
    fn new(studio: Studio, only: Option<String>) -> ApiResult<Self> {
        let permit = studio.listeners.clone().try_acquire_owned();
        let permit = permit.map_err(|_| ApiError::busy("too many listen already: poll the video instead"))?;
        let changed = studio.queue.watch();
        let ready = VecDeque::new();
        Ok(Self { studio, changed, version: 0, only, ready, ended: false, first: true, _permit: permit })
    }

    /// Gathers what has changed.
    fn gather(&mut self) {
        let (records, deleted, version) = self.studio.queue.changed_since(self.version);
        let since_start = self.version == 0;
        self.version = version;
        for record in records.iter().filter(|record| self.only.as_ref().is_none_or(|only| *only == record.id))
        {
            self.ready.extend(event("video", &Video::of(&self.studio, record)));
            self.ended |= self.only.is_some() && record.state.is_over();
        }
        for id in deleted.iter().filter(|id| self.only.as_ref().is_none_or(|only| only == *id)) {
            // What went before anybody listened is news to nobody.
            if !since_start {
                self.ready.extend(event("deleted", &serde_json::json!({ "id": id })));
                self.ended |= self.only.is_some();
            }
        }
    }

    /// The state of what is listened for, whatever has changed.
    fn gather_all(&mut self) {
        let version = *self.changed.borrow_and_update();
        let records = match &self.only {
            Some(id) => self.studio.queue.get(id).into_iter().collect(),
            None => self.studio.queue.all(),
        };
        // A version of 0 is before any change.
        self.version = version.max(1);
        for record in &records {
            self.ready.extend(event("video", &Video::of(&self.studio, record)));
        }
        self.ended = self.only.is_some() && records.first().is_none_or(|record| record.state.is_over());
        if self.only.is_none() {
            let ids: Vec<&str> = records.iter().map(|record| record.id.as_str()).collect();
            self.ready.extend(event("ready", &serde_json::json!({ "ids": ids })));
        }
    }

    async fn next(mut self) -> Option<(Event, Self)> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some((event, self));
            }
            if self.ended {
                return None;
            }
            if std::mem::take(&mut self.first) {
                self.gather_all();
                continue;
            }
            self.changed.changed().await.ok()?;
            tokio::time::sleep(PAUSE).await;
            self.changed.mark_unchanged();
            self.gather();
        }
    }

    fn into_sse(self) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
        let events = stream::unfold(self, Self::next).map(Ok);
        Sse::new(events).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
    }
}

/// Tells of every change in the queue: server-sent events `video` (with a video), `deleted` (with its id), and once, when all are told, `ready`
/// (with the ids of all).
#[utoipa::path(get, path = "/v1/events", tag = "videos",
    responses((status = 200, description = "Server-sent events", content_type = "text/event-stream"), (status = "default", body = ErrorBody)))]
pub(crate) async fn all(
    Shared(studio): Shared<Studio>,
) -> ApiResult<Sse<impl Stream<Item = Result<Event, Infallible>>>> {
    Ok(Listener::new(studio, None)?.into_sse())
}

/// Tells of every change of a video, until its job has ended: server-sent events `video` and `deleted`.
#[utoipa::path(get, path = "/v1/videos/{id}/events", tag = "videos",
    params(("id" = String, Path, description = "The video")),
    responses((status = 200, description = "Server-sent events", content_type = "text/event-stream"), (status = "default", body = ErrorBody)))]
pub(crate) async fn of_video(
    Shared(studio): Shared<Studio>,
    Path(id): Path<String>,
) -> ApiResult<Sse<impl Stream<Item = Result<Event, Infallible>>>> {
    studio.queue.get(&id)?;
    Ok(Listener::new(studio, Some(id))?.into_sse())
}
