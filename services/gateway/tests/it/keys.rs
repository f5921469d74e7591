//! Keys: made, listed, revoked, and of their secrets nothing kept.

use std::sync::Arc;

use axum::http::{Method, StatusCode};
use contracts::api::gateway::{Keys, Role};
use gateway::{Config, Gateway};
use serde_json::{Value, json};

use crate::stage::{Stage, config, echoes};

#[tokio::test]
async fn a_key_works_from_when_it_is_made_until_it_is_revoked() {
    let stage = Stage::open().await;
    let added = stage.add_key("the waiter's tablet", Role::Manager).await;
    assert!(added.secret.starts_with(&format!("cfk_{}_", added.key.id)));
    let asked =
        async |key: &str| stage.ask(Method::GET, "/v1/orders", Some(key), Value::Null).await;
    assert_eq!(asked(&added.secret).await.status, StatusCode::OK);

    let path = format!("/v1/keys/{}", added.key.id);
    for _ in 0..2 {
        let got = stage.ask(Method::DELETE, &path, Some(&stage.admin), Value::Null).await;
        assert_eq!(got.status, StatusCode::NO_CONTENT);
        assert_eq!(asked(&added.secret).await.status, StatusCode::UNAUTHORIZED);
    }
    let keys: Keys = stage.get("/v1/keys").await.json();
    let names: Vec<(&str, bool)> =
        keys.keys.iter().map(|key| (key.name.as_str(), key.revoked_at.is_some())).collect();
    assert_eq!(names, [("first admin", false), ("the waiter's tablet", true)]);
    stage.close().await;
}

#[tokio::test]
async fn a_key_that_one_gateway_made_is_known_to_the_other_at_once() {
    let Some(database) = test_support::postgres() else { return };
    let admin = gateway::new_key().unwrap();
    let open =
        async || Stage::at(database.location(), echoes(), config(&admin), admin.clone()).await;
    let (one, other) = (open().await, open().await);
    for _ in 0..5 {
        let added = one.add_key("a guest", Role::Viewer).await;
        let asked = other.ask(Method::GET, "/v1/orders", Some(&added.secret), Value::Null);
        assert_eq!(asked.await.status, StatusCode::OK);
        let path = format!("/v1/keys/{}", added.key.id);
        other.ask(Method::DELETE, &path, Some(&admin), Value::Null).await;
        // One that was revoked elsewhere is known for a second more at the most.
        let began = std::time::Instant::now();
        while one.ask(Method::GET, "/v1/orders", Some(&added.secret), Value::Null).await.status
            == StatusCode::OK
        {
            assert!(began.elapsed().as_secs() < 20);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
    one.close().await;
    other.close().await;
}

#[tokio::test]
async fn the_last_admin_key_stays() {
    let stage = Stage::open().await;
    let first = stage.admin.split('_').nth(1).unwrap().to_owned();
    let revoke = async |id: &str, by: &str| {
        stage.ask(Method::DELETE, &format!("/v1/keys/{id}"), Some(by), Value::Null).await
    };
    let got = revoke(&first, &stage.admin).await;
    assert_eq!(
        (got.status, got.problem().kind.as_str()),
        (StatusCode::CONFLICT, "/problems/last-admin")
    );
    let second = stage.add_key("second", Role::Admin).await;
    assert_eq!(revoke(&first, &second.secret).await.status, StatusCode::NO_CONTENT);
    assert_eq!(revoke(&second.key.id, &second.secret).await.status, StatusCode::CONFLICT);
    assert_eq!(revoke("nobody", &second.secret).await.status, StatusCode::NOT_FOUND);
    stage.close().await;
}

#[tokio::test]
async fn keys_outlive_a_restart_and_no_secret_is_on_disk() {
    let stage = Stage::open().await;
    let guest = stage.add_key("a guest", Role::Viewer).await.secret;
    let (folder, admin) = (Arc::clone(&stage.folder), stage.admin.clone());
    stage.close().await;

    for file in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for key in [&guest, &admin] {
            let secret = key.rsplit('_').next().unwrap().as_bytes();
            assert!(!bytes.windows(secret.len()).any(|window| window == secret));
        }
    }
    let stage =
        Stage::in_folder(Arc::clone(&folder), echoes(), config(&admin), admin.clone()).await;
    let got = stage.ask(Method::GET, "/v1/orders", Some(&guest), Value::Null).await;
    assert_eq!(got.status, StatusCode::OK);
    stage.close().await;

    // Another pepper makes other hashes: only the first admin key is made sure of again.
    let other = Config { key_pepper: "another".into(), ..config(&admin) };
    let stage = Stage::in_folder(folder, echoes(), other, admin).await;
    let got = stage.ask(Method::GET, "/v1/orders", Some(&guest), Value::Null).await;
    assert_eq!(got.status, StatusCode::UNAUTHORIZED);
    assert_eq!(stage.get("/v1/orders").await.status, StatusCode::OK);
    stage.close().await;
}

#[tokio::test]
async fn a_first_admin_key_that_was_revoked_stays_revoked_until_its_secret_is_another() {
    for database in [None, test_support::postgres()] {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let open = async |admin: &str| match &database {
            Some(database) => {
                Stage::at(database.location(), echoes(), config(admin), admin.to_owned()).await
            }
            None => {
                Stage::in_folder(Arc::clone(&folder), echoes(), config(admin), admin.to_owned())
                    .await
            }
        };
        let first = format!("cfk_local_{}", "1".repeat(64));
        let stage = open(&first).await;
        let second = stage.add_key("second", Role::Admin).await.secret;
        let got = stage.ask(Method::DELETE, "/v1/keys/local", Some(&second), Value::Null).await;
        assert_eq!(got.status, StatusCode::NO_CONTENT);
        stage.close().await;

        let stage = open(&first).await;
        assert_eq!(stage.get("/v1/orders").await.status, StatusCode::UNAUTHORIZED);
        let got = stage.ask(Method::GET, "/v1/keys", Some(&second), Value::Null).await;
        assert!(got.json::<Keys>().keys.iter().any(|key| key.revoked_at.is_some()));
        stage.close().await;

        let stage = open(&format!("cfk_local_{}", "2".repeat(64))).await;
        assert_eq!(stage.get("/v1/orders").await.status, StatusCode::OK, "another secret");
        let got = stage.ask(Method::GET, "/v1/orders", Some(&first), Value::Null).await;
        assert_eq!(got.status, StatusCode::UNAUTHORIZED);
        stage.close().await;
    }
}

#[tokio::test]
async fn a_key_without_a_name_or_with_an_unknown_role_is_not_made() {
    let stage = Stage::open().await;
    for body in [
        json!({"name": "", "role": "viewer"}),
        json!({"name": "x".repeat(65), "role": "viewer"}),
        json!({"name": "two\nlines", "role": "viewer"}),
        json!({"name": "cook", "role": "cook"}),
        json!({"name": "cook", "role": "viewer", "unlimited": true}),
    ] {
        let got = stage.ask(Method::POST, "/v1/keys", Some(&stage.admin), body).await;
        assert_eq!(got.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", got.text());
        got.problem();
    }
    stage.close().await;
}

#[tokio::test]
async fn an_admin_key_that_is_none_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let location = store::Location::Folder {
        folder: folder.path().to_owned(),
        durability: store::Durability::Process,
    };
    let context =
        service::ServiceContext::new(location, events::in_process(), store::Clock::System);
    let opened = Gateway::open(&context, config("let me in"), echoes()).await;
    insta::assert_snapshot!(opened.unwrap_err(), @"the admin key should be like cfk_local_…, with a secret of 32 to 128 letters and digits");
    context.close().await;
}
