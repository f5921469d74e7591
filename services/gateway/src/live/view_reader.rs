//! Reads the parts of the view while there are viewers.

use std::{
    collections::BTreeMap,
    pin::pin,
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
    /// Signalled when a part besides the board has changed.
    changed: Notify,
}

#[derive(Default)]
struct Parts {
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

    /// Reads what changes slowly, or is slow to answer.
    async fn read_rest(&self) {
        let purchases = format!("/v1/purchases?limit={PURCHASES_SHOWN_MAX}");
        loop {
            let (stock, purchases, services) = tokio::join!(
                self.read::<Stock>(INVENTORY, "/v1/stock", STATUS_WAIT_MAX),
                self.read::<PurchasePage>(INVENTORY, &purchases, STATUS_WAIT_MAX),
                statuses(&self.live.services),
            );
            {
                let mut parts = self.parts();
                parts.has_rest = true;
                note_away(&mut parts.view, INVENTORY, stock.is_none() || purchases.is_none());
                parts.view.services = services;
                if let Some(Stock { stock, .. }) = stock {
                    parts.view.stock = stock;
                }
                if let Some(PurchasePage { purchases, .. }) = purchases {
                    parts.view.purchases = purchases;
                }
            }
            self.changed.notify_one();
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
        let mut has = None;
        let mut board = pin!(self.board_after(has, Duration::ZERO));
        loop {
            let had = has;
            tokio::select! {
                answer = &mut board => {
                    has = answer.as_ref().map(|answer| answer.revision);
                    let pause = has.map_or(ASK_AGAIN_EVERY, |_| Duration::ZERO);
                    self.take_board(answer);
                    // It is not asked before the next round: who asks early shows late what comes meanwhile.
                    board.set(self.board_after(has, pause));
                }
                () = self.changed.notified() => {}
            }
            let Some(view) = self.view() else { continue };
            let is_shown = self.live.frames.send_if_modified(|frames| frames.show(view));
            // What is new on the board may be of orders that no view shows.
            if is_shown || has != had {
                sleep(self.interval()).await;
            }
        }
    }

    /// Reads the board after a pause: it answers as soon as it has news. `None` if it does not answer.
    async fn board_after(&self, revision: Option<i64>, pause: Duration) -> Option<BoardView> {
        sleep(pause).await;
        let path = match revision {
            Some(after) => format!("/internal/live?after={after}"),
            None => "/internal/live".into(),
        };
        self.read(BOARD, &path, BOARD_WAIT_MAX).await
    }

    fn take_board(&self, answer: Option<BoardView>) {
        let mut parts = self.parts();
        parts.has_board = true;
        note_away(&mut parts.view, BOARD, answer.is_none());
        if let Some(BoardView { summary, dishes, orders, .. }) = answer {
            (parts.view.summary, parts.view.orders) = (summary, orders);
            parts.view.dishes = dishes;
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
