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
use crate::files::Line;

/// How long lines are held back, so that slightly later lines of other writers are still sorted before them.
const HELD_FOR: Duration = Duration::from_millis(150);
/// The longest time that lines are held back for the first answer of a writer that has just appeared: a cluster says that a
/// container runs some two seconds after it printed its first lines.
const FIRST_ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);
/// How often held lines are checked.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How many batches of lines are read ahead.
const AHEAD: usize = 64;
/// The most lines that are held back: a writer that prints faster has to wait.
const HELD_MAX: usize = 20_000;

/// Follows writers, each from the position up to which it was read. The caller decides when to listen to which. `E` is its
/// error, of which those of streams are made.
#[derive(Debug)]
pub struct Followers<E> {
    followed: HashMap<String, Followed>,
    sender: Sender<(String, StreamEvent<E>)>,
    said: Receiver<(String, StreamEvent<E>)>,
    held: Vec<(Instant, Line)>,
    look: Interval,
}

/// An event of the streams.
#[derive(Debug)]
pub enum FollowEvent<E> {
    /// Lines that were held back long enough.
    Lines(Vec<Line>),
    /// The stream of a writer ended, normally or by an error.
    End(String, Result<(), E>),
    /// No stream had lines for a moment.
    Nothing,
}

/// An event of one stream.
#[derive(Debug)]
enum StreamEvent<E> {
    Lines(Vec<Printed>),
    End(Result<(), E>),
}

#[derive(Debug)]
struct Followed {
    writer: Writer,
    resume: Resume,
    task: Option<JoinHandle<()>>,
    /// Until when it holds the lines of all back: its first lines may be older.
    holds_until: Option<Instant>,
}

impl<E: Send + 'static> Followers<E> {
    /// Returns a follower without writers.
    #[expect(clippy::new_without_default, reason = "it needs a runtime for its timer")]
    pub fn new() -> Self {
        let (sender, said) = mpsc::channel(AHEAD);
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { followed: HashMap::new(), sender, said, held: Vec::new(), look }
    }

    /// Adds a writer with the position up to which it was read, unless it is known.
    pub fn add(&mut self, writer: Writer, resume: Resume) {
        let id = writer.id.clone();
        let followed = Followed { writer, resume, task: None, holds_until: None };
        self.followed.entry(id).or_insert(followed);
    }

    /// Adds a writer that has just appeared; a known one gets this name. Lines of others are held back until the first batch
    /// of a new one, which may be empty, but no longer than five seconds.
    pub fn add_or_update(&mut self, writer: Writer) {
        if let Some(followed) = self.followed.get_mut(&writer.id) {
            followed.writer = writer;
            return;
        }
        let holds_until = Some(Instant::now() + FIRST_ANSWER_WAIT_MAX);
        let id = writer.id.clone();
        let followed = Followed { writer, resume: Resume::default(), task: None, holds_until };
        self.followed.insert(id, followed);
    }

    /// Returns whether a writer is listened to.
    pub fn is_listening(&self, id: &str) -> bool {
        self.followed.get(id).is_some_and(|one| one.task.is_some())
    }

    /// Returns whether no writer is listened to any more, and all lines were returned.
    pub fn has_no_stream(&self) -> bool {
        self.followed.values().all(|one| one.task.is_none()) && self.said.is_empty()
    }

    /// Forgets the writers that are gone and are not listened to.
    pub fn retain(&mut self, is_there: impl Fn(&str) -> bool) {
        self.followed.retain(|id, followed| followed.task.is_some() || is_there(id));
    }

    /// Begins to listen to a known writer, from the position up to which it was read. Skips lines that the engine
    /// repeats.
    pub fn listen<S, F>(&mut self, id: &str, open: impl FnOnce(&Resume) -> S)
    where
        S: Stream<Item = Result<Vec<Printed>, F>> + Send + Unpin + 'static,
        F: Into<E> + Send + 'static,
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
    pub async fn next(&mut self) -> FollowEvent<E> {
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
    pub fn rest(&mut self) -> Vec<Line> {
        while let Ok((id, said)) = self.said.try_recv() {
            let _end = self.take_in(&id, said);
        }
        self.take(|_| true)
    }

    fn release(&mut self) -> Vec<Line> {
        let is_full = self.held.len() >= HELD_MAX;
        let now = Instant::now();
        let holds = |one: &Followed| one.holds_until.is_some_and(|until| until > now);
        if !is_full && self.followed.values().any(holds) {
            return Vec::new();
        }
        self.take(|arrived| is_full || arrived.elapsed() >= HELD_FOR)
    }

    fn take(&mut self, is_ready: impl Fn(&Instant) -> bool) -> Vec<Line> {
        let ready = self.held.iter().filter(|(arrived, _)| is_ready(arrived));
        let Some(until) = ready.map(|(_, line)| line.time).max() else { return Vec::new() };
        // Older lines that have arrived since are in time, too.
        let (ready, held): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.held).into_iter().partition(|(_, line)| line.time <= until);
        self.held = held;
        let mut lines: Vec<Line> = ready.into_iter().map(|(_, line)| line).collect();
        lines.sort_by_key(|line| line.time);
        lines
    }

    fn take_in(&mut self, id: &str, said: StreamEvent<E>) -> Option<Result<(), E>> {
        let followed = self.followed.get_mut(id)?;
        match said {
            StreamEvent::Lines(lines) => {
                let now = Instant::now();
                // The rest of what it has printed until now follows at once.
                followed.holds_until = followed.holds_until.map(|until| until.min(now + HELD_FOR));
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

impl<E> Drop for Followers<E> {
    fn drop(&mut self) {
        for task in self.followed.values().filter_map(|followed| followed.task.as_ref()) {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use contracts::Timestamp;
    use futures_util::stream;

    use super::*;

    fn printed(micros: i64) -> Printed {
        Printed { time: Timestamp::from_micros(micros), text: Bytes::from(micros.to_string()) }
    }

    #[tokio::test]
    async fn a_writer_that_never_stops_is_shown_meanwhile() {
        let mut followers = Followers::<Infallible>::new();
        followers.add(Writer::new("1", "tea"), Resume::default());
        let endless = stream::unfold(0, |next| async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Some((Ok::<_, Infallible>(vec![printed(next)]), next + 1))
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
    async fn a_line_that_arrives_late_is_shown_before_newer_ones_that_are_held_back() {
        let mut followers = Followers::<Infallible>::new();
        let now = Instant::now();
        let writer = Writer::new("1", "tea");
        for (micros, ago) in [(2, HELD_FOR), (1, HELD_FOR / 2), (3, Duration::ZERO)] {
            let arrived = now.checked_sub(ago).unwrap();
            followers.held.push((arrived, writer.line(&printed(micros))));
        }
        let shown =
            |lines: Vec<Line>| lines.into_iter().map(|line| line.message).collect::<Vec<_>>();
        assert_eq!(shown(followers.release()), ["1", "2"]);
        assert_eq!(shown(followers.rest()), ["3"]);
    }

    #[tokio::test]
    async fn lines_are_held_back_for_the_first_ones_of_a_writer_that_has_just_appeared() {
        let mut followers = Followers::<Infallible>::new();
        let long_ago = Instant::now().checked_sub(HELD_FOR).unwrap();
        followers.held.push((long_ago, Writer::new("1", "tea").line(&printed(3))));
        followers.add_or_update(Writer::new("2", "cake"));
        assert_eq!(followers.release(), []);
        let batches = [vec![], vec![printed(1)], vec![printed(2)]].map(Ok::<_, Infallible>);
        followers.listen("2", |_| stream::iter(batches));
        let lines = loop {
            if let FollowEvent::Lines(lines) = followers.next().await {
                break lines;
            }
        };
        let shown: Vec<&str> = lines.iter().map(|line| line.message.as_str()).collect();
        assert_eq!(shown, ["1", "2", "3"]);
    }

    #[tokio::test]
    async fn a_writer_that_does_not_answer_holds_lines_back_for_a_bounded_time() {
        let mut followers = Followers::<Infallible>::new();
        let long_ago = Instant::now().checked_sub(HELD_FOR).unwrap();
        followers.held.push((long_ago, Writer::new("1", "tea").line(&printed(1))));
        followers.add_or_update(Writer::new("2", "cake"));
        let silent = followers.followed.get_mut("2").unwrap();
        silent.holds_until =
            silent.holds_until.and_then(|until| until.checked_sub(FIRST_ANSWER_WAIT_MAX));
        assert_eq!(followers.release().len(), 1);
    }

    #[tokio::test]
    async fn a_stream_that_broke_is_read_on() {
        let mut followers = Followers::<Infallible>::new();
        followers.add(Writer::new("1", "tea"), Resume::default());
        let mut reported = Vec::new();
        for last in [2, 4] {
            let lines = (1..=last).map(|at| Ok::<_, Infallible>(vec![printed(at)]));
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
