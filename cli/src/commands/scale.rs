use std::{collections::BTreeMap, str::FromStr};

use clap::Args;

use super::exec::only_with_containers;
use crate::{
    config::Runtime,
    error::Result,
    output::Output,
    runtimes::{compose, kubernetes},
    signals::Signals,
    state::Environment,
};

/// Set the number of containers or pods of services (not when embedded)
#[derive(Debug, Args)]
#[command(after_help = "\
The number is kept until it is set again; `down` forgets it. Services that keep data, such as
PostgreSQL and Redis, can have only one.

Example:
  chefcito scale kitchen=3 orders=2")]
pub(crate) struct ScaleArgs {
    /// Services, each with its new number
    #[arg(required = true, value_name = "SERVICE=N")]
    services: Vec<Scaled>,
    /// How long new ones may take to become ready
    #[arg(long, value_name = "DURATION", env = "CHEFCITO_TIMEOUT", default_value = "60s")]
    timeout: humantime::Duration,
}

#[derive(Clone, Debug)]
struct Scaled {
    service: String,
    replicas: u32,
}

impl FromStr for Scaled {
    type Err = &'static str;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        const REPLICAS_MAX: u32 = 64;
        text.split_once('=')
            .and_then(|(service, count)| {
                let replicas = count.parse().ok().filter(|count| *count <= REPLICAS_MAX)?;
                Some(Self { service: service.to_owned(), replicas })
            })
            .ok_or("it should be a service and a number up to 64, such as kitchen=3")
    }
}

pub(crate) async fn run(
    args: ScaleArgs,
    environment: &Environment,
    output: &Output,
    signals: &mut Signals,
) -> Result<()> {
    let runtime = only_with_containers("scale", environment).await?;
    let replicas: BTreeMap<String, u32> =
        args.services.into_iter().map(|scaled| (scaled.service, scaled.replicas)).collect();
    let timeout = args.timeout.into();
    match runtime {
        Runtime::Kubernetes => {
            kubernetes::scale(replicas, timeout, environment, output, signals).await
        }
        _ => signals.or(compose::scale(replicas, timeout, environment, output)).await,
    }
}
