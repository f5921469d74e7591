//! What carries events between services. Whichever it is, it promises: at least once, in order for each subject, bounded
//! memory, back-pressure, delivery again after a crash. A suite of tests (`bus_promises`) holds every bus to that.

use std::{
    fmt,
    future::Future,
    sync::{Arc, Weak},
};

use contracts::events::Envelope;
use futures_util::future::BoxFuture;
use prometheus_client::registry::Registry;
use store::{Database, StoreError, Tx};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::{
    consumer::Consumer,
    outbox::{Relay, Stored},
};

/// The bus of a process.
pub trait Bus: fmt::Debug + Send + Sync {
    /// Returns whether it is a broker: one that has to be found, that keeps what it takes over, and that may forget it.
    fn is_broker(&self) -> bool;

    /// Lets an open service take part, with tasks that end when `stop` is cancelled.
    fn join(
        self: Arc<Self>,
        relay: &Arc<Relay>,
        database: &Database,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    );

    /// Takes events from a service's relay, which is told when they are taken over.
    fn offer(
        self: Arc<Self>,
        relay: &Weak<Relay>,
        service: &'static str,
        round: u64,
        events: Vec<Stored>,
    );

    /// Runs the consumer of a service that takes part, on the events that the catalogue says it reads, until `stop` is
    /// cancelled: one [`Subscription`] a service.
    fn consume(
        self: Arc<Self>,
        consumer: Consumer,
        stop: CancellationToken,
    ) -> BoxFuture<'static, ()>;

    /// Notes that a writer has published all its events below this id.
    fn note_published_below(&self, writer: &'static str, id: Uuid) -> BoxFuture<'_, ()>;

    /// Returns the id below which no event is sent again to a reader; none until every writer of the catalogue has said how
    /// far it is.
    fn published_below(&self, reader: &'static str) -> BoxFuture<'_, Option<Uuid>>;

    /// Returns how many events wait for a reader.
    fn waiting(&self, reader: &'static str) -> BoxFuture<'_, i64>;

    /// Returns what makes the bus slower, if anything does.
    fn degraded(&self) -> Option<String>;

    /// Adds the metrics of the bus to those of a process.
    fn register(&self, registry: &mut Registry);
}

/// What one service hears of a bus.
pub trait Subscription: Send {
    /// By which the bus knows a delivery.
    type Receipt: Clone + Send + Sync;
    /// What has to hold in the transaction that acts on deliveries.
    type Guard: Guard;

    /// Waits for events; returns up to `limit`, in order for each subject. What is not acknowledged must be asked for
    /// again by its owner: the bus has handed it over, and keeps it until every reader acknowledged it.
    fn next(&mut self, limit: usize) -> impl Future<Output = Vec<Delivery<Self::Receipt>>> + Send;

    /// Returns what has to hold in the transaction that acts on these.
    fn guard(&self, deliveries: &[Delivery<Self::Receipt>]) -> Self::Guard;

    /// Tells the bus that this reader has committed them.
    fn acknowledge(&mut self, deliveries: &[Delivery<Self::Receipt>]);

    /// Gives up what was handed over and not acknowledged, because another process reads some of it now. The rest is
    /// handed over again.
    fn give_up(&mut self);

    /// Ends it: what was acknowledged is known to the bus then.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// An event on its way to one reader.
#[derive(Clone, Debug)]
pub struct Delivery<R> {
    /// The event.
    pub event: Arc<Envelope>,
    /// By which the bus knows the delivery.
    pub receipt: R,
}

/// What has to hold in the transaction that acts on some events: that this process still is their reader.
pub trait Guard: Clone + Send + Sync + 'static {
    /// Makes sure of it until the transaction ends.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if another process reads them now.
    fn check(&self, tx: &mut Tx<'_>) -> Result<(), StoreError>;

    /// Returns whether it is known not to hold any more.
    fn is_over(&self) -> bool;
}

/// The guard where no other process could read the same.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoGuard;

impl Guard for NoGuard {
    fn check(&self, _: &mut Tx<'_>) -> Result<(), StoreError> {
        Ok(())
    }

    fn is_over(&self) -> bool {
        false
    }
}
