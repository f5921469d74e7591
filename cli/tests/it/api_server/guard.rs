//! A shell that starts the three programs of an API server and ends them when its standard input closes: a test process
//! may be killed, and statics are never dropped.

use std::{
    fs, io,
    io::Write,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
};

/// `$1` is the folder of the programs, `$2` the port. The controllers exit if the server does not answer, so they wait
/// for a line on stdin.
const SCRIPT: &str = r#"
run() { setpriv --pdeathsig KILL -- "$@" >"${1##*/}.log" 2>&1 & started="$started $!"; }
run "$1/etcd" --data-dir data --log-level warn \
    --listen-client-urls unix://localhost:1 --advertise-client-urls unix://localhost:1 \
    --listen-peer-urls unix://localhost:2 --initial-advertise-peer-urls unix://localhost:2 \
    --initial-cluster default=unix://localhost:2
run "$1/kube-apiserver" --bind-address 127.0.0.1 --advertise-address 127.0.0.1 --secure-port "$2" --cert-dir certificates \
    --etcd-servers unix://localhost:1 --endpoint-reconciler-type none --service-cluster-ip-range 10.0.0.0/16 \
    --token-auth-file users.csv --authorization-mode RBAC \
    --service-account-issuer https://localhost --service-account-key-file certificates/apiserver.key \
    --service-account-signing-key-file certificates/apiserver.key
read -r go && run "$1/kube-controller-manager" --kubeconfig kubeconfig --leader-elect=false --port 0 --secure-port 0 \
    --kube-api-qps 500 --kube-api-burst 1000 --service-account-private-key-file certificates/apiserver.key \
    --controllers '*,-nodelifecycle,-nodeipam,-attachdetach'
cat
kill -KILL $started
wait
cd / && rm -rf "$3"
"#;

/// The users, by a token that is the name: there is nothing to protect.
const USERS: &str = "owner,owner,owner,system:masters\nguest,guest,guest\n";

/// Starts etcd and the API server in a folder, which is removed at the end.
pub(super) fn start(programs: &Path, folder: &Path, port: u16) -> io::Result<Child> {
    fs::write(folder.join("users.csv"), USERS)?;
    fs::write(folder.join("kubeconfig"), super::kubeconfig(folder, port))?;
    Command::new("sh")
        .args(["-c", SCRIPT, "guard"])
        .args([programs, Path::new(&port.to_string()), folder])
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C is for the tests; the server ends with them.
        .process_group(0)
        .spawn()
}

/// Starts the controllers, once the API server answers.
pub(super) fn go_on(guard: &mut Child) -> io::Result<()> {
    guard.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?.write_all(b"go\n")
}
