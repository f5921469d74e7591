//! What keys do.

use contracts::OrderId;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::{
    state::{Mode, State},
    story::Story,
};

/// How many rows a page has.
const PAGE: isize = 10;
/// How many columns a story moves sideways.
const SIDEWAYS: isize = 8;

/// What a key asks for that the screen can't do itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// End.
    Quit,
    /// End as by Ctrl-C, which a terminal in raw mode sends as a key.
    Interrupt,
    /// Get the story of an order, for [`State::show_story`].
    Story(OrderId),
}

/// Changes the state as the key says. Returns what else it asks for.
pub fn on_key(state: &mut State, key: KeyEvent) -> Option<Action> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return (key.code == KeyCode::Char('c')).then_some(Action::Interrupt);
    }
    match state.mode {
        Mode::Browse => browse(state, key.code),
        Mode::Filter => {
            filter(state, key.code);
            None
        }
        Mode::Help => {
            state.mode = Mode::Browse;
            None
        }
        Mode::Story => read(state, key.code),
    }
}

fn browse(state: &mut State, key: KeyCode) -> Option<Action> {
    match key {
        KeyCode::Char('q') => return Some(Action::Quit),
        KeyCode::Esc if state.filter.is_empty() => return Some(Action::Quit),
        KeyCode::Esc => state.filter.clear(),
        KeyCode::Char('?') => state.mode = Mode::Help,
        KeyCode::Char('/') => state.mode = Mode::Filter,
        KeyCode::Char(digit @ '1'..='9') => state.tab = state.tab.numbered(digit),
        KeyCode::Tab | KeyCode::Right | KeyCode::Char('l') => state.tab = state.tab.next(),
        KeyCode::BackTab | KeyCode::Left | KeyCode::Char('h') => state.tab = state.tab.previous(),
        KeyCode::Enter => {
            let order = state.selected_order()?;
            state.story = Some(Story::of(order, &state.view));
            state.mode = Mode::Story;
            return Some(Action::Story(order));
        }
        other => state.select(rows_down(other)?),
    }
    None
}

fn filter(state: &mut State, key: KeyCode) {
    match key {
        KeyCode::Enter => state.mode = Mode::Browse,
        KeyCode::Esc => {
            state.filter.clear();
            state.mode = Mode::Browse;
        }
        KeyCode::Backspace => drop(state.filter.pop()),
        KeyCode::Char(letter) => state.extend_filter(letter),
        _ => {}
    }
}

fn read(state: &mut State, key: KeyCode) -> Option<Action> {
    let story = state.story.as_mut()?;
    match key {
        KeyCode::Esc | KeyCode::Char('q') => {
            state.story = None;
            state.mode = Mode::Browse;
        }
        KeyCode::Enter => return Some(Action::Story(story.order)),
        KeyCode::Left | KeyCode::Char('h') => story.move_by(0, -SIDEWAYS),
        KeyCode::Right | KeyCode::Char('l') => story.move_by(0, SIDEWAYS),
        other => story.move_by(rows_down(other)?, 0),
    }
    None
}

/// Returns by how many rows a key moves; `None` if it moves nothing.
const fn rows_down(key: KeyCode) -> Option<isize> {
    match key {
        KeyCode::Down | KeyCode::Char('j') => Some(1),
        KeyCode::Up | KeyCode::Char('k') => Some(-1),
        KeyCode::PageDown => Some(PAGE),
        KeyCode::PageUp => Some(-PAGE),
        KeyCode::Home | KeyCode::Char('g') => Some(isize::MIN),
        KeyCode::End | KeyCode::Char('G') => Some(isize::MAX),
        _ => None,
    }
}
