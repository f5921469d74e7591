//! The parts of a tab, one below the other: tables of rows of which one is selected, and lists.

use contracts::OrderId;
use ratatui::{buffer::Buffer, layout::Rect, text::Span};

use crate::theme::Tone;

/// How many lines a pane needs that shows anything: its title, the headings, and two rows.
const LINES_MIN: u16 = 4;
/// The columns between two others.
const GAP: u16 = 2;
/// The width of an entry of a list.
const ENTRY_WIDTH: u16 = 26;
/// Before the selected row.
const MARK: &str = "›";

/// One part of a tab.
#[derive(Clone, Debug)]
pub(crate) struct Pane {
    pub(crate) title: String,
    pub(crate) body: Body,
    /// What is shown in place of no rows and no entries.
    pub(crate) empty: &'static str,
}

/// What a pane shows.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Table { columns: &'static [Column], rows: Vec<Row> },
    List(Vec<String>),
}

/// A column: as wide as its widest cell, between two bounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    heading: &'static str,
    /// So that columns stay where they are while rows come and go.
    min: u16,
    max: u16,
    is_right: bool,
}

impl Column {
    pub(crate) const fn words(heading: &'static str, min: u16, max: u16) -> Self {
        Self { heading, min, max, is_right: false }
    }

    pub(crate) const fn number(heading: &'static str, min: u16) -> Self {
        Self { heading, min, max: 20, is_right: true }
    }
}

/// One row.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// By which it is known after it moved.
    pub(crate) key: String,
    /// What the filter looks at, beside the beginning of the key.
    pub(crate) names: Vec<String>,
    /// The order that it is about.
    pub(crate) order: Option<OrderId>,
    pub(crate) cells: Vec<Cell>,
}

/// One text of a row.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl<T: ToString> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.to_string(), tone: Tone::Plain }
    }
}

impl Cell {
    pub(crate) fn toned(text: impl ToString, tone: Tone) -> Self {
        Self { text: text.to_string(), tone }
    }

    /// Returns a figure that is only worth a look if it is not 0.
    pub(crate) fn figure(figure: i64, tone: Tone) -> Self {
        Self::toned(figure, if figure == 0 { Tone::Dim } else { tone })
    }
}

impl Pane {
    pub(crate) fn rows(&self) -> &[Row] {
        match &self.body {
            Body::Table { rows, .. } => rows,
            Body::List(_) => &[],
        }
    }

    /// Removes the rows that do not have these letters, which are in lower case.
    pub(crate) fn keep(&mut self, filter: &str) {
        if let Body::Table { rows, .. } = &mut self.body {
            let has = |name: &String| name.to_lowercase().contains(filter);
            rows.retain(|row| row.key.starts_with(filter) || row.names.iter().any(has));
        }
    }

    /// Returns how many lines show all of it.
    fn lines(&self, width: u16) -> u16 {
        let lines = match &self.body {
            Body::Table { rows, .. } => 2 + rows.len().max(1),
            Body::List(entries) => 1 + entries.len().div_ceil(entries_abreast(width)).max(1),
        };
        u16::try_from(lines).unwrap_or(u16::MAX)
    }

    fn draw(&self, area: Rect, selected: Option<usize>, buffer: &mut Buffer, colors: bool) {
        let mut shown = String::new();
        let below = Rect { y: area.y + 1, height: area.height - 1, ..area };
        match &self.body {
            Body::Table { rows, .. } if rows.is_empty() => self.draw_empty(below, buffer, colors),
            Body::Table { columns, rows } => {
                let height = usize::from(below.height).saturating_sub(1);
                let first = first_shown(rows.len(), height, selected);
                if rows.len() > height {
                    let last = (first + height).min(rows.len());
                    shown = format!("─ rows {}–{last} ", first + 1);
                }
                draw_table(columns, rows, first, selected, below, buffer, colors);
            }
            Body::List(entries) if entries.is_empty() => self.draw_empty(below, buffer, colors),
            Body::List(entries) => draw_list(entries, below, buffer),
        }
        let rule = "─".repeat(area.width.into());
        let dim = Tone::Dim.style(colors);
        buffer.set_stringn(area.x, area.y, rule, area.width.into(), dim);
        let title = format!("─ {} ", self.title);
        let strong = Tone::Strong.style(colors);
        let (end, _) = buffer.set_stringn(area.x, area.y, title, area.width.into(), strong);
        let width = area.right().saturating_sub(end);
        if !shown.is_empty() {
            buffer.set_stringn(end, area.y, shown, width.into(), dim);
        }
    }

    fn draw_empty(&self, area: Rect, buffer: &mut Buffer, colors: bool) {
        if area.height > 0 {
            let (width, style) = (area.width.saturating_sub(GAP), Tone::Dim.style(colors));
            buffer.set_stringn(area.x + GAP, area.y, self.empty, width.into(), style);
        }
    }
}

/// Draws panes one below the other. Where not all fit, those are left out that are farthest from the selected row.
pub(crate) fn draw(
    panes: &[Pane],
    selected: Option<usize>,
    area: Rect,
    buffer: &mut Buffer,
    colors: bool,
) {
    let mut before = 0;
    let mut selected_in = (0, None);
    for (at, pane) in panes.iter().enumerate() {
        let rows = before..before + pane.rows().len();
        if let Some(selected) = selected.filter(|selected| rows.contains(selected)) {
            selected_in = (at, Some(selected - before));
        }
        before = rows.end;
    }
    let (pane_at, row_at) = selected_in;
    let count = usize::from(area.height / LINES_MIN).clamp(1, panes.len());
    let first = (pane_at + 1).saturating_sub(count);
    let shown = &panes[first..first + count];
    let needs: Vec<u16> = shown.iter().map(|pane| pane.lines(area.width)).collect();
    let mut y = area.y;
    for (at, (pane, height)) in shown.iter().zip(heights(&needs, area.height)).enumerate() {
        let row = row_at.filter(|_| first + at == pane_at);
        pane.draw(Rect { y, height, ..area }, row, buffer, colors);
        y += height;
    }
}

/// Shares lines out: each pane gets what it needs or an equal share, and what is left over goes to those that need more.
fn heights(needs: &[u16], available: u16) -> Vec<u16> {
    let mut by_need: Vec<usize> = (0..needs.len()).collect();
    by_need.sort_by_key(|at| needs[*at]);
    let mut heights = vec![0; needs.len()];
    let mut left = available;
    for (sharers, at) in (1..=by_need.len()).rev().zip(by_need) {
        let share = left / u16::try_from(sharers).unwrap_or(u16::MAX);
        heights[at] = needs[at].min(share);
        left -= heights[at];
    }
    heights
}

/// Returns the first of the rows to show, so that the selected one is in the middle, as far as there are rows.
fn first_shown(rows: usize, height: usize, selected: Option<usize>) -> usize {
    selected.unwrap_or(0).saturating_sub(height / 2).min(rows.saturating_sub(height))
}

fn draw_table(
    columns: &[Column],
    rows: &[Row],
    first: usize,
    selected: Option<usize>,
    area: Rect,
    buffer: &mut Buffer,
    colors: bool,
) {
    let widths: Vec<u16> =
        columns.iter().enumerate().map(|(at, column)| width(column, rows, at)).collect();
    let headings: Vec<Cell> =
        columns.iter().map(|column| Cell::toned(column.heading, Tone::Dim)).collect();
    draw_cells(columns, &widths, &headings, Rect { height: 1, ..area }, buffer, colors);
    for (y, (at, row)) in (area.y + 1..area.bottom()).zip(rows.iter().enumerate().skip(first)) {
        let line = Rect { y, height: 1, ..area };
        draw_cells(columns, &widths, &row.cells, line, buffer, colors);
        if selected == Some(at) {
            buffer.set_stringn(line.x, y, MARK, 1, Tone::Strong.style(colors));
            buffer.set_style(line, Tone::Strong.style(colors));
        }
    }
}

fn width(column: &Column, rows: &[Row], at: usize) -> u16 {
    let cells = rows.iter().filter_map(|row| row.cells.get(at));
    let widest = cells.map(|cell| Span::raw(&cell.text).width()).max().unwrap_or(0);
    let widest = u16::try_from(widest).unwrap_or(u16::MAX).min(column.max);
    let heading = u16::try_from(column.heading.len()).unwrap_or(u16::MAX);
    widest.max(column.min).max(heading)
}

fn draw_cells(
    columns: &[Column],
    widths: &[u16],
    cells: &[Cell],
    line: Rect,
    buffer: &mut Buffer,
    colors: bool,
) {
    let mut x = line.x + GAP;
    for ((column, width), cell) in columns.iter().zip(widths).zip(cells) {
        let width = (*width).min(line.right().saturating_sub(x));
        if width == 0 {
            return;
        }
        draw_cell(cell, column.is_right, Rect { x, width, ..line }, buffer, colors);
        x += width + GAP;
    }
}

/// Draws a text; one that is too long ends with `…`.
fn draw_cell(cell: &Cell, is_right: bool, area: Rect, buffer: &mut Buffer, colors: bool) {
    let style = cell.tone.style(colors);
    let long = Span::raw(&cell.text).width();
    match u16::try_from(long) {
        Ok(long) if long <= area.width => {
            let x = if is_right { area.right() - long } else { area.x };
            buffer.set_stringn(x, area.y, &cell.text, long.into(), style);
        }
        _ => {
            let width = usize::from(area.width - 1);
            let (end, _) = buffer.set_stringn(area.x, area.y, &cell.text, width, style);
            buffer.set_stringn(end, area.y, "…", 1, style);
        }
    }
}

fn draw_list(entries: &[String], area: Rect, buffer: &mut Buffer) {
    let abreast = entries_abreast(area.width);
    for (line, y) in entries.chunks(abreast).zip(area.y..area.bottom()) {
        let mut x = area.x + GAP;
        for entry in line {
            let width = (ENTRY_WIDTH - GAP).min(area.right().saturating_sub(x));
            let cell = Cell::from(entry);
            draw_cell(&cell, false, Rect { x, y, width, height: 1 }, buffer, false);
            x += ENTRY_WIDTH;
        }
    }
}

fn entries_abreast(width: u16) -> usize {
    usize::from(width.saturating_sub(GAP) / ENTRY_WIDTH).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panes_share_the_lines_by_their_needs() {
        assert_eq!(heights(&[10, 3, 10], 30), [10, 3, 10]);
        assert_eq!(heights(&[60, 3, 60], 21), [9, 3, 9]);
        assert_eq!(heights(&[60, 60], 21), [10, 11]);
        assert_eq!(heights(&[5, 60, 60], 4), [1, 1, 2]);
        assert_eq!(heights(&[], 4), [0; 0]);
    }

    #[test]
    fn the_selected_row_is_always_shown() {
        for (rows, height) in [(0, 4), (3, 4), (64, 4), (64, 0), (64, 63)] {
            for selected in 0..rows {
                let first = first_shown(rows, height, Some(selected));
                assert!(first <= selected && (height == 0 || selected < first + height));
            }
        }
        assert_eq!(first_shown(64, 10, None), 0);
    }
}
