//! Requests that the API server puts off are repeated: it, or a proxy before it, is busy for a moment.

use std::time::{Duration, Instant};

use http::{Request, Response, StatusCode, header::RETRY_AFTER};
use kube::{Client, client::Body};
use tokio::time::sleep;

/// How long one request is repeated. The library would do it for minutes, and without a word.
const REPEAT_MAX: Duration = Duration::from_secs(15);
/// The pause before the first repetition; each one after it is twice as long.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest pause, whatever the server asks for.
const PAUSE_MAX: Duration = Duration::from_secs(3);

/// Returns a client that repeats such requests.
pub(super) fn repeating(client: Client) -> Client {
    let service = tower::service_fn(move |request| repeat(client.clone(), request));
    Client::new(service, "default")
}

async fn repeat(client: Client, request: Request<Body>) -> kube::Result<Response<Body>> {
    let since = Instant::now();
    let (head, body) = request.into_parts();
    let mut pause = PAUSE;
    loop {
        // A body that can be sent only once is not repeated.
        let Some(copy) = body.try_clone() else {
            return client.send(Request::from_parts(head, body)).await;
        };
        let answer = client.send(Request::from_parts(head.clone(), copy)).await?;
        if !is_put_off(answer.status()) {
            return Ok(answer);
        }
        let asked =
            answer.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
        let wait = asked.map_or(pause, Duration::from_secs).min(PAUSE_MAX);
        if since.elapsed() + wait > REPEAT_MAX {
            return Ok(answer);
        }
        sleep(wait).await;
        pause *= 2;
    }
}

const fn is_put_off(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}
