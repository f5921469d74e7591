//! The runtime of pods: what the manifests lay out, in a namespace of a cluster. What there is is observed by label, the
//! cluster itself says what would become of it, and only what differs is applied.

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
mod undo_log;
mod up;
mod verdict;
mod wanted;

pub(crate) use self::{
    change::{restart, scale, start},
    deploy::{Deployment, deploy, foresee},
    down::{down, stop},
    exec::exec,
    forwarder::{find_way, forward},
    logs::{Following, PodLogs},
    status::{PodStatus, PodStatusReader, has_gateway, unready},
    up::{dry_run, up},
};

use contracts::services::{GATEWAY, HTTP_PORT};
