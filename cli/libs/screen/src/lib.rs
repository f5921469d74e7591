//! The live view of the restaurant in a terminal: what it shows, and what keys do.
//!
//! Guarantees: [`draw`] and [`on_key`] are functions of their arguments; any size of a terminal can be drawn on; text from outside
//! can't control the terminal; without colours, everything can still be told apart.
//!
//! Does not know: commands, the network, real terminals, and exit codes.

mod frame;
mod keys;
mod pace;
mod panes;
mod state;
mod story;
mod tabs;
mod theme;
mod words;

#[cfg(test)]
mod tests;

pub use self::{
    frame::draw,
    keys::{Action, on_key},
    state::{Options, Stale, State},
};
