//! Events of containers, as they happen.

use std::{collections::HashMap, time::Duration};

use bollard::{models::EventMessage, query_parameters::EventsOptions};
use futures_util::{Stream, StreamExt};

use super::{Engine, errors::EngineError};

/// The time-out of a stream: none.
pub(super) const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// An event of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its kind.
    pub action: Action,
    /// The container's id.
    pub id: String,
    /// The container's labels, and other fields of the event.
    pub attributes: HashMap<String, String>,
}

/// The kinds of events that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The container started.
    Start,
    /// Its process ended.
    Die {
        /// Its exit code.
        code: i64,
    },
    /// It ran out of memory; the event of its end follows.
    OutOfMemory,
    /// It was removed.
    Destroy,
    /// Another event.
    Other,
}

impl Event {
    fn read(message: EventMessage) -> Option<Self> {
        let actor = message.actor?;
        let attributes = actor.attributes.unwrap_or_default();
        let code = attributes.get("exitCode").or_else(|| attributes.get("containerExitCode"));
        let action = match message.action?.as_str() {
            "start" => Action::Start,
            // The second word is Podman's.
            "die" | "died" => {
                Action::Die { code: code.and_then(|code| code.parse().ok()).unwrap_or(-1) }
            }
            "oom" => Action::OutOfMemory,
            "destroy" | "remove" => Action::Destroy,
            _ => Action::Other,
        };
        Some(Self { action, id: actor.id?, attributes })
    }
}

impl Engine {
    /// Returns the events from now on of the containers with that label, `name=value`. The stream ends with the engine.
    ///
    /// The request is sent when the stream is first polled.
    pub fn events(
        &self,
        label: &str,
    ) -> impl Stream<Item = Result<Event, EngineError>> + Send + Unpin + use<> {
        let filters = HashMap::from([
            ("type".to_owned(), vec!["container".to_owned()]),
            ("label".to_owned(), vec![label.to_owned()]),
        ]);
        let options = EventsOptions { filters: Some(filters), ..Default::default() };
        let engine = self.clone();
        let patient = self.docker.clone().with_timeout(FOR_EVER);
        let events = patient.events(Some(options));
        Box::pin(events.filter_map(move |event| {
            let event = match event {
                Ok(message) => Event::read(message).map(Ok),
                Err(error) => Some(Err(engine.could_not(|| "send events".into())(error))),
            };
            std::future::ready(event)
        }))
    }
}
