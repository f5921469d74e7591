//! The market service is called over gRPC, here in process.

use std::{
    convert::Infallible,
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{body::Bytes, http};
use contracts::{
    Ingredient, PurchaseId,
    market::{
        BuyRequest, BuyResponse,
        buy_response::Outcome,
        market_server::{Market as MarketService, MarketServer},
    },
};
use http_body_util::{BodyExt as _, Full};
use inventory::{ANSWER_BYTES_MAX, Answer, GrpcMarket, Market, MarketError};
use service::ServiceContext;
use store::{Clock, Durability, Location};
use tokio_util::sync::CancellationToken;
use tonic::{
    Request, Response, Status,
    service::interceptor::InterceptedService,
    transport::{Server, server::TcpIncoming},
};

/// Sells 3 lemons, does not know about rice, and has no other word for anything.
struct Farmer;

#[tonic::async_trait]
impl MarketService for Farmer {
    async fn buy(&self, request: Request<BuyRequest>) -> Result<Response<BuyResponse>, Status> {
        let BuyRequest { purchase, ingredient } = request.into_inner();
        assert!(purchase.parse::<PurchaseId>().is_ok());
        let answer = |outcome: Outcome, quantity_sold| {
            Ok(Response::new(BuyResponse { outcome: outcome.into(), quantity_sold }))
        };
        match ingredient.as_str() {
            "lemon" => answer(Outcome::Sold, 3),
            "rice" => answer(Outcome::Unknown, 0),
            "meat" => answer(Outcome::Unspecified, 0),
            _ => Err(Status::unavailable("the farmers are asleep")),
        }
    }
}

#[tokio::test]
async fn what_the_market_service_says_is_what_the_buyer_hears() {
    let market = GrpcMarket::new(MarketServer::new(Farmer));
    let buy = async |ingredient| market.buy(PurchaseId::new(), ingredient).await;
    assert_eq!(buy(Ingredient::Lemon).await.unwrap(), Answer::Sold(3));
    assert_eq!(buy(Ingredient::Rice).await.unwrap(), Answer::Unknown);
    assert!(matches!(buy(Ingredient::Meat).await, Err(MarketError::Failed { .. })));
    let asleep = buy(Ingredient::Onion).await.unwrap_err().to_string();
    assert!(asleep.contains("the farmers are asleep"), "{asleep}");
}

/// Returns the bytes of an answer that sold so many, with a field that this version does not know so that it has `bytes` at least.
pub(crate) fn answer(quantity_sold: u32, bytes: usize) -> Vec<u8> {
    let number = |mut rest: usize| {
        let mut bytes = Vec::new();
        while rest >= 0x80 {
            bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
        bytes
    };
    let sold = [&[0x08, Outcome::Sold as u8, 0x10], &*number(quantity_sold as usize)].concat();
    // A field of bytes has a key of one byte and a length of two.
    match bytes.checked_sub(sold.len() + 3) {
        None => sold,
        Some(more) => [&*sold, &[0x7a], &*number(more), &vec![b'x'; more]].concat(),
    }
}

/// Makes a market service of the messages of its answers, told the number of the call, from 0; and counts the calls.
pub(crate) fn raw_market(
    answer: impl Fn(usize) -> Vec<Vec<u8>> + Clone + Send + Sync + 'static,
    status_is_first: bool,
) -> (impl Market, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let service = tower::service_fn(move |_: http::Request<tonic::body::Body>| {
        let mut bytes = Vec::new();
        for message in answer(counted.fetch_add(1, Ordering::Relaxed)) {
            let length = u32::try_from(message.len()).unwrap().to_be_bytes();
            bytes.extend([&[0], &length[..], &message].concat());
        }
        let status = http::HeaderMap::from_iter([(
            http::HeaderName::from_static("grpc-status"),
            http::HeaderValue::from_static("0"),
        )]);
        let mut response = http::Response::builder().header("content-type", "application/grpc");
        let mut trailers = None;
        match status_is_first {
            true => response.headers_mut().unwrap().extend(status),
            false => trailers = Some(Ok(status)),
        }
        let body = Full::<Bytes>::from(bytes).with_trailers(ready(trailers));
        ready(Ok::<_, Infallible>(response.body(tonic::body::Body::new(body)).unwrap()))
    });
    (GrpcMarket::new(service), calls)
}

#[tokio::test]
async fn an_answer_beyond_the_contract_is_no_answer() {
    let buy = async |messages: Vec<Vec<u8>>, status_is_first| {
        let (market, _) = raw_market(move |_| messages.clone(), status_is_first);
        let bought = market.buy(PurchaseId::new(), Ingredient::Lemon).await;
        bought.map_err(|error| error.to_string())
    };
    assert_eq!(answer(3, ANSWER_BYTES_MAX).len(), ANSWER_BYTES_MAX);
    for status_is_first in [false, true] {
        let buy = async |messages| buy(messages, status_is_first).await;
        assert_eq!(buy(vec![answer(1_000_000, 0)]).await, Ok(Answer::Sold(1_000_000)));
        assert_eq!(buy(vec![answer(3, ANSWER_BYTES_MAX)]).await, Ok(Answer::Sold(3)));
        let many = buy(vec![answer(1_000_001, 0)]).await.unwrap_err();
        assert!(many.contains("1000001, and 1000000 is the most"), "{many}");
        let large = buy(vec![answer(3, ANSWER_BYTES_MAX + 1)]).await.unwrap_err();
        assert!(large.contains("limit"), "{large}");
        let often = buy(vec![answer(3, 0); 1_000]).await.unwrap_err();
        assert!(often.contains("limit"), "{often}");
    }
}

#[tokio::test]
async fn a_market_that_is_not_there_is_an_error_and_not_a_hang() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let context = context();
    let market = GrpcMarket::at(&context, &format!("http://{nobody}")).unwrap();
    assert!(market.buy(PurchaseId::new(), Ingredient::Lemon).await.is_err());
    assert!(GrpcMarket::at(&context, "not an address").is_err());
    context.close().await;
}

/// Serves the farmer at an address until it is told to stop; counts what it sold.
fn serve(listener: std::net::TcpListener) -> (CancellationToken, Arc<AtomicUsize>) {
    let (stop, sold) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&sold);
    let counted = InterceptedService::new(MarketServer::new(Farmer), move |request| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(request)
    });
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let until = stop.clone().cancelled_owned();
    tokio::spawn(
        Server::builder()
            .add_service(counted)
            .serve_with_incoming_shutdown(TcpIncoming::from(listener), until),
    );
    (stop, sold)
}

#[tokio::test]
async fn replicas_share_what_is_bought_and_one_that_comes_back_is_bought_at_again() {
    let context = context();
    let listeners = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses = listeners.each_ref().map(|listener| listener.local_addr().unwrap());
    let urls = addresses.map(|address| format!("http://{address}")).join(",");
    let [first, second] = listeners.map(serve);
    let market = GrpcMarket::at(&context, &urls).unwrap();
    let buy = async || market.buy(PurchaseId::new(), Ingredient::Lemon).await;
    let buy_until = async |what: &str, is_so: &dyn Fn() -> bool| {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < Duration::from_secs(20), "bought in vain until {what}");
            // A market that is being restarted may fail; the buyer asks again.
            let _ = buy().await;
        }
    };
    let sold = |of: &Arc<AtomicUsize>| of.load(Ordering::Relaxed);
    buy_until("both sold", &|| sold(&first.1) > 5 && sold(&second.1) > 5).await;

    first.0.cancel();
    let before = sold(&second.1);
    buy_until("the other sold", &|| sold(&second.1) > before + 20).await;
    let began = Instant::now();
    let again = loop {
        assert!(began.elapsed() < Duration::from_secs(20), "the address stays taken");
        match std::net::TcpListener::bind(addresses[0]) {
            Ok(listener) => break serve(listener),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    buy_until("the first sold again", &|| sold(&again.1) > 5).await;
    context.close().await;
}

fn context() -> ServiceContext {
    let location =
        Location::Folder { folder: std::env::temp_dir(), durability: Durability::Process };
    ServiceContext::new(location, events::in_process(), Clock::System)
}
