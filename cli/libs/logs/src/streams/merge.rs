//! Merges streams of lines, each in its own order, by time. Holds only what is read ahead.

use std::{collections::BTreeMap, vec};

use contracts::Timestamp;
use futures_util::{Stream, StreamExt};
use tokio::{sync::mpsc, task::JoinHandle};

use super::{Printed, Resume, Writer};
use crate::files::Line;

/// How many batches of each writer are read ahead, some 64 KiB each, so that all streams are read at once even if one
/// writer's lines are much older.
const AHEAD: usize = 64;

/// The lines of all writers, the first one first. `E` is the error of the caller, of which those of streams are made.
#[derive(Debug)]
pub struct Merged<E> {
    sources: Vec<Source<E>>,
    is_begun: bool,
}

#[derive(Debug)]
struct Source<E> {
    writer: Writer,
    batches: mpsc::Receiver<Result<Vec<Printed>, E>>,
    batch: vec::IntoIter<Printed>,
    task: JoinHandle<()>,
    head: Option<Line>,
    /// The time by which its next line is sorted: never before that of the line before.
    at: Timestamp,
    resume: Resume,
}

impl<E> Source<E> {
    async fn advance(&mut self) -> Result<Option<Line>, E> {
        while self.batch.len() == 0 {
            let Some(batch) = self.batches.recv().await.transpose()? else { break };
            self.batch = batch.into_iter();
        }
        let next = self.batch.next().map(|printed| {
            self.resume.note(&printed);
            self.writer.line(&printed)
        });
        if let Some(next) = &next {
            self.at = self.at.max(next.time);
        }
        Ok(std::mem::replace(&mut self.head, next))
    }
}

impl<E> Drop for Source<E> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<E: Send + 'static> Merged<E> {
    /// Begins to merge streams that were opened at some position.
    pub fn new<S, F>(streams: impl Iterator<Item = (Writer, S)>, from: &Resume) -> Self
    where
        S: Stream<Item = Result<Vec<Printed>, F>> + Send + Unpin + 'static,
        F: Into<E> + Send + 'static,
    {
        let sources = streams.map(|(writer, mut stream)| {
            let (sender, batches) = mpsc::channel(AHEAD);
            let task = tokio::spawn(async move {
                while let Some(batch) = stream.next().await {
                    if sender.send(batch.map_err(Into::into)).await.is_err() {
                        break;
                    }
                }
            });
            let at = Timestamp::from_micros(i64::MIN);
            let (batch, resume) = (Vec::new().into_iter(), from.clone());
            Source { writer, batches, batch, task, head: None, at, resume }
        });
        Self { sources: sources.collect(), is_begun: false }
    }

    /// Returns the next line.
    ///
    /// # Errors
    /// The error of the engine.
    pub async fn next_line(&mut self) -> Result<Option<Line>, E> {
        if !self.is_begun {
            for source in &mut self.sources {
                source.advance().await?;
            }
            self.is_begun = true;
        }
        let first = self
            .sources
            .iter_mut()
            .filter(|source| source.head.is_some())
            .min_by_key(|source| source.at);
        match first {
            Some(source) => source.advance().await,
            None => Ok(None),
        }
    }

    /// Returns the position up to which each writer was read, by id.
    pub fn positions(&self) -> BTreeMap<String, Resume> {
        let position = |source: &Source<E>| (source.writer.id.clone(), source.resume.clone());
        self.sources.iter().map(position).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use futures_util::stream;

    use super::*;

    fn printed(micros: i64, text: &str) -> Printed {
        let text = Bytes::copy_from_slice(text.as_bytes());
        Printed { time: Timestamp::from_micros(micros), text }
    }

    #[tokio::test]
    async fn lines_are_merged_by_time_and_keep_their_own_order() {
        let one = [printed(1, "a"), printed(5, "b"), printed(4, "late"), printed(9, "c")];
        let other = [printed(2, "x"), printed(4, "y"), printed(6, "z")];
        let streams = [("one", one.to_vec()), ("other", other.to_vec())].map(|(service, lines)| {
            let batches: Vec<Result<_, Infallible>> =
                lines.chunks(2).map(|lines| Ok(lines.to_vec())).collect();
            (Writer::new(service, service), stream::iter(batches))
        });
        let mut merged = Merged::<Infallible>::new(streams.into_iter(), &Resume::default());
        let mut reported = Vec::new();
        while let Some(line) = merged.next_line().await.unwrap() {
            reported.push(line.message);
        }
        assert_eq!(reported, ["a", "x", "y", "b", "late", "z", "c"]);
    }
}
