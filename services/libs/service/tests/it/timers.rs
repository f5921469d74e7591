//! What is to be done, and when.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use contracts::{Timestamp, services::KITCHEN};
use service::{Pace, ServiceContext};
use store::{Clock, timers};

use crate::stage::{NOTEBOOK, TestStore, eventually};

#[tokio::test]
async fn a_timer_is_due_at_its_time_and_completed_once() {
    for ground in TestStore::all() {
        let clock = Clock::fixed(Timestamp::from_micros(1_000_000));
        let context = ServiceContext::new(ground.location(), events::in_process(), clock.clone());
        let service = context.open(KITCHEN, NOTEBOOK).await.unwrap();
        let due = || {
            service.database().read(|tx| {
                let now = tx.now();
                timers::due(tx, "cooking", now, 10)
            })
        };
        service
            .database()
            .write(|tx| {
                let now = tx.now();
                let later = now.plus(Duration::from_secs(1));
                timers::set(tx, "cooking", [("soup", later), ("salad", now)])
            })
            .await
            .unwrap();
        assert_eq!(due().await.unwrap(), ["salad"]);
        clock.advance(Duration::from_secs(1));
        assert_eq!(due().await.unwrap(), ["salad", "soup"]);
        let complete = || {
            service.database().write(|tx| timers::complete(tx, "cooking", ["salad", "soup", "tea"]))
        };
        assert_eq!(complete().await.unwrap(), [true, true, false]);
        assert_eq!(complete().await.unwrap(), [false, false, false]);
        let next = service.database().read(|tx| timers::next(tx, "cooking")).await.unwrap();
        assert_eq!(next, None);
        context.close().await;
    }
}

#[tokio::test]
async fn a_worker_is_woken_by_its_signal_and_by_its_timer() {
    let ground = &TestStore::all()[0];
    let context = ground.context(events::in_process());
    let service = context.open(KITCHEN, NOTEBOOK).await.unwrap();
    let runs = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let signal = std::sync::Arc::new(tokio::sync::Notify::new());
    let counted = runs.clone();
    service.work("count", signal.clone(), Duration::from_secs(3_600), move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        async { Ok(Pace::Idle) }
    });
    let reached = |count: usize| {
        let runs = runs.clone();
        move || {
            let seen = runs.load(std::sync::atomic::Ordering::SeqCst);
            async move { seen >= count }
        }
    };
    eventually("it ran once by itself", reached(1)).await;
    let woken = signal.clone();
    service
        .database()
        .write(move |tx| {
            tx.wake_after_commit(&woken);
            Ok(())
        })
        .await
        .unwrap();
    eventually("a commit woke it", reached(2)).await;

    let counted = runs.clone();
    service.work("tick", std::sync::Arc::default(), Duration::from_millis(1), move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        async { Ok(Pace::Idle) }
    });
    eventually("its timer woke it again and again", reached(10)).await;
    context.close().await;
}

#[tokio::test]
async fn a_worker_that_panics_is_called_again() {
    for ground in TestStore::all() {
        let context = ground.context(events::in_process());
        let service = context.open(KITCHEN, NOTEBOOK).await.unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&calls);
        service.work("stumbler", Arc::default(), Duration::from_secs(3_600), move || {
            let call = count.fetch_add(1, Ordering::Relaxed);
            async move {
                assert!(call >= 3, "the worker stumbles");
                Ok(Pace::Idle)
            }
        });
        eventually("it works again", || async { calls.load(Ordering::Relaxed) == 4 }).await;
        context.close().await;
    }
}
