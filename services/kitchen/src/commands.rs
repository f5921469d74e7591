//! What changes something, a file each: plain functions over a transaction, which decide, save and announce.

mod cancel_dishes;
mod change_menu;
mod cook;
mod install_stoves;
mod reserve_tickets;
mod start_dishes;

pub(crate) use cancel_dishes::cancel_dishes;
pub(crate) use change_menu::{ChangeMenu, change_menu};
pub(crate) use cook::{Cook, cook};
pub(crate) use install_stoves::install_stoves;
pub(crate) use reserve_tickets::reserve_tickets;
pub(crate) use start_dishes::start_dishes;
