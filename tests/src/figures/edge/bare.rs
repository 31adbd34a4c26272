//! The least that a server can do: one task and one bounded queue per socket, packets told apart by
//! their first byte, nothing checked. What the edge is measured against.
//!
//! Runs in a process of its own, started by the figure, until its standard input ends.

use bytes::{Buf, Bytes, BytesMut};
use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::mpsc;

/// The figures' hidden name of this server.
pub const NAME: &str = "bare-server";

/// Serves until standard input ends.
///
/// # Errors
/// As the system fails.
pub fn serve() -> std::io::Result<()> {
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let socket = TcpSocket::new_v4()?;
        socket.bind(([127, 0, 0, 1], 0).into())?;
        let listener = socket.listen(4096)?;
        println!("{}", listener.local_addr()?);
        std::io::stdout().flush()?;
        tokio::spawn(accept(listener));
        let waiting = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0]));
        waiting.await.map_err(std::io::Error::other)?.map(drop)
    })
}

type Subscribers = Arc<Mutex<Vec<mpsc::Sender<Bytes>>>>;

async fn accept(listener: TcpListener) {
    let subscribers = Subscribers::default();
    loop {
        // A connection that fails to come is the load generator's to miss.
        if let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            tokio::spawn(connection(stream, Arc::clone(&subscribers)));
        }
    }
}

async fn connection(mut stream: TcpStream, subscribers: Subscribers) {
    let (queue, mut queued) = mpsc::channel(QUEUE);
    let mut unread = BytesMut::new();
    loop {
        tokio::select! {
            read = stream.read_buf(&mut unread) => {
                if read.unwrap_or(0) == 0 {
                    return;
                }
                let mut out = Vec::new();
                while let Some(packet) = split(&mut unread) {
                    answer(&packet, &mut out, &queue, &subscribers);
                }
                if stream.write_all(&out).await.is_err() {
                    return;
                }
            }
            Some(bytes) = queued.recv() => {
                if stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn answer(packet: &Bytes, out: &mut Vec<u8>, queue: &mpsc::Sender<Bytes>, all: &Subscribers) {
    let body = super::wire::body(packet);
    match packet[0] >> 4 {
        1 => out.extend([0x20, 3, 0, 0, 0]),
        8 => {
            out.extend([0x90, 4, body[0], body[1], 0, 0]);
            all.lock().expect("no holder panics").push(queue.clone());
        }
        3 if packet[0] & 6 == 2 => {
            let topic = usize::from(u16::from_be_bytes([body[0], body[1]]));
            out.extend([0x40, 2, body[2 + topic], body[3 + topic]]);
        }
        3 => {
            for subscriber in all.lock().expect("no holder panics").iter() {
                // A full queue: the newest is lost, which the figure would notice.
                let _ = subscriber.try_send(packet.clone());
            }
        }
        _ => {}
    }
}

/// The first whole packet of what was read.
fn split(unread: &mut BytesMut) -> Option<Bytes> {
    let length = super::wire::packet_bytes(unread)?;
    let packet = unread.split_to(length).freeze();
    assert!(packet.has_remaining());
    Some(packet)
}

/// Messages that wait for one socket.
const QUEUE: usize = 64;
