//! Every error that a user can get without an environment, as snapshots: what failed, why, what to try, and the exit
//! code.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{MetadataExt, PermissionsExt},
};

use contracts::services::KITCHEN;

use crate::chefcito::Home;

#[test]
fn nothing_is_running() {
    let home = Home::new();
    insta::assert_snapshot!(home.run(&["status"]), @r"
    $ chefcito status
    stderr: error: nothing is running as `chefcito`
    stderr: hint: start it with `chefcito up`
    exit code 3
    ");
    insta::assert_snapshot!(home.run(&["order", "--name", "ci"]), @r"
    $ chefcito order --name ci
    stderr: error: nothing is running as `ci`
    stderr: hint: start it with `chefcito up --name ci`
    exit code 3
    ");
    for command in ["start", "logs", "audit", "keys list"] {
        let ran = home.run(&command.split(' ').collect::<Vec<_>>());
        assert_eq!(ran.code, Some(3), "{ran}");
    }
    assert!(!home.state().exists(), "asking touches nothing");
}

#[test]
fn closing_what_is_closed_is_fine() {
    let home = Home::new();
    insta::assert_snapshot!(home.run(&["down"]), @r"
    $ chefcito down
    stderr: Nothing is running as `chefcito`
    exit code 0
    ");
    insta::assert_snapshot!(home.run(&["stop"]), @r"
    $ chefcito stop
    stderr: Nothing is running as `chefcito`
    exit code 0
    ");
}

#[test]
fn usage_errors_are_exit_code_2() {
    let home = Home::new();
    insta::assert_snapshot!(home.run(&["up", "--name", "Chef"]), @r"
    $ chefcito up --name Chef
    stderr: error: invalid value 'Chef' for '--name <NAME>': it should be a lower-case letter, then lower-case letters, digits and hyphens, 32 at the most
    stderr: 
    stderr: For more information, try '--help'.
    exit code 2
    ");
    insta::assert_snapshot!(home.run(&["up", KITCHEN]), @r"
    $ chefcito up kitchen
    stderr: error: single services can only be brought up with containers
    stderr: 
    stderr:   tip: the embedded environment always runs all services; omit it
    stderr: 
    stderr: Usage: chefcito up [OPTIONS] [SERVICE]...
    stderr: 
    stderr: For more information, try '--help'.
    exit code 2
    ");
    for wrong in [
        "up --build",
        "up --stoves 0",
        "up --port 70000",
        "up --cooking-time soon",
        "up --database-url mysql://db",
        "up --market-url market.example",
        "logs pantry",
        "scale kitchen=1 kitchen=2",
        "seed --set rice=1 --set rice=2",
        "logs --since yesterday",
        "logs --tail some",
        "logs --order pizza",
        "completions tcsh",
        "fry",
        "up --timeout 18446744073709551615s",
        "up --cooking-time 61m",
        "logs --since 11years",
        "market set --delay 18446744073709551615s",
    ] {
        let ran = home.run(&wrong.split(' ').collect::<Vec<_>>());
        assert_eq!(ran.code, Some(2), "{ran}");
    }
}

#[test]
fn a_service_with_a_slip_in_its_name_is_suggested() {
    let home = Home::new();
    insta::assert_snapshot!(home.run(&["logs", "kitchn"]), @r"
    $ chefcito logs kitchn
    stderr: error: there is no service `kitchn`
    stderr: hint: did you mean `kitchen`? There are gateway, orders, kitchen, inventory, market, market-sim, board, embedded
    exit code 2
    ");
    insta::assert_snapshot!(home.run(&["logs", "pantry"]), @r"
    $ chefcito logs pantry
    stderr: error: there is no service `pantry`
    stderr: hint: there are gateway, orders, kitchen, inventory, market, market-sim, board, embedded
    exit code 2
    ");
}

#[test]
fn a_duration_that_no_clock_can_add_is_a_usage_error() {
    let home = Home::new();
    for command in ["order", "audit", "cancel", "start", "restart", "scale", "deploy", "up"] {
        let ran = home.run(&[command, "--timeout", "18446744073709551615s 1000000000ns"]);
        assert_eq!(ran.code, Some(2), "{ran}");
        assert!(ran.stderr.contains("10 years at the most"), "{ran}");
    }
    for name in ["CHEFCITO_UP_TIMEOUT", "CHEFCITO_COOKING_TIME", "CHEFCITO_RETENTION"] {
        let mut up = home.command(&["up", "--port", "0"]);
        up.env(name, "18446744073709551615s 1000000000ns");
        let ran = home.finish(&["up"], up.spawn().unwrap());
        assert!(matches!(ran.code, Some(1 | 2)), "{ran}");
        assert!(ran.stderr.contains("at the most") && !ran.stderr.contains("panicked"), "{ran}");
    }
}

#[test]
fn without_a_cluster_there_are_no_pods() {
    let home = Home::new();
    insta::assert_snapshot!(home.run(&["up", "--runtime", "kubernetes", "--context", "far"]), @r"
    $ chefcito up --runtime kubernetes --context far
    stderr: error: there is no kubeconfig at HOME/.kube/config
    stderr: hint: name one with `--kubeconfig` or KUBECONFIG; without both and `--context`, `chefcito up --runtime kubernetes` creates a kind cluster
    exit code 7
    ");
    assert!(!home.environment().exists(), "nothing is left of what never began");
}

#[test]
fn without_an_engine_there_are_no_containers() {
    let home = Home::new();
    insta::assert_snapshot!(home.run(&["up", "--runtime", "compose"]), @r"
    $ chefcito up --runtime compose
    stderr: error: no Docker engine answers at unix:///nowhere/docker.sock
    stderr:   because: No such file or directory (os error 2)
    stderr: hint: start Docker (`sudo systemctl start docker`), or name an engine in DOCKER_HOST; `--runtime embedded` needs no engine
    exit code 7
    ");
    let mut odd = home.command(&["up", "--runtime", "compose"]);
    let ran = home.finish(&[], odd.env("DOCKER_HOST", "pigeon://post").spawn().unwrap());
    assert_eq!(ran.code, Some(7), "{ran}");
    assert!(
        ran.stderr.contains("DOCKER_HOST is `pigeon://post`, which is not an address of an engine"),
        "{ran}"
    );
    let mut unknown = home.command(&["up", "--runtime", "compose"]);
    unknown.env_remove("DOCKER_HOST").env("DOCKER_CONTEXT", "far");
    let ran = home.finish(&[], unknown.spawn().unwrap());
    assert_eq!(ran.code, Some(7), "{ran}");
    assert!(ran.stderr.contains("there is no Docker context `far`"), "{ran}");
    let ran = home.run(&["up", "--runtime", "compose", "--database-url", "postgres://db"]);
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(!home.state().exists(), "nothing was begun");
}

#[test]
fn what_only_containers_can_do_is_a_usage_error_in_one_process() {
    let home = Home::new();
    for command in ["exec kitchen -- true", "scale kitchen=2", "restart kitchen"] {
        let ran = home.run(&command.split(' ').collect::<Vec<_>>());
        assert_eq!(ran.code, Some(3), "{ran}");
    }
    home.must(&["up", "--port", "0", "--no-seed"]);
    for command in ["exec kitchen -- true", "scale kitchen=2", "restart kitchen"] {
        let ran = home.run(&command.split(' ').collect::<Vec<_>>());
        assert_eq!(ran.code, Some(2), "{ran}");
        assert!(ran.stderr.contains("`chefcito` is embedded"), "{ran}");
        assert!(ran.stderr.contains("one process"), "{ran}");
    }
    let ran = home.run(&["up", "--runtime", "compose"]);
    assert_eq!(ran.code, Some(7), "{ran}");
}

#[test]
fn a_state_folder_that_cannot_be_made_is_named() {
    let home = Home::new();
    // A file instead of a folder stops even root, to whom permissions do not apply.
    fs::create_dir_all(home.state().parent().unwrap()).unwrap();
    fs::write(home.state(), "not a folder").unwrap();
    insta::assert_snapshot!(home.run(&["up"]), @r"
    $ chefcito up
    stderr: error: cannot keep state in HOME/.local/state/chefcito/chefcito: Not a directory (os error 20)
    stderr: hint: make it writable, or set XDG_STATE_HOME to a folder that is
    exit code 7
    ");
    let ran = home.run(&["doctor"]);
    assert_eq!(ran.code, Some(7), "{ran}");
}

#[test]
fn a_read_only_state_folder_is_named() {
    let home = Home::new();
    fs::create_dir_all(home.state()).unwrap();
    fs::set_permissions(home.state(), fs::Permissions::from_mode(0o500)).unwrap();
    let mut up = home.without_override(&home.command(&["up"]));
    let ran = home.finish(&["up"], up.spawn().unwrap());
    assert_eq!(ran.code, Some(7), "{ran}");
}

#[test]
fn a_state_folder_that_others_can_write_to_is_refused() {
    let home = Home::new();
    home.must(&["up", "--port", "0", "--no-seed"]);
    for folder in [home.state(), home.environment(), home.environment().join("secrets")] {
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        for command in ["up", "status", "order", "down"] {
            let ran = home.run(&[command]);
            assert_eq!(ran.code, Some(7), "{ran}");
            assert!(ran.stderr.contains("it can be written by every user"), "{ran}");
            assert!(ran.stderr.contains("chmod -R go-w "), "{ran}");
        }
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        home.must(&["status"]);
    }
}

#[test]
fn the_state_of_another_user_is_refused() {
    let home = Home::new();
    home.must(&["up", "--port", "0", "--no-seed"]);
    let (own, other) = (fs::metadata(home.path()).unwrap().uid(), 65_534);
    for file in [home.state(), home.environment(), home.environment().join("admin.key")] {
        if std::os::unix::fs::chown(&file, Some(other), None).is_err() {
            test_support::lacking("the right to give files to other users");
            return;
        }
        let ran = home.run(&["status"]);
        assert_eq!(ran.code, Some(7), "{ran}");
        assert!(ran.stderr.contains("it belongs to another user (65534)"), "{ran}");
        std::os::unix::fs::chown(&file, Some(own), None).unwrap();
    }
    home.must(&["status"]);
}

#[test]
fn without_a_home_there_is_no_state() {
    let home = Home::new();
    let output = home.command(&["up"]).env_remove("HOME").output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    assert!(String::from_utf8_lossy(&output.stderr).contains("set HOME or XDG_STATE_HOME"));
}

#[test]
fn what_needs_no_state_needs_no_home() {
    let home = Home::new();
    for command in ["man", "completions bash", "render --env staging"] {
        let args: Vec<&str> = command.split(' ').collect();
        let ran = home.finish(&args, home.command(&args).env_remove("HOME").spawn().unwrap());
        assert_eq!(ran.code, Some(0), "{ran}");
    }
    let doctor = home.command(&["doctor"]).env_remove("HOME").spawn().unwrap();
    let ran = home.finish(&["doctor"], doctor);
    assert_eq!(ran.code, Some(7), "{ran}");
    let lacks = "lacks  state folder: there is no folder to keep state in";
    assert!(ran.stdout.contains(lacks) && ran.stdout.contains("kubernetes: can"), "{ran}");
}

#[test]
fn a_taken_port_names_its_holder() {
    let home = Home::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let ran = home.run(&["up", "--port", &port]);
    let holder = format!("process {}", std::process::id());
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(
        ran.stderr.contains(&format!("port {port} is taken by")) && ran.stderr.contains(&holder),
        "{ran}"
    );
    assert!(!home.environment().join("environment.json").exists());
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let home = Home::new();
    for command in [["completions", "zsh"], ["man", "-q"], ["doctor", "--json"]] {
        let mut child = home.start(&command);
        drop(child.stdout.take());
        let ran = home.finish(&command, child);
        assert!(!ran.stderr.contains("panicked") && ran.stderr.is_empty(), "{ran}");
        assert_eq!(ran.code, Some(0), "{ran}");
    }
}
