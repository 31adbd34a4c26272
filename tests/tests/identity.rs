//! Closed shows: whom the operator's own platform vouches for comes in, and nobody else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use node::identity::bearer::player_of;
use node::identity::{IdentityConfig, IdentityError, KeySet, KeySource};
use node::service::view::Command;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use tests::cluster::Http;
use tests::lab::{eventually, need};
use tests::platform::{
    ISSUER, KeyServer, SigningKey, claims, confused, jwks, now_s, unsigned, with,
};
use tests::raw::{Raw, slotted};
use tests::shows::closed_sums;
use tests::single::{Single, SingleShow};

const EVENT: &str = "00000000000000ff";

fn check(keys: &KeySet, token: &str) -> Result<String, IdentityError> {
    let config = IdentityConfig::new(KeySource::File(PathBuf::new()));
    let bearer = keys.open(token)?.check(&config, now_s() * 1_000)?;
    Ok(bearer.player.expect("a platform's tokens name somebody").to_string())
}

#[test]
fn tokens_of_all_three_algorithms_are_taken() {
    let all = [SigningKey::hs256("h"), SigningKey::rs256("r"), SigningKey::eddsa("e")];
    let keys = KeySet::read(jwks(&all.each_ref()).as_bytes()).unwrap();
    assert_eq!((keys.len(), keys.skipped), (3, 0));
    let ada = player_of(ISSUER, "ada").to_string();
    for key in &all {
        let algorithm = key.algorithm();
        let token = key.sign(&claims("ada", EVENT));
        assert_eq!(check(&keys, &token), Ok(ada.clone()), "{algorithm}");
        let nameless = key.sign_with(&json!({ "alg": algorithm }), &claims("ada", EVENT));
        assert_eq!(check(&keys, &nameless), Ok(ada.clone()), "{algorithm} without a key id");
        let (rest, _) = token.rsplit_once('.').unwrap();
        let (_, other) = key.sign(&claims("eve", EVENT)).rsplit_once('.').map(own).unwrap();
        assert_eq!(check(&keys, &format!("{rest}.{other}")), Err(IdentityError::Forged));
    }
}

fn own((a, b): (&str, &str)) -> (String, String) {
    (a.to_owned(), b.to_owned())
}

#[test]
fn a_header_never_decides_how_a_key_is_used() {
    let (rsa, ed) = (SigningKey::rs256("r"), SigningKey::eddsa("e"));
    let keys = KeySet::read(jwks(&[&rsa, &ed]).as_bytes()).unwrap();
    let ada = claims("ada", EVENT);
    assert_eq!(check(&keys, &unsigned(&ada)), Err(IdentityError::Algorithm));
    for key in [&rsa, &ed] {
        let public = key.jwk();
        let public = public["n"].as_str().or(public["x"].as_str()).unwrap().as_bytes();
        let token = confused(key, public, &ada);
        assert_eq!(check(&keys, &token), Err(IdentityError::KeyUnknown));
    }
    let dressed = ed.sign_with(&json!({ "alg": "RS256", "kid": "r" }), &ada);
    assert_eq!(check(&keys, &dressed), Err(IdentityError::Forged));
    let swapped = ed.sign_with(&json!({ "alg": "EdDSA", "kid": "r" }), &ada);
    assert_eq!(check(&keys, &swapped), Err(IdentityError::KeyUnknown));
    for alg in ["ES256", "HS512", "RS512", "PS256"] {
        let token = ed.sign_with(&json!({ "alg": alg, "kid": "e" }), &ada);
        assert_eq!(check(&keys, &token), Err(IdentityError::Algorithm), "{alg}");
    }
    let critical = json!({ "alg": "EdDSA", "kid": "e", "crit": ["b64"], "b64": false });
    assert_eq!(check(&keys, &ed.sign_with(&critical, &ada)), Err(IdentityError::Algorithm));
    for text in ["", "ey", "ey..", "a.b.c", &"ey.".repeat(3), &format!("{}.", "ey.".repeat(3))] {
        assert_eq!(check(&keys, text), Err(IdentityError::Malformed), "{text:?}");
    }
}

#[test]
fn keys_of_no_use_are_passed_over() {
    let good = SigningKey::eddsa("e").jwk();
    let short = json!({ "kty": "oct", "kid": "s", "k": "c2hvcnQ" });
    let encrypting = with(SigningKey::rs256("r").jwk(), "use", json!("enc"));
    let other = with(SigningKey::hs256("h").jwk(), "alg", json!("HS512"));
    let curve = json!({ "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" });
    let keys = [short, encrypting, other, curve, json!({ "kty": "new" }), json!(7)];
    let useless = json!({ "keys": keys }).to_string();
    // A document that is well formed and has nothing of use takes all keys back.
    let read = KeySet::read(useless.as_bytes()).unwrap();
    assert_eq!((read.len(), read.skipped), (0, 6));
    let all = [&keys[..], &[good]].concat();
    let mixed = json!({ "keys": all }).to_string();
    let read = KeySet::read(mixed.as_bytes()).unwrap();
    assert_eq!((read.len(), read.skipped), (1, 6));
    assert!(KeySet::read(b"{}").is_err());
    assert!(KeySet::read(&vec![b' '; 300 << 10]).is_err());
}

/// A node that takes the tokens of a platform, and a closed show on it.
struct Closed {
    node: Single,
    show: SingleShow,
    keys: PathBuf,
    http: Http,
    _folder: TempDir,
}

impl Closed {
    fn start(keys: &[&SigningKey]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jwks.json");
        fs::write(&path, jwks(keys)).unwrap();
        let node = Single::start(&arguments(path.to_str().unwrap()));
        let show = node.show(&closed_sums(2, 60_000));
        Closed { node, show, keys: path, http: Http::new(), _folder: folder }
    }

    fn event(&self) -> String {
        self.show.imported.event.to_string()
    }

    fn claims(&self, subject: &str) -> Value {
        claims(subject, &self.event())
    }

    fn connect(&self, v5: bool, token: &str) -> (Raw, tests::raw::Said) {
        Raw::connect(self.node.bound.mqtt, v5, "", Some(token))
    }

    fn join(&self, raw: &mut Raw, subject: &str) -> tests::raw::Said {
        let player = player_of(ISSUER, subject).to_string();
        let join = json!({ "pin": self.show.imported.pin });
        raw.publish(&slotted("connect", &player), &join)
    }
}

fn arguments(keys: &str) -> [&str; 4] {
    ["--jwt-keys", keys, "--jwt-issuer", ISSUER]
}

#[test]
fn a_vouched_player_plays_and_a_stranger_does_not() {
    let key = SigningKey::rs256("r");
    let closed = Closed::start(&[&key]);
    let (pin, player) = (&closed.show.imported.pin, player_of(ISSUER, "ada").to_string());
    let (inbox, connect) = (format!("inbox/{player}"), slotted("connect", &player));
    for v5 in [true, false] {
        let (mut stranger, said) = Raw::connect(closed.node.bound.mqtt, v5, "", None);
        assert_eq!(said.reason, 0);
        let refused = if v5 { 0x87 } else { 0x80 };
        for topic in [format!("live/{pin}"), inbox.clone()] {
            let said = stranger.subscribe(&topic);
            assert_eq!(said.reason, refused, "{topic}");
            assert!(!v5 || said.words.contains("identity_needed"), "{said:?}");
        }
        let anybody = json!({ "pin": pin, "player": "ab".repeat(16), "name": "Eve" });
        let said = stranger.publish(&slotted("connect", &"ab".repeat(16)), &anybody);
        assert!(!v5 || said.receipt()["code"] == "identity_needed", "{said:?}");
        let impostor = json!({ "pin": pin, "player": player, "name": "Eve" });
        let said = stranger.publish(&connect, &impostor);
        assert!(!v5 || said.receipt()["code"] == "identity_needed", "{said:?}");
        let (_, said) = Raw::connect(closed.node.bound.mqtt, v5, &player, None);
        assert_eq!(said.reason, if v5 { 0x85 } else { 2 }, "her client id is hers");
    }
    let (mut ada, said) = closed.connect(true, &key.sign(&closed.claims("ada")));
    assert_eq!(said.reason, 0, "{said:?}");
    assert!(said.properties.contains(&("player".to_owned(), player.clone())), "{said:?}");
    assert_eq!(ada.subscribe(&inbox).reason, 0);
    assert_eq!(ada.subscribe(&format!("live/{pin}")).reason, 0);
    assert_eq!(closed.join(&mut ada, "ada").receipt()["status"], "joined");
    let joined = ada.message("the join", |it| it["type"] == "joined");
    assert_eq!((&joined["name"], &joined["player"]), (&json!("ada Vouched"), &json!(player)));
    closed.node.step(&closed.show, Command::Next);
    closed.node.step(&closed.show, Command::Open);
    ada.message("the question", |it| it["stage"]["phase"] == "open");
    let answer = json!({ "token": joined["token"], "instance": 1, "choices": [1] });
    let said = ada.publish(&slotted("answer", &player), &answer);
    assert_eq!(said.receipt()["status"], "accepted", "{said:?}");
}

/// Which MQTT 5 allows, and a real client does.
#[test]
fn a_password_without_a_user_name_proves_who_connects() {
    let Some(publish) = need("mosquitto_pub") else { return };
    let key = SigningKey::eddsa("e");
    let closed = Closed::start(&[&key]);
    let topic = slotted("connect", &player_of(ISSUER, "ada").to_string());
    let (at, join) = (closed.node.bound.mqtt, json!({ "pin": closed.show.imported.pin }));
    let mut command = std::process::Command::new(publish);
    command.args(["-V", "mqttv5", "-d", "-q", "1", "-t", &topic, "-m", &join.to_string()]);
    command.args(["-h", &at.ip().to_string(), "-p", &at.port().to_string()]);
    let output = command.args(["-P", &key.sign(&closed.claims("ada"))]).output().unwrap();
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && text.contains("RC:0"), "{text}");
    eventually("her in the show", Duration::from_secs(30), || {
        closed.node.host_view(&closed.show).filter(|view| view.live.players == 1)
    });
}

#[test]
fn a_token_in_the_join_makes_the_connection_its_bearers() {
    let key = SigningKey::eddsa("e");
    let closed = Closed::start(&[&key]);
    let (pin, player) = (&closed.show.imported.pin, player_of(ISSUER, "bob").to_string());
    let token = key.sign(&closed.claims("bob"));
    let (mut bob, _) = Raw::connect(closed.node.bound.mqtt, false, "", None);
    assert_eq!(bob.subscribe(&format!("inbox/{player}")).reason, 0x80);
    let join = json!({ "pin": pin, "token": token });
    bob.publish(&slotted("connect", &player), &join);
    assert_eq!(bob.subscribe(&format!("inbox/{player}")).reason, 0);
    let joined = bob.message("the join", |it| it["type"] == "joined");
    assert_eq!(bob.subscribe(&format!("live/{pin}")).reason, 0);
    // The cluster's own token is as good on the next connection.
    let own = joined["token"].as_str().unwrap();
    let (mut back, said) = closed.connect(true, own);
    assert_eq!((said.reason, back.subscribe(&format!("inbox/{player}")).reason), (0, 0));
    back.message("the projection", |it| it["type"] == "joined");
}

#[test]
fn every_bad_token_is_refused_with_its_own_reason_and_counted() {
    let key = SigningKey::hs256("h");
    let closed = Closed::start(&[&key]);
    let ada = closed.claims("ada");
    let stranger = SigningKey::hs256("other");
    let cases = [
        (key.sign(&with(ada.clone(), "exp", json!(now_s() - 31))), 0x87, 5, "token_expired"),
        (key.sign(&with(ada.clone(), "nbf", json!(now_s() + 90))), 0x87, 5, "token_early"),
        (key.sign(&with(ada.clone(), "aud", json!("billing"))), 0x87, 5, "token_audience"),
        (key.sign(&with(ada.clone(), "iss", json!("https://evil"))), 0x87, 5, "token_issuer"),
        (key.sign(&with(ada.clone(), "role", json!("god"))), 0x86, 4, "token_claims"),
        (key.sign(&with(ada.clone(), "sub", Value::Null)), 0x86, 4, "token_claims"),
        (unsigned(&ada), 0x86, 4, "token_algorithm"),
        (stranger.sign(&ada), 0x86, 4, "token_key_unknown"),
        ("open sesame".to_owned(), 0x86, 4, "token_malformed"),
        ("slp_nonsense".to_owned(), 0x86, 4, "token_malformed"),
    ];
    for (token, reason, code, word) in &cases {
        let (_, said) = closed.connect(true, token);
        assert_eq!(said.reason, *reason, "{word}: {said:?}");
        assert!(said.words.starts_with(word), "{word}: {said:?}");
        let (_, said) = closed.connect(false, token);
        assert_eq!(said.reason, *code, "{word} in MQTT 3.1.1");
    }
    let metrics = closed.node.get("/metrics").body;
    for (_, _, _, word) in cases {
        assert!(metrics.contains(&format!("edge=\"mqtt\",code=\"{word}\"")), "{word}: {metrics}");
    }
    assert!(metrics.contains("starling_mqtt_closed_total{reason=\"unproven\"} 20"), "{metrics}");
    let elsewhere = key.sign(&claims("ada", "00000000000000aa"));
    let (mut ada, said) = closed.connect(true, &elsewhere);
    assert_eq!(said.reason, 0, "who it is, is proven");
    let said = closed.join(&mut ada, "ada");
    assert_eq!((said.reason, &said.receipt()["code"]), (0x87, &json!("token_event")));
    let said = ada.subscribe(&format!("live/{}", closed.show.imported.pin));
    assert!(said.reason == 0x87 && said.words.contains("token_event"), "{said:?}");
}

#[test]
fn roles_are_kept_apart_in_mqtt_and_http() {
    let key = SigningKey::eddsa("e");
    let closed = Closed::start(&[&key]);
    let event = closed.event();
    let of = |role: &str| key.sign(&with(closed.claims(role), "role", json!(role)));
    let (player, host, ops) = (of("player"), of("host"), of("ops"));
    let base = format!("http://{}/api/v1", closed.node.bound.http);
    let get = |path: &str, token: &str| closed.http.get(&format!("{base}{path}"), token).status;
    let of_event = format!("/events/{event}");
    assert_eq!([&player, &host, &ops].map(|it| get("/events", it)), [401, 401, 200]);
    assert_eq!([&player, &host, &ops].map(|it| get(&of_event, it)), [401, 200, 200]);
    let next = json!({ "expected": { "instance": 0, "phase": "lobby" }, "command": "next" });
    let commands = format!("{base}{of_event}/commands");
    let post = |token: &str| closed.http.post(&commands, token, &next.to_string()).status;
    assert_eq!([&player, &ops].map(|it| post(it)), [401, 403]);
    let me: Value = closed.http.get(&format!("{base}/me"), &player).json();
    assert_eq!(me["player"], player_of(ISSUER, "player").to_string());
    let screen = format!("{base}/pins/{}/screen/stream", closed.show.imported.pin);
    assert_eq!(closed.http.get(&screen, "").status, 401);
    let (topic, drive) = (format!("command/{event}"), |token: &str| {
        let (mut raw, said) = closed.connect(true, token);
        assert_eq!(said.reason, 0, "{said:?}");
        raw.publish(&format!("command/{event}"), &next)
    });
    assert_eq!([&player, &ops].map(|it| drive(it).reason), [0x87, 0x87]);
    let (mut nobody, _) = Raw::connect(closed.node.bound.mqtt, true, "", None);
    let receipt = nobody.publish(&topic, &next).receipt();
    assert_eq!(receipt["code"], "not_permitted", "whatever the show, it takes a host: {receipt}");
    let driven = drive(&host);
    assert_eq!((driven.reason, &driven.receipt()["outcome"]), (0, &json!("applied")), "{driven:?}");
    let (mut raw, _) = closed.connect(true, &host);
    let bare = raw.publish(&topic, &json!({ "command": "open" }));
    assert_eq!((bare.reason, &bare.receipt()["code"]), (0x99, &json!("payload_malformed")));
    let joined = {
        let (mut raw, _) = closed.connect(true, &ops);
        closed.join(&mut raw, "ops")
    };
    assert_eq!(joined.receipt()["code"], "token_event", "an operator does not play");
}

#[test]
fn keys_rotate_while_players_are_connected() {
    let (old, new) = (SigningKey::eddsa("old"), SigningKey::eddsa("new"));
    let closed = Closed::start(&[&old]);
    let (mut ada, said) = closed.connect(true, &old.sign(&closed.claims("ada")));
    assert_eq!(said.reason, 0, "{said:?}");
    let bob = new.sign(&closed.claims("bob"));
    assert_eq!(closed.connect(true, &bob).1.reason, 0x86);
    fs::write(&closed.keys, jwks(&[&new, &old])).unwrap();
    let came = || (closed.connect(true, &bob).1.reason == 0).then_some(());
    eventually("the new key being taken", Duration::from_secs(30), came);
    fs::write(&closed.keys, jwks(&[&new])).unwrap();
    let gone =
        || (closed.connect(true, &old.sign(&closed.claims("eve"))).1.reason == 0x86).then_some(());
    eventually("the old key being dropped", Duration::from_secs(30), gone);
    fs::write(&closed.keys, "half a docu").unwrap();
    assert!(ada.pings(), "who is in stays in");
    assert_eq!(closed.join(&mut ada, "ada").receipt()["status"], "joined");
    assert_eq!(closed.connect(true, &bob).1.reason, 0, "what was good last stays in use");
}

#[test]
fn keys_behind_a_url_are_fetched_when_needed_and_not_on_a_strangers_word() {
    let (old, new) = (SigningKey::rs256("old"), SigningKey::eddsa("new"));
    let server = KeyServer::start(jwks(&[&old]));
    let url = server.url();
    let node = Single::start(&arguments(&url));
    let show = node.show(&closed_sums(1, 60_000));
    let event = show.imported.event.to_string();
    let connect = |token: &str| Raw::connect(node.bound.mqtt, true, "", Some(token)).1;
    eventually("the first fetch", Duration::from_secs(30), || {
        (connect(&old.sign(&claims("ada", &event))).reason == 0).then_some(())
    });
    server.publish(jwks(&[&old, &new]));
    let before = server.fetches();
    let stranger = SigningKey::eddsa("stranger");
    for number in 0..50 {
        let said = connect(&stranger.sign(&claims(&number.to_string(), &event)));
        assert_eq!(said.reason, 0x86, "{said:?}");
    }
    assert!(server.fetches() <= before + 2, "{} fetches", server.fetches());
    eventually("the new key", Duration::from_secs(60), || {
        (connect(&new.sign(&claims("bob", &event))).reason == 0).then_some(())
    });
}

#[test]
fn who_is_revoked_on_one_node_is_out_on_every_node() {
    let key = SigningKey::eddsa("e");
    let closed = Closed::start(&[&key]);
    let keys = closed.keys.to_str().unwrap().to_owned();
    let other = closed.node.start_beside(&arguments(&keys));
    let at = |node: &Single, token: &str| Raw::connect(node.bound.mqtt, true, "", Some(token));
    let (ada, bob) = (key.sign(&closed.claims("ada")), key.sign(&closed.claims("bob")));
    let renewed = key.sign(&with(closed.claims("bob"), "jti", json!("bob-2")));
    let (mut ada_here, said) = at(&closed.node, &ada);
    assert_eq!(said.reason, 0, "{said:?}");
    assert_eq!(closed.join(&mut ada_here, "ada").receipt()["status"], "joined");
    let mut there = [at(&other, &ada).0, at(&other, &bob).0, at(&other, &renewed).0];
    let revoke = |body: Value| {
        let url = format!("http://{}/api/v1/revocations", closed.node.bound.http);
        let ops = key.sign(&with(closed.claims("ops"), "role", json!("ops")));
        let _: Value = closed.http.post(&url, &ops, &body.to_string()).json();
    };
    revoke(json!({ "action": "revoke", "subject": "ada" }));
    revoke(json!({ "action": "revoke", "token_id": "bob-1" }));
    let [ada_there, bob_there, renewed_there] = &mut there;
    for raw in [&mut ada_here, ada_there, bob_there] {
        let said = raw.end().expect("a DISCONNECT says why");
        assert_eq!(said.reason, 0x87, "{said:?}");
        assert!(said.words.contains("token_revoked"), "{said:?}");
    }
    assert!(renewed_there.pings(), "another token of the same subject stays good");
    for node in [&closed.node, &other] {
        for token in [&ada, &bob] {
            let (_, said) = at(node, token);
            assert_eq!((said.reason, said.words.starts_with("token_revoked")), (0x87, true));
        }
        assert_eq!(at(node, &renewed).1.reason, 0);
    }
    revoke(json!({ "action": "restore", "subject": "ada" }));
    eventually("ada's return on the other node", Duration::from_secs(30), || {
        (at(&other, &ada).1.reason == 0).then_some(())
    });
}

#[test]
fn a_closed_show_needs_a_platform() {
    let node = Single::start(&[]);
    let url = format!("http://{}/api/v1/events", node.bound.http);
    let refused = Http::new().post(&url, node.ops_token(), &closed_sums(1, 60_000));
    assert_eq!((refused.status, refused.code()), (422, "identity_unconfigured".to_owned()));
    let (_, said) = Raw::connect(node.bound.mqtt, true, "", Some("any password"));
    assert_eq!(said.reason, 0, "without a platform a password that is no token is passed over");
}
