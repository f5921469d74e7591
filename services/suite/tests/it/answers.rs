//! A house in one process and services apart give the same answers.

use std::time::Duration;

use house::{House, HouseConfig};
use suite::{Apart, Guest, converse};

const KEY: &str = "cfk_local_0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdef";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apart_and_in_one_house_the_answers_are_the_same() {
    let Some(apart) = Apart::start(1, &[]).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let config = HouseConfig {
        admin_key: KEY.into(),
        cooking_time: Some(Duration::ZERO),
        ..HouseConfig::new(folder.path().to_owned())
    };
    let house = House::open(config).await.unwrap();
    let near = Guest::new(house.address().to_string(), KEY);
    let far = apart.guest(0);
    near.furnish().await;
    far.furnish().await;
    let (near, far) = tokio::join!(converse(&near), converse(&far));
    assert_eq!(near.len(), far.len());
    for (near, far) in near.iter().zip(&far) {
        assert_eq!(near.question, far.question);
        let other: Vec<_> =
            near.answer.lines().zip(far.answer.lines()).filter(|(near, far)| near != far).collect();
        let as_long = near.answer.lines().count() == far.answer.lines().count();
        assert!(other.is_empty() && as_long, "{}: {other:#?} {}", near.question, far.answer);
    }
    house.close().await;
}
