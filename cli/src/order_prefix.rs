//! Orders as people name them: by an id, or by a beginning of one that is long enough to tell it from the others.

use std::{fmt, str::FromStr, time::Duration};

use client::Client;
use contracts::{
    OrderId, Timestamp,
    api::orders::{Order, OrderPage},
};

use crate::{
    commands::usage_error,
    error::{CliError, Result},
};

/// How many characters of an id are shown: the millisecond in which it was made.
const SHOWN_CHARS: usize = 13;
/// How many orders are asked for at a time.
const PAGE: i64 = 1_000;
/// How many orders are listed of those that a beginning may mean.
const LISTED_MAX: usize = 10;
/// How far the clocks of two replicas of a service may differ: ids of one are as much before those of another.
const SKEW_MAX: Duration = Duration::from_secs(5);

/// An id of an order, or the beginning of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OrderPrefix {
    /// Written as an id: lower case, with hyphens.
    text: String,
}

/// A text that begins no id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not an order: it should be an id, such as 0192f3c4-5a6b-7c8d-9e0f-112233445566, or the beginning of one"
)]
pub(crate) struct NotAnOrder {
    text: String,
}

impl FromStr for OrderPrefix {
    type Err = NotAnOrder;

    fn from_str(text: &str) -> Result<Self, NotAnOrder> {
        const HYPHENS: [usize; 4] = [8, 13, 18, 23];
        if let Ok(id) = text.parse::<OrderId>() {
            return Ok(id.into());
        }
        let is_right = |(at, letter): (usize, char)| match HYPHENS.contains(&at) {
            true => letter == '-',
            false => letter.is_ascii_hexdigit(),
        };
        match !text.is_empty() && text.len() < 36 && text.chars().enumerate().all(is_right) {
            true => Ok(Self { text: text.to_ascii_lowercase() }),
            false => Err(NotAnOrder { text: text.chars().take(64).collect() }),
        }
    }
}

impl From<OrderId> for OrderPrefix {
    fn from(id: OrderId) -> Self {
        Self { text: id.to_string() }
    }
}

impl fmt::Display for OrderPrefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl OrderPrefix {
    /// Returns whether an id begins with it.
    pub(crate) fn begins(&self, id: &str) -> bool {
        id.starts_with(&self.text)
    }

    /// Returns the one order that it means, and asks for it only if this is not a whole id.
    ///
    /// # Errors
    /// [`CliError::Usage`] of this command with the orders that it may mean; [`CliError::Failed`] if there is none.
    pub(crate) async fn find(&self, client: &Client, command: &str) -> Result<OrderId> {
        if let Ok(id) = self.text.parse() {
            return Ok(id);
        }
        match self.candidates(client).await?.as_slice() {
            [] => Err(CliError::failed(format!("there is no order whose id begins with `{self}`"))),
            [order] => Ok(order.id),
            several => Err(usage_error(command, self.list(several))),
        }
    }

    fn list(&self, orders: &[Order]) -> String {
        let shown = &orders[..orders.len().min(LISTED_MAX)];
        let line = |order: &Order| {
            let dish = order.dish.as_deref().unwrap_or("any dish");
            format!("\n  {}  {dish}, {}", order.id, order.status)
        };
        let more = if shown.len() < orders.len() { "\n  …" } else { "" };
        let lines: String = shown.iter().map(line).collect();
        format!("`{self}` may be any of these orders:{lines}{more}")
    }

    /// Returns the orders whose ids begin with it, newest first, or some of them if there are more than are listed.
    ///
    /// Ids sort by time, and so do the running numbers: only the orders of its time are read.
    async fn candidates(&self, client: &Client) -> Result<Vec<Order>> {
        let (first, last) = self.times();
        let mut before = end_of(client, last.plus(SKEW_MAX)).await?;
        let mut found = Vec::new();
        loop {
            let page = page(client, before, PAGE).await?;
            let is_through = page.orders.last().is_none_or(|oldest| {
                made_at(oldest) < first.minus(SKEW_MAX) || page.next_before.is_none()
            });
            found
                .extend(page.orders.into_iter().filter(|order| self.begins(&order.id.to_string())));
            match page.next_before {
                Some(next) if !is_through && found.len() <= LISTED_MAX => before = next,
                _ => return Ok(found),
            }
        }
    }

    /// Returns the first and the last moment at which an id with this beginning can have been made.
    fn times(&self) -> (Timestamp, Timestamp) {
        const DIGITS: usize = 12;
        let digits: String =
            self.text.chars().filter(|letter| *letter != '-').take(DIGITS).collect();
        let moment = |fill: &str| {
            let digits = digits.clone() + &fill.repeat(DIGITS - digits.len());
            let ms = i64::from_str_radix(&digits, 16).unwrap_or_default();
            Timestamp::from_micros(ms * 1_000)
        };
        (moment("0"), moment("f").plus(Duration::from_millis(1)))
    }
}

/// Returns a running number at or after the end of the orders made until then, by at most a page.
async fn end_of(client: &Client, time: Timestamp) -> Result<i64> {
    let Some(last) = newest(client, i64::MAX).await? else { return Ok(i64::MAX) };
    let (mut low, mut high) = (0, last.number.saturating_add(1));
    if made_at(&last) <= time {
        return Ok(high);
    }
    while high - low > PAGE {
        let middle = low + (high - low) / 2;
        match newest(client, middle).await? {
            Some(order) if made_at(&order) > time => high = middle,
            _ => low = middle,
        }
    }
    Ok(high)
}

/// Returns the last order below a running number.
async fn newest(client: &Client, before: i64) -> Result<Option<Order>> {
    Ok(page(client, before, 1).await?.orders.into_iter().next())
}

fn made_at(order: &Order) -> Timestamp {
    order.id.made_at().unwrap_or(order.placed_at)
}

async fn page(client: &Client, before: i64, limit: i64) -> Result<OrderPage> {
    Ok(client.get(&format!("/v1/orders?before={before}&limit={limit}")).await?)
}

/// Shortens ids to beginnings that tell apart the orders that were shown.
#[derive(Debug, Default)]
pub(crate) struct Shortener {
    /// The ids that are shown short, by what is shown.
    shown: std::collections::HashMap<String, OrderId>,
}

impl Shortener {
    /// How many ids are remembered; after that, all are forgotten.
    const IDS_MAX: usize = 10_000;

    /// Returns the beginning of an id; all of it if it is no id of an order, or if another one was shown by this beginning.
    pub(crate) fn shorten<'t>(&mut self, text: &'t str) -> &'t str {
        let (Ok(id), Some(short)) = (text.parse::<OrderId>(), text.get(..SHOWN_CHARS)) else {
            return text;
        };
        if self.shown.len() >= Self::IDS_MAX {
            self.shown.clear();
        }
        match self.shown.get(short) {
            Some(other) if *other != id => text,
            Some(_) => short,
            None => {
                self.shown.insert(short.to_owned(), id);
                short
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_or_its_beginning_is_an_order() {
        let id = "0192f3c4-5a6b-7c8d-9e0f-112233445566";
        for length in 1..=id.len() {
            let prefix: OrderPrefix = id[..length].to_uppercase().parse().unwrap();
            assert!(prefix.begins(id), "{prefix}");
            assert_eq!(prefix.to_string(), id[..length]);
        }
        assert!(id.replace('-', "").parse::<OrderPrefix>().unwrap().begins(id));
        for wrong in ["", "-", "0192f3c45", "0192f3c4-5a6b-7c8d-9e0f-1122334455667", "pizza", "é"]
        {
            assert!(wrong.parse::<OrderPrefix>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_beginning_has_the_time_of_its_orders() {
        let id = OrderId::new();
        for length in 1..=36 {
            let prefix = OrderPrefix { text: id.to_string()[..length].into() };
            let (first, last) = prefix.times();
            let made_at = id.made_at().unwrap();
            assert!(first <= made_at && made_at < last, "{prefix}: {first} {last}");
        }
    }

    #[test]
    fn two_orders_of_one_millisecond_are_not_shown_alike() {
        let one = "0192f3c4-5a6b-7c8d-9e0f-112233445566";
        let other = "0192f3c4-5a6b-7c8d-9e0f-112233445567";
        let mut shortener = Shortener::default();
        assert_eq!([one, other, one].map(|id| shortener.shorten(id).len()), [13, 36, 13]);
        assert_eq!(shortener.shorten("7"), "7");
    }
}
