//! Farmers who answer what nobody should believe.

use std::{io, time::Duration};

use contracts::{Ingredient, PurchaseId};
use market::{ANSWER_BYTES_MAX, Config};
use tokio::{
    io::AsyncWriteExt as _,
    net::TcpStream,
    time::{Instant, sleep},
};
use tonic::Code;

use crate::parts::{Embedded, Stranger, Told, answer};

/// What may be a sale, and is no answer.
fn nonsense() -> Vec<(&'static str, Vec<u8>)> {
    let ok = |body: &str| answer("200 OK", body);
    vec![
        ("negative", ok(r#"{"quantitySold":-5}"#)),
        ("huge", ok(r#"{"quantitySold":1000001}"#)),
        ("beyond 64 bits", ok(r#"{"quantitySold":1e400}"#)),
        ("not a number", ok(r#"{"quantitySold":NaN}"#)),
        ("a fraction", ok(r#"{"quantitySold":2.5}"#)),
        ("text", ok(r#"{"quantitySold":"5"}"#)),
        ("nothing said", ok("{}")),
        ("not JSON", ok("<html>come back tomorrow</html>")),
        ("empty", ok("")),
        ("deep", ok(&"[".repeat(4_000))),
        ("a megabyte", ok(&" ".repeat(1024 * 1024))),
        ("no content", b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()),
        ("not HTTP", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        ("half an answer", b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"quant".to_vec()),
        ("nothing", Vec::new()),
        ("a bad chunk", b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n".to_vec()),
        ("an error", answer("500 Oops", "secret words")),
        ("a timeout", answer("504 Gateway Timeout", "")),
    ]
}

#[tokio::test]
async fn nonsense_from_a_stranger_is_unknown_and_counts_nothing() {
    for (name, bytes) in nonsense() {
        let stranger = Stranger::saying(bytes).await;
        let environment = Embedded::open(stranger.config()).await;
        let purchase = PurchaseId::new();
        let told = environment.buy(purchase, Ingredient::Lemon).await.unwrap();
        assert_eq!(told, Told::Unknown, "{name}");
        assert_eq!(environment.receipt().await, ("unknown".to_owned(), 0), "{name}");
        assert_eq!(environment.buy(purchase, Ingredient::Lemon).await.unwrap(), Told::Unknown);
        assert_eq!(stranger.calls(), 1, "{name}");
    }
}

#[tokio::test]
async fn nonsense_from_one_who_can_be_asked_again_is_asked_again_by_the_same_key() {
    for (name, bytes) in nonsense() {
        let stranger = Stranger::open(move |call, mut stream: TcpStream| {
            let bytes =
                if call == 0 { bytes.clone() } else { answer("200 OK", r#"{"quantitySold":3}"#) };
            async move {
                stream.write_all(&bytes).await?;
                stream.shutdown().await
            }
        })
        .await;
        let environment = Embedded::open(Config { asks_again: true, ..stranger.config() }).await;
        let purchase = PurchaseId::new();
        let told = environment.buy(purchase, Ingredient::Lemon).await.unwrap();
        assert_eq!(told, Told::Sold(3), "{name}");
        assert_eq!(stranger.keys(), vec![purchase.to_string(); 2], "{name}");
    }
}

#[tokio::test]
async fn one_who_only_talks_nonsense_is_given_up_for_now() {
    let stranger = Stranger::saying(answer("200 OK", "the password is tomato")).await;
    let environment = Embedded::open(Config { asks_again: true, ..stranger.config() }).await;
    let status = environment.buy(PurchaseId::new(), Ingredient::Lemon).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.message(), "the farmers' market is away: its answer can't be read");
    assert_eq!(stranger.calls(), 3);
    assert_eq!(environment.receipt().await, ("open".to_owned(), 0));
}

#[tokio::test]
async fn a_drip_feed_ends_at_the_deadline() {
    let stranger = Stranger::open(|_, mut stream: TcpStream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n").await?;
        loop {
            stream.write_all(b" ").await?;
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let environment = Embedded::open(stranger.config()).await;
    let started = Instant::now();
    let told = environment.buy(PurchaseId::new(), Ingredient::Lemon).await.unwrap();
    assert_eq!(told, Told::Unknown);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test]
async fn of_an_endless_answer_little_is_read() {
    let stranger = Stranger::open(|_, mut stream: TcpStream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
        let flood = vec![b'x'; 64 * 1024];
        let mut written = 0_usize;
        loop {
            if stream.write_all(&flood).await.is_err() {
                // What is in the buffers of the two ends is not ours to choose.
                assert!(written < 64 * 1024 * 1024, "{written} bytes");
                return io::Result::Ok(());
            }
            written += flood.len();
        }
    })
    .await;
    let patient = Config { call_max: Duration::from_secs(30), ..stranger.config() };
    let environment = Embedded::open(patient).await;
    let started = Instant::now();
    let told = environment.buy(PurchaseId::new(), Ingredient::Lemon).await.unwrap();
    assert_eq!(told, Told::Unknown);
    assert!(started.elapsed() < Duration::from_secs(5), "{ANSWER_BYTES_MAX} bytes are read soon");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let trap = Stranger::saying(answer("200 OK", r#"{"quantitySold":9}"#)).await;
    let to = trap.config().market_url;
    let head = format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
    let stranger = Stranger::saying(head.into_bytes()).await;
    let environment = Embedded::open(stranger.config()).await;
    let told = environment.buy(PurchaseId::new(), Ingredient::Lemon).await.unwrap();
    assert_eq!(told, Told::Unknown);
    assert_eq!((stranger.calls(), trap.calls()), (1, 0));
}

#[tokio::test]
async fn a_refusal_is_no_sale_and_may_be_asked_for_again_later() {
    let stranger = Stranger::open(|call, mut stream: TcpStream| async move {
        let bytes = match call {
            0 => answer("403 Forbidden", "your token abc is wrong"),
            _ => answer("200 OK", r#"{"quantitySold":2}"#),
        };
        stream.write_all(&bytes).await?;
        stream.shutdown().await
    })
    .await;
    let environment = Embedded::open(stranger.config()).await;
    let purchase = PurchaseId::new();
    let status = environment.buy(purchase, Ingredient::Lemon).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(status.message(), "the farmers' market refuses the purchase: it answers 403");
    assert_eq!(stranger.calls(), 1);
    assert_eq!(environment.receipt().await, ("open".to_owned(), 0));
    assert_eq!(environment.buy(purchase, Ingredient::Lemon).await.unwrap(), Told::Sold(2));
}
