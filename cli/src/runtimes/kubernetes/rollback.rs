//! The rollback of a deployment: restores objects that it has changed, and removes those that it has created.

use std::collections::BTreeSet;

use cluster::objects::{How, Id, Object};

use super::{
    apply::{Applying, Progress},
    plan::Step,
    wanted::Wanted,
};
use crate::{
    error::{CliError, Result},
    plan::Plan,
};

/// Takes fields over, since the deployment may have taken them from other programs.
const BACK: How = How { dry_run: false, force: true };

/// A deployment to roll back.
#[derive(Debug)]
pub(super) struct Rollback<'a> {
    /// The cluster and the namespace.
    pub(super) applying: Applying<'a>,
    /// The wanted objects.
    pub(super) wanted: &'a Wanted,
    /// The objects as observed before.
    pub(super) observed: &'a [Object],
    /// The plan.
    pub(super) plan: &'a Plan<Step>,
    /// The operations that have begun.
    pub(super) progress: &'a Progress,
}

impl Rollback<'_> {
    /// Restores all changed objects, and removes new ones.
    ///
    /// # Errors
    /// The cluster's refusal.
    pub(super) async fn roll_back(&self) -> Result<()> {
        let changed = self.begun(|step| match step {
            Step::Change { id, .. } => Some(id),
            _ => None,
        });
        let replaced = self.begun(|step| match step {
            Step::Replace { id } => Some(id),
            _ => None,
        });
        for before in self.observed {
            if changed.contains(&before.id()) {
                self.restore(before).await?;
            } else if replaced.contains(&before.id()) {
                self.put_back(before).await?;
            }
        }
        self.remove_made().await
    }

    /// Returns the objects of some steps that have begun.
    fn begun(&self, pick: fn(&Step) -> Option<&Id>) -> BTreeSet<&Id> {
        self.plan.operations().filter_map(pick).filter(|id| self.progress.has_begun(id)).collect()
    }

    /// Restores a changed object.
    async fn restore(&self, before: &Object) -> Result<()> {
        let Applying { cluster, namespace, .. } = self.applying;
        let back = match cluster.read(before, namespace).await? {
            Some(now) => before.as_it_was(&now).map_err(CliError::failed)?,
            None => before.as_wanted(),
        };
        cluster.apply(&back, namespace, BACK).await?;
        Ok(())
    }

    /// Creates an object again that was replaced or removed.
    async fn put_back(&self, before: &Object) -> Result<()> {
        let Applying { cluster, namespace, .. } = self.applying;
        match cluster.read(before, namespace).await? {
            Some(now) if now.is_same(before) && !now.is_terminating() => return Ok(()),
            Some(now) if now.is_same(before) || self.progress.has_made(&now) => {
                self.applying.remove(&[&now]).await?;
            }
            Some(now) => {
                self.leave(&now);
                return Ok(());
            }
            None => {}
        }
        cluster.apply(&before.as_wanted(), namespace, BACK).await?;
        Ok(())
    }

    /// Removes new objects, except a namespace, which may hold other objects by now.
    async fn remove_made(&self) -> Result<()> {
        let Applying { cluster, namespace, .. } = self.applying;
        let created = self.begun(|step| match step {
            Step::Create { id } => Some(id),
            _ => None,
        });
        let mut made = Vec::new();
        for object in self.wanted.objects().filter(|object| !object.is_of_cluster()) {
            if !created.contains(&object.id()) {
                continue;
            }
            match cluster.read(object, namespace).await? {
                Some(now) if self.progress.has_made(&now) => made.push(now),
                Some(now) => self.leave(&now),
                None => {}
            }
        }
        self.applying.remove(&made.iter().collect::<Vec<_>>()).await
    }

    fn leave(&self, theirs: &Object) {
        self.applying.output.status(format_args!(
            "Another program has created {} in the meantime: it stays",
            theirs.id()
        ));
    }
}
