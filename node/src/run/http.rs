//! HTTP over whatever yields byte streams: the pages' listener, with TLS or without.
//!
//! A connection that says nothing, or does not come to the end of what it says, costs a file descriptor: so
//! there are so many places and no more, and each request's head has to come in time. A WebSocket gives its
//! place back when it begins; from then on it counts at the players' edge.

use crate::edge::{Accept, Accepted};
use crate::supervise::Supervisor;
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};
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

/// A listener for pages, and what it has begun to serve. It outlives a panic of its task.
pub(super) struct Pages {
    accept: Box<dyn Accept>,
    router: Router,
    builder: Builder,
    places: Arc<Semaphore>,
    begun: JoinSet<()>,
    stop: CancellationToken,
    /// Where panics of requests end.
    supervisor: Supervisor,
    /// Tells that it is over, however it ends.
    _over: DropGuard,
}

impl Pages {
    /// Pages for whoever comes by `accept`, until `stop`. The token is cancelled once all that was begun is done.
    pub(super) fn new(
        accept: Box<dyn Accept>,
        router: Router,
        limits: HttpLimits,
        stop: CancellationToken,
        supervisor: Supervisor,
    ) -> (Self, CancellationToken) {
        let mut builder = Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(limits.head);
        let places = Arc::new(Semaphore::new(limits.connections));
        let (begun, over) = (JoinSet::new(), CancellationToken::new());
        let _over = over.clone().drop_guard();
        let pages = Pages { accept, router, builder, places, begun, stop, supervisor, _over };
        (pages, over)
    }

    /// Serves until it is to stop, and then until what has begun is done.
    pub(super) async fn run(&mut self) {
        let stop = self.stop.clone();
        while let Some(Ok(place)) =
            stop.run_until_cancelled(Arc::clone(&self.places).acquire_owned()).await
        {
            let Some(accepted) = stop.run_until_cancelled(next(&mut *self.accept)).await else {
                break;
            };
            self.begin(accepted, place);
            while self.begun.try_join_next().is_some() {}
        }
        while self.begun.join_next().await.is_some() {}
    }

    fn begin(&mut self, (stream, remote): Accepted, place: OwnedSemaphorePermit) {
        let router = self.router.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(remote));
            router.clone().oneshot(request.map(Body::new))
        });
        let stream = TokioIo::new(stream);
        let connection = self.builder.serve_connection(stream, service).with_upgrades();
        let (stop, supervisor) = (self.stop.clone(), self.supervisor.clone());
        self.begun.spawn(async move {
            let _place = place;
            let serving = async {
                let mut connection = Box::pin(connection);
                // That a client goes, or is too slow, is no news.
                tokio::select! {
                    _ = &mut connection => return,
                    () = stop.cancelled() => connection.as_mut().graceful_shutdown(),
                }
                let _ = connection.await;
            };
            supervisor.contain(serving).await;
        });
    }
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
    use async_trait::async_trait;
    use axum::routing::get as get_method;
    use gossip::network::TokioSpawn;
    use std::io;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn whoever_says_nothing_or_half_is_hung_up_on_and_others_are_served() {
        let accept = TcpAccept::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = accept.local_address().unwrap();
        let here = |info: ConnectInfo<Remote>| async move { info.0.address.ip().to_string() };
        let router = Router::new().route("/", get_method(here));
        let limits = HttpLimits { connections: 2, head: Duration::from_millis(300) };
        let stop = CancellationToken::new();
        let tree = Supervisor::root(Arc::new(TokioSpawn));
        let (mut pages, over) = Pages::new(Box::new(accept), router, limits, stop.clone(), tree);
        tokio::spawn(async move { pages.run().await });
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
        over.cancelled().await;
    }

    /// Panics instead of its first connection.
    struct Broken(TcpAccept, bool);

    #[async_trait]
    impl Accept for Broken {
        async fn accept(&mut self) -> io::Result<Accepted> {
            assert!(std::mem::replace(&mut self.1, true), "the listener panics");
            self.0.accept().await
        }
    }

    async fn broken() -> &'static str {
        panic!("the page panics")
    }

    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn a_listener_and_a_page_may_panic_and_pages_are_served() {
        let accept = TcpAccept::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = accept.local_address().unwrap();
        let router = Router::new().route("/", get_method(|| async { "well" }));
        let router = router.route("/broken", get_method(broken));
        let stop = CancellationToken::new();
        let tree = Supervisor::root(Arc::new(TokioSpawn));
        let accept = Box::new(Broken(accept, false));
        let limits = HttpLimits::default();
        let (pages, over) = Pages::new(accept, router, limits, stop.clone(), tree.clone());
        tree.keep_with("pages", "http", pages, |pages| Box::pin(pages.run()));
        assert!(get(address, "/").await.ends_with("well"));
        assert_eq!(get(address, "/broken").await, "");
        assert!(get(address, "/").await.ends_with("well"));
        let view = tree.view();
        assert_eq!((view.panics, view.children[0].restarts), (1, 1), "{view:?}");
        stop.cancel();
        over.cancelled().await;
    }
}
