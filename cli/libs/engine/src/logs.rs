//! Logs of containers, line by line, each with the time at which the engine received it.

use bollard::{container::LogOutput, query_parameters::LogsOptions};
use bytes::BytesMut;
use contracts::Timestamp;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use logs::{files::LINE_BYTES_MAX, streams::Printed};
use tokio::task::yield_now;

use super::{Engine, errors::EngineError, events::FOR_EVER};

/// The size of a batch, give or take a line.
const BATCH_BYTES: usize = 64 * 1024;

/// The lines to return.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// None before this second.
    pub since: Option<Timestamp>,
    /// This many from the end; all without it.
    pub tail: Option<usize>,
    /// New lines too, until the container ends.
    pub follow: bool,
}

impl Engine {
    /// Returns the lines of a container in batches of those that have arrived, at least one. A missing container has
    /// none.
    pub fn logs(
        &self,
        id: &str,
        wanted: Wanted,
    ) -> impl Stream<Item = Result<Vec<Printed>, EngineError>> + Send + Unpin + use<> {
        const MICROS: i64 = 1_000_000;
        let seconds = |time: Timestamp| i32::try_from(time.as_micros() / MICROS).unwrap_or(0);
        let options = LogsOptions {
            stdout: true,
            stderr: true,
            timestamps: true,
            follow: wanted.follow,
            since: wanted.since.map(seconds).unwrap_or_default(),
            tail: wanted.tail.map_or_else(|| "all".into(), |count| count.to_string()),
            ..Default::default()
        };
        let patient = self.docker.clone().with_timeout(FOR_EVER);
        let reading = Reading {
            frames: Box::pin(patient.logs(id, Some(options))),
            assembly: Assembly::default(),
            is_over: false,
            failure: None,
        };
        let (engine, id) = (self.clone(), id.to_owned());
        let could_not = move |error| {
            engine.could_not(|| format!("return the logs of the container {id}"))(error)
        };
        let lines = stream::unfold((reading, could_not), async |(mut reading, could_not)| {
            let batch = match reading.next().await? {
                Err(error) => Err(could_not(error)),
                Ok(lines) => Ok(lines),
            };
            let is_gone = batch.as_ref().is_err_and(EngineError::is_not_found);
            (!is_gone).then_some((batch, (reading, could_not)))
        });
        Box::pin(lines)
    }
}

/// A stream of log lines.
struct Reading<F> {
    frames: F,
    assembly: Assembly,
    is_over: bool,
    /// The error of the stream, returned after the lines before it.
    failure: Option<bollard::errors::Error>,
}

impl<F> Reading<F>
where
    F: Stream<Item = Result<LogOutput, bollard::errors::Error>> + Unpin,
{
    /// Waits for a line, and returns it with all that have arrived: single lines would wake the reader too often. The task of
    /// the connection hands over one frame at a time, so it gets to run before the batch ends.
    async fn next(&mut self) -> Option<Result<Vec<Printed>, bollard::errors::Error>> {
        let (mut lines, mut bytes) = (Vec::new(), 0);
        while !self.is_over && bytes < BATCH_BYTES {
            let frame = match lines.is_empty() {
                true => self.frames.next().await,
                false => match self.frames.next().now_or_never() {
                    Some(frame) => frame,
                    None => {
                        yield_now().await;
                        match self.frames.next().now_or_never() {
                            Some(frame) => frame,
                            None => break,
                        }
                    }
                },
            };
            match frame {
                Some(Ok(frame)) => {
                    if let Some(line) = self.assembly.take(frame) {
                        bytes += size_of::<Printed>() + line.text.len();
                        lines.push(line);
                    }
                }
                Some(Err(error)) => (self.is_over, self.failure) = (true, Some(error)),
                None => {
                    self.is_over = true;
                    lines.extend(self.assembly.rest());
                }
            }
        }
        match lines.is_empty() {
            true => self.failure.take().map(Err),
            false => Some(Ok(lines)),
        }
    }
}

/// Joins lines that the engine has split into pieces of 16 KiB, each with a time of its own.
#[derive(Debug, Default)]
struct Assembly {
    /// The beginning of a line of stdout, and of one of stderr.
    begun: [Option<(Timestamp, BytesMut)>; 2],
    last: Timestamp,
}

impl Assembly {
    fn take(&mut self, frame: LogOutput) -> Option<Printed> {
        let stream = usize::from(matches!(frame, LogOutput::StdErr { .. }));
        let bytes = frame.into_bytes();
        let (time, mut text) = Printed::split(bytes);
        let time = time.unwrap_or(self.last);
        self.last = time;
        let is_whole = text.last() == Some(&b'\n');
        if is_whole {
            text.truncate(text.len() - 1);
        }
        if is_whole && self.begun[stream].is_none() {
            return Some(Printed { time, text });
        }
        let (time, mut begun) =
            self.begun[stream].take().unwrap_or_else(|| (time, BytesMut::new()));
        let room = LINE_BYTES_MAX.saturating_sub(begun.len());
        begun.extend_from_slice(&text[..text.len().min(room)]);
        if is_whole {
            return Some(Printed { time, text: begun.freeze() });
        }
        self.begun[stream] = Some((time, begun));
        None
    }

    /// Returns incomplete lines.
    fn rest(&mut self) -> impl Iterator<Item = Printed> {
        let begun = std::mem::take(&mut self.begun);
        begun.into_iter().flatten().map(|(time, text)| Printed { time, text: text.freeze() })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn out(text: &str) -> LogOutput {
        LogOutput::StdOut { message: Bytes::copy_from_slice(text.as_bytes()) }
    }

    fn err(text: &str) -> LogOutput {
        LogOutput::StdErr { message: Bytes::copy_from_slice(text.as_bytes()) }
    }

    #[test]
    fn pieces_of_a_line_are_one_line_whatever_comes_between_them() {
        let mut assembly = Assembly::default();
        assert_eq!(assembly.take(out("2026-01-31T12:00:00.000000001Z be")), None);
        let between = assembly.take(err("2026-01-31T12:00:01Z between\n")).unwrap();
        assert_eq!(between.text, "between");
        let whole = assembly.take(out("2026-01-31T12:00:02Z gun\n")).unwrap();
        assert_eq!(
            (whole.text.as_ref(), whole.time),
            (&b"begun"[..], "2026-01-31T12:00:00Z".parse().unwrap())
        );
        assert_eq!(assembly.take(err("2026-01-31T12:00:03Z unfinished")), None);
        assert_eq!(assembly.rest().map(|line| line.text).collect::<Vec<_>>(), ["unfinished"]);
    }

    #[test]
    fn an_endless_line_does_not_fill_the_memory() {
        let mut assembly = Assembly::default();
        let piece = format!("2026-01-31T12:00:00Z {}", "x".repeat(16 * 1024));
        for _ in 0..100 {
            assert_eq!(assembly.take(out(&piece)), None);
        }
        let whole = assembly.take(out("2026-01-31T12:00:00Z \n")).unwrap();
        assert_eq!(whole.text.len(), LINE_BYTES_MAX);
    }

    #[test]
    fn a_line_without_a_time_is_kept_whole() {
        let mut assembly = Assembly::default();
        assert_eq!(assembly.take(out("no time here\n")).unwrap().text, "no time here");
        assert_eq!(assembly.take(out("\n")).unwrap().text, "");
    }

    #[tokio::test]
    async fn lines_that_have_come_are_one_batch_and_a_failure_follows_it() {
        let (sender, frames) = tokio::sync::mpsc::unbounded_channel();
        let frames =
            stream::unfold(frames, async |mut frames| Some((frames.recv().await?, frames)));
        let frames = Box::pin(frames);
        let mut reading =
            Reading { frames, assembly: Assembly::default(), is_over: false, failure: None };
        let texts =
            |lines: Vec<Printed>| lines.iter().map(|line| line.text.clone()).collect::<Vec<_>>();
        sender.send(Ok(out("one\n"))).unwrap();
        sender.send(Ok(out("two\n"))).unwrap();
        assert_eq!(texts(reading.next().await.unwrap().unwrap()), ["one", "two"]);
        sender.send(Ok(out("three\n"))).unwrap();
        sender.send(Err(bollard::errors::Error::RequestTimeoutError)).unwrap();
        assert_eq!(texts(reading.next().await.unwrap().unwrap()), ["three"]);
        assert!(reading.next().await.unwrap().is_err());
        assert!(reading.next().await.is_none());
    }

    #[tokio::test]
    async fn lines_that_a_task_hands_over_one_at_a_time_are_one_batch() {
        let (sender, mut frames) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            for line in ["one\n", "two\n", "three\n"] {
                sender.send(Ok(out(line))).await.unwrap();
            }
        });
        let frames = stream::poll_fn(move |context| frames.poll_recv(context));
        let mut reading =
            Reading { frames, assembly: Assembly::default(), is_over: false, failure: None };
        assert_eq!(reading.next().await.unwrap().unwrap().len(), 3);
    }
}
