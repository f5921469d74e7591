//! Parses networks and volumes.

use std::collections::BTreeMap;

use super::model::{Network, Volume};
use crate::at::{At, Result};

pub(super) fn networks(at: Option<At<'_>>) -> Result<BTreeMap<String, Network>> {
    each(at, |at| {
        let mut fields = at.extensible_fields()?;
        let network = Network {
            driver: fields.read("driver", At::text)?,
            driver_opts: fields.read("driver_opts", At::options)?.unwrap_or_default(),
            internal: fields.read("internal", At::truth)?.unwrap_or_default(),
            attachable: fields.read("attachable", At::truth)?.unwrap_or_default(),
            labels: fields.read("labels", At::filled_pairs)?.unwrap_or_default(),
        };
        fields.finish()?;
        Ok(network)
    })
}

pub(super) fn volumes(at: Option<At<'_>>) -> Result<BTreeMap<String, Volume>> {
    each(at, |at| {
        let mut fields = at.extensible_fields()?;
        let volume = Volume {
            driver: fields.read("driver", At::text)?,
            driver_opts: fields.read("driver_opts", At::options)?.unwrap_or_default(),
            labels: fields.read("labels", At::filled_pairs)?.unwrap_or_default(),
        };
        fields.finish()?;
        Ok(volume)
    })
}

fn each<T>(at: Option<At<'_>>, read: impl Fn(&At<'_>) -> Result<T>) -> Result<BTreeMap<String, T>> {
    let entries = at.map(|at| at.entries()).transpose()?.unwrap_or_default();
    entries.into_iter().map(|(key, at)| Ok((key, read(&at)?))).collect()
}
