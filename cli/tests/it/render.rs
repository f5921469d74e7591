//! The rendered manifests of an environment.

use std::fs;

use contracts::services::MARKET_SIM;
use serde_json::Value;

use crate::chefcito::Home;

/// What `bootstrap env` prints, as far as the tests need it.
const SECRETS: &str = "service-token=a token of tests\nadmin-key=cfk_local_0\n";

/// Returns the kind and name of each document, in the order of printing.
fn kinds(yaml: &str) -> Vec<&str> {
    yaml.lines().filter_map(|line| line.strip_prefix("kind: ")).collect()
}

#[test]
fn without_a_checkout_what_is_built_in_is_printed() {
    let home = Home::new();
    let ran = home.must(&["render", "--env", "production"]);
    assert_eq!(ran.stderr, "");
    assert_eq!(ran.stdout, home.must(&["render", "--env", "production"]).stdout);
    let mut order = kinds(&ran.stdout);
    order.dedup();
    insta::assert_snapshot!(order.join(" "), @"Namespace NetworkPolicy ConfigMap Service Job Deployment HorizontalPodAutoscaler PodDisruptionBudget Ingress");
    assert!(!ran.stdout.contains(MARKET_SIM), "{}", ran.stdout);
    assert!(!home.state().exists(), "nothing is made");
}

#[test]
fn images_and_the_namespace_are_as_asked_for() {
    let home = Home::new();
    let text = home
        .must(&[
            "render",
            "--env=staging",
            "--namespace=tasting",
            "--image-registry=registry.example:5000/chefcito/",
            "--tag=1.4.0",
        ])
        .stdout;
    let images: Vec<&str> =
        text.lines().filter_map(|line| line.trim().strip_prefix("image: ")).collect();
    assert_eq!(images.len(), 7, "{images:?}");
    for image in images {
        assert!(image.starts_with("registry.example:5000/chefcito/chefcito-"), "{image}");
        assert!(image.ends_with(":1.4.0"), "{image}");
    }
    assert!(text.contains("  name: tasting\n"), "the namespace itself");
    assert!(!text.contains("namespace: chefcito-staging"));
    let plain = home.must(&["render", "--env=staging"]).stdout;
    assert!(plain.contains("image: chefcito-orders:dev\n"), "nothing was built here");
}

#[test]
fn the_local_environment_has_its_own_secrets() {
    let home = Home::new();
    let ran = home.run(&["render", "--env", "local"]);
    insta::assert_snapshot!(ran, @"
    $ chefcito render --env local
    stderr: error: the local environment has no secrets: there is no manifests/kubernetes/overlays/local/secrets.env
    stderr: hint: in a checkout, `cargo run --quiet --package bootstrap -- env > manifests/kubernetes/overlays/local/secrets.env` creates them
    exit code 1
    ");
    let file = home.state().parent().unwrap().join("secrets.env");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, SECRETS).unwrap();
    let with = ["render", "--env", "local", "--secrets", file.to_str().unwrap()];
    let text = home.must(&with).stdout;
    assert!(text.contains("service-token: YSB0b2tlbiBvZiB0ZXN0cw==\n"), "{text}");
    assert!(kinds(&text).contains(&"StatefulSet"), "{text}");
    fs::write(&file, SECRETS.replace("tests", "others")).unwrap();
    let name = |text: &str| {
        let name = text.lines().find_map(|line| line.trim().strip_prefix("secretName: "));
        name.unwrap().to_owned()
    };
    assert_ne!(name(&text), name(&home.must(&with).stdout), "pods are replaced");
    fs::write(&file, "half a line\n").unwrap();
    let ran = home.run(&with);
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.stderr.contains("line 1 of `secrets.env`: it should be like NAME=value"), "{ran}");
    let ran = home.run(&["render", "--env", "local", "--secrets", "none.env"]);
    assert_eq!(ran.code, Some(1), "{ran}");
}

#[test]
fn in_a_checkout_the_files_count_and_what_is_wrong_with_them_is_said() {
    let home = Home::new();
    let checkout = tempfile::tempdir().unwrap();
    let write = |file: &str, text: &str| {
        let path = checkout.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("cli/Cargo.toml", "");
    let render = || {
        let mut command = home.command(&["render", "--env", "staging"]);
        home.finish(&[], command.current_dir(checkout.path().join("cli")).spawn().unwrap())
    };
    let file = "manifests/kubernetes/overlays/staging/kustomization.yaml";
    write(file, "resources: [tea.yaml]\n");
    write(
        "manifests/kubernetes/overlays/staging/tea.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: tea\n",
    );
    let ran = render();
    assert_eq!(ran.stdout, "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: tea\n", "{ran}");
    write(file, "resources: [tea.yaml]\nnamePrefix: green-\n");
    let ran = render();
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{ran}");
    let words =
        "staging/kustomization.yaml: line 2: namePrefix: chefcito does not support this key";
    assert!(ran.stderr.contains(words), "{ran}");
}

#[test]
fn a_folder_that_only_looks_like_a_checkout_does_not_count_and_is_named() {
    let home = Home::new();
    let folder = home.path().join("lunch");
    fs::create_dir_all(folder.join("manifests/kubernetes/overlays/staging")).unwrap();
    let render = ["render", "--env", "staging"];
    let in_folder = || {
        let mut command = home.command(&render);
        home.finish(&render, command.current_dir(&folder).spawn().unwrap())
    };
    let ran = in_folder();
    assert_eq!(ran.stdout, home.must(&render).stdout);
    let not_read =
        "not HOME/lunch/manifests/kubernetes: HOME/lunch is not a checkout of chefcito\n";
    assert_eq!(ran.stderr, format!("Using the built-in manifests, {not_read}"));

    fs::create_dir_all(home.path().join("manifests/kubernetes/overlays/staging")).unwrap();
    fs::create_dir(home.path().join("cli")).unwrap();
    fs::write(home.path().join("cli/Cargo.toml"), "").unwrap();
    let ran = in_folder();
    assert!(ran.stderr.starts_with(&format!("Using the manifests of HOME, {not_read}")), "{ran}");
}

#[test]
fn what_can_not_be_asked_for_is_refused() {
    let home = Home::new();
    for bad in [
        &["--env", "nowhere"][..],
        &[],
        &["--env", "staging", "--secrets", "secrets.env"],
        &["--env", "staging", "--namespace", "Tasting"],
        &["--env", "staging", "--namespace", ""],
        &["--env", "staging", "--image-registry", "https://registry.example"],
        &["--env", "staging", "--tag", "a b"],
        &["--env", "staging", "--tag", "-a"],
    ] {
        let ran = home.run(&[&["render"], bad].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{ran}");
    }
}

#[test]
fn task_definitions_are_printed_or_written_to_files() {
    let home = Home::new();
    let arguments = ["render", "--env", "production", "--target", "ecs", "--tag", "1.4.0"];
    let printed = home.must(&arguments).stdout;
    let documents = serde_json::Deserializer::from_str(&printed).into_iter::<Value>();
    let documents: Vec<Value> = documents.collect::<Result<_, _>>().unwrap();
    let image = |document: &Value| document["containerDefinitions"][0]["image"].clone();
    assert_eq!(image(&documents[0]), "chefcito-bootstrap:1.4.0");

    let folder = home.path().join("tasks");
    let output = [&arguments[..], &["--output", folder.to_str().unwrap()]].concat();
    let written = home.must(&output);
    assert_eq!(written.stdout, "");
    assert!(written.stderr.starts_with("Wrote 7 task definitions to "), "{written}");
    for document in documents {
        let name = document["containerDefinitions"][0]["name"].as_str().unwrap();
        let text = fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), document);
    }
}

#[test]
fn what_is_for_another_target_is_a_usage_error() {
    let home = Home::new();
    let region = home.run(&["render", "--env", "production", "--region", "eu-central-1"]);
    insta::assert_snapshot!(region, @r"
    $ chefcito render --env production --region eu-central-1
    stderr: error: --region needs --target ecs
    stderr: 
    stderr: Usage: chefcito render [OPTIONS] --env <ENV>
    stderr: 
    stderr: For more information, try '--help'.
    exit code 2
    ");
    let local = home.run(&["render", "--env", "local", "--target", "ecs"]);
    insta::assert_snapshot!(local, @r"
    $ chefcito render --env local --target ecs
    stderr: error: the local environment has its own databases, which run on Kubernetes only
    stderr: 
    stderr: Usage: chefcito render [OPTIONS] --env <ENV>
    stderr: 
    stderr: For more information, try '--help'.
    exit code 2
    ");
}
