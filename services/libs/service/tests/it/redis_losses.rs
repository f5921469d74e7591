//! Redis may be killed, emptied or away at any moment: nothing is lost, nothing comes twice, and events of a subject stay
//! in order.

use std::time::Duration;

use contracts::{OrderId, services::ORDERS};
use redis_bus::Settings;
use service::Service;
use test_support::{TestRedis, redis};

use crate::{
    redis_town::{Load, Town, added, length, subjects},
    stage::{NOTEBOOK, TestStore, announce, eventually},
};

/// Deals blows to Redis while services announce events, each once it carries some; then all must come to rest, with nothing lost
/// and nothing acted on twice. Returns how many events that were.
async fn under_load(
    ground: &TestStore,
    redis: &mut TestRedis,
    blows: usize,
    mut deal: impl AsyncFnMut(&mut TestRedis, &Town, usize),
) -> usize {
    let town = Town::open(ground, redis).await;
    let load = Load::on(town.orders.database(), subjects());
    for blow in 0..blows {
        added(redis, 20).await;
        deal(redis, &town, blow).await;
    }
    added(redis, 20).await;
    let announced = load.end().await;
    town.settle().await;
    town.context.close().await;
    announced
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_killed_and_comes_back_empty_loses_nothing() {
    for ground in TestStore::all() {
        let Some(mut redis) = redis() else { return };
        let kill = async |redis: &mut TestRedis, _: &Town, _| {
            redis.kill();
            tokio::time::sleep(Duration::from_millis(100)).await;
            redis.start();
        };
        assert!(under_load(&ground, &mut redis, 3, kill).await > 100);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_emptied_again_and_again_loses_nothing() {
    for ground in TestStore::all() {
        let Some(mut redis) = redis() else { return };
        let empty = async |redis: &mut TestRedis, _: &Town, _| {
            redis.ask::<()>(&["FLUSHALL"]).unwrap();
        };
        under_load(&ground, &mut redis, 10, empty).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_emptied_after_every_step_loses_nothing() {
    let ground = &TestStore::all()[0];
    let Some(redis) = redis() else { return };
    let town = Town::open(ground, &redis).await;
    let order = OrderId::new();
    for step in 0..10 {
        announce(town.orders.database(), vec![order]).await.unwrap();
        // At other moments of the way each time.
        tokio::time::sleep(Duration::from_millis(step)).await;
        redis.ask::<()>(&["FLUSHALL"]).unwrap();
    }
    town.settle().await;
    town.context.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_comes_back_with_an_old_memory_loses_nothing() {
    for ground in TestStore::all() {
        let Some(mut redis) = redis() else { return };
        let set_back = async |redis: &mut TestRedis, _: &Town, _| {
            redis.ask::<()>(&["SAVE"]).unwrap();
            tokio::time::sleep(Duration::from_millis(200)).await;
            redis.kill();
            redis.start();
        };
        under_load(&ground, &mut redis, 3, set_back).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hangs_for_a_while_loses_nothing() {
    let Some(mut redis) = redis() else { return };
    let hang = async |redis: &mut TestRedis, town: &Town, _| {
        redis.pause();
        let is_noticed = || async { !status(&town.orders).await["reason"].is_null() };
        eventually("it is noticed", is_noticed).await;
        redis.resume();
    };
    under_load(&TestStore::all()[0], &mut redis, 1, hang).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_stream_that_is_deleted_by_hand_is_noticed() {
    let Some(mut redis) = redis() else { return };
    let delete = async |redis: &mut TestRedis, _: &Town, shard: usize| {
        redis.ask::<()>(&["DEL", &format!("chefcito.events.{{{shard}}}")]).unwrap();
    };
    under_load(&TestStore::all()[0], &mut redis, 8, delete).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_lost_before_anybody_read_it_is_sent_again() {
    let ground = &TestStore::all()[0];
    for is_noticed_by_the_writer in [true, false] {
        let Some(redis) = redis() else { return };
        let context = ground.context(redis_bus::open(Settings::new(redis.url())).unwrap());
        let orders = context.open(ORDERS, NOTEBOOK).await.unwrap();
        announce(orders.database(), vec![OrderId::new()]).await.unwrap();
        added(&redis, 1).await;
        let streams: Vec<String> = redis.ask(&["KEYS", "chefcito.events.*"]).unwrap();
        let delete: Vec<&str> =
            std::iter::once("DEL").chain(streams.iter().map(String::as_str)).collect();
        redis.ask::<()>(&delete).unwrap();
        if is_noticed_by_the_writer {
            eventually("the event is on its way again", || async { length(&redis) == 1 }).await;
        }
        context.close().await;
        let town = Town::open(ground, &redis).await;
        town.settle().await;
        town.context.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_the_environment_opens_and_accepts_and_says_that_it_is_degraded() {
    let ground = &TestStore::all()[0];
    let Some(mut redis) = redis() else { return };
    redis.kill();
    let town = Town::open(ground, &redis).await;
    for _ in 0..10 {
        announce(town.orders.database(), vec![OrderId::new(); 7]).await.unwrap();
    }
    eventually("it is degraded", || async {
        let status = status(&town.orders).await;
        assert_eq!(status["ready"], true, "{status}");
        status["reason"].as_str().is_some_and(|why| why.starts_with("degraded: Redis"))
    })
    .await;
    assert_eq!(status(&town.orders).await["unpublished"], 70);
    redis.start();
    town.settle().await;
    eventually("it is no longer degraded", || async {
        status(&town.orders).await["reason"].is_null()
    })
    .await;
    assert_eq!(status(&town.kitchen).await["unhandled"], 0);
    town.context.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_refuses_writes_is_said_to_and_why() {
    let refusals: [(&[&str], &[&str], &str); 2] = [
        (&["REPLICAOF", "127.0.0.1", "1"], &["REPLICAOF", "NO", "ONE"], "read-only replica"),
        (
            &["CONFIG", "SET", "maxmemory", "1"],
            &["CONFIG", "SET", "maxmemory", "0"],
            "its memory is full",
        ),
    ];
    for (refuse, accept, why) in refusals {
        let Some(redis) = redis() else { return };
        let ground = &TestStore::all()[0];
        let town = Town::open(ground, &redis).await;
        redis.ask::<()>(refuse).unwrap();
        announce(town.orders.database(), vec![OrderId::new()]).await.unwrap();
        eventually("the refusal is told in words", || async {
            let status = status(&town.orders).await;
            status["reason"].as_str().is_some_and(|told| {
                told.starts_with("degraded: Redis refuses writes since") && told.contains(why)
            })
        })
        .await;
        redis.ask::<()>(accept).unwrap();
        town.settle().await;
        town.context.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_wrong_or_missing_is_told_in_words() {
    let Some(redis) = redis() else { return };
    let ground = &TestStore::all()[0];
    for (url, told) in [
        (redis.url_with("another"), "Redis refuses the password since"),
        (redis.url_without_account(), "Redis refuses connections since"),
    ] {
        let context = ground.context(redis_bus::open(Settings::new(url)).unwrap());
        let town = Town::open_on(context).await;
        announce(town.orders.database(), vec![OrderId::new()]).await.unwrap();
        eventually("the refusal is told in words", || async {
            let status = status(&town.orders).await;
            let reason = status["reason"].as_str().unwrap_or_default();
            reason.starts_with(&format!("degraded: {told}")) && reason.contains("address")
        })
        .await;
        assert_eq!(length(&redis), 0, "nothing goes to a Redis that refuses");
        town.context.close().await;
    }
}

#[test]
fn a_redis_with_the_account_of_the_bus_refuses_strangers_and_what_the_bus_does_not_need() {
    let Some(server) = redis() else { return };
    let ask = |url: String, command: &str| {
        let mut connection = redis::Client::open(url).unwrap().get_connection()?;
        redis::cmd(command).query::<String>(&mut connection)
    };
    let refused = ask(server.url_without_account(), "PING").unwrap_err();
    assert_eq!(refused.code(), Some("NOAUTH"), "{refused}");
    assert!(ask(server.url_with("another"), "PING").is_err());
    assert_eq!(ask(server.url(), "PING").unwrap(), "PONG");
    for command in ["FLUSHALL", "SHUTDOWN", "SAVE", "MONITOR"] {
        let refused = ask(server.url(), command).unwrap_err();
        assert_eq!(refused.code(), Some("NOPERM"), "{command}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_nothing_to_do_leaves_redis_in_peace() {
    let ground = &TestStore::all()[0];
    let Some(redis) = redis() else { return };
    let town = Town::open(ground, &redis).await;
    announce(town.orders.database(), subjects()).await.unwrap();
    town.settle().await;
    let commands = || {
        let told: String = redis.ask(&["INFO", "stats"]).unwrap();
        let count = told.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
        count.unwrap().trim().parse::<u64>().unwrap()
    };
    // The last look may still come.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let before = commands();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let asked = commands() - before;
    assert!(asked < 20, "three idle services asked Redis {asked} times in three seconds");
    town.context.close().await;
}

async fn status(service: &Service) -> serde_json::Value {
    use tower::ServiceExt as _;
    let request = axum::http::Request::get("/internal/status").body(axum::body::Body::empty());
    let answer = service.router().oneshot(request.unwrap()).await.unwrap();
    let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    serde_json::from_slice(&body).unwrap()
}
