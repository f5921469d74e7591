//! TLS to Redis: events go their way as they do openly, and nobody else is taken for Redis.

use std::sync::Arc;

use std::time::Duration;

use contracts::OrderId;
use events::Bus;
use redis_bus::Settings;
use store::tls::Trust;
use test_support::{TestAuthority, TestRedis, redis, redis_with_tls};

use crate::{
    redis_town::{Load, Town, added, subjects},
    stage::{TestStore, announce, eventually, unpublished},
};

fn bus(url: String, trust: Trust) -> Arc<dyn Bus> {
    redis_bus::open(Settings { trust, ..Settings::new(url) }).unwrap()
}

/// Returns how many connections in TLS there are.
fn in_tls(redis: &TestRedis) -> usize {
    let told: String = redis.ask(&["CLIENT", "LIST"]).unwrap();
    let port = redis.tls_url("localhost").rsplit(':').next().unwrap().to_owned();
    told.lines().filter(|client| client.contains(&format!(" laddr=127.0.0.1:{port} "))).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_go_their_way_in_tls_and_nothing_is_lost_when_redis_was_away() {
    let authority = TestAuthority::new();
    let Some(mut redis) = redis_with_tls(&authority.issue(&["localhost"])) else { return };
    let ground = &TestStore::all()[0];
    let bus = bus(redis.tls_url("localhost"), authority.trust());
    let town = Town::open_on(ground.context(bus)).await;
    let load = Load::on(town.orders.database(), subjects());
    for _ in 0..3 {
        added(&redis, 20).await;
        assert!(in_tls(&redis) > 0);
        redis.kill();
        tokio::time::sleep(Duration::from_millis(100)).await;
        redis.start();
    }
    added(&redis, 20).await;
    assert!(load.end().await > 50);
    town.settle().await;
    town.context.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_known_or_called_otherwise_or_speaks_no_tls_is_not_taken_for_redis() {
    let authority = TestAuthority::new();
    let Some(secured) = redis_with_tls(&authority.issue(&["localhost"])) else { return };
    let Some(open) = redis() else { return };
    let without_tls = open.url().replace("redis://", "rediss://");
    for (url, trust, words) in [
        (secured.tls_url("localhost"), Trust::default(), "CHEFCITO_TRUSTED_CERTIFICATES"),
        (secured.tls_url("127.0.0.1"), authority.trust(), "its certificate is for another name"),
        (without_tls, authority.trust(), "does not answer in TLS; does it have it at that port?"),
    ] {
        let (ground, bus) = (TestStore::all().swap_remove(0), bus(url, trust));
        let town = Town::open_on(ground.context(bus.clone())).await;
        announce(town.orders.database(), vec![OrderId::new(); 7]).await.unwrap();
        eventually("it is told", || async {
            let told = bus.degraded().unwrap_or_default();
            told.contains(words)
        })
        .await;
        assert_eq!(unpublished(town.orders.database()).await, 7);
        town.context.close().await;
    }
}
