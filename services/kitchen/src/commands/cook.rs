use std::{collections::HashSet, time::Duration};

use ::store::{StoreError, Tx, timers};
use contracts::{
    OrderId,
    events::{CookingStarted, DishPrepared},
};
use events::Announce as _;
use service::Pace;

use crate::{
    domain::round::{Round, Step, Stove},
    store::{self, COOKING},
};

/// How many dishes a round puts on stoves at the most: as many as a batch of events brings, and few enough that others
/// wait for the writer some milliseconds, not more.
pub(crate) const DISHES_PER_ROUND_MAX: i64 = 256;

/// How a cook works.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cook {
    /// How long every dish is on the stove, whatever its recipe says.
    pub(crate) cooking_time: Option<Duration>,
}

/// Cooks one round: takes prepared dishes from the stoves and puts the oldest reserved tickets on them, until all stoves are busy or
/// no ticket waits. Returns when there is more to do.
///
/// # Errors
/// [`StoreError`] if the database failed, or another kitchen changed the same stove; nothing is saved then.
pub(crate) fn cook(tx: &mut Tx<'_>, cook: Cook) -> Result<Pace, StoreError> {
    // Nothing is written while nothing is to be done: the cook looks often.
    if !store::has_work(tx)? {
        return Ok(Pace::Idle);
    }
    store::lock_rail(tx)?;
    let stoves = store::stoves(tx)?;
    let due = due(tx, &stoves)?;
    let waiting = match stoves.iter().any(|stove| is_free(stove, &due)) {
        true => store::waiting(tx, DISHES_PER_ROUND_MAX, cook.cooking_time)?,
        false => Vec::new(),
    };
    let is_full = i64::try_from(waiting.len()) == Ok(DISHES_PER_ROUND_MAX);
    let round = Round::plan(stoves, &due, waiting, tx.now());
    store::save_round(tx, &round)?;
    for step in round.steps {
        match step {
            Step::Started { dish, stove } => {
                tx.announce(&CookingStarted { order: dish.order, dish: dish.name, stove });
            }
            Step::Prepared { dish } => {
                tx.announce(&DishPrepared { order: dish.order, dish: dish.name })
            }
        }
    }
    if is_full && round.took_all {
        Ok(Pace::Again)
    } else if round.still_cooking {
        Ok(timers::next(tx, COOKING)?.map_or(Pace::Idle, Pace::Until))
    } else {
        Ok(Pace::Idle)
    }
}

/// Returns the orders whose time on the stove is over.
fn due(tx: &mut Tx<'_>, stoves: &[Stove]) -> Result<HashSet<OrderId>, StoreError> {
    let busy = stoves.iter().filter(|stove| stove.dish.is_some()).count();
    if busy == 0 {
        return Ok(HashSet::new());
    }
    let now = tx.now();
    let due = timers::due(tx, COOKING, now, i64::try_from(busy).unwrap_or(i64::MAX))?;
    let order = |subject: String| {
        subject.parse().map_err(|_| StoreError::rejected(format!("a timer for `{subject}`")))
    };
    due.into_iter().map(order).collect()
}

fn is_free(stove: &Stove, due: &HashSet<OrderId>) -> bool {
    !stove.retiring && stove.dish.as_ref().is_none_or(|dish| due.contains(&dish.order))
}
