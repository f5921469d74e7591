//! What the door itself costs, without the server before it and the services behind it.

use std::time::Instant;

use axum::{Router, body::Body, extract::Request, http::header};
use contracts::api::gateway::Role;
use gateway::{Backend, Backends, Config, Rate};
use tower::ServiceExt;

use crate::stage::{Stage, config, echoes};

const REQUESTS: u32 = 200_000;

/// Figures are worth something in a release build alone: `cargo test --release -p gateway -- --ignored --nocapture speed`.
#[tokio::test]
#[ignore = "a measurement, not a test"]
async fn speed_of_the_door() {
    let bare = Router::new().route("/v1/orders", axum::routing::get(async || "[]"));
    let orders = Backend::in_process(bare.clone());
    let admin = gateway::new_key().unwrap();
    let rate = Rate::new(100_000_000, 100_000_000);
    let config = Config { rate, ..config(&admin) };
    let stage = Stage::with_config(Backends { orders, ..echoes() }, config, admin).await;
    let guest = stage.add_key("a guest", Role::Viewer).await.secret;
    let authorization = header::HeaderValue::from_str(&format!("Bearer {guest}")).unwrap();
    let measured = async |router: Router| {
        let began = Instant::now();
        for _ in 0..REQUESTS {
            let mut request = Request::new(Body::empty());
            *request.uri_mut() = http::Uri::from_static("/v1/orders");
            request.headers_mut().insert(header::AUTHORIZATION, authorization.clone());
            let response = router.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), 200);
        }
        began.elapsed() / REQUESTS
    };
    for _ in 0..3 {
        let (bare, door) = (measured(bare.clone()).await, measured(stage.router()).await);
        println!("service alone {bare:?}, through the door {door:?}, the door {:?}", door - bare);
    }
    stage.close().await;
}
