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
        service::ServiceStatus,
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
/// How long a view of the other parts waits for the board, which answers at once if it has news.
const BOARD_JOINS_MAX: Duration = Duration::from_millis(25);
/// How often what changes slowly is read.
const READ_EVERY: Duration = Duration::from_secs(1);
/// How long the view is updated after the last viewer has gone: one that reconnects within that gets the changes since its view.
const LINGER: Duration = Duration::from_secs(5);

/// Reads the parts of the view, and shows the whole.
struct ViewReader {
    live: Arc<Live>,
    view: Mutex<View>,
    /// Signalled when a part besides the board has changed.
    changed: Notify,
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
    let reader =
        ViewReader { live: Arc::clone(&live), view: Mutex::new(before), changed: Notify::new() };
    tokio::select! {
        () = reader.read() => {}
        () = reader.until_no_viewers() => ending.is_noted = true,
        () = live.stop.cancelled() => {}
    }
}

impl ViewReader {
    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads each part, and shows the view from when each was read, or is known to be away.
    async fn read(&self) {
        let (answer, ()) = tokio::join!(self.read_board(None), self.read_rest());
        let has = self.take_board(answer);
        tokio::join!(self.show(has), self.read_rest_again());
    }

    async fn read_rest_again(&self) {
        loop {
            sleep(READ_EVERY).await;
            self.read_rest().await;
            self.changed.notify_one();
        }
    }

    /// Reads what changes slowly, or is slow to answer.
    async fn read_rest(&self) {
        let purchases = format!("/v1/purchases?limit={PURCHASES_SHOWN_MAX}");
        let (stock, purchases, services) = tokio::join!(
            self.ask::<Stock>(INVENTORY, "/v1/stock", STATUS_WAIT_MAX),
            self.ask::<PurchasePage>(INVENTORY, &purchases, STATUS_WAIT_MAX),
            statuses(&self.live.services),
        );
        let mut view = self.view();
        note_away(&mut view, INVENTORY, stock.is_none() || purchases.is_none());
        note_services(&mut view, services);
        if let Some(Stock { stock, .. }) = stock {
            view.stock = stock;
        }
        if let Some(PurchasePage { purchases, .. }) = purchases {
            view.purchases = purchases;
        }
    }

    /// Asks for a part of the view; `None` if its service does not answer.
    async fn ask<T: DeserializeOwned + Send + 'static>(
        &self,
        service: &str,
        path: &str,
        wait_max: Duration,
    ) -> Option<T> {
        self.live.services.get(service)?.look(path, wait_max).await.ok()
    }

    /// Shows each change: the first one after a pause at once, and then as often as so many viewers are told. `has` is the revision of
    /// the board; `None` if it is away.
    async fn show(&self, mut has: Option<i64>) {
        // The board is asked when the next view is due, not before: so its answer has all that came meanwhile.
        let mut board = pin!(self.read_board_again(has));
        let mut is_new = true;
        loop {
            let view = View {
                at: Timestamp::now(),
                pace: pace(self.live.viewers.count()),
                ..self.view().clone()
            };
            let is_shown = self.live.frames.send_if_modified(|frames| frames.show(view));
            // What is new on the board may be of orders that no view shows.
            if is_shown || is_new {
                sleep(self.interval()).await;
            }
            let answer = tokio::select! {
                answer = &mut board => Some(answer),
                // A view of the other parts alone would put off the board's by an interval.
                () = self.changed.notified() => timeout(BOARD_JOINS_MAX, &mut board).await.ok(),
            };
            is_new = false;
            if let Some(answer) = answer {
                let had = has;
                has = self.take_board(answer);
                is_new = has != had;
                board.set(self.read_board_again(has));
            }
        }
    }

    /// Reads the board: at once, or as soon as it has a later revision than the one given. `None` if it does not answer.
    async fn read_board(&self, revision: Option<i64>) -> Option<BoardView> {
        let path = match revision {
            Some(after) => format!("/internal/live?after={after}"),
            None => "/internal/live".into(),
        };
        self.ask(BOARD, &path, BOARD_WAIT_MAX).await
    }

    /// Reads the board, after a pause if it did not answer the last time.
    async fn read_board_again(&self, revision: Option<i64>) -> Option<BoardView> {
        if revision.is_none() {
            sleep(ASK_AGAIN_EVERY).await;
        }
        self.read_board(revision).await
    }

    /// Takes an answer of the board into the view, and returns its revision.
    fn take_board(&self, answer: Option<BoardView>) -> Option<i64> {
        let mut view = self.view();
        note_away(&mut view, BOARD, answer.is_none());
        let BoardView { revision, summary, dishes, orders } = answer?;
        (view.summary, view.dishes, view.orders) = (summary, dishes, orders);
        Some(revision)
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

/// Notes how the services are. What one that does not answer, or can't read its database, leaves out of its starts and its places stays
/// as it was: viewers would take it for a restart.
fn note_services(view: &mut View, services: BTreeMap<String, ServiceStatus>) {
    let before = std::mem::replace(&mut view.services, services);
    for (name, now) in &mut view.services {
        if let Some(before) = before.get(name) {
            if now.starts == 0 {
                (now.starts, now.started_at) = (before.starts, before.started_at);
            }
            now.places = now.places.or(before.places);
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
