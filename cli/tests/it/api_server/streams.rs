//! Runs a program in a container, and passes bytes to its ports, over a websocket: what a kubelet does after the
//! handshake.

use std::{net::SocketAddr, process::Stdio, time::Duration};

use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
    sync::mpsc,
    time::timeout,
};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

/// A connection whose messages begin with the number of a channel.
pub(super) type Channels = WebSocketStream<TokioIo<Upgraded>>;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
/// The channel that closes others.
const CLOSE: u8 = 255;

/// The attached streams of a program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attached {
    pub(super) input: bool,
    pub(super) output: bool,
    pub(super) error: bool,
}

/// Runs a program of this machine as if it were in the container; a status reports its end.
pub(super) async fn run(channels: Channels, command: Vec<String>, attached: Attached) {
    let piped = |is: bool| if is { Stdio::piped() } else { Stdio::null() };
    let started = Command::new(&command[0])
        .args(&command[1..])
        .stdin(piped(attached.input))
        .stdout(piped(attached.output))
        .stderr(piped(attached.error))
        .kill_on_drop(true)
        .spawn();
    let (mut sink, mut stream) = channels.split();
    let mut program = match started {
        Ok(program) => program,
        Err(_) => {
            let _gone = sink.send(framed(STATUS, not_started(&command[0]).as_bytes())).await;
            close(sink, stream).await;
            return;
        }
    };
    let (frames, mut said) = mpsc::channel(16);
    if let Some(stdout) = program.stdout.take() {
        tokio::spawn(pass(STDOUT, stdout, frames.clone()));
    }
    if let Some(stderr) = program.stderr.take() {
        tokio::spawn(pass(STDERR, stderr, frames.clone()));
    }
    drop(frames);
    let mut stdin = program.stdin.take();
    let hear = async {
        while let Some(Ok(message)) = stream.next().await {
            let Message::Binary(frame) = message else { continue };
            match (&frame[..], &mut stdin) {
                ([CLOSE, STDIN], _) => stdin = None,
                ([STDIN, bytes @ ..], Some(stdin)) => {
                    // The program may not read its input.
                    let _ignored = stdin.write_all(bytes).await;
                }
                _ => {}
            }
        }
    };
    let tell = async {
        while let Some(frame) = said.recv().await {
            if sink.send(frame).await.is_err() {
                return;
            }
        }
        let Ok(ended) = program.wait().await else { return };
        let status = ended_with(ended.code().unwrap_or(137), &command);
        let _gone = sink.send(framed(STATUS, status.to_string().as_bytes())).await;
    };
    // A client that is gone does not wait for the end.
    tokio::select! { () = tell => {}, () = hear => return }
    close(sink, stream).await;
}

/// Closes a connection once the client has what was sent: to drop it with unread messages of the client would reset it, and what
/// is on the way would be lost.
async fn close(mut sink: SplitSink<Channels, Message>, mut stream: SplitStream<Channels>) {
    const WAIT_MAX: Duration = Duration::from_secs(10);
    let _gone = sink.close().await;
    let _silent = timeout(WAIT_MAX, async { while let Some(Ok(_)) = stream.next().await {} }).await;
}

fn framed(channel: u8, bytes: &[u8]) -> Message {
    Message::Binary([&[channel], bytes].concat().into())
}

async fn pass(channel: u8, mut from: impl AsyncRead + Unpin, to: mpsc::Sender<Message>) {
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if to.send(framed(channel, &bytes[..count])).await.is_err() {
            return;
        }
    }
}

fn ended_with(code: i32, command: &[String]) -> Value {
    if code == 0 {
        return json!({"metadata": {}, "status": "Success"});
    }
    let message = format!(
        "command terminated with non-zero exit code: error executing command {command:?}, exit code {code}"
    );
    json!({
        "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode", "message": message,
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    })
}

/// In containerd's words.
fn not_started(program: &str) -> String {
    let message = format!(
        "error executing command in container: failed to exec in container: failed to start exec: OCI runtime exec failed: exec failed: unable to start container process: exec: \"{program}\": stat {program}: no such file or directory: unknown"
    );
    json!({"metadata": {}, "status": "Failure", "reason": "InternalError", "code": 500, "message": message}).to_string()
}

/// Passes bytes to a port of the pod, which is really another address, until one side closes.
pub(super) async fn forward(mut channels: Channels, pod: &str, port: u16, to: Option<SocketAddr>) {
    const DATA: u8 = 0;
    const ERROR: u8 = 1;
    for channel in [DATA, ERROR] {
        let _gone = channels.send(framed(channel, &port.to_le_bytes())).await;
    }
    let connected = match to {
        Some(to) => TcpStream::connect(to).await.ok(),
        None => None,
    };
    let Some(mut connection) = connected else {
        let why = format!(
            "error forwarding port {port} to pod {pod}, uid : failed to execute portforward in network namespace: failed to connect to localhost:{port} inside namespace: connect: connection refused"
        );
        let _gone = channels.send(framed(ERROR, why.as_bytes())).await;
        let (sink, stream) = channels.split();
        close(sink, stream).await;
        return;
    };
    let (mut from, mut to) = connection.split();
    let (mut sink, mut stream) = channels.split();
    let there = async {
        while let Some(Ok(message)) = stream.next().await {
            if let Message::Binary(frame) = message
                && let [DATA, bytes @ ..] = &frame[..]
                && to.write_all(bytes).await.is_err()
            {
                return;
            }
        }
    };
    let back = async {
        let mut bytes = [0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut bytes).await {
            if sink.send(framed(DATA, &bytes[..count])).await.is_err() {
                return;
            }
        }
    };
    tokio::select! { () = there => return, () = back => {} }
    close(sink, stream).await;
}
