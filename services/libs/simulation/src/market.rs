//! The market outside: the simulated market's stall, behind a way on which requests and answers are lost, doubled and late.

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use http_body_util::BodyExt as _;
use market::{NoResponse, SaleRequest, SaleResponse, Transport};
use tower::ServiceExt as _;

use crate::world::World;

pub(crate) struct Way {
    pub(crate) world: Arc<World>,
    pub(crate) stall: Router,
    /// How many calls in 1,000 go wrong, each kind.
    pub(crate) trouble: u64,
}

impl fmt::Debug for Way {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Way").finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug)]
enum Trouble {
    NotSent,
    RequestLost,
    AnswerLost,
    Silent,
    Late,
    Twice,
    Unreadable,
    TooMany,
    Broken,
}

const TROUBLES: [(Trouble, &str); 9] = [
    (Trouble::NotSent, "fault: market can't be reached"),
    (Trouble::RequestLost, "fault: request to the market lost"),
    (Trouble::AnswerLost, "fault: answer of the market lost"),
    (Trouble::Silent, "fault: market never answers"),
    (Trouble::Late, "fault: market answers late"),
    (Trouble::Twice, "fault: market asked twice"),
    (Trouble::Unreadable, "fault: answer of the market unreadable"),
    (Trouble::TooMany, "fault: market refuses too many calls"),
    (Trouble::Broken, "fault: market fails after the sale"),
];

impl Transport for Way {
    fn send(
        &self,
        request: SaleRequest,
    ) -> Pin<Box<dyn Future<Output = SaleResponse> + Send + '_>> {
        let (trouble, there, back) = self.world.draw(|draws| {
            let trouble =
                draws.happens(self.trouble * TROUBLES.len() as u64).then(|| draws.one(&TROUBLES));
            (trouble, draws.below(20_000), draws.below(20_000))
        });
        Box::pin(async move {
            let uri = request.uri().clone();
            if let Some((trouble, counter)) = trouble {
                self.world.sometimes(counter);
                self.world.note(format_args!("market     {trouble:?} for {uri}"));
            }
            let trouble = trouble.map(|(trouble, _)| trouble);
            match trouble {
                Some(Trouble::NotSent) => return Err(NoResponse::NotSent),
                Some(Trouble::RequestLost) => return Err(NoResponse::Broken),
                Some(Trouble::Silent) => std::future::pending().await,
                Some(Trouble::TooMany) => return Ok(answer(429, b"")),
                _ => {}
            }
            tokio::time::sleep(Duration::from_micros(there)).await;
            let (status, body) = self.ask(&request).await;
            match trouble {
                Some(Trouble::AnswerLost) => return Err(NoResponse::Broken),
                Some(Trouble::Broken) => return Ok(answer(502, b"")),
                Some(Trouble::Unreadable) => return Ok(answer(200, b"{\"quantitySold\": -1}")),
                Some(Trouble::Late) => {
                    tokio::time::sleep(Duration::from_secs(5 + there / 1_000)).await
                }
                Some(Trouble::Twice) => {
                    self.ask(&request).await;
                }
                _ => {}
            }
            tokio::time::sleep(Duration::from_micros(back)).await;
            self.world.note(format_args!(
                "market     {status} {} for {uri}",
                String::from_utf8_lossy(&body)
            ));
            if body.ends_with(b":0}") {
                self.world.sometimes("fault: market sells zero");
            }
            Ok(answer(status, &body))
        })
    }
}

impl Way {
    async fn ask(&self, request: &SaleRequest) -> (u16, Vec<u8>) {
        let mut asked = http::Request::new(Body::empty());
        *asked.uri_mut() = request.uri().clone();
        *asked.headers_mut() = request.headers().clone();
        let Ok(response) = self.stall.clone().oneshot(asked).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.map(http_body_util::Collected::to_bytes);
        (status, body.map(|body| body.to_vec()).unwrap_or_default())
    }
}

fn answer(status: u16, body: &[u8]) -> http::Response<Vec<u8>> {
    let mut answer = http::Response::new(body.to_vec());
    *answer.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    answer
}
