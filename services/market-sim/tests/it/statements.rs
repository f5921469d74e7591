//! Every statement, on both engines; and a sale on PostgreSQL.

use axum::http::StatusCode;
use market_sim::{MANY, MarketSim, POSTGRESQL_STATEMENTS, STATEMENTS};
use serde_json::json;
use service::ServiceContext;
use store::{Clock, Location};

use crate::{Stand, preset};

#[tokio::test]
async fn sqlite_understands_every_statement() {
    let stand = Stand::open().await;
    let location = Location::Folder {
        folder: stand.folder.path().to_owned(),
        durability: store::Durability::Process,
    };
    prepare_all(location).await;
}

#[tokio::test]
async fn two_simulated_markets_that_open_at_once_are_one() {
    let Some(database) = test_support::postgres() else { return };
    let floors = [(); 2]
        .map(|()| ServiceContext::new(database.location(), events::in_process(), Clock::System));
    let [first, second] = &floors;
    let preset =
        || preset(json!({"delay_ms": 0, "quantity_min": 2, "quantity_max": 2, "zeros": 0}));
    let (first, second) =
        tokio::join!(MarketSim::open(first, preset()), MarketSim::open(second, preset()));
    let stands = [first, second].map(|market_sim| Stand {
        context: floors[0].clone(),
        router: market_sim.unwrap().router(),
        folder: tempfile::tempdir().unwrap(),
    });
    for stand in &stands {
        assert_eq!(stand.buy("lemon").await, 2);
    }
    // What each is told at the same time is told to both.
    let [one, other] = &stands;
    tokio::join!(one.set(json!({"quantity_max": 7})), other.set(json!({"delay_ms": 1})));
    for stand in &stands {
        let (_, told) = stand.get("/v1/market").await;
        assert_eq!(
            (&told["settings"]["quantity_max"], &told["settings"]["delay_ms"]),
            (&json!(7), &json!(1))
        );
        assert_eq!(stand.sales().await, 2);
    }
    for context in floors {
        context.close().await;
    }
}

#[tokio::test]
async fn postgresql_understands_every_statement_and_sells() {
    let Some(database) = test_support::postgres() else { return };
    let context = ServiceContext::new(database.location(), events::in_process(), Clock::System);
    let router = MarketSim::open(&context, preset(json!({"delay_ms": 0}))).await.unwrap().router();
    prepare_all(database.location()).await;

    let stand = Stand { context, router, folder: tempfile::tempdir().unwrap() };
    let (status, first) = stand.buy_with("monday", "lemon").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(stand.buy_with("monday", "lemon").await, (StatusCode::OK, first));
    stand.set(json!({"zeros": 1, "seed": u64::MAX})).await;
    assert_eq!(stand.buy("rice").await, 0);
    assert_eq!(stand.sales().await, 2);
    stand.context.close().await;
}

/// Prepares every statement in a database that a simulated market has opened before.
async fn prepare_all(location: Location) {
    let context = ServiceContext::new(location, events::in_process(), Clock::System);
    let none = store::Migrations { owner: "market_sim_statements", steps: &[] };
    let service = context.open("market-sim", none).await.unwrap();
    let of_one: &[&str] = match service.database().engine() {
        "postgresql" => &POSTGRESQL_STATEMENTS,
        _ => &[],
    };
    let prepared = service.database().write(move |tx| {
        STATEMENTS.iter().chain(of_one).try_for_each(|sql| tx.prepare(sql))?;
        tx.prepare_all(&MANY)
    });
    prepared.await.unwrap();
    context.close().await;
}
