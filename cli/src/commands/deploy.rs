use std::{env, time::Duration};

use clap::Args;
use cluster::KubeTarget;
use manifests::kustomize::{self, Adjustments, Tree};

use super::{
    duration,
    render::{namespace, registry, tag},
};
use crate::{
    error::{CliError, Result},
    images,
    output::Output,
    overlays::{self, Overlay},
    runtimes::kubernetes::{self, Deployment},
    settings::kubeconfig,
    signals::Signals,
};

/// Deploy an environment of the manifests to a cluster, and roll back if it does not come up
#[derive(Debug, Args)]
#[command(after_help = "\
The cluster itself compares its objects with the manifests, and only differences are applied. If
the rollout fails or is interrupted, changed objects get their former content, new objects are
removed, and the cause is reported. Objects and fields of other programs stay as they are.

The images must be in a registry that the cluster reaches. The Secret is not a part of the
manifests: create it before.

Examples:
  chefcito deploy --env staging --context staging --dry-run    Only print what would be done
  chefcito deploy --env production --context production --image-registry registry.example/chefcito --tag 1.4.0")]
pub(crate) struct DeployArgs {
    /// Environment to bring up
    #[arg(long, value_enum)]
    env: Overlay,
    /// Kubeconfig file, in place of those that KUBECONFIG names
    #[arg(long, value_name = "FILE", value_parser = kubeconfig)]
    kubeconfig: Option<String>,
    /// Context of the cluster; the current one is never assumed
    #[arg(long, value_name = "NAME", env = "CHEFCITO_DEPLOY_CONTEXT")]
    context: String,
    /// Namespace to deploy to [default: as its manifests say]
    #[arg(long, value_name = "NAME", value_parser = namespace)]
    namespace: Option<String>,
    /// Registry that has the images of the services, with a path if needed
    #[arg(long, value_name = "REGISTRY", value_parser = registry)]
    image_registry: Option<String>,
    /// Tag of the images of the services [default: that of their content]
    #[arg(long, value_parser = tag)]
    tag: Option<String>,
    /// Only print what would be done, field by field
    #[arg(long)]
    dry_run: bool,
    /// Take over fields that other programs have set
    #[arg(long)]
    force_conflicts: bool,
    /// How long the rollout may take
    #[arg(
        long,
        value_name = "DURATION",
        env = "CHEFCITO_DEPLOY_TIMEOUT",
        default_value = "5m",
        value_parser = duration
    )]
    timeout: Duration,
}

pub(crate) async fn run(args: DeployArgs, output: &Output, signals: &mut Signals) -> Result<()> {
    overlays::tell_which(kustomize::FOLDER, output);
    let tree = Tree::find(&env::current_dir().unwrap_or_else(|_| "/".into()));
    let contents = images::newest_contents();
    let unknown = overlays::unknown(&contents);
    if args.tag.is_none() && !unknown.is_empty() {
        return Err(CliError::Failed {
            what: format!(
                "the images to deploy are not known: {} was not built here",
                unknown.join(", ")
            ),
            hint: "`chefcito build --push REGISTRY` first, or choose pushed images with `--tag`"
                .into(),
            source: None,
        });
    }
    let images = overlays::images(args.image_registry.as_deref(), args.tag.as_deref(), &contents);
    let adjustments = Adjustments { namespace: args.namespace, images, ..Adjustments::default() };
    let objects = overlays::render(&tree, args.env, &adjustments)?;
    let deployment = Deployment {
        target: KubeTarget::of_file(args.kubeconfig.as_deref(), Some(args.context)),
        objects,
        force: args.force_conflicts,
        timeout: args.timeout,
    };
    match args.dry_run {
        true => signals.or(kubernetes::preview(&deployment, output)).await,
        false => kubernetes::deploy(&deployment, output, signals).await,
    }
}
