//! The frame around a tab: the header, alarms, the names of the tabs, and what keys do.

use contracts::Timestamp;
use ratatui::{
    Frame,
    buffer::Buffer,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::Widget,
};

use crate::{
    panes,
    state::{Mode, State},
    tabs::Tab,
    theme::Tone,
    words::{age, safe, time_of_day},
};

/// The smallest terminal that shows more than that it is too small.
const WIDTH_MIN: u16 = 40;
const HEIGHT_MIN: u16 = 10;

const HELP: &[(&str, &str)] = &[
    ("1-5", "Kitchen, Stock, History, Services, Totals"),
    ("Tab h l ← →", "the next tab, the one before"),
    ("j k ↑ ↓", "the next row, the one before"),
    ("PgUp PgDn g G", "ten rows, the first, the last"),
    ("Enter", "the story of the selected order"),
    ("/", "filter by dish, number, state or order id"),
    ("Esc", "back; without a filter, quit"),
    ("q", "quit"),
];

/// Draws the screen. `now` is of the clock of this machine.
pub fn draw(frame: &mut Frame<'_>, state: &State, now: Timestamp) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    if area.width < WIDTH_MIN || area.height < HEIGHT_MIN {
        let text = format!("too small: {WIDTH_MIN}x{HEIGHT_MIN} is needed");
        buffer.set_stringn(area.x, area.y, text, area.width.into(), Style::new());
        return;
    }
    let lines = header(state, now);
    let mut y = area.y;
    for line in lines {
        line.render(Rect { y, height: 1, ..area }, buffer);
        y += 1;
    }
    let footer = Rect { y: area.bottom() - 1, height: 1, ..area };
    let body = Rect { y, height: footer.y.saturating_sub(y), ..area };
    draw_body(state, now, body, buffer);
    self::footer(state).render(footer, buffer);
}

fn draw_body(state: &State, now: Timestamp, area: Rect, buffer: &mut Buffer) {
    let colors = state.options.colors;
    match (state.mode, &state.story) {
        (Mode::Help, _) => draw_help(area, buffer, colors),
        (Mode::Story, Some(story)) => story.draw(area, buffer, colors),
        _ => {
            let panes = state.panes(now);
            panes::draw(&panes, state.selected(&panes), area, buffer, colors);
        }
    }
}

fn draw_help(area: Rect, buffer: &mut Buffer, colors: bool) {
    for ((keys, what), y) in HELP.iter().zip(area.y..area.bottom()) {
        let keys = Span::styled(format!("  {keys:<15}"), Tone::Strong.style(colors));
        Line::from(vec![keys, Span::raw(*what)]).render(Rect { y, height: 1, ..area }, buffer);
    }
}

/// Returns the lines above a tab.
fn header(state: &State, now: Timestamp) -> Vec<Line<'static>> {
    let mut lines = vec![environment(state), figures(state, now), tabs(state)];
    let alarm = Tone::Alarm.style(state.options.colors);
    if let Some(stale) = &state.stale {
        let since = time_of_day(stale.since, &state.options.zone);
        let why =
            Line::styled(format!(" {}", safe(&stale.why)), Tone::Bad.style(state.options.colors));
        lines.insert(2, why);
        let text = format!(" no news since {since}, reconnecting ");
        lines.insert(2, Line::styled(text, alarm));
    }
    if !state.view.away.is_empty() {
        let now = state.gateway_time(now);
        let away = state.view.away.iter();
        let away = away.map(|(name, since)| format!("{} ({})", safe(name), age(now.since(*since))));
        let away = away.collect::<Vec<_>>().join(", ");
        let text = format!(" no answer from {away}: shown as it was before ");
        lines.insert(2, Line::styled(text, alarm));
    }
    lines
}

fn environment(state: &State) -> Line<'static> {
    let style = |tone: Tone| tone.style(state.options.colors);
    let mut spans = vec![
        Span::styled(format!(" {}", safe(&state.options.name)), style(Tone::Strong)),
        Span::raw("  "),
    ];
    let troubled = state.troubled();
    if troubled.is_empty() {
        spans.push(Span::styled("ready", style(Tone::Good)));
        spans.push(Span::raw(if state.is_quiet() { ", quiet" } else { ", at work" }));
    } else {
        let text = format!("not ready: {}", safe(&troubled.join(", ")));
        spans.push(Span::styled(text, style(Tone::Bad)));
    }
    spans.push(Span::raw(format!("  http://{}", state.options.address)));
    spans.into()
}

fn figures(state: &State, now: Timestamp) -> Line<'static> {
    let style = |tone: Tone| tone.style(state.options.colors);
    let summary = &state.view.summary;
    let mut spans = vec![
        Span::styled(format!(" {}", summary.in_flight), style(Tone::Strong)),
        Span::raw(" in flight  "),
        Span::styled(summary.delivered.to_string(), style(Tone::Strong)),
        Span::raw(" delivered  "),
    ];
    let pace = state.deliveries.per_second(state.gateway_time(now));
    spans.push(Span::styled(format!("{pace:.1}"), style(Tone::Strong)));
    spans.push(Span::raw("/s"));
    if summary.waiting_for_ingredients > 0 {
        let text = format!("  {} short of ingredients", summary.waiting_for_ingredients);
        spans.push(Span::styled(text, style(Tone::Warning)));
    }
    spans.into()
}

fn tabs(state: &State) -> Line<'static> {
    let tab = |tab: Tab| {
        let text = format!(" {} {} ", tab.index() + 1, tab.title());
        match tab == state.tab {
            true => Span::raw(text).style(Style::new().bold().reversed()),
            false => Span::raw(text),
        }
    };
    Tab::ALL.map(tab).to_vec().into()
}

/// Returns the last line: what keys do, or the filter while it is written.
fn footer(state: &State) -> Line<'static> {
    let colors = state.options.colors;
    let hints = match state.mode {
        Mode::Filter => {
            let filter = format!(" /{}▏", state.filter);
            let filter = Span::styled(filter, Tone::Strong.style(colors));
            let hints = Span::styled(" Enter keep  Esc remove", Tone::Dim.style(colors));
            return vec![filter, hints].into();
        }
        Mode::Help => " any key  back",
        Mode::Story => " j k h l  move   Enter  again   Esc  back",
        Mode::Browse if state.filter.is_empty() => {
            " q  quit   ?  help   /  filter   Enter  story   j k  rows   1-5 Tab  tabs"
        }
        Mode::Browse => {
            let filter = format!(" filter: {} ", state.filter);
            let filter = Span::styled(filter, Tone::Warning.style(colors));
            let hints = " Esc  remove   /  change   q  quit   ?  help";
            return vec![filter, Span::styled(hints, Tone::Dim.style(colors))].into();
        }
    };
    Line::styled(hints, Tone::Dim.style(colors))
}
