//! What to buy now, and when to ask again after a market that had none.

use std::time::{Duration, Instant};

use contracts::Ingredient;

use super::{Basket, INGREDIENTS};

/// How long to wait after the first time the market had none: shorter than a guest notices.
const NONE_PAUSE: Duration = Duration::from_millis(10);
/// What a sale is thought to bring before the first one: the middle of what farmers are known to sell, some having none.
const SALE_ASSUMED: f64 = 4.0;
/// The least that a sale is thought to bring, so that one who has had none for long is not asked for ever more at once.
const SALE_LEAST: f64 = 0.5;
/// How much a new sale counts beside all before.
const SALE_WEIGHT: f64 = 0.1;

/// What was learned about one ingredient at the market.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Appetite {
    sale: f64,
    rounds_without: u32,
    not_before: Option<Instant>,
}

impl Default for Appetite {
    fn default() -> Self {
        Self { sale: SALE_ASSUMED, rounds_without: 0, not_before: None }
    }
}

impl Appetite {
    /// Learns from the sales that came in together. When none of them brought anything, it is time to wait: `jitter` is
    /// from 0 to 1, `pause_max` the longest wait. One that brought something ends the wait, because zeros may be chance.
    pub(crate) fn learn(&mut self, sales: &[i64], now: Instant, jitter: f64, pause_max: Duration) {
        for sold in sales {
            #[expect(clippy::cast_precision_loss, reason = "it is an estimate")]
            let sold = *sold as f64;
            self.sale = (self.sale + SALE_WEIGHT * (sold - self.sale)).max(SALE_LEAST);
        }
        if sales.iter().any(|sold| *sold > 0) {
            self.rounds_without = 0;
            self.not_before = None;
        } else if !sales.is_empty() {
            let pause = NONE_PAUSE.saturating_mul(1 << self.rounds_without.min(16)).min(pause_max);
            self.rounds_without = self.rounds_without.saturating_add(1);
            self.not_before = Some(now + pause.mul_f64(0.5 + 0.5 * jitter));
        }
    }

    /// Returns until when to wait, if it is time to.
    pub(crate) fn waits_until(&self, now: Instant) -> Option<Instant> {
        self.not_before.filter(|moment| *moment > now)
    }

    /// Returns how many purchases may be open when `short` are missing: enough to bring them, at most `open_max`, half
    /// as many for each round that brought nothing, and one at least.
    fn open_limit(&self, short: i64, open_max: usize) -> usize {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an estimate of a positive number, and a cast from a float saturates"
        )]
        let enough = (short as f64 / self.sale).ceil() as usize;
        enough.min(open_max >> self.rounds_without.min(16)).max(1)
    }
}

/// Decides which purchases to open, given how much is short, how many are open for each ingredient, and how many may be
/// open in all. Each ingredient that is short gets one first; the rest is shared by how many each has use for, so that all
/// that a dish needs comes in together.
pub(crate) fn what_to_buy(
    short: &Basket,
    open: &[usize; INGREDIENTS],
    appetites: &[Appetite; INGREDIENTS],
    open_max: usize,
    now: Instant,
) -> Vec<Ingredient> {
    // No ingredient may take all: the market may have none of it.
    let open_max_each = (open_max / 4).max(1);
    let mut room = open_max.saturating_sub(open.iter().sum());
    let mut open = *open;
    let limits: Vec<(Ingredient, usize)> = short
        .iter()
        .filter(|(_, short)| *short > 0)
        .map(|(ingredient, short)| (ingredient, &appetites[ingredient as usize], short))
        .filter(|(_, appetite, _)| appetite.waits_until(now).is_none())
        .map(|(ingredient, appetite, short)| {
            (ingredient, appetite.open_limit(short, open_max_each))
        })
        .collect();
    let mut bought = Vec::new();
    while room > 0 {
        let next = limits
            .iter()
            .filter(|(ingredient, limit)| open[*ingredient as usize] < *limit)
            // The highest average: limit / (open + 1), compared without dividing. One without an open purchase goes first.
            .max_by(|(one, one_limit), (other, other_limit)| {
                let (one_open, other_open) = (open[*one as usize], open[*other as usize]);
                (one_open == 0).cmp(&(other_open == 0)).then_with(|| {
                    (one_limit * (other_open + 1)).cmp(&(other_limit * (one_open + 1)))
                })
            });
        let Some((ingredient, _)) = next else { break };
        open[*ingredient as usize] += 1;
        bought.push(*ingredient);
        room -= 1;
    }
    bought
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE_MAX: Duration = Duration::from_secs(1);

    fn short_of(quantities: &[(Ingredient, i64)]) -> Basket {
        let mut basket = Basket::default();
        for (ingredient, quantity) in quantities {
            basket[*ingredient] = *quantity;
        }
        basket
    }

    fn counted(bought: &[Ingredient], ingredient: Ingredient) -> usize {
        bought.iter().filter(|other| **other == ingredient).count()
    }

    #[test]
    fn as_many_are_opened_as_bring_what_is_missing_and_no_more() {
        let now = Instant::now();
        let appetites = [Appetite::default(); INGREDIENTS];
        let short = short_of(&[(Ingredient::Rice, 9), (Ingredient::Onion, 1)]);
        let mut open = [0; INGREDIENTS];
        let bought = what_to_buy(&short, &open, &appetites, 64, now);
        assert_eq!(
            (counted(&bought, Ingredient::Rice), counted(&bought, Ingredient::Onion)),
            (3, 1)
        );
        open[Ingredient::Rice as usize] = 3;
        open[Ingredient::Onion as usize] = 1;
        assert!(what_to_buy(&short, &open, &appetites, 64, now).is_empty());
    }

    #[test]
    fn never_more_than_the_limit_are_open_and_each_ingredient_gets_its_share() {
        let now = Instant::now();
        let appetites = [Appetite::default(); INGREDIENTS];
        let plenty: Vec<(Ingredient, i64)> =
            Ingredient::ALL.map(|ingredient| (ingredient, 10_000)).to_vec();
        let bought = what_to_buy(&short_of(&plenty), &[0; INGREDIENTS], &appetites, 8, now);
        assert_eq!(bought.len(), 8);
        let bought = what_to_buy(&short_of(&plenty), &[0; INGREDIENTS], &appetites, 64, now);
        assert_eq!(bought.len(), 64);
        assert!(
            Ingredient::ALL
                .into_iter()
                .all(|ingredient| (6..=7).contains(&counted(&bought, ingredient)))
        );
        let one = what_to_buy(&short_of(&plenty[..1]), &[0; INGREDIENTS], &appetites, 64, now);
        assert_eq!(one.len(), 16, "no ingredient takes all");
    }

    #[test]
    fn a_market_that_has_none_is_asked_less_and_less_until_it_sells() {
        let now = Instant::now();
        let mut appetites = [Appetite::default(); INGREDIENTS];
        let lemon = Ingredient::Lemon as usize;
        let short = short_of(&[(Ingredient::Lemon, 10_000), (Ingredient::Rice, 1)]);
        appetites[lemon].learn(&[0, 0], now, 1.0, PAUSE_MAX);
        assert_eq!(appetites[lemon].waits_until(now), Some(now + NONE_PAUSE));
        let bought = what_to_buy(&short, &[0; INGREDIENTS], &appetites, 64, now);
        assert_eq!(bought, [Ingredient::Rice], "the others are bought meanwhile");
        assert_eq!(
            what_to_buy(&short, &[0; INGREDIENTS], &appetites, 64, now + NONE_PAUSE).len(),
            8 + 1
        );

        for _ in 0..20 {
            appetites[lemon].learn(&[0], now, 1.0, PAUSE_MAX);
        }
        assert_eq!(
            appetites[lemon].waits_until(now),
            Some(now + PAUSE_MAX),
            "no wait is longer than the longest"
        );
        assert_eq!(
            what_to_buy(&short, &[0; INGREDIENTS], &appetites, 64, now + PAUSE_MAX).len(),
            1 + 1
        );

        appetites[lemon].learn(&[0, 7], now, 1.0, PAUSE_MAX);
        assert_eq!(appetites[lemon].waits_until(now), None);
        assert_eq!(what_to_buy(&short, &[0; INGREDIENTS], &appetites, 64, now).len(), 16 + 1);
    }
}
