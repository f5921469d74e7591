//! Environments of a gateway that is always ready and of other services, on a real engine: which state of the others and
//! which ports of the gateway `up`, `start` and `status` accept.

use std::net::TcpListener;

use serde_json::Value;

use crate::{checkout::docker, chefcito::Ran, compose_environments::ComposeEnvironment};

/// A gateway that proves that it holds its key and says that all is ready, and a service beside it, of which the gateway knows
/// nothing. The proof is a keyed BLAKE3 hash of one block; its key is derived from the secret of the admin key.
const FILE: &str = r#"
services:
  gateway:
    image: redis:7.4.5
    init: true
    entrypoint: [perl, -MIO::Socket::INET, -e]
    command:
      - |
        $$listener = IO::Socket::INET->new(LocalAddr => "0.0.0.0", LocalPort => 8080, Listen => 8, ReuseAddr => 1) or die;
        $$key = "2ce9a11e506dfed710e1e38cd4a3a62a01b0bd160668ee06a92d8de5d309b898";
        sub proof {
          my @m = unpack("V16", pack("H*", $$_[0]) . "\0" x 32);
          my @h = unpack("V8", pack("H*", $$_[1]));
          my @v = (@h, 0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0, 0, 35, 27);
          my $$turn = sub { my ($$i, $$j, $$n) = @_; my $$x = $$v[$$i] ^ $$v[$$j]; $$v[$$i] = (($$x >> $$n) | ($$x << (32 - $$n))) & 0xffffffff; };
          my $$mix = sub {
            my ($$a, $$b, $$c, $$d, @two) = @_;
            for my $$n ([16, 12], [8, 7]) {
              $$v[$$a] = ($$v[$$a] + $$v[$$b] + shift @two) & 0xffffffff; $$turn->($$d, $$a, $$n->[0]);
              $$v[$$c] = ($$v[$$c] + $$v[$$d]) & 0xffffffff; $$turn->($$b, $$c, $$n->[1]);
            }
          };
          for (1 .. 7) {
            $$mix->($$_, $$_ + 4, $$_ + 8, $$_ + 12, @m[2 * $$_, 2 * $$_ + 1]) for 0 .. 3;
            $$mix->($$_, 4 + ($$_ + 1) % 4, 8 + ($$_ + 2) % 4, 12 + ($$_ + 3) % 4, @m[8 + 2 * $$_, 9 + 2 * $$_]) for 0 .. 3;
            @m = @m[2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
          }
          return unpack("H*", pack("V8", map { $$v[$$_] ^ $$v[$$_ + 8] } 0 .. 7));
        }
        while ($$guest = $$listener->accept) {
          $$asked = <$$guest>;
          while (defined($$line = <$$guest>) && $$line =~ /\S/) {}
          $$body = $$asked =~ /[?&]nonce=(\w+)/
            ? '{"port":null,"proof":"' . proof($$1, $$key) . '"}'
            : '{"ready":true,"quiet":true,"version":"0","services":{}}';
          print $$guest "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: "
            . length($$body) . "\r\n\r\n" . $$body;
          close $$guest;
        }
    environment: {CHEFCITO_ADMIN_KEY: cfk_test_0123456789abcdef0123456789abcdef}
    ports: ['127.0.0.1:${CHEFCITO_PORT:-7373}:8080']
    stop_grace_period: 1s
  tea:
    image: redis:7.4.5
    init: true
    entrypoint: [/bin/sh, -c]
    command: ['sleep 1000']
    restart: 'no'
    stop_grace_period: 1s
"#;

/// The arguments of `up` for such an environment, which has no recipes.
const UP: [&str; 4] = ["up", "--runtime", "compose", "--no-seed"];

fn up(environment: &ComposeEnvironment, more: &[&str]) -> Ran {
    environment.run(&[&UP[..], more].concat())
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_service_whose_health_check_fails_is_not_up_though_the_gateway_is_ready() {
    let file = FILE.replace(
        "command: ['sleep 1000']",
        "command: ['sleep 1000']\n    healthcheck: {test: [CMD, cat, /healthy]}",
    );
    let Some(environment) = ComposeEnvironment::new("unhealthy", &file) else { return };
    let ran = up(&environment, &["--port=0", "--timeout", "4s"]);
    assert_eq!(ran.code, Some(4), "{ran}");
    assert!(
        ran.stderr.contains("not ready: tea (its health check ends with exit code 1)"),
        "{ran}"
    );
    // A part of it is no more ready, and nothing has changed since.
    let ran = up(&environment, &["tea", "--port=0", "--timeout", "2s"]);
    assert_eq!(ran.code, Some(4), "{ran}");
    environment.must(&["exec", "tea", "--", "touch", "/healthy"]);
    let ran = up(&environment, &["--port=0"]);
    assert_eq!(ran.code, Some(0), "{ran}");
}

#[test]
fn a_service_that_ends_or_ends_again_and_again_is_not_up_though_the_gateway_is_ready() {
    let file = FILE.replace("sleep 1000", "sleep 0.2; echo No sugar left; exit 3");
    let Some(environment) = ComposeEnvironment::new("ending", &file) else { return };
    for restart in ["'no'", "unless-stopped"] {
        environment.write(&file.replace("restart: 'no'", &format!("restart: {restart}")));
        let ran = up(&environment, &["--port=0"]);
        assert_eq!(ran.code, Some(1), "{restart}: {ran}");
        assert!(
            ran.stderr.contains("tea did not start") && ran.stderr.contains("exit code 3"),
            "{ran}"
        );
        assert!(ran.stderr.contains("No sugar left"), "{ran}");
    }
}

#[test]
fn the_gateways_port_may_be_fixed_in_the_file() {
    let port = free_port().to_string();
    let file = FILE.replace("${CHEFCITO_PORT:-7373}", &port);
    let Some(environment) = ComposeEnvironment::new("fixed", &file) else { return };
    let address = format!("http://127.0.0.1:{port}\n");
    let first = up(&environment, &["--timeout", "20s"]);
    assert_eq!((first.code, &first.stdout), (Some(0), &address), "{first}");
    assert!(!first.stderr.contains("was taken"), "{first}");
    environment.must(&["restart", "tea"]);
    environment.must(&["stop"]);
    assert_eq!(environment.must(&["start"]).stdout, address);

    let other = up(&environment, &["--port", "1"]);
    assert_eq!(other.code, Some(1), "{other}");
    let reason = format!("the file publishes the gateway at port {port}, not at 1");
    assert!(other.stderr.contains(&reason), "{other}");
    assert_eq!(up(&environment, &["--port", &port]).stdout, address);

    // The engine would choose a port, and choose another one at each restart.
    environment.write(&FILE.replace("127.0.0.1:${CHEFCITO_PORT:-7373}:8080", "8080"));
    let none = up(&environment, &[]);
    assert_eq!(none.code, Some(1), "{none}");
    assert!(none.stderr.contains("the file does not say at which port"), "{none}");
}

#[test]
fn a_gateway_that_publishes_no_port_is_asked_by_the_engine() {
    let file = FILE.replace("    ports: ['127.0.0.1:${CHEFCITO_PORT:-7373}:8080']\n", "");
    let Some(environment) = ComposeEnvironment::new("inward", &file) else { return };
    let ran = up(&environment, &["--timeout", "20s"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{ran}");
}

#[test]
fn paused_containers_are_resumed_by_start() {
    let Some(environment) = ComposeEnvironment::new("paused", FILE) else { return };
    assert_eq!(up(&environment, &["--port=0"]).code, Some(0));
    for container in environment.containers().values() {
        docker(&["pause", container]);
    }
    let ran = environment.must(&["start"]);
    assert!(ran.stderr.contains("Up in"), "{ran}");
    for container in environment.containers().values() {
        assert_eq!(docker(&["inspect", "--format", "{{.State.Status}}", container]), "running");
    }
}

#[test]
fn the_status_says_what_runs_also_if_another_program_started_it() {
    let Some(environment) = ComposeEnvironment::new("foreign", FILE) else { return };
    assert_eq!(up(&environment, &["--port=0"]).code, Some(0));
    // As if plain compose had started it: nothing of it is in the state folder.
    let state = environment.home.state().join(&environment.name);
    std::fs::rename(&state, state.with_file_name("away")).unwrap();
    let adopt = format!("chefcito up --runtime compose --name {}", environment.name);
    for command in [&["status", "--no-stats"][..], &["order"]] {
        let ran = environment.run(command);
        assert_eq!(ran.code, Some(1), "{ran}");
        assert!(!ran.stderr.contains("nothing is running"), "{ran}");
        assert!(ran.stderr.contains("chefcito did not start it here"), "{ran}");
        assert!(ran.stderr.contains(&adopt), "{ran}");
    }
    std::fs::rename(state.with_file_name("away"), &state).unwrap();
    environment.must(&["status"]);

    // A service that has failed is not ready, though the gateway is.
    docker(&["kill", &environment.containers()["tea-1"]]);
    let ran = environment.run(&["status", "--json"]);
    assert_eq!(ran.code, Some(1), "{ran}");
    let status: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(status["ready"], false);
    assert!(ran.stderr.contains("tea (exit code 137)"), "{ran}");
}

#[test]
fn variables_of_the_shell_hold_until_others_are_given() {
    let file = FILE
        .replace("sleep 1000", "sleep $${SECONDS_MAX}")
        .replace("    restart: 'no'\n", "    environment: {SECONDS_MAX: '${TEA_SECONDS:-1000}'}\n");
    let Some(environment) = ComposeEnvironment::new("shell", &file) else { return };
    let up_with = |seconds: Option<&str>| {
        let args = [&UP[..1], &["--name", &environment.name], &UP[1..], &["--port=0"]].concat();
        let mut command = environment.home.command(&args);
        command.envs(seconds.map(|seconds| ("TEA_SECONDS", seconds)));
        let ran = environment.home.finish(&args, command.spawn().unwrap());
        assert_eq!(ran.code, Some(0), "{ran}");
        ran
    };
    up_with(Some("2000"));
    let first = environment.containers();
    environment.must(&["scale", "tea=2"]);
    let again = up_with(None);
    assert!(again.stderr.contains("As at the last start: TEA_SECONDS"), "{again}");
    assert!(again.stderr.contains("nothing to change"), "{again}");
    assert_eq!(environment.containers()["tea-1"], first["tea-1"]);

    // An empty one takes the file's own value.
    let other = up_with(Some(""));
    assert!(other.stderr.contains("environment SECONDS_MAX 2000 → 1000"), "{other}");
}

#[test]
fn names_limits_and_secrets_of_the_file_reach_the_container() {
    let Some(environment) = ComposeEnvironment::new("named", FILE) else { return };
    let tea = format!("{}-pot", environment.name);
    let more = format!(
        "    restart: 'no'\n    container_name: {tea}\n    ulimits: {{nofile: {{soft: 100, hard: 200}}}}\n    \
         secrets: [word]\n    deploy: {{resources: {{limits: {{memory: 64m, pids: 50}}}}}}\n"
    );
    let file = FILE.replace("    restart: 'no'\n", &more) + "secrets: {word: {file: ./word.txt}}\n";
    environment.write(&file);
    std::fs::write(environment.folder().join("manifests/word.txt"), "mint").unwrap();
    let ran = up(&environment, &["--port=0"]);
    assert_eq!(ran.code, Some(0), "{ran}");
    // Not the soft limit: runc before 1.1.13 now and then raises it in `exec` to the hard one
    // (https://github.com/opencontainers/runc/issues/4195).
    let show = ["exec", "tea", "--", "sh", "-c", "ulimit -Hn; cat /run/secrets/word"];
    assert_eq!(environment.must(&show).stdout, "200\nmint");
    let limits = "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{json .HostConfig.Ulimits}}";
    assert_eq!(
        docker(&["inspect", "--format", limits, &tea]),
        r#"67108864 50 [{"Name":"nofile","Hard":200,"Soft":100}]"#
    );
    let again = up(&environment, &["--port=0"]);
    assert!(again.stderr.contains("nothing to change"), "{again}");
    let refused = environment.run(&["scale", "tea=2"]);
    let reason = format!("tea has the container name {tea}, so it can have only one container");
    assert!(refused.code == Some(1) && refused.stderr.contains(&reason), "{refused}");
}
