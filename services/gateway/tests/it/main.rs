//! Stories about the door, with stand-ins behind it that say what they were asked, or tell facts that a test made up.

#![expect(clippy::unwrap_used, reason = "clippy does not know the helpers of tests as tests")]

mod access;
mod audit;
mod audit_live;
mod headers;
mod keys;
mod limits;
mod live;
mod openapi;
mod overview;
mod proof;
mod remote;
mod restarts;
mod retention;
mod sessions;
mod stage;
mod starting;
mod story;
mod websocket;
mod world;
