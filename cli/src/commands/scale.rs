use std::{collections::BTreeMap, str::FromStr, time::Duration};

use clap::Args;
use clap_complete::engine::ArgValueCandidates;

use super::{duration, exec::only_with_containers, usage_error};
use crate::{
    completion,
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
The number is kept until it is set again, or `up --reset` is run. Services that keep data, such
as PostgreSQL and Redis, can have only one.

Example:
  chefcito scale kitchen=3 orders=2")]
pub(crate) struct ScaleArgs {
    /// Services, each with its new number
    #[arg(
        required = true,
        value_name = "SERVICE=N",
        add = ArgValueCandidates::new(completion::services_to_scale)
    )]
    services: Vec<Scaled>,
    /// How long new ones may take to become ready
    #[arg(
        long,
        value_name = "DURATION",
        env = "CHEFCITO_UP_TIMEOUT",
        default_value = "60s",
        value_parser = duration
    )]
    timeout: Duration,
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

/// Returns the number of each service.
fn replicas(services: Vec<Scaled>) -> Result<BTreeMap<String, u32>> {
    let mut all = BTreeMap::new();
    for Scaled { service, replicas } in services {
        if all.insert(service.clone(), replicas).is_some() {
            return Err(usage_error("scale", format_args!("`{service}` has two numbers")));
        }
    }
    Ok(all)
}

pub(crate) async fn run(
    args: ScaleArgs,
    environment: &Environment,
    output: &Output,
    signals: &mut Signals,
) -> Result<()> {
    let replicas = replicas(args.services)?;
    let runtime = only_with_containers("scale", environment).await?;
    let timeout = args.timeout;
    match runtime {
        Runtime::Kubernetes => {
            kubernetes::scale(replicas, timeout, environment, output, signals).await
        }
        _ => signals.or(compose::scale(replicas, timeout, environment, output)).await,
    }
}
