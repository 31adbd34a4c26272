//! MQTT over WebSocket (MQTT 5.0, chapter 6): a byte stream out of binary messages.
//!
//! Packets and messages need not align in either direction. Buffers are small, since there is one
//! pair per player: the defaults of the WebSocket library would cost 131 KB each. Whoever breaks a rule
//! of WebSocket itself, which MQTT has no words for, is told in the Close.

use super::{Edge, Remote};
use axum::body::{Body, Bytes};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{ConnectInfo, State};
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::{Sink as _, Stream as _};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream as Messages;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

/// The handler behind `/mqtt`.
pub async fn mqtt_over_websocket(
    State(edge): State<Edge>,
    // Before the upgrade, which takes from them what becomes the stream.
    extensions: Extensions,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let upgrade = upgrade.protocols([SUBPROTOCOL]);
    if upgrade.selected_protocol().is_none() {
        let text = "this is MQTT over WebSocket: offer the subprotocol \"mqtt\"\n";
        return (StatusCode::BAD_REQUEST, text).into_response();
    }
    if edge.open().is_some() && !headers.get_all(header::ORIGIN).iter().all(is_of_this_machine) {
        let text = "this broker is for pages of this machine only\n";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    let stream = extensions.get::<OnUpgrade>().cloned();
    let (Some(stream), Some(key)) = (stream, headers.get(header::SEC_WEBSOCKET_KEY)) else {
        return (StatusCode::BAD_REQUEST, "this is for HTTP/1.1\n").into_response();
    };
    let Some(admission) = edge.admit() else {
        let text = "this node has as many players as it takes: use another one\n";
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    let remote = extensions.get::<ConnectInfo<Remote>>().map(|ConnectInfo(remote)| *remote);
    let unknown = || SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into();
    let remote: Remote = remote.unwrap_or_else(unknown);
    let accepted = accepted(key);
    tokio::spawn(async move {
        // A client that is gone by now is no news.
        if let Ok(stream) = stream.await {
            let stream = WebSocketStream::serving(stream).await;
            edge.serve(stream, remote, admission).await;
        }
    });
    accepted
}

/// The yes to an upgrade that was asked for with `key`.
fn accepted(key: &HeaderValue) -> Response {
    let says = [
        (header::CONNECTION, HeaderValue::from_static("upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL)),
    ];
    let mut response = (StatusCode::SWITCHING_PROTOCOLS, says, Body::empty()).into_response();
    let proof = derive_accept_key(key.as_bytes());
    let proof = HeaderValue::from_str(&proof).expect("base64 is fit for a header");
    response.headers_mut().insert(header::SEC_WEBSOCKET_ACCEPT, proof);
    response
}

/// Whether a page came from the loopback interface. A browser lets any page of the web connect to it, so that in
/// the open profile, which asks nobody who they are, only this stands between such a page and the broker.
fn is_of_this_machine(origin: &HeaderValue) -> bool {
    let Ok(origin) = origin.to_str() else { return false };
    let authority = ["http://", "https://"].iter().find_map(|scheme| origin.strip_prefix(scheme));
    let Some(authority) = authority else { return false };
    let port = |digits: &str| !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit());
    let host = match authority.rsplit_once(':') {
        Some((host, digits)) if port(digits) => host,
        _ => authority,
    };
    ["localhost", "127.0.0.1", "[::1]"].contains(&host)
}

/// A WebSocket as a stream of bytes.
#[derive(Debug)]
pub struct WebSocketStream {
    socket: Messages<TokioIo<Upgraded>>,
    /// What is left of the last message.
    unread: Bytes,
    /// What the client broke, from then on.
    broken: Option<Broken>,
}

/// What is said to a client that broke a rule of WebSocket.
#[derive(Debug)]
struct Broken {
    code: CloseCode,
    reason: &'static str,
    is_said: bool,
}

impl Broken {
    fn new(code: CloseCode, reason: &'static str) -> Self {
        Broken { code, reason, is_said: false }
    }

    fn by(error: &Error) -> Option<Self> {
        match error {
            Error::Capacity(_) => Some(Broken::new(CloseCode::Size, TOO_LARGE)),
            Error::Protocol(_) => Some(Broken::new(
                CloseCode::Protocol,
                "this is no WebSocket frame as RFC 6455 has it",
            )),
            _ => None,
        }
    }

    fn frame(&self) -> CloseFrame {
        CloseFrame { code: self.code, reason: self.reason.into() }
    }
}

impl WebSocketStream {
    /// The server's end of `stream`, after the handshake.
    async fn serving(stream: Upgraded) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let stream = TokioIo::new(stream);
        let socket = Messages::from_raw_socket(stream, Role::Server, Some(config)).await;
        WebSocketStream { socket, unread: Bytes::new(), broken: None }
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        loop {
            let Some(message) = ready!(Pin::new(&mut self.socket).poll_next(cx)) else {
                return Poll::Ready(Ok(None));
            };
            match message {
                Ok(Message::Binary(bytes)) if bytes.is_empty() => {}
                Ok(Message::Binary(bytes)) => return Poll::Ready(Ok(Some(bytes))),
                // The library answers pings by itself.
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                Ok(Message::Close(_)) => return Poll::Ready(Ok(None)),
                Ok(Message::Text(_)) => {
                    let text = "MQTT travels in binary messages, this one is text";
                    self.broken = Some(Broken::new(CloseCode::Unsupported, text));
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, text)));
                }
                Err(error) => {
                    self.broken = Broken::by(&error);
                    let kind = io::ErrorKind::InvalidData;
                    let is_broken = self.broken.is_some();
                    return Poll::Ready(Err(match error {
                        Error::Io(error) => error,
                        error if is_broken => io::Error::new(kind, error),
                        error => io::Error::other(error),
                    }));
                }
            }
        }
    }

    /// Tells a client what it broke, and lets it read that: closing a socket that still receives would
    /// discard it on the way. For how long is up to whoever waits.
    fn poll_refuse(&mut self, cx: &mut Context<'_>, broken: &mut Broken) -> Poll<io::Result<()>> {
        let mut socket = Pin::new(&mut self.socket);
        if !broken.is_said {
            ready!(socket.as_mut().poll_ready(cx)).map_err(io::Error::other)?;
            broken.is_said = true;
            socket
                .as_mut()
                .start_send(Message::Close(Some(broken.frame())))
                .map_err(io::Error::other)?;
        }
        ready!(socket.poll_flush(cx)).map_err(io::Error::other)?;
        let stream = self.socket.get_mut();
        ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
        loop {
            let mut space = [0; 1024];
            let mut space = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut *stream).poll_read(cx, &mut space))?;
            if space.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Sends one message once there is room for it.
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        message: impl FnOnce() -> Bytes,
    ) -> Poll<io::Result<usize>> {
        let mut socket = Pin::new(&mut self.socket);
        ready!(socket.as_mut().poll_ready(cx)).map_err(io::Error::other)?;
        let bytes = message();
        let sent = bytes.len();
        socket.start_send(Message::Binary(bytes)).map_err(io::Error::other)?;
        Poll::Ready(Ok(sent))
    }
}

impl AsyncRead for WebSocketStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.unread.is_empty() {
            match ready!(self.poll_message(cx))? {
                Some(bytes) => self.unread = bytes,
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = self.unread.len().min(out.remaining());
        out.put_slice(&self.unread.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WebSocketStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_send(cx, || gather(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx).map_err(io::Error::other)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(mut broken) = self.broken.take() else {
            return Pin::new(&mut self.socket).poll_close(cx).map_err(io::Error::other);
        };
        let refused = self.poll_refuse(cx, &mut broken);
        self.broken = Some(broken);
        refused
    }
}

/// As much of `slices` as one message carries.
fn gather(slices: &[IoSlice<'_>]) -> Bytes {
    let total: usize = slices.iter().map(|slice| slice.len()).sum();
    let mut message = Vec::with_capacity(total.min(SENT_MESSAGE_BYTES_MAX));
    for slice in slices {
        let room = SENT_MESSAGE_BYTES_MAX - message.len();
        message.extend_from_slice(&slice[..slice.len().min(room)]);
    }
    message.into()
}

/// MQTT 5.0, section 6.0.
const SUBPROTOCOL: &str = "mqtt";
/// Holds a player's usual packets; allocated per connection.
const READ_BUFFER_BYTES: usize = 4096;
/// What a client may put into one message, packets of which each keeps its own bound: four of the largest.
/// Room for a message is taken when it begins.
const MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// Said to whoever sends more at once.
const TOO_LARGE: &str = "a message has at most 262144 bytes here: send your packets in several";
/// What the library may hold back of what is sent.
const WRITE_BUFFER_BYTES_MAX: usize = 64 * 1024;
/// A quarter of it, so that a message always fits.
const SENT_MESSAGE_BYTES_MAX: usize = WRITE_BUFFER_BYTES_MAX / 4;
