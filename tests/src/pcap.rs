//! A wire tap: passes TCP connections through to a node and writes what it saw as a capture file, as if it
//! had been taken from a network. No privileges are needed, and nothing is lost.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

/// A running tap.
#[derive(Debug)]
pub struct Tap {
    address: SocketAddr,
    path: PathBuf,
}

/// One connection, as the capture tells it.
#[derive(Debug)]
struct Flow {
    file: Arc<Mutex<File>>,
    client_port: u16,
    /// What comes next from the client, and from the node.
    sequences: Mutex<[u32; 2]>,
}

/// Who sends.
#[derive(Debug, Clone, Copy)]
enum From {
    Client = 0,
    Node = 1,
}

impl Tap {
    /// Begins to pass connections on to `node`, and to write to `path`.
    ///
    /// # Panics
    /// If there is no port or no file.
    #[must_use]
    pub fn start(node: SocketAddr, path: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener.local_addr().expect("it is bound");
        let mut file = File::create(path).expect("the capture can be written");
        file.write_all(&file_header()).expect("the capture can be written");
        let file = Arc::new(Mutex::new(file));
        let ports = AtomicU16::new(FIRST_PORT);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let client_port = ports.fetch_add(1, Ordering::Relaxed);
                let sequences = Mutex::new([1_000, 2_000]);
                let flow = Arc::new(Flow { file: Arc::clone(&file), client_port, sequences });
                // A client that comes when the node is gone sees its connection end.
                let _ = pass(client, node, &flow);
            }
        });
        Tap { address, path: path.to_owned() }
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The capture.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The port that the node has in the capture, by which it is known for MQTT.
pub const NODE_PORT: u16 = 1883;
const FIRST_PORT: u16 = 40_000;

fn pass(client: TcpStream, node: SocketAddr, flow: &Arc<Flow>) -> io::Result<()> {
    let node = TcpStream::connect(node)?;
    flow.shake_hands()?;
    for (from, mut source, mut sink) in
        [(From::Client, client.try_clone()?, node.try_clone()?), (From::Node, node, client)]
    {
        let flow = Arc::clone(flow);
        thread::spawn(move || {
            let mut space = [0; 1_200];
            while let Ok(count) = source.read(&mut space) {
                // Written before it is passed on: the capture has no answer before its question.
                let written = flow.segment(from, PUSH | ACK, &space[..count]);
                if count == 0 || written.is_err() || sink.write_all(&space[..count]).is_err() {
                    break;
                }
            }
            // The other side may have closed first.
            let _ = sink.shutdown(Shutdown::Write);
        });
    }
    Ok(())
}

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const PUSH: u8 = 0x08;
const ACK: u8 = 0x10;

impl Flow {
    fn shake_hands(&self) -> io::Result<()> {
        self.segment(From::Client, SYN, &[])?;
        self.segment(From::Node, SYN | ACK, &[])?;
        self.segment(From::Client, ACK, &[])
    }

    /// Writes one packet: IPv4, TCP, `bytes`. No bytes with a push are the end of a direction.
    fn segment(&self, from: From, flags: u8, bytes: &[u8]) -> io::Result<()> {
        let flags = if bytes.is_empty() && flags & PUSH != 0 { FIN | ACK } else { flags };
        let mut sequences = self.sequences.lock().unwrap_or_else(PoisonError::into_inner);
        let own = from as usize;
        let (sequence, expected) = (sequences[own], sequences[1 - own]);
        let taken = bytes.len() as u32 + u32::from(flags & (SYN | FIN) != 0);
        sequences[own] = sequence.wrapping_add(taken);
        let (client, node) = ([10, 0, 0, 2], [10, 0, 0, 1]);
        let (source, target, ports) = match from {
            From::Client => (client, node, [self.client_port, NODE_PORT]),
            From::Node => (node, client, [NODE_PORT, self.client_port]),
        };
        let length = (40 + bytes.len()) as u16;
        let mut packet = vec![0x45, 0];
        packet.extend(length.to_be_bytes());
        packet.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        packet.extend(source.into_iter().chain(target));
        packet.extend(ports.into_iter().flat_map(u16::to_be_bytes));
        packet.extend(sequence.to_be_bytes());
        let expected = if flags & ACK == 0 { 0 } else { expected };
        packet.extend(expected.to_be_bytes());
        packet.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        packet.extend(bytes);
        self.record(&packet)
    }

    fn record(&self, packet: &[u8]) -> io::Result<()> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let length = packet.len() as u32;
        let mut record = Vec::with_capacity(16 + packet.len());
        for word in [since.as_secs() as u32, since.subsec_micros(), length, length] {
            record.extend(word.to_le_bytes());
        }
        record.extend(packet);
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&record)
    }
}

/// Of the classic format, version 2.4, with raw IP packets in it.
fn file_header() -> Vec<u8> {
    let words = [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101];
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}
