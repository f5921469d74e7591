//! The way back of a deployment: what it has changed becomes what it was, and what it has made goes. Nothing else is touched.

use std::collections::BTreeSet;

use super::{
    apply::{Applying, Progress},
    plan::Step,
    wanted::Wanted,
};
use crate::{
    error::{CliError, Result},
    kubernetes::objects::{How, Id, Object},
};

/// Takes over what others have set: what a deployment took from them is to be what it was.
const BACK: How = How { dry_run: false, force: true };

/// A deployment that is to be undone.
#[derive(Debug)]
pub(super) struct Rollback<'a> {
    /// Where it is.
    pub(super) applying: Applying<'a>,
    /// What there should have been.
    pub(super) wanted: &'a Wanted,
    /// What there was.
    pub(super) observed: &'a [Object],
    /// What was to be done.
    pub(super) steps: &'a [Step],
    /// What has been done.
    pub(super) progress: &'a Progress,
}

impl Rollback<'_> {
    /// Makes everything that was changed what it was, and removes what was made.
    ///
    /// # Errors
    /// What the cluster refuses.
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

    /// Returns what of some steps has been begun.
    fn begun(&self, pick: fn(&Step) -> Option<&Id>) -> BTreeSet<&Id> {
        self.steps.iter().filter_map(pick).filter(|id| self.progress.has_begun(id)).collect()
    }

    /// Makes a changed object what it was.
    async fn restore(&self, before: &Object) -> Result<()> {
        let Applying { cluster, namespace, .. } = self.applying;
        let back = match cluster.read(before, namespace).await? {
            Some(now) => before.as_it_was(&now).map_err(CliError::failed)?,
            None => before.as_wanted(),
        };
        cluster.apply(&back, namespace, BACK).await?;
        Ok(())
    }

    /// Makes an object anew that has made room for another.
    async fn put_back(&self, before: &Object) -> Result<()> {
        let Applying { cluster, namespace, .. } = self.applying;
        match cluster.read(before, namespace).await? {
            Some(now) if now.is_same(before) && !now.is_going() => return Ok(()),
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

    /// Removes what was made; a namespace apart, which may have come to hold what is not ours.
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
            "Others have made {} in the meantime: it is left as it is",
            theirs.id()
        ));
    }
}
