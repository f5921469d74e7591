//! A stream of server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).

use std::{collections::VecDeque, mem, net::SocketAddr, time::Duration};

use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout_at};

use crate::ClientError;

/// The largest event that is read: 4 MiB, far above the largest snapshot of the live view. It bounds the memory.
pub const EVENT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The longest id that is kept, in bytes: those of the gateway have some 50.
const ID_BYTES_MAX: usize = 256;
/// How long a stream may be silent: the gateway sends a comment every 15 seconds while nothing changes.
pub const SILENCE_MAX: Duration = Duration::from_secs(45);

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The id to reconnect with: its own, or that of the last event that had one.
    pub id: String,
    /// Its name; `message` if it has none.
    pub name: String,
    /// Its data.
    pub data: String,
}

/// An answer that is no stream of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnreadableEvents {
    /// It says that it is something else.
    #[error("it is no stream of events")]
    NotEvents,
    /// An event has more than [`EVENT_BYTES_MAX`].
    #[error("an event has more than {} MiB", EVENT_BYTES_MAX / 1024 / 1024)]
    TooLarge,
}

/// The events of one answer, in their order.
#[derive(Debug)]
pub struct Events {
    body: Incoming,
    address: SocketAddr,
    request: String,
    heard_at: Instant,
    parser: Parser,
    parsed: VecDeque<Event>,
}

impl Events {
    pub(crate) fn new(body: Incoming, address: SocketAddr, request: String) -> Self {
        Self {
            body,
            address,
            request,
            heard_at: Instant::now(),
            parser: Parser::default(),
            parsed: VecDeque::new(),
        }
    }

    /// Waits for the next event; `None` at the end of the stream. Cancelling loses no event.
    ///
    /// # Errors
    /// [`ClientError`]: the connection broke, nothing came for [`SILENCE_MAX`], or it is no stream of events.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            if let Some(event) = self.parsed.pop_front() {
                return Ok(Some(event));
            }
            let late = self.heard_at + SILENCE_MAX;
            let Ok(frame) = timeout_at(late, self.body.frame()).await else {
                return Err(ClientError::Silent {
                    address: self.address,
                    request: self.request.clone(),
                    waited: SILENCE_MAX,
                });
            };
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|source| ClientError::HungUp {
                address: self.address,
                request: self.request.clone(),
                source: source.into(),
            })?;
            self.heard_at = Instant::now();
            // Trailers are no events.
            let Ok(bytes) = frame.into_data() else { continue };
            self.parser.read(&bytes, &mut self.parsed).map_err(|source| {
                ClientError::UnreadableEvents { request: self.request.clone(), source }
            })?;
        }
    }

    /// Returns for how long nothing has come, not even a comment.
    #[must_use]
    pub fn silent_for(&self) -> Duration {
        self.heard_at.elapsed()
    }
}

/// Reads events from pieces of a stream that end anywhere.
#[derive(Debug, Default)]
struct Parser {
    /// The beginning of the line whose end has not come.
    line: Vec<u8>,
    /// Whether a line feed that comes next belongs to the end of the line before.
    after_carriage_return: bool,
    is_begun: bool,
    id: String,
    name: String,
    data: String,
}

impl Parser {
    /// Adds the events that the piece completes.
    fn read(&mut self, piece: &[u8], events: &mut VecDeque<Event>) -> Result<(), UnreadableEvents> {
        for part in piece.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            if mem::take(&mut self.after_carriage_return) && part == b"\n" {
                continue;
            }
            let (text, end) = match part {
                [text @ .., end @ (b'\n' | b'\r')] => (text, Some(*end)),
                text => (text, None),
            };
            let held = self.line.len() + self.id.len() + self.name.len() + self.data.len();
            if held + text.len() > EVENT_BYTES_MAX {
                return Err(UnreadableEvents::TooLarge);
            }
            self.line.extend_from_slice(text);
            if let Some(end) = end {
                self.after_carriage_return = end == b'\r';
                let line = mem::take(&mut self.line);
                events.extend(self.end_line(&String::from_utf8_lossy(&line)));
            }
        }
        Ok(())
    }

    /// Returns the event that the line ends: an empty one does.
    fn end_line(&mut self, line: &str) -> Option<Event> {
        let is_first = !mem::replace(&mut self.is_begun, true);
        let line = if is_first { line.strip_prefix('\u{feff}').unwrap_or(line) } else { line };
        if line.is_empty() {
            return self.end_event();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            // Each event that is read has a copy.
            "id" if !value.contains('\0') && value.len() <= ID_BYTES_MAX => {
                value.clone_into(&mut self.id);
            }
            // A comment has no field before its colon.
            _ => {}
        }
        None
    }

    fn end_event(&mut self) -> Option<Event> {
        let name = mem::take(&mut self.name);
        let mut data = mem::take(&mut self.data);
        // Without any data it is none.
        data.pop()?;
        let name = if name.is_empty() { "message".to_owned() } else { name };
        Some(Event { id: self.id.clone(), name, data })
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Event> {
        let (mut parser, mut events) = (Parser::default(), VecDeque::new());
        for piece in pieces {
            parser.read(piece, &mut events).unwrap();
        }
        events.into()
    }

    fn shown(stream: &str) -> Vec<String> {
        let events = read([stream.as_bytes()]);
        events.iter().map(|Event { id, name, data }| format!("{id}|{name}|{data}")).collect()
    }

    #[test]
    fn an_event_has_an_id_a_name_and_data() {
        assert_eq!(
            shown(
                "id: 7-1\nevent: snapshot\ndata: {}\n\nid: 7-2\nevent: change\ndata: {\"at\":1}\n\n"
            ),
            ["7-1|snapshot|{}", "7-2|change|{\"at\":1}"]
        );
    }

    #[test]
    fn lines_of_data_are_joined_and_one_space_is_no_part_of_a_value() {
        assert_eq!(
            shown("data: YHOO\ndata: +2\ndata:  10\ndata\n\n"),
            ["|message|YHOO\n+2\n 10\n"]
        );
        assert_eq!(shown("data:\n\n"), ["|message|"]);
    }

    #[test]
    fn comments_other_fields_and_events_without_data_are_passed_over() {
        assert_eq!(
            shown(": still here\n\nretry: 5\nid: 1\nevent: x\n\nDATA: no\ndata: yes\n\ndata: cut"),
            ["1|message|yes"]
        );
    }

    #[test]
    fn an_id_stays_until_another_one_comes() {
        assert_eq!(
            shown("id: 1\ndata: a\n\ndata: b\n\nid: \0\ndata: c\n\nid\ndata: d\n\n"),
            ["1|message|a", "1|message|b", "1|message|c", "|message|d"]
        );
    }

    #[test]
    fn a_line_ends_in_three_ways_and_a_stream_may_begin_with_a_mark() {
        let expected = ["|message|a\nb", "|message|c"];
        for end in ["\n", "\r", "\r\n"] {
            let stream = ["\u{feff}data: a", "data: b", "", "data: c", "", ""].join(end);
            assert_eq!(shown(&stream), expected, "{end:?}");
        }
    }

    #[test]
    fn what_is_no_utf_8_is_replaced() {
        assert_eq!(read([&b"data: a\xffb\n\n"[..]])[0].data, "a\u{fffd}b");
    }

    #[test]
    fn an_event_is_bounded_also_if_it_never_ends() {
        let lines = vec![b'x'; 64 * 1024];
        let with_ends = [&b"data:"[..], &lines, b"\n"].concat();
        for piece in [lines, with_ends] {
            let (mut parser, mut events) = (Parser::default(), VecDeque::new());
            let read = (0..=EVENT_BYTES_MAX / piece.len() + 1)
                .try_for_each(|_| parser.read(&piece, &mut events));
            assert_eq!((read, events.len()), (Err(UnreadableEvents::TooLarge), 0));
        }
    }

    proptest! {
        #[test]
        fn any_pieces_of_a_stream_have_the_same_events(
            parts in vec(prop_oneof![
                "(id|event|data|retry|)(: ?| )?[a-zé🍕\u{0}]{0,4}",
                Just("\n".to_owned()), Just("\r".to_owned()), Just("\r\n".to_owned()),
            ], 0..40),
            cuts in vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let stream = parts.concat().into_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            cuts.extend([0, stream.len()]);
            cuts.sort_unstable();
            let pieces = cuts.windows(2).map(|ends| &stream[ends[0]..ends[1]]);
            prop_assert_eq!(read(pieces), read([&stream[..]]));
        }
    }
}
