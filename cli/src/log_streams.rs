//! What containers and pods print: streams of lines from elsewhere, each line with the time at which it was taken there; as one
//! in the order of time, and read on, after a break, with no gap and nothing twice.

mod follow;
mod merge;
mod resume;
mod writer;

use bytes::Bytes;
use contracts::Timestamp;

pub(crate) use self::{
    follow::{Followers, Heard},
    merge::Merged,
    resume::{Known, Resume},
    writer::Writer,
};

/// A line that was printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Printed {
    /// When it was taken there.
    pub(crate) time: Timestamp,
    /// What it says, without its line end.
    pub(crate) text: Bytes,
}

impl Printed {
    /// Splits `2026-01-31T12:00:00.000000001Z text` into a time, if it begins with one, and the rest.
    pub(crate) fn split(mut bytes: Bytes) -> (Option<Timestamp>, Bytes) {
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
