//! What shells complete, by running their own completion.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::TcpListener,
    process::Command,
    time::{Duration, Instant},
};

use contracts::services::{KITCHEN, ORDERS};

use crate::chefcito::{Home, kill, wait_until};

const BASH: &str = r#"
source <(chefcito completions bash)
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_TYPE=9
_clap_complete_chefcito chefcito "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}""#;
/// Zsh's own `_describe` shows candidates on a terminal.
const ZSH: &str = r#"
compdef() { }
_describe() { print -rl -- "${(@P)3}" }
source =(chefcito completions zsh)
words=("$@"); CURRENT=$#
_clap_dynamic_completer_chefcito"#;
const FISH: &str =
    r"chefcito completions fish | source; complete --do-complete (string join -- ' ' $argv)";

fn home() -> Home {
    let home = Home::new();
    home.put_program("chefcito", &format!("exec '{}' \"$@\"", env!("CARGO_BIN_EXE_chefcito")));
    home
}

/// Returns what a shell completes the last word to, without descriptions; `None` where there is no such shell.
fn completed(home: &Home, shell: &str, words: &[&str]) -> Option<Vec<String>> {
    let plain = home.command(&[]);
    let (args, script): (&[&str], _) = match shell {
        "bash" => (&["--norc", "-c", BASH, "bash"], BASH),
        "zsh" => (&["-f", "-c", ZSH, "zsh"], ZSH),
        _ => (&["--no-config", "-c", FISH], FISH),
    };
    let ran = Command::new(shell)
        .args(args)
        .arg("chefcito")
        .args(words)
        .env_clear()
        .envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .current_dir(home.path())
        .output();
    let Ok(ran) = ran else {
        test_support::lacking(&format!("the shell {shell}"));
        return None;
    };
    let said = String::from_utf8(ran.stderr).unwrap();
    assert!(said.is_empty(), "{shell}: {script}: {said}");
    let lines = String::from_utf8(ran.stdout).unwrap();
    let separator = if shell == "zsh" { ':' } else { '\t' };
    let values = lines.lines().map(|line| line.split(separator).next().unwrap().to_owned());
    Some(values.filter(|value| !value.is_empty()).collect())
}

#[test]
fn shells_complete_environments_services_dishes_and_orders() {
    let home = home();
    home.must(&["up", "--port", "0", "--cooking-time", "0s"]);
    home.must(&["up", "--port", "0", "--no-seed", "--name", "other"]);
    let order = home.must(&["order", "--dish", "salad"]).stdout;
    let order = order.split_whitespace().next().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let Some(commands) = completed(&home, shell, &["dead"]) else { continue };
        assert_eq!(commands, ["dead-letters"], "{shell}");
        let all = |words: &[&str]| completed(&home, shell, words).unwrap();
        assert_eq!(all(&["down", "--name", ""]), ["chefcito", "other"], "{shell}");
        assert_eq!(all(&["--name", "ot"]), ["other"], "{shell}");
        assert_eq!(all(&["order", "--dish", "sal"]), ["salad"], "{shell}");
        assert_eq!(all(&["story", &order[..4]]), [order], "{shell}");
        assert!(all(&["--name", "other", "story", ""]).iter().all(|word| word.starts_with('-')));
        assert_eq!(all(&["logs", "kit"]), [KITCHEN], "{shell}");
        assert_eq!(all(&["build", "kit"]), [KITCHEN], "{shell}");
        assert_eq!(all(&["restart", "kit"]), [""; 0], "{shell}: it is one process");
    }
    let Some(spaced) = completed(&home, "bash", &["order", "--dish", "rice"]) else { return };
    assert_eq!(spaced, [r"rice\ with\ chicken", r"rice\ with\ meat"]);
}

#[test]
fn services_in_containers_are_completed_without_their_engine() {
    let home = home();
    home.must(&["up", "--port", "0", "--no-seed"]);
    home.must(&["stop"]);
    let settings = home.environment().join("settings.json");
    let text = fs::read_to_string(&settings).unwrap();
    fs::write(&settings, text.replace(r#""embedded""#, r#""compose""#)).unwrap();
    let Some(services) = completed(&home, "bash", &["restart", "po"]) else { return };
    assert_eq!(services, ["postgres"]);
    assert_eq!(completed(&home, "bash", &["scale", "ord"]).unwrap(), [format!("{ORDERS}=")]);
    fs::write(&settings, text).unwrap();
}

#[test]
fn a_user_who_types_completes() {
    let home = home();
    home.must(&["up", "--port", "0", "--no-seed", "--name", "other"]);
    let Some(mut typing) = home.on_terminal("bash --norc --noprofile -i", "dumb") else { return };
    let mut stdout = typing.stdout.take().unwrap();
    let mut said = Vec::new();
    let mut read_until = |text: &str| {
        while !String::from_utf8_lossy(&said).ends_with(text) {
            let mut byte = [0];
            let read = stdout.read(&mut byte).unwrap();
            assert!(read > 0, "no `{text}` in {}", String::from_utf8_lossy(&said));
            said.extend_from_slice(&byte);
        }
    };
    let keyboard = typing.stdin.as_mut().unwrap();
    keyboard.write_all(b"PS1=; source <(chefcito completions bash); echo re''ady\n").unwrap();
    read_until("ready\r\n");
    keyboard.write_all(b"chefcito status --name oth\t").unwrap();
    read_until("chefcito status --name other ");
    typing.kill().unwrap();
    typing.wait().unwrap();
}

#[test]
fn completing_starts_nothing_waits_for_nothing_and_tells_strangers_nothing() {
    let home = home();
    let Some(dishes) = completed(&home, "bash", &["order", "--dish", "sal"]) else { return };
    assert_eq!(dishes, ["salad"], "of the built-in recipes");
    assert_eq!(completed(&home, "bash", &["story", "0"]).unwrap(), [""; 0]);
    assert!(!home.state().exists(), "nothing was started or made");

    home.must(&["up", "--port", "0"]);
    let pid = home.embedded_pid();
    kill("-STOP", pid);
    let since = Instant::now();
    assert_eq!(completed(&home, "bash", &["order", "--dish", "sal"]).unwrap(), ["salad"]);
    let took = since.elapsed();
    kill("-CONT", pid);
    assert!(took < Duration::from_secs(3), "a stopped process was waited for: {took:?}");

    kill("-KILL", pid);
    wait_until("the process has ended", || home.run(&["status"]).code == Some(3));
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    stranger.set_nonblocking(true).unwrap();
    let record = home.environment().join("environment.json");
    let text = fs::read_to_string(&record).unwrap();
    let mut parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
    parsed["address"] = stranger.local_addr().unwrap().to_string().into();
    fs::write(&record, parsed.to_string()).unwrap();
    assert_eq!(completed(&home, "bash", &["order", "--dish", "sal"]).unwrap(), ["salad"]);
    let asked = stranger.accept().map(drop).map_err(|error| error.kind());
    assert_eq!(asked, Err(ErrorKind::WouldBlock), "no request went there");

    fs::write(home.environment().join("settings.json"), "{").unwrap();
    completed(&home, "bash", &["restart", ""]).unwrap();
    fs::remove_file(home.environment().join("settings.json")).unwrap();
}
