use std::env;

use clap::Args;

use super::render::{namespace, registry, tag};
use crate::{
    error::{CliError, Result},
    images,
    kubernetes::KubeTarget,
    kustomize::{Adjustments, Tree},
    manifests::{self, Overlay},
    output::Output,
    runtimes::kubernetes::{self, Deployment},
    signals::Signals,
};

/// Bring an environment of the manifests onto a cluster, and roll back if it does not come up
#[derive(Debug, Args)]
#[command(after_help = "\
What is there is compared with the manifests by the cluster itself, and only what differs is applied.
Then the rollout is watched. If it fails, or is interrupted, everything that was changed is made what
it was before, what was made is removed, and the reason is told. What others made or set is theirs.

Its images must be in a registry that the cluster reaches. Its Secret is made by whoever keeps the
secrets.

Examples:
  chefcito deploy --env staging --context staging --dry-run    Only say what would be done
  chefcito deploy --env production --context production --image-registry registry.example/chefcito --tag 1.4.0")]
pub(crate) struct DeployArgs {
    /// Environment to bring up
    #[arg(long, value_enum)]
    env: Overlay,
    /// Context of the cluster; never the current one unless it is named
    #[arg(long, value_name = "NAME", env = "CHEFCITO_CONTEXT")]
    context: String,
    /// Namespace to put it into [default: as its manifests say]
    #[arg(long, value_name = "NAME", value_parser = namespace)]
    namespace: Option<String>,
    /// Registry that has the images of the services, with a path if it has one
    #[arg(long, value_name = "REGISTRY", value_parser = registry)]
    image_registry: Option<String>,
    /// Tag of the images of the services [default: that of their content]
    #[arg(long, value_parser = tag)]
    tag: Option<String>,
    /// Only say what would be done, field by field
    #[arg(long)]
    dry_run: bool,
    /// Take over fields that others have set
    #[arg(long)]
    force_conflicts: bool,
    /// How long it may take to come up
    #[arg(long, value_name = "DURATION", env = "CHEFCITO_TIMEOUT", default_value = "5m")]
    timeout: humantime::Duration,
}

pub(crate) async fn run(args: DeployArgs, output: &Output, signals: &mut Signals) -> Result<()> {
    let tree = Tree::find(&env::current_dir().unwrap_or_else(|_| "/".into()));
    let contents = images::newest_contents();
    let unknown = manifests::unknown(&contents);
    if args.tag.is_none() && !unknown.is_empty() {
        return Err(CliError::Failed {
            what: format!(
                "it is not known which images to deploy: nobody has built {} here",
                unknown.join(", ")
            ),
            hint: "`chefcito build --push REGISTRY` first, or say by `--tag` which of those that were pushed".into(),
            source: None,
        });
    }
    let images = manifests::images(args.image_registry.as_deref(), args.tag.as_deref(), &contents);
    let adjustments = Adjustments { namespace: args.namespace, images, ..Adjustments::default() };
    let objects = manifests::render(&tree, args.env, &adjustments)?;
    let deployment = Deployment {
        target: KubeTarget::of_user(Some(args.context)),
        objects,
        force: args.force_conflicts,
        timeout: args.timeout.into(),
    };
    match args.dry_run {
        true => signals.or(kubernetes::foresee(&deployment, output)).await,
        false => kubernetes::deploy(&deployment, output, signals).await,
    }
}
