//! HTTP over whatever yields byte streams: the pages' listener, with TLS or without.

use crate::edge::{Accept, Remote, Stream};
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::sleep;
use tracing::warn;

/// After a connection that could not be accepted: arbitrary, long enough for others to end.
const PAUSE: Duration = Duration::from_millis(100);

/// A listener of the edge, as the HTTP server wants it.
pub(super) struct HttpListener {
    accept: Box<dyn Accept>,
    local: SocketAddr,
}

impl HttpListener {
    pub(super) fn new(accept: impl Accept + 'static, local: SocketAddr) -> Self {
        HttpListener { accept: Box::new(accept), local }
    }
}

impl Listener for HttpListener {
    type Io = Box<dyn Stream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            match self.accept.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    warn!(%error, "an HTTP connection could not be accepted");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}

impl Connected<IncomingStream<'_, HttpListener>> for Remote {
    fn connect_info(stream: IncomingStream<'_, HttpListener>) -> Self {
        Remote(*stream.remote_addr())
    }
}
