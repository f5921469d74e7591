//! Leases: one owner at a time, and an epoch that an old owner does not have.

use std::time::Duration;

use contracts::{Timestamp, services::KITCHEN};
use store::{
    Database, StoreError,
    leases::{Family, Lease, check_all, release, take},
};

use crate::stage::{NOTEBOOK, TestStore};

const STOVES: Family = Family { first: "stoves", end: "stovet" };

/// Tells a story on each engine that is there.
async fn on_each_engine(story: impl AsyncFn(&Database)) {
    for store in TestStore::all() {
        let context = store.context(events::in_process());
        let service = context.open(KITCHEN, NOTEBOOK).await.unwrap();
        story(service.database()).await;
        context.close().await;
    }
}

async fn seen(database: &Database) -> Option<Lease> {
    database.write(|tx| STOVES.list(tx)).await.unwrap().pop()
}

/// Takes the lease as it was seen; returns whether it still was so.
async fn take_as(database: &Database, seen: Option<&Lease>, owner: &'static str) -> bool {
    let seen = seen.cloned();
    let taken = database.write(move |tx| {
        let expires_at = tx.database_now()?.plus(Duration::from_secs(60));
        take(tx, "stoves", seen.as_ref(), owner, expires_at)
    });
    taken.await.unwrap()
}

#[tokio::test]
async fn a_lease_has_one_owner_and_an_old_owner_completes_nothing() {
    on_each_engine(async |database| {
        assert!(take_as(database, None, "first").await);
        assert!(!take_as(database, None, "second").await);
        let first = seen(database).await.unwrap();
        assert_eq!((first.owner.as_str(), first.epoch), ("first", 1));

        let renewed = database.write(|tx| STOVES.renew(tx, "first", Timestamp::from_micros(1)));
        renewed.await.unwrap();
        let renewed = seen(database).await.unwrap();
        assert_eq!((renewed.epoch, renewed.expires_at), (1, Timestamp::from_micros(1)));
        assert!(!take_as(database, Some(&first), "second").await, "it was renewed meanwhile");
        assert!(take_as(database, Some(&renewed), "second").await);

        let second = seen(database).await.unwrap();
        let stale = database.write(move |tx| check_all(tx, std::slice::from_ref(&first))).await;
        assert!(matches!(stale, Err(StoreError::Conflict(_))), "{stale:?}");
        database.write(move |tx| check_all(tx, std::slice::from_ref(&second))).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_released_lease_is_free_at_once() {
    on_each_engine(async |database| {
        assert!(take_as(database, None, "first").await);
        let held = seen(database).await.unwrap();
        database.write(move |tx| release(tx, &held)).await.unwrap();
        let free = seen(database).await.unwrap();
        assert_eq!(free.expires_at, Timestamp::from_micros(0));
        assert!(take_as(database, Some(&free), "second").await);
        assert_eq!(seen(database).await.unwrap().epoch, 2);
    })
    .await;
}
