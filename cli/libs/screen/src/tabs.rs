//! The tabs, each with its panes.

mod history;
mod kitchen;
mod services;
mod stock;
mod totals;

use contracts::{Timestamp, api::live::Ticket};

use crate::{panes::Pane, state::State, words::safe};

/// One part of the restaurant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tab {
    Kitchen,
    Stock,
    History,
    Services,
    Totals,
}

impl Tab {
    pub(crate) const ALL: [Self; 5] =
        [Self::Kitchen, Self::Stock, Self::History, Self::Services, Self::Totals];

    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Kitchen => "Kitchen",
            Self::Stock => "Stock",
            Self::History => "History",
            Self::Services => "Services",
            Self::Totals => "Totals",
        }
    }

    /// Returns the tab of a digit, from 1; this one if there is none.
    pub(crate) fn numbered(self, digit: char) -> Self {
        let index = digit.to_digit(10).and_then(|digit| (digit as usize).checked_sub(1));
        index.and_then(|index| Self::ALL.get(index).copied()).unwrap_or(self)
    }

    pub(crate) const fn next(self) -> Self {
        Self::ALL[(self.index() + 1) % Self::ALL.len()]
    }

    pub(crate) const fn previous(self) -> Self {
        Self::ALL[(self.index() + Self::ALL.len() - 1) % Self::ALL.len()]
    }
}

/// Returns the panes of the tab that is shown.
pub(crate) fn panes(state: &State, now: Timestamp) -> Vec<Pane> {
    let gateway_now = state.gateway_time(now);
    match state.tab {
        Tab::Kitchen => kitchen::panes(&state.view, gateway_now),
        Tab::Stock => stock::panes(&state.view, gateway_now),
        Tab::History => history::panes(&state.view, &state.options.zone),
        Tab::Services => services::panes(&state.view, gateway_now),
        Tab::Totals => totals::panes(state, now),
    }
}

/// Returns the dish of an order; empty until the kitchen has picked one.
fn dish(ticket: &Ticket) -> String {
    ticket.dish.as_deref().map(safe).unwrap_or_default()
}

/// Returns the orders at their end, the last one first.
fn ended(orders: &[Ticket]) -> Vec<&Ticket> {
    let mut ended: Vec<&Ticket> = orders.iter().filter(|ticket| ticket.state.is_end()).collect();
    ended.sort_by_key(|ticket| std::cmp::Reverse((ticket.changed_at, ticket.number)));
    ended
}

/// Returns how many there are, and how many of them are shown if that is not all.
fn counted(shown: usize, all: i64) -> String {
    match usize::try_from(all) {
        Ok(all) if all > shown => format!("{shown} of {all}"),
        _ => shown.to_string(),
    }
}
