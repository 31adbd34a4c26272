//! HTTP over whatever yields byte streams: the pages' listener, with TLS or without.
//!
//! A connection that says nothing, or does not come to the end of what it says, costs a file descriptor: so
//! there are so many places and no more, and each request's head has to come in time. A WebSocket gives its
//! place back when it begins; from then on it counts at the players' edge.

use crate::edge::{Accept, Accepted};
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::warn;

/// After a connection that could not be accepted: arbitrary, long enough for others to end.
const PAUSE: Duration = Duration::from_millis(100);

/// What bounds connections.
#[derive(Debug, Clone, Copy)]
pub(super) struct HttpLimits {
    /// Open at once; more wait to be accepted. Twice what event streams can take.
    pub(super) connections: usize,
    /// How long a request's head may take, and a connection be idle between two.
    pub(super) head: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        HttpLimits { connections: 8_192, head: Duration::from_secs(30) }
    }
}

/// Serves until `stop`, and then until what has begun is done.
pub(super) async fn serve(
    mut accept: Box<dyn Accept>,
    router: Router,
    limits: HttpLimits,
    stop: CancellationToken,
) {
    let mut builder = Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.head);
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut begun = JoinSet::new();
    while let Some(Ok(place)) = stop.run_until_cancelled(Arc::clone(&places).acquire_owned()).await
    {
        let Some((stream, remote)) = stop.run_until_cancelled(next(&mut *accept)).await else {
            break;
        };
        let router = router.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(remote));
            router.clone().oneshot(request.map(Body::new))
        });
        let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let stop = stop.clone();
        begun.spawn(async move {
            let (_place, mut connection) = (place, Box::pin(connection));
            // That a client goes, or is too slow, is no news.
            tokio::select! {
                _ = &mut connection => return,
                () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
            }
            let _ = connection.await;
        });
        while begun.try_join_next().is_some() {}
    }
    while begun.join_next().await.is_some() {}
}

async fn next(accept: &mut dyn Accept) -> Accepted {
    loop {
        match accept.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                warn!(%error, "an HTTP connection could not be accepted");
                sleep(PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::{Remote, TcpAccept};
    use axum::routing::get;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn whoever_says_nothing_or_half_is_hung_up_on_and_others_are_served() {
        let accept = TcpAccept::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = accept.local_address().unwrap();
        let here = |info: ConnectInfo<Remote>| async move { info.0.address.ip().to_string() };
        let router = Router::new().route("/", get(here));
        let limits = HttpLimits { connections: 2, head: Duration::from_millis(300) };
        let stop = CancellationToken::new();
        let served = tokio::spawn(serve(Box::new(accept), router, limits, stop.clone()));
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET / HTT").await.unwrap();
        // There is no place for it before one of the two is gone.
        let mut third = TcpStream::connect(address).await.unwrap();
        third
            .write_all(b"GET / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        third.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("127.0.0.1"), "{answer}");
        for idle in [&mut silent, &mut slow] {
            let mut rest = Vec::new();
            idle.read_to_end(&mut rest).await.unwrap();
        }
        stop.cancel();
        served.await.unwrap();
    }
}
