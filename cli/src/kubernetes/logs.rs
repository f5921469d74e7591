//! What pods print, line by line.

use std::{io, pin::Pin, time::Duration};

use bytes::{Bytes, BytesMut};
use contracts::Timestamp;
use futures_util::{AsyncBufRead, AsyncBufReadExt, FutureExt, Stream, TryStreamExt, stream};
use k8s_openapi::{api::core::v1::Pod, jiff};
use kube::{Api, api::LogParams, core::response::reason};

use super::{Cluster, errors::ClusterError, pods::ObservedPod};
use crate::{
    log_files::LINE_BYTES_MAX,
    log_streams::{Known, Printed, Resume},
};

/// How long a pod that is followed may be silent until its lines are asked for anew: a connection may have died unnoticed, and
/// some nodes lose their way when a log is rotated.
const SILENT_MAX: Duration = Duration::from_secs(30);
/// How much is taken at a time, give or take a line.
const BATCH_BYTES: usize = 64 * 1024;

/// Which lines of a pod are asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// Of which container; of its only one without it.
    pub(crate) container: Option<String>,
    /// So many from the end; all without it.
    pub(crate) tail: Option<usize>,
    /// Those of the container that ended before.
    pub(crate) previous: bool,
    /// None before this second.
    pub(crate) since: Option<Timestamp>,
    /// New ones as they come, until the container ends.
    pub(crate) follow: bool,
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

/// Returns the whole second of a time: the API knows no parts of one, and rounding would leave lines out.
fn second(time: Timestamp) -> Option<jiff::Timestamp> {
    const MICROS: i64 = 1_000_000;
    jiff::Timestamp::from_second(time.as_micros().div_euclid(MICROS)).ok()
}

impl Cluster {
    /// Returns the last lines of a pod; those of the container that runs now if none ended before.
    ///
    /// # Errors
    /// What the cluster refuses.
    pub(crate) async fn last_lines(
        &self,
        namespace: &str,
        pod: &str,
        asked: Asked,
    ) -> Result<Vec<String>, ClusterError> {
        let api: Api<Pod> = Api::namespaced(self.client(), namespace);
        let what = || format!("tell what {pod} printed");
        let text = match api.logs(pod, &asked.params()).await {
            Err(kube::Error::Api(_)) if asked.previous => {
                let now = Asked { previous: false, ..asked };
                api.logs(pod, &now.params()).await.map_err(self.could_not(what))?
            }
            told => told.map_err(self.could_not(what))?,
        };
        Ok(text.lines().map(ToOwned::to_owned).collect())
    }

    /// Returns the lines of a pod from some place on: those that its container said before it was started again, as far as the
    /// node keeps them, and those that it says since. A pod that is gone, or has not begun, has none.
    pub(crate) fn lines(
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
            // In this order, so that no container falls between the two: one that ends meanwhile is the one before then, and is
            // told apart by its lines.
            let current = cluster.open(&namespace, &pod, &asked).await?;
            let before = Asked { previous: true, follow: false, ..asked };
            let before = cluster.open(&namespace, &pod, &before).await?;
            let known = resume.known();
            Ok(Reading { before, current, resume, known })
        };
        let lines = stream::once(opened).map_ok(|reading| {
            stream::try_unfold(reading, async |mut reading: Reading| {
                Ok(reading.next().await?.map(|lines| (lines, reading)))
            })
        });
        Box::pin(lines.try_flatten())
    }

    /// Begins to read; nothing is there to be read from a container that has not begun, or a pod that is gone.
    async fn open(
        &self,
        namespace: &str,
        pod: &str,
        asked: &Asked,
    ) -> Result<Option<Lines>, ClusterError> {
        let api: Api<Pod> = Api::namespaced(self.client(), namespace);
        let what = format!("tell what {pod} printed");
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
    /// The time of the last one, for one that says none.
    last: Timestamp,
    silent_max: Option<Duration>,
    text: Text,
    /// How it ended, to be told after the lines before it.
    end: Option<io::Result<()>>,
    cluster: Cluster,
    what: String,
}

impl Lines {
    /// Returns the next lines: waits for one, and takes with it what has come already. What a connection that broke had begun
    /// to say is left out: it will be said again.
    async fn next(&mut self) -> Result<Option<Vec<Printed>>, ClusterError> {
        if let Some(end) = self.end.take() {
            return end.map(|()| None).map_err(|error| self.broke(error));
        }
        let first = self.text.next(&mut self.reader);
        let first = match self.silent_max {
            // It is asked again by who sees that the pod still runs.
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

/// Puts lines together from what is read. What is longer than any line of ours is cut.
#[derive(Debug, Default)]
struct Text {
    begun: BytesMut,
}

impl Text {
    /// Reads up to the next line end. Dropped before it is there, it loses nothing.
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
