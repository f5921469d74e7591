//! Events packed into entries, and unpacked again.

use std::sync::Arc;

use contracts::events::{
    Envelope,
    catalogue::{Catalogue, Concern},
};
use tracing::error;

use super::stream::{SHARDS, shard_of};
use events::outbox::Stored;

/// How many events an entry holds at the most: an entry is read and acknowledged as a whole.
const EVENTS_MAX: usize = 64;

/// Some events for one shard, in order: the type of each, and its JSON.
#[derive(Debug, Default)]
pub(super) struct Parcel {
    pub(super) shard: usize,
    pub(super) fields: Vec<(String, Vec<u8>)>,
}

/// Packs events, in order for each shard. It packs every type: another replica may have written one that this version does
/// not know.
pub(super) fn pack<'a>(events: impl IntoIterator<Item = &'a Stored>) -> Vec<Parcel> {
    let mut parcels: Vec<Parcel> = Vec::new();
    let mut open: [Option<usize>; SHARDS] = [None; SHARDS];
    for Stored { event, .. } in events {
        let shard = shard_of(&event.subject);
        let at = match open[shard].filter(|at| parcels[*at].fields.len() < EVENTS_MAX) {
            Some(at) => at,
            None => {
                parcels.push(Parcel { shard, fields: Vec::new() });
                open[shard] = Some(parcels.len() - 1);
                parcels.len() - 1
            }
        };
        match serde_json::to_vec(&**event) {
            Ok(json) => parcels[at].fields.push((event.kind.clone(), json)),
            // A struct of texts and numbers always has a JSON form.
            Err(why) => error!("Event {} has no JSON form: {why}", event.id),
        }
    }
    parcels
}

/// Reads an event unless this version knows that the reader does not act on its type.
pub(super) fn unpack(
    catalogue: Catalogue,
    kind: &[u8],
    json: &[u8],
    reader: &str,
) -> Option<Arc<Envelope>> {
    let kind = String::from_utf8_lossy(kind);
    if catalogue.concern(&kind, reader) == Concern::Passes {
        return None;
    }
    match serde_json::from_slice(json) {
        Ok(event) => Some(Arc::new(event)),
        Err(why) => {
            // Nothing of ours writes such a thing. It has no id by which it could be set aside.
            error!("Dropped a `{kind}` that is no event: {why}");
            None
        }
    }
}
