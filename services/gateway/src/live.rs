//! `/v1/live`: what many viewers see, read once.
//!
//! While there is a viewer, the parts of the view are read from the services and put together; each change is written down once, for
//! all. A viewer that is slow, or comes back, gets the changes since the view that it has, or a whole view: never less.

mod frames;
mod view_reader;
mod viewers;
mod websocket;

use std::{convert::Infallible, net::IpAddr, sync::Arc, time::Duration};

use ::service::{ServiceContext, http::Query, problem::Problem};
use axum::{
    body::{Body, Bytes},
    extract::{FromRequestParts, Request},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use backends::Backends;
use contracts::{
    Timestamp,
    api::live::{Pace, WatchOptions},
};
use futures_util::stream;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use self::{
    frames::Frames,
    viewers::{Refused, Viewer, Viewers},
};
use crate::keys::{Holder, KeyRing};

/// What is sent while nothing changes, and how often: proxies close what is silent.
const COMMENT: &[u8] = b": nothing new\n\n";
const COMMENT_EVERY: Duration = Duration::from_secs(15);
/// How long one answer may last. A viewer that reconnects with `Last-Event-ID` gets the changes that it missed.
const WATCH_MAX: Duration = Duration::from_secs(3_600);
/// How often a viewer's key is looked at, at least: it may be revoked.
const KEY_LOOK_EVERY: Duration = Duration::from_secs(5);
/// The header with the id of the last event that a viewer got.
const LAST_EVENT_ID: &str = "last-event-id";

/// Returns how often viewers are told, by their number.
fn pace(viewers: u32) -> Pace {
    let changes_per_second_max = match viewers {
        ..=100 => 10,
        101..=1_000 => 4,
        _ => 1,
    };
    Pace { changes_per_second_max, viewers }
}

/// What all viewers share.
#[derive(Debug)]
pub(crate) struct Live {
    services: Backends,
    viewers: Viewers,
    frames: watch::Sender<Frames>,
    stop: CancellationToken,
}

impl Live {
    /// Shows what these services say, until the context is closed.
    pub(crate) fn new(services: Backends, context: &ServiceContext) -> Self {
        let viewers = Viewers::default();
        context.metrics.register(|registry| {
            registry.register("viewers", "Viewers of /v1/live", viewers.gauge());
        });
        let frames = watch::Sender::new(Frames::new());
        Self { services, viewers, frames, stop: context.stop().clone() }
    }

    /// Marks the view as outdated: viewers that come wait until it is read again.
    fn mark_outdated(&self) {
        self.frames.send_if_modified(|frames| {
            frames.mark_outdated();
            false
        });
    }

    /// Answers a viewer with the events that follow on what it has, at a WebSocket if it asks for one.
    ///
    /// # Errors
    /// 503 if there are too many viewers in all, 429 if there are of this key or address, 400 if the request can't be read.
    pub(crate) async fn watch(
        self: &Arc<Self>,
        keys: &Arc<KeyRing>,
        holder: &Holder,
        address: IpAddr,
        request: Request,
        now: Timestamp,
    ) -> Result<Response, Problem> {
        let (mut parts, body) = request.into_parts();
        let Query(options) = Query::<WatchOptions>::from_request_parts(&mut parts, &()).await?;
        let headers = &parts.headers;
        let has = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok().map(ToOwned::to_owned));
        let has = has.or(options.last_event_id);
        let request = Request::from_parts(parts, body);
        let viewer =
            self.viewers.enter(holder.key(), address).map_err(|refused| match refused {
                Refused::All => Problem::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "too-many-viewers",
                    "Too many viewers",
                )
                .detail("This gateway has as many viewers as it can have. Try again later.")
                .retry_after(Duration::from_secs(30)),
                Refused::One => Problem::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "too-many-viewers",
                    "Too many viewers",
                )
                .detail(
                    "This key, or this address, watches as often as it may. Close one view first.",
                )
                .retry_after(Duration::from_secs(5)),
            })?;
        if viewer.is_first {
            tokio::spawn(view_reader::read_for_viewers(Arc::clone(self)));
        }
        // A view ends with its session.
        let lasts = holder.expires_at.map_or(WATCH_MAX, |end| end.since(now).min(WATCH_MAX));
        let watching = Watching {
            has: has.and_then(|id| self.frames.borrow().number_of(&id)),
            frames: self.frames.subscribe(),
            keys: Arc::clone(keys),
            key: holder.id.clone(),
            ends_at: Instant::now() + lasts,
            said_at: Instant::now(),
            live: Arc::clone(self),
            _viewer: viewer,
        };
        if websocket::is_asked_for(request.headers()) {
            return websocket::accept(request, watching);
        }
        let events = stream::unfold(watching, async |mut watching| {
            let bytes = match watching.next().await? {
                News::Events(events) => events,
                News::Nothing => Bytes::from_static(COMMENT),
            };
            Some((Ok::<Bytes, Infallible>(bytes), watching))
        });
        let heads = [
            (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            // A proxy would hold events back.
            (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
        ];
        Ok((heads, Body::from_stream(events)).into_response())
    }
}

/// What a viewer is told.
#[derive(Debug)]
enum News {
    /// The texts of events.
    Events(Bytes),
    /// That there was nothing for a while.
    Nothing,
}

/// One viewer's way through the views.
#[derive(Debug)]
struct Watching {
    /// The number of the view that the viewer has; `None` if it has none, or one that nobody knows any more.
    has: Option<u64>,
    frames: watch::Receiver<Frames>,
    keys: Arc<KeyRing>,
    key: String,
    ends_at: Instant,
    said_at: Instant,
    live: Arc<Live>,
    _viewer: Viewer,
}

impl Watching {
    /// Returns what the viewer is told next; `None` at the end. Dropping the future loses nothing.
    async fn next(&mut self) -> Option<News> {
        loop {
            let is_over = self.live.stop.is_cancelled() || Instant::now() >= self.ends_at;
            if is_over || !self.keys.has(&self.key) {
                return None;
            }
            let news = self.frames.borrow_and_update().since(self.has);
            if let Some((events, number)) = news {
                (self.has, self.said_at) = (Some(number), Instant::now());
                return Some(News::Events(events));
            }
            if self.said_at.elapsed() >= COMMENT_EVERY {
                self.said_at = Instant::now();
                return Some(News::Nothing);
            }
            tokio::select! {
                changed = self.frames.changed() => changed.ok()?,
                () = sleep(KEY_LOOK_EVERY) => {}
                () = self.live.stop.cancelled() => return None,
                () = sleep_until(self.ends_at) => return None,
            }
        }
    }
}
