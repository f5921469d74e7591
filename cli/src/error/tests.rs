//! Errors of requests to the gateway, as users see them.

use std::{error::Error, net::SocketAddr, time::Duration};

use client::Client;
use contracts::api::proof::ProofKey;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::*;

/// Serves this one answer to each client that the gateway's key was proven to, and returns a client for it.
async fn door(answer: &'static str) -> (SocketAddr, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let asked = heard(&mut stream).await;
            assert!(!asked.contains("secret"), "{asked}");
            let nonce = asked.split(' ').nth(1).unwrap().rsplit_once('=').unwrap().1;
            let proof = ProofKey::of("secret").prove(nonce, None).unwrap();
            let proof = serde_json::to_string(&proof).unwrap();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", proof.len());
            stream.write_all(format!("{head}{proof}").as_bytes()).await.unwrap();
            let asked = heard(&mut stream).await;
            assert!(asked.contains("authorization: Bearer cfk_guest_secret"), "{asked}");
            stream.write_all(answer.as_bytes()).await.unwrap();
            if !answer.contains("connection: close") {
                open.push(stream);
            }
        }
    });
    (address, Client::new(address, "cfk_guest_secret\n").unwrap())
}

async fn heard(stream: &mut TcpStream) -> String {
    let mut heard = vec![0; 4096];
    let length = stream.read(&mut heard).await.unwrap();
    String::from_utf8_lossy(&heard[..length]).into_owned()
}

/// Returns the text of an error with its causes, as the user sees it; addresses have no port.
fn said(address: SocketAddr, error: ClientError) -> String {
    let error = CliError::from(error);
    let mut said = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(because) = cause {
        said.push(because.to_string());
        cause = because.source();
    }
    format!("{} ({})", said.join(": "), error.exit_code()).replace(&address.to_string(), "ADDRESS")
}

async fn refused(answer: &'static str) -> String {
    let (address, client) = door(answer).await;
    let error = client.get::<Value>("/v1/stock").await.unwrap_err();
    said(address, error)
}

#[tokio::test]
async fn a_problem_keeps_its_own_text() {
    let answer = "HTTP/1.1 422 No\r\nconnection: close\r\n\r\n{\"type\":\"/problems/unknown-dish\",\
                  \"title\":\"Unknown dish\",\"status\":422,\"detail\":\"there is no `soup` on the menu\"}";
    insta::assert_snapshot!(refused(answer).await, @"Unknown dish (422): there is no `soup` on the menu (1)");
}

#[tokio::test]
async fn a_temporary_refusal_has_a_reason_and_a_time_to_wait() {
    let hint = async |answer| {
        let (_address, client) = door(answer).await;
        CliError::from(client.get::<Value>("/v1/stock").await.unwrap_err()).hint().unwrap()
    };
    insta::assert_snapshot!(
        hint("HTTP/1.1 429 x\r\nretry-after: 7\r\nconnection: close\r\n\r\n").await,
        @"wait 7 s, then send fewer requests: CHEFCITO_RATE_LIMIT at `chefcito up` is the limit of each key"
    );
    insta::assert_snapshot!(
        hint("HTTP/1.1 503 x\r\nretry-after: 1\r\nconnection: close\r\n\r\n{\"type\":\"/problems/busy\",\
              \"title\":\"Too much waits already\",\"status\":503}").await,
        @"wait 1 s, then retry, or send a smaller request"
    );
    insta::assert_snapshot!(
        hint("HTTP/1.1 503 x\r\nconnection: close\r\n\r\n{\"type\":\"/problems/unavailable\",\
              \"title\":\"The service can't answer now\",\"status\":503}").await,
        @"wait a moment, then retry; `chefcito status` shows which service is not ready, and why"
    );
}

#[tokio::test]
async fn an_answer_without_a_problem_document_is_reported_by_its_status() {
    insta::assert_snapshot!(
        refused("HTTP/1.1 502 x\r\nconnection: close\r\n\r\n<h1>Bad</h1>").await,
        @"Bad Gateway (502): <h1>Bad</h1> (1)"
    );
    insta::assert_snapshot!(refused("HTTP/1.1 404 x\r\nconnection: close\r\n\r\n").await, @"Not Found (404) (1)");
}

#[tokio::test]
async fn an_answer_outside_of_the_api_is_reported() {
    insta::assert_snapshot!(
        refused("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello").await,
        @"the environment answered `GET /v1/stock` with something that this chefcito can't read: expected value at line 1 column 1 (1)"
    );
    insta::assert_snapshot!(
        refused("HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\nhe").await,
        @"the environment at ADDRESS hung up on `GET /v1/stock`: error reading a body from connection: end of file before message length reached (1)"
    );
}

#[tokio::test]
async fn a_late_answer_is_not_waited_for() {
    let (address, client) = door("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n").await;
    let client = client.waiting(Duration::from_millis(50));
    let error = client.post::<Value>("/v1/orders", &json!({})).await.unwrap_err();
    insta::assert_snapshot!(said(address, error), @"the environment at ADDRESS did not answer `POST /v1/orders` within 50ms (1)");
}

#[tokio::test]
async fn no_gateway_is_reported() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = Client::new(address, "cfk_guest_secret").unwrap();
    drop(listener);
    let error = client.delete("/v1/keys/1").await.unwrap_err();
    assert!(matches!(error, ClientError::NobodyThere { .. }));
    assert!(said(address, error).starts_with("the environment at ADDRESS does not answer: "));
}

#[test]
fn a_key_that_can_not_be_sent_is_no_key() {
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    for none in ["", "secret", "cfk_guest_\u{7f}", "cfk_g/t_secret"] {
        assert!(matches!(Client::new(address, none), Err(client::NotAKey)), "{none:?}");
    }
}
