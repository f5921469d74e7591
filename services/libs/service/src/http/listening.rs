//! The sockets at which servers listen.

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

/// How many connections the kernel completes before the server accepts them: as many as a server has open at once. Of a larger
/// burst, the kernel drops the last packet of the handshake, takes it for an attack, and resets the connection when the client, for
/// which it is open, sends its request. The kernel's own limit, `net.core.somaxconn`, counts where it is less; it is 4,096, too.
pub const BACKLOG: u32 = 4_096;

/// Listens at an address, with a backlog of [`BACKLOG`].
///
/// # Errors
/// An I/O error if it can't.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // Connections of the process before that are about to end do not keep the port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
