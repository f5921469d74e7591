//! The Kubernetes runtime: the objects of the manifests in a namespace of a cluster. Finds what exists by label, asks
//! the cluster by a dry run what an apply would change, and applies only differences.

mod adopt;
mod apply;
mod change;
mod claim;
mod deploy;
mod down;
mod exec;
mod forwarder;
mod images;
mod labels;
mod local;
mod logs;
mod made;
mod market_egress;
mod mounts;
mod plan;
mod reach;
mod retries;
mod rollback;
mod rollout;
mod secrets;
mod session;
mod status;
mod up;
mod verdict;
mod wanted;

pub(crate) use self::{
    change::{restart, scale, start},
    deploy::{Deployment, deploy, preview},
    down::{down, stop},
    exec::exec,
    forwarder::{find_way, forward},
    local::remove_abandoned,
    logs::{Following, PodLogs},
    status::{PodStatus, PodStatusReader, has_gateway, unready},
    up::{dry_run, up},
};

use contracts::services::{GATEWAY, HTTP_PORT};
