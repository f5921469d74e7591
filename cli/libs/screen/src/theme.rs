//! How things look: by the 16 colours that every theme of a terminal sets, or without any.

use contracts::api::live::TicketState;
use ratatui::style::{Color, Modifier, Style};

/// What a text means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tone {
    #[default]
    Plain,
    /// Of less importance.
    Dim,
    /// For emphasis.
    Strong,
    Good,
    Busy,
    Warning,
    Bad,
    /// What must not be overlooked.
    Alarm,
}

impl Tone {
    /// Returns the tone of a state of an order.
    pub(crate) const fn of(state: TicketState) -> Self {
        match state {
            TicketState::Placed | TicketState::Requested | TicketState::Reserved => Self::Plain,
            TicketState::Waiting => Self::Warning,
            TicketState::Cooking => Self::Busy,
            TicketState::Ready | TicketState::Delivered => Self::Good,
            TicketState::Cancelled => Self::Dim,
            TicketState::Rejected => Self::Bad,
        }
    }

    /// Returns its style, with colours or without.
    pub(crate) fn style(self, colors: bool) -> Style {
        let style = Style::new();
        match (self, colors) {
            (Self::Plain, _) | (Self::Good | Self::Busy, false) => style,
            (Self::Dim, _) => style.add_modifier(Modifier::DIM),
            (Self::Strong, _) | (Self::Warning | Self::Bad, false) => {
                style.add_modifier(Modifier::BOLD)
            }
            (Self::Good, true) => style.fg(Color::Green),
            (Self::Busy, true) => style.fg(Color::Cyan),
            (Self::Warning, true) => style.fg(Color::Yellow),
            (Self::Bad, true) => style.fg(Color::Red),
            (Self::Alarm, false) => style.add_modifier(Modifier::BOLD | Modifier::REVERSED),
            (Self::Alarm, true) => {
                style.fg(Color::Red).add_modifier(Modifier::BOLD | Modifier::REVERSED)
            }
        }
    }
}
