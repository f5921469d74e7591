//! What an `up` has made so far, so that an interrupted one can be undone.

use super::{claim::Claim, forwarder, local, reach::choose_port, session::Session};
use crate::{
    config::Settings,
    error::Result,
    output::Output,
    runtimes::{ChangeLock, Wanted, embedded},
    state::Environment,
};

/// What one command has made so far, so that an interrupt can undo it.
#[derive(Debug, Default)]
pub(super) struct UndoLog {
    /// Whether the command made the state folder.
    pub(super) state: bool,
    /// The lock on changes, while the command needs it.
    pub(super) lock: Option<ChangeLock>,
    /// Whether the command made the cluster.
    pub(super) cluster: bool,
    /// The claim on the shared cluster, until the environment is in it.
    pub(super) claim: Option<Claim>,
    /// Whether the cluster had nothing of the environment before, so that the undo removes all of it.
    pub(super) all: bool,
    /// The settings that it overwrote.
    pub(super) written_over: Option<Option<Settings>>,
}

impl UndoLog {
    /// Connects to the environment's cluster, and creates the shared kind cluster if that is needed.
    ///
    /// # Errors
    /// [`crate::error::CliError::NoCluster`] if it does not answer, or kind's error.
    pub(super) async fn settle<'a>(
        &mut self,
        settings: &Settings,
        environment: &'a Environment,
        output: &'a Output,
    ) -> Result<Session<'a>> {
        if settings.cluster.context.is_none() {
            self.claim = Some(Claim::to_be_in(environment, output).await?);
        }
        if let Some(session) = Session::find(settings, environment, output).await? {
            return Ok(session);
        }
        // The former cluster is gone, if there was one.
        forwarder::end(environment).await?;
        environment.forget_cluster()?;
        // Release the claim before waiting, since other commands may wait for the same.
        self.claim = None;
        let claim = self.claim.insert(Claim::to_make(environment, output).await?);
        let session = match Session::find(settings, environment, output).await? {
            // Another command has created it meanwhile.
            Some(session) => session,
            None => {
                self.cluster = true;
                let port = choose_port(settings, environment, None)?;
                let target = local::make(settings, port, environment, output).await?;
                let session = Session::at(&target, environment, output).await?;
                local::mark(&session).await?;
                session
            }
        };
        claim.share()?;
        Ok(session)
    }

    /// Undoes what the command made.
    ///
    /// # Errors
    /// The cluster's refusal.
    pub(super) async fn undo(
        mut self,
        wanted: &Wanted,
        environment: &Environment,
        output: &Output,
    ) -> Result<()> {
        let Some(lock) = self.lock.take() else { return Ok(()) };
        drop(self.claim.take());
        if self.cluster && !self.all {
            output.status(format_args!("Removing the incomplete cluster"));
            local::remove_unfinished(environment).await?;
        }
        if self.all {
            output.status(format_args!("Removing what this command made"));
            let session = Session::of_running(environment, output).await?;
            forwarder::end(environment).await?;
            if !self.cluster || !local::remove_if_alone(&session).await? {
                super::down::take_down(&session, &wanted.settings, true).await?;
            }
            environment.forget_cluster()?;
            if let Some(settings) = self.written_over.take() {
                embedded::restore_settings(Some(settings), environment)?;
            }
        }
        if self.state && environment.last_settings()?.is_none() {
            embedded::forget_all(environment)?;
        }
        drop(lock);
        Ok(())
    }
}
