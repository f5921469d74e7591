mod ecs;

use std::{env, fs, path::PathBuf};

use clap::{Args, ValueEnum};
use manifests::kustomize::{self, Adjustments, Tree};

use crate::{
    commands::usage_error,
    error::{CliError, Result},
    images,
    output::{Output, closed_or_broken},
    overlays::{self, Overlay, SECRETS},
};

/// Print the manifests of an environment, for Kubernetes or Amazon ECS
#[derive(Debug, Args)]
#[command(after_help = "\
Prints YAML in the order to apply it. The manifests are those of the checkout around the current
folder, or else the ones built into this program. Images have the tag of their content from the last
`chefcito build` in that checkout, or else `dev`; with a registry, the digest that was pushed.

For ECS it prints a JSON document for each service, and for the job `roles`, which has to run before
them: the input of `aws ecs register-task-definition --cli-input-json`. Tasks run on Fargate and
reach each other by the names of Service Connect, such as `orders:8080`. The ECS services, which you
create, set the number of tasks and their security groups. The role, the log group and the secrets
must exist, with `trusted-certificates` as one of them, which pods have in a ConfigMap.

Examples:
  chefcito render --env local
  chefcito render --env production --image-registry registry.example/chefcito --tag 1.4.0
  chefcito render --env staging --namespace tasting | kubectl apply --server-side -f -
  chefcito render --env production --target ecs --region eu-central-1 --output tasks")]
pub(crate) struct RenderArgs {
    /// Environment to print
    #[arg(long, value_enum)]
    env: Overlay,
    /// Namespace of the objects [default: as its manifests say]
    #[arg(long, value_name = "NAME", value_parser = namespace)]
    namespace: Option<String>,
    /// Registry that has the images of the services, with a path if needed
    #[arg(long, value_name = "REGISTRY", value_parser = registry)]
    image_registry: Option<String>,
    /// Tag of the images of the services [default: that of their content, or dev]
    #[arg(long, value_parser = tag)]
    tag: Option<String>,
    /// File with the secrets of the local environment [default: its secrets.env in the checkout]
    #[arg(long, value_name = "FILE")]
    secrets: Option<PathBuf>,
    /// Platform that it runs on
    #[arg(long, value_enum, default_value_t = Target::Kubernetes)]
    target: Target,
    #[command(flatten)]
    ecs: ecs::EcsArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Target {
    /// A Kubernetes cluster
    Kubernetes,
    /// Amazon ECS on Fargate
    Ecs,
}

pub(crate) fn run(args: RenderArgs, output: &Output) -> Result<()> {
    let RenderArgs { env: overlay, namespace, image_registry, tag, secrets, target, ecs } = args;
    ecs.check(target, overlay)?;
    overlays::tell_which(kustomize::FOLDER, output);
    let mut tree = Tree::find(&env::current_dir().unwrap_or_else(|_| "/".into()));
    if let Some(file) = secrets {
        if overlay != Overlay::Local {
            let what = "only the local environment has its secrets in its manifests";
            return Err(usage_error("render", what));
        }
        let text = fs::read_to_string(&file)
            .map_err(CliError::io(|| format!("read {}", file.display())))?;
        tree = tree.with_file(SECRETS, text);
    }
    let contents = images::newest_contents();
    let images = overlays::images(image_registry.as_deref(), tag.as_deref(), &contents);
    let adjustments = Adjustments { namespace, images, ..Adjustments::default() };
    let objects = overlays::render(&tree, overlay, &adjustments)?;
    if target == Target::Ecs {
        return ecs.write(overlay, &objects, output);
    }
    let texts: Vec<String> = objects.iter().map(|object| yaml::text_of(object.value())).collect();
    output.bytes(texts.join("---\n").as_bytes()).map_err(closed_or_broken)
}

/// Parses the name of a namespace, a label of RFC 1123.
pub(super) fn namespace(text: &str) -> Result<String, &'static str> {
    const LENGTH_MAX: usize = 63;
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_label = !text.is_empty()
        && text.len() <= LENGTH_MAX
        && text.bytes().all(is_plain)
        && !text.starts_with('-')
        && !text.ends_with('-');
    is_label
        .then(|| text.to_owned())
        .ok_or("it should be up to 63 lower-case letters, digits and hyphens")
}

pub(crate) fn registry(text: &str) -> Result<String, &'static str> {
    let is_plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._:/[]".contains(&byte);
    let is_path = !text.is_empty() && text.bytes().all(is_plain) && !text.contains("//");
    is_path
        .then(|| text.trim_end_matches('/').to_owned())
        .ok_or("it should be like registry.example:5000/chefcito")
}

pub(super) fn tag(text: &str) -> Result<String, &'static str> {
    const LENGTH_MAX: usize = 128;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_tag = !text.is_empty()
        && text.len() <= LENGTH_MAX
        && text.bytes().all(is_plain)
        && !text.starts_with(['-', '.']);
    is_tag
        .then(|| text.to_owned())
        .ok_or("it should be up to 128 letters, digits, `-`, `_` and `.`")
}
