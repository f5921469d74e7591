//! `--help` of every command, as snapshots.

use crate::chefcito::Home;

#[test]
fn every_command_explains_itself() {
    let home = Home::new();
    insta::assert_snapshot!("chefcito", home.must(&["--help"]).stdout);
    for command in [
        "build",
        "run",
        "up",
        "down",
        "stop",
        "start",
        "restart",
        "scale",
        "exec",
        "seed",
        "order",
        "cancel",
        "market",
        "keys",
        "dead-letters",
        "ls",
        "status",
        "board",
        "logs",
        "story",
        "audit",
        "render",
        "deploy",
        "doctor",
        "config",
        "completions",
        "man",
        "version",
    ] {
        insta::assert_snapshot!(command, home.must(&[command, "--help"]).stdout);
    }
    insta::assert_snapshot!("market-set", home.must(&["market", "set", "--help"]).stdout);
    assert!(!home.state().exists(), "a help touches nothing");
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        // What they complete is tested where the shells are.
        assert!(home.must(&["completions", shell]).stdout.contains("chefcito"), "{shell}");
    }
    assert!(home.must(&["man"]).stdout.contains(".TH chefcito 1"));
    home.must(&["man", "--out-dir", "pages"]);
    let page = home.command(&[]).get_current_dir().unwrap().join("pages/chefcito-up.1");
    assert!(std::fs::read_to_string(page).unwrap().contains("durability"));
}
