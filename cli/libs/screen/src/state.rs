//! What the screen shows: the latest view, and what the user chose of it.

use std::collections::BTreeMap;

use contracts::{
    OrderId, Timestamp,
    api::{live::View, service::ServiceStatus},
};
use jiff::tz::TimeZone;

use crate::{
    pace::Deliveries,
    panes::Pane,
    story::Story,
    tabs::{self, Tab},
};

/// The longest filter, in characters.
const FILTER_MAX: usize = 64;

/// What a screen shows beside the view, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The name of the environment.
    pub name: String,
    /// The address of its gateway.
    pub address: String,
    /// The zone in which times are shown.
    pub zone: TimeZone,
    /// Whether colours are shown.
    pub colors: bool,
}

/// Why a view is not of now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// When the last news came, by the clock of this machine.
    pub since: Timestamp,
    /// Why none comes.
    pub why: String,
}

/// What keys are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// To move through a tab.
    Browse,
    /// To write the filter.
    Filter,
    /// To leave the help.
    Help,
    /// To move through a story.
    Story,
}

/// The row that is selected in a tab.
#[derive(Clone, Debug, Default)]
struct Selection {
    /// Its key; `None` until the user chose one.
    key: Option<String>,
    /// Where it was.
    index: usize,
}

/// The state of a screen.
#[derive(Clone, Debug)]
pub struct State {
    pub(crate) options: Options,
    pub(crate) view: View,
    /// When the view came, by the clock of this machine.
    came_at: Timestamp,
    pub(crate) stale: Option<Stale>,
    pub(crate) deliveries: Deliveries,
    pub(crate) tab: Tab,
    pub(crate) mode: Mode,
    pub(crate) filter: String,
    selections: [Selection; Tab::ALL.len()],
    pub(crate) story: Option<Story>,
}

impl State {
    /// Returns the state of a screen that shows a view that came then, by the clock of this machine.
    #[must_use]
    pub fn new(options: Options, view: View, came_at: Timestamp) -> Self {
        let mut state = Self {
            options,
            view: View::default(),
            came_at,
            stale: None,
            deliveries: Deliveries::default(),
            tab: Tab::Kitchen,
            mode: Mode::Browse,
            filter: String::new(),
            selections: Default::default(),
            story: None,
        };
        state.show(view, came_at);
        state
    }

    /// Shows a view that came then, by the clock of this machine.
    pub fn show(&mut self, view: View, came_at: Timestamp) {
        self.deliveries.note(view.at, view.summary.delivered);
        self.view = view;
        self.came_at = came_at;
    }

    /// Shows why the view is not of now; `None` if it is again.
    pub fn set_stale(&mut self, stale: Option<Stale>) {
        self.stale = stale;
    }

    /// Shows where the gateway is.
    pub fn set_address(&mut self, address: String) {
        self.options.address = address;
    }

    /// Shows the lines of an order's story, or why there is none, unless another one was asked for since.
    pub fn show_story(&mut self, order: OrderId, lines: Result<Vec<String>, String>) {
        if let Some(story) = self.story.as_mut().filter(|story| story.order == order) {
            story.lines = Some(lines);
        }
    }

    /// Returns what the gateway's clock shows, by which everything is dated.
    pub(crate) fn gateway_time(&self, now: Timestamp) -> Timestamp {
        self.view.at.plus(now.since(self.came_at))
    }

    /// Returns whether all services are ready, as far as it is known.
    pub(crate) fn is_ready(&self) -> bool {
        self.view.away.is_empty() && self.view.services.values().all(|service| service.ready)
    }

    /// Returns whether nothing is under way.
    pub(crate) fn is_quiet(&self) -> bool {
        let idle = |service: &ServiceStatus| {
            [service.unpublished, service.unhandled, service.open] == [0, 0, 0]
        };
        self.is_ready() && self.view.summary.in_flight == 0 && self.view.services.values().all(idle)
    }

    /// Returns the services that are not ready or away, by name.
    pub(crate) fn troubled(&self) -> Vec<&str> {
        let is_troubled = |(name, service): &(&String, &ServiceStatus)| {
            !service.ready || self.view.away.contains_key(*name)
        };
        let services: BTreeMap<_, _> = self.view.services.iter().filter(is_troubled).collect();
        services.into_keys().map(String::as_str).collect()
    }

    /// Returns the panes of the tab, with the rows that pass the filter.
    pub(crate) fn panes(&self, now: Timestamp) -> Vec<Pane> {
        let mut panes = tabs::panes(self, now);
        let filter = self.filter.to_lowercase();
        panes.iter_mut().for_each(|pane| pane.keep(&filter));
        panes
    }

    /// Returns where the selected row is among these.
    pub(crate) fn selected(&self, panes: &[Pane]) -> Option<usize> {
        let selection = &self.selections[self.tab.index()];
        let count = panes.iter().map(|pane| pane.rows().len()).sum::<usize>();
        let mut rows = panes.iter().flat_map(Pane::rows);
        let at = selection.key.as_ref().and_then(|key| rows.position(|row| row.key == *key));
        at.or_else(|| Some(selection.index.min(count.checked_sub(1)?)))
    }

    /// Moves the selection by that many rows.
    pub(crate) fn select(&mut self, rows_down: isize) {
        // What rows say of time does not matter.
        let panes = self.panes(self.came_at);
        let rows: Vec<_> = panes.iter().flat_map(Pane::rows).collect();
        let Some(at) = self.selected(&panes) else { return };
        let index = at.saturating_add_signed(rows_down).min(rows.len() - 1);
        self.selections[self.tab.index()] = Selection { key: Some(rows[index].key.clone()), index };
    }

    /// Returns the order of the selected row.
    pub(crate) fn selected_order(&self) -> Option<OrderId> {
        let panes = self.panes(self.came_at);
        let at = self.selected(&panes)?;
        panes.iter().flat_map(Pane::rows).nth(at)?.order
    }

    /// Adds a letter to the filter.
    pub(crate) fn extend_filter(&mut self, letter: char) {
        if self.filter.chars().count() < FILTER_MAX {
            self.filter.push(letter);
        }
    }
}
