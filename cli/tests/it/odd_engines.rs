//! Behaviour that a real engine does not show: too old, not an engine, names that are taken, an end in the middle.

use std::{
    fs,
    os::unix::{
        fs::{PermissionsExt, chown},
        net::UnixStream,
    },
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    checkout::Checkout,
    chefcito::Home,
    fake_docker::{FakeDocker, Says, json},
};

const UP: [&str; 4] = ["up", "--runtime", "compose", "--port=0"];

#[test]
fn an_engine_that_is_too_old_is_reported() {
    let home = Home::new();
    let old = FakeDocker::start(|line| {
        line.contains("/version").then(|| json(200, r#"{"Version":"19.3","ApiVersion":"1.40"}"#))
    });
    insta::assert_snapshot!(old.run(&home, &UP), @r"
    $ chefcito up --runtime compose --port=0
    stderr: error: the Docker engine at unix://ENGINE/docker.sock is too old: it has API 1.40, and 1.41 is the oldest that works
    stderr: hint: update it to Docker 20.10 or newer
    exit code 7
    ");
}

#[test]
fn a_server_that_is_not_an_engine_is_reported() {
    let home = Home::new();
    let other = FakeDocker::start(|_| Some(json(404, "<html>no such page</html>")));
    insta::assert_snapshot!(other.run(&home, &UP), @r"
    $ chefcito up --runtime compose --port=0
    stderr: error: unix://ENGINE/docker.sock is not a Docker engine
    stderr: hint: check DOCKER_HOST and DOCKER_CONTEXT: `docker version` should show a server
    exit code 7
    ");
    let silent = FakeDocker::start(|_| Some(Says::HangsUp));
    let ran = silent.run(&home, &UP);
    assert_eq!(ran.code, Some(7), "{ran}");
    assert!(!home.state().exists(), "nothing was begun");
}

#[test]
fn a_socket_without_permission_is_reported() {
    let home = Home::new();
    let engine = FakeDocker::start(|_| None);
    let nobody = 65534;
    if chown(engine.socket(), Some(nobody), Some(nobody)).is_err() {
        return test_support::lacking("the permission to change the owner of a socket");
    }
    fs::set_permissions(engine.socket(), fs::Permissions::from_mode(0o600)).unwrap();
    let mut up = home.command(&UP);
    up.env("DOCKER_HOST", format!("unix://{}", engine.socket().display()));
    let ran = home.finish(&UP, home.without_override(&up).spawn().unwrap());
    assert_eq!(ran.code, Some(7), "{ran}");
    assert!(ran.stderr.contains("permission denied on the Docker engine's socket"), "{ran}");
    assert!(ran.stderr.contains("sudo usermod -aG docker"), "{ran}");
}

#[test]
fn a_port_of_ssh_is_refused_before_anything_is_asked() {
    let home = Home::new();
    let mut command = home.command(&UP);
    command.env("DOCKER_HOST", "ssh://chef@build:2222");
    insta::assert_snapshot!(home.finish(&UP, command.spawn().unwrap()), @r"
    $ chefcito up --runtime compose --port=0
    stderr: error: DOCKER_HOST is `ssh://chef@build:2222`, but a port is not supported there
    stderr: hint: write the port into ~/.ssh/config, `Host build` with `Port 2222` below it, and name ssh://chef@build
    exit code 7
    ");
}

#[test]
fn a_container_to_compile_in_waits_until_the_last_one_is_gone() {
    let checkout = Checkout::new();
    let (removals, makings) = (AtomicU32::new(0), AtomicU32::new(0));
    let engine = FakeDocker::start(move |line| {
        let (method, path) = line.split_once(' ').unwrap();
        let count = |counter: &AtomicU32| counter.fetch_add(1, Ordering::Relaxed);
        if method == "DELETE" && path.contains("/containers/chefcito-build-") {
            let going = r#"{"message":"removal of container c is already in progress"}"#;
            let gone = r#"{"message":"No such container"}"#;
            return Some(if count(&removals) < 2 { json(409, going) } else { json(404, gone) });
        }
        if path.contains("/containers/create?name=chefcito-build-") && count(&makings) < 2 {
            return Some(json(409, r#"{"message":"Conflict. The container name is in use"}"#));
        }
        path.ends_with("/exec").then(|| json(500, r#"{"message":"this engine runs nothing"}"#))
    });
    let args = ["build", "--in-container"];
    let mut command = checkout.command(&args);
    command.env("DOCKER_HOST", format!("unix://{}", engine.socket().display()));
    let ran = checkout.home.finish(&args, command.spawn().unwrap());
    assert!(ran.stderr.contains("this engine runs nothing"), "{ran}");
    let asked = engine.asked();
    let count = |words: &str| asked.iter().filter(|asked| asked.starts_with(words)).count();
    assert_eq!(count("POST /containers/create?name=chefcito-build-"), 3, "{asked:#?}");
    assert_eq!(count("DELETE /containers/chefcito-build-"), 5, "{asked:#?}");
    assert_eq!(asked.last().unwrap().split('?').next(), Some("DELETE /containers/c"));
}

#[test]
fn images_that_only_a_build_makes_are_named() {
    let home = Home::new();
    let engine = FakeDocker::start(|line| line.contains("/images/json").then(|| json(200, "[]")));
    let ran = engine.run(&home, &UP);
    assert_eq!(ran.code, Some(7), "{ran}");
    assert!(ran.stderr.contains("the engine lacks images: chefcito-board:elsewhere"), "{ran}");
    assert!(!engine.asked().iter().any(|asked| asked.starts_with("POST")), "nothing was made");
}

#[test]
fn a_name_that_another_object_has_is_left_alone() {
    let home = Home::new();
    let engine = FakeDocker::start(|line| {
        line.contains("/containers/create?name=chefcito-orders-1")
            .then(|| json(409, r#"{"message":"Conflict. The container name is already in use"}"#))
    });
    insta::assert_snapshot!(engine.run(&home, &UP), @r"
    $ chefcito up --runtime compose --port=0
    stderr: Creating 3 networks, 2 volumes, 11 containers
    stderr: error: there is a container chefcito-orders-1 that is not of this environment; it is left alone
    stderr: hint: remove it or give it another name, or choose another `--name`
    exit code 1
    ");
    assert!(!engine.asked().iter().any(|asked| asked.contains("/start")), "nothing was started");
}

#[test]
fn a_volume_of_another_environment_is_not_taken() {
    let home = Home::new();
    let engine = FakeDocker::start(|line| {
        // With a label, the request is for our objects; by name, for any.
        let by_name = line.starts_with("GET /volumes?") && line.contains("chefcito_secrets");
        by_name.then(|| {
            json(
                200,
                r#"{"Volumes":[{"Name":"chefcito_secrets","Driver":"local","Mountpoint":"/","Labels":{},"Scope":"local","Options":{}}]}"#,
            )
        })
    });
    let ran = engine.run(&home, &UP);
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(
        ran.stderr.contains("there is a volume chefcito_secrets that is not of this environment"),
        "{ran}"
    );
}

#[test]
fn a_start_that_fails_is_reported_with_the_engines_error() {
    let home = Home::new();
    let engine = FakeDocker::start(|line| {
        line.ends_with("/start")
            .then(|| json(400, r#"{"message":"exec: \"/bootstrap\": no such file or directory"}"#))
    });
    insta::assert_snapshot!(engine.run(&home, &UP), @r#"
    $ chefcito up --runtime compose --port=0
    stderr: Creating 3 networks, 2 volumes, 11 containers
    stderr: error: bootstrap did not start: exec: "/bootstrap": no such file or directory
    stderr: hint: `chefcito logs bootstrap` has more; fix the cause, then `chefcito up --runtime compose` continues from here
    exit code 1
    "#);
}

#[test]
fn an_engine_that_ends_in_the_middle_is_reported() {
    let home = Home::new();
    let engine =
        FakeDocker::start(|line| line.contains("/containers/create").then_some(Says::HangsUp));
    let ran = engine.run(&home, &UP);
    assert_eq!(ran.code, Some(7), "{ran}");
    assert!(ran.stderr.contains("the connection failed"), "{ran}");
    assert!(ran.stderr.contains("repeat the command"), "{ran}");
}

#[test]
fn a_plan_takes_a_handful_of_questions() {
    let home = Home::new();
    let engine = FakeDocker::start(|_| None);
    let ran = engine.run(&home, &["up", "--runtime", "compose", "--dry-run", "--port=0"]);
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!(ran.stdout.contains("create chefcito-kitchen-1"), "{ran}");
    let mut asked = engine.asked();
    asked.retain(|asked| !asked.contains("/events"));
    let of_ports = asked.iter().filter(|asked| asked.contains("/containers/json")).count();
    // The version, containers, networks, volumes, images; and the holder of the one port.
    assert!(asked.len() <= 6 && of_ports == 2, "{asked:#?}");
    assert!(!home.state().exists(), "a plan touches nothing");
}

#[test]
fn an_invalid_compose_file_is_reported_with_its_line() {
    let home = Home::new();
    let engine = FakeDocker::start(|_| None);
    lay_out(
        &home,
        "services:\n  kitchen:\n    image: chefcito-kitchen:dev\n    privileged: true\n",
    );
    insta::assert_snapshot!(engine.run(&home, &UP), @r"
    $ chefcito up --runtime compose --port=0
    stderr: error: HOME/manifests/compose.yaml: line 4: services.kitchen.privileged: chefcito does not support this key; it supports cap_add, cap_drop, command, container_name, cpus, depends_on, deploy, entrypoint, environment, expose, extra_hosts, group_add, healthcheck, hostname, image, init, labels, logging, mem_limit, network_mode, networks, pids_limit, ports, profiles, read_only, restart, scale, secrets, security_opt, shm_size, stop_grace_period, stop_signal, tmpfs, ulimits, user, volumes, working_dir
    exit code 1
    ");
}

/// Writes a compose file where a home's commands find it.
fn lay_out(home: &Home, file: &str) {
    let folder = home.command(&[]).get_current_dir().unwrap().to_owned();
    fs::create_dir_all(folder.join("manifests")).unwrap();
    fs::create_dir_all(folder.join("cli")).unwrap();
    fs::write(folder.join("cli/Cargo.toml"), "").unwrap();
    fs::write(folder.join("manifests/compose.yaml"), file).unwrap();
}

/// An engine that lists these services as running once one was started, and answers by the script first.
fn running(
    services: &'static [&str],
    script: impl Fn(&str) -> Option<Says> + Send + Sync + 'static,
) -> FakeDocker {
    let is_started = AtomicBool::new(false);
    let container = |service: &&str| {
        format!(
            r#"{{"Id":"{service}","Names":["/chefcito-{service}-1"],"State":"running","Status":"Up 2 seconds","Labels":{{
                "com.docker.compose.project":"chefcito","com.docker.compose.service":"{service}",
                "com.docker.compose.container-number":"1"}}}}"#
        )
    };
    FakeDocker::start(move |line| {
        if line.starts_with("POST") && line.ends_with("/start") {
            is_started.store(true, Ordering::Relaxed);
        }
        let is_list = line.contains("/containers/json") && is_started.load(Ordering::Relaxed);
        let listed = || services.iter().map(container).collect::<Vec<_>>().join(",");
        let is_one = line.starts_with("GET /containers/") && line.ends_with("/json");
        let one = || json(200, r#"{"State":{"Running":true,"ExitCode":0}}"#);
        script(line)
            .or_else(|| is_list.then(|| json(200, &format!("[{}]", listed()))))
            .or_else(|| is_one.then(one))
    })
}

#[test]
fn a_job_that_has_ended_and_is_still_listed_as_running_is_done() {
    let home = Home::new();
    lay_out(
        &home,
        "
services:
  tea: {image: 'redis:7.4.5', restart: always, network_mode: none}
  job: {image: 'redis:7.4.5', network_mode: none, depends_on: {tea: {condition: service_started}}}
  coffee:
    image: redis:7.4.5
    restart: always
    network_mode: none
    depends_on: {job: {condition: service_completed_successfully}}
",
    );
    let engine = running(&["tea", "job", "coffee"], |line| {
        line.ends_with("/containers/job/json")
            .then(|| json(200, r#"{"State":{"Running":false,"ExitCode":0}}"#))
    });
    let ran = engine.run(&home, &[&UP[..], &["--timeout", "20s", "--no-seed"]].concat());
    assert_eq!(ran.code, Some(0), "{ran}");
}

#[test]
fn a_network_that_the_engine_believes_to_be_in_use_is_only_a_warning() {
    let home = Home::new();
    let file = "
services: {tea: {image: 'redis:7.4.5', restart: always, networks: [inside]}}
networks: {inside: {}}
";
    lay_out(&home, file);
    let is_made = AtomicBool::new(false);
    let is_gone = Arc::new(AtomicBool::new(false));
    let tea_is_gone = Arc::clone(&is_gone);
    let engine = running(&["tea"], move |line| {
        if tea_is_gone.load(Ordering::Relaxed) && line.contains("/containers/json") {
            return Some(json(200, "[]"));
        }
        let network = r#"{"Name":"chefcito_inside","Id":"inside","Labels":{}}"#;
        if line.starts_with("POST /networks/create") {
            is_made.store(true, Ordering::Relaxed);
        }
        match line {
            "DELETE /networks/inside" => Some(json(
                403,
                r#"{"message":"error while removing network: network chefcito_inside has active endpoints"}"#,
            )),
            "GET /networks/inside" => Some(json(200, network)),
            _ if is_made.load(Ordering::Relaxed) => {
                line.starts_with("GET /networks?").then(|| json(200, &format!("[{network}]")))
            }
            _ => None,
        }
    });
    let up = engine.run(&home, &[&UP[..], &["--no-seed"]].concat());
    assert_eq!(up.code, Some(0), "{up}");
    let since = Instant::now();
    let down = engine.run(&home, &["down", "--volumes"]);
    assert!(since.elapsed() < Duration::from_secs(4), "nothing is on it: {:?}", since.elapsed());
    insta::assert_snapshot!(down, @r"
    $ chefcito down --volumes
    stderr: warning: the engine believes the unused network chefcito_inside to be in use; after a restart of the engine, `docker network rm chefcito_inside` removes it
    stderr: `chefcito` is down
    stderr: Removed its data
    exit code 0
    ");
    assert!(engine.asked().iter().any(|asked| asked.starts_with("DELETE /containers/tea")));
    // The warning is not repeated by every later command.
    is_gone.store(true, Ordering::Relaxed);
    let again = engine.run(&home, &["down"]);
    assert_eq!(
        (again.code, again.stderr.as_str()),
        (Some(0), "Nothing is running as `chefcito`\n")
    );
}

#[test]
fn a_port_of_the_environments_own_gateway_that_is_starting_is_not_taken() {
    let home = Home::new();
    // What publishes it for the engine already.
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let looks = AtomicU32::new(0);
    let engine = FakeDocker::start(move |line| {
        if !line.contains("/containers/json") {
            return None;
        }
        let (state, ports) = match looks.fetch_add(1, Ordering::Relaxed) {
            0..4 => ("created", String::new()),
            _ => (
                "running",
                format!(
                    r#"{{"IP":"127.0.0.1","PrivatePort":8080,"PublicPort":{port},"Type":"tcp"}}"#
                ),
            ),
        };
        Some(json(
            200,
            &format!(
                r#"[{{"Id":"gateway","Names":["/chefcito-gateway-1"],"State":"{state}","Status":"","Ports":[{ports}],"Labels":{{
                    "com.docker.compose.project":"chefcito","com.docker.compose.service":"gateway",
                    "com.docker.compose.container-number":"1"}}}}]"#
            ),
        ))
    });
    let up = ["up", "--runtime", "compose", "--dry-run", "--port", &port.to_string()];
    let ran = engine.run(&home, &up);
    assert_eq!(ran.code, Some(0), "{ran}");
}

#[test]
fn on_another_machine_nothing_is_seeded_and_that_is_said() {
    let home = Home::new();
    lay_out(
        &home,
        "
services:
  gateway:
    image: redis:7.4.5
    restart: always
    network_mode: none
    environment: {CHEFCITO_ADMIN_KEY: cfk_test_0123456789abcdef0123456789abcdef}
    ports: ['127.0.0.1:${CHEFCITO_PORT}:8080']
",
    );
    let engine = running(&["gateway"], |_| None);
    // An address of this machine by which no published port is found.
    let listener = std::net::TcpListener::bind("127.0.0.2:0").unwrap();
    let host = format!("tcp://{}", listener.local_addr().unwrap());
    let socket = engine.socket();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let engine = UnixStream::connect(&socket).unwrap();
            let (mut client, mut engine) =
                ((client.try_clone().unwrap(), client), (engine.try_clone().unwrap(), engine));
            std::thread::spawn(move || std::io::copy(&mut client.0, &mut engine.0));
            std::thread::spawn(move || {
                let _copied = std::io::copy(&mut engine.1, &mut client.1);
                client.1.shutdown(std::net::Shutdown::Both)
            });
        }
    });
    let up = |more: &[&str]| {
        let args = [&UP[..], more].concat();
        let mut command = home.command(&args);
        command.env("DOCKER_HOST", &host);
        home.finish(&args, command.spawn().unwrap())
    };
    let plan = up(&["--dry-run"]);
    assert!(plan.code == Some(0) && !plan.stdout.contains("send recipes"), "{plan}");
    let ran = up(&[]);
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!(ran.stderr.contains("Sent no recipes and no stock: `chefcito seed`"), "{ran}");
    let down = home.command(&["down", "--volumes"]).env("DOCKER_HOST", &host).output().unwrap();
    assert_eq!(down.status.code(), Some(0));
}

#[test]
fn what_only_docker_compose_would_read_is_named() {
    let home = Home::new();
    let engine = FakeDocker::start(|_| None);
    lay_out(&home, "services: {tea: {image: 'redis:7.4.5', network_mode: none}}\n");
    fs::write(home.path().join("manifests/compose.override.yaml"), "services: {}\n").unwrap();
    let args = ["up", "--runtime", "compose", "--dry-run"];
    let mut command = home.command(&args);
    command.env("DOCKER_HOST", format!("unix://{}", engine.socket().display()));
    command.env("COMPOSE_FILE", "other.yaml");
    let ran = home.finish(&args, command.spawn().unwrap());
    assert_eq!(ran.code, Some(0), "{ran}");
    let unread = "compose.yaml alone, not COMPOSE_FILE, HOME/manifests/compose.override.yaml";
    assert!(ran.stderr.contains(unread), "{ran}");
}
