//! MQTT over WebSocket (MQTT 5.0, chapter 6): a byte stream out of binary messages.
//!
//! Packets and messages need not align in either direction. Buffers are small, since there is one
//! pair per player: the defaults of the WebSocket library would cost 131 KB each.

use super::{Edge, Remote};
use axum::body::Bytes;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, State};
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::{Sink as _, Stream as _};
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The handler behind `/mqtt`.
pub async fn mqtt_over_websocket(
    State(edge): State<Edge>,
    extensions: Extensions,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let upgrade = upgrade
        .protocols([SUBPROTOCOL])
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .max_write_buffer_size(MESSAGE_BYTES_MAX)
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX);
    if upgrade.selected_protocol().is_none() {
        let text = "this is MQTT over WebSocket: offer the subprotocol \"mqtt\"\n";
        return (StatusCode::BAD_REQUEST, text).into_response();
    }
    if edge.open().is_some() && !headers.get_all(header::ORIGIN).iter().all(is_of_this_machine) {
        let text = "this broker is for pages of this machine only\n";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    let Some(admission) = edge.admit() else {
        let text = "this node has as many players as it takes: use another one\n";
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    let remote = extensions.get::<ConnectInfo<Remote>>().map(|ConnectInfo(remote)| *remote);
    let unknown = || SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into();
    let remote: Remote = remote.unwrap_or_else(unknown);
    upgrade.on_upgrade(move |socket| async move {
        edge.serve(WebSocketStream::new(socket), remote, admission).await;
    })
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
    socket: WebSocket,
    /// What is left of the last message.
    unread: Bytes,
}

impl WebSocketStream {
    /// The stream of `socket`'s binary messages. A text message is an error.
    #[must_use]
    pub fn new(socket: WebSocket) -> Self {
        WebSocketStream { socket, unread: Bytes::new() }
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        loop {
            let Some(message) = ready!(Pin::new(&mut self.socket).poll_next(cx)) else {
                return Poll::Ready(Ok(None));
            };
            match message.map_err(io::Error::other)? {
                Message::Binary(bytes) if bytes.is_empty() => {}
                Message::Binary(bytes) => return Poll::Ready(Ok(Some(bytes))),
                // The library answers pings by itself.
                Message::Ping(_) | Message::Pong(_) => {}
                Message::Close(_) => return Poll::Ready(Ok(None)),
                Message::Text(_) => {
                    let text = "MQTT travels in binary messages, this one is text";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, text)));
                }
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
        Pin::new(&mut self.socket).poll_close(cx).map_err(io::Error::other)
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
/// As large as the largest packet: more cannot be useful.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// A quarter of what the library may hold back, so that a message always fits.
const SENT_MESSAGE_BYTES_MAX: usize = MESSAGE_BYTES_MAX / 4;
