//! TLS 1.3 under MQTT and under HTTP: who a node is to its clients, and streams that shake hands.
//!
//! A handshake happens in the task of its own connection, when the first byte is asked for, so that
//! a client that stalls in it holds up nobody who comes after. What a handshake computes takes longer than
//! anything a player asks for, so that in a storm handshakes take turns: between a few of them on a core it is the turn
//! of those who are in. Only TLS 1.3 is spoken. What a client proves about itself is not TLS's business here: each payload
//! does that.

use super::Transport;
use super::listener::{Accept, Accepted, Stream};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::Acceptor;
use std::io;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::thread::available_parallelism;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio::time::timeout;
use tokio_rustls::{LazyConfigAcceptor, server};

/// A certificate chain with its key, ready to shake hands. Clones share it.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ServerConfig>,
    /// Of those whose greeting is there and waits to be answered.
    turns: Arc<Semaphore>,
}

/// Why a node cannot speak TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that cannot be read, or is not PEM.
    #[error("{file}: {error}; {flag} takes a PEM file")]
    File {
        /// The flag that named it.
        flag: &'static str,
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        error: rustls::pki_types::pem::Error,
    },
    /// The key is not the certificate's, or of a kind that is not supported.
    #[error("the certificate and its key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
    /// No certificate could be made.
    #[error("a certificate for {host:?} cannot be made: {error}")]
    Making {
        /// Whom it should name.
        host: String,
        /// What the maker says.
        error: rcgen::Error,
    },
}

impl Tls {
    /// The identity in two PEM files: the chain, the node's own certificate first, and its key.
    ///
    /// # Errors
    /// [`TlsError`], which names the file.
    pub fn from_files(chain: &Path, key: &Path) -> Result<Self, TlsError> {
        let in_file = |flag, file: &Path| {
            let file = file.to_owned();
            move |error| TlsError::File { flag, file, error }
        };
        let certificates = CertificateDer::pem_file_iter(chain)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(in_file("--tls-cert", chain))?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(in_file("--tls-key", key))?;
        Tls::new(certificates, key)
    }

    /// A new identity that nobody has reason to trust, for development: for `host` and loopback. With it
    /// its certificate in PEM, for those who are to trust it all the same.
    ///
    /// # Errors
    /// [`TlsError::Making`] if `host` cannot stand in a certificate.
    pub fn self_signed(host: &str) -> Result<(Self, String), TlsError> {
        let names = [host, "localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names);
        let made = made.map_err(|error| TlsError::Making { host: host.to_owned(), error })?;
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let pem = pem(made.cert.der());
        Ok((Tls::new(vec![made.cert.der().clone()], key.into())?, pem))
    }

    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?;
        let mut config = config.with_no_client_auth().with_single_cert(chain, key)?;
        // One is enough: a player's connection is long, and each ticket costs a write.
        config.send_tls13_tickets = 1;
        config.ticketer = rustls::crypto::ring::Ticketer::new()?;
        let cores = available_parallelism().map_or(1, NonZero::get);
        let turns = Arc::new(Semaphore::new(cores * HANDSHAKES_PER_CORE));
        Ok(Tls { config: Arc::new(config), turns })
    }

    /// A stream that shakes hands before its first byte.
    pub fn over<IO: Stream + 'static>(&self, io: IO) -> TlsStream<IO> {
        let shaking = self.clone().shake(io);
        let shaking = async {
            timeout(HANDSHAKE_MAX, shaking)
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        };
        TlsStream(State::Shaking(Box::pin(shaking)))
    }

    async fn shake<IO: Stream>(self, io: IO) -> io::Result<server::TlsStream<IO>> {
        let greeted = LazyConfigAcceptor::new(Acceptor::default(), io).await?;
        // Who says nothing, or half of it, holds no turn.
        let turn = self.turns.acquire().await.expect("nobody closes it");
        // Whoever else has something to do comes before each of them.
        yield_now().await;
        let answered = greeted.into_stream_with(self.config, |session| {
            session.set_buffer_limit(Some(BUFFER_BYTES_MAX));
        });
        drop(turn);
        answered.await
    }
}

/// A certificate as text (RFC 7468, section 5).
fn pem(certificate: &CertificateDer<'_>) -> String {
    let text = STANDARD.encode(certificate);
    let mut out = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for (at, c) in text.char_indices() {
        if at > 0 && at % 64 == 0 {
            out.push('\n');
        }
        out.push(c);
    }
    out + "\n-----END CERTIFICATE-----\n"
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

/// Connections of another listener, with TLS over them.
pub struct TlsAccept<A> {
    under: A,
    tls: Tls,
}

impl<A> TlsAccept<A> {
    /// TLS over `under`.
    pub fn new(under: A, tls: Tls) -> Self {
        TlsAccept { under, tls }
    }
}

#[async_trait]
impl<A: Accept> Accept for TlsAccept<A> {
    async fn accept(&mut self) -> io::Result<Accepted> {
        let (stream, remote) = self.under.accept().await?;
        Ok((Box::new(self.tls.over(stream)), remote))
    }

    fn transport(&self) -> Transport {
        Transport::Tls
    }
}

/// A stream under TLS; the handshake is part of its first read or write.
pub struct TlsStream<IO>(State<IO>);

enum State<IO> {
    Shaking(Shaking<IO>),
    Open(Box<server::TlsStream<IO>>),
    Failed,
}

type Shaking<IO> = Pin<Box<dyn Future<Output = io::Result<server::TlsStream<IO>>> + Send>>;

impl<IO: AsyncRead + AsyncWrite + Unpin> TlsStream<IO> {
    fn poll_open(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Pin<&mut server::TlsStream<IO>>>> {
        if let State::Shaking(shaking) = &mut self.0 {
            match ready!(shaking.as_mut().poll(cx)) {
                Ok(stream) => self.0 = State::Open(Box::new(stream)),
                Err(error) => {
                    self.0 = State::Failed;
                    return Poll::Ready(Err(error));
                }
            }
        }
        match &mut self.0 {
            State::Open(stream) => Poll::Ready(Ok(Pin::new(&mut **stream))),
            _ => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_open(cx))?.poll_read(cx, out)
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(cx))?.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_open(cx))?.poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_open(cx))?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            State::Open(stream) => Pin::new(&mut **stream).poll_shutdown(cx),
            // There is nobody to say goodbye to yet.
            _ => Poll::Ready(Ok(())),
        }
    }
}

/// Handshakes on a core between two turns of somebody who is in: about a millisecond. With fewer of them those who come
/// would wait long while a state goes out to a crowd, which is a turn of everybody.
pub const HANDSHAKES_PER_CORE: usize = 4;
/// As for a CONNECT: several round trips of the worst mobile network.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// What one connection may hold encrypted or not yet encrypted; the library's default is 64 KiB.
const BUFFER_BYTES_MAX: usize = 16 * 1024;
