//! TLS 1.3 under MQTT: who is let in, and who does not hold up the others.

use crate::client::Client;
use crate::players::FakePlayers;
use crate::tcp::Runtime;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use node::edge::tls::HANDSHAKES_PER_CORE;
use node::edge::{Edge, Limits, TcpAccept, Tls, TlsAccept, TlsError, accept_players};
use rcgen::generate_simple_self_signed;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::thread::available_parallelism;
use tempfile::TempDir;
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex,
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A certificate in two files, and a client's configuration that trusts it.
struct Identity {
    _folder: TempDir,
    chain: PathBuf,
    key: PathBuf,
    trusting: Arc<ClientConfig>,
}

impl Identity {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
        let made = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(&chain, pem("CERTIFICATE", made.cert.der())).unwrap();
        std::fs::write(&key, pem("PRIVATE KEY", &made.signing_key.serialize_der())).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        Identity { _folder: folder, chain, key, trusting: client(roots) }
    }
}

fn pem(label: &str, bytes: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(bytes))
}

fn client(roots: RootCertStore) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider);
    let config = config.with_protocol_versions(&[&rustls::version::TLS13]).unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

fn listen(identity: &Identity, players: &Arc<FakePlayers>) -> (SocketAddr, Edge) {
    let under = TcpAccept::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = under.local_address().unwrap();
    let tls = Tls::from_files(&identity.chain, &identity.key).unwrap();
    let edge = Edge::new(Arc::clone(players) as _, Limits::default());
    let accept = Box::new(TlsAccept::new(under, tls));
    tokio::spawn(accept_players(accept, edge.clone(), Arc::new(Runtime)));
    (address, edge)
}

async fn dial(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::clone(config)).connect(name, stream).await
}

#[tokio::test]
async fn players_join_answer_and_watch_under_tls() {
    let (identity, players) = (Identity::new(), FakePlayers::new());
    players.show("lobby");
    let (address, _edge) = listen(&identity, &players);
    for version in [4, 5] {
        let stream = dial(address, &identity.trusting).await.unwrap();
        let negotiated = stream.get_ref().1.protocol_version();
        assert_eq!(negotiated, Some(rustls::ProtocolVersion::TLSv1_3));
        let mut client = Client::connect(stream, version).await;
        client.subscribe("live/482913").await;
        assert_eq!(client.message().await, "lobby");
        // More than one record of TLS and more than what it buffers.
        let long = "x".repeat(50_000);
        players.show(long.clone());
        assert_eq!(client.message().await, long);
        client.publish(1, 1, "answer/2a", &[b'y'; 40_000]).await;
        assert_eq!(client.read().await.unwrap().body[..2], [0, 1]);
        players.show("lobby");
    }
    assert_eq!(players.topics().len(), 2);
}

#[tokio::test]
async fn a_client_that_stalls_in_the_handshake_holds_up_nobody() {
    let (identity, players) = (Identity::new(), FakePlayers::new());
    let (address, edge) = listen(&identity, &players);
    let mut stalled = TcpStream::connect(address).await.unwrap();
    // The beginning of a record that never ends.
    stalled.write_all(&[0x16, 3, 1, 2]).await.unwrap();
    let stream = dial(address, &identity.trusting).await.unwrap();
    Client::connect(stream, 5).await;
    assert_eq!(edge.counters().sessions_active(), 1);
}

/// An end of a pipe that counts itself as soon as something is written to it: the answer to a greeting.
struct Answered {
    pipe: DuplexStream,
    answers: Arc<AtomicUsize>,
    has_answered: bool,
}

impl AsyncRead for Answered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_read(cx, out)
    }
}

impl AsyncWrite for Answered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !std::mem::replace(&mut self.has_answered, true) {
            self.answers.fetch_add(1, Relaxed);
        }
        Pin::new(&mut self.pipe).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}

/// Five hundred greetings are there at once. On one thread everybody who has something to do has a turn, and then the
/// next one: between two turns of somebody who is in come a few handshakes for each core.
#[tokio::test]
async fn in_a_storm_of_handshakes_it_is_the_turn_of_those_who_are_in_too() {
    const STORM: usize = 500;
    let identity = Identity::new();
    let tls = Tls::from_files(&identity.chain, &identity.key).unwrap();
    let answers = Arc::new(AtomicUsize::new(0));
    for _ in 0..STORM {
        let (client, pipe) = duplex(16 * 1024);
        let connector = TlsConnector::from(Arc::clone(&identity.trusting));
        let name = ServerName::try_from("localhost").unwrap();
        tokio::spawn(async move { connector.connect(name, client).await });
        let answered = Answered { pipe, answers: Arc::clone(&answers), has_answered: false };
        let mut served = tls.over(answered);
        tokio::spawn(async move { served.read_u8().await });
    }
    let most = available_parallelism().map_or(1, NonZero::get) * HANDSHAKES_PER_CORE;
    let player = async move {
        let (mut before, mut turns) = (0, 0);
        while before < STORM {
            next_turn().await;
            let now = answers.load(Relaxed);
            assert!(now - before <= most, "{} handshakes between two turns", now - before);
            (before, turns) = (now, turns + 1);
        }
        turns
    };
    let turns = tokio::spawn(player).await.unwrap();
    assert!(turns >= STORM / most, "{turns} turns");
}

/// Goes to the end of the queue of those who have something to do.
async fn next_turn() {
    let mut had_one = false;
    poll_fn(|cx| match std::mem::replace(&mut had_one, true) {
        true => Poll::Ready(()),
        false => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_without_tls_is_sent_away() {
    let (identity, players) = (Identity::new(), FakePlayers::new());
    let (address, edge) = listen(&identity, &players);
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(&crate::client::connect(5, "plain", 30, &[])).await.unwrap();
    let mut said = Vec::new();
    // What comes is an alert of TLS or a reset, and then the end.
    let _ = plain.read_to_end(&mut said).await;
    assert_ne!(said.first(), Some(&0x20), "no CONNACK: {said:?}");
    let closed = edge.counters().readings().into_iter();
    let closed = closed.filter(|r| r.labels.contains(&("reason", "transport")));
    assert_eq!(closed.map(|reading| reading.value).sum::<u64>(), 1);
}

#[tokio::test]
async fn a_certificate_that_nobody_trusts_is_refused_by_the_client() {
    let (identity, players) = (Identity::new(), FakePlayers::new());
    let (address, _edge) = listen(&identity, &players);
    let error = dial(address, &client(RootCertStore::empty())).await.unwrap_err();
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
}

#[test]
fn files_that_are_no_certificate_are_named() {
    let (identity, other) = (Identity::new(), Identity::new());
    let swapped = Tls::from_files(&identity.key, &identity.chain).unwrap_err();
    assert!(matches!(&swapped, TlsError::File { .. } | TlsError::Unusable(_)), "{swapped}");
    let missing = Tls::from_files(&identity.chain.with_extension("none"), &identity.key);
    let missing = missing.unwrap_err().to_string();
    assert!(missing.contains("chain.none") && missing.contains("--tls-cert"), "{missing}");
    let foreign = Tls::from_files(&identity.chain, &other.key).unwrap_err();
    assert!(matches!(foreign, TlsError::Unusable(_)), "{foreign}");
    let (_, pem) = Tls::self_signed("localhost").unwrap();
    let lines: Vec<&str> = pem.lines().collect();
    assert!(lines.iter().all(|line| line.len() <= 64), "{pem}");
    assert!(CertificateDer::from_pem_slice(pem.as_bytes()).is_ok(), "{pem}");
}
