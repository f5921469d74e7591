//! What is kept of an `up` that failed.

use std::{collections::BTreeMap, fs, path::Path};

use crate::chefcito::Home;

/// Returns the files of the one folder in a folder, by name.
fn kept(folder: &Path) -> BTreeMap<String, String> {
    let mut folders = fs::read_dir(folder).unwrap().flatten();
    let (one, none) = (folders.next().unwrap(), folders.next());
    assert!(none.is_none(), "there are several");
    let files = fs::read_dir(one.path()).unwrap().flatten();
    let named = |file: fs::DirEntry| {
        (file.file_name().into_string().unwrap(), fs::read_to_string(file.path()).unwrap())
    };
    files.map(named).collect()
}

#[test]
fn a_failed_up_leaves_its_plan_status_and_logs_and_no_secrets() {
    const PASSWORD: &str = "hush-hush";
    const TOKEN: &str = "much=too=much";
    let home = Home::new();
    home.must(&["up", "--port", "0"]);
    let folder = home.path().join("kept");
    let market = format!("http://buyer:{PASSWORD}@127.0.0.1:1/");
    let args =
        ["up", "--port", "0", "--log", TOKEN, "--market-url", &market, "--diagnostics", "kept"];
    let mut failing = home.command(&args);
    failing.env("DEPLOY_TOKEN", TOKEN);
    let failed = home.finish(&args, failing.spawn().unwrap());
    assert_eq!(failed.code, Some(1), "{failed}");
    assert!(failed.stderr.contains("are in HOME/kept/chefcito-"), "{failed}");
    let files = kept(&folder);
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(names, ["about.json", "error.txt", "logs.txt", "plan.txt", "status.txt"]);
    assert!(files["plan.txt"].contains("stop the environment (process "), "{files:#?}");
    assert!(files["error.txt"].starts_with("error: the environment did not start"), "{files:#?}");
    assert!(files["logs.txt"].contains("Started the environment at http://"), "{files:#?}");
    assert!(files["status.txt"].contains("nothing is running"), "{files:#?}");
    assert!(files["about.json"].contains("http://buyer@127.0.0.1:1"), "{files:#?}");
    let secret = |name: &str| fs::read_to_string(home.environment().join(name)).unwrap();
    let secrets =
        [secret("admin.key"), secret("secrets/key.pepper"), PASSWORD.into(), TOKEN.into()];
    for (name, text) in &files {
        for secret in &secrets {
            assert!(!text.contains(secret.trim()), "{name} has {secret}");
        }
    }

    let database = format!("postgres://chef:{PASSWORD}@127.0.0.1:1/lunch?password={PASSWORD}");
    let args = ["--name", "pg", "up", "--port", "0", "--database-url", &database];
    let failed = home.run(&[&args[..], &["--diagnostics", "pg"]].concat());
    assert_eq!(failed.code, Some(1), "{failed}");
    let files = kept(&home.path().join("pg"));
    assert!(files.values().all(|text| !text.contains(PASSWORD)), "{files:#?}");
    assert!(files["error.txt"].contains("`chefcito logs --name pg` has more"), "{files:#?}");
    assert!(files["about.json"].contains("postgres://chef@127.0.0.1:1/lunch"), "{files:#?}");
}

#[test]
fn a_folder_that_cannot_be_written_is_refused_before_anything_is_done() {
    let home = Home::new();
    fs::write(home.path().join("file"), "").unwrap();
    let refused = home.run(&["up", "--port", "0", "--diagnostics", "file/kept"]);
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("cannot write diagnostics into HOME/file/kept"), "{refused}");
    assert!(refused.stderr.contains("hint: name a folder that can be written"), "{refused}");
    assert!(!home.state().exists(), "nothing was begun");
}

#[test]
fn an_up_that_succeeds_leaves_nothing() {
    let home = Home::new();
    home.must(&["up", "--port", "0", "--no-seed", "--diagnostics", "kept"]);
    assert!(!home.path().join("kept").exists());
}
