//! The last changes, each written down once, and the view that they lead to.

use std::{collections::VecDeque, sync::OnceLock};

use axum::body::Bytes;
use contracts::api::live::{CHANGE, SNAPSHOT, View};
use live::{Step, in_order, step};
use serde::Serialize;

/// The most changes that are kept: at ten a second, those of 12 seconds.
const CHANGES_MAX: usize = 120;
/// The most bytes of changes that are sent at once. Above it, a whole view is less.
const CHANGES_BYTES_MAX: usize = 64 * 1024;

/// Views, numbered, and what led to the last one.
#[derive(Debug)]
pub(super) struct Frames {
    /// Distinguishes the numbers of this gateway, since its start, from all others.
    epoch: String,
    /// The number of the view.
    number: u64,
    view: View,
    /// The view as an event, once somebody needed it.
    snapshot: OnceLock<Bytes>,
    /// The events that led to the view, the last one at the end.
    changes: VecDeque<Bytes>,
    /// Whether the view is kept up to date now.
    is_current: bool,
}

impl Frames {
    pub(super) fn new() -> Self {
        Self {
            epoch: contracts::new_uuid().simple().to_string(),
            number: 0,
            view: View::default(),
            snapshot: OnceLock::new(),
            changes: VecDeque::new(),
            is_current: false,
        }
    }

    /// Makes `next` the view. Returns whether viewers have to be told.
    pub(super) fn show(&mut self, next: View) -> bool {
        let next = in_order(next);
        let was_current = std::mem::replace(&mut self.is_current, true);
        let step = step(&self.view, &next);
        if step == Step::Same {
            return !was_current;
        }
        self.number += 1;
        match step {
            Step::Change(change) => {
                self.changes.push_back(event(&self.epoch, self.number, CHANGE, &change));
            }
            Step::NewView | Step::Same => self.changes.clear(),
        }
        if self.changes.len() > CHANGES_MAX {
            self.changes.pop_front();
        }
        (self.view, self.snapshot) = (next, OnceLock::new());
        true
    }

    /// Marks the view as outdated: no task updates it.
    pub(super) fn mark_outdated(&mut self) {
        self.is_current = false;
    }

    /// Returns the view.
    pub(super) const fn view(&self) -> &View {
        &self.view
    }

    /// Returns the number in the id of an event of this gateway.
    pub(super) fn number_of(&self, id: &str) -> Option<u64> {
        let (epoch, number) = id.split_once('-')?;
        if epoch == self.epoch { number.parse().ok() } else { None }
    }

    /// Returns the events that lead from a view to the present one, and the number of that; `None` if it is the present one, or
    /// there is none yet. Without a view, or with one that is too old, the event is the whole view.
    pub(super) fn since(&self, has: Option<u64>) -> Option<(Bytes, u64)> {
        if !self.is_current || has == Some(self.number) {
            return None;
        }
        let events = has.and_then(|has| self.changes_since(has));
        let whole = || {
            self.snapshot
                .get_or_init(|| event(&self.epoch, self.number, SNAPSHOT, &self.view))
                .clone()
        };
        Some((events.unwrap_or_else(whole), self.number))
    }

    /// Returns the changes since a view, if they are kept and few.
    fn changes_since(&self, has: u64) -> Option<Bytes> {
        let count = usize::try_from(self.number.checked_sub(has)?).ok()?;
        let first = self.changes.len().checked_sub(count)?;
        let changes = self.changes.range(first..);
        let bytes: usize = changes.clone().map(Bytes::len).sum();
        match count {
            1 => self.changes.back().cloned(),
            _ if bytes > CHANGES_BYTES_MAX => None,
            _ => {
                let mut all = Vec::with_capacity(bytes);
                changes.for_each(|change| all.extend_from_slice(change));
                Some(all.into())
            }
        }
    }
}

fn event(epoch: &str, number: u64, name: &str, data: &impl Serialize) -> Bytes {
    // JSON of one line: it has no line ends outside of texts, and in texts they are escaped.
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("id: {epoch}-{number}\nevent: {name}\ndata: {data}\n\n").into()
}

#[cfg(test)]
mod tests {
    use contracts::{Timestamp, api::board::Summary};

    use super::*;

    fn view(placed: i64) -> View {
        View { summary: Summary { placed, ..Summary::default() }, ..View::default() }
    }

    fn text(frames: &Frames, has: Option<u64>) -> Option<String> {
        frames.since(has).map(|(events, _)| String::from_utf8(events.to_vec()).unwrap())
    }

    fn names(text: &str) -> Vec<&str> {
        text.lines().filter_map(|line| line.strip_prefix("event: ")).collect()
    }

    #[test]
    fn who_has_a_view_gets_what_changed_since_and_all_others_a_whole_one() {
        let mut frames = Frames::new();
        assert_eq!(text(&frames, None), None, "nothing is known yet");
        for placed in 0..4 {
            assert!(frames.show(view(placed)));
        }
        assert!(!frames.show(View { at: Timestamp::from_micros(9), ..view(3) }), "nothing new");
        let whole = text(&frames, None).unwrap();
        assert_eq!(names(&whole), [SNAPSHOT]);
        assert!(whole.starts_with("id: ") && whole.ends_with("\n\n"), "{whole}");
        let id = whole.lines().next().unwrap().strip_prefix("id: ").unwrap();
        let number = frames.number_of(id).unwrap();
        assert_eq!(text(&frames, Some(number)), None);
        let two = text(&frames, Some(number - 2)).unwrap();
        assert_eq!(names(&two), [CHANGE, CHANGE]);
        assert!(two.contains(id), "{two}");
        for unknown in [Some(number + 1), None] {
            assert_eq!(names(&text(&frames, unknown).unwrap()), [SNAPSHOT]);
        }
        assert_eq!(frames.number_of(&format!("other-{number}")), None);
        assert_eq!(frames.number_of("nonsense"), None);
    }

    #[test]
    fn a_view_that_is_too_old_is_replaced() {
        let mut frames = Frames::new();
        for placed in 1..=200 {
            frames.show(view(placed));
        }
        let kept = u64::try_from(CHANGES_MAX).unwrap();
        let newest = frames.number;
        assert_eq!(names(&text(&frames, Some(newest - kept)).unwrap()).len(), CHANGES_MAX);
        assert_eq!(names(&text(&frames, Some(newest - kept - 1)).unwrap()), [SNAPSHOT]);
        // Much may change at once.
        let mut large = view(0);
        for number in 0..400 {
            large.services.insert(format!("{number:0200}"), Default::default());
            frames.show(View { summary: view(number).summary, ..large.clone() });
        }
        assert_eq!(names(&text(&frames, Some(frames.number - 1)).unwrap()), [CHANGE]);
        assert_eq!(names(&text(&frames, Some(frames.number - 100)).unwrap()), [SNAPSHOT]);
        frames.show(view(0));
        assert_eq!(
            names(&text(&frames, Some(frames.number - 1)).unwrap()),
            [SNAPSHOT],
            "services vanished"
        );
        frames.mark_outdated();
        assert_eq!(text(&frames, None), None, "it may be of before");
    }
}
