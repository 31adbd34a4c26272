//! The player of these tests keeps its own rule, or its record would prove nothing: an answer that
//! was acknowledged is never published again, one that was not is repeated on the next node.
//!
//! The nodes here are scripts of a few packets of MQTT 3.1.1 (OASIS, section 3), so that they can
//! break off wherever a test wants.

use crdt_state::PlayerId;
use node::service::view::NodeLinks;
use serde_json::{Value, json};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, RwLock};
use std::thread;
use std::time::Duration;
use tests::player::{Dialect, Player, PlayerOptions, Transport};

const WAIT_MAX: Duration = Duration::from_secs(10);

/// What a scripted node does with an answer.
#[derive(Debug, Clone, Copy)]
enum OnAnswer {
    Acknowledge,
    AcknowledgeAndDie,
    Die,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledged_answer_is_never_published_again() {
    let (one, other, player) = play(OnAnswer::AcknowledgeAndDie).await;
    player.answer(1, &[2]);
    assert_eq!(one.answer()["choices"], json!([2]));
    assert_eq!(other.next("connect/1c")["token"], "token");
    // Packets keep their order: had the answer been repeated, it would come before this.
    player.publish("marker", "{}");
    other.next("marker");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unacknowledged_answer_is_repeated_on_the_next_node() {
    let (one, other, player) = play(OnAnswer::Die).await;
    player.answer(1, &[2]);
    let first = one.answer();
    assert_eq!(other.next("connect/1c")["token"], "token");
    assert_eq!(other.answer(), first);
    let record =
        player.wait("the acknowledgement", WAIT_MAX, |it| it.reason("answer/1c").is_some());
    let record = record.await;
    assert_eq!((record.connections, record.node), (2, Some(1)));
    assert_eq!(record.errors, [""; 0]);
}

/// A player that has joined at a node that treats answers as told; the other node is a good one.
async fn play(on_answer: OnAnswer) -> (Node, Node, Player) {
    let (one, other) = (Node::start(on_answer), Node::start(OnAnswer::Acknowledge));
    let directory = Arc::new(RwLock::new(vec![one.links.clone(), other.links.clone()]));
    let options = PlayerOptions {
        pin: "482913".to_owned(),
        id: PlayerId(0x2a << 120),
        name: "Ada".to_owned(),
        node: 0,
        dialect: Dialect::V311,
        transport: Transport::Tcp,
    };
    let player = Player::start(options, directory);
    assert_eq!(one.next("connect/1c")["name"], "Ada");
    player.wait_joined(WAIT_MAX).await;
    (one, other, player)
}

/// A scripted node.
struct Node {
    links: NodeLinks,
    published: Receiver<(String, Value)>,
}

impl Node {
    fn start(on_answer: OnAnswer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let mqtt = listener.local_addr().expect("it is bound").to_string();
        let (to, published) = sync_channel(16);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // An error is the client's leave, or ours.
                let _ = serve(stream, on_answer, &to);
            }
        });
        let (http, ws) = (String::new(), String::new());
        Node {
            links: NodeLinks { name: mqtt.clone(), http, ws, mqtt, mqtts: String::new() },
            published,
        }
    }

    /// The next thing published, which must be to `topic`.
    fn next(&self, topic: &str) -> Value {
        let (found, payload) = self.published.recv_timeout(WAIT_MAX).expect("a publish comes");
        assert_eq!(found, topic, "{payload}");
        payload
    }

    fn answer(&self) -> Value {
        self.next("answer/1c")
    }
}

/// One connection, until one side ends it.
fn serve(
    mut stream: TcpStream,
    on_answer: OnAnswer,
    to: &SyncSender<(String, Value)>,
) -> io::Result<()> {
    loop {
        let (kind, body) = packet(&mut stream)?;
        match kind >> 4 {
            1 => stream.write_all(&[0x20, 2, 0, 0])?,
            8 => stream.write_all(&[0x90, 3, body[0], body[1], 1])?,
            3 => {
                let length = usize::from(body[0]) << 8 | usize::from(body[1]);
                let (topic, rest) = body[2..].split_at(length);
                let topic = String::from_utf8_lossy(topic).into_owned();
                let payload = serde_json::from_slice(&rest[2..]).unwrap_or_default();
                let answered = topic.starts_with("answer/");
                let _ = to.send((topic, payload));
                if answered && matches!(on_answer, OnAnswer::Die) {
                    return Ok(());
                }
                stream.write_all(&[0x40, 2, rest[0], rest[1]])?;
                if answered && matches!(on_answer, OnAnswer::AcknowledgeAndDie) {
                    return Ok(());
                }
                if !answered {
                    stream.write_all(&joined())?;
                }
            }
            _ => {}
        }
    }
}

/// A packet's first byte and its body; the lengths of these tests take at most two bytes.
fn packet(stream: &mut TcpStream) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    stream.read_exact(&mut head)?;
    let mut length = usize::from(head[1] & 0x7f);
    if head[1] & 0x80 != 0 {
        let mut more = [0];
        stream.read_exact(&mut more)?;
        length |= usize::from(more[0]) << 7;
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok((head[0], body))
}

/// A `joined` message at QoS 0.
fn joined() -> Vec<u8> {
    let player = PlayerId(0x2a << 120);
    let topic = format!("inbox/{player}");
    let payload = json!({
        "type": "joined", "event": "00000000000000aa", "pin": "482913", "player": player,
        "name": "Ada", "token": "token", "level": "firm", "nodes": [], "points": 0,
        "rank": null, "players": 1,
    });
    let payload = payload.to_string();
    let length = 2 + topic.len() + payload.len();
    let mut packet = vec![0x30, (length & 0x7f) as u8 | 0x80, (length >> 7) as u8];
    packet.extend([0, topic.len() as u8]);
    packet.extend(topic.as_bytes());
    packet.extend(payload.as_bytes());
    packet
}
