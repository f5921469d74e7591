//! What events add to the aggregates, and what the aggregates say: pure.
//!
//! Each event adds 1 to the counter of its name. Beside those:
//! - `dish:<name>`: deliveries of a dish; `bought:<ingredient>`: what was bought of it;
//! - `waited:reserved`, `waited:left`: orders that waited for ingredients and wait no more;
//! - `delivery:sum_ms`, `delivery:<n>`: how long deliveries took, in buckets from 2ⁿ⁻¹ to below 2ⁿ milliseconds.

use std::collections::BTreeMap;

use contracts::{
    api::board::{Latency, Summary},
    events::{
        CookingStarted, DishPrepared, Event, IngredientPurchased, IngredientsAwaited,
        IngredientsReleased, IngredientsReserved, OrderCancelled, OrderDelivered, OrderPlaced,
        OrderRejected,
    },
};

/// Counters by name: the stored ones, or what a batch adds to them.
pub(crate) type Counters = BTreeMap<String, i64>;

/// The last bucket of delivery times: from 2³⁰ ms, some twelve days.
const BUCKET_MAX: u32 = 31;

pub(crate) fn delivered(added: &mut Counters, events: &[OrderDelivered]) {
    for event in events {
        add(added, format!("dish:{}", event.dish), 1);
        let took_ms = i64::try_from(event.delivered_at.since(event.placed_at).as_millis())
            .unwrap_or(i64::MAX);
        add(added, "delivery:sum_ms".into(), took_ms);
        add(added, format!("delivery:{}", bucket_of(took_ms)), 1);
    }
}

pub(crate) fn purchased(added: &mut Counters, events: &[IngredientPurchased]) {
    for event in events {
        add(added, format!("bought:{}", event.ingredient), event.quantity);
    }
}

pub(crate) fn reserved(added: &mut Counters, events: &[IngredientsReserved]) {
    let waited = events.iter().filter(|event| event.waited).count();
    add(added, "waited:reserved".into(), i64::try_from(waited).unwrap_or(i64::MAX));
}

pub(crate) fn released(added: &mut Counters, events: &[IngredientsReleased]) {
    let left = events.iter().filter(|event| event.left_queue).count();
    add(added, "waited:left".into(), i64::try_from(left).unwrap_or(i64::MAX));
}

/// Counts events by their name.
pub(crate) fn happened(added: &mut Counters, name: &str, events: usize) {
    add(added, name.to_owned(), i64::try_from(events).unwrap_or(i64::MAX));
}

fn add(added: &mut Counters, name: String, value: i64) {
    if value != 0 {
        *added.entry(name).or_default() += value;
    }
}

/// Returns the number of bits that the duration needs: 0 for below a millisecond.
fn bucket_of(took_ms: i64) -> u32 {
    (i64::BITS - took_ms.max(0).leading_zeros()).min(BUCKET_MAX)
}

/// Returns what the aggregates say.
pub(crate) fn summary(counters: &Counters) -> Summary {
    let count = |name: &str| counters.get(name).copied().unwrap_or(0);
    let (placed, delivered) = (count(OrderPlaced::NAME), count(OrderDelivered::NAME));
    let (cancelled, rejected) = (count(OrderCancelled::NAME), count(OrderRejected::NAME));
    // Events of two services may overtake each other on their way here, so a difference may be below 0 for a moment.
    let difference = |all: i64, gone: i64| (all - gone).max(0);
    Summary {
        placed,
        delivered,
        cancelled,
        rejected,
        in_flight: difference(placed, delivered + cancelled + rejected),
        waiting_for_ingredients: difference(
            count(IngredientsAwaited::NAME),
            count("waited:reserved") + count("waited:left"),
        ),
        cooking: difference(count(CookingStarted::NAME), count(DishPrepared::NAME)),
        dishes: with_prefix(counters, "dish:")
            .map(|(dish, value)| (dish.to_owned(), value))
            .collect(),
        bought: with_prefix(counters, "bought:")
            .filter_map(|(name, value)| Some((name.parse().ok()?, value)))
            .collect(),
        delivery: latency(counters),
    }
}

fn with_prefix<'a>(
    counters: &'a Counters,
    prefix: &'a str,
) -> impl Iterator<Item = (&'a str, i64)> {
    counters.iter().filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, *value)))
}

fn latency(counters: &Counters) -> Latency {
    let buckets: BTreeMap<u32, i64> = with_prefix(counters, "delivery:")
        .filter_map(|(bucket, value)| Some((bucket.parse().ok()?, value)))
        .collect();
    let count: i64 = buckets.values().sum();
    let sum_ms = counters.get("delivery:sum_ms").copied().unwrap_or(0);
    let percentile = |share: f64| {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            reason = "a rank needs no more digits"
        )]
        let rank = (count as f64 * share).ceil() as i64;
        let mut seen = 0;
        buckets
            .iter()
            .find(|(_, value)| {
                seen += **value;
                seen >= rank
            })
            .map_or(0, |(bucket, _)| 1_i64 << bucket)
    };
    match count {
        0 => Latency::default(),
        _ => Latency {
            count,
            mean_ms: sum_ms / count,
            p50_ms: percentile(0.5),
            p99_ms: percentile(0.99),
        },
    }
}

#[cfg(test)]
mod tests {
    use contracts::{OrderId, Timestamp};

    use super::*;

    #[test]
    fn a_percentile_is_the_upper_bound_of_its_bucket() {
        let after = |took_ms: i64| OrderDelivered {
            order: OrderId::new(),
            dish: "pizza".into(),
            placed_at: Timestamp::default(),
            delivered_at: Timestamp::from_micros(took_ms * 1_000),
        };
        let mut counters = Counters::new();
        let events: Vec<OrderDelivered> =
            (0..98).map(|_| after(3)).chain([after(700), after(800)]).collect();
        delivered(&mut counters, &events);
        let latency = summary(&counters).delivery;
        assert_eq!(latency, Latency { count: 100, mean_ms: 17, p50_ms: 4, p99_ms: 1024 });
    }

    #[test]
    fn what_is_in_flight_is_what_has_not_ended() {
        let mut counters = Counters::new();
        happened(&mut counters, OrderPlaced::NAME, 5);
        happened(&mut counters, OrderDelivered::NAME, 2);
        happened(&mut counters, OrderCancelled::NAME, 1);
        happened(&mut counters, IngredientsAwaited::NAME, 2);
        reserved(
            &mut counters,
            &[IngredientsReserved {
                order: OrderId::new(),
                reserved: BTreeMap::new(),
                waited: true,
            }],
        );
        let summary = summary(&counters);
        assert_eq!((summary.in_flight, summary.waiting_for_ingredients), (2, 1));
    }
}
