//! Retries workloads that waiting does not help, though nothing in the manifests has changed: the user may have fixed
//! something outside of them, such as an image, a quota or a database.

use cluster::{objects::Object, workloads::Watch};
use serde::de::DeserializeOwned;

use super::{
    plan::Step,
    rollout::judge,
    session::Session,
    verdict::{self, Verdict},
    wanted::Wanted,
};
use crate::error::Result;

/// Adds a retry for each workload that waiting does not help, unless a step makes new pods of it anyway. Costs no request if
/// all workloads are well.
///
/// # Errors
/// The cluster's refusal.
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
    steps.extend(retries);
    Ok(())
}

/// Returns whether an object's status says that its rollout is done.
pub(super) fn is_done(object: &Object) -> bool {
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
