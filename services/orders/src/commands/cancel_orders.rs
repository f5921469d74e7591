//! Guests who want their order no longer.

use ::store::{StoreError, Tx};
use contracts::{OrderId, events::CancellationRequested};
use events::Announce as _;

use crate::{
    domain::{Order, TooLate},
    store,
};

/// One guest's wish.
#[derive(Clone, Debug)]
pub(crate) struct CancelOrder {
    pub(crate) order: OrderId,
    /// The trace that the wish belongs to.
    pub(crate) traceparent: Option<String>,
}

/// What the guest is told.
#[derive(Clone, Debug)]
pub(crate) enum Cancellation {
    /// The kitchen is asked, or has agreed already.
    Accepted(Order),
    /// It is too late.
    Refused(TooLate),
    /// There is no such order.
    Unknown,
}

/// Asks the kitchen to cancel each order. A repeat asks once.
///
/// # Errors
/// [`StoreError`] if the database failed; nothing is saved then.
pub(crate) fn cancel_orders(
    tx: &mut Tx,
    wishes: &[CancelOrder],
) -> Result<Vec<Cancellation>, StoreError> {
    let ids: Vec<OrderId> = wishes.iter().map(|wish| wish.order).collect();
    let mut orders = store::load(tx, &ids)?;
    let mut changed = Vec::new();
    let mut answers = Vec::with_capacity(wishes.len());
    for wish in wishes {
        let Some(order) = orders.get(&wish.order).cloned() else {
            answers.push(Cancellation::Unknown);
            continue;
        };
        answers.push(match order.clone().request_cancellation() {
            Err(too_late) => Cancellation::Refused(too_late),
            Ok(None) => Cancellation::Accepted(order),
            Ok(Some(cancelling)) => {
                if let Some(trace) = &wish.traceparent {
                    tx.follow(wish.order.to_string(), trace.clone());
                }
                tx.announce(&CancellationRequested { order: wish.order });
                orders.insert(wish.order, cancelling.clone());
                changed.push(cancelling.clone());
                Cancellation::Accepted(cancelling)
            }
        });
    }
    store::advance(tx, &changed)?;
    Ok(answers)
}
