//! A task definition in the format of `aws ecs register-task-definition --cli-input-json`, with the fields that we use.

use std::collections::BTreeMap;

use serde::Serialize;

/// A task definition.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TaskDefinition {
    /// Its name; each registration makes a new revision of it.
    pub(crate) family: String,
    pub(super) execution_role_arn: String,
    pub(super) network_mode: &'static str,
    pub(super) requires_compatibilities: [&'static str; 1],
    pub(super) cpu: String,
    pub(super) memory: String,
    pub(super) runtime_platform: RuntimePlatform,
    pub(super) container_definitions: [ContainerDefinition; 1],
    pub(super) tags: Vec<Tag>,
}

impl TaskDefinition {
    /// Returns the name of its service.
    pub(crate) fn service(&self) -> &str {
        let [container] = &self.container_definitions;
        &container.name
    }
}

/// The platform of the images.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RuntimePlatform {
    pub(super) operating_system_family: &'static str,
    pub(super) cpu_architecture: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ContainerDefinition {
    pub(super) name: String,
    pub(super) image: String,
    pub(super) essential: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) command: Vec<String>,
    pub(super) memory: u64,
    pub(super) memory_reservation: u64,
    pub(super) user: String,
    pub(super) readonly_root_filesystem: bool,
    pub(super) linux_parameters: LinuxParameters,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) port_mappings: Vec<PortMapping>,
    pub(super) environment: Vec<Variable>,
    pub(super) secrets: Vec<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) health_check: Option<HealthCheck>,
    pub(super) stop_timeout: i64,
    pub(super) log_configuration: LogConfiguration,
}

#[derive(Debug, Serialize)]
pub(super) struct LinuxParameters {
    pub(super) capabilities: Capabilities,
}

#[derive(Debug, Serialize)]
pub(super) struct Capabilities {
    pub(super) drop: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PortMapping {
    pub(super) name: String,
    pub(super) container_port: i32,
    pub(super) protocol: &'static str,
    pub(super) app_protocol: &'static str,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: String,
}

/// A variable whose value ECS reads from a secret when a task starts.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Secret {
    pub(super) name: String,
    pub(super) value_from: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HealthCheck {
    pub(super) command: [String; 3],
    pub(super) interval: i32,
    pub(super) timeout: i32,
    pub(super) retries: i32,
    pub(super) start_period: i32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LogConfiguration {
    log_driver: &'static str,
    options: BTreeMap<&'static str, String>,
}

impl LogConfiguration {
    /// Sends logs to CloudWatch. A service never waits for it: beyond the buffer the oldest lines are lost.
    pub(super) fn awslogs(group: &str, region: &str, service: &str) -> Self {
        let options = BTreeMap::from([
            ("awslogs-group", group.into()),
            ("awslogs-region", region.into()),
            ("awslogs-stream-prefix", service.into()),
            ("max-buffer-size", "4m".into()),
            ("mode", "non-blocking".into()),
        ]);
        Self { log_driver: "awslogs", options }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Tag {
    pub(super) key: String,
    pub(super) value: String,
}
