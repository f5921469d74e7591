//! Logs of pods, line by line.

use std::{io, pin::Pin, time::Duration};

use bytes::{Bytes, BytesMut};
use contracts::Timestamp;
use futures_util::{
    AsyncBufRead, AsyncBufReadExt, FutureExt, Stream, StreamExt, TryStreamExt, stream,
};
use k8s_openapi::{api::core::v1::Pod, jiff};
use kube::{Api, api::LogParams, core::response::reason};
use logs::{
    files::LINE_BYTES_MAX,
    streams::{Known, Printed, Resume},
};

use super::{Cluster, errors::ClusterError, pods::ObservedPod};

/// How long a followed pod may be silent before its stream is opened again: the connection may be broken unnoticed, and
/// some nodes lose the log at a rotation.
const SILENT_MAX: Duration = Duration::from_secs(30);
/// The size of a batch, give or take a line.
const BATCH_BYTES: usize = 64 * 1024;

/// The lines to return.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The container; `None` for the only one.
    pub container: Option<String>,
    /// This many from the end; all without it.
    pub tail: Option<usize>,
    /// Those of the previous container.
    pub previous: bool,
    /// None before this second.
    pub since: Option<Timestamp>,
    /// New lines too, until the container ends.
    pub follow: bool,
}

impl Asked {
    fn params(&self) -> LogParams {
        LogParams {
            container: self.container.clone(),
            previous: self.previous,
            tail_lines: self.tail.map(|lines| i64::try_from(lines).unwrap_or(i64::MAX)),
            since_time: self.since.and_then(second),
            follow: self.follow,
            ..LogParams::default()
        }
    }
}

/// Returns a time in whole seconds, rounded down: the API has no fractions, and rounding up would leave lines out.
fn second(time: Timestamp) -> Option<jiff::Timestamp> {
    const MICROS: i64 = 1_000_000;
    jiff::Timestamp::from_second(time.as_micros().div_euclid(MICROS)).ok()
}

impl Cluster {
    /// Returns the last lines of a pod: of the previous container, or else of the current one.
    ///
    /// # Errors
    /// The cluster's refusal.
    pub async fn last_lines(
        &self,
        namespace: &str,
        pod: &str,
        asked: Asked,
    ) -> Result<Vec<String>, ClusterError> {
        let api: Api<Pod> = Api::namespaced(self.client(), namespace);
        let what = || format!("return the logs of {pod}");
        let text = match api.logs(pod, &asked.params()).await {
            Err(kube::Error::Api(_)) if asked.previous => {
                let now = Asked { previous: false, ..asked };
                api.logs(pod, &now.params()).await.map_err(self.could_not(what))?
            }
            reported => reported.map_err(self.could_not(what))?,
        };
        Ok(text.lines().map(ToOwned::to_owned).collect())
    }

    /// Returns the lines of a pod from a position on: those of the previous container, as far as the node keeps them,
    /// and those of the current one. A missing pod, or one that has not started, has none. The first batch is empty: the stream is
    /// open.
    pub fn lines(
        &self,
        namespace: &str,
        pod: &ObservedPod,
        from: &Resume,
        tail: Option<usize>,
        follow: bool,
    ) -> impl Stream<Item = Result<Vec<Printed>, ClusterError>> + Send + Unpin + use<> {
        let asked = Asked {
            container: Some(pod.container.clone()),
            tail,
            previous: false,
            since: from.since(),
            follow,
        };
        let (cluster, namespace, pod) = (self.clone(), namespace.to_owned(), pod.name.clone());
        let resume = from.clone();
        let opened = async move {
            // In this order, so that no container is missed: one that ends meanwhile becomes the previous one, and its
            // lines are recognised.
            let current = cluster.open(&namespace, &pod, &asked).await?;
            let before = Asked { previous: true, follow: false, ..asked };
            let before = cluster.open(&namespace, &pod, &before).await?;
            let known = resume.known();
            Ok(Reading { before, current, resume, known })
        };
        let lines = stream::once(opened).map_ok(|reading| {
            let opened = reading.current.is_some().then(|| Ok(Vec::new()));
            stream::iter(opened).chain(stream::try_unfold(reading, async |mut reading: Reading| {
                Ok(reading.next().await?.map(|lines| (lines, reading)))
            }))
        });
        Box::pin(lines.try_flatten())
    }

    /// Opens a stream; it is empty if the container has not started or the pod is gone.
    async fn open(
        &self,
        namespace: &str,
        pod: &str,
        asked: &Asked,
    ) -> Result<Option<Lines>, ClusterError> {
        let api: Api<Pod> = Api::namespaced(self.client(), namespace);
        let what = format!("return the logs of {pod}");
        let params = LogParams { timestamps: true, ..asked.params() };
        match api.log_stream(pod, &params).await {
            Ok(reader) => {
                let silent_max = asked.follow.then_some(SILENT_MAX);
                let last = asked.since.unwrap_or_default();
                let reader = Box::pin(reader);
                let (text, end) = (Text::default(), None);
                Ok(Some(Lines { reader, last, silent_max, text, end, cluster: self.clone(), what }))
            }
            Err(kube::Error::Api(status))
                if status.is_not_found() || status.reason == reason::BAD_REQUEST =>
            {
                Ok(None)
            }
            Err(error) => Err(self.could_not(|| what)(error)),
        }
    }
}

/// The lines of one container after the other.
struct Reading {
    before: Option<Lines>,
    current: Option<Lines>,
    resume: Resume,
    known: Known,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Vec<Printed>>, ClusterError> {
        if let Some(before) = &mut self.before {
            if let Some(mut lines) = before.next().await? {
                self.known.pass_over(&mut lines);
                lines.iter().for_each(|line| self.resume.note(line));
                return Ok(Some(lines));
            }
            self.before = None;
            self.known = self.resume.known();
        }
        let Some(current) = &mut self.current else { return Ok(None) };
        let mut lines = current.next().await?;
        lines.iter_mut().for_each(|lines| self.known.pass_over(lines));
        Ok(lines)
    }
}

/// The lines of a container, as the cluster sends them.
struct Lines {
    reader: Pin<Box<dyn AsyncBufRead + Send>>,
    /// The time of the last line, for lines without one.
    last: Timestamp,
    silent_max: Option<Duration>,
    text: Text,
    /// The end of the stream, returned after the lines before it.
    end: Option<io::Result<()>>,
    cluster: Cluster,
    what: String,
}

impl Lines {
    /// Returns the next lines: waits for one, and adds all that have arrived. Drops an incomplete line of a broken
    /// connection: the cluster sends it again.
    async fn next(&mut self) -> Result<Option<Vec<Printed>>, ClusterError> {
        if let Some(end) = self.end.take() {
            return end.map(|()| None).map_err(|error| self.broke(error));
        }
        let first = self.text.next(&mut self.reader);
        let first = match self.silent_max {
            // The caller opens it again if the pod still runs.
            Some(max) => match tokio::time::timeout(max, first).await {
                Ok(read) => read,
                Err(_) => return Ok(None),
            },
            None => first.await,
        };
        let Some(first) = first.map_err(|error| self.broke(error))? else { return Ok(None) };
        let mut bytes = first.len();
        let mut lines = vec![self.printed(first)];
        while bytes < BATCH_BYTES {
            match self.text.next(&mut self.reader).now_or_never() {
                Some(Ok(Some(next))) => {
                    bytes += size_of::<Printed>() + next.len();
                    lines.push(self.printed(next));
                }
                end => {
                    self.end = end.map(|end| end.map(drop));
                    break;
                }
            }
        }
        Ok(Some(lines))
    }

    fn printed(&mut self, bytes: Bytes) -> Printed {
        let (time, text) = Printed::split(bytes);
        self.last = time.unwrap_or(self.last);
        Printed { time: self.last, text }
    }

    fn broke(&self, error: io::Error) -> ClusterError {
        self.cluster.could_not(|| self.what.clone())(kube::Error::ReadEvents(error))
    }
}

/// Joins lines from the pieces read. Longer lines than the services write are cut.
#[derive(Debug, Default)]
struct Text {
    begun: BytesMut,
}

impl Text {
    /// Reads up to the next line end. Cancel-safe: dropped before that, it loses nothing.
    async fn next(
        &mut self,
        reader: &mut (impl AsyncBufRead + Unpin + ?Sized),
    ) -> io::Result<Option<Bytes>> {
        loop {
            let read = reader.fill_buf().await?;
            if read.is_empty() {
                return Ok((!self.begun.is_empty()).then(|| self.begun.split().freeze()));
            }
            let end = read.iter().position(|byte| *byte == b'\n');
            let piece = &read[..end.unwrap_or(read.len())];
            let room = LINE_BYTES_MAX.saturating_sub(self.begun.len());
            self.begun.extend_from_slice(&piece[..piece.len().min(room)]);
            let used = piece.len() + usize::from(end.is_some());
            reader.consume_unpin(used);
            if end.is_some() {
                return Ok(Some(self.begun.split().freeze()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::io::{BufReader, Cursor};

    use super::*;

    #[tokio::test]
    async fn lines_are_read_whole_and_endless_ones_are_cut() {
        let endless = "x".repeat(LINE_BYTES_MAX + 5);
        let said = format!("2026-01-31T12:00:00Z one\n\n{endless}\nlast");
        let mut reader = BufReader::with_capacity(7, Cursor::new(said));
        let (mut text, mut lines) = (Text::default(), Vec::new());
        while let Some(line) = text.next(&mut reader).await.unwrap() {
            lines.push(String::from_utf8(line.to_vec()).unwrap());
        }
        assert_eq!(lines, ["2026-01-31T12:00:00Z one", "", &endless[..LINE_BYTES_MAX], "last"],);
    }

    #[test]
    fn no_part_of_a_second_is_left_out() {
        let half = Timestamp::from_micros(1_999_999);
        assert_eq!(second(half).unwrap().as_microsecond(), 1_000_000);
    }
}
