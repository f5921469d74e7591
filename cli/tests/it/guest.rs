//! A client with a plain socket: for requests that chefcito's own client never sends, and answers that it hides.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
};

use serde_json::Value;

use crate::chefcito::{Home, PATIENCE};

/// A client of an environment.
#[derive(Clone)]
pub(crate) struct Guest {
    pub(crate) address: SocketAddr,
    pub(crate) key: String,
}

/// An answer of the environment.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Guest {
    /// A client with the local admin key for the environment of a home, which may be down.
    pub(crate) fn of(home: &Home, port: u16) -> Self {
        let key = fs::read_to_string(home.environment().join("admin.key")).unwrap();
        Self { address: SocketAddr::from(([127, 0, 0, 1], port)), key: key.trim().into() }
    }

    pub(crate) fn connect(&self) -> io::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(BufReader::new(stream))
    }

    /// The text of a request, with the key.
    pub(crate) fn text(&self, method: &str, path: &str, headers: &str, body: &str) -> String {
        format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n{headers}\r\n{body}",
            self.address,
            self.key,
            body.len()
        )
    }

    /// Sends a request over a connection of its own.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> io::Result<Answer> {
        self.ask_with(method, path, "", body)
    }

    pub(crate) fn ask_with(
        &self,
        method: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> io::Result<Answer> {
        self.send(&self.text(method, path, headers, body))
    }

    /// Sends these very bytes over a connection of its own, and reads one answer.
    pub(crate) fn send(&self, text: &str) -> io::Result<Answer> {
        let mut connection = self.connect()?;
        // The environment may have answered and closed the connection before reading everything.
        let _cut_short = connection.get_mut().write_all(text.as_bytes());
        read_answer(&mut connection)
    }
}

/// Reads one answer, and leaves what comes after it.
pub(crate) fn read_answer(connection: &mut BufReader<TcpStream>) -> io::Result<Answer> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if connection.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    connection.read_exact(&mut body)?;
    Ok(Answer {
        status: status.ok_or(io::ErrorKind::InvalidData)?,
        head,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}
