//! What services of one process log goes to the file of the one that it is of, wherever in the process it is said. A binary of
//! its own: logs are started once a process.

use std::{sync::Arc, time::Duration};

use contracts::{OrderId, events::CancellationRequested};
use events::Announce as _;
use service::{
    Pace, ServiceContext,
    telemetry::{self, Destination},
};
use store::{Clock, Durability, Location, Migrations, StoreError};

const NOTHING: Migrations = Migrations { owner: "nothing", steps: &[] };

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_writers_workers_and_consumers_are_in_the_file_of_their_service() {
    let (data, logs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let guard = telemetry::start("info", Destination::Folder(logs.path().to_owned())).unwrap();
    let location =
        Location::Folder { folder: data.path().to_owned(), durability: Durability::Process };
    let context = ServiceContext::new(location, events::in_process(), Clock::System);
    let orders = context.open("orders", NOTHING).await.unwrap();
    let mut kitchen = context.open("kitchen", NOTHING).await.unwrap();
    kitchen.consume(|_, _, _| panic!("poison"));
    let order = OrderId::new();
    let announce = move |tx: &mut store::Tx<'_>| {
        tx.announce(&CancellationRequested { order });
        Ok(())
    };
    orders.database().write(announce).await.unwrap();
    let idle = Duration::from_secs(60);
    orders
        .work("baker", Arc::default(), idle, async || Err::<Pace, _>(StoreError::engine("burnt")));

    let log = |service: &str| {
        std::fs::read_to_string(logs.path().join(format!("{service}.log"))).unwrap_or_default()
    };
    let expected = [
        ("kitchen", "Work panicked: poison"),
        ("kitchen", "Set aside event"),
        ("orders", "The worker baker failed"),
    ];
    for _ in 0..1_000 {
        if expected.iter().all(|(service, line)| log(service).contains(line)) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for (service, line) in expected {
        assert!(log(service).contains(line), "{line} is not in {service}.log:\n{}", log(service));
    }
    for service in ["kitchen", "orders"] {
        let said = format!(r#""service":"{service}""#);
        assert!(log(service).lines().all(|line| line.contains(&said)), "{}", log(service));
    }
    assert_eq!(log("environment"), "");
    context.close().await;
    drop(guard);
}
