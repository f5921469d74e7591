//! An engine that plays what a real one will not show: too old, no engine at all, names that are taken, a death in the middle.

use std::{
    fs,
    io::{Read, Write},
    os::unix::{
        fs::{PermissionsExt, chown},
        net::{UnixListener, UnixStream},
    },
    path::PathBuf,
    process::Command,
    sync::{Arc, Mutex},
    thread,
};

use tempfile::TempDir;

use crate::chefcito::{Home, Ran};

/// What it says to one request.
enum Says {
    /// An answer.
    Json(u16, String),
    /// Nothing any more: it hangs up.
    HangsUp,
    /// Nothing yet: the connection stays open for a while.
    IsSilent,
}

fn json(status: u16, body: &str) -> Says {
    Says::Json(status, body.into())
}

type Script = dyn Fn(&str) -> Option<Says> + Send + Sync;

/// An engine on a socket of its own.
struct FakeDocker {
    folder: TempDir,
    asked: Arc<Mutex<Vec<String>>>,
}

impl FakeDocker {
    /// Starts one that says what the script says, and what an empty engine says otherwise. It is asked `METHOD /path?query`.
    fn start(script: impl Fn(&str) -> Option<Says> + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("docker.sock")).unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (noted, script): (_, Arc<Script>) = (Arc::clone(&asked), Arc::new(script));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (noted, script) = (Arc::clone(&noted), Arc::clone(&script));
                thread::spawn(move || serve(stream, &noted, &*script));
            }
        });
        Self { folder, asked }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("docker.sock")
    }

    /// Runs a command of a home against it.
    fn run(&self, home: &Home, args: &[&str]) -> Ran {
        let mut command = home.command(args);
        command.env("DOCKER_HOST", format!("unix://{}", self.socket().display()));
        // Images that nobody builds: what is tried here is not the building.
        command.env("CHEFCITO_TAG", "elsewhere");
        let mut ran = home.finish(args, command.spawn().unwrap());
        let folder = self.folder.path().to_str().unwrap();
        ran.stderr = ran.stderr.replace(folder, "ENGINE");
        ran
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(mut stream: UnixStream, noted: &Mutex<Vec<String>>, script: &Script) {
    let mut request = Vec::new();
    let mut bytes = [0; 4096];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut bytes) {
            Ok(count @ 1..) => request.extend_from_slice(&bytes[..count]),
            _ => return,
        }
    }
    let text = String::from_utf8_lossy(&request).into_owned();
    let line = text.lines().next().unwrap_or_default();
    let line = line.trim_end_matches(" HTTP/1.1").to_owned();
    noted.lock().unwrap().push(line.clone());
    match script(&line).unwrap_or_else(|| of_an_empty_engine(&line)) {
        Says::Json(status, body) => {
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            // Whoever asked may be gone.
            let _gone =
                stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
            let _gone = stream.shutdown(std::net::Shutdown::Write);
            let _rest = stream.read_to_end(&mut Vec::new());
        }
        Says::HangsUp => {}
        Says::IsSilent => {
            let _until_it_leaves = stream.read_to_end(&mut Vec::new());
        }
    }
}

fn of_an_empty_engine(line: &str) -> Says {
    let (method, path) = line.split_once(' ').unwrap();
    let path = path.split('?').next().unwrap();
    match (method, path) {
        ("GET", "/version") => json(200, r#"{"Version":"20.10.0","ApiVersion":"1.41"}"#),
        ("GET", "/events") => Says::IsSilent,
        ("GET", "/volumes") => json(200, r#"{"Volumes":[]}"#),
        ("GET", "/images/json") => json(200, &images()),
        ("GET", _) => json(200, "[]"),
        ("POST", "/networks/create") => json(201, r#"{"Id":"n","Warning":""}"#),
        ("POST", "/volumes/create") => json(
            201,
            r#"{"Name":"v","Driver":"local","Mountpoint":"/","Labels":{},"Scope":"local","Options":{}}"#,
        ),
        ("POST", "/containers/create") => json(201, r#"{"Id":"c","Warnings":[]}"#),
        _ => json(204, ""),
    }
}

/// All images of the house, so that none has to be made.
fn images() -> String {
    let ours =
        ["bootstrap", "gateway", "orders", "kitchen", "inventory", "market", "plaza", "board"];
    let ours = ours.map(|service| format!("chefcito-{service}:elsewhere"));
    let names = ours.into_iter().chain(["postgres:17.6".into(), "redis:7.4.5".into()]);
    let images: Vec<String> = names
        .map(|name| {
            format!(
                r#"{{"Id":"{name}","ParentId":"","RepoTags":["{name}"],"RepoDigests":[],"Created":0,"Size":1,"SharedSize":0,"Labels":{{}},"Containers":0}}"#
            )
        })
        .collect();
    format!("[{}]", images.join(","))
}

const UP: [&str; 4] = ["up", "--runtime", "compose", "--port=0"];

#[test]
fn an_engine_that_is_too_old_is_told() {
    let home = Home::new();
    let old = FakeDocker::start(|line| {
        line.contains("/version").then(|| json(200, r#"{"Version":"19.3","ApiVersion":"1.40"}"#))
    });
    insta::assert_snapshot!(old.run(&home, &UP), @r"
    $ chefcito up --runtime compose --port=0
    stderr: error: the Docker engine at unix://ENGINE/docker.sock is too old: it speaks API 1.40, and 1.41 is the oldest that will do
    stderr: hint: update it to Docker 20.10 or newer
    exit code 7
    ");
}

#[test]
fn who_is_no_engine_is_told() {
    let home = Home::new();
    let other = FakeDocker::start(|_| Some(json(404, "<html>no such page</html>")));
    insta::assert_snapshot!(other.run(&home, &UP), @r"
    $ chefcito up --runtime compose --port=0
    stderr: error: whoever answers at unix://ENGINE/docker.sock is no Docker engine
    stderr: hint: look at DOCKER_HOST and DOCKER_CONTEXT: `docker version` should show a server
    exit code 7
    ");
    let silent = FakeDocker::start(|_| Some(Says::HangsUp));
    let ran = silent.run(&home, &UP);
    assert_eq!(ran.code, Some(7), "{ran}");
    assert!(!home.state().exists(), "nothing was begun");
}

#[test]
fn a_socket_that_may_not_be_opened_is_told() {
    let home = Home::new();
    let engine = FakeDocker::start(|_| None);
    let nobody = 65534;
    if chown(engine.socket(), Some(nobody), Some(nobody)).is_err() {
        return chassis::testing::lacking("the right to give a socket to somebody else");
    }
    fs::set_permissions(engine.socket(), fs::Permissions::from_mode(0o600)).unwrap();
    // Permissions do not stop root, unless it may not override them.
    let plain = home.command(&UP);
    let output = Command::new("setpriv")
        .args(["--bounding-set", "-dac_override,-dac_read_search", "--"])
        .arg(plain.get_program())
        .args(plain.get_args())
        .env_clear()
        .envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("DOCKER_HOST", format!("unix://{}", engine.socket().display()))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(7), "{said}");
    assert!(said.contains("permission denied on the Docker engine's socket"), "{said}");
    assert!(said.contains("sudo usermod -aG docker"), "{said}");
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
fn a_name_that_somebody_else_has_is_left_to_them() {
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
fn a_volume_of_somebody_else_is_not_taken() {
    let home = Home::new();
    let engine = FakeDocker::start(|line| {
        // With a label, it is asked for ours; by name, for anybody's.
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
fn what_cannot_be_started_is_told_in_the_engines_words() {
    let home = Home::new();
    let engine = FakeDocker::start(|line| {
        line.ends_with("/start")
            .then(|| json(400, r#"{"message":"exec: \"/bootstrap\": no such file or directory"}"#))
    });
    insta::assert_snapshot!(engine.run(&home, &UP), @r#"
    $ chefcito up --runtime compose --port=0
    stderr: Creating 3 networks, 2 volumes, 11 containers
    stderr: error: bootstrap did not start: exec: "/bootstrap": no such file or directory
    stderr: hint: `chefcito logs bootstrap` has more; mend it, then `chefcito up --runtime compose` goes on from here
    exit code 1
    "#);
}

#[test]
fn an_engine_that_dies_in_the_middle_is_told() {
    let home = Home::new();
    let engine =
        FakeDocker::start(|line| line.contains("/containers/create").then_some(Says::HangsUp));
    let ran = engine.run(&home, &UP);
    assert_eq!(ran.code, Some(7), "{ran}");
    assert!(ran.stderr.contains("it went away"), "{ran}");
    assert!(ran.stderr.contains("do the same again"), "{ran}");
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
    // The version, containers, networks, volumes, images; and who has the one port.
    assert!(asked.len() <= 6 && of_ports == 2, "{asked:#?}");
    assert!(!home.state().exists(), "a plan touches nothing");
}

#[test]
fn a_compose_file_that_cannot_be_understood_is_told_with_its_line() {
    let home = Home::new();
    let engine = FakeDocker::start(|_| None);
    let checkout = home.command(&[]).get_current_dir().unwrap().to_owned();
    fs::create_dir_all(checkout.join("manifests")).unwrap();
    fs::create_dir_all(checkout.join("cli")).unwrap();
    fs::write(checkout.join("cli/Cargo.toml"), "").unwrap();
    let file = "services:\n  kitchen:\n    image: chefcito-kitchen:dev\n    privileged: true\n";
    fs::write(checkout.join("manifests/compose.yaml"), file).unwrap();
    insta::assert_snapshot!(engine.run(&home, &UP), @r"
    $ chefcito up --runtime compose --port=0
    stderr: error: HOME/manifests/compose.yaml: line 4: services.kitchen.privileged: chefcito does not support this key
    exit code 1
    ");
}
