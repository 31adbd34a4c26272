//! What the guard refuses, and that nothing makes it panic or grow.

use crate::client::{connect, packet, publish, string, subscribe, unsubscribe};
use node::edge::guard::{Fault, Guard};
use node::edge::packet::{Acknowledge, Inbound, Outbound, Welcome};
use node::service::view::Refusal;
use node::service::{Reason, Verdict};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const PACKET_BYTES_MAX: u32 = 64 * 1024;

/// A guard whose client was welcomed.
fn welcomed(version: u8) -> Guard {
    let mut guard = Guard::new(PACKET_BYTES_MAX);
    guard.feed(&connect(version, "c", 30, &[]));
    assert!(matches!(guard.poll_packet(), Ok(Some(Inbound::Connect(_)))));
    guard.encode(&welcome()).unwrap();
    guard
}

fn welcome() -> Outbound<'static> {
    Outbound::Connack(Welcome { receive_maximum: 16, ..Welcome::default() })
}

fn verdict() -> Verdict {
    Verdict::accepted("{}")
}

fn fault(version: u8, bytes: &[u8]) -> Option<Fault> {
    let mut guard = welcomed(version);
    guard.feed(bytes);
    guard.poll_packet().err()
}

fn first_fault(bytes: &[u8]) -> (Option<Fault>, Option<Vec<u8>>) {
    let mut guard = Guard::new(PACKET_BYTES_MAX);
    guard.feed(bytes);
    let fault = guard.poll_packet().err();
    let words = fault.map(|fault| fault.to_string()).unwrap_or_default();
    let farewell = fault.and_then(|fault| guard.farewell(fault.reason(), &words, None));
    (fault, farewell.map(|bytes| bytes.to_vec()))
}

#[test]
fn a_client_without_topic_aliases_does_not_panic_the_state_machine() {
    let properties: [&[u8]; 3] =
        [&[0x22, 0, 0], &[0x21, 0, 9, 0x22, 0, 0], b"\x26\0\x01k\0\x01v\x22\0\0"];
    for properties in properties {
        let mut guard = Guard::new(PACKET_BYTES_MAX);
        guard.feed(&connect(5, "c", 30, properties));
        assert!(matches!(guard.poll_packet(), Ok(Some(Inbound::Connect(_)))), "{properties:?}");
    }
}

#[test]
fn packet_id_zero_is_refused() {
    for version in [4, 5] {
        let publish = publish(version, 1, 0, "t", b"");
        assert_eq!(fault(version, &publish), Some(Fault::PacketIdZero));
        assert_eq!(fault(version, &subscribe(version, 0, &["t"])), Some(Fault::PacketIdZero));
        assert_eq!(fault(version, &unsubscribe(version, 0, &["t"])), Some(Fault::PacketIdZero));
    }
    assert_eq!(fault(4, &[0x62, 2, 0, 0]), Some(Fault::PacketIdZero));
}

#[test]
fn reserved_flags_are_refused() {
    for version in [4, 5] {
        for first in [0x80, 0x83, 0xa0, 0x60, 0xc1, 0xe1, 0x41, 0x36, 0x38] {
            let mut bytes = subscribe(version, 1, &["t"]);
            bytes[0] = first;
            assert_eq!(fault(version, &bytes), Some(Fault::FlagsReserved), "{first:#x}");
        }
    }
    let mut options = subscribe(4, 1, &["t"]);
    *options.last_mut().unwrap() = 0x11;
    assert_eq!(fault(4, &options), Some(Fault::FlagsReserved));
    for (version, flags) in
        [4, 5].into_iter().flat_map(|v| [0x03, 0x1e, 0x0a, 0x22].map(|f| (v, f)))
    {
        let mut bytes = connect(version, "c", 30, &[]);
        bytes[9] = flags;
        let fault = first_fault(&bytes).0;
        assert_eq!(fault, Some(Fault::FlagsReserved), "{flags:#x} in version {version}");
    }
}

#[test]
fn malformed_topics_and_filters_are_refused() {
    for version in [4, 5] {
        for topic in ["a/+", "#", "a/#", "+"] {
            let publish = publish(version, 0, 0, topic, b"");
            assert_eq!(fault(version, &publish), Some(Fault::TopicWildcard));
        }
        for filter in ["", "a#", "#/b", "a+", "+a/b", "a/#/b", "##"] {
            let bytes = subscribe(version, 1, &[filter]);
            assert_eq!(fault(version, &bytes), Some(Fault::FilterMalformed), "{filter}");
            let bytes = unsubscribe(version, 1, &[filter]);
            assert_eq!(fault(version, &bytes), Some(Fault::FilterMalformed), "{filter}");
        }
        for filter in ["#", "+", "a/+/b", "a/#", "/", "$share/g/a"] {
            assert_eq!(fault(version, &subscribe(version, 1, &[filter])), None, "{filter}");
        }
    }
    assert_eq!(fault(4, &publish(4, 0, 0, "", b"x")), Some(Fault::TopicEmpty));
    // An alias that was never granted.
    assert_eq!(fault(5, &publish(5, 0, 0, "", b"x")), Some(Fault::Protocol(0x94)));
}

#[test]
fn what_a_server_sends_is_not_taken_from_a_client() {
    for version in [4, 5] {
        for bytes in [&[0x20, 2, 0, 0][..], &[0x90, 3, 0, 1, 0], &[0xd0, 0], &[0x00, 0]] {
            assert!(matches!(fault(version, bytes), Some(Fault::Protocol(_))), "{bytes:?}");
        }
        let again = connect(version, "c", 30, &[]);
        assert!(matches!(fault(version, &again), Some(Fault::Protocol(_))));
    }
    assert_eq!(fault(5, &[0xf0, 0]), Some(Fault::Protocol(0x82)), "AUTH");
}

#[test]
fn what_the_connack_rules_out_is_refused_in_its_words() {
    let body = [&[0, 1, 2, 0x0b, 5][..], &string("t"), &[0]].concat();
    assert_eq!(fault(5, &packet(0x82, &body)).unwrap().reason(), 0xa1);
    let alias = [&string("t")[..], &[3, 0x23, 0, 9]].concat();
    assert_eq!(fault(5, &packet(0x30, &alias)).unwrap().reason(), 0x94);
    assert_eq!(fault(5, &[0x30, 0xff, 0xff, 0x7f]).unwrap().reason(), 0x95);
}

/// A CONNACK of MQTT 5 with a reason, and words.
fn connack(reason: u8, words: &str) -> Option<Vec<u8>> {
    let said = if words.is_empty() { Vec::new() } else { [&[0x1f][..], &string(words)].concat() };
    let length = u8::try_from(said.len()).unwrap();
    assert!(length < 120, "one byte for each length");
    Some(packet(0x20, &[&[0, reason, length][..], &said].concat()))
}

#[test]
fn a_refused_introduction_is_told_why() {
    let old = packet(0x10, b"\0\x06MQIsdp\x03\x02\0\x1e\0\x01c");
    assert_eq!(first_fault(&old), (Some(Fault::VersionUnsupported), Some(vec![0x20, 2, 0, 1])));
    let mut nameless = connect(4, "", 30, &[]);
    nameless[9] = 0;
    assert_eq!(first_fault(&nameless), (Some(Fault::ClientIdMissing), Some(vec![0x20, 2, 0, 2])));

    let long = "c".repeat(257);
    let with_will = |topic: &str, payload: &str| {
        let body =
            [b"\0\x04MQTT\x05\x06\0\x1e\0\0\x01c\0".to_vec(), string(topic), string(payload)];
        packet(0x10, &body.concat())
    };
    let (malformed, broken) = (Fault::Protocol(0x81), Fault::Protocol(0x82));
    for (bytes, fault) in [
        (connect(6, "c", 30, &[]), Fault::VersionUnsupported),
        (connect(5, &long, 30, &[]), Fault::ClientIdLong),
        (connect(5, "c", 30, b"\x15\0\x01x"), Fault::AuthenticationUnsupported),
        (connect(5, "c", 30, &[0x21, 0, 0]), broken),
        (connect(5, "c", 30, &[0x21, 0, 9, 0x21, 0, 9]), broken),
        (connect(5, "c", 30, &[0x99]), malformed),
        (with_will("a/#", "x"), Fault::TopicWildcard),
        (with_will("t", &"x".repeat(5000)), Fault::WillLarge),
    ] {
        let told = connack(fault.reason(), &fault.to_string());
        assert_eq!(first_fault(&bytes), (Some(fault), told), "{bytes:02x?}");
    }
    // Who wants no words has none, if that much could be read.
    let silent = connect(5, "c", 30, b"\x17\0\x15\0\x01x");
    assert_eq!(first_fault(&silent).1, connack(0x8c, ""));
}

#[test]
fn proof_without_a_method_and_a_will_with_an_answer_to_nowhere_are_refused() {
    let broken = Fault::Protocol(0x82);
    let refused = (Some(broken), connack(0x82, &broken.to_string()));
    assert_eq!(first_fault(&connect(5, "c", 30, b"\x16\0\x01x")), refused);
    let mut body = b"\0\x04MQTT\x05\x06\0\x1e\0\0\x01c\x03\x08\0\0".to_vec();
    body.extend([string("t"), string("gone")].concat());
    assert_eq!(first_fault(&packet(0x10, &body)), refused);
}

/// MQTT 5.0, section 3.1.2.9.
#[test]
fn a_password_without_a_user_name_is_taken_in_mqtt_5() {
    let will = [&[0][..], &string("answer/2a"), &string("gone")].concat();
    for (will_flag, will) in [(0, Vec::new()), (4, will)] {
        for password in [String::new(), "token".to_owned(), "x".repeat(300)] {
            let introduced = |version: u8, user: Option<&str>| {
                let named = if user.is_some() { 0x80 } else { 0 };
                let properties = if version == 5 { &[3, 0x22, 0, 0][..] } else { &[] };
                let head =
                    [b"\0\x04MQTT", &[version, 0x42 | named | will_flag, 0, 30][..], properties];
                let user = user.map(string).unwrap_or_default();
                let rest = [string("c"), will.clone(), user, string(&password)];
                let mut guard = Guard::new(PACKET_BYTES_MAX);
                guard.feed(&packet(0x10, &[head.concat(), rest.concat()].concat()));
                guard.poll_packet()
            };
            let alone = introduced(5, None);
            let Ok(Some(Inbound::Connect(connect))) = &alone else { panic!("{alone:?}") };
            assert_eq!(connect.password.as_deref(), Some(password.as_bytes()));
            assert_eq!((connect.will.is_some(), connect.alias_maximum), (will_flag > 0, 0));
            assert_eq!(alone, introduced(5, Some("")), "as with an empty name");
            if will_flag == 0 {
                assert!(introduced(4, None).is_err(), "MQTT 3.1.1 has no such thing");
            }
        }
    }
    // What ends too early is refused as ever.
    let whole = b"\0\x04MQTT\x05\x42\0\x1e\0\0\x01c\0\x05token";
    for length in 8..whole.len() {
        assert!(first_fault(&packet(0x10, &whole[..length])).0.is_some(), "{length} bytes");
    }
    assert!(first_fault(&packet(0x10, &[&whole[..], b"x"].concat())).0.is_some());
}

/// What nobody may publish to is no topic of a will either (MQTT 5.0, section 4.7).
#[test]
fn a_will_has_a_topic_that_can_be_published_to() {
    for version in [4, 5] {
        let no_properties = if version == 5 { &[0][..] } else { &[] };
        let cases =
            [("", Fault::TopicEmpty), ("a/+", Fault::TopicWildcard), ("#", Fault::TopicWildcard)];
        for (topic, fault) in cases {
            let head = [&b"\0\x04MQTT"[..], &[version, 6, 0, 30], no_properties].concat();
            let will = [no_properties, &string(topic), &string("gone")].concat();
            let body = [head, string("c"), will].concat();
            assert_eq!(first_fault(&packet(0x10, &body)).0, Some(fault), "{topic:?}");
        }
    }
}

#[test]
fn other_protocols_are_cut_off_at_their_first_bytes() {
    for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"\x16\x03\x01\x02\x00", b"SSH-2.0-x"] {
        assert_eq!(first_fault(bytes), (Some(Fault::ConnectExpected), None));
    }
    assert_eq!(first_fault(&[0x10, 0xff, 0xff, 0xff, 0xff]).0, Some(Fault::LengthMalformed));
}

#[test]
fn a_packet_in_single_bytes_is_read_like_one_in_a_piece() {
    let mut guard = welcomed(5);
    let bytes = publish(5, 1, 9, "answer/2a", b"{}");
    for byte in &bytes[..bytes.len() - 1] {
        guard.feed(&[*byte]);
        assert_eq!(guard.poll_packet(), Ok(None));
    }
    guard.feed(&bytes[bytes.len() - 1..]);
    let Ok(Some(Inbound::Publish(publish))) = guard.poll_packet() else { panic!("no publish") };
    assert_eq!(publish.acknowledge, Acknowledge::Once(9));
    assert_eq!((publish.topic.as_str(), &publish.payload[..]), ("answer/2a", &b"{}"[..]));
    assert_eq!(guard.buffered(), 0);
}

#[test]
fn too_many_unreleased_publishes_are_cut_off() {
    let mut guard = welcomed(4);
    let taken = (1..=100).take_while(|id| {
        guard.feed(&publish(4, 2, *id, "t", b""));
        guard.poll_packet().is_ok() && guard.encode(&Outbound::Pubrec(*id, &verdict())).is_ok()
    });
    assert_eq!(taken.count(), 64);
    assert_eq!(guard.poll_packet(), Ok(None));
}

#[test]
fn words_are_left_out_for_a_client_that_takes_none() {
    let verdict = Verdict::accepted("x".repeat(50));
    let acknowledged = |verdict: &Verdict, properties: &[u8]| {
        let mut guard = Guard::new(PACKET_BYTES_MAX);
        guard.feed(&connect(5, "c", 30, properties));
        guard.poll_packet().unwrap();
        guard.encode(&welcome()).unwrap();
        let both = [Outbound::Puback(1, verdict), Outbound::Pubrec(1, verdict)];
        both.map(|it| guard.encode(&it).unwrap().to_vec())
    };
    let longest = |properties: &[u8]| acknowledged(&verdict, properties).map(|it| it.len());
    assert!(longest(&[])[0] > 50);
    assert_eq!(longest(&[0x17, 0]), [5, 5], "request problem information 0");
    assert_eq!(longest(&[0x27, 0, 0, 0, 40]), [5, 5], "maximum packet size 40");

    // Of a refusal the words go first, then what programs read.
    let refusal = Refusal::new("late", "the question is closed").hint("wait for the next one");
    let refused = Verdict::refused(Reason::ImplementationSpecific, refusal);
    let words = b"\x1f\0\x33late: the question is closed; wait for the next one";
    let receipt = b"\x26\0\x07receipt";
    let says = |bytes: &[u8], text: &[u8]| bytes.windows(text.len()).any(|it| it == text);
    let mut seen = [0; 3];
    for limit in 40..=255 {
        for bytes in acknowledged(&refused, &[0x27, 0, 0, 0, limit]) {
            assert!(bytes.len() <= limit.into(), "{limit}: {bytes:02x?}");
            let said = (says(&bytes, words), says(&bytes, receipt));
            assert_ne!(said, (true, false), "the words go first");
            seen[usize::from(said.0) + usize::from(said.1)] += 1;
        }
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
    for bytes in acknowledged(&refused, &[0x17, 0]) {
        assert_eq!(bytes.len(), 5, "a reason and nothing else: {bytes:02x?}");
    }
}

#[test]
fn last_words_fit_the_largest_packet_that_a_client_takes() {
    const ELSEWHERE: &str = "n2.example:1883";
    let farewell = |limit: u8, is_welcomed: bool| {
        let mut guard = Guard::new(PACKET_BYTES_MAX);
        // One that is refused says its limit in the very packet that is.
        let refused: &[u8] = if is_welcomed { &[] } else { b"\x15\0\x01x" };
        guard.feed(&connect(5, "c", 30, &[refused, &[0x27, 0, 0, 0, limit]].concat()));
        assert_eq!(guard.poll_packet().is_ok(), is_welcomed);
        if is_welcomed {
            // Too small a limit has no room for a CONNACK of success, and says so in one that it has.
            let connack = guard.encode(&welcome()).map(|connack| connack.len());
            assert!(matches!(connack, Err(Fault::Oversized)) || connack.unwrap() <= limit.into());
        }
        guard.farewell(0x9c, "the words of a refusal", Some(ELSEWHERE)).map(Vec::from)
    };
    let says = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|it| it == text.as_bytes());
    for is_welcomed in [true, false] {
        let mut seen = [0; 3];
        for limit in 1..=100 {
            let Some(bytes) = farewell(limit, is_welcomed) else {
                assert!(limit < 5, "{limit}");
                continue;
            };
            assert!(bytes.len() <= limit.into(), "{limit}: {bytes:02x?}");
            let (words, elsewhere) = (says(&bytes, "refusal"), says(&bytes, ELSEWHERE));
            assert!(elsewhere || !words, "the words go first");
            seen[usize::from(words) + usize::from(elsewhere)] += 1;
        }
        let [bare, referred, told] = seen.map(|it| it > 0);
        assert_eq!((bare, referred, told), (true, true, true));
    }
}

#[test]
fn faults_are_told_in_words() {
    let alias = fault(5, &publish(5, 0, 0, "", b"x")).unwrap();
    assert!(alias.to_string().contains("topic alias"), "{alias}");
    let authentication = fault(5, &[0xf0, 0]).unwrap();
    assert!(authentication.to_string().contains("not allowed here"), "{authentication}");
    let cut = fault(5, &packet(0x82, &[0])).unwrap();
    assert!(cut.to_string().contains("malformed"), "{cut}");
    for reason in 0x80..=0xa2 {
        let told = Fault::Protocol(reason).to_string();
        assert!(!told.contains("0x") && !told.is_empty(), "{reason:#x}: {told}");
    }
}

#[test]
fn twenty_thousand_mutated_dialogues_neither_panic_nor_grow() {
    let mut rng = ChaCha8Rng::seed_from_u64(482_913);
    let mut seen = Seen::default();
    for case in 0..20_000 {
        let bytes = mutated_dialogue(&mut rng);
        run_dialogue(&bytes, &mut rng, &mut seen, case);
    }
    // The mutations are mild enough to get past the first packet, and wild enough to be refused.
    assert!(seen.publishes > 5_000 && seen.subscribes > 2_000 && seen.repeated > 50, "{seen:?}");
    assert!(seen.answers > 1_000, "{seen:?}");
    assert!(seen.faults > 5_000, "{seen:?}");
}

#[derive(Debug, Default)]
struct Seen {
    publishes: u32,
    subscribes: u32,
    repeated: u32,
    answers: u32,
    faults: u32,
}

fn run_dialogue(bytes: &[u8], rng: &mut ChaCha8Rng, seen: &mut Seen, case: u32) {
    let mut guard = Guard::new(300);
    let mut rest = bytes;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(1 + below(rng, rest.len()));
        rest = after;
        guard.feed(chunk);
        loop {
            match guard.poll_packet() {
                Ok(Some(inbound)) => answer(&mut guard, inbound, seen),
                Ok(None) => break,
                Err(fault) => {
                    assert_ne!(fault, Fault::Panicked, "case {case}: {bytes:02x?}");
                    seen.faults += 1;
                    let _ = guard.farewell(fault.reason(), "no", Some("n2:1883"));
                    return;
                }
            }
        }
        assert!(guard.buffered() < 300, "case {case} keeps {} bytes", guard.buffered());
    }
}

/// Answers as the connection would. What the client does not take is no failure.
fn answer(guard: &mut Guard, inbound: Inbound, seen: &mut Seen) {
    let verdict = verdict();
    let outcomes = |count| vec![Ok(0); count];
    let _ = match inbound {
        Inbound::Connect(_) => guard.encode(&welcome()),
        Inbound::Publish(publish) => {
            seen.publishes += 1;
            match publish.acknowledge {
                Acknowledge::Not => return,
                Acknowledge::Once(id) => guard.encode(&Outbound::Puback(id, &verdict)),
                Acknowledge::Twice(id) => guard.encode(&Outbound::Pubrec(id, &verdict)),
            }
        }
        Inbound::Subscribe { packet_id, wishes } => {
            seen.subscribes += 1;
            guard.encode(&Outbound::Suback(packet_id, &outcomes(wishes.len())))
        }
        Inbound::Unsubscribe { packet_id, filters } => {
            guard.encode(&Outbound::Unsuback(packet_id, &vec![true; filters.len()]))
        }
        Inbound::Release { packet_id, known } => guard.encode(&Outbound::Pubcomp(packet_id, known)),
        Inbound::Ping => guard.encode(&Outbound::Pingresp),
        Inbound::Repeated(_) => {
            seen.repeated += 1;
            return;
        }
        Inbound::Has(_) => {
            seen.answers += 1;
            return;
        }
        Inbound::Disconnect { .. } => return,
    };
}

/// A few packets of a client, some of them damaged.
fn mutated_dialogue(rng: &mut ChaCha8Rng) -> Vec<u8> {
    let version = 4 + u8::from(below(rng, 2) == 1);
    let properties = b"\x11\0\0\0\x05\x21\0\x08\x22\0\0\x27\0\0\x01\0\x17\x01";
    let mut bytes = connect(version, "c", 30, properties);
    let mut damage = Vec::new();
    for _ in 0..1 + below(rng, 6) {
        let start = bytes.len();
        bytes.extend(any_packet(version, rng));
        damage.push(start..bytes.len());
    }
    // Half of the damage hits the CONNECT too.
    let from = if below(rng, 2) == 0 { 0 } else { damage[0].start };
    for _ in 0..below(rng, 3) {
        damage_once(&mut bytes, from, rng);
    }
    bytes
}

fn any_packet(version: u8, rng: &mut ChaCha8Rng) -> Vec<u8> {
    let id = 1 + u16::try_from(below(rng, 3)).unwrap();
    match below(rng, 10) {
        0 => publish(version, 0, 0, "connect/2a", b"{}"),
        1 | 2 => publish(version, 1, id, "answer/2a", b"{\"choices\":[1]}"),
        3 => publish(version, 2, id, "answer/2a", b"x"),
        4 => subscribe(version, id, &["live/482913", "inbox/1"]),
        5 => unsubscribe(version, id, &["live/482913"]),
        6 => packet(0x62, &id.to_be_bytes()),
        7 => packet([0x40, 0x50, 0x70][below(rng, 3)], &id.to_be_bytes()),
        8 if version == 5 => packet(0x30, b"\0\x01t\x08\x23\0\x01\x26\0\0\0\0payload"),
        9 if version == 5 => packet(0xf0, &[0x18, 0]),
        _ => vec![0xc0, 0],
    }
}

fn damage_once(bytes: &mut Vec<u8>, from: usize, rng: &mut ChaCha8Rng) {
    if from + 1 >= bytes.len() {
        return;
    }
    let at = from + below(rng, bytes.len() - from);
    match below(rng, 6) {
        0 => bytes[at] ^= 1 << below(rng, 8),
        1 => bytes[at] = below(rng, 256) as u8,
        2 => bytes[at] = [0, 0x7f, 0x80, 0xff][below(rng, 4)],
        3 => bytes.truncate(at),
        4 => bytes.insert(at, below(rng, 256) as u8),
        _ => {
            bytes.remove(at);
        }
    }
}

fn below(rng: &mut ChaCha8Rng, bound: usize) -> usize {
    usize::try_from(rng.next_u32()).unwrap() % bound
}
