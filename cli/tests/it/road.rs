//! A proxy on loopback whose connections can be cut.

use std::{
    io,
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// Passes connections on, until it is cut.
pub(crate) struct Road {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    is_cut: bool,
    underway: Vec<TcpStream>,
}

impl Road {
    /// Opens one that lives as long as the process.
    pub(crate) fn to(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for guest in listener.incoming().flatten() {
                // A connection that can't be passed on is closed.
                let _led = lead(&guest, address, &shared);
            }
        });
        Self { port, state }
    }

    /// Cuts all connections, and refuses new ones.
    pub(crate) fn cut(&self) {
        let mut state = self.state.lock().unwrap();
        state.is_cut = true;
        for stream in state.underway.drain(..) {
            // The other side may have closed it already.
            let _cut = stream.shutdown(Shutdown::Both);
        }
    }

    /// Accepts connections again.
    pub(crate) fn repair(&self) {
        self.state.lock().unwrap().is_cut = false;
    }
}

fn lead(guest: &TcpStream, address: SocketAddr, state: &Mutex<State>) -> io::Result<()> {
    let mut state = state.lock().unwrap();
    if state.is_cut {
        return guest.shutdown(Shutdown::Both);
    }
    let host = TcpStream::connect(address)?;
    for (from, to) in [(guest, &host), (&host, guest)] {
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        thread::spawn(move || {
            let _copied = io::copy(&mut from, &mut to);
            to.shutdown(Shutdown::Write)
        });
    }
    state.underway.extend([guest.try_clone()?, host]);
    Ok(())
}
