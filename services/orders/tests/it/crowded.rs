//! More guests than the service can keep before its database.

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use serde_json::{Value, json};
use store::WAITING_ROWS_MAX;
use tower::ServiceExt as _;

use crate::door::Door;

const POSTS: usize = 128;
const ORDERS: usize = 1_000;

#[tokio::test]
async fn posts_of_a_thousand_orders_are_saved_or_refused_and_what_waits_is_bounded() {
    for door in Door::open_all().await {
        let before = door.database().read(count).await.unwrap();
        let body = json!({"orders": vec![json!({"dish": "pizza"}); ORDERS]}).to_string();
        let posts: Vec<_> = (0..POSTS)
            .map(|_| {
                let request = Request::post("/v1/orders").body(Body::from(body.clone())).unwrap();
                tokio::spawn(door.router.clone().oneshot(request))
            })
            .collect();
        let mut waiting_rows_max = 0;
        while !posts.iter().all(tokio::task::JoinHandle::is_finished) {
            waiting_rows_max = waiting_rows_max.max(door.database().waiting_rows());
            tokio::task::yield_now().await;
        }
        let (mut accepted, mut refused) = (0, 0);
        for post in posts {
            let response = post.await.unwrap().unwrap();
            match response.status() {
                StatusCode::ACCEPTED => accepted += 1,
                StatusCode::SERVICE_UNAVAILABLE => {
                    assert!(response.headers().contains_key(header::RETRY_AFTER));
                    refused += 1;
                }
                other => panic!("{other}"),
            }
        }
        assert!(accepted > 0 && refused > 0, "{accepted} accepted, {refused} refused");
        assert!((ORDERS..=WAITING_ROWS_MAX).contains(&waiting_rows_max), "{waiting_rows_max} rows");
        assert_eq!(door.database().waiting_rows(), 0);
        let after = door.database().read(count).await.unwrap();
        assert_eq!(after - before, accepted * i64::try_from(ORDERS).unwrap());

        let (status, _) = door.ask("POST", "/v1/orders", &[], Value::Null).await;
        assert_eq!(status, StatusCode::ACCEPTED, "there is room again");
        door.close().await;
    }
}

fn count(tx: &mut store::Tx<'_>) -> Result<i64, store::StoreError> {
    Ok(tx.query_one("SELECT COUNT(*) FROM orders", &[], |row| row.get(0))?.unwrap_or(0))
}
