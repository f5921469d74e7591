//! The files that the services read.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use contracts::services::{ALL, BOOTSTRAP, GATEWAY, Program, TABLE};
use test_support::lacking;

use crate::command::{bootstrap, run_as, secrets, stderr};

/// A folder that other users may enter, as a volume is. Nothing if this machine can't play a container.
fn volume() -> Option<tempfile::TempDir> {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let root = fs::metadata(&folder).unwrap().uid() == 0;
    let able = root
        && secrets(&folder.path().join("trial")).output().is_ok_and(|trial| trial.status.success());
    if !able {
        lacking("root and setpriv, to give files away");
        return None;
    }
    fs::remove_dir_all(folder.path().join("trial")).unwrap();
    Some(folder)
}

fn make(folder: &Path) -> String {
    let output = secrets(folder).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    stderr(&output)
}

/// Returns every file below a folder with its owner, mode and text.
fn all_files(folder: &Path) -> BTreeMap<PathBuf, (u32, u32, String)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let about = fs::metadata(&path).unwrap();
        if about.is_dir() {
            found.extend(all_files(&path));
        } else {
            let text = fs::read_to_string(&path).unwrap();
            found.insert(path, (about.uid(), about.mode() & 0o7777, text));
        }
    }
    found
}

#[test]
fn each_service_can_read_its_own_secrets_and_no_other() {
    let Some(folder) = volume() else { return };
    make(folder.path());
    for Program { name: reader, uid, .. } in TABLE {
        for service in ALL {
            let redis = Program::named(service).unwrap().uses_bus().then_some("redis.url");
            for name in ["database.url", "service.token"].into_iter().chain(redis) {
                let read = run_as(uid, "cat", &folder.path().join(service).join(name));
                assert_eq!(
                    read.status.success(),
                    reader == service,
                    "{reader} reads {service}/{name}"
                );
            }
        }
        for of_others in ["seed", "made", "postgres/password", "postgres/pgpass", "redis/users.acl"]
        {
            assert!(!run_as(uid, "cat", &folder.path().join(of_others)).status.success());
        }
        let listed = run_as(uid, "ls", &folder.path().join("postgres"));
        assert!(!listed.status.success(), "{reader} sees what there is of others");
    }
    let uid = |name| Program::named(name).unwrap().uid;
    let read = run_as(uid(BOOTSTRAP), "cat", &folder.path().join("bootstrap/admin-database.url"));
    let url = String::from_utf8(read.stdout).unwrap();
    assert!(url.starts_with("postgres://postgres:") && url.ends_with("@postgres:5432/postgres\n"));
    let key = run_as(uid(GATEWAY), "cat", &folder.path().join("gateway/admin.key"));
    assert!(String::from_utf8(key.stdout).unwrap().starts_with("cfk_local_"));
}

#[test]
fn again_nothing_is_made_and_what_was_lost_comes_back_as_it_was() {
    let Some(folder) = volume() else { return };
    assert_eq!(make(folder.path()), format!("Made 25 secrets in {}\n", folder.path().display()));
    let before = all_files(folder.path());
    assert_eq!(make(folder.path()), "All secrets are there\n");
    assert_eq!(all_files(folder.path()), before);

    fs::remove_file(folder.path().join("orders/database.url")).unwrap();
    fs::remove_dir_all(folder.path().join(GATEWAY)).unwrap();
    fs::write(folder.path().join("board/service.token"), "cut off").unwrap();
    let kitchen = folder.path().join("kitchen/service.token");
    fs::set_permissions(kitchen, fs::Permissions::from_mode(0o444)).unwrap();
    assert!(make(folder.path()).starts_with("Made 7 secrets"));
    assert_eq!(all_files(folder.path()), before);

    fs::remove_file(folder.path().join("made")).unwrap();
    make(folder.path());
    assert_eq!(all_files(folder.path()), before);
}

#[test]
fn only_a_service_that_reads_or_writes_events_has_the_password_of_redis() {
    let Some(folder) = volume() else { return };
    make(folder.path());
    let has = |service: &&str| folder.path().join(service).join("redis.url").exists();
    let readers_and_writers =
        || ALL.into_iter().filter(|name| Program::named(name).unwrap().uses_bus());
    assert!(ALL.into_iter().filter(has).eq(readers_and_writers()));

    // An earlier version gave it to every service: what is left of that goes.
    fs::write(folder.path().join(GATEWAY).join("redis.url"), "redis://default:old@redis").unwrap();
    make(folder.path());
    assert!(ALL.into_iter().filter(has).eq(readers_and_writers()));
}

#[test]
fn another_address_is_written_into_the_urls_and_nothing_else_changes() {
    let Some(folder) = volume() else { return };
    make(folder.path());
    let before = all_files(folder.path());
    let output =
        secrets(folder.path()).env("CHEFCITO_POSTGRES_ADDRESS", "database:6543").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    for (path, file) in all_files(folder.path()) {
        let others = !path.ends_with("database.url") && !path.ends_with("admin-database.url");
        assert_eq!(before[&path] == file, others && !path.ends_with("made"), "{path:?}");
        assert_eq!(file.2.contains("@database:6543/"), !others, "{path:?}");
    }
    let bad = secrets(folder.path()).env("CHEFCITO_POSTGRES_ADDRESS", "a@b/").output().unwrap();
    assert_eq!(bad.status.code(), Some(1));
    assert!(stderr(&bad).contains("CHEFCITO_POSTGRES_ADDRESS should be a host and a port"));
}

#[test]
fn where_tls_is_asked_for_every_url_of_postgresql_says_so() {
    let env =
        |mode: &str| bootstrap(&["env"]).env("CHEFCITO_POSTGRES_SSLMODE", mode).output().unwrap();
    for (mode, ending) in
        [("require", "?sslmode=require"), ("disable", "?sslmode=disable"), ("", "")]
    {
        let said = String::from_utf8(env(mode).stdout).unwrap();
        let urls: Vec<&str> = said.lines().filter(|line| line.contains("postgres://")).collect();
        assert_eq!(urls.len(), 8, "{said}");
        for url in urls {
            let database = if url.starts_with("admin") { "postgres" } else { "chefcito" };
            assert!(url.ends_with(&format!("@postgres:5432/{database}{ending}")), "{url}");
        }
    }
    let bad = env("verify-full");
    assert_eq!(bad.status.code(), Some(1));
    assert!(stderr(&bad).contains("should be require, or disable, but it is `verify-full`"));
}

#[test]
fn two_at_once_and_one_that_is_killed_at_any_moment_leave_the_same() {
    let Some(folder) = volume() else { return };
    let at_once: Vec<_> =
        (0..4).map(|_| secrets(folder.path()).stderr(Stdio::piped()).spawn().unwrap()).collect();
    for child in at_once {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let whole = all_files(folder.path());
    let seed = fs::read_to_string(folder.path().join("seed")).unwrap();

    // Each time with the same seed and nothing else, killed a little later, until one comes to its end.
    let Some(other) = volume() else { return };
    for delay_us in (0..).step_by(700) {
        for entry in fs::read_dir(other.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && delay_us % 1_400 == 0 {
                fs::remove_dir_all(path).unwrap();
            }
        }
        let _ = fs::remove_file(other.path().join("made"));
        fs::write(other.path().join("seed"), &seed).unwrap();
        fs::set_permissions(other.path().join("seed"), fs::Permissions::from_mode(0o400)).unwrap();
        let mut child = secrets(other.path()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(delay_us));
        let ended = child.try_wait().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        for (path, (_, mode, text)) in all_files(other.path()) {
            let place = path.strip_prefix(other.path()).unwrap();
            if place.ends_with("incomplete") || place.ends_with("lock") {
                continue;
            }
            assert_eq!(mode, 0o400, "{place:?}");
            assert_eq!(text, whole[&folder.path().join(place)].2, "{place:?}");
        }
        if ended.is_some() {
            break;
        }
    }
    make(other.path());
    let bare = |files: BTreeMap<PathBuf, (u32, u32, String)>, root: &Path| -> BTreeMap<_, _> {
        files
            .into_iter()
            .map(|(path, file)| (path.strip_prefix(root).unwrap().to_owned(), file))
            .collect()
    };
    assert_eq!(bare(all_files(other.path()), other.path()), bare(whole, folder.path()));
}

#[test]
fn a_seed_that_is_gone_or_damaged_is_said_and_nothing_is_made_anew() {
    let Some(folder) = volume() else { return };
    make(folder.path());
    let before = all_files(folder.path());
    let seed = folder.path().join("seed");
    let kept = fs::read_to_string(&seed).unwrap();
    fs::write(&seed, "").unwrap();
    let output = secrets(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("is damaged: put it back"), "{}", stderr(&output));
    fs::remove_file(&seed).unwrap();
    let output = secrets(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("is gone, but secrets were made from it"));
    fs::write(&seed, kept).unwrap();
    fs::set_permissions(&seed, fs::Permissions::from_mode(0o400)).unwrap();
    assert_eq!(make(folder.path()), "All secrets are there\n");
    assert_eq!(all_files(folder.path()), before);
}

#[test]
fn who_may_not_give_files_away_is_told_what_it_takes() {
    let Some(folder) = volume() else { return };
    let output = std::process::Command::new("setpriv")
        .args(["--bounding-set", "-all", "--inh-caps", "-all", "--"])
        .arg(env!("CARGO_BIN_EXE_bootstrap"))
        .args(["secrets".as_ref(), folder.path().as_os_str()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("this takes root, or the capability CHOWN"),
        "{}",
        stderr(&output)
    );
}
