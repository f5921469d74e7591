//! What events add to the aggregates, and what the aggregates say: pure.
//!
//! Each event adds 1 to the counter of its name. Beside those:
//! - `dish:<name>`: deliveries of a dish; `bought:<ingredient>`: what was bought of it;
//! - `waited:reserved`, `waited:left`: orders that waited for ingredients and wait no more;
//! - `delivery_us:sum`, `delivery_us:<lower bound>`: how long deliveries took, in microseconds: their sum, and how many fell
//!   into each bucket of a histogram, see [`bucket_of`].

use std::collections::BTreeMap;

use contracts::{
    api::{
        board::{Latency, Summary},
        live::DishFigures,
    },
    events::{
        CookingStarted, DishPrepared, Event, IngredientPurchased, IngredientsAwaited,
        IngredientsReleased, IngredientsReserved, OrderCancelled, OrderDelivered, OrderPlaced,
        OrderRejected,
    },
};

/// Counters by name: the stored ones, or what a batch adds to them.
pub(crate) type Counters = BTreeMap<String, i64>;
/// How many deliveries of a dish fell into a bucket of the histogram: the stored ones, or what a batch adds to them.
pub(crate) type DishDeliveries = BTreeMap<(String, i64), i64>;

const DELIVERY: &str = "delivery_us:";
const DELIVERY_SUM: &str = "delivery_us:sum";
/// How many leading bits tell a duration's bucket: 5, so that each doubling has 16 buckets, and the middle of a bucket is at
/// most 1/32 (3.2 %) from any duration in it.
const BUCKET_BITS: u32 = 5;
/// The longest duration that a bucket tells, in microseconds: 12 days. So there are 592 buckets at most.
const DELIVERY_US_MAX: i64 = (1 << 40) - 1;

pub(crate) fn delivered(added: &mut Counters, events: &[OrderDelivered]) {
    for event in events {
        add(added, format!("dish:{}", event.dish), 1);
        let took_us = took_us(event);
        add(added, DELIVERY_SUM.into(), took_us);
        add(added, format!("{DELIVERY}{}", bucket_of(took_us)), 1);
    }
}

pub(crate) fn dish_deliveries(events: &[OrderDelivered]) -> DishDeliveries {
    let mut added = DishDeliveries::new();
    for event in events {
        *added.entry((event.dish.clone(), bucket_of(took_us(event)))).or_default() += 1;
    }
    added
}

fn took_us(event: &OrderDelivered) -> i64 {
    let took = event.delivered_at.since(event.placed_at).as_micros();
    i64::try_from(took).unwrap_or(i64::MAX).min(DELIVERY_US_MAX)
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

/// Returns the bucket of a duration, by its lower bound: the duration with all but its [`BUCKET_BITS`] leading bits cleared.
/// Durations below 2⁵ have buckets of their own.
const fn bucket_of(took_us: i64) -> i64 {
    took_us & !(width_of(took_us) - 1)
}

/// Returns how many durations share the bucket of this one.
const fn width_of(took_us: i64) -> i64 {
    1 << (i64::BITS - took_us.leading_zeros()).saturating_sub(BUCKET_BITS)
}

/// Returns what the buckets of each dish say.
pub(crate) fn dish_figures(deliveries: DishDeliveries) -> BTreeMap<String, DishFigures> {
    let mut by_dish: BTreeMap<String, BTreeMap<i64, i64>> = BTreeMap::new();
    for ((dish, bucket), count) in deliveries {
        by_dish.entry(dish).or_default().insert(bucket, count);
    }
    let figures = |buckets: BTreeMap<i64, i64>| DishFigures {
        delivered: buckets.values().sum(),
        p50_ms: in_ms(percentile_us(&buckets, 50)),
        p95_ms: in_ms(percentile_us(&buckets, 95)),
    };
    by_dish.into_iter().map(|(dish, buckets)| (dish, figures(buckets))).collect()
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
    let buckets: BTreeMap<i64, i64> = with_prefix(counters, DELIVERY)
        .filter_map(|(bucket, value)| Some((bucket.parse().ok()?, value)))
        .collect();
    let count: i64 = buckets.values().sum();
    if count == 0 {
        return Latency::default();
    }
    let sum_us = counters.get(DELIVERY_SUM).copied().unwrap_or(0);
    let (p50_us, p99_us) = (percentile_us(&buckets, 50), percentile_us(&buckets, 99));
    let mean_us = sum_us / count;
    Latency {
        count,
        mean_ms: in_ms(mean_us),
        p50_ms: in_ms(p50_us),
        p99_ms: in_ms(p99_us),
        mean_us,
        p50_us,
        p99_us,
    }
}

/// Returns the middle of the bucket up to which this percentage of the durations is; 0 if there are none.
fn percentile_us(buckets: &BTreeMap<i64, i64>, percent: i64) -> i64 {
    let rank = (buckets.values().sum::<i64>() * percent + 99) / 100;
    let mut seen = 0;
    let reached = buckets.iter().find(|(_, value)| {
        seen += **value;
        seen >= rank
    });
    reached.map_or(0, |(bucket, _)| bucket + width_of(*bucket) / 2)
}

const fn in_ms(us: i64) -> i64 {
    (us + 500) / 1_000
}

#[cfg(test)]
mod tests {
    use contracts::{OrderId, Timestamp};
    use proptest::prelude::*;

    use super::*;

    fn delivery(dish: &str, took_us: i64) -> OrderDelivered {
        OrderDelivered {
            order: OrderId::new(),
            dish: dish.into(),
            placed_at: Timestamp::default(),
            delivered_at: Timestamp::from_micros(took_us),
        }
    }

    fn latency_of(took_us: &[i64]) -> Latency {
        let mut counters = Counters::new();
        let deliveries: Vec<_> =
            took_us.iter().map(|took_us| delivery("pizza", *took_us)).collect();
        delivered(&mut counters, &deliveries);
        summary(&counters).delivery
    }

    #[test]
    fn each_dish_has_its_own_figures() {
        let pizzas = (1..=100).map(|ms| delivery("pizza", ms * 1_000));
        let deliveries: Vec<_> = pizzas.chain([delivery("salad", 1_999_999)]).collect();
        let figures = dish_figures(dish_deliveries(&deliveries));
        let figures: Vec<_> = figures
            .iter()
            .map(|(dish, figures)| {
                (dish.as_str(), figures.delivered, figures.p50_ms, figures.p95_ms)
            })
            .collect();
        assert_eq!(figures, [("pizza", 100, 50, 96), ("salad", 1, 1_999, 1_999)]);
    }

    #[test]
    fn a_dinner_of_two_seconds_is_not_shown_as_one_of_four() {
        let took_us = [[2_150_000; 98].as_slice(), &[8_000_000, 9_000_000]].concat();
        let latency = latency_of(&took_us);
        assert_eq!((latency.count, latency.mean_ms, latency.mean_us), (100, 2_277, 2_277_000));
        assert_eq!((latency.p50_ms, latency.p50_us), (2_163, 2_162_688));
        assert_eq!((latency.p99_ms, latency.p99_us), (7_995, 7_995_392));
    }

    proptest! {
        #[test]
        fn percentiles_are_within_five_percent(
            // Of each length as many: from microseconds to hours.
            mut took_us in prop::collection::vec((0_u32..34).prop_flat_map(|bits| 0_i64..1 << bits), 1..300),
        ) {
            let latency = latency_of(&took_us);
            took_us.sort_unstable();
            let exact = |percent: usize| took_us[(took_us.len() * percent).div_ceil(100) - 1];
            for (exact, shown) in [(exact(50), latency.p50_us), (exact(99), latency.p99_us)] {
                prop_assert!((exact - shown).abs() * 20 <= exact, "{shown} instead of {exact}");
            }
            prop_assert_eq!(latency.mean_us, took_us.iter().sum::<i64>() / took_us.len() as i64);
        }

        #[test]
        fn buckets_follow_upon_each_other(took_us in 0..DELIVERY_US_MAX) {
            let bucket = bucket_of(took_us);
            prop_assert!((bucket..bucket + width_of(took_us)).contains(&took_us));
            prop_assert_eq!((bucket_of(bucket), width_of(bucket)), (bucket, width_of(took_us)));
            let next = bucket + width_of(bucket);
            prop_assert_eq!(bucket_of(next), next);
        }
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
