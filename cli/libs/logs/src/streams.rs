//! Logs of containers and pods: streams of lines, each with the engine's or node's time; merged by time, and resumed
//! after a break without gaps or repeats.

mod follow;
mod merge;
mod resume;
mod writer;

use bytes::Bytes;
use contracts::Timestamp;

pub use self::{
    follow::{FollowEvent, Followers},
    merge::Merged,
    resume::{Known, Resume},
    writer::Writer,
};

/// A line that was printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Printed {
    /// The time at which the engine or node received it.
    pub time: Timestamp,
    /// Its text, without the line end.
    pub text: Bytes,
}

impl Printed {
    /// Splits `2026-01-31T12:00:00.000000001Z text` into the time and the rest; the time is `None` if there is none.
    pub fn split(mut bytes: Bytes) -> (Option<Timestamp>, Bytes) {
        let end = bytes.iter().take(64).position(|byte| *byte == b' ');
        let Some(end) = end else { return (None, bytes) };
        let time = std::str::from_utf8(&bytes[..end]).ok().and_then(|text| text.parse().ok());
        match time {
            Some(time) => {
                let text = bytes.split_off(end + 1);
                (Some(time), text)
            }
            None => (None, bytes),
        }
    }
}
