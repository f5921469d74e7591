//! How much of the bodies of requests a server holds at once.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::metrics::{counter::Counter, gauge::Gauge};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many bytes the bodies of all requests may have that a server receives or answers, the small ones aside. 4 MiB are 100
/// requests of 1,000 orders, five times what may wait for the writer. What is made of a body, what is sent on, and the answer take
/// several times its bytes, and 4,096 connections some 20 KiB each: all of it has to fit into a container of 128 MiB.
pub const BODIES_BYTES_MAX: usize = 4 * 1024 * 1024;
/// So many bytes of a body are received without a reservation, so that many large bodies never keep out an order. A server has
/// at most [`Limits::connections_max`](super::Limits::connections_max) of them: 16 MiB.
pub(super) const SMALL_BODY_BYTES_MAX: usize = 4 * 1024;

/// The bodies that are there already leave no room for another one.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the bodies of other requests leave no room for this one")]
pub struct BodiesFull;

/// The room for the bodies of one server. Clones are the same.
#[derive(Clone, Debug)]
pub struct Bodies {
    free_bytes: Arc<Semaphore>,
    held_bytes: Gauge,
    refused: Counter,
}

/// The room for the body of one request, which is reserved when the body is first read. It is free again when the last clone is
/// dropped: that is when the body was read and the request is answered.
#[derive(Clone, Debug)]
pub struct Reservation(Arc<Wanted>);

#[derive(Debug)]
struct Wanted {
    bodies: Bodies,
    bytes: u32,
    permit: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Bodies {
    /// Returns room for that many bytes. The gauge tells how many of them are held, the counter how often there were too few.
    pub(crate) fn new(bytes_max: usize, held_bytes: Gauge, refused: Counter) -> Self {
        Self { free_bytes: Arc::new(Semaphore::new(bytes_max)), held_bytes, refused }
    }

    /// Returns the room for a body of at most that many bytes; nothing is reserved yet.
    pub(super) fn room_for(&self, bytes: usize) -> Reservation {
        self.reservation(if bytes <= SMALL_BODY_BYTES_MAX { 0 } else { bytes })
    }

    /// Reserves that many bytes now, however few they are.
    ///
    /// # Errors
    /// [`BodiesFull`], at once, if there is no room for them.
    pub fn reserve(&self, bytes: usize) -> Result<Reservation, BodiesFull> {
        let reservation = self.reservation(bytes);
        reservation.take().map(|()| reservation)
    }

    fn reservation(&self, bytes: usize) -> Reservation {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        Reservation(Arc::new(Wanted { bodies: self.clone(), bytes, permit: Mutex::default() }))
    }
}

impl Reservation {
    /// Reserves the room; once it is reserved, does nothing.
    ///
    /// # Errors
    /// [`BodiesFull`], at once, if there is none.
    pub(super) fn take(&self) -> Result<(), BodiesFull> {
        let Wanted { bodies, bytes, permit } = &*self.0;
        let mut permit = permit.lock().unwrap_or_else(PoisonError::into_inner);
        if permit.is_none() && *bytes > 0 {
            let free = Arc::clone(&bodies.free_bytes);
            let Ok(taken) = free.try_acquire_many_owned(*bytes) else {
                bodies.refused.inc();
                return Err(BodiesFull);
            };
            *permit = Some(taken);
            bodies.held_bytes.inc_by((*bytes).into());
        }
        Ok(())
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        if self.permit.get_mut().unwrap_or_else(PoisonError::into_inner).is_some() {
            self.bodies.held_bytes.dec_by(self.bytes.into());
        }
    }
}
