//! The live view from the gateway, kept up to date over lost connections.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use client::{ClientError, Event, Events, STATUS_WAIT_MAX};
use contracts::{
    Timestamp,
    api::live::{CHANGE, SNAPSHOT, View},
};
use screen::Stale;
use serde::de::DeserializeOwned;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use crate::{
    background::chain,
    commands::connect,
    error::{CliError, Result},
    state::Environment,
};

const PATH: &str = "/v1/live";
/// The first pause before the gateway is asked again; each further one is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(250);
/// The longest pause: a user who restarts the environment waits no longer for the board.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What is known of the restaurant.
#[derive(Clone, Debug)]
pub(super) struct News {
    /// The latest view.
    pub(super) view: View,
    /// When it came.
    pub(super) came_at: Timestamp,
    /// The gateway that it is from.
    pub(super) address: SocketAddr,
    /// Why it is not of now; `None` if it is.
    pub(super) stale: Option<Stale>,
}

/// The gateway's feed.
#[derive(Debug)]
pub(super) struct Feed<'a> {
    environment: &'a Environment,
    events: Events,
    opened_at: Instant,
    /// The id of the view; `None` if a whole one has to come first.
    last_id: Option<String>,
    pause: Duration,
    news: watch::Sender<News>,
}

impl<'a> Feed<'a> {
    /// Connects, and waits for the first view.
    ///
    /// # Errors
    /// As every command that asks the gateway; [`CliError::Failed`] if that has no feed.
    pub(super) async fn open(environment: &'a Environment) -> Result<Self> {
        let (mut events, address) = open(environment, None).await.map_err(without_feed)?;
        let mut view = View::default();
        while let Some(event) = events.next().await? {
            if put(&mut view, false, &event)? {
                return Ok(Self {
                    environment,
                    events,
                    opened_at: Instant::now(),
                    last_id: Some(event.id),
                    pause: Duration::ZERO,
                    news: watch::Sender::new(News {
                        view,
                        came_at: Timestamp::now(),
                        address,
                        stale: None,
                    }),
                });
            }
        }
        Err(CliError::failed(format!("the environment at {address} ended its live view at once")))
    }

    /// Returns the news, to be read and waited for.
    pub(super) fn news(&self) -> watch::Receiver<News> {
        self.news.subscribe()
    }

    /// Keeps the news up to date.
    pub(super) async fn follow(mut self) -> Infallible {
        loop {
            let ended = self.take_events().await;
            let last_heard = Timestamp::now().minus(self.events.silent_for());
            self.reconnect(last_heard, ended.err()).await;
        }
    }

    /// Takes events until the gateway ends the stream.
    async fn take_events(&mut self) -> Result<()> {
        while let Some(event) = self.events.next().await? {
            let is_known = self.last_id.is_some();
            let mut is_put = Ok(false);
            self.news.send_if_modified(|news| {
                is_put = put(&mut news.view, is_known, &event);
                let is_new = matches!(is_put, Ok(true));
                if is_new {
                    (news.came_at, news.stale) = (Timestamp::now(), None);
                }
                is_new
            });
            match is_put {
                Ok(true) => self.last_id = Some(event.id),
                Ok(false) => {}
                Err(unreadable) => {
                    self.last_id = None;
                    return Err(unreadable.into());
                }
            }
        }
        Ok(())
    }

    /// Reconnects, however long that takes. A stream that the gateway ended is no reason to say that news are missing: it ends
    /// those that have lasted long.
    async fn reconnect(&mut self, last_heard: Timestamp, mut lost: Option<CliError>) {
        if self.opened_at.elapsed() > PAUSE_MAX {
            self.pause = Duration::ZERO;
        }
        loop {
            if let Some(lost) = &lost {
                let stale = Stale { since: last_heard, why: chain(lost) };
                self.news.send_modify(|news| news.stale = Some(stale));
            }
            sleep(self.pause).await;
            self.pause = (self.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
            match open(self.environment, self.last_id.as_deref()).await {
                Ok((events, address)) => {
                    (self.events, self.opened_at) = (events, Instant::now());
                    let is_known = self.last_id.is_some();
                    self.news.send_modify(|news| {
                        news.address = address;
                        news.stale.take_if(|_| is_known);
                    });
                    return;
                }
                Err(error) => lost = Some(error),
            }
        }
    }
}

/// Opens the feed after the view with that id. The gateway may be another process than before, at another address, and proves
/// anew that it is the one of the key.
async fn open(environment: &Environment, last_id: Option<&str>) -> Result<(Events, SocketAddr)> {
    let client = connect(environment).await?.waiting(STATUS_WAIT_MAX);
    Ok((client.events(PATH, last_id).await?, client.address()))
}

/// Makes the next view of one, if that is known. Returns whether it did: what is no view is of a later version.
fn put(view: &mut View, is_known: bool, event: &Event) -> Result<bool, ClientError> {
    match event.name.as_str() {
        SNAPSHOT => *view = parsed(event)?,
        CHANGE if is_known => live::apply(view, parsed(event)?),
        _ => return Ok(false),
    }
    Ok(true)
}

fn parsed<T: DeserializeOwned>(event: &Event) -> Result<T, ClientError> {
    serde_json::from_str(&event.data)
        .map_err(|source| ClientError::Unreadable { request: format!("GET {PATH}"), source })
}

fn without_feed(error: CliError) -> CliError {
    match error {
        CliError::Problem { status: 404, .. } => CliError::Failed {
            what: "the environment has no live view".into(),
            hint: "it is of an earlier version: `chefcito up` brings it to this one".into(),
            source: None,
        },
        error => error,
    }
}
