//! Settings stay as last time unless a flag, a variable or a file states them.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use serde_json::Value;

use crate::chefcito::{Home, Ran};

fn last(home: &Home) -> Value {
    serde_json::from_slice(&fs::read(home.environment().join("settings.json")).unwrap()).unwrap()
}

#[test]
fn settings_stay_as_last_time_until_they_are_reset() {
    let home = Home::new();
    home.must(&["up", "--port", "0", "--no-seed", "--stoves", "64", "--cooking-time", "0s"]);
    let pid = home.embedded_pid();
    let again = home.must(&["up", "--no-seed"]);
    let line = "Settings as last time: port 0 (any free one), cooking time 0s, stoves 64 \
                (`chefcito up --reset` returns to the defaults)";
    assert!(again.stderr.contains(line) && again.stderr.contains("Already up"), "{again}");
    assert_eq!(home.embedded_pid(), pid, "nothing changed");

    let changed = home.must(&["up", "--no-seed", "--stoves", "2"]);
    assert!(
        changed.stderr.contains("data kept: stoves 64 → 2\n"),
        "one flag, one change: {changed}"
    );

    home.must(&["down"]);
    let plan = home.must(&["up", "--dry-run"]);
    assert!(plan.stderr.contains("cooking time 0s, stoves 2 ("), "also after `down`: {plan}");
    home.must(&["up", "--no-seed"]);
    assert_eq!((&last(&home)["stoves"], &last(&home)["port"]), (&2.into(), &0.into()));

    let one = home.must(&["up", "--reset=stoves", "--dry-run"]);
    assert!(one.stdout.contains("data kept: stoves 2 → 8\n"), "{one}");
    let reset = home.must(&["up", "--no-seed", "--reset", "--port", "0", "--seed", "5"]);
    assert!(
        reset.stderr.contains("data kept: cooking time 0s → unset, stoves 2 → 8, seed 0 → 5\n"),
        "the defaults, and what is stated: {reset}"
    );
    assert!(!reset.stderr.contains("as last time"), "{reset}");

    home.must(&["down", "--volumes"]);
    let plan = home.must(&["up", "--dry-run"]);
    assert!(!plan.stderr.contains("as last time"), "they are forgotten with the data: {plan}");
}

#[test]
fn the_runtime_is_that_of_last_time() {
    let home = Home::new();
    home.must(&["up", "--port", "0", "--no-seed"]);
    home.must(&["down"]);
    let path = home.environment().join("settings.former.json");
    let former = fs::read_to_string(&path).unwrap();
    fs::write(&path, former.replace(r#""runtime": "embedded""#, r#""runtime": "compose""#))
        .unwrap();
    insta::assert_snapshot!(home.run(&["up"]), @r"
    $ chefcito up
    stderr: Settings as last time: runtime compose, port 0 (any free one) (`chefcito up --reset` returns to the defaults)
    stderr: error: no Docker engine answers at unix:///nowhere/docker.sock
    stderr:   because: No such file or directory (os error 2)
    stderr: hint: start Docker (`sudo systemctl start docker`), or name an engine in DOCKER_HOST; `--runtime embedded` needs no engine
    exit code 7
    ");
    let plan = home.must(&["up", "--runtime", "embedded", "--dry-run"]);
    assert!(plan.stdout.contains("start the environment on any free port"), "{plan}");
    let reset = home.must(&["up", "--reset", "--dry-run"]);
    assert!(reset.stdout.contains("start the environment on port 7373"), "{reset}");
}

#[test]
fn what_can_be_reset_is_named() {
    let home = Home::new();
    let ran = home.run(&["up", "--reset=stove"]);
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(ran.stderr.contains("'stoves'") && ran.stderr.contains("cooking-time"), "{ran}");
}

/// Writes the nearest file of settings of a command that runs in the home.
fn write(home: &Home, text: &str) {
    fs::write(home.path().join(".chefcito.toml"), text).unwrap();
}

fn run_with(home: &Home, variables: &[(&str, &str)], args: &[&str]) -> Ran {
    let mut command = home.command(args);
    command.envs(variables.iter().copied());
    home.finish(args, command.spawn().unwrap())
}

fn config(home: &Home, variables: &[(&str, &str)], args: &[&str]) -> Value {
    let args = [&["config", "--json"], args].concat();
    let ran = run_with(home, variables, &args);
    assert_eq!(ran.code, Some(0), "{ran}");
    serde_json::from_str::<Value>(&ran.stdout).unwrap()["settings"].clone()
}

#[test]
fn a_value_is_that_of_the_highest_origin_that_states_it() {
    let home = Home::new();
    home.must(&["up", "--port", "0", "--no-seed", "--stoves", "2"]);
    let stoves = |variables: &[(&str, &str)], args: &[&str]| {
        let stoves = &config(&home, variables, args)["stoves"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        (text(&stoves["value"]), text(&stoves["origin"]["kind"]))
    };
    let is = |value: &str, kind: &str| (value.to_owned(), kind.to_owned());
    assert_eq!(stoves(&[], &[]), is("2", "last time"));
    let of_user = home.path().join(".config/chefcito");
    fs::create_dir_all(&of_user).unwrap();
    fs::write(of_user.join("config.toml"), "stoves = 3\n[profile.few]\nstoves = 5\n").unwrap();
    assert_eq!(stoves(&[], &[]), is("3", "file"));
    write(&home, "seed = 1\nstoves = 4\n[profile.ci]\nstoves = 6\n");
    assert_eq!(stoves(&[], &[]), is("4", "file"), "the nearer file");
    assert_eq!(stoves(&[], &["--profile", "few"]), is("5", "profile"));
    assert_eq!(stoves(&[("CHEFCITO_PROFILE", "ci")], &[]), is("6", "profile"));
    let variable = [("CHEFCITO_STOVES", "7"), ("CHEFCITO_PROFILE", "ci")];
    assert_eq!(stoves(&variable, &[]), is("7", "variable"));
    assert_eq!(stoves(&variable, &["--stoves", "8"]), is("8", "flag"));
    assert_eq!(stoves(&[("CHEFCITO_STOVES", "")], &[]), is("4", "file"), "an empty one is none");
    let entry = &config(&home, &[], &["--profile", "ci"])["stoves"]["origin"];
    assert_eq!((&entry["profile"], &entry["line"]), (&"ci".into(), &4.into()));

    let changed = home.must(&["up", "--no-seed"]);
    assert!(changed.stderr.contains("data kept: stoves 2 → 4, seed 0 → 1\n"), "{changed}");
}

#[test]
fn every_setting_is_printed_with_its_origin() {
    let home = Home::new();
    write(
        &home,
        "durability = \"power\"\nno-seed = true\nup-timeout = \"90s\"\nname = \"lunch\"\n",
    );
    let variables = [
        ("CHEFCITO_DATABASE_URL", "postgres://chef:secret@db/lunch"),
        ("CHEFCITO_CONTEXT", "staging"),
    ];
    insta::assert_snapshot!(run_with(&home, &variables, &["config", "--stoves", "9"]), @r#"
    $ chefcito config --stoves 9
    stdout: setting       value                     from
    stdout: name          lunch                     HOME/.chefcito.toml:4
    stdout: no-seed       true                      HOME/.chefcito.toml:2
    stdout: orders        0                         default
    stdout: up-timeout    1m 30s                    HOME/.chefcito.toml:3
    stdout: foreground    false                     default
    stdout: runtime       embedded                  default
    stdout: port          -                         default
    stdout: durability    power                     HOME/.chefcito.toml:1
    stdout: cooking-time  -                         default
    stdout: stoves        9                         flag
    stdout: seed          0                         default
    stdout: database-url  postgres://chef@db/lunch  variable CHEFCITO_DATABASE_URL
    stdout: market-url    -                         default
    stdout: log           -                         default
    stdout: replicas      -                         default
    stdout: kubeconfig    -                         default
    stdout: node-image    -                         default
    stdout: push          -                         default
    stdout: context       -                         variable CHEFCITO_CONTEXT, not used when embedded
    exit code 0
    "#);
    assert!(!home.state().exists(), "asking touches nothing");
    let up = run_with(&home, &variables[1..], &["up", "--port", "0", "--dry-run"]);
    assert_eq!(up.code, Some(0), "what only another runtime uses is ignored: {up}");
    assert!(!up.stdout.contains("recipes"), "`no-seed` counts: {up}");
    let refused = home.run(&["up", "--context", "staging"]);
    assert_eq!(refused.code, Some(2), "but a flag is refused: {refused}");
}

#[test]
fn a_file_that_is_wrong_says_where_and_what_would_be_valid() {
    let home = Home::new();
    let said = |text: &str| {
        write(&home, text);
        let ran = home.run(&["up", "--dry-run"]);
        assert_eq!(ran.code, Some(2), "{ran}");
        assert!(!home.state().exists(), "nothing was begun");
        ran.stderr
    };
    let texts = [
        "seed = 1\nstove = 8\n",
        "whatever = 8\n",
        "stoves = 0\n",
        "stoves = \"8\"\n",
        "port = 70000\n",
        "no-seed = 1\n",
        "runtime = \"compos\"\n",
        "cooking-time = \"soon\"\n",
        "database-url = \"mysql://me:secret@db\"\n",
        "seed = 1\nseed = 2\n",
        "seed = \n",
        "profile = 1\n",
        "[profile.ci]\nport = [1]\n",
        "[profile]\nci = true\n",
        "deploy-context = \"production\"\n",
        "stove = 8\nseed = \"1\"\n[profile.ci]\nport = [1]\n",
    ];
    let all: Vec<String> = texts.iter().map(|text| format!("{text}{}", said(text))).collect();
    insta::assert_snapshot!(all.join("\n"), @r#"
    seed = 1
    stove = 8
    error: HOME/.chefcito.toml:2: there is no setting `stove`
    hint: did you mean `stoves`?

    whatever = 8
    error: HOME/.chefcito.toml:1: there is no setting `whatever`
    hint: the settings are `audit-timeout`, `context`, `cooking-time`, `database-url`, `deploy-timeout`, `durability`, `foreground`, `kubeconfig`, `log`, `market-url`, `name`, `no-seed`, `node-image`, `order-timeout`, `orders`, `port`, `push`, `runtime`, `seed`, `stoves`, `up-timeout`

    stoves = 0
    error: HOME/.chefcito.toml:1: `stoves` is `0`
    hint: number would be zero for non-zero type

    stoves = "8"
    error: HOME/.chefcito.toml:1: `stoves` is a text
    hint: it should be a whole number without quotes

    port = 70000
    error: HOME/.chefcito.toml:1: `port` is `70000`
    hint: 70000 is not in 0..=65535

    no-seed = 1
    error: HOME/.chefcito.toml:1: `no-seed` is the number 1
    hint: it should be true or false

    runtime = "compos"
    error: HOME/.chefcito.toml:1: `runtime` is `compos`
    hint: did you mean `compose`?

    cooking-time = "soon"
    error: HOME/.chefcito.toml:1: `cooking-time` is `soon`
    hint: it should be a duration such as 0s or 500ms, an hour at the most

    database-url = "mysql://me:secret@db"
    error: HOME/.chefcito.toml:1: `database-url` is not valid
    hint: it should begin with postgres:// or postgresql://

    seed = 1
    seed = 2
    error: HOME/.chefcito.toml:2: duplicate key
    hint: the format is TOML: https://toml.io

    seed = 
    error: HOME/.chefcito.toml:1: string values must be quoted, expected literal string
    hint: the format is TOML: https://toml.io

    profile = 1
    error: HOME/.chefcito.toml:1: `profile` is the number 1
    hint: write settings below `[profile.NAME]`

    [profile.ci]
    port = [1]
    error: HOME/.chefcito.toml:2: `port` is a list
    hint: it should be a whole number without quotes

    [profile]
    ci = true
    error: HOME/.chefcito.toml:2: `profile.ci` is true
    hint: write settings below `[profile.NAME]`

    deploy-context = "production"
    error: HOME/.chefcito.toml:1: there is no setting `deploy-context`
    hint: did you mean `deploy-timeout`?

    stove = 8
    seed = "1"
    [profile.ci]
    port = [1]
    error: HOME/.chefcito.toml: 3 settings are not valid:
        line 1: there is no setting `stove`: did you mean `stoves`?
        line 2: `seed` is a text: it should be a whole number without quotes
        line 4: `port` is a list: it should be a whole number without quotes
    "#);
    write(&home, "[profile.ci]\nseed = 1\n");
    insta::assert_snapshot!(home.run(&["up", "--profile", "cy"]), @r#"
    $ chefcito up --profile cy
    stderr: error: --profile or CHEFCITO_PROFILE: there is no profile `cy`
    stderr: hint: the profiles are `ci`
    exit code 2
    "#);
    for command in ["status", "order", "doctor", "build"] {
        write(&home, "stove = 8\n");
        assert_eq!(home.run(&[command]).code, Some(2), "{command}");
    }
    home.must(&["completions", "bash"]);
    home.must(&["up", "--help"]);
}

#[test]
fn what_is_no_file_of_settings_is_refused_without_waiting() {
    let home = Home::new();
    let path = home.path().join(".chefcito.toml");
    let refused = |reason: &str| {
        let ran = home.run(&["config"]);
        assert_eq!(ran.code, Some(2), "{ran}");
        assert!(
            ran.stderr.contains("HOME/.chefcito.toml: ") && ran.stderr.contains(reason),
            "{ran}"
        );
    };
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    refused("not a regular file");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    refused("directory");
    fs::remove_dir(&path).unwrap();
    fs::write(&path, "# a long comment\n".repeat(100_000)).unwrap();
    refused("more than 1 MiB");
    fs::write(&path, [b'#', 0xff, b'\n']).unwrap();
    refused("not UTF-8");
    fs::write(&path, "seed = 1\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    let mut command = home.without_override(&home.command(&["config"]));
    let ran = home.finish(&["config"], command.spawn().unwrap());
    assert!(ran.code == Some(2) && ran.stderr.contains("can't be read"), "{ran}");
}

#[test]
fn a_file_that_others_may_have_written_or_read_is_named() {
    let home = Home::new();
    let path = home.path().join(".chefcito.toml");
    write(&home, "database-url = \"postgres://me:secret@db/lunch\"\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let ran = home.must(&["config"]);
    assert!(ran.stderr.contains("every user can write to HOME/.chefcito.toml"), "{ran}");
    assert!(ran.stderr.contains("HOME/.chefcito.toml:1: the password in `database-url`"), "{ran}");
    assert!(!format!("{ran}").contains("secret"), "{ran}");
    if std::os::unix::fs::chown(&path, Some(65_534), None).is_err() {
        return test_support::lacking("the right to give files to other users");
    }
    let ran = home.run(&["config"]);
    assert_eq!(ran.code, Some(2), "{ran}");
    assert!(ran.stderr.contains("it belongs to another user (65534)"), "{ran}");
}

#[test]
fn a_timeout_is_of_one_kind_of_command() {
    let home = Home::new();
    let former = [("CHEFCITO_TIMEOUT", "1ms")];
    let up = run_with(&home, &former, &["up", "--port", "0", "--no-seed"]);
    assert_eq!(up.code, Some(0), "{up}");
    let line = "warning: CHEFCITO_TIMEOUT is ignored: for `up` it is CHEFCITO_UP_TIMEOUT";
    assert!(up.stderr.contains(line), "{up}");
    let status = run_with(&home, &former, &["status"]);
    assert!(status.code == Some(0) && !status.stderr.contains("ignored"), "{status}");
    let audit = run_with(&home, &[("CHEFCITO_UP_TIMEOUT", "soon")], &["audit"]);
    assert_eq!(audit.code, Some(0), "{audit}");
    let start = run_with(&home, &[("CHEFCITO_UP_TIMEOUT", "soon")], &["start"]);
    assert_eq!(start.code, Some(2), "{start}");
}
