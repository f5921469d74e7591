//! The story of one order, over the tab from which it was opened.

use contracts::{OrderId, api::live::View};
use ratatui::{buffer::Buffer, layout::Rect};

use crate::{theme::Tone, words::safe};

/// A story that was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    pub(crate) order: OrderId,
    title: String,
    /// Its lines, or why there are none; `None` until they come.
    pub(crate) lines: Option<Result<Vec<String>, String>>,
    down: usize,
    right: usize,
}

impl Story {
    pub(crate) fn of(order: OrderId, view: &View) -> Self {
        let ticket = view.orders.iter().find(|ticket| ticket.id == order);
        let title = ticket.map_or_else(
            || format!("Story of {order}"),
            |ticket| {
                let dish = ticket.dish.as_deref().map(safe).unwrap_or_default();
                format!("Story of #{} {dish} {order}", ticket.number)
            },
        );
        Self { order, title, lines: None, down: 0, right: 0 }
    }

    /// Moves through the lines: down to the last one, to the right as far as the longest one goes.
    pub(crate) fn move_by(&mut self, down: isize, right: isize) {
        let Some(Ok(lines)) = &self.lines else { return };
        let longest = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
        let moved =
            |at: usize, by, end: usize| at.saturating_add_signed(by).min(end.saturating_sub(1));
        self.down = moved(self.down, down, lines.len());
        self.right = moved(self.right, right, longest);
    }

    pub(crate) fn draw(&self, area: Rect, buffer: &mut Buffer, colors: bool) {
        let width = area.width.into();
        buffer.set_stringn(area.x, area.y, &self.title, width, Tone::Strong.style(colors));
        let (lines, tone) = match &self.lines {
            None => (vec!["Asking for it …".to_owned()], Tone::Dim),
            Some(Err(why)) => (vec![safe(why)], Tone::Bad),
            Some(Ok(lines)) => {
                let shown = lines.iter().skip(self.down);
                let shown = shown.map(|line| safe(line).chars().skip(self.right).collect());
                (shown.collect(), Tone::Plain)
            }
        };
        for (line, y) in lines.iter().zip(area.y + 1..area.bottom()) {
            buffer.set_stringn(area.x, y, line, width, tone.style(colors));
        }
    }
}
