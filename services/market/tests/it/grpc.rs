//! The market alone, over HTTP/2.

use std::time::Duration;

use contracts::{
    PurchaseId,
    market::{BuyRequest, market_client::MarketClient},
};
use market::{GRPC_CONNECTIONS_MAX, GRPC_REQUESTS_BYTES_MAX};
use serde_json::json;
use service::token::ServiceToken;
use tokio::{io::AsyncReadExt as _, net::TcpStream, task::JoinSet, time::timeout};
use tonic::{Code, Request, transport::Endpoint};

use crate::parts::{Embedded, Farmers, Stranger, Told, WAIT_MAX, told};

#[tokio::test]
async fn it_sells_over_the_network_as_in_process() {
    let farmers = Farmers::open().await;
    farmers.tell(json!({"zeros": 0, "quantity_min": 2, "quantity_max": 2})).await;
    let environment = Embedded::open(farmers.config()).await;
    let address = environment.market.serve_grpc(([127, 0, 0, 1], 0).into(), None).await.unwrap();
    let channel = Endpoint::new(format!("http://{address}")).unwrap().connect().await.unwrap();
    let mut client = MarketClient::new(channel);

    let purchase = PurchaseId::new().to_string();
    let request = BuyRequest { purchase: purchase.clone(), ingredient: "lemon".into() };
    let response = client.buy(request).await.unwrap().into_inner();
    assert_eq!(told(response), Told::Sold(2));

    let nonsense = BuyRequest { purchase, ingredient: "gold".into() };
    assert_eq!(client.buy(nonsense).await.unwrap_err().code(), Code::InvalidArgument);
    let large = BuyRequest { purchase: "x".repeat(100_000), ingredient: "lemon".into() };
    assert_eq!(client.buy(large).await.unwrap_err().code(), Code::OutOfRange);
    environment.context.close().await;
}

#[tokio::test]
async fn where_there_is_a_token_only_who_shows_it_buys() {
    let farmers = Farmers::open().await;
    farmers.tell(json!({"zeros": 0, "quantity_min": 2, "quantity_max": 2})).await;
    let environment = Embedded::open(farmers.config()).await;
    let token = ServiceToken::parse("a-token-for-tests").unwrap();
    let anywhere = ([127, 0, 0, 1], 0).into();
    let address = environment.market.serve_grpc(anywhere, Some(token)).await.unwrap();
    let channel = Endpoint::new(format!("http://{address}")).unwrap().connect().await.unwrap();
    let mut client = MarketClient::new(channel);
    let mut buy = async |shown: Option<&'static str>| {
        let purchase = PurchaseId::new().to_string();
        let mut request = Request::new(BuyRequest { purchase, ingredient: "lemon".into() });
        if let Some(shown) = shown {
            request.metadata_mut().insert("x-chefcito-service-token", shown.parse().unwrap());
        }
        client.buy(request).await.map(|response| told(response.into_inner()))
    };
    assert_eq!(buy(None).await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(buy(Some("a-token-for-testS")).await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(buy(Some("a-token-for-tests")).await.unwrap(), Told::Sold(2));
    environment.context.close().await;
}

fn lemon() -> BuyRequest {
    BuyRequest { purchase: PurchaseId::new().to_string(), ingredient: "lemon".into() }
}

#[tokio::test]
async fn requests_of_all_connections_that_find_no_room_are_refused_at_once() {
    let silent = Stranger::open(|_, _stream| std::future::pending()).await;
    let environment = Embedded::open(silent.config()).await;
    let anywhere = ([127, 0, 0, 1], 0).into();
    let address = environment.market.serve_grpc(anywhere, None).await.unwrap();
    let endpoint = Endpoint::new(format!("http://{address}")).unwrap();
    let figure = |name: &str, value: usize| {
        let line = format!("chefcito_grpc_bodies_{name}{{service=\"market\"}} {value}\n");
        environment.context.metrics.text().contains(&line)
    };
    let figures =
        |bytes: usize, refused: usize| figure("bytes", bytes) && figure("refused_total", refused);
    let until = async |bytes, refused| {
        let reached = async {
            while !figures(bytes, refused) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let reached = timeout(WAIT_MAX, reached).await;
        assert!(reached.is_ok(), "{}", environment.context.metrics.text());
    };

    // The largest requests fill the room: 1,024 of them, from 8 connections.
    let mut under_way = JoinSet::new();
    for _ in 0..8 {
        let client = MarketClient::new(endpoint.connect().await.unwrap());
        for _ in 0..GRPC_REQUESTS_BYTES_MAX / (4 * 1024) / 8 {
            let mut client = client.clone();
            under_way.spawn(async move { client.buy(lemon()).await.map(drop) });
        }
    }
    until(GRPC_REQUESTS_BYTES_MAX, 0).await;
    let mut client = MarketClient::new(endpoint.connect().await.unwrap());
    let refused = client.buy(lemon()).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(
        refused.message(),
        "the bodies of other requests leave no room for this one: ask again"
    );
    // On a busy machine, the first ones may have waited as long as they may by now, and have left.
    assert!(figure("refused_total", 1), "{}", environment.context.metrics.text());

    // Callers that have gone need no room.
    under_way.abort_all();
    until(0, 1).await;
    let nonsense = BuyRequest { ingredient: "gold".into(), ..lemon() };
    assert_eq!(client.buy(nonsense).await.unwrap_err().code(), Code::InvalidArgument);
    environment.context.close().await;
}

#[tokio::test]
async fn connections_beyond_the_maximum_wait_to_be_accepted() {
    let farmers = Farmers::open().await;
    farmers.tell(json!({"zeros": 0, "quantity_min": 2, "quantity_max": 2})).await;
    let environment = Embedded::open(farmers.config()).await;
    let anywhere = ([127, 0, 0, 1], 0).into();
    let address = environment.market.serve_grpc(anywhere, None).await.unwrap();
    let mut open = Vec::new();
    for _ in 0..GRPC_CONNECTIONS_MAX {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The server's settings: it has accepted the connection.
        stream.read_u8().await.unwrap();
        open.push(stream);
    }
    let endpoint = Endpoint::new(format!("http://{address}")).unwrap();
    let mut client = MarketClient::new(endpoint.connect_lazy());
    let mut asked = Box::pin(client.buy(lemon()));
    assert!(timeout(Duration::from_millis(300), &mut asked).await.is_err(), "it was accepted");
    open.pop();
    let response = timeout(WAIT_MAX, asked).await.expect("there is room again").unwrap();
    assert_eq!(told(response.into_inner()), Told::Sold(2));
    drop(open);
    environment.context.close().await;
}
