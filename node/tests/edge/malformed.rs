//! Malformed packets of every type, made field by field: each is cut at every byte, has a byte too many, and each of its
//! fields is damaged in every way in which a field of its kind can be. Each ends its own connection, with the reason that
//! the standard gives (MQTT 5.0, sections 2.2.2.2 and 4.13), reaches nobody, and leaves whoever else is connected alone.

use crate::client::{Client, PINGREQ, connect, packet, string};
use crate::players::FakePlayers;
use node::edge::{Edge, Limits, serve};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};

/// What a field holds.
#[derive(Clone, PartialEq)]
enum What {
    /// Whatever is not damaged by itself.
    Fixed,
    /// A packet id.
    Id,
    /// A text with its length.
    Text,
    /// A reason code.
    Reason,
    /// Properties, after their length: those that the packet may have.
    Properties(Vec<Property>, &'static [u8]),
    /// All that follows.
    Rest,
}

/// A property's identifier and value.
type Property = (u8, Vec<u8>);

#[derive(Clone)]
struct Field {
    what: What,
    bytes: Vec<u8>,
    /// Whether a packet may end after it.
    ends: bool,
}

/// A packet of a client that is right.
#[derive(Clone)]
struct Sound {
    name: &'static str,
    version: u8,
    first: u8,
    fields: Vec<Field>,
}

/// A packet that is not.
struct Case {
    what: String,
    version: u8,
    bytes: Vec<u8>,
    /// The reasons that fit.
    reasons: &'static [u8],
}

const MALFORMED: &[u8] = &[0x81];
const PROTOCOL_ERROR: &[u8] = &[0x82];
const EITHER: &[u8] = &[0x81, 0x82];

fn field(what: What, bytes: impl Into<Vec<u8>>) -> Field {
    Field { what, bytes: bytes.into(), ends: false }
}

fn last(what: What, bytes: impl Into<Vec<u8>>) -> Field {
    Field { ends: true, ..field(what, bytes) }
}

fn text(words: &str) -> Field {
    field(What::Text, string(words))
}

/// The value of every property of MQTT 5, by its identifier (section 2.2.2.2).
fn property(id: u8) -> Property {
    let value = match id {
        0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a => vec![1],
        0x02 | 0x11 | 0x18 | 0x27 => vec![0, 1, 0, 0],
        0x13 | 0x21 | 0x22 | 0x23 => vec![0, 2],
        0x0b => vec![5],
        0x26 => [string("k"), string("v")].concat(),
        _ => string("x"),
    };
    (id, value)
}

/// Every identifier that there is.
const IDS: [u8; 27] = [
    0x01, 0x02, 0x03, 0x08, 0x09, 0x0b, 0x11, 0x12, 0x13, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1c,
    0x1f, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a,
];

/// Properties that a packet has; `others` it may have beside them.
fn properties(version: u8, ids: &[u8], others: &'static [u8]) -> Option<Field> {
    let held: Vec<Property> = ids.iter().copied().map(property).collect();
    let bytes = encoded(&held);
    (version == 5).then(|| field(What::Properties(held, others), bytes))
}

fn encoded(held: &[Property]) -> Vec<u8> {
    let all: Vec<u8> = held.iter().flat_map(|(id, value)| [&[*id], &value[..]].concat()).collect();
    [&[u8::try_from(all.len()).unwrap()][..], &all].concat()
}

impl Sound {
    fn new(name: &'static str, version: u8, first: u8, fields: Vec<Option<Field>>) -> Self {
        Sound { name, version, first, fields: fields.into_iter().flatten().collect() }
    }

    fn body(&self) -> Vec<u8> {
        self.fields.iter().flat_map(|field| field.bytes.clone()).collect()
    }

    /// The packet with other bytes in place of a field.
    fn with(&self, at: usize, bytes: Vec<u8>) -> Vec<u8> {
        let mut changed = self.clone();
        changed.fields[at].bytes = bytes;
        packet(changed.first, &changed.body())
    }

    fn is_connect(&self) -> bool {
        self.first == 0x10
    }
}

/// One packet of every type that clients send, with all that it can have.
fn sound(version: u8) -> Vec<Sound> {
    let is_new = version == 5;
    let of_new = |field: Field| is_new.then_some(field);
    let ack = |name, first| {
        let id = Field { ends: is_new, ..field(What::Id, [0, 7]) };
        let properties = properties(version, &[0x1f, 0x26], &[]);
        let reason = of_new(last(What::Reason, [0]));
        Sound::new(name, version, first, vec![Some(id), reason, properties])
    };
    let publish = |name, first: u8| {
        let id = (first & 6 != 0).then(|| field(What::Id, [0, 9]));
        let properties = properties(version, &[0x01, 0x02, 0x03, 0x08, 0x09, 0x23, 0x26], &[0x0b]);
        let mut head = vec![Some(text("answer/2a")), id, properties];
        let end = head.iter_mut().flatten().last().unwrap();
        end.ends = true;
        head.push(Some(last(What::Rest, *b"{}")));
        Sound::new(name, version, first, head)
    };
    let introduction = [&string("MQTT")[..], &[version, 0b1100_0110, 0, 30]].concat();
    let connect = vec![
        Some(field(What::Fixed, introduction)),
        properties(version, &[0x11, 0x17, 0x19, 0x21, 0x22, 0x26, 0x27], &[0x15, 0x16]),
        Some(text("mallory")),
        properties(version, &[0x01, 0x02, 0x03, 0x08, 0x09, 0x18, 0x26], &[]),
        Some(text("answer/2a")),
        Some(field(What::Fixed, string("gone"))),
        Some(text("player")),
        Some(field(What::Fixed, string("secret"))),
    ];
    let filters = |options: &[u8]| -> Vec<Option<Field>> {
        let option = |wish: &u8| (options.len() == 2).then(|| last(What::Fixed, [*wish]));
        let filter = |words| Some(Field { ends: options.is_empty(), ..text(words) });
        let (one, two) = (options.first().and_then(option), options.last().and_then(option));
        vec![filter("live/482913"), one, filter("inbox/ada"), two]
    };
    let listed = |name, first, allowed: &'static [u8], options: &[u8]| {
        let head = vec![Some(field(What::Id, [0, 7])), properties(version, &[0x26], allowed)];
        Sound::new(name, version, first, [head, filters(options)].concat())
    };
    let goodbye =
        vec![of_new(last(What::Reason, [4])), properties(version, &[0x11, 0x1f, 0x26], &[])];
    vec![
        Sound::new("CONNECT", version, 0x10, connect),
        publish("PUBLISH at QoS 0", 0x30),
        publish("PUBLISH at QoS 1", 0x32),
        publish("PUBLISH at QoS 2", 0x34),
        ack("PUBACK", 0x40),
        ack("PUBREC", 0x50),
        ack("PUBREL", 0x62),
        ack("PUBCOMP", 0x70),
        listed("SUBSCRIBE", 0x82, &[0x0b], &[0, 1]),
        listed("UNSUBSCRIBE", 0xa2, &[], &[]),
        Sound::new("PINGREQ", version, 0xc0, Vec::new()),
        Sound::new("DISCONNECT", version, 0xe0, goodbye),
    ]
}

/// Every way in which this packet can be wrong.
fn cases(sound: &Sound) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |what: String, bytes: Vec<u8>, reasons| {
        let (name, version) = (sound.name, sound.version);
        cases.push(Case {
            what: format!("{name} of version {version} {what}"),
            version,
            bytes,
            reasons,
        });
    };
    let body = sound.body();
    for cut in cuts(sound) {
        // A packet that ends after a field lacks what it is about, which is another error.
        let reasons = if is_inside(sound, cut) { MALFORMED } else { EITHER };
        add(format!("cut at byte {cut}"), packet(sound.first, &body[..cut]), reasons);
    }
    let is_open = matches!(sound.fields.last(), Some(Field { what: What::Rest, .. }));
    if !is_open {
        let longer = [&body[..], &[0]].concat();
        add("with a byte too many".into(), packet(sound.first, &longer), EITHER);
    }
    add(
        "without an end to its length".into(),
        vec![sound.first, 0xff, 0xff, 0xff, 0xff],
        MALFORMED,
    );
    add("larger than may be".into(), vec![sound.first, 0xff, 0xff, 0x7f], &[0x95]);
    if sound.first & 0xf0 != 0x30 {
        for flags in (0..16).filter(|flags| *flags != sound.first & 15) {
            let first = sound.first & 0xf0 | flags;
            add(format!("with flags {flags:#06b}"), packet(first, &body), MALFORMED);
        }
    }
    for (at, field) in sound.fields.iter().enumerate() {
        for (what, bytes, reasons) in damaged(field) {
            // What are no properties is the message then.
            if is_open && what.ends_with("has 0 bytes") {
                continue;
            }
            add(format!("whose field {at} {what}"), sound.with(at, bytes), reasons);
        }
    }
    cases
}

fn is_inside(sound: &Sound, cut: usize) -> bool {
    let mut end = 0;
    let ends = sound.fields.iter().map(|field| {
        end += field.bytes.len();
        end
    });
    cut > 0 && !ends.collect::<Vec<_>>().contains(&cut)
}

/// Where a packet must not end.
fn cuts(sound: &Sound) -> Vec<usize> {
    let (mut start, mut cuts) = (0, Vec::new());
    let mut may_end = sound.name == "DISCONNECT";
    for field in &sound.fields {
        if !may_end && field.what != What::Rest {
            cuts.push(start);
        }
        if field.what != What::Rest {
            cuts.extend(start + 1..start + field.bytes.len());
        }
        start += field.bytes.len();
        may_end = field.ends;
    }
    cuts
}

type Damage = (String, Vec<u8>, &'static [u8]);

fn damaged(field: &Field) -> Vec<Damage> {
    let named = |(what, bytes, reasons): (&str, Vec<u8>, _)| (what.to_owned(), bytes, reasons);
    match &field.what {
        What::Fixed | What::Rest => Vec::new(),
        What::Id => vec![named(("is zero", vec![0, 0], EITHER))],
        What::Reason => vec![named(("is no reason", vec![0x7f], EITHER))],
        What::Text => texts(&field.bytes).into_iter().map(named).collect(),
        What::Properties(held, others) => damaged_properties(held, others),
    }
}

/// A text as no text may be (MQTT 5.0, section 1.5.4).
fn texts(sound: &[u8]) -> Vec<(&'static str, Vec<u8>, &'static [u8])> {
    let raw = |bytes: &[u8]| [&[0, u8::try_from(bytes.len()).unwrap()][..], bytes].concat();
    let mut endless = sound.to_vec();
    (endless[0], endless[1]) = (0xff, 0xff);
    vec![
        ("is no UTF-8", raw(b"a\xff"), MALFORMED),
        ("ends in the middle of a character", raw(b"a\xe2\x82"), MALFORMED),
        ("is spelt too long", raw(b"\xc0\xaf"), MALFORMED),
        ("has half a surrogate pair", raw(b"\xed\xa0\x80"), MALFORMED),
        ("is beyond Unicode", raw(b"\xf4\x90\x80\x80"), MALFORMED),
        ("has U+0000", raw(b"a\0b"), MALFORMED),
        ("is longer than its packet", endless, MALFORMED),
    ]
}

fn damaged_properties(held: &[Property], others: &[u8]) -> Vec<Damage> {
    let mut all: Vec<Damage> = Vec::new();
    let changed = |at: usize, value: Vec<u8>| {
        let mut held = held.to_vec();
        held[at].1 = value;
        encoded(&held)
    };
    let more = |extra: Property| encoded(&[held, &[extra]].concat());
    for (at, (id, value)) in held.iter().enumerate() {
        if *id != 0x26 {
            let twice = more((*id, value.clone()));
            all.push((format!("has property {id:#04x} twice"), twice, PROTOCOL_ERROR));
        }
        // Where the value ends early, what follows is read as its end: it is the last that lacks something.
        if at + 1 == held.len() {
            let short = changed(at, value[..value.len() - 1].to_vec());
            all.push((format!("has half of property {id:#04x}"), short, MALFORMED));
        }
        let is_text = matches!(id, 0x03 | 0x08 | 0x1f);
        for (what, value, reasons) in is_text.then(|| texts(value)).into_iter().flatten() {
            all.push((format!("has property {id:#04x} that {what}"), changed(at, value), reasons));
        }
        if matches!(id, 0x01 | 0x17 | 0x19) {
            all.push((format!("has property {id:#04x} that is 2"), changed(at, vec![2]), EITHER));
        }
        if matches!(id, 0x21 | 0x23 | 0x27) {
            let zero = changed(at, vec![0; value.len()]);
            let reasons = if *id == 0x23 { &[0x94, 0x82][..] } else { PROTOCOL_ERROR };
            all.push((format!("has property {id:#04x} that is zero"), zero, reasons));
        }
    }
    let known: Vec<u8> = held.iter().map(|(id, _)| *id).collect();
    for id in IDS.into_iter().filter(|id| !known.contains(id) && !others.contains(id)) {
        all.push((format!("has the foreign property {id:#04x}"), more(property(id)), EITHER));
    }
    for id in [0x00, 0x04, 0x2b, 0x7f] {
        all.push((format!("has the unknown property {id:#04x}"), more((id, vec![0])), MALFORMED));
    }
    let sound = encoded(held);
    for by in [1, sound[0].wrapping_neg(), 0x7f - sound[0]] {
        let mut bytes = sound.clone();
        bytes[0] = bytes[0].wrapping_add(by);
        if by != sound[0].wrapping_neg() || !held.is_empty() {
            all.push((format!("says that it has {} bytes", bytes[0]), bytes, EITHER));
        }
    }
    all.push(("has a length without end".into(), [&[0xff; 5], &sound[1..]].concat(), MALFORMED));
    all
}

/// What became of a packet.
#[derive(Debug, PartialEq)]
enum Outcome {
    Taken,
    Refused(Option<u8>),
}

fn dial(edge: &Edge, version: u8) -> Client<DuplexStream> {
    let (io, theirs) = duplex(64 * 1024);
    let edge = edge.clone();
    tokio::spawn(async move { serve(theirs, SocketAddr::from(([127, 0, 0, 1], 9)), &edge).await });
    Client::new(io, version)
}

async fn outcome(edge: &Edge, version: u8, bytes: &[u8], is_connect: bool) -> Outcome {
    let mut client = dial(edge, version);
    if !is_connect {
        // With a session, for whose end a DISCONNECT may say another time.
        client.send(&connect(version, "mallory", 30, &[0x11, 0, 0, 0, 60])).await;
        assert_eq!(client.read().await.expect("a CONNACK").body[1], 0);
    }
    // The node may hang up before it has everything.
    let _ = client.io.write_all(bytes).await;
    let _ = client.io.write_all(&PINGREQ).await;
    let mut reason = None;
    while let Some(packet) = client.read().await {
        match packet.first {
            0xd0 => return Outcome::Taken,
            0x20 if packet.body[1] != 0 => reason = Some(packet.body[1]),
            0xe0 => reason = Some(packet.body.first().copied().unwrap_or_default()),
            _ => {}
        }
    }
    Outcome::Refused(reason)
}

#[tokio::test(start_paused = true)]
async fn a_packet_of_each_type_is_taken_with_all_that_it_may_have() {
    for sound in [sound(4), sound(5)].into_iter().flatten() {
        let edge = Edge::new(FakePlayers::new() as _, Limits::default());
        let bytes = packet(sound.first, &sound.body());
        let found = outcome(&edge, sound.version, &bytes, sound.is_connect()).await;
        let is_end = sound.name == "DISCONNECT";
        let wanted = if is_end { Outcome::Refused(None) } else { Outcome::Taken };
        assert_eq!(found, wanted, "{} of version {}", sound.name, sound.version);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_malformed_in_any_field_of_any_packet_ends_its_connection_alone_and_with_its_reason()
 {
    let players = FakePlayers::new();
    let edge = Edge::new(Arc::clone(&players) as _, Limits::default());
    let mut witness = dial(&edge, 5);
    witness.send(&connect(5, "witness", 0, &[])).await;
    assert_eq!(witness.read().await.expect("a CONNACK").first, 0x20);
    let (mut wrong, mut count) = (Vec::new(), 0);
    for sound in [sound(4), sound(5)].into_iter().flatten() {
        for Case { what, version, bytes, reasons } in cases(&sound) {
            count += 1;
            let found = outcome(&edge, version, &bytes, sound.is_connect()).await;
            let fits = match found {
                Outcome::Taken => false,
                // Before MQTT 5, and before the client is known to speak it, the end says it all.
                Outcome::Refused(None) => version == 4 || sound.is_connect(),
                Outcome::Refused(Some(reason)) => reasons.contains(&reason),
            };
            if !fits {
                wrong.push(format!("{what}: {found:02x?}, expected {reasons:02x?}"));
            }
            witness.send(&PINGREQ).await;
            assert_eq!(witness.read().await.expect("it goes on").first, 0xd0, "{what}");
        }
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count > 900, "{count} cases");
    assert_eq!(players.topics(), Vec::<String>::new(), "nothing of it was taken");
    witness.publish(1, 9, "answer/2a", b"{}").await;
    assert_eq!(witness.read().await.expect("a PUBACK").first, 0x40);
}
