//! New lines of many writers, held back for a moment, so that slightly later lines are still sorted before them.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use futures_util::{Stream, StreamExt};
use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    task::JoinHandle,
    time::{Interval, MissedTickBehavior, interval},
};

use super::{Printed, Resume, Writer};
use crate::{
    error::{CliError, Result},
    log_files::Line,
};

/// How long lines are held back, so that slightly later lines of other writers are still sorted before them.
const HELD_FOR: Duration = Duration::from_millis(150);
/// How often held lines are checked.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How many batches of lines are read ahead.
const AHEAD: usize = 64;
/// The most lines that are held back: a writer that prints faster has to wait.
const HELD_MAX: usize = 20_000;

/// Follows writers, each from the position up to which it was read. The caller decides when to listen to which.
#[derive(Debug)]
pub(crate) struct Followers {
    followed: HashMap<String, Followed>,
    sender: Sender<(String, StreamEvent)>,
    said: Receiver<(String, StreamEvent)>,
    held: Vec<(Instant, Line)>,
    look: Interval,
}

/// An event of the streams.
#[derive(Debug)]
pub(crate) enum FollowEvent {
    /// Lines that were held back long enough.
    Lines(Vec<Line>),
    /// The stream of a writer ended, normally or by an error.
    End(String, Result<()>),
    /// No stream had lines for a moment.
    Nothing,
}

/// An event of one stream.
#[derive(Debug)]
enum StreamEvent {
    Lines(Vec<Printed>),
    End(Result<()>),
}

#[derive(Debug)]
struct Followed {
    writer: Writer,
    resume: Resume,
    task: Option<JoinHandle<()>>,
}

impl Followers {
    /// Returns a follower without writers.
    pub(crate) fn new() -> Self {
        let (sender, said) = mpsc::channel(AHEAD);
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { followed: HashMap::new(), sender, said, held: Vec::new(), look }
    }

    /// Adds a writer with the position up to which it was read, unless it is known.
    pub(crate) fn add(&mut self, writer: Writer, resume: Resume) {
        let id = writer.id.clone();
        self.followed.entry(id).or_insert(Followed { writer, resume, task: None });
    }

    /// Adds a writer that was not read yet; a known one gets this name.
    pub(crate) fn add_or_update(&mut self, writer: Writer) {
        match self.followed.get_mut(&writer.id) {
            Some(followed) => followed.writer = writer,
            None => self.add(writer, Resume::default()),
        }
    }

    /// Returns whether a writer is listened to.
    pub(crate) fn is_listening(&self, id: &str) -> bool {
        self.followed.get(id).is_some_and(|one| one.task.is_some())
    }

    /// Returns whether no writer is listened to any more, and all lines were returned.
    pub(crate) fn has_no_stream(&self) -> bool {
        self.followed.values().all(|one| one.task.is_none()) && self.said.is_empty()
    }

    /// Forgets a writer.
    pub(crate) fn forget(&mut self, id: &str) {
        if let Some(Followed { task: Some(task), .. }) = self.followed.remove(id) {
            task.abort();
        }
    }

    /// Begins to listen to a known writer, from the position up to which it was read. Skips lines that the engine
    /// repeats.
    pub(crate) fn listen<S, E>(&mut self, id: &str, open: impl FnOnce(&Resume) -> S)
    where
        S: Stream<Item = std::result::Result<Vec<Printed>, E>> + Send + Unpin + 'static,
        E: Into<CliError> + Send + 'static,
    {
        let Some(followed) = self.followed.get_mut(id).filter(|one| one.task.is_none()) else {
            return;
        };
        let mut known = followed.resume.known();
        let mut batches = open(&followed.resume);
        let (sender, id) = (self.sender.clone(), id.to_owned());
        followed.task = Some(tokio::spawn(async move {
            let end = loop {
                match batches.next().await {
                    Some(Ok(mut lines)) => {
                        known.pass_over(&mut lines);
                        if sender.send((id.clone(), StreamEvent::Lines(lines))).await.is_err() {
                            return;
                        }
                    }
                    Some(Err(error)) => break Err(error.into()),
                    None => break Ok(()),
                }
            };
            // The follower may be gone.
            let _unheard = sender.send((id, StreamEvent::End(end))).await;
        }));
    }

    /// Returns the next event. Cancel-safe: dropped before it is ready, it loses nothing.
    pub(crate) async fn next(&mut self) -> FollowEvent {
        loop {
            tokio::select! {
                // The check comes first, so that a writer that never pauses does not hold the lines back.
                biased;
                _ = self.look.tick() => {
                    let lines = self.release();
                    return if lines.is_empty() { FollowEvent::Nothing } else { FollowEvent::Lines(lines) };
                }
                Some((id, said)) = self.said.recv() => {
                    if let Some(end) = self.take_in(&id, said) {
                        return FollowEvent::End(id, end);
                    }
                    if self.held.len() >= HELD_MAX {
                        return FollowEvent::Lines(self.release());
                    }
                }
            }
        }
    }

    /// Returns all lines that are still held back.
    pub(crate) fn rest(&mut self) -> Vec<Line> {
        while let Ok((id, said)) = self.said.try_recv() {
            let _end = self.take_in(&id, said);
        }
        self.take(|_| true)
    }

    fn release(&mut self) -> Vec<Line> {
        let is_full = self.held.len() >= HELD_MAX;
        self.take(|arrived| is_full || arrived.elapsed() >= HELD_FOR)
    }

    fn take(&mut self, is_ready: impl Fn(&Instant) -> bool) -> Vec<Line> {
        let (ready, held): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.held).into_iter().partition(|(arrived, _)| is_ready(arrived));
        self.held = held;
        let mut lines: Vec<Line> = ready.into_iter().map(|(_, line)| line).collect();
        lines.sort_by_key(|line| line.time);
        lines
    }

    fn take_in(&mut self, id: &str, said: StreamEvent) -> Option<Result<()>> {
        let followed = self.followed.get_mut(id)?;
        match said {
            StreamEvent::Lines(lines) => {
                let now = Instant::now();
                for printed in lines {
                    followed.resume.note(&printed);
                    self.held.push((now, followed.writer.line(&printed)));
                }
                None
            }
            StreamEvent::End(end) => {
                followed.task = None;
                Some(end)
            }
        }
    }
}

impl Drop for Followers {
    fn drop(&mut self) {
        for task in self.followed.values().filter_map(|followed| followed.task.as_ref()) {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use contracts::Timestamp;
    use futures_util::stream;

    use super::*;

    fn printed(micros: i64) -> Printed {
        Printed { time: Timestamp::from_micros(micros), text: Bytes::from(micros.to_string()) }
    }

    #[tokio::test]
    async fn a_writer_that_never_stops_is_shown_meanwhile() {
        let mut followers = Followers::new();
        followers.add(Writer::new("1", "tea"), Resume::default());
        let endless = stream::unfold(0, |next| async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Some((Ok::<_, CliError>(vec![printed(next)]), next + 1))
        });
        followers.listen("1", |_| Box::pin(endless));
        let reported = tokio::time::timeout(Duration::from_secs(20), async {
            loop {
                if let FollowEvent::Lines(lines) = followers.next().await {
                    return lines;
                }
            }
        });
        assert_eq!(reported.await.unwrap()[0].message, "0");
    }

    #[tokio::test]
    async fn a_stream_that_broke_is_read_on() {
        let mut followers = Followers::new();
        followers.add(Writer::new("1", "tea"), Resume::default());
        let mut reported = Vec::new();
        for last in [2, 4] {
            let lines = (1..=last).map(|at| Ok::<_, CliError>(vec![printed(at)]));
            followers.listen("1", |_| stream::iter(lines.collect::<Vec<_>>()));
            while followers.is_listening("1") {
                if let FollowEvent::Lines(lines) = followers.next().await {
                    reported.extend(lines);
                }
            }
        }
        reported.extend(followers.rest());
        let reported: Vec<&str> = reported.iter().map(|line| line.message.as_str()).collect();
        assert_eq!(reported, ["1", "2", "3", "4"]);
    }
}
