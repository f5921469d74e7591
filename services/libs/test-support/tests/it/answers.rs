//! An environment in one process and services apart give the same answers.

use std::time::Duration;

use embedded::{Embedded, EmbeddedConfig};
use test_support::{Guest, ProcessCluster, converse};

const KEY: &str = "cfk_local_0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdef";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apart_and_in_one_environment_the_answers_are_the_same() {
    let Some(apart) = ProcessCluster::start(1, &[]).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig {
        admin_key: KEY.into(),
        cooking_time: Some(Duration::ZERO),
        ..EmbeddedConfig::new(folder.path().to_owned())
    };
    let environment = Embedded::open(config).await.unwrap();
    let near = Guest::new(environment.address().to_string(), KEY);
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
    environment.close().await;
}
