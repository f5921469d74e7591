//! Stories of a whole environment: real services, real databases, a real market.

#![expect(clippy::unwrap_used, reason = "a test may")]

mod broker;
mod cancelling;
mod crashes;
mod crowds;
mod damage;
mod evening;
mod happy_order;
mod live;
mod market;
mod metrics;
mod openings;
mod order_of_events;
mod retention;
