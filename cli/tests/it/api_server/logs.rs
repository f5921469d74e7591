//! The logs of a pod's containers, as a kubelet keeps and returns them.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use jiff::Timestamp;
use tokio::sync::watch;

/// A line, and its time.
type Line = (Timestamp, String);

/// A file of a log. A followed file ends when it is closed.
#[derive(Debug, Default)]
struct File {
    /// How often the container had restarted.
    restarts: usize,
    lines: Vec<Line>,
    closed: bool,
}

/// The log of a pod's container: one file after the other. Only the last of each start is returned.
#[derive(Debug)]
pub(super) struct Log {
    files: Vec<File>,
}

impl Log {
    pub(super) fn new(lines: impl IntoIterator<Item = String>) -> Self {
        let now = Timestamp::now();
        let lines = lines.into_iter().map(|line| (now, line)).collect();
        Self { files: vec![File { restarts: 0, lines, closed: false }] }
    }

    pub(super) fn add(&mut self, at: Timestamp, line: &str) {
        self.files.last_mut().unwrap().lines.push((at, line.into()));
    }

    /// Begins another file; the one before is no longer returned.
    pub(super) fn rotate(&mut self) {
        let restarts = self.close();
        self.files.push(File { restarts, ..File::default() });
    }

    /// Begins the file of another start; earlier lines belong to the previous container.
    pub(super) fn restart(&mut self) {
        let restarts = self.close() + 1;
        self.files.push(File { restarts, ..File::default() });
    }

    /// Ends the log with its pod.
    pub(super) fn end(&mut self) {
        self.close();
    }

    fn close(&mut self) -> usize {
        let last = self.files.last_mut().unwrap();
        last.closed = true;
        last.restarts
    }

    /// Returns the file that is returned.
    fn file(&self, previous: bool) -> Option<usize> {
        let last = self.files.last()?.restarts;
        let wanted = if previous { last.checked_sub(1)? } else { last };
        self.files.iter().rposition(|file| file.restarts == wanted)
    }
}

/// The parameters of a request, as the API server passes them on.
#[derive(Debug, Default)]
pub(super) struct Asked {
    follow: bool,
    pub(super) previous: bool,
    timestamps: bool,
    since: Option<Timestamp>,
    tail: Option<usize>,
}

impl Asked {
    pub(super) fn read(query: &[(String, String)]) -> Self {
        let mut asked = Self::default();
        for (name, value) in query {
            match name.as_str() {
                "follow" => asked.follow = value == "true",
                "previous" => asked.previous = value == "true",
                "timestamps" => asked.timestamps = value == "true",
                "sinceTime" => asked.since = value.parse().ok(),
                "sinceSeconds" => {
                    let ago = value.parse().map(Duration::from_secs).ok();
                    asked.since = ago.map(|ago| Timestamp::now() - ago);
                }
                "tailLines" => asked.tail = value.parse().ok(),
                _ => {}
            }
        }
        asked
    }

    fn written(&self, (at, line): &Line) -> String {
        if self.timestamps {
            format!("{} {line}\n", at.strftime("%Y-%m-%dT%H:%M:%S.%9fZ"))
        } else {
            format!("{line}\n")
        }
    }
}

/// Answers with the lines of a file, and with `follow`, with new ones until it is closed.
pub(super) fn answer(
    log: watch::Receiver<Log>,
    asked: Asked,
    container: &str,
    pod: &str,
) -> Response {
    let Some(file) = log.borrow().file(asked.previous) else {
        let why =
            format!("previous terminated container \"{container}\" in pod \"{pod}\" not found");
        return (StatusCode::BAD_REQUEST, why).into_response();
    };
    let since = |line: &Line| asked.since.is_none_or(|since| line.0 >= since);
    let first = {
        let lines = &log.borrow().files[file].lines;
        let all = lines.iter().position(since).unwrap_or(lines.len());
        all.max(asked.tail.map_or(0, |tail| lines.len().saturating_sub(tail)))
    };
    let lines = stream::unfold((log, asked, first), move |(mut log, asked, next)| async move {
        let more = |log: &Log| log.files[file].lines.len() > next || log.files[file].closed;
        if asked.follow {
            // The pod is gone if no writer is left.
            let _gone = log.wait_for(more).await;
        }
        let (text, count) = {
            let lines = &log.borrow_and_update().files[file].lines;
            let text: String = lines[next..].iter().map(|line| asked.written(line)).collect();
            (text, lines.len())
        };
        (count > next).then(|| (Ok::<_, Infallible>(Bytes::from(text)), (log, asked, count)))
    });
    Body::from_stream(lines).into_response()
}
