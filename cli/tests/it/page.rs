//! The page in a real browser, on an embedded environment and on one in containers. The stories themselves are those of
//! `services/gateway/page/tests`; here are the environments for them, and the commands that print the links.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

use serde_json::Value;

use crate::chefcito::{Home, wait_until};

/// The variable with the program of the browser.
const BROWSER: &str = "CHEFCITO_TEST_BROWSER";
/// The variable with the folder of the page's tests and what they need, which `.ci/page` prints.
const PAGE: &str = "CHEFCITO_TEST_PAGE";

/// How many links the stories use up.
const LINKS: usize = 2;

/// Returns the folder of the stories; `None`, with a printed line, without it or without a browser.
fn stories() -> Option<PathBuf> {
    for (variable, what) in
        [(BROWSER, "Chromium"), (PAGE, "Node and the packages of the page's tests")]
    {
        if std::env::var_os(variable).is_none() {
            test_support::lacking(&format!("{what}: {variable}"));
            return None;
        }
    }
    std::env::var_os(PAGE).map(PathBuf::from)
}

/// Which stories are run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stories {
    All,
    /// Those of what is done on the page: how it looks does not depend on where its services run.
    Actions,
}

/// A browser needs a core of its own to be in time.
static BROWSER_RUNS: Mutex<()> = Mutex::new(());

/// Runs the stories in the browser.
fn try_the_page(
    which: Stories,
    stories: &PathBuf,
    home: &Home,
    name: &[&str],
    kill_kitchen: Option<&str>,
) {
    let _alone = BROWSER_RUNS.lock().unwrap_or_else(PoisonError::into_inner);
    let link = || home.must(&[&["board", "--web"][..], name].concat()).stdout.trim_end().to_owned();
    let links: Vec<String> = (0..LINKS).map(|_| link()).collect();
    let url = links[0].split("/board#").next().unwrap().to_owned();
    let snapshot = home.path().join("snapshot.html");
    let taken = snapshot.display().to_string();
    // Some orders are at their end in it, and some on their way.
    home.must(&[&["order", "--count", "3"][..], name].concat());
    home.must(&[&["order", "--count", "30", "--no-wait"][..], name].concat());
    home.must(&[&["board", "--snapshot", &taken][..], name].concat());
    home.must(&[&["audit"][..], name].concat());
    let mut command = Command::new("node");
    if let Some(line) = kill_kitchen {
        command.env("CHEFCITO_PAGE_KILL", line);
    }
    if which == Stories::Actions {
        command.env("CHEFCITO_PAGE_ACTIONS", "1");
    }
    let tried = command
        .args(["--test", "tests/page.test.mjs"])
        .current_dir(stories)
        .env("CHEFCITO_PAGE_URL", url)
        .env("CHEFCITO_PAGE_LINKS", links.join(" "))
        .env("CHEFCITO_PAGE_SNAPSHOT", snapshot)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&tried.stdout);
    assert!(tried.status.success(), "{said}\n{}", String::from_utf8_lossy(&tried.stderr));
}

#[test]
fn the_page_of_an_embedded_environment_works_in_a_browser() {
    let Some(stories) = stories() else { return };
    let home = Home::new();
    home.must(&["up", "--port", "0", "--cooking-time", "2s"]);
    try_the_page(Stories::All, &stories, &home, &[], None);
    home.must(&["audit"]);
}

#[test]
fn the_page_of_an_environment_in_containers_works_in_a_browser() {
    let (Some(stories), Some(home)) = (stories(), Home::with_engine()) else { return };
    let project = format!("page-{}", std::process::id());
    let name = ["--name", project.as_str()];
    let up = ["up", "--runtime", "compose", "--port", "0", "--cooking-time", "2s"];
    home.must(&[&up[..], &["--timeout", "180s"], &name].concat());
    // From outside, as the system does when memory is short: a container that the engine was told to kill is not restarted.
    let kill_kitchen = format!(
        "kill -KILL $(docker inspect --format '{{{{.State.Pid}}}}' $(docker ps --quiet \
         --filter label=com.docker.compose.project={project} --filter label=com.docker.compose.service=kitchen))"
    );
    try_the_page(Stories::Actions, &stories, &home, &name, Some(&kill_kitchen));
    home.must(&[&["audit"][..], &name].concat());
}

#[test]
fn a_link_is_printed_for_the_role_that_is_asked_for_and_its_session_is_listed_and_revoked() {
    let home = Home::new();
    home.must(&["up", "--port", "0"]);
    let printed = home.must(&["board", "--web", "--role", "viewer"]).stdout;
    let (url, token) = printed.trim_end().split_once("/board#sign-in=").unwrap();
    assert!(url.starts_with("http://127.0.0.1:"), "{printed}");
    let signed_in = Command::new("curl")
        .args(["--silent", "--fail-with-body", "--include", "--request", "POST"])
        .args(["--header", &format!("origin: {url}"), "--json"])
        .args([format!("{{\"token\": \"{token}\"}}"), format!("{url}/v1/session")])
        .output()
        .unwrap();
    let answer = String::from_utf8_lossy(&signed_in.stdout);
    assert!(signed_in.status.success(), "{answer}");
    assert!(answer.contains("\"role\":\"viewer\""), "{answer}");

    let keys: Value = serde_json::from_str(&home.must(&["keys", "list", "--json"]).stdout).unwrap();
    let session = keys["keys"].as_array().unwrap().iter().find(|key| key["session_of"] == "local");
    let id = session.unwrap()["id"].as_str().unwrap();
    assert!(home.must(&["keys", "list"]).stdout.contains(id));
    home.must(&["keys", "revoke", id]);

    for (args, code) in [
        (&["board", "--role", "viewer"][..], 2),
        (&["board", "--web", "--json"], 2),
        (&["board", "--web", "--name", "nowhere"], 3),
    ] {
        let ran = home.run(args);
        assert_eq!(ran.code, Some(code), "{ran}");
    }
}

#[test]
fn a_snapshot_is_one_file_with_all_that_the_page_shows_and_no_key() {
    let home = Home::new();
    home.must(&["up", "--port", "0", "--cooking-time", "0s"]);
    home.must(&["order", "--count", "3"]);
    // Once it is quiet, the board knows of all three.
    home.must(&["audit"]);
    let file = home.path().join("friday.html");
    let name = file.to_str().unwrap();
    std::fs::write(&file, "of before").unwrap();
    let taken = home.must(&["board", "--snapshot", name]);
    assert_eq!(
        (taken.stdout.as_str(), taken.stderr.contains("friday.html")),
        ("", true),
        "{taken}"
    );
    let page = std::fs::read_to_string(&file).unwrap();
    assert!(!page.contains("of before") && !page.contains("cfk_"), "{name}");
    let (_, json) = page.split_once("id=\"snapshot\">").unwrap();
    let snapshot: Value = serde_json::from_str(json.split_once("</script>").unwrap().0).unwrap();
    let answers = snapshot["answers"].as_object().unwrap();
    assert_eq!(answers["/v1/audit?live=true"]["passed"], true, "{answers:?}");
    assert_eq!(answers.keys().filter(|path| path.ends_with("/story")).count(), 3, "{answers:?}");

    let in_no_folder = home.path().join("nowhere/friday.html").display().to_string();
    let a_folder = home.path().display().to_string();
    for (args, code) in [
        (&["board", "--snapshot", in_no_folder.as_str()][..], 1),
        (&["board", "--snapshot", &a_folder], 1),
        (&["board", "--snapshot", name, "--json"], 2),
        (&["board", "--snapshot", name, "--web"], 2),
        (&["board", "--snapshot", name, "--name", "nowhere"], 3),
    ] {
        let ran = home.run(args);
        assert_eq!(ran.code, Some(code), "{ran}");
    }
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        page,
        "a failure leaves the file as it was"
    );
}

#[test]
fn a_browser_is_opened_with_a_link_and_its_absence_is_reported() {
    let home = Home::new();
    home.must(&["up", "--port", "0"]);
    let opened = home.path().join("opened");
    let script = format!("echo \"$1\" >'{0}.part' && mv '{0}.part' '{0}'", opened.display());
    home.put_program("xdg-open", &script);
    let printed = home.must(&["board", "--open"]).stdout;
    wait_until("the browser", || opened.exists());
    assert_eq!(std::fs::read_to_string(&opened).unwrap(), printed);

    let mut command = home.command(&["board", "--open"]);
    command.env("PATH", home.path().join("nothing"));
    let ran = home.finish(&["board", "--open"], command.spawn().unwrap());
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(ran.stdout.contains("/board#sign-in="), "{ran}");
    assert!(ran.stderr.contains("can't open a browser"), "{ran}");
    assert!(ran.stderr.contains("open the printed link yourself"), "{ran}");
}

#[test]
fn up_prints_a_link_to_a_user_at_a_terminal_and_to_nobody_else() {
    let home = Home::new();
    let ran = home.must(&["up", "--port", "0"]);
    assert!(!format!("{ran}").contains("sign-in"), "{ran}");
    let line = format!("{} up", env!("CARGO_BIN_EXE_chefcito"));
    let Some(child) = home.on_terminal(&line, "xterm") else { return };
    let shown = child.wait_with_output().unwrap();
    let shown = String::from_utf8_lossy(&shown.stdout);
    assert!(shown.contains("Board: http://127.0.0.1:"), "{shown}");
    assert!(shown.contains("/board#sign-in="), "{shown}");
}
