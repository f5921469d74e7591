//! New lines of all containers as they come: through restarts, replacements and new replicas, and an engine that is started
//! anew; each line once.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use tokio::{
    sync::mpsc::{self, Receiver, Sender},
    task::JoinHandle,
    time::sleep,
};

use super::{Resume, Writer};
use crate::{
    docker::{
        Engine,
        events::Action,
        logs::{Printed, Wanted},
    },
    error::{CliError, Result},
    log_files::Line,
    runtimes::compose::{observed, ready::Watch},
    state::Environment,
};

/// How long lines are held, so that those of containers whose lines come a little later still find their place by time.
const HELD_FOR: Duration = Duration::from_millis(150);
/// How often held lines are looked through.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long an engine may be away.
const ENGINE_WAIT_MAX: Duration = Duration::from_secs(60);
/// How often it is looked for.
const TRY_EVERY: Duration = Duration::from_millis(250);
/// How many batches of lines are read ahead.
const AHEAD: usize = 64;
/// More lines are not held at a time: who prints faster waits.
const HELD_MAX: usize = 20_000;

/// Follows all containers of an environment.
#[derive(Debug)]
pub(crate) struct Following {
    engine: Engine,
    environment: Environment,
    services: BTreeSet<String>,
    watch: Watch,
    followed: HashMap<String, Followed>,
    sender: Sender<(String, Heard)>,
    heard: Receiver<(String, Heard)>,
    held: Vec<(Instant, Line)>,
}

/// What is heard of a container.
#[derive(Debug)]
enum Heard {
    Lines(Vec<Printed>),
    End,
}

#[derive(Debug)]
struct Followed {
    writer: Writer,
    resume: Resume,
    task: Option<JoinHandle<()>>,
    /// It was started again before its last lines were through.
    again: bool,
}

impl Following {
    pub(super) fn new(
        engine: Engine,
        environment: Environment,
        services: BTreeSet<String>,
        watch: Watch,
        writers: Vec<(Writer, Resume, bool)>,
    ) -> Self {
        let (sender, heard) = mpsc::channel(AHEAD);
        let mut following = Self {
            engine,
            environment,
            services,
            watch,
            followed: HashMap::new(),
            sender,
            heard,
            held: Vec::new(),
        };
        for (writer, resume, is_up) in writers {
            following.know(writer, resume, is_up);
        }
        following
    }

    /// Returns the next lines that had time enough to find their place. Waits until there are some.
    ///
    /// # Errors
    /// [`CliError::NotRunning`] when nothing of the environment runs any more; what the engine refuses.
    pub(crate) async fn next_lines(&mut self) -> Result<Vec<Line>> {
        loop {
            tokio::select! {
                Some((id, heard)) = self.heard.recv(), if self.held.len() < HELD_MAX => self.hear(&id, heard),
                event = self.watch.next() => match event {
                    Some(event) => {
                        if let (Action::Start, Some(writer)) =
                            (event.action, Writer::of_event(&event.id, &event.attributes))
                        {
                            self.started(writer);
                        }
                    }
                    None => self.find_engine_again().await?,
                },
                () = sleep(LOOK_EVERY) => {
                    let lines = self.release();
                    if !lines.is_empty() {
                        return Ok(lines);
                    }
                    if self.followed.values().all(|followed| followed.task.is_none()) && self.heard.is_empty() {
                        self.check_that_any_runs().await?;
                    }
                }
            }
            if self.held.len() >= HELD_MAX {
                return Ok(self.release());
            }
        }
    }

    /// Returns all lines that are still held.
    pub(crate) fn rest(&mut self) -> Vec<Line> {
        while let Ok((id, heard)) = self.heard.try_recv() {
            self.hear(&id, heard);
        }
        self.take(|_| true)
    }

    fn release(&mut self) -> Vec<Line> {
        let is_full = self.held.len() >= HELD_MAX;
        self.take(|arrived| is_full || arrived.elapsed() >= HELD_FOR)
    }

    fn take(&mut self, is_ready: impl Fn(&Instant) -> bool) -> Vec<Line> {
        let (ready, held) =
            std::mem::take(&mut self.held).into_iter().partition(|(arrived, _)| is_ready(arrived));
        self.held = held;
        let mut lines: Vec<Line> =
            Vec::<(Instant, Line)>::into_iter(ready).map(|(_, line)| line).collect();
        lines.sort_by_key(|line| line.time);
        lines
    }

    fn hear(&mut self, id: &str, heard: Heard) {
        let Some(followed) = self.followed.get_mut(id) else { return };
        match heard {
            Heard::Lines(lines) => {
                let now = Instant::now();
                for printed in lines {
                    followed.resume.note(printed.time);
                    self.held.push((now, followed.writer.line(&printed)));
                }
            }
            Heard::End => {
                followed.task = None;
                if std::mem::take(&mut followed.again) {
                    self.listen(id);
                }
            }
        }
    }

    fn know(&mut self, writer: Writer, resume: Resume, is_up: bool) {
        let id = writer.id.clone();
        self.followed.entry(id.clone()).or_insert(Followed {
            writer,
            resume,
            task: None,
            again: false,
        });
        if is_up {
            self.listen(&id);
        }
    }

    fn started(&mut self, writer: Writer) {
        if !self.services.is_empty() && !self.services.contains(&writer.service) {
            return;
        }
        match self.followed.get_mut(&writer.id) {
            Some(followed) if followed.task.is_some() => followed.again = true,
            _ => self.know(writer, Resume::default(), true),
        }
    }

    fn listen(&mut self, id: &str) {
        let Some(followed) = self.followed.get_mut(id).filter(|one| one.task.is_none()) else {
            return;
        };
        let wanted = Wanted { since: followed.resume.since(), tail: None, follow: true };
        let mut skipped = followed.resume.skipped();
        let mut batches = self.engine.logs(id, wanted);
        let (sender, id) = (self.sender.clone(), id.to_owned());
        followed.task = Some(tokio::spawn(async move {
            // If the engine went away, that is seen by the end of its events.
            while let Some(Ok(mut lines)) = batches.next().await {
                skipped -= lines.drain(..skipped.min(lines.len())).count();
                if sender.send((id.clone(), Heard::Lines(lines))).await.is_err() {
                    return;
                }
            }
            // Nobody may listen any more.
            let _unheard = sender.send((id, Heard::End)).await;
        }));
    }

    /// Waits for an engine that has just stopped to talk, and goes on where it was.
    async fn find_engine_again(&mut self) -> Result<()> {
        let since = Instant::now();
        let engine = loop {
            match Engine::connect().await {
                Ok(engine) => break engine,
                Err(error) if since.elapsed() >= ENGINE_WAIT_MAX => return Err(error),
                Err(_) => sleep(TRY_EVERY).await,
            }
        };
        let project = self.environment.name().to_string();
        self.watch = Watch::begin(&engine, &project);
        self.engine = engine;
        for seen in observed::containers(&self.engine, &project).await? {
            let is_shown = self.services.is_empty() || self.services.contains(&seen.service);
            if is_shown && !seen.is_one_off && seen.container.state.is_up() {
                let number = Some(seen.number).filter(|number| *number > 1);
                self.started(Writer::new(seen.id(), &seen.service, number));
            }
        }
        Ok(())
    }

    async fn check_that_any_runs(&self) -> Result<()> {
        let project = self.environment.name().to_string();
        let seen = observed::containers(&self.engine, &project).await?;
        match seen.is_empty() {
            true => Err(CliError::NotRunning { name: self.environment.name().clone() }),
            false => Ok(()),
        }
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        for task in self.followed.values().filter_map(|followed| followed.task.as_ref()) {
            task.abort();
        }
    }
}
