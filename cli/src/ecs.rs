//! Task definitions for Amazon ECS from the manifests for Kubernetes: each pod becomes a task. The ECS services, which
//! are not made here, set the number of tasks and the security groups.
//!
//! ```text
//! definition   a task definition in the format of the API of ECS
//! settings     variables, plain and from secrets
//! size         the sizes of tasks that Fargate has
//! ```

mod definition;
mod settings;
mod size;

use std::collections::BTreeMap;

use k8s_openapi::api::{
    apps::v1::Deployment,
    batch::v1::Job,
    core::v1::{Container, PodSpec, PodTemplateSpec, Probe},
};
use manifests::kustomize::Object;
use serde::de::DeserializeOwned;

pub(crate) use self::definition::TaskDefinition;
use self::{
    definition::{
        Capabilities, ContainerDefinition, HealthCheck, LinuxParameters, LogConfiguration,
        PortMapping, RuntimePlatform, Tag,
    },
    settings::Settings,
    size::{Size, cpu_units, mebibytes},
};
use crate::error::{CliError, Result};

/// Fargate's longest time between the stop signal and SIGKILL.
const STOP_SECONDS_MAX: i64 = 120;

/// The resources of an AWS account for an environment.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    /// The region of its logs.
    pub(crate) region: String,
    /// The log group.
    pub(crate) log_group: String,
    /// The role that pulls images, reads secrets and writes logs: an ARN or a name.
    pub(crate) execution_role: String,
    /// The prefix of its parameters in the Parameter Store, or the ARN of one secret of the Secrets Manager that has
    /// all of them.
    pub(crate) secrets: String,
}

/// Returns the task definition of each service and job of an environment, in the order in which to start them.
///
/// # Errors
/// [`CliError::Failed`] if a pod has a feature that a task can't have.
pub(crate) fn task_definitions(
    objects: &[Object],
    account: &Account,
) -> Result<Vec<TaskDefinition>> {
    let settings = Settings::of(objects, &account.secrets);
    let mut definitions = Vec::new();
    for object in objects {
        let template = match object.kind() {
            "Deployment" => read::<Deployment>(object)?.spec.map(|spec| spec.template),
            "Job" => read::<Job>(object)?.spec.map(|spec| spec.template),
            "StatefulSet" => {
                return Err(refused(object, "a StatefulSet, whose data no task of Fargate keeps"));
            }
            _ => None,
        };
        if let Some(template) = template {
            let definition = definition_of(object, &template, &settings, account);
            definitions.push(definition.map_err(|what| refused(object, &what))?);
        }
    }
    Ok(definitions)
}

fn definition_of(
    object: &Object,
    template: &PodTemplateSpec,
    settings: &Settings<'_>,
    account: &Account,
) -> Result<TaskDefinition, String> {
    let pod = template.spec.as_ref().ok_or("no pod")?;
    let container = only_container(pod)?;
    let size = size_of(container)?;
    Ok(TaskDefinition {
        family: format!("{}-{}", object.namespace(), object.name()),
        execution_role_arn: account.execution_role.clone(),
        network_mode: "awsvpc",
        requires_compatibilities: ["FARGATE"],
        cpu: size.task.cpu_units.to_string(),
        memory: size.task.mebibytes.to_string(),
        runtime_platform: RuntimePlatform {
            operating_system_family: "LINUX",
            cpu_architecture: "X86_64",
        },
        container_definitions: [container_definition(pod, container, &size, settings, account)?],
        tags: tags(object),
    })
}

fn container_definition(
    pod: &PodSpec,
    container: &Container,
    size: &ContainerSize,
    settings: &Settings<'_>,
    account: &Account,
) -> Result<ContainerDefinition, String> {
    let (environment, secrets) = settings.of_container(pod, container)?;
    let security = container.security_context.as_ref();
    let is_readonly = security.and_then(|context| context.read_only_root_filesystem);
    let dropped = security
        .and_then(|context| context.capabilities.as_ref()?.drop.clone())
        .ok_or("no capabilities that it drops")?;
    Ok(ContainerDefinition {
        name: container.name.clone(),
        image: container.image.clone().ok_or("no image")?,
        essential: true,
        command: container.args.clone().unwrap_or_default(),
        memory: size.mebibytes_max,
        memory_reservation: size.mebibytes,
        user: user(pod)?,
        readonly_root_filesystem: is_readonly.unwrap_or(false),
        linux_parameters: LinuxParameters { capabilities: Capabilities { drop: dropped } },
        port_mappings: ports(container)?,
        environment,
        secrets,
        health_check: container.liveness_probe.as_ref().map(|probe| health_check(container, probe)),
        stop_timeout: pod.termination_grace_period_seconds.unwrap_or(30).min(STOP_SECONDS_MAX),
        log_configuration: LogConfiguration::awslogs(
            &account.log_group,
            &account.region,
            &container.name,
        ),
    })
}

fn only_container(pod: &PodSpec) -> Result<&Container, String> {
    match (pod.containers.as_slice(), pod.init_containers.as_deref().unwrap_or_default()) {
        ([container], []) if container.command.is_none() => Ok(container),
        ([_], []) => Err("a command that replaces that of its image".into()),
        _ => Err("several containers".into()),
    }
}

/// The requests and limits of a container, and the size of its task.
struct ContainerSize {
    mebibytes: u64,
    mebibytes_max: u64,
    task: Size,
}

fn size_of(container: &Container) -> Result<ContainerSize, String> {
    let resources = container.resources.clone().unwrap_or_default();
    let quantity = |list: Option<BTreeMap<String, _>>, name: &str| {
        list.unwrap_or_default()
            .remove(name)
            .map(|k8s_openapi::apimachinery::pkg::api::resource::Quantity(text)| text)
            .ok_or_else(|| format!("no request or limit of {name}"))
    };
    let cpu = cpu_units(&quantity(resources.requests.clone(), "cpu")?)?;
    let mebibytes_asked = mebibytes(&quantity(resources.requests, "memory")?)?;
    let mebibytes_max = mebibytes(&quantity(resources.limits, "memory")?)?;
    let task = Size::smallest(cpu, mebibytes_max)
        .ok_or("more CPU or memory than the largest task of Fargate has")?;
    Ok(ContainerSize { mebibytes: mebibytes_asked, mebibytes_max, task })
}

fn user(pod: &PodSpec) -> Result<String, String> {
    let context = pod.security_context.as_ref();
    let id = |id: Option<i64>| id.filter(|id| *id > 0).ok_or("no user and group of its own");
    let user = id(context.and_then(|context| context.run_as_user))?;
    let group = id(context.and_then(|context| context.run_as_group))?;
    Ok(format!("{user}:{group}"))
}

fn ports(container: &Container) -> Result<Vec<PortMapping>, String> {
    let ports = container.ports.iter().flatten();
    ports
        .map(|port| {
            let name = port.name.clone().ok_or("a port without a name")?;
            let app_protocol = match name.as_str() {
                "http" => "http",
                "grpc" => "grpc",
                other => return Err(format!("a port `{other}`, which is neither http nor grpc")),
            };
            Ok(PortMapping {
                name,
                container_port: port.container_port,
                protocol: "tcp",
                app_protocol,
            })
        })
        .collect()
}

/// The image has no shell, and no HTTP client but the service itself.
fn health_check(container: &Container, liveness: &Probe) -> HealthCheck {
    let startup = container.startup_probe.as_ref();
    let start_period = startup.map_or(0, |probe| {
        probe.period_seconds.unwrap_or(10).saturating_mul(probe.failure_threshold.unwrap_or(3))
    });
    HealthCheck {
        command: ["CMD".into(), format!("/{}", container.name), "--health".into()],
        // The maximum of ECS.
        interval: liveness.period_seconds.unwrap_or(10).clamp(5, 300),
        timeout: liveness.timeout_seconds.unwrap_or(2).clamp(2, 60),
        retries: liveness.failure_threshold.unwrap_or(3).clamp(1, 10),
        start_period: start_period.clamp(0, 300),
    }
}

fn tags(object: &Object) -> Vec<Tag> {
    let labels = object.value().pointer("/metadata/labels").and_then(|value| value.as_object());
    labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some(Tag { key: key.clone(), value: value.as_str()?.into() }))
        .collect()
}

fn read<T: DeserializeOwned>(object: &Object) -> Result<T> {
    serde_json::from_value(object.value().clone())
        .map_err(|error| refused(object, &format!("what its kind does not: {error}")))
}

fn refused(object: &Object, what: &str) -> CliError {
    let name = object.name();
    CliError::failed(format!("`{name}` can't be a task of ECS: it has {what}"))
}

#[cfg(test)]
mod tests;
