//! What a purchase is, and what may be done with it.

use contracts::{Ingredient, api::market_sim::Sale, market::QUANTITY_SOLD_MAX};

/// A purchase as it is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Purchase {
    pub(crate) ingredient: Ingredient,
    pub(crate) status: Status,
}

/// How far a purchase is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// The farmers have not answered. If a call was under way, they may have sold something.
    Open { under_way: bool },
    /// They answered.
    Done { quantity: i64 },
    /// Whether they sold anything can't be found out. That is final.
    Unknown,
}

impl Status {
    /// Returns the word by which it is stored and told.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Open { .. } => "open",
            Self::Done { .. } => "done",
            Self::Unknown => "unknown",
        }
    }

    /// Returns the status with this name; `None` if there is none.
    pub(crate) fn read(name: &str, under_way: bool, quantity: i64) -> Option<Self> {
        match name {
            "open" => Some(Self::Open { under_way }),
            "done" => Some(Self::Done { quantity }),
            "unknown" => Some(Self::Unknown),
            _ => None,
        }
    }
}

/// What the buyer is told in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bought {
    /// The farmers sold that much; 0: there is none now.
    Sold(i64),
    /// It can't be found out.
    Unknown,
}

/// What to do when a purchase is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Call the farmers.
    Call,
    /// Tell what is known already.
    Tell(Bought),
    /// Give up: the farmers may have sold something, and this market sells again when it is asked again.
    GiveUp,
    /// Refuse: the purchase is one of another ingredient.
    OtherIngredient(Ingredient),
}

/// Returns what to do when a purchase that was asked for before is asked for again.
pub(crate) fn resume(purchase: Purchase, ingredient: Ingredient, asks_again: bool) -> Step {
    match purchase.status {
        _ if purchase.ingredient != ingredient => Step::OtherIngredient(purchase.ingredient),
        Status::Done { quantity } => Step::Tell(Bought::Sold(quantity)),
        Status::Unknown => Step::Tell(Bought::Unknown),
        Status::Open { under_way } if under_way && !asks_again => Step::GiveUp,
        Status::Open { .. } => Step::Call,
    }
}

/// What came of one call to the farmers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Called {
    /// They answered how much they sold.
    Sold(i64),
    /// They certainly sold nothing, and it may help to call again.
    NothingSold(Trouble),
    /// They refuse this call, however often it is made.
    Refused(Trouble),
    /// They may have sold something.
    Unclear(Trouble),
}

/// What the farmers' side of a failed call was. Its words are ours: what the other side said is never passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("it can't be reached")]
    Unreachable,
    #[error("it does not answer in time")]
    Late,
    #[error("the connection broke before it had answered")]
    Broken,
    #[error("it answers {0}")]
    Status(u16),
    #[error("its answer can't be read")]
    Unreadable,
    #[error("its answer is larger than {0} bytes")]
    TooLarge(usize),
    #[error("it says that it sold {0}, which can't be")]
    Impossible(i64),
}

/// Returns what the status of an answer means, unless it is one that has a sale in it.
pub(crate) fn judge_status(status: u16) -> Option<Called> {
    match status {
        200 => None,
        408 => Some(Called::Unclear(Trouble::Status(status))),
        429 => Some(Called::NothingSold(Trouble::Status(status))),
        400..500 => Some(Called::Refused(Trouble::Status(status))),
        _ => Some(Called::Unclear(Trouble::Status(status))),
    }
}

/// Returns what the farmers say that they sold.
pub(crate) fn judge_body(body: &[u8]) -> Called {
    let is_exact = serde_json::from_slice::<Sale>(body).is_ok();
    match contracts::json::from_slice::<Sale>(body) {
        // Another way to write a whole number, such as `1e3`, is left to what may be asked again.
        Ok(_) if !is_exact => Called::Unclear(Trouble::Unreadable),
        Ok(sale) if (0..=QUANTITY_SOLD_MAX).contains(&sale.quantity_sold) => {
            Called::Sold(sale.quantity_sold)
        }
        Ok(sale) => Called::Unclear(Trouble::Impossible(sale.quantity_sold)),
        Err(_) => Called::Unclear(Trouble::Unreadable),
    }
}

/// Returns whether to call again after this: only where that can't buy twice.
pub(crate) const fn may_call_again(called: &Called, asks_again: bool) -> bool {
    match called {
        Called::Sold(_) | Called::Refused(_) => false,
        Called::NothingSold(_) => true,
        Called::Unclear(_) => asks_again,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Status = Status::Open { under_way: false };
    const UNDER_WAY: Status = Status::Open { under_way: true };

    #[test]
    fn a_purchase_is_resumed_as_its_market_allows() {
        let lemons = |status| Purchase { ingredient: Ingredient::Lemon, status };
        let resumed = |status, asks_again| resume(lemons(status), Ingredient::Lemon, asks_again);
        for asks_again in [true, false] {
            assert_eq!(resumed(OPEN, asks_again), Step::Call);
            assert_eq!(resumed(Status::Unknown, asks_again), Step::Tell(Bought::Unknown));
            let done = Status::Done { quantity: 3 };
            assert_eq!(resumed(done, asks_again), Step::Tell(Bought::Sold(3)));
            assert_eq!(
                resume(lemons(done), Ingredient::Rice, asks_again),
                Step::OtherIngredient(Ingredient::Lemon)
            );
        }
        assert_eq!(resumed(UNDER_WAY, true), Step::Call);
        assert_eq!(resumed(UNDER_WAY, false), Step::GiveUp);
    }

    #[test]
    fn only_a_whole_quantity_in_bounds_is_an_answer() {
        for (body, quantity) in [
            (r#"{"quantitySold":0}"#, 0),
            (r#" {"quantitySold": 1000000, "currency": "EUR"} "#, 1_000_000),
        ] {
            assert_eq!(judge_body(body.as_bytes()), Called::Sold(quantity), "{body}");
        }
        for body in [
            "",
            "7",
            "null",
            "{}",
            "[]",
            "<html>",
            r#"{"quantitySold":NaN}"#,
            r#"{"quantitySold":null}"#,
            r#"{"quantitySold":"7"}"#,
            r#"{"quantitySold":1.5}"#,
            r#"{"quantitySold":1e3}"#,
            r#"{"quantitySold":-1}"#,
            r#"{"quantitySold":1000001}"#,
            r#"{"quantitySold":99999999999999999999999}"#,
            r#"{"quantitySold":1,"quantitySold":2}"#,
            r#"{"quantitySold":1} {"quantitySold":1}"#,
            "{\"quantitySold\":1",
            "\u{feff}{\"quantitySold\":1}",
        ] {
            assert!(matches!(judge_body(body.as_bytes()), Called::Unclear(_)), "{body}");
        }
    }

    #[test]
    fn what_may_have_been_sold_is_asked_for_again_only_by_key() {
        for status in [500, 502, 503, 504, 408, 301, 302, 204, 206, 100, 999] {
            let called = judge_status(status).unwrap();
            assert!(may_call_again(&called, true), "{status}");
            assert!(!may_call_again(&called, false), "{status}");
        }
        for status in [400, 401, 404, 422] {
            assert!(!may_call_again(&judge_status(status).unwrap(), true), "{status}");
        }
        assert!(may_call_again(&judge_status(429).unwrap(), false));
        assert_eq!(judge_status(200), None);
    }
}
