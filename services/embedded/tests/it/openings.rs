//! Two environments on the same data, a port that is taken, a URL that is none: said, and nothing broken.

use std::error::Error as _;

use embedded::{Embedded, EmbeddedConfig, EmbeddedError};

use crate::evening::{Evening, TestStore};

#[tokio::test]
async fn a_port_that_is_taken_is_said_and_the_other_environment_goes_on() {
    let first = TestStore::sqlite();
    let evening = Evening::first(first.config()).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let second = TestStore::sqlite();
    let config = EmbeddedConfig { address: taken.local_addr().unwrap(), ..second.config() };
    let error = Embedded::open(config).await.unwrap_err();
    let source = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
    assert_eq!(source.map(std::io::Error::kind), Some(std::io::ErrorKind::AddrInUse));
    evening.guest_orders("pizza").await;
    evening.settle().await;
    evening.close().await;
}

#[tokio::test]
async fn settings_that_are_none_are_named() {
    let ground = TestStore::sqlite();
    let config = EmbeddedConfig { market_url: Some("not a URL".into()), ..ground.config() };
    assert!(matches!(Embedded::open(config).await, Err(EmbeddedError::MarketUrl { .. })));
    let config = EmbeddedConfig { database_url: Some("http://nowhere".into()), ..ground.config() };
    assert!(matches!(
        Embedded::open(config).await,
        Err(EmbeddedError::Service(_) | EmbeddedError::MarketSim(_))
    ));
}
