//! 4,096 guests who post 1,000 orders each at the same time, while the gateway and the orders have 128 MiB each.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use contracts::{
    api::orders::ORDERS_PER_REQUEST_MAX,
    services::{GATEWAY, ORDERS},
};
use http::{Request, Response, StatusCode, header::RETRY_AFTER};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::json;
use test_support::{Guest, ProcessCluster};
use tokio::{net::TcpSocket, sync::Barrier, task::JoinSet};
use tokio_postgres::NoTls;
use uuid::Uuid;

use crate::{
    figures::{Figures, Goal},
    process::{Process, number},
};

/// How many guests there are, each with a connection and one request.
const GUESTS: usize = 4_096;
/// From how many addresses they come: an address has 2,048 connections at most.
const ADDRESSES: usize = 64;
/// The services that have little memory.
const CONFINED: [&str; 2] = [GATEWAY, ORDERS];
/// How much memory each of them has, in bytes.
const MEMORY_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// How long a guest waits for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(120);

/// What a guest was answered.
struct Answer {
    status: StatusCode,
    has_retry_after: bool,
    /// How many orders it says are accepted.
    accepted: usize,
}

pub(super) async fn play(figures: &mut Figures) -> Result<()> {
    let Some(groups) = Groups::make()? else {
        let lack = "no memory cgroups that may be made (as root, below /sys/fs/cgroup)";
        figures.note(format!("not measured: {lack}"), "", 0.0);
        return Ok(());
    };
    let Some(mut cluster) = ProcessCluster::start(1, &[]).await else {
        let lack = "PostgreSQL's programs or redis-server are lacking";
        figures.note(format!("not measured: {lack}"), "", 0.0);
        return Ok(());
    };
    cluster.is_ready().await;
    for service in CONFINED {
        cluster.stop(service, 0);
        cluster.confine(service, groups.of(service).processes());
        cluster.start_service(service);
    }
    let guest = cluster.guest(0);
    guest.furnish().await;
    let before = saved_orders(&cluster).await?;

    let began = Instant::now();
    let answers = come(&guest).await?;
    figures.note("until all were answered", "s", began.elapsed().as_secs_f64());
    judge(&answers, saved_orders(&cluster).await? - before, figures);
    for service in CONFINED {
        let group = groups.of(service);
        let name = |what: &str| format!("{service}: {what}");
        let goal = Goal::at_most(mib(MEMORY_BYTES_MAX), mib(MEMORY_BYTES_MAX) / 2.0);
        figures.judge(name("memory of its cgroup at its peak"), "MiB", mib(group.peak()?), goal);
        figures.note(name("memory of its process at its peak"), "MiB", group.process()?.peak()?);
        let kills = group.kills()?;
        figures.note(name("ended by the kernel for want of memory"), "", number(kills));
        if kills > 0 {
            figures.fault(format!("{service} was ended {kills} times for want of memory"));
        }
    }
    let ended = cluster.ended();
    ensure!(ended.is_empty(), "these have ended: {}", ended.join("; "));
    Ok(())
}

/// Notes what was answered, and what must not be: no answer, a 503 that does not say when to come again, an order that was
/// accepted and is not saved.
fn judge(answers: &[Option<Answer>], saved: i64, figures: &mut Figures) {
    let mut by_status: BTreeMap<u16, u64> = BTreeMap::new();
    let heard = answers.iter().flatten();
    heard.clone().for_each(|answer| *by_status.entry(answer.status.as_u16()).or_default() += 1);
    for (status, count) in by_status {
        figures.note(format!("answers {status}"), "", number(count));
    }
    let busy = heard.clone().filter(|answer| answer.status == StatusCode::SERVICE_UNAVAILABLE);
    let told = busy.clone().filter(|answer| answer.has_retry_after).count();
    figures.note("503 with Retry-After", "", number(told as u64));
    if told < busy.count() {
        figures.fault("a 503 without Retry-After".into());
    }
    let silent = answers.iter().filter(|answer| answer.is_none()).count();
    if silent > 0 {
        figures.fault(format!("{silent} guests had no answer"));
    }
    let accepted = heard.map(|answer| answer.accepted).sum::<usize>() as u64;
    let saved = u64::try_from(saved).unwrap_or(0);
    figures.note("accepted orders", "", number(accepted));
    figures.note("orders in the database", "", number(saved));
    if saved != accepted {
        figures.fault(format!("{accepted} orders were accepted, and {saved} are saved"));
    }
}

/// Lets all guests in, and then post at the same time.
async fn come(guest: &Guest) -> Result<Vec<Option<Answer>>> {
    service::http::raise_open_files_max();
    let door: SocketAddr = guest.address().parse()?;
    let lines = vec![json!({"dish": "pizza"}); ORDERS_PER_REQUEST_MAX];
    let body = Bytes::from(serde_json::to_vec(&json!({"orders": lines}))?);
    let together = Arc::new(Barrier::new(GUESTS));
    let mut guests = JoinSet::new();
    for at in 0..GUESTS {
        let from = Ipv4Addr::new(127, 0, 1, u8::try_from(at % ADDRESSES)? + 1);
        let request = Request::post("/v1/orders")
            .header("host", guest.address())
            .header("authorization", format!("Bearer {}", guest.key()))
            .header("idempotency-key", Uuid::now_v7().to_string())
            .header("content-type", "application/json")
            .body(Full::new(body.clone()))?;
        let together = Arc::clone(&together);
        guests.spawn(async move {
            let connection = connect(from.into(), door).await;
            together.wait().await;
            let answered = async { post(connection?, request).await };
            tokio::time::timeout(ANSWER_MAX, answered).await.ok()?.ok()
        });
    }
    Ok(guests.join_all().await)
}

async fn connect(from: IpAddr, door: SocketAddr) -> Result<http1::SendRequest<Full<Bytes>>> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    let stream = socket.connect(door).await?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn post(
    mut sender: http1::SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<Answer> {
    let response: Response<Incoming> = sender.send_request(request).await?;
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    let accepted = match head.status.is_success() {
        true => {
            let told: serde_json::Value = serde_json::from_slice(&body)?;
            told["orders"].as_array().context("an answer without orders")?.len()
        }
        false => 0,
    };
    let has_retry_after = head.headers.contains_key(RETRY_AFTER);
    Ok(Answer { status: head.status, has_retry_after, accepted })
}

async fn saved_orders(cluster: &ProcessCluster) -> Result<i64> {
    let (client, connection) =
        tokio_postgres::connect(&cluster.database_url(ORDERS), NoTls).await?;
    tokio::spawn(connection);
    Ok(client.query_one("SELECT COUNT(*) FROM orders", &[]).await?.get(0))
}

fn mib(bytes: u64) -> f64 {
    number(bytes) / (1024.0 * 1024.0)
}

/// The cgroups of the services that have little memory. They go with this, once their processes have ended.
struct Groups(BTreeMap<&'static str, Group>);

impl Groups {
    /// Makes them; none where this machine or this user can't.
    fn make() -> Result<Option<Self>> {
        let root = Path::new("/sys/fs/cgroup");
        let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        let is_second = controllers.split_whitespace().any(|one| one == "memory");
        let parent = if is_second { root.to_owned() } else { root.join("memory") };
        if is_second && fs::write(root.join("cgroup.subtree_control"), "+memory").is_err() {
            return Ok(None);
        }
        let mut groups = Self(BTreeMap::new());
        for service in CONFINED {
            let name = format!("chefcito-bench-{}-{service}", std::process::id());
            let group = Group { folder: parent.join(name), is_second };
            if fs::create_dir(&group.folder).is_err() {
                return Ok(None);
            }
            let limit = if is_second { "memory.max" } else { "memory.limit_in_bytes" };
            let limited = fs::write(group.folder.join(limit), MEMORY_BYTES_MAX.to_string());
            groups.0.insert(service, group);
            limited.with_context(|| format!("can't limit the memory of {service}"))?;
        }
        Ok(Some(groups))
    }

    fn of(&self, service: &str) -> &Group {
        &self.0[service]
    }
}

/// A cgroup that bounds memory.
struct Group {
    folder: PathBuf,
    /// Whether it is of the second version of cgroups.
    is_second: bool,
}

impl Group {
    /// Returns the file that takes the processes of the group.
    fn processes(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    fn process(&self) -> Result<Process> {
        let processes = fs::read_to_string(self.processes())?;
        Ok(Process(processes.lines().next().context("a cgroup without a process")?.parse()?))
    }

    /// Returns the most memory that it ever had, in bytes, with the files that the kernel keeps for it.
    fn peak(&self) -> Result<u64> {
        let file = if self.is_second { "memory.peak" } else { "memory.max_usage_in_bytes" };
        Ok(fs::read_to_string(self.folder.join(file))?.trim().parse()?)
    }

    /// Returns how many of its processes the kernel has ended because it had no more memory.
    fn kills(&self) -> Result<u64> {
        let file = if self.is_second { "memory.events" } else { "memory.oom_control" };
        let text = fs::read_to_string(self.folder.join(file))?;
        let kills = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        Ok(kills.context("a cgroup that does not count what was ended")?.trim().parse()?)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A group whose processes still end stays; the next boot clears it away.
        let _still_used = fs::remove_dir(&self.folder);
    }
}
