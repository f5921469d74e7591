//! Reads the parts of the view while somebody watches.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use backends::{STATUS_WAIT_MAX, Unanswered};
use contracts::{
    Timestamp,
    api::{
        inventory::{PurchasePage, Stock},
        live::{BoardView, PURCHASES_SHOWN_MAX, View},
    },
    services::{BOARD, INVENTORY},
};
use serde::de::DeserializeOwned;
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use super::{Live, pace};
use crate::queries::status::statuses;

/// How long the board may take to answer: it waits a second for news.
const BOARD_WAIT_MAX: Duration = Duration::from_secs(3);
/// How often one that does not answer is asked again.
const ASK_AGAIN_EVERY: Duration = Duration::from_millis(250);
/// How often what changes slowly is read.
const READ_EVERY: Duration = Duration::from_secs(1);
/// How long the view is kept up to date after the last viewer has gone: one who comes back goes on where they were.
const LINGER: Duration = Duration::from_secs(5);

/// What was read last.
struct Gathering {
    live: Arc<Live>,
    parts: Mutex<Parts>,
    /// Signalled when a part has changed.
    changed: Notify,
}

#[derive(Default)]
struct Parts {
    board_revision: Option<i64>,
    view: View,
    /// Whether each part was read, or is known to be away.
    has_board: bool,
    has_rest: bool,
}

/// Gathers until nobody watches any more, or the gateway ends.
pub(super) async fn gather(live: Arc<Live>) {
    let gathering =
        Gathering { live: Arc::clone(&live), parts: Mutex::default(), changed: Notify::new() };
    tokio::select! {
        () = gathering.watch_board() => {}
        () = gathering.read_rest() => {}
        () = gathering.show() => {}
        () = gathering.nobody_watches() => {}
        () = live.stop.cancelled() => {}
    }
}

impl Gathering {
    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Parts)) {
        change(&mut self.parts());
        self.changed.notify_one();
    }

    /// Follows the board, which answers as soon as it has news.
    async fn watch_board(&self) {
        loop {
            let after = self.parts().board_revision;
            let path = match after {
                Some(after) => format!("/internal/live?after={after}"),
                None => "/internal/live".into(),
            };
            let answer = self.read::<BoardView>(BOARD, &path, BOARD_WAIT_MAX).await;
            let is_away = answer.is_none();
            self.change(|parts| {
                parts.has_board = true;
                if let Some(BoardView { revision, summary, orders }) = answer {
                    (parts.view.summary, parts.view.orders) = (summary, orders);
                    parts.board_revision = Some(revision);
                }
            });
            sleep(if is_away { ASK_AGAIN_EVERY } else { self.pause() }).await;
        }
    }

    /// Reads what changes slowly, or is slow to answer.
    async fn read_rest(&self) {
        let purchases = format!("/v1/purchases?limit={PURCHASES_SHOWN_MAX}");
        loop {
            let (stock, purchases, services) = tokio::join!(
                self.read::<Stock>(INVENTORY, "/v1/stock", STATUS_WAIT_MAX),
                self.read::<PurchasePage>(INVENTORY, &purchases, STATUS_WAIT_MAX),
                statuses(&self.live.services),
            );
            self.change(|parts| {
                parts.has_rest = true;
                parts.view.services = services;
                if let Some(Stock { stock, .. }) = stock {
                    parts.view.stock = stock;
                }
                if let Some(PurchasePage { purchases, .. }) = purchases {
                    parts.view.purchases = purchases;
                }
            });
            sleep(READ_EVERY).await;
        }
    }

    /// Reads a part of the view, and notes since when its service does not answer.
    async fn read<T: DeserializeOwned + Send + 'static>(
        &self,
        service: &str,
        path: &str,
        wait_max: Duration,
    ) -> Option<T> {
        let answer: Result<T, Unanswered> = match self.live.services.get(service) {
            Some(backend) => backend.look(path, wait_max).await,
            None => Err(Unanswered::Away),
        };
        let away = &mut self.parts().view.away;
        match answer {
            Ok(answer) => {
                away.remove(service);
                Some(answer)
            }
            Err(_) => {
                away.entry(service.to_owned()).or_insert_with(Timestamp::now);
                None
            }
        }
    }

    /// Shows each change: the first one after a pause at once, and then as often as so many viewers are told.
    async fn show(&self) {
        loop {
            self.changed.notified().await;
            if let Some(view) = self.view() {
                self.live.frames.send_if_modified(|frames| frames.show(view));
                sleep(self.pause()).await;
            }
        }
    }

    /// Returns the view; `None` until each part was read, or is known to be away.
    fn view(&self) -> Option<View> {
        let parts = self.parts();
        let pace = pace(self.live.viewers.count());
        (parts.has_board && parts.has_rest).then(|| View {
            at: Timestamp::now(),
            pace,
            ..parts.view.clone()
        })
    }

    fn pause(&self) -> Duration {
        Duration::from_secs(1) / pace(self.live.viewers.count()).changes_per_second_max
    }

    /// Waits until nobody has watched for a while.
    async fn nobody_watches(&self) {
        loop {
            match self.live.viewers.count() {
                0 => {
                    let somebody_came = timeout(LINGER, self.live.viewers.changed()).await.is_ok();
                    if somebody_came {
                        continue;
                    }
                    self.live.frames.send_if_modified(|frames| {
                        frames.pause();
                        false
                    });
                    if self.live.viewers.leave_alone() {
                        return;
                    }
                    self.changed.notify_one();
                }
                _ => {
                    self.live.viewers.changed().await;
                    self.changed.notify_one();
                }
            }
        }
    }
}
