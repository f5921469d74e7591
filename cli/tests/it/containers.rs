//! The containers of the simulated node: logs, programs and ports. Other tests rely on them.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use contracts::services::{GATEWAY, KITCHEN};
use futures_util::{AsyncBufReadExt, TryStreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{AttachParams, AttachedProcess, DeleteParams, LogParams},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    api_server::{OWNER, Pods},
    chefcito::PATIENCE,
    cluster::{Cluster, deployment, wait_for},
};

/// Runs one pod of a service, and returns its name.
async fn run(cluster: &Cluster, client: &Client, service: &str) -> String {
    cluster.make_namespace(client).await;
    cluster.apply(client, deployment(service, 1)).await;
    let pods = Api::<Pod>::namespaced(client.clone(), &cluster.name);
    let started = |pod: &Pod| pod.status.as_ref().is_some_and(|is| is.container_statuses.is_some());
    let since = Instant::now();
    loop {
        if let Some(name) = cluster.pods_of(service).pop() {
            wait_for(&pods, &name, started).await;
            return name;
        }
        assert!(since.elapsed() < PATIENCE, "no pod of {service} within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn lines(pods: &Api<Pod>, pod: &str, asked: &LogParams) -> Vec<String> {
    pods.logs(pod, asked).await.unwrap().lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_log_is_followed_until_its_container_starts_again_or_it_rotates() {
    let Some(cluster) = Cluster::open("followed") else { return };
    let client = cluster.client(OWNER).await;
    cluster.new_pods_say(KITCHEN, &["opens"]);
    let kitchen = run(&cluster, &client, KITCHEN).await;
    let pods = Api::<Pod>::namespaced(client, &cluster.name);

    let follow = LogParams { follow: true, ..Default::default() };
    let mut followed = pods.log_stream(&kitchen, &follow).await.unwrap().lines();
    assert_eq!(followed.try_next().await.unwrap().as_deref(), Some("opens"));
    let later: Timestamp = "2030-01-01T00:00:00.5Z".parse().unwrap();
    cluster.pod_says(&kitchen, later, "takes a stove");
    assert_eq!(followed.try_next().await.unwrap().as_deref(), Some("takes a stove"));
    cluster.container_restarts(&kitchen, 137).await;
    assert_eq!(followed.try_next().await.unwrap(), None);

    cluster.pod_says(&kitchen, later, "opens again");
    let previous = LogParams { previous: true, ..Default::default() };
    assert_eq!(lines(&pods, &kitchen, &previous).await, ["opens", "takes a stove"]);
    assert_eq!(lines(&pods, &kitchen, &LogParams::default()).await, ["opens again"]);
    let pod = pods.get(&kitchen).await.unwrap();
    assert_eq!(pod.status.unwrap().container_statuses.unwrap()[0].restart_count, 1);

    // Only whole seconds can be requested: the client rounds them, up or down.
    let since_time = Some("2030-01-01T00:00:00Z".parse().unwrap());
    let since = LogParams { since_time, timestamps: true, ..Default::default() };
    let said = ["2030-01-01T00:00:00.500000000Z opens again"];
    assert_eq!(lines(&pods, &kitchen, &since).await, said);
    let mut followed = pods.log_stream(&kitchen, &follow).await.unwrap().lines();
    cluster.log_rotates(&kitchen);
    assert_eq!(followed.try_next().await.unwrap().as_deref(), Some("opens again"));
    assert_eq!(followed.try_next().await.unwrap(), None);
    assert!(lines(&pods, &kitchen, &LogParams::default()).await.is_empty());
}

#[tokio::test]
async fn what_never_ran_says_nothing_and_what_crashed_its_last_words() {
    let Some(cluster) = Cluster::open("words") else { return };
    let client = cluster.client(OWNER).await;
    cluster.new_pods_become(KITCHEN, Pods::without_image("kitchen:none"));
    cluster.new_pods_say(KITCHEN, &["no stove"]);
    let kitchen = run(&cluster, &client, KITCHEN).await;
    let pods = Api::<Pod>::namespaced(client, &cluster.name);
    let refused = pods.logs(&kitchen, &LogParams::default()).await.unwrap_err().to_string();
    assert!(refused.contains("is waiting to start: trying and failing to pull image"), "{refused}");

    cluster.pods_become(KITCHEN, Pods::Crashing { exit_code: 1, restarts: 2 }).await;
    let previous = LogParams { previous: true, tail_lines: Some(1), ..Default::default() };
    assert_eq!(lines(&pods, &kitchen, &previous).await, ["no stove"]);
}

/// Runs a program in a pod; returns its output, and the status of its end.
async fn exec(pods: &Api<Pod>, pod: &str, program: &[&str], input: &str) -> (String, String, i32) {
    let attached = AttachParams::default().stdin(true).stderr(true);
    let mut process: AttachedProcess =
        pods.exec(pod, program.iter().copied(), &attached).await.unwrap();
    let status = process.take_status().unwrap();
    let mut stdin = process.stdin().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    stdin.shutdown().await.unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    process.stdout().unwrap().read_to_string(&mut out).await.unwrap();
    process.stderr().unwrap().read_to_string(&mut err).await.unwrap();
    let status = status.await.unwrap();
    let causes = status.details.and_then(|details| details.causes).unwrap_or_default();
    let code = causes.iter().find(|cause| cause.reason.as_deref() == Some("ExitCode"));
    let code = code.map_or(0, |cause| cause.message.as_ref().unwrap().parse().unwrap());
    (
        out + status.status.as_deref().unwrap_or_default(),
        err + &status.reason.unwrap_or_default(),
        code,
    )
}

#[tokio::test]
async fn a_program_runs_in_a_container() {
    let Some(cluster) = Cluster::open("program") else { return };
    let client = cluster.client(OWNER).await;
    let kitchen = run(&cluster, &client, KITCHEN).await;
    let pods = Api::<Pod>::namespaced(client, &cluster.name);
    let repeat = exec(&pods, &kitchen, &["cat"], "salad").await;
    assert_eq!(repeat, ("saladSuccess".into(), String::new(), 0));
    let fail = exec(&pods, &kitchen, &["sh", "-c", "echo burnt >&2; exit 3"], "").await;
    assert_eq!(fail, ("Failure".into(), "burnt\nNonZeroExitCode".into(), 3));
    let none = exec(&pods, &kitchen, &["/nothing"], "").await;
    assert_eq!(none, ("Failure".into(), "InternalError".into(), 0));
}

#[tokio::test]
async fn bytes_pass_to_what_is_behind_a_port_until_the_pod_ends() {
    let Some(cluster) = Cluster::open("passed") else { return };
    let client = cluster.client(OWNER).await;
    let gateway = run(&cluster, &client, GATEWAY).await;
    let pods = Api::<Pod>::namespaced(client, &cluster.name);

    let mut refused = pods.portforward(&gateway, &[7373]).await.unwrap();
    let why = refused.take_error(7373).unwrap().await.unwrap();
    assert!(why.contains("connection refused"), "{why}");

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut guest, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = guest.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    cluster.put_behind(&cluster.name, GATEWAY, address);
    let mut passed = pods.portforward(&gateway, &[7373]).await.unwrap();
    let mut stream = passed.take_stream(7373).unwrap();
    let sent = vec![b'!'; 1 << 20];
    let (mut from, mut to) = tokio::io::split(&mut stream);
    let mut received = vec![0; sent.len()];
    let (written, read) = tokio::join!(to.write_all(&sent), from.read_exact(&mut received));
    assert!(written.is_ok() && read.is_ok() && received == sent);
    pods.delete(&gateway, &DeleteParams::default()).await.unwrap();
    assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0, "it is cut off");
}
