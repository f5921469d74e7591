//! A simulated gateway with a live view that tests change, and that can be away.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
};

use contracts::api::{
    live::{CHANGE, Change, SNAPSHOT, View},
    proof::ProofKey,
};
use serde_json::{Value, json};

use crate::chefcito::Home;

/// A gateway, as its clients see it.
pub(super) struct Gateway {
    address: SocketAddr,
    feed: Arc<Feed>,
}

#[derive(Default)]
struct Feed {
    state: Mutex<FeedState>,
    changed: Condvar,
}

#[derive(Default)]
struct FeedState {
    view: View,
    /// All changes since the first view, whose id is `7-0`.
    changes: Vec<Change>,
    story: Value,
    is_up: bool,
    connections: Vec<TcpStream>,
}

impl Gateway {
    /// Starts one, and records it as the environment of the home.
    pub(super) fn start(home: &Home, view: View) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let gateway = Self { address: listener.local_addr().unwrap(), feed: Arc::default() };
        gateway.state().view = view;
        gateway.serve(listener);
        let record = json!({
            "address": gateway.address, "engine": "unix:///nowhere/docker.sock",
            "version": "1.0.0", "started_at": "2026-01-31T12:00:00Z",
        });
        fs::create_dir_all(home.environment()).unwrap();
        fs::set_permissions(home.environment(), fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(home.environment().join("containers.json"), record.to_string()).unwrap();
        fs::write(home.environment().join("admin.key"), "cfk_local_x").unwrap();
        gateway
    }

    pub(super) fn change(&self, change: Change) {
        let mut state = self.state();
        live::apply(&mut state.view, change.clone());
        state.changes.push(change);
        self.feed.changed.notify_all();
    }

    pub(super) fn tell(&self, story: Value) {
        self.state().story = story;
    }

    /// Closes all connections, and listens no longer.
    pub(super) fn kill(&self) {
        let mut state = self.state();
        state.is_up = false;
        for connection in state.connections.drain(..) {
            let _closed = connection.shutdown(std::net::Shutdown::Both);
        }
        drop(state);
        self.feed.changed.notify_all();
        // Ends the wait for the next connection.
        let _refused = TcpStream::connect(self.address);
    }

    /// Listens again where it did.
    pub(super) fn revive(&self) {
        crate::chefcito::wait_until("the port is free", || {
            TcpListener::bind(self.address).map(|listener| self.serve(listener)).is_ok()
        });
    }

    fn serve(&self, listener: TcpListener) {
        self.state().is_up = true;
        let feed = Arc::clone(&self.feed);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut state = feed.lock();
                if !state.is_up {
                    return;
                }
                state.connections.push(stream.try_clone().unwrap());
                drop(state);
                let feed = Arc::clone(&feed);
                thread::spawn(move || feed.answer_all(stream));
            }
        });
    }

    fn state(&self) -> MutexGuard<'_, FeedState> {
        self.feed.lock()
    }
}

impl Feed {
    fn lock(&self) -> MutexGuard<'_, FeedState> {
        self.state.lock().unwrap()
    }

    fn answer_all(&self, stream: TcpStream) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let head = head(&mut stream)?;
            let path = head.split(' ').nth(1).unwrap_or_default();
            let body = match path {
                "/v1/live" => return self.send_events(last_id(&head), stream.get_mut()),
                path if path.starts_with("/proof") => {
                    let nonce = path.split("nonce=").nth(1).unwrap().get(..64).unwrap();
                    serde_json::to_string(&ProofKey::of("x").prove(nonce, None).unwrap())?
                }
                _ => self.lock().story.to_string(),
            };
            let length = body.len();
            write!(stream.get_mut(), "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}")?;
        }
    }

    /// Sends the changes after the view with that id; without one, the view first.
    fn send_events(&self, last_id: Option<usize>, stream: &mut TcpStream) -> io::Result<()> {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n: live\n\n";
        stream.write_all(head.as_bytes())?;
        let mut state = self.lock();
        let mut sent = last_id.unwrap_or(state.changes.len());
        if last_id.is_none() {
            let view = serde_json::to_string(&state.view)?;
            write!(stream, "id: 7-{sent}\nevent: {SNAPSHOT}\ndata: {view}\n\n")?;
        }
        while state.is_up {
            for (at, change) in state.changes.iter().enumerate().skip(sent) {
                let change = serde_json::to_string(change)?;
                write!(stream, "id: 7-{}\nevent: {CHANGE}\ndata: {change}\n\n", at + 1)?;
            }
            sent = state.changes.len();
            state = self.changed.wait(state).unwrap();
        }
        Ok(())
    }
}

fn head(stream: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut head = String::new();
    loop {
        match stream.read_line(&mut head)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            2 => return Ok(head),
            _ => {}
        }
    }
}

fn last_id(head: &str) -> Option<usize> {
    let line = head.lines().find_map(|line| line.strip_prefix("last-event-id: 7-"))?;
    line.parse().ok()
}
