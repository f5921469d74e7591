//! Small environments of compose files made for them, on a real engine: changed, mixed with plain compose, interrupted,
//! repaired, followed.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use crate::{
    checkout::docker,
    chefcito::{Home, Ran, kill, wait_until},
};

/// An environment with a compose file of its own; taken down at its end, also after a panic.
pub(crate) struct ComposeEnvironment {
    pub(crate) home: Home,
    pub(crate) name: String,
}

/// Two services that need nothing, and a job that both wait for.
const FILE: &str = "
services:
  job:
    image: redis:7.4.5
    network_mode: none
    entrypoint: [/bin/sh, -c, 'echo done > /shared/note']
    volumes: ['shared:/shared']
  tea: &tea
    image: redis:7.4.5
    entrypoint: [/bin/sh, -c, 'trap \"exit 0\" TERM; echo Tea; while :; do sleep 1 & wait $$!; done']
    stop_grace_period: 2s
    environment: {SUGAR: '1'}
    read_only: true
    cap_drop: [ALL]
    volumes: ['shared:/shared:ro']
    networks: [inside]
    depends_on: {job: {condition: service_completed_successfully}}
  coffee:
    <<: *tea
    ports: ['127.0.0.1:${CHEFCITO_PORT}:80']
networks: {inside: {}}
volumes: {shared: {}}
";

impl ComposeEnvironment {
    pub(crate) fn new(name: &str, file: &str) -> Option<Self> {
        let home = Home::with_engine()?;
        let environment = Self { home, name: format!("{name}-{}", std::process::id()) };
        fs::create_dir_all(environment.folder().join("manifests")).unwrap();
        fs::create_dir_all(environment.folder().join("cli")).unwrap();
        fs::write(environment.folder().join("cli/Cargo.toml"), "").unwrap();
        environment.write(file);
        Some(environment)
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.home.command(&[]).get_current_dir().unwrap().to_owned()
    }

    pub(crate) fn write(&self, file: &str) {
        fs::write(self.folder().join("manifests/compose.yaml"), file).unwrap();
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        let args = [&args[..1], &["--name", &self.name], &args[1..]].concat();
        self.home.run(&args)
    }

    pub(crate) fn must(&self, args: &[&str]) -> Ran {
        let ran = self.run(args);
        assert_eq!(ran.code, Some(0), "{ran}");
        ran
    }

    pub(crate) fn up(&self) -> Ran {
        self.must(&["up", "--runtime", "compose", "--port", "0"])
    }

    /// The ids of its containers, by name without the environment's.
    pub(crate) fn containers(&self) -> BTreeMap<String, String> {
        let label = format!("label=com.docker.compose.project={}", self.name);
        let listed = docker(&["ps", "--all", "--filter", &label, "--format", "{{.Names}} {{.ID}}"]);
        let pair = |line: &str| {
            let (name, id) = line.split_once(' ').unwrap();
            (name.trim_start_matches(&format!("{}-", self.name)).to_owned(), id.to_owned())
        };
        listed.lines().map(pair).collect()
    }

    fn left(&self) -> String {
        let label = format!("label=com.docker.compose.project={}", self.name);
        let networks = docker(&["network", "ls", "--quiet", "--filter", &label]);
        let volumes = docker(&["volume", "ls", "--quiet", "--filter", &label]);
        format!("{:?} {networks:?} {volumes:?}", self.containers())
    }
}

impl Drop for ComposeEnvironment {
    fn drop(&mut self) {
        let _down = self.run(&["down", "--volumes"]);
    }
}

#[test]
fn what_changed_is_replaced_and_nothing_else() {
    let Some(environment) = ComposeEnvironment::new("changed", FILE) else { return };
    environment.up();
    let first = environment.containers();
    assert_eq!(first.keys().collect::<Vec<_>>(), ["coffee-1", "job-1", "tea-1"]);

    let again = environment.up();
    assert!(again.stderr.contains("nothing to change"), "{again}");
    assert_eq!(environment.containers(), first, "done jobs are not run again either");

    environment.write(
        &FILE
            .replace("cap_drop: [ALL]", "cap_drop: [ALL]\n    pids_limit: 50")
            .replace("SUGAR: '1'", "SUGAR: '2'"),
    );
    let plan = environment.must(&["up", "--runtime", "compose", "--port", "0", "--dry-run"]);
    let tea = format!(
        "replace {}-tea-1: environment SUGAR 1 → 2, pids_limit unset → 50",
        environment.name
    );
    assert!(plan.stdout.contains(&tea) && !plan.stdout.contains("job"), "{plan}");
    assert_eq!(environment.containers(), first, "a plan changes nothing");
    environment.up();
    let second = environment.containers();
    assert_eq!(second["job-1"], first["job-1"]);
    assert!(second["tea-1"] != first["tea-1"] && second["coffee-1"] != first["coffee-1"]);

    // One that is no longer in the file is removed.
    environment.write(
        &FILE
            .replace("SUGAR: '1'", "SUGAR: '2'")
            .replace("  coffee:\n    <<: *tea\n    ports: ['127.0.0.1:${CHEFCITO_PORT}:80']\n", "")
            .replace("cap_drop: [ALL]", "cap_drop: [ALL]\n    pids_limit: 50"),
    );
    environment.up();
    let third = environment.containers();
    assert_eq!((third.len(), &third["tea-1"]), (2, &second["tea-1"]));
}

#[test]
fn compose_and_chefcito_work_on_each_others_containers() {
    let Some(environment) = ComposeEnvironment::new("mixed", FILE) else { return };
    environment.up();
    let project = format!("label=com.docker.compose.project={}", environment.name);
    let listed = docker(&[
        "ps",
        "--all",
        "--quiet",
        "--filter",
        &project,
        "--filter",
        "label=com.docker.compose.config-hash",
        "--filter",
        "label=com.docker.compose.oneoff=False",
    ]);
    assert_eq!(listed.lines().count(), 3, "compose's own filter finds all");
    let has_compose =
        Command::new("docker").args(["compose", "version"]).output().unwrap().status.success();
    if has_compose {
        docker(&["compose", "-p", &environment.name, "down"]);
        assert_eq!(environment.containers(), BTreeMap::new());
        environment.up();
    }
    environment.must(&["down"]);
    let ran = environment.must(&["down"]);
    assert!(ran.stderr.contains("Nothing is running"), "{ran}");
}

#[test]
fn containers_are_scaled_restarted_stopped_and_entered() {
    let Some(environment) = ComposeEnvironment::new("scaled", FILE) else { return };
    environment.up();
    environment.must(&["scale", "tea=3"]);
    assert_eq!(environment.containers().len(), 5);
    environment.up();
    assert_eq!(environment.containers().len(), 5, "what was scaled stays so");
    environment.must(&["scale", "tea=1"]);
    assert_eq!(environment.containers().len(), 3);
    let refused = environment.run(&["scale", "coffee=2"]);
    assert!(
        refused.code == Some(1) && refused.stderr.contains("it can have only one container"),
        "{refused}"
    );
    let refused = environment.run(&["scale", "tea=2", "job=2"]);
    assert!(
        refused.code == Some(1)
            && refused
                .stderr
                .contains("job keeps data in /shared, so it can have only one container"),
        "{refused}"
    );
    assert_eq!(environment.containers().len(), 3);
    let refused = environment.run(&["scale", "water=2"]);
    assert!(
        refused.code == Some(2) && refused.stderr.contains("there is no service `water`"),
        "{refused}"
    );

    assert_eq!(environment.must(&["exec", "tea", "--", "cat", "/shared/note"]).stdout, "done\n");
    assert_eq!(
        environment.run(&["exec", "tea", "--", "sh", "-c", "echo no >&2; exit 42"]).code,
        Some(42)
    );
    assert!(matches!(
        environment.run(&["exec", "tea", "--", "/no/such/program"]).code,
        Some(126 | 127)
    ));
    assert_eq!(environment.run(&["exec", "job", "--", "true"]).code, Some(3));
    assert_eq!(environment.run(&["exec", "water", "--", "true"]).code, Some(2));

    let before = environment.containers();
    environment.must(&["restart", "tea"]);
    environment.must(&["stop"]);
    assert_eq!(environment.run(&["exec", "tea", "--", "true"]).code, Some(3));
    environment.must(&["start"]);
    assert_eq!(environment.containers(), before, "they are the same");
    let lines = environment.must(&["logs", "tea", "--tail", "all"]).stdout;
    assert_eq!(lines.matches(" Tea").count(), 3, "{lines}");
}

#[test]
fn a_taken_port_is_reported_with_its_holder_before_anything_starts() {
    let Some(one) = ComposeEnvironment::new("port-a", FILE) else { return };
    let Some(other) = ComposeEnvironment::new("port-b", FILE) else { return };
    one.up();
    let ports = docker(&["port", &one.containers()["coffee-1"], "80/tcp"]);
    let port = ports.lines().next().unwrap().rsplit(':').next().unwrap().trim().to_owned();
    let ran = other.run(&["up", "--runtime", "compose", "--port", &port]);
    assert_eq!(ran.code, Some(1), "{ran}");
    let holder = format!("port {port} is taken by the container {}-coffee-1", one.name);
    assert!(ran.stderr.contains(&holder), "{ran}");
    assert!(other.left().starts_with("{} \"\" \"\""), "{}", other.left());
    // They do not disturb each other.
    other.up();
    other.must(&["down", "--volumes"]);
    assert_eq!(one.containers().len(), 3);
}

#[test]
fn a_service_that_cannot_start_is_reported_with_its_last_lines() {
    let file = FILE.replace("echo Tea;", "echo No sugar left; exit 3;");
    let Some(environment) = ComposeEnvironment::new("failing", &file) else { return };
    let ran = environment.run(&["up", "--runtime", "compose", "--port", "0"]);
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.stderr.contains("exit code 3") && ran.stderr.contains("No sugar left"), "{ran}");
    // Once the cause is fixed, it continues.
    environment.write(FILE);
    environment.up();
    let file = FILE.replace("/bin/sh, -c, 'trap", "/bin/no-shell, -c, 'trap");
    environment.write(&file);
    let ran = environment.run(&["up", "--runtime", "compose", "--port", "0"]);
    assert!(ran.code == Some(1) && ran.stderr.contains("no-shell"), "{ran}");
}

#[test]
fn an_interrupted_up_leaves_nothing_whenever_it_happens() {
    for delay_ms in [0, 20, 60, 120, 200, 300, 450, 650, 900, 1300] {
        let Some(environment) = ComposeEnvironment::new("interrupted", FILE) else { return };
        let args = ["up", "--name", &environment.name, "--runtime", "compose", "--port", "0"];
        let up = environment.home.start(&args);
        // Not to wait for a state, but to hit another moment each time.
        sleep(Duration::from_millis(delay_ms));
        kill("-INT", i32::try_from(up.id()).unwrap());
        let ran = environment.home.finish(&args, up);
        match ran.code {
            // It was faster: everything is up.
            Some(0) => {
                assert_eq!(environment.containers().len(), 3, "after {delay_ms} ms: {ran}");
                environment.must(&["down", "--volumes"]);
            }
            // The signal ended it before it had begun.
            None | Some(130) => {}
            _ => panic!("{ran}"),
        }
        assert!(
            environment.left().starts_with("{} \"\" \"\""),
            "after {delay_ms} ms: {} {ran}",
            environment.left()
        );
    }
}

#[test]
fn what_a_dry_run_prints_is_what_is_done() {
    let Some(environment) = ComposeEnvironment::new("planned", FILE) else { return };
    let up = ["up", "--runtime", "compose", "--port", "0"];
    let same = |what: &str| {
        let plan = environment.must(&[&up[..], &["--dry-run"]].concat());
        let ran = environment.must(&[&up[..], &["--verbose"]].concat());
        let is_printed = |line: &&str| plan.stdout.lines().any(|one| one == *line);
        let (mut printed, mut done): (Vec<&str>, Vec<&str>) =
            (plan.stdout.lines().collect(), ran.stderr.lines().filter(is_printed).collect());
        printed.sort_unstable();
        done.sort_unstable();
        assert_eq!(done, printed, "{what}: {plan}{ran}");
        printed.len()
    };
    // A network, a volume, three containers created and started, and the wait.
    assert_eq!(same("from nothing"), 9);
    assert_eq!(same("nothing changed"), 0);
    docker(&["kill", &environment.containers()["tea-1"]]);
    assert_eq!(same("one was killed"), 2);
    environment
        .write(&FILE.replace("networks: {inside: {}}", "networks: {inside: {internal: true}}"));
    // Two removed, the network removed and created, two created and started, and the wait.
    assert_eq!(same("another network"), 9);
}

#[test]
fn a_first_job_that_never_ends_is_bounded_by_the_time_out() {
    let file = FILE.replace("echo done > /shared/note", "sleep 600");
    let Some(environment) = ComposeEnvironment::new("endless", &file) else { return };
    let since = Instant::now();
    let up = ["up", "--runtime", "compose", "--port", "0", "--timeout", "4s"];
    let ran = environment.run(&up);
    assert_eq!(ran.code, Some(4), "{ran}");
    let job = format!("start {}-job-1, and wait until it has ended", environment.name);
    assert!(ran.stderr.contains(&job), "{ran}");
    assert!(since.elapsed() < Duration::from_secs(30), "{ran}");
    // The next one continues.
    environment.write(FILE);
    environment.up();
}

#[test]
fn lines_are_followed_through_a_restart_each_once() {
    let Some(environment) = ComposeEnvironment::new("followed", FILE) else { return };
    environment.up();
    let args = ["logs", "--name", &environment.name, "--follow", "tea"];
    let log = environment.folder().join("followed.txt");
    let file = fs::File::create(&log).unwrap();
    let mut following = environment.home.command(&args).stdout(file).spawn().unwrap();
    let seen = || fs::read_to_string(&log).unwrap().matches(" Tea").count();
    wait_until("the first line is shown", || seen() == 1);
    docker(&["restart", "--time", "2", &environment.containers()["tea-1"]]);
    wait_until("the second is", || seen() == 2);
    environment.must(&["scale", "tea=2"]);
    wait_until("that of a new replica is", || seen() == 3);
    docker(&["restart", "--time", "2", &environment.containers()["tea-1"]]);
    wait_until("the fourth is", || seen() == 4);
    following.kill().unwrap();
    following.wait().unwrap();
}
