//! Every event, from its writer's outbox to the inbox of each who reads it.

use std::collections::BTreeMap;

use backends::Backends;
use contracts::{
    api::audit::{InboxFact, OutboxFact},
    events::catalogue::readers_of,
    services::TABLE,
};
use futures_util::future::try_join_all;

use crate::{
    AuditError,
    finding::Finding,
    kept::{Counts, Horizon},
    source::{Source, least},
};

/// How many events that nobody seems to have written are looked at again while the environment works.
const SUSPECTS_MAX: usize = 1_000;

#[derive(Debug, Default)]
struct Picture {
    written: Option<OutboxFact>,
    /// Who acted on it, and what they took it for.
    read: Vec<(&'static str, String)>,
}

/// Checks that each event was acted on once by each who reads it. While the environment works, outboxes are read before inboxes:
/// what is marked as published has been acted on. What was set aside is in the inbox, too. Up to the horizon, events are
/// counted.
///
/// # Errors
/// [`AuditError`] if a service did not tell its facts.
pub(crate) async fn check(
    services: &Backends,
    horizon: Horizon,
    live: bool,
) -> Result<(Finding, Counts), AuditError> {
    let mut finding = Finding::new(
        "events.inbox",
        "Each event was acted on once by each service that reads it, and by no other.",
    );
    let writers = TABLE.iter().filter(|program| program.writes().next().is_some());
    let mut outboxes: Vec<Source<OutboxFact>> = writers
        .filter_map(|writer| {
            let key = |fact: &OutboxFact| fact.id.to_string();
            Some(Source::of(services, writer.name, "outbox", key)?.beyond(horizon))
        })
        .collect();
    let readers = TABLE.iter().filter(|program| program.reads().next().is_some());
    let mut inboxes: Vec<(&'static str, Source<InboxFact>)> = readers
        .filter_map(|reader| {
            let key = |fact: &InboxFact| fact.id.to_string();
            let inbox = Source::of(services, reader.name, "inbox", key)?.beyond(horizon);
            Some((reader.name, inbox))
        })
        .collect();
    let mut suspects = Vec::new();
    loop {
        // One after another, because an inbox must be read after the outboxes while the environment works.
        try_join_all(outboxes.iter_mut().map(Source::fill)).await?;
        if live {
            inboxes.iter_mut().for_each(|(_, inbox)| inbox.forget());
        }
        try_join_all(inboxes.iter_mut().map(|(_, inbox)| inbox.fill())).await?;
        let written = outboxes.iter().map(Source::reach);
        let bound = least(written.chain(inboxes.iter().map(|(_, inbox)| inbox.reach())));
        let end = outboxes
            .iter()
            .map(Source::end)
            .collect::<Option<Vec<_>>>()
            .and_then(|ends| ends.into_iter().max().map(str::to_owned));
        let mut pictures: BTreeMap<String, Picture> = BTreeMap::new();
        for outbox in &mut outboxes {
            for (key, fact) in outbox.take_until(bound.as_deref()) {
                pictures.entry(key).or_default().written = Some(fact);
            }
        }
        for (service, inbox) in &mut inboxes {
            for (key, fact) in inbox.take_until(bound.as_deref()) {
                pictures.entry(key).or_default().read.push((*service, fact.name));
            }
        }
        for (key, picture) in pictures {
            let came_later = end.as_ref().is_some_and(|end| key > *end);
            match &picture.written {
                Some(written) => judge(&mut finding, &key, written, &picture.read, live),
                None if !live => finding.breach(unwritten(&key, &picture)),
                None if !came_later && suspects.len() < SUSPECTS_MAX => {
                    suspects.push((key, picture));
                }
                None => {}
            }
        }
        if bound.is_none() {
            break;
        }
    }
    for (key, picture) in suspects {
        let mut is_written = false;
        for outbox in &outboxes {
            is_written = is_written || outbox.has(&key).await?;
        }
        if !is_written {
            finding.breach(unwritten(&key, &picture));
        }
    }
    let counts = Counts::check(services, horizon, &mut finding, live).await?;
    Ok((finding, counts))
}

fn judge(
    finding: &mut Finding,
    key: &str,
    written: &OutboxFact,
    read: &[(&'static str, String)],
    live: bool,
) {
    let name = written.name.as_str();
    let readers = readers_of(name);
    for reader in readers {
        let found = read.iter().any(|(service, as_what)| service == reader && as_what == name);
        // What is on its way may have arrived.
        if written.published || !live || found {
            finding.count(1, i64::from(found));
        }
        if !found && (written.published || !live) {
            finding.breach(format_args!("{key} {name}: {reader} did not act on it"));
        }
    }
    for (service, as_what) in read {
        if !readers.contains(service) || as_what != name {
            finding.count(0, 1);
            finding.breach(format_args!("{key} {name}: {service} acted on it as {as_what}"));
        }
    }
}

fn unwritten(key: &str, picture: &Picture) -> String {
    let who: Vec<&str> = picture.read.iter().map(|(service, _)| *service).collect();
    format!("{key}: {} acted on it, but nobody wrote it", who.join(", "))
}
