//! How often a service has started is known to all who ask one of its processes.

use axum::{
    body::{Body, to_bytes},
    http::Request,
};
use contracts::{Timestamp, api::service::ServiceStatus, services::ORDERS};
use service::Service;
use tower::ServiceExt as _;

use crate::stage::{NOTEBOOK, TestStore, eventually};

async fn status(service: &Service) -> ServiceStatus {
    let request = Request::get("/internal/status").body(Body::empty()).unwrap();
    let response = service.router().oneshot(request).await.unwrap();
    let body = to_bytes(response.into_body(), 64 * 1024).await.unwrap();
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test]
async fn each_start_of_a_process_is_counted() {
    for ground in TestStore::all() {
        for starts in 1..=3 {
            let before = Timestamp::now();
            let context = ground.context(events::in_process());
            let service = context.open(ORDERS, NOTEBOOK).await.unwrap();
            eventually("the start is counted", || async {
                status(&service).await.starts == starts
            })
            .await;
            assert!(status(&service).await.started_at.unwrap() >= before);
            context.close().await;
        }
    }
}
