//! Where connections come from: a port, its TCP implementation, and the loop that serves them.
//!
//! The loop never ends by itself: a failing `accept` (no file descriptors left, a client that gave
//! up) is counted and followed by a pause that doubles up to a second.

use super::{Edge, Line, Spawn, Transport};
use async_trait::async_trait;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tracing::warn;

/// Anything that carries a client's bytes.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// The far end of a connection, and the line to it.
#[derive(Debug, Clone, Copy)]
pub struct Remote {
    /// Its address.
    pub address: SocketAddr,
    /// The line.
    pub line: Line,
}

impl From<SocketAddr> for Remote {
    /// A far end over a line of which nothing is known.
    fn from(address: SocketAddr) -> Self {
        Remote { address, line: Line::default() }
    }
}

/// A connection and its far end.
pub type Accepted = (Box<dyn Stream>, Remote);

/// Where connections come from.
#[async_trait]
pub trait Accept: Send {
    /// The next connection and its far end.
    ///
    /// # Errors
    /// What kept this one from coming; later ones may come all the same.
    async fn accept(&mut self) -> io::Result<Accepted>;

    /// By what they come.
    fn transport(&self) -> Transport {
        Transport::Tcp
    }
}

/// Serves every connection that comes, each in a task of its own.
pub async fn accept_players(mut accept: Box<dyn Accept>, edge: Edge, spawn: Arc<dyn Spawn>) {
    accept_from(&mut *accept, &edge, spawn.as_ref()).await;
}

/// The same from a listener that outlives this loop, should it panic.
pub async fn accept_from(accept: &mut dyn Accept, edge: &Edge, spawn: &dyn Spawn) {
    let edge = &edge.clone().over(accept.transport());
    let mut pause = PAUSE_MIN;
    loop {
        match accept.accept().await {
            Ok((stream, remote)) => {
                pause = PAUSE_MIN;
                start(stream, remote, edge, spawn);
            }
            Err(error) => {
                edge.counters().accept_failed();
                warn!(%error, ?pause, "a connection could not be accepted");
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

/// A connection beyond the cap is dropped at once: its client tries another node.
fn start(stream: Box<dyn Stream>, remote: Remote, edge: &Edge, spawn: &dyn Spawn) {
    let Some(admission) = edge.admit() else { return };
    let edge = edge.clone();
    let task = async move {
        edge.serve(stream, remote, admission).await;
    };
    spawn.spawn("player", Box::pin(task));
}

/// TCP as players use it.
#[derive(Debug)]
pub struct TcpAccept {
    listener: TcpListener,
}

impl TcpAccept {
    /// Listens on `address`; port 0 picks a free one.
    ///
    /// # Errors
    /// [`BindError`], which names the address and a way out.
    pub fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let listener = listen(address).map_err(|error| BindError::new(address, error))?;
        Ok(TcpAccept { listener })
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// As the operating system fails.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

#[async_trait]
impl Accept for TcpAccept {
    async fn accept(&mut self) -> io::Result<Accepted> {
        let (stream, address) = self.listener.accept().await?;
        stream.set_nodelay(true)?;
        let remote = Remote { address, line: Line::of(&stream) };
        Ok((Box::new(stream), remote))
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // Accepted sockets inherit it: it finds the dead peers of clients without a keep-alive.
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE))?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Why an address cannot be listened on, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else listens there.
    #[error(
        "cannot listen on {address}: the port is in use; stop the program that holds it, choose \
         another port, or port 0 for any free one"
    )]
    InUse {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The operating system forbids it.
    #[error("cannot listen on {address}: not permitted; choose a port above 1023")]
    NotPermitted {
        /// The address asked for.
        address: SocketAddr,
    },
    /// This machine does not have the address.
    #[error(
        "cannot listen on {address}: this machine has no such address; use one of its own, or \
         0.0.0.0 for all of them"
    )]
    NotLocal {
        /// The address asked for.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("cannot listen on {address}: {error}")]
    Other {
        /// The address asked for.
        address: SocketAddr,
        /// What the operating system says.
        #[source]
        error: io::Error,
    },
}

impl BindError {
    fn new(address: SocketAddr, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse { address },
            io::ErrorKind::PermissionDenied => BindError::NotPermitted { address },
            io::ErrorKind::AddrNotAvailable => BindError::NotLocal { address },
            _ => BindError::Other { address, error },
        }
    }
}

/// With 2,000 clients connecting at once a backlog of 100 costs them a second each (measured).
const BACKLOG: i32 = 4096;
/// Arbitrary: a minute of silence is worth one probe.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// Arbitrary: long enough for other connections to end.
const PAUSE_MIN: Duration = Duration::from_millis(10);
/// Arbitrary: no client should wait longer for no reason.
const PAUSE_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;
    use tokio::net::TcpStream;
    use tokio::time::timeout;

    #[tokio::test]
    async fn a_port_in_use_is_named_with_a_way_out() {
        let first = TcpAccept::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = first.local_address().unwrap();
        let error = TcpAccept::bind(address).unwrap_err();
        assert!(matches!(error, BindError::InUse { .. }));
        let text = error.to_string();
        assert!(text.contains(&address.to_string()) && text.contains("choose another port"));
    }

    /// Whom the backlog has no room for tries again after a second, and then after three.
    #[tokio::test]
    async fn two_thousand_may_come_before_the_first_is_let_in() {
        let files = crate::cli::files::raise() as usize;
        let count = 2_000.min(files / 2);
        let accept = TcpAccept::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = accept.local_address().unwrap();
        let come = join_all((0..count).map(|_| TcpStream::connect(address)));
        let come = timeout(Duration::from_secs(60), come).await;
        let come = come.expect("nobody waits for one who was let in, as nobody is");
        assert_eq!(come.into_iter().filter(Result::is_ok).count(), count);
    }

    #[tokio::test]
    async fn a_foreign_address_is_named_with_a_way_out() {
        let error = TcpAccept::bind("192.0.2.1:0".parse().unwrap()).unwrap_err();
        assert!(matches!(error, BindError::NotLocal { .. }), "{error}");
    }
}
