//! What happens to containers, as it happens.

use std::{collections::HashMap, time::Duration};

use bollard::{models::EventMessage, query_parameters::EventsOptions};
use futures_util::{Stream, StreamExt};

use super::{Engine, errors::EngineError};

/// How long a stream may be silent: it may be so for ever.
pub(super) const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Something happened to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// What.
    pub(crate) action: Action,
    /// The container's id.
    pub(crate) id: String,
    /// Its labels, and what else the engine says.
    pub(crate) attributes: HashMap<String, String>,
}

/// What happened to a container, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// It was started.
    Start,
    /// Its process ended.
    Die {
        /// With this exit code.
        code: i64,
    },
    /// It had no memory left; its end is told next.
    OutOfMemory,
    /// It was removed.
    Destroy,
    /// Something else.
    Other,
}

impl Event {
    fn read(message: EventMessage) -> Option<Self> {
        let actor = message.actor?;
        let attributes = actor.attributes.unwrap_or_default();
        let code = attributes.get("exitCode").or_else(|| attributes.get("containerExitCode"));
        let action = match message.action?.as_str() {
            "start" => Action::Start,
            // Podman's word is the second.
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
    /// Returns what happens from now on to the containers with that label, `name=value`. It ends when the engine does.
    ///
    /// The engine is asked when the stream is polled for the first time.
    pub(crate) fn events(
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
                Err(error) => Some(Err(engine.could_not(|| "tell what happens".into())(error))),
            };
            std::future::ready(event)
        }))
    }
}
