use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use manifests::kustomize::Object;

use super::Target;
use crate::{
    commands::usage_error,
    ecs::{Account, TaskDefinition, task_definitions},
    error::{CliError, Result},
    output::Output,
    overlays::Overlay,
};

/// The default of AWS.
const REGION: &str = "us-east-1";

#[derive(Debug, Args)]
#[command(next_help_heading = "For --target ecs")]
pub(super) struct EcsArgs {
    /// Region of the CloudWatch logs [default: us-east-1]
    #[arg(long)]
    region: Option<String>,
    /// Log group [default: /chefcito/ENV]
    #[arg(long, value_name = "GROUP")]
    log_group: Option<String>,
    /// Role that pulls images, reads secrets and writes logs, an ARN or a name [default: chefcito-ENV-tasks]
    #[arg(long, value_name = "ROLE")]
    execution_role: Option<String>,
    /// Prefix of all secrets in the Parameter Store, or the ARN of a secret of the Secrets Manager that has them all
    /// [default: /chefcito/ENV/]
    #[arg(long, value_name = "PREFIX")]
    secrets_prefix: Option<String>,
    /// Folder to write a file for each service into, instead of printing them
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

impl EcsArgs {
    /// Refuses flags that exclude each other.
    ///
    /// # Errors
    /// [`CliError::Usage`] if two do.
    pub(super) fn check(&self, target: Target, overlay: Overlay) -> Result<()> {
        let Self { region, log_group, execution_role, secrets_prefix, output } = self;
        let given = [
            ("--region", region.is_some()),
            ("--log-group", log_group.is_some()),
            ("--execution-role", execution_role.is_some()),
            ("--secrets-prefix", secrets_prefix.is_some()),
            ("--output", output.is_some()),
        ];
        let given = given.into_iter().find(|(_, is_given)| *is_given);
        match (target, given) {
            (Target::Kubernetes, Some((flag, _))) => {
                Err(usage_error("render", format!("{flag} needs --target ecs")))
            }
            (Target::Ecs, _) if overlay == Overlay::Local => {
                let what =
                    "the local environment has its own databases, which run on Kubernetes only";
                Err(usage_error("render", what))
            }
            _ => Ok(()),
        }
    }

    /// Writes the task definitions of an environment to a folder or to stdout.
    ///
    /// # Errors
    /// As [`task_definitions`]; [`CliError::Io`] if a file can't be written.
    pub(super) fn write(self, overlay: Overlay, objects: &[Object], output: &Output) -> Result<()> {
        let value = overlay.to_possible_value();
        let env = value.as_ref().map_or("", |value| value.get_name());
        let account = Account {
            region: self.region.unwrap_or_else(|| REGION.into()),
            log_group: self.log_group.unwrap_or_else(|| format!("/chefcito/{env}")),
            execution_role: self.execution_role.unwrap_or_else(|| format!("chefcito-{env}-tasks")),
            secrets: self.secrets_prefix.unwrap_or_else(|| format!("/chefcito/{env}/")),
        };
        let definitions = task_definitions(objects, &account)?;
        match self.output {
            Some(folder) => write_files(&folder, &definitions, output),
            None => definitions.iter().try_for_each(|definition| output.json(definition)),
        }
    }
}

fn write_files(folder: &Path, definitions: &[TaskDefinition], output: &Output) -> Result<()> {
    let write = |path: &Path, text: String| {
        fs::write(path, text).map_err(CliError::io(|| format!("write {}", path.display())))
    };
    fs::create_dir_all(folder)
        .map_err(CliError::io(|| format!("create the folder {}", folder.display())))?;
    for definition in definitions {
        let text = serde_json::to_string_pretty(definition).map_err(anyhow::Error::from)?;
        write(&folder.join(format!("{}.json", definition.service())), text + "\n")?;
    }
    output.status(format_args!(
        "Wrote {} task definitions to {}",
        definitions.len(),
        folder.display()
    ));
    Ok(())
}
