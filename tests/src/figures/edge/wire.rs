//! The packets that raw clients need, byte by byte, and the stream that carries them.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

/// A raw client's end of a connection. It keeps nothing but what has come of a packet that is not whole yet.
pub(in crate::figures) struct Wire {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Wire {
    /// Connects as the `index`th client of the crowd `from`: sixteen addresses a crowd, so that the system does
    /// not search long for a free port.
    pub(in crate::figures) async fn dial(
        from: u8,
        index: usize,
        server: SocketAddr,
    ) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        choose_port_later(&socket)?;
        let host = Ipv4Addr::new(127, 0, from, 1 + (index % 16) as u8);
        socket.bind(SocketAddr::from((host, 0)))?;
        let stream = socket.connect(server).await?;
        stream.set_nodelay(true)?;
        Ok(Wire { stream, unread: Vec::new() })
    }

    pub(in crate::figures) async fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream.write_all(bytes).await.map_err(|error| error.to_string())
    }

    /// Waits until something has come, and reads it; safe to give up.
    pub(in crate::figures) async fn read(&mut self) -> Result<(), String> {
        self.stream.readable().await.map_err(|error| error.to_string())?;
        let mut space = [0; 8192];
        match self.stream.try_read(&mut space) {
            Ok(0) => return Err("the server has hung up".to_owned()),
            Ok(count) => self.unread.extend_from_slice(&space[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.to_string()),
        }
        Ok(())
    }

    /// The next packet that is whole.
    pub(in crate::figures) fn packet(&mut self) -> Option<Vec<u8>> {
        if self.unread.is_empty() {
            self.unread = Vec::new();
        }
        let length = packet_bytes(&self.unread)?;
        Some(self.unread.drain(..length).collect())
    }
}

/// Lets the system choose a port when it connects, not already when it binds: there it compares every port in
/// use with every other one, which takes longer than all that is measured.
fn choose_port_later(socket: &TcpSocket) -> io::Result<()> {
    let on: libc::c_int = 1;
    let size = size_of_val(&on) as libc::socklen_t;
    // SAFETY: the descriptor is open while `socket` is borrowed, and `on` is as long as is said.
    let done = unsafe {
        let on = (&raw const on).cast();
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            on,
            size,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The id of a client's player.
pub(in crate::figures) fn player(index: usize) -> String {
    format!("{index:032x}")
}

/// The token in an inbox message, if there is one.
pub(in crate::figures) fn token(body: &[u8]) -> Option<String> {
    let before = br#""token":""#;
    let at = body.windows(before.len()).position(|window| window == before)? + before.len();
    let end = body[at..].iter().position(|byte| *byte == b'"')?;
    String::from_utf8(body[at..at + end].to_vec()).ok()
}

/// Whether `needle` is in it.
pub(in crate::figures) fn contains(body: &[u8], needle: &[u8]) -> bool {
    body.windows(needle.len()).any(|window| window == needle)
}

/// The length of the first packet, once it is whole.
pub(super) fn packet_bytes(input: &[u8]) -> Option<usize> {
    let mut length = 0;
    for (index, byte) in input.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let whole = index + 2 + length;
            return (input.len() >= whole).then_some(whole);
        }
    }
    None
}

/// What follows the fixed header of a whole packet.
pub(in crate::figures) fn body(packet: &[u8]) -> &[u8] {
    let length = packet[1..].iter().take_while(|byte| *byte & 0x80 != 0).count() + 1;
    &packet[1 + length..]
}

/// A CONNECT of MQTT 5 that starts clean.
pub(in crate::figures) fn connect(client_id: &str, keep_alive_s: u16) -> Vec<u8> {
    let mut body = b"\0\x04MQTT\x05\x02".to_vec();
    body.extend(keep_alive_s.to_be_bytes());
    body.push(0);
    body.extend(text(client_id));
    packet(0x10, &body)
}

/// A SUBSCRIBE at QoS 0.
pub(in crate::figures) fn subscribe(filters: &[String]) -> Vec<u8> {
    let mut body = vec![0, 9, 0];
    for filter in filters {
        body.extend(text(filter));
        // As a page does it: with no local its acknowledgements are its receipts.
        body.push(if filter.starts_with("inbox/") { 0x04 } else { 0 });
    }
    packet(0x82, &body)
}

/// A PUBLISH of MQTT 5 without properties.
pub(in crate::figures) fn publish(qos: u8, id: u16, topic: &str, payload: &[u8]) -> Vec<u8> {
    let mut body = text(topic);
    if qos > 0 {
        body.extend(id.to_be_bytes());
    }
    body.push(0);
    body.extend(payload);
    packet(0x30 | qos << 1, &body)
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    let mut length = body.len();
    loop {
        let low = (length % 128) as u8;
        length /= 128;
        out.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            break;
        }
    }
    out.extend(body);
    out
}

fn text(text: &str) -> Vec<u8> {
    let mut out = (text.len() as u16).to_be_bytes().to_vec();
    out.extend(text.as_bytes());
    out
}
