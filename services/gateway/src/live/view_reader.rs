//! Reads the parts of the view while there are viewers.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use backends::STATUS_WAIT_MAX;
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
/// How long the view is updated after the last viewer has gone: one that reconnects within that gets the changes since its view.
const LINGER: Duration = Duration::from_secs(5);

/// Reads the parts of the view, and shows the whole.
struct ViewReader {
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

/// Notes the end of the reader, be it by a panic: then the next viewer starts another one.
struct Ending {
    live: Arc<Live>,
    /// Whether the end is noted already. Another reader may run by now.
    is_noted: bool,
}

impl Drop for Ending {
    fn drop(&mut self) {
        if !self.is_noted {
            self.live.mark_outdated();
            self.live.viewers.note_end_of_service();
        }
    }
}

/// Reads until there are no viewers any more, or the gateway ends.
pub(super) async fn read_for_viewers(live: Arc<Live>) {
    let mut ending = Ending { live: Arc::clone(&live), is_noted: false };
    // What can't be read at first is shown as it was before.
    let before = View { away: BTreeMap::new(), ..live.frames.borrow().view().clone() };
    let reader = ViewReader {
        live: Arc::clone(&live),
        parts: Mutex::new(Parts { view: before, ..Parts::default() }),
        changed: Notify::new(),
    };
    tokio::select! {
        () = reader.follow_board() => {}
        () = reader.read_rest() => {}
        () = reader.show() => {}
        () = reader.until_no_viewers() => ending.is_noted = true,
        () = live.stop.cancelled() => {}
    }
}

impl ViewReader {
    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Parts)) {
        change(&mut self.parts());
        self.changed.notify_one();
    }

    /// Follows the board, which answers as soon as it has news.
    async fn follow_board(&self) {
        loop {
            let after = self.parts().board_revision;
            let path = match after {
                Some(after) => format!("/internal/live?after={after}"),
                None => "/internal/live".into(),
            };
            let answer = self.read::<BoardView>(BOARD, &path, BOARD_WAIT_MAX).await;
            let is_away = answer.is_none();
            let revision = answer.as_ref().map(|answer| answer.revision);
            self.change(|parts| {
                parts.has_board = true;
                note_away(&mut parts.view, BOARD, is_away);
                if let Some(BoardView { revision, summary, dishes, orders }) = answer {
                    (parts.view.summary, parts.view.orders) = (summary, orders);
                    parts.view.dishes = dishes;
                    parts.board_revision = Some(revision);
                }
            });
            if is_away {
                sleep(ASK_AGAIN_EVERY).await;
            } else if revision != after {
                sleep(self.interval()).await;
            }
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
                note_away(&mut parts.view, INVENTORY, stock.is_none() || purchases.is_none());
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

    /// Reads a part of the view; `None` if its service does not answer.
    async fn read<T: DeserializeOwned + Send + 'static>(
        &self,
        service: &str,
        path: &str,
        wait_max: Duration,
    ) -> Option<T> {
        self.live.services.get(service)?.look(path, wait_max).await.ok()
    }

    /// Shows each change: the first one after a pause at once, and then as often as so many viewers are told.
    async fn show(&self) {
        loop {
            self.changed.notified().await;
            if let Some(view) = self.view()
                && self.live.frames.send_if_modified(|frames| frames.show(view))
            {
                sleep(self.interval()).await;
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

    fn interval(&self) -> Duration {
        Duration::from_secs(1) / pace(self.live.viewers.count()).changes_per_second_max
    }

    /// Returns once there has been no viewer for [`LINGER`], and that is noted.
    async fn until_no_viewers(&self) {
        loop {
            if self.live.viewers.count() > 0 {
                self.live.viewers.changed().await;
                // Their number is a part of the view.
                self.changed.notify_one();
                continue;
            }
            if timeout(LINGER, self.live.viewers.changed()).await.is_ok() {
                continue;
            }
            self.live.mark_outdated();
            if self.live.viewers.end_service() {
                return;
            }
            // A viewer has come meanwhile, and waits for the view.
            self.changed.notify_one();
        }
    }
}

/// Notes since when a service does not answer.
fn note_away(view: &mut View, service: &str, is_away: bool) {
    if is_away {
        view.away.entry(service.to_owned()).or_insert_with(Timestamp::now);
    } else {
        view.away.remove(service);
    }
}
