//! Two houses on the same data, a port that is taken, a URL that is none: said, and nothing broken.

use std::error::Error as _;

use house::{House, HouseConfig, HouseError};

use crate::evening::{Evening, Ground};

#[tokio::test]
async fn a_port_that_is_taken_is_said_and_the_other_house_goes_on() {
    let first = Ground::sqlite();
    let evening = Evening::first(first.config()).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let second = Ground::sqlite();
    let config = HouseConfig { address: taken.local_addr().unwrap(), ..second.config() };
    let error = House::open(config).await.unwrap_err();
    let source = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
    assert_eq!(source.map(std::io::Error::kind), Some(std::io::ErrorKind::AddrInUse));
    evening.guest_orders("pizza").await;
    evening.settle().await;
    evening.close().await;
}

#[tokio::test]
async fn settings_that_are_none_are_named() {
    let ground = Ground::sqlite();
    let config = HouseConfig { market_url: Some("not a URL".into()), ..ground.config() };
    assert!(matches!(House::open(config).await, Err(HouseError::MarketUrl { .. })));
    let config = HouseConfig { database_url: Some("http://nowhere".into()), ..ground.config() };
    assert!(matches!(
        House::open(config).await,
        Err(HouseError::Service(_) | HouseError::Plaza(_))
    ));
}
