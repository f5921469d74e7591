//! A gateway proves that it holds its first admin key, before a client shows it the key.

use axum::http::{Method, StatusCode};
use contracts::api::proof::{Proof, ProofKey, parts};
use gateway::Config;
use serde_json::Value;

use crate::stage::{Stage, config, echoes};

const NONCE: [u8; 32] = [9; 32];

fn path(key: &str) -> String {
    let (id, _) = parts(key).unwrap();
    format!("/proof?key={id}&nonce={}", "09".repeat(32))
}

#[tokio::test]
async fn the_gateway_proves_the_key_that_it_was_given_and_the_port_that_it_was_told() {
    let admin = gateway::new_key().unwrap();
    for public_port in [None, Some(7373)] {
        let config = Config { public_port, ..config(&admin) };
        let stage = Stage::with_config(echoes(), config, admin.clone()).await;
        let proof: Proof = stage.ask(Method::GET, &path(&admin), None, Value::Null).await.json();
        assert_eq!(proof.port, public_port);
        let key = ProofKey::of(parts(&admin).unwrap().1);
        assert!(key.is_proven_by(&proof, &NONCE, 7373));
        assert_eq!(key.is_proven_by(&proof, &NONCE, 7374), public_port.is_none());
        // A key that was revoked is known, too: its client is told that it was.
        let id = parts(&admin).unwrap().0;
        stage.add_key("another", contracts::api::gateway::Role::Admin).await;
        let revoke = format!("/v1/keys/{id}");
        stage.ask(Method::DELETE, &revoke, Some(&admin), Value::Null).await;
        let again: Proof = stage.ask(Method::GET, &path(&admin), None, Value::Null).await.json();
        assert_eq!(again, proof);
        stage.close().await;
    }
}

#[tokio::test]
async fn a_question_about_another_key_or_without_a_nonce_is_refused() {
    let stage = Stage::open().await;
    let ask = async |path: &str| stage.ask(Method::GET, path, None, Value::Null).await.status;
    assert_eq!(ask(&path(&gateway::new_key().unwrap())).await, StatusCode::NOT_FOUND);
    let id = parts(&stage.admin).unwrap().0;
    assert_eq!(ask(&format!("/proof?key={id}&nonce=09")).await, StatusCode::NOT_FOUND);
    assert_eq!(ask(&format!("/proof?key={id}")).await, StatusCode::BAD_REQUEST);
    stage.close().await;

    let without = Config { admin_key: None, ..config("") };
    let stage = Stage::with_config(echoes(), without, gateway::new_key().unwrap()).await;
    let got = stage.ask(Method::GET, &path(&stage.admin), None, Value::Null).await;
    assert_eq!(got.problem().status, 404);
    stage.close().await;
}

#[tokio::test]
async fn questions_are_limited_for_each_address() {
    let admin = gateway::new_key().unwrap();
    let config = Config { guest_rate: gateway::Rate::new(1, 2), ..config(&admin) };
    let stage = Stage::with_config(echoes(), config, admin).await;
    let path = path(&stage.admin);
    for status in [200, 200, 429] {
        assert_eq!(stage.ask_from("192.0.2.1:1", &path).await.status, status);
    }
    assert_eq!(stage.ask_from("192.0.2.2:1", &path).await.status, StatusCode::OK);
    stage.close().await;
}
