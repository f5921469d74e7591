//! New lines of all containers as they are printed: across restarts, replacements, new replicas and a restart of the
//! engine; each line once.

use std::{
    collections::{BTreeSet, HashSet},
    time::{Duration, Instant},
};

use engine::{Engine, events::Action, logs::Wanted};
use logs::{
    files::Line,
    streams::{FollowEvent, Followers, Resume, Writer},
};
use tokio::time::sleep;

use super::{writer, writer_of_event};
use crate::{
    error::{CliError, Result},
    runtimes::compose::{observed, ready::Watch, session::engine_of},
    state::Environment,
};

/// How long an engine may be away.
const ENGINE_WAIT_MAX: Duration = Duration::from_secs(60);
/// How often a connection to it is tried.
const TRY_EVERY: Duration = Duration::from_millis(250);

/// Follows all containers of an environment.
#[derive(Debug)]
pub(crate) struct Following {
    engine: Engine,
    environment: Environment,
    services: BTreeSet<String>,
    watch: Watch,
    followers: Followers<CliError>,
    /// Containers that restarted before their last lines were read.
    again: HashSet<String>,
}

impl Following {
    pub(super) fn new(
        engine: Engine,
        environment: Environment,
        services: BTreeSet<String>,
        watch: Watch,
        followers: Followers<CliError>,
    ) -> Self {
        Self { engine, environment, services, watch, followers, again: HashSet::new() }
    }

    /// Returns the next lines that were held back long enough; waits for some.
    ///
    /// # Errors
    /// [`CliError::NotRunning`] when no container of the environment runs any more; the engine's error.
    pub(crate) async fn next_lines(&mut self) -> Result<Vec<Line>> {
        loop {
            tokio::select! {
                heard = self.followers.next() => match heard {
                    FollowEvent::Lines(lines) => return Ok(lines),
                    // The end of the events shows whether the engine is gone.
                    FollowEvent::End(id, _) => {
                        if self.again.remove(&id) {
                            self.listen(&id);
                        }
                    }
                    FollowEvent::Nothing => {
                        if self.followers.has_no_stream() {
                            self.check_that_any_runs().await?;
                        }
                    }
                },
                event = self.watch.next() => match event {
                    Some(event) => {
                        if let (Action::Start, Some(writer)) =
                            (event.action, writer_of_event(&event.id, &event.attributes))
                        {
                            self.started(writer);
                        }
                    }
                    None => self.find_engine_again().await?,
                },
            }
        }
    }

    /// Returns all lines that are still held back.
    pub(crate) fn rest(&mut self) -> Vec<Line> {
        self.followers.rest()
    }

    /// Begins to listen to a known container.
    pub(super) fn listen(&mut self, id: &str) {
        let engine = &self.engine;
        self.followers.listen(id, |resume| {
            engine.logs(id, Wanted { since: resume.since(), tail: None, follow: true })
        });
    }

    fn started(&mut self, writer: Writer) {
        if !self.services.is_empty() && !self.services.contains(&writer.service) {
            return;
        }
        let id = writer.id.clone();
        if self.followers.is_listening(&id) {
            self.again.insert(id);
            return;
        }
        self.followers.add(writer, Resume::default());
        self.listen(&id);
    }

    /// Waits for an engine whose events have ended, and resumes.
    async fn find_engine_again(&mut self) -> Result<()> {
        let since = Instant::now();
        let engine = loop {
            match engine_of(&self.environment).await {
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
                self.started(writer(seen.id(), &seen.service, number));
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
