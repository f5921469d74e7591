//! The manifests against the table of programs: each program has its image, its user, its ports, its role and its
//! networks; and there are no programs beside the table.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use contracts::services::{BOOTSTRAP, Border, GRPC_PORT, Program, TABLE};
use manifests::compose_file::Source;
use serde_json::json;

use super::{OVERLAYS, objects, pods, root};
use crate::images::repository;

/// The job that runs `bootstrap roles`; in containers, the service.
pub(super) const ROLES: &str = "roles";
/// Programs of others, which are not in the table.
const OTHERS: [&str; 3] = ["postgres", "redis", "psql"];

/// Returns the program of a service, a pod or a job; `None` for those of others.
pub(super) fn program_of(name: &str) -> Option<&'static Program> {
    let program = Program::named(if name == ROLES { BOOTSTRAP } else { name });
    assert_eq!(program.is_none(), OTHERS.contains(&name), "{name} is not in the table");
    program
}

#[test]
fn compose_has_each_program_as_the_table_says_and_no_other() {
    let compose_file = Source::find(root()).unwrap().parse(&|_| None).unwrap();
    let mut there = BTreeSet::new();
    for (name, service) in &compose_file.services {
        let Some(program) = program_of(name) else { continue };
        there.insert(program.name);
        assert_eq!(service.image, format!("{}:dev", repository(program.name)), "{name}");
        // It runs as the user of its image, except to change the owner of files.
        assert_eq!(service.user.is_some(), name == BOOTSTRAP, "{name}");
        let networks: BTreeSet<&str> = service.networks.keys().map(String::as_str).collect();
        let border = program.border.map(|border| match border {
            Border::In => "door",
            Border::Out => "outside",
        });
        let inside = (name != BOOTSTRAP).then_some("inside");
        assert_eq!(networks, inside.into_iter().chain(border).collect(), "{name}");
        assert_eq!(service.ports.is_empty(), program.border != Some(Border::In), "{name}");
        if !program.is_service() {
            continue;
        }
        let secret = |file| format!("/secrets/{}/{file}", program.name);
        let of = |variable: &str| service.environment.get(variable).map(String::as_str);
        let url = program.role.map(|_| secret("database.url"));
        assert_eq!(of(concat!("CHEFCITO_DATABASE_URL", "_FILE")), url.as_deref(), "{name}");
        assert_eq!(
            of(concat!("CHEFCITO_SERVICE_TOKEN", "_FILE")),
            Some(&*secret("service.token")),
            "{name}"
        );
        let redis = program.uses_bus().then(|| secret("redis.url"));
        assert_eq!(of(concat!("CHEFCITO_REDIS_URL", "_FILE")), redis.as_deref(), "{name}");
        let has_grpc = of("CHEFCITO_GRPC_LISTEN").is_some();
        assert_eq!(has_grpc, program.ports.contains(&GRPC_PORT), "{name}");
        for call in program.calls {
            let url = format!("http://{}:{}", call.to, call.port);
            assert_eq!(of(call.variable), Some(&*url), "{name}");
        }
    }
    assert_eq!(there, TABLE.map(|program| program.name).into());
}

#[test]
fn pods_are_of_the_programs_that_the_table_has_and_answer_at_their_ports() {
    for overlay in OVERLAYS {
        let objects = objects(overlay);
        for (object, template) in pods(&objects) {
            let name = object.name();
            let Some(program) = program_of(name) else { continue };
            let container = &template["spec"]["containers"][0];
            let image = container["image"].as_str().unwrap().rsplit('/').next().unwrap();
            assert_eq!(image.split([':', '@']).next().unwrap(), repository(program.name), "{name}");
            let ports = |list: &serde_json::Value, field: &str| -> BTreeSet<u64> {
                let list = list.as_array().into_iter().flatten();
                list.map(|port| port[field].as_u64().unwrap()).collect()
            };
            let expected: BTreeSet<u64> = program.ports.iter().map(|port| (*port).into()).collect();
            assert_eq!(ports(&container["ports"], "containerPort"), expected, "{name}");
            let mut services =
                objects.iter().filter(|one| one.kind() == "Service" && one.name() == name);
            let service = services.next().map(|one| ports(&one.value()["spec"]["ports"], "port"));
            assert_eq!(service.unwrap_or_default(), expected, "{overlay:?}: {name}");
            let items = template["spec"]["volumes"].as_array().into_iter().flatten();
            let items: Vec<_> = items
                .flat_map(|one| one["secret"]["items"].as_array().into_iter().flatten())
                .collect();
            let has_redis = items.iter().any(|item| item["key"] == "redis-url");
            assert_eq!(has_redis, program.uses_bus(), "{overlay:?}: {name}");
            let own = format!("{}-database-url", program.role.unwrap_or("admin"));
            let urls: BTreeMap<_, _> = items
                .into_iter()
                .filter(|item| item["path"].as_str().unwrap().ends_with("database.url"))
                .map(|item| (name, item["key"].clone()))
                .collect();
            assert_eq!(urls, BTreeMap::from([(name, json!(own))]), "{overlay:?}: its own alone");
        }
    }
}

/// Terraform creates a role and its secrets for each service.
#[test]
fn terraform_has_the_roles_of_the_table() {
    let file = root().join("manifests/terraform/modules/secrets/main.tf");
    let roles: Vec<&str> = TABLE.iter().filter_map(|program| program.role).collect();
    let line = format!("services = {}", json!(roles).to_string().replace(',', ", "));
    assert!(fs::read_to_string(file).unwrap().contains(&line), "{line}");
}
