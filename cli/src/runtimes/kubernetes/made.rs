//! What an `up` has made so far, so that an interrupted one can be undone.

use std::time::Duration;

use super::{claim::Claim, forwarder, labels, local, reach::choose_port, session::Session};
use crate::{
    config::Settings, error::Result, output::Output, plan::Deadline, runtimes::embedded,
    state::Environment,
};

/// How long the API server of a new cluster may take to start.
const MADE_WAIT_MAX: Duration = Duration::from_secs(120);
/// What is said if the cluster takes too long.
pub(super) const SLOW: &str = "the cluster, or the login to it, takes too long";

/// What one command has made so far, so that an interrupt can undo it.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// Whether the command made the cluster.
    cluster: bool,
    /// The claim on the shared cluster, until the environment is in it.
    claim: Option<Claim>,
    /// Whether the cluster had nothing of the environment before, so that the undo removes all of it.
    pub(super) all: bool,
    /// The settings that it overwrote.
    pub(super) written_over: Option<Option<Settings>>,
}

impl Made {
    /// Connects to the environment's cluster; `None` if the shared kind cluster is to be created. Waits for a starting API
    /// server until the deadline. Claims the shared cluster, so that nobody removes it meanwhile.
    ///
    /// # Errors
    /// [`crate::error::CliError::NoCluster`] if it does not answer, [`crate::error::CliError::NotReady`] after the deadline.
    pub(super) async fn find<'a>(
        &mut self,
        settings: &Settings,
        deadline: &Deadline,
        environment: &'a Environment,
        output: &'a Output,
    ) -> Result<Option<Session<'a>>> {
        if settings.cluster.are_of_shared() && self.claim.is_none() {
            self.claim = Some(Claim::to_be_in(environment, output).await?);
        }
        let found = Session::find(settings, environment, output, deadline.left());
        deadline.bound(found, SLOW).await
    }

    /// Creates the shared kind cluster, unless another command has created it meanwhile.
    ///
    /// # Errors
    /// As [`Made::find`], or kind's error.
    pub(super) async fn make_cluster(
        &mut self,
        settings: &Settings,
        deadline: &Deadline,
        environment: &Environment,
        output: &Output,
    ) -> Result<()> {
        // The former cluster is gone, if there was one.
        forwarder::end(environment).await?;
        environment.forget_cluster()?;
        // Release the claim before waiting, since other commands may wait for the same.
        self.claim = None;
        let claim = self.claim.insert(Claim::to_make(environment, output).await?);
        let found = Session::find(settings, environment, output, deadline.left());
        if deadline.bound(found, SLOW).await?.is_none() {
            self.cluster = true;
            let port = choose_port(settings, environment, None)?;
            let target = local::make(settings, port, claim, environment, output).await?;
            let session = Session::at(&target, environment, output, MADE_WAIT_MAX).await?;
            local::mark(&session).await?;
            claim.forget_note()?;
        }
        claim.share().await
    }

    /// Returns whether the cluster has anything of the environment after the command failed, as far as that can be seen.
    pub(super) async fn has_anything(&self, environment: &Environment, output: &Output) -> bool {
        if !self.all {
            return false;
        }
        let found: Result<bool> = async {
            let session = Session::of_running(environment, output).await?;
            let namespace = session.cluster.namespace(&session.namespace).await?;
            let is_ours = namespace.is_some_and(|one| one.label(labels::ENVIRONMENT).is_some());
            Ok(is_ours || !session.observe().await?.is_empty())
        }
        .await;
        found.unwrap_or(true)
    }

    /// Undoes what the command made.
    ///
    /// # Errors
    /// The cluster's refusal.
    pub(super) async fn undo(
        &mut self,
        settings: &Settings,
        environment: &Environment,
        output: &Output,
    ) -> Result<()> {
        let claim = self.claim.take();
        if let Some(claim) = claim.filter(|_| self.cluster && !self.all) {
            local::remove_unfinished(&claim, environment, output).await?;
        }
        if self.all {
            output.status(format_args!("Removing what this command made"));
            let session = Session::of_running(environment, output).await?;
            forwarder::end(environment).await?;
            if !self.cluster || !local::remove_if_alone(&session).await? {
                super::down::take_down(&session, settings, true).await?;
            }
            environment.forget_cluster()?;
            if let Some(settings) = self.written_over.take() {
                embedded::restore_settings(Some(settings), environment)?;
            }
        }
        Ok(())
    }
}
