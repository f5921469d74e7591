//! What a check found.

use std::fmt;

use contracts::{Ingredient, OrderId, api::orders::OrderStatus};

use crate::orders::Orders;

/// How many violations of each rule are kept; all are counted.
pub const SAMPLES_MAX: usize = 10;

/// What must hold of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Requests with the same idempotency key get the same orders, also at the same time; other requests get others.
    Keys,
    /// A read finds each order that was known before the read was sent.
    Reads,
    /// The status of an order never moves backwards, and nothing follows a final status.
    Statuses,
    /// A stock read is never negative.
    Stock,
    /// If order A was known before order B was first sent, A's number is lower than B's; a number never changes.
    ///
    /// This holds with replicas, too: the orders service takes numbers from one row, in the transaction that saves the
    /// orders, and PostgreSQL keeps that row locked until the commit.
    Numbers,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Keys, Self::Reads, Self::Statuses, Self::Stock, Self::Numbers];

    /// Returns the rule's name: `history.keys`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keys => "history.keys",
            Self::Reads => "history.reads",
            Self::Statuses => "history.statuses",
            Self::Stock => "history.stock",
            Self::Numbers => "history.numbers",
        }
    }

    /// Returns the rule as a sentence.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Keys => {
                "requests with the same idempotency key get the same orders, and other requests get others"
            }
            Self::Reads => "a read finds each order that was known before the read was sent",
            Self::Statuses => {
                "the status of an order never moves backwards, and nothing follows a final status"
            }
            Self::Stock => "a stock read is never negative",
            Self::Numbers => {
                "an order that was sent after another was known has a higher number, and numbers never change"
            }
        }
    }
}

/// Answers that can't all be right. `line` is the line of the answer that showed it, `known_at` that of an earlier answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A key was answered with an order other than before.
    KeyChanged {
        /// The line of the answer.
        line: u64,
        /// The idempotency key.
        key: String,
        /// The order of this answer.
        order: OrderId,
        /// The order of the earlier answer.
        before: OrderId,
    },
    /// Two requests, neither of which repeats the other, were answered with the same order.
    OrderGivenTwice {
        /// The line of the answer.
        line: u64,
        /// The order.
        order: OrderId,
        /// The line of an answer that showed the order before.
        known_at: u64,
    },
    /// A request was answered with more or fewer orders than it asked for.
    CountDiffers {
        /// The line of the answer.
        line: u64,
        /// How many orders were asked for.
        asked: usize,
        /// How many orders were answered.
        answered: usize,
    },
    /// A read did not find an order that was known before.
    Lost {
        /// The line of the answer.
        line: u64,
        /// The order.
        order: OrderId,
        /// The line of an answer that showed the order before.
        known_at: u64,
    },
    /// A status moved backwards.
    MovedBack {
        /// The line of the answer.
        line: u64,
        /// The order.
        order: OrderId,
        /// The status of this answer.
        status: OrderStatus,
        /// The line of an answer that showed a later status before.
        known_at: u64,
    },
    /// Another status followed a final one.
    FollowedFinal {
        /// The line of the answer.
        line: u64,
        /// The order.
        order: OrderId,
        /// The status of this answer.
        status: OrderStatus,
        /// The final status of the earlier answer.
        ended: OrderStatus,
        /// The line of that answer.
        known_at: u64,
    },
    /// A stock was negative.
    NegativeStock {
        /// The line of the answer.
        line: u64,
        /// The ingredient.
        ingredient: Ingredient,
        /// How much was said to be on hand.
        on_hand: i64,
    },
    /// The number of an order changed.
    NumberChanged {
        /// The line of the answer.
        line: u64,
        /// The order.
        order: OrderId,
        /// The number of this answer.
        number: i64,
        /// The number of the earlier answer.
        before: i64,
    },
    /// An order has no higher number than one that was known before this order was first sent.
    NumberTooLow {
        /// The line of the answer.
        line: u64,
        /// The order.
        order: OrderId,
        /// Its number.
        number: i64,
        /// The highest number that was known when this order was first sent.
        known: i64,
    },
}

impl Violation {
    /// Returns the rule that is broken.
    #[must_use]
    pub const fn rule(&self) -> Rule {
        match self {
            Self::KeyChanged { .. } | Self::OrderGivenTwice { .. } | Self::CountDiffers { .. } => {
                Rule::Keys
            }
            Self::Lost { .. } => Rule::Reads,
            Self::MovedBack { .. } | Self::FollowedFinal { .. } => Rule::Statuses,
            Self::NegativeStock { .. } => Rule::Stock,
            Self::NumberChanged { .. } | Self::NumberTooLow { .. } => Rule::Numbers,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyChanged { line, key, order, before } => write!(
                formatter,
                "line {line}: the key `{key}` was answered with order {order}, and before with order {before}"
            ),
            Self::OrderGivenTwice { line, order, known_at } => write!(
                formatter,
                "line {line}: order {order} answers a new request, although line {known_at} showed the order before"
            ),
            Self::CountDiffers { line, asked, answered } => write!(
                formatter,
                "line {line}: a request for {asked} orders was answered with {answered}"
            ),
            Self::Lost { line, order, known_at } => write!(
                formatter,
                "line {line}: a read did not find order {order}, although line {known_at} showed it before the read was sent"
            ),
            Self::MovedBack { line, order, status, known_at } => write!(
                formatter,
                "line {line}: order {order} is {status}, although line {known_at} showed a later status before the read was sent"
            ),
            Self::FollowedFinal { line, order, status, ended, known_at } => write!(
                formatter,
                "line {line}: order {order} is {status}, although line {known_at} showed that it is {ended} for good"
            ),
            Self::NegativeStock { line, ingredient, on_hand } => {
                write!(formatter, "line {line}: there are {on_hand} of {ingredient} on hand")
            }
            Self::NumberChanged { line, order, number, before } => write!(
                formatter,
                "line {line}: order {order} has the number {number}, and before it had {before}"
            ),
            Self::NumberTooLow { line, order, number, known } => write!(
                formatter,
                "line {line}: order {order} has the number {number}, although number {known} was known before the order was first sent"
            ),
        }
    }
}

/// What a check found out about one rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleFindings {
    /// How often the rule was applied.
    pub checked: u64,
    /// How often it was broken.
    pub broken: u64,
    /// The first violations, [`SAMPLES_MAX`] at the most.
    pub samples: Vec<Violation>,
}

/// What a check found out.
#[derive(Debug, Default)]
pub struct Findings {
    rules: [RuleFindings; Rule::ALL.len()],
    pub(crate) orders: Orders,
}

impl Findings {
    /// Returns what was found out about a rule.
    #[must_use]
    pub const fn of(&self, rule: Rule) -> &RuleFindings {
        &self.rules[rule as usize]
    }

    /// Returns whether every rule holds.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.rules.iter().all(|rule| rule.broken == 0)
    }

    /// Returns the violations that are kept, rule by rule.
    pub fn violations(&self) -> impl Iterator<Item = &Violation> {
        self.rules.iter().flat_map(|rule| &rule.samples)
    }

    /// Returns the orders that answers showed, each of which must still exist.
    pub fn known_orders(&self) -> impl Iterator<Item = OrderId> + '_ {
        self.orders.known()
    }

    pub(crate) fn checked(&mut self, rule: Rule) {
        self.rules[rule as usize].checked += 1;
    }

    pub(crate) fn found(&mut self, violation: Violation) {
        let rule = &mut self.rules[violation.rule() as usize];
        rule.broken += 1;
        if rule.samples.len() < SAMPLES_MAX {
            rule.samples.push(violation);
        }
    }
}
