//! What can't come right by waiting, though nothing in the manifests has changed: whoever asks for it again may have mended
//! what is outside of them, an image, a quota, a database; so it is tried again, and at once.

use serde::de::DeserializeOwned;

use super::{
    plan::Step,
    rollout::judge,
    session::Session,
    verdict::{self, Verdict},
    wanted::Wanted,
};
use crate::{
    error::Result,
    kubernetes::{objects::Object, workloads::Watch},
};

/// Adds to what is to be done that what can't come right by waiting, and would not be made anew anyway, is tried again. What is
/// well costs no question.
///
/// # Errors
/// What the cluster refuses.
pub(super) async fn add_retries(
    session: &Session<'_>,
    wanted: &Wanted,
    observed: &[Object],
    steps: &mut Vec<Step>,
) -> Result<()> {
    if observed.iter().all(is_done) {
        return Ok(());
    }
    let watch = Watch::begin(&session.cluster, &session.namespace).await?;
    let verdicts = judge(wanted, watch.workloads());
    let retries = verdicts.into_iter().filter_map(|(id, verdict)| match verdict {
        Verdict::Hopeless(trouble) if !steps.iter().any(|step| step.makes_pods_of(&id)) => {
            Some(Step::Retry { id, why: trouble.reason })
        }
        _ => None,
    });
    let retries: Vec<Step> = retries.collect();
    if !retries.is_empty() {
        steps.retain(|step| *step != Step::AwaitReady);
        steps.extend(retries);
        steps.push(Step::AwaitReady);
    }
    Ok(())
}

/// Returns whether an object's own status says that there is nothing to wait for.
fn is_done(object: &Object) -> bool {
    let verdict = match object.kind() {
        "Deployment" => read(object).map(|it| verdict::of_deployment(&it, &[], &[])),
        "StatefulSet" => read(object).map(|it| verdict::of_stateful_set(&it, &[])),
        "Job" => read(object).map(|it| verdict::of_job(&it, &[])),
        _ => return true,
    };
    verdict == Some(Verdict::Done)
}

fn read<T: DeserializeOwned>(object: &Object) -> Option<T> {
    serde_json::from_value(object.to_value()).ok()
}
