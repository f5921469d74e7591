use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroU32,
};

use contracts::services::KITCHEN;
use engine::{containers::Container, images::Image};
use manifests::compose_file::Source;

use super::*;
use crate::{
    config::{ClusterSettings, Durability, Runtime, Settings},
    runtimes::{
        compose::{labels::Origin, observed, wanted::layout},
        images::Images,
    },
};

pub(super) const FILE: &str = "
services:
  first:
    image: chefcito-bootstrap:dev
    network_mode: none
    volumes: ['secrets:/s']
  kitchen:
    image: chefcito-kitchen:dev
    environment: {CHEFCITO_STOVES: '${STOVES:-8}'}
    networks: [inside]
    depends_on: {first: {condition: service_completed_successfully}}
  redis: {image: 'redis:7.4.5', networks: [inside]}
  tool: {image: 'redis:7.4.5', profiles: [tools], networks: [inside]}
networks: {inside: {internal: true}}
volumes: {secrets: {}}
";

pub(super) fn images() -> Images {
    let image = |id: &str, tags: &[&str]| Image {
        id: id.into(),
        names: tags.iter().map(ToString::to_string).collect(),
        size_bytes: 1,
    };
    Images::new(vec![
        image("b1", &["chefcito-bootstrap:dev", "chefcito-bootstrap:c-b1"]),
        image("k1", &["chefcito-kitchen:dev", "chefcito-kitchen:c-k1"]),
        image("r1", &["redis:7.4.5"]),
    ])
}

pub(super) fn settings() -> Settings {
    Settings {
        runtime: Runtime::Compose,
        port: None,
        durability: Durability::Process,
        cooking_time: None,
        stoves: NonZeroU32::MIN,
        seed: 0,
        database_url: None,
        market_url: None,
        log_filter: None,
        replicas: BTreeMap::new(),
        variables: BTreeMap::new(),
        cluster: ClusterSettings::default(),
    }
}

pub(super) fn laid_out(
    text: &str,
    stoves: Option<&str>,
    settings: &Settings,
    images: &Images,
) -> Layout {
    let variable = |name: &str| stoves.filter(|_| name == "STOVES").map(Into::into);
    let compose_file = Source::of_text(text).parse(&variable).unwrap();
    let origin = Origin { folder: "/f".into(), file: "/f/compose.yaml".into() };
    layout("lunch", &compose_file, None, settings, images, &origin, &[])
}

fn wanted() -> Layout {
    laid_out(FILE, None, &settings(), &images())
}

/// Returns what the engine has after a layout was applied.
pub(super) fn carried_out(layout: &Layout) -> Observed {
    let thing = |name: &String, labels: &HashMap<String, String>| Named {
        name: name.clone(),
        id: name.clone(),
        labels: labels.clone(),
    };
    let container = |wanted: &WantedContainer| Container {
        id: format!("id-{}", wanted.name),
        name: wanted.name.clone(),
        image: wanted.what.image.clone(),
        image_id: wanted.image_id.clone().unwrap_or_default(),
        state: if wanted.is_job { State::Exited { code: 0 } } else { State::Running },
        status: String::new(),
        created_at: 0,
        labels: wanted.labels.clone(),
        ports: Vec::new(),
    };
    Observed {
        containers: observed::observed_containers(layout.containers.iter().map(container)),
        networks: layout.networks.iter().map(|one| thing(&one.name, &one.labels)).collect(),
        volumes: layout.volumes.iter().map(|one| thing(&one.name, &one.labels)).collect(),
        images: images(),
    }
}

fn plan_text(layout: &Layout, observed: &Observed) -> String {
    let Planned { plan, warnings } = plan(layout, observed, &Asked::default());
    let warnings = warnings.iter().map(|warning| format!("warning: {warning}"));
    plan.operations().map(ToString::to_string).chain(warnings).collect::<Vec<_>>().join("\n")
}

#[test]
fn an_empty_engine_gets_everything() {
    let layout = laid_out(FILE, None, &settings(), &Images::default());
    insta::assert_snapshot!(plan_text(&layout, &Observed::default()), @r"
    pull the image redis:7.4.5
    build the images of bootstrap, kitchen
    create the network lunch_inside
    create the volume lunch_secrets
    create lunch-first-1
    create lunch-kitchen-1
    create lunch-redis-1
    start lunch-first-1, and wait until it has ended
    start lunch-kitchen-1
    start lunch-redis-1
    wait until every service is ready
    ");
}

#[test]
fn what_is_as_wanted_is_left_alone() {
    assert_eq!(plan_text(&wanted(), &carried_out(&wanted())), "");
}

#[test]
fn what_changed_is_replaced_and_nothing_else() {
    let observed = carried_out(&wanted());
    let slower = laid_out(FILE, Some("4"), &settings(), &images());
    insta::assert_snapshot!(plan_text(&slower, &observed), @r"
    replace lunch-kitchen-1: environment CHEFCITO_STOVES 8 → 4
    start lunch-kitchen-1
    wait until every service is ready
    ");
    let rebuilt = Images::new(vec![
        Image {
            id: "b1".into(),
            size_bytes: 1,
            names: vec!["chefcito-bootstrap:dev".into(), "chefcito-bootstrap:c-b1".into()],
        },
        Image {
            id: "k2".into(),
            size_bytes: 1,
            names: vec!["chefcito-kitchen:dev".into(), "chefcito-kitchen:c-k2".into()],
        },
        Image { id: "r2".into(), size_bytes: 1, names: vec!["redis:7.4.5".into()] },
    ]);
    insta::assert_snapshot!(plan_text(&laid_out(FILE, None, &settings(), &rebuilt), &observed), @r"
    replace lunch-kitchen-1: image chefcito-kitchen:c-k1 → chefcito-kitchen:c-k2
    replace lunch-redis-1: the image redis:7.4.5 has changed
    start lunch-kitchen-1
    start lunch-redis-1
    wait until every service is ready
    ");
}

#[test]
fn a_changed_network_takes_its_containers_with_it_and_a_changed_volume_stays() {
    let observed = carried_out(&wanted());
    let text = FILE.replace("internal: true", "").replace("secrets: {}", "secrets: {driver: nfs}");
    insta::assert_snapshot!(plan_text(&laid_out(&text, None, &settings(), &images()), &observed), @r"
    remove lunch-kitchen-1: its network lunch_inside is created again
    remove lunch-redis-1: its network lunch_inside is created again
    remove the network lunch_inside, to create it again: internal true → unset
    create the network lunch_inside
    create lunch-kitchen-1
    create lunch-redis-1
    start lunch-kitchen-1
    start lunch-redis-1
    wait until every service is ready
    warning: the volume lunch_secrets differs from the file (driver unset → nfs) and stays as it is, for its data; `down --volumes` removes it
    ");
}

#[test]
fn replicas_come_and_go() {
    let scaled = Settings { replicas: BTreeMap::from([(KITCHEN.into(), 3)]), ..settings() };
    let three = laid_out(FILE, None, &scaled, &images());
    insta::assert_snapshot!(plan_text(&three, &carried_out(&wanted())), @r"
    create lunch-kitchen-2
    create lunch-kitchen-3
    start lunch-kitchen-2
    start lunch-kitchen-3
    wait until every service is ready
    ");
    insta::assert_snapshot!(plan_text(&wanted(), &carried_out(&three)), @r"
    remove lunch-kitchen-2: the service has fewer now
    remove lunch-kitchen-3: the service has fewer now
    wait until every service is ready
    ");
}

#[test]
fn what_ended_is_started_and_done_jobs_are_not() {
    let mut observed = carried_out(&wanted());
    let states = [State::Exited { code: 1 }, State::Paused, State::Created];
    for (seen, state) in observed.containers.iter_mut().zip(states) {
        seen.container.state = state;
    }
    insta::assert_snapshot!(plan_text(&wanted(), &observed), @r"
    start lunch-first-1: it has ended with exit code 1
    resume lunch-kitchen-1: it was paused
    start lunch-redis-1: it was never started
    wait until every service is ready
    ");
}

#[test]
fn our_orphans_are_removed_and_others_are_a_warning() {
    let text = FILE.replace("  kitchen:", "  bakery:");
    let before = laid_out(&text, None, &settings(), &images());
    let mut observed = carried_out(&before);
    let mut stranger = observed.containers[0].clone();
    stranger.service = "blog".into();
    stranger.container.name = "lunch-blog-1".into();
    stranger.container.labels.remove(crate::runtimes::compose::labels::SPEC);
    observed.containers.push(stranger);
    insta::assert_snapshot!(plan_text(&wanted(), &observed), @r"
    remove lunch-bakery-1: the file no longer has this service
    create lunch-kitchen-1
    start lunch-kitchen-1
    wait until every service is ready
    warning: lunch-blog-1 is not in this file and was not made by chefcito: it stays
    ");
}

#[test]
fn what_plain_compose_started_is_taken_over_by_name() {
    let mut observed = carried_out(&wanted());
    observed.containers[2].container.labels.remove(crate::runtimes::compose::labels::SPEC);
    insta::assert_snapshot!(plan_text(&wanted(), &observed), @r"
    replace lunch-redis-1: plain compose made it, so its configuration is not known
    start lunch-redis-1
    wait until every service is ready
    ");
}
