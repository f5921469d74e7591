use std::ffi::OsStr;

use clap::{
    Arg, Args, Command,
    builder::{PossibleValue, StringValueParser, TypedValueParser},
};
use contracts::services::TABLE;
use engine::Engine;
use manifests::quantities;
use serde::Serialize;

use super::render::registry;
use crate::{
    error::Result,
    images::{self, Built, DEV_TAG, Options, Registry, repository},
    output::Output,
};

/// Build the images of the services, except those that have not changed
#[derive(Debug, Args)]
#[command(after_help = "\
Everything that changed is compiled together, then each image is packed. An image holds one static
binary and has two tags: `dev`, and one of its content, which `chefcito up` deploys. A bill of
materials of each (CycloneDX) is written to target/chefcito/images/SERVICE.cdx.json, and into the
binary itself, where `cargo audit bin` finds it.

Examples:
  chefcito build                    Build what has changed; again: nothing
  chefcito build kitchen            Only this one
  chefcito build --push registry.example/chefcito    … and push what that registry lacks
  chefcito build --json             The images, for a script")]
pub(crate) struct BuildArgs {
    /// Services to build [default: all]
    #[arg(value_name = "SERVICE", value_parser = AnyService, hide_possible_values = true)]
    services: Vec<String>,
    /// Registry to push the images to, except those that it has already
    #[arg(long, value_name = "REGISTRY", env = "CHEFCITO_PUSH", value_parser = registry)]
    push: Option<String>,
    /// Compile in a container, even if this machine could
    #[arg(long)]
    in_container: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report<'a> {
    schema_version: u32,
    images: Vec<Image<'a>>,
}

#[derive(Serialize)]
struct Image<'a> {
    service: &'a str,
    id: &'a str,
    tags: [String; 2],
    size_bytes: u64,
    seconds: f64,
    cached: bool,
    sbom: String,
    /// Its name in the registry, by its digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pushed: Option<String>,
}

pub(crate) async fn run(args: BuildArgs, output: &Output) -> Result<()> {
    images::require_checkout()?;
    let options = Options { services: args.services, in_container: args.in_container };
    let engine = Engine::connect().await?;
    let built = images::build(&engine, &options, output).await?;
    let mut contents = images::newest_contents();
    if let Some(registry) = &args.push {
        let services: Vec<String> = built.iter().map(|image| image.service.clone()).collect();
        let registry = Registry::open(&engine, registry).await?;
        registry.push(&services, &mut contents, output).await?;
    }
    let pushed = |image: &Built| contents.name_in(args.push.as_deref()?, &image.service);
    if args.json {
        let images = built.iter().map(|built| image(built, pushed(built))).collect();
        return output.json(&Report { schema_version: 1, images });
    }
    built.iter().filter(|image| !image.cached).try_for_each(|image| {
        let size = quantities::size(image.size_bytes);
        let name = format!("{}:{}", repository(&image.service), image.content);
        output.data(format_args!("{name:<34}  {size}  {:.2} s", image.took.as_secs_f64()))
    })?;
    built.iter().filter_map(pushed).try_for_each(|name| output.data(name))
}

fn image(built: &Built, pushed: Option<String>) -> Image<'_> {
    let repository = repository(&built.service);
    Image {
        service: &built.service,
        id: &built.id,
        tags: [format!("{repository}:{DEV_TAG}"), format!("{repository}:{}", built.content)],
        size_bytes: built.size_bytes,
        seconds: built.took.as_secs_f64(),
        cached: built.cached,
        sbom: built.sbom.display().to_string(),
        pushed,
    }
}

/// Accepts any name, since a checkout may have a service that this program does not know; completes the known ones.
#[derive(Clone, Debug)]
struct AnyService;

impl TypedValueParser for AnyService {
    type Value = String;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Self::Value, clap::Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(TABLE.iter().map(|program| PossibleValue::new(program.name))))
    }
}
