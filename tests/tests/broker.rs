//! Shows behind brokers that somebody else wrote: Mosquitto, and RabbitMQ's MQTT plugin.
//!
//! In each show nodes come, one is killed, and the broker is restarted, in order and without a word, while a
//! question is open. The judges are the clients: what a firm receipt promised must be in the exports
//! of the nodes that are left, once.

use crdt_state::PlayerId;
use node::service::view::{BrokerView, Command, PhaseView, StageView, StatusView};
use serde_json::json;
use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tests::behind::BrokerPlayer;
use tests::broker::{Broker, Kind, NODES};
use tests::crowd::player_id;
use tests::export::{Export, agreed};
use tests::lab::{eventually, eventually_ok, heavy, random};
use tests::player::Dialect;
use tests::raw::{Raw, slotted};
use tests::shows::sums;
use tests::single::{Single, SingleShow};

const NODE_COUNT: usize = 3;
const PLAYERS: usize = 24;
/// Long enough for everything that happens in it; the host closes each question.
const OPEN_MS: u32 = 300_000;
const WAIT_MAX: Duration = Duration::from_secs(60);
/// For how long players go on to come in after a node has died: until it is noticed, and beyond.
const TAKE_OVER_MAX: Duration = Duration::from_secs(12);

/// What happens while a question is open.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Nothing,
    BrokerEnds,
    BrokerKilled,
    NodeComes,
    /// As late as it is revealed, so that slots move while results are said.
    NodeComesLate,
    NodeKilled,
}

const FAULTS: [Fault; 6] = [
    Fault::Nothing,
    Fault::BrokerEnds,
    Fault::BrokerKilled,
    Fault::NodeComes,
    Fault::NodeComesLate,
    Fault::NodeKilled,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_show_behind_mosquitto_outlives_broker_and_node() {
    let Some(broker) = Broker::start(Kind::Mosquitto) else { return };
    let status = show_behind(broker, &[Dialect::V311, Dialect::V5]).await;
    let broker = status.broker.expect("the node is behind a broker");
    assert_eq!((broker.protocol.as_str(), broker.shared_subscriptions), ("5", true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_show_behind_rabbitmq_outlives_broker_and_node() {
    let Some(broker) = Broker::start(Kind::RabbitMq) else { return };
    let status = show_behind(broker, &[Dialect::V311]).await;
    let broker = status.broker.expect("the node is behind a broker");
    assert_eq!((broker.protocol.as_str(), broker.shared_subscriptions), ("3.1.1", false));
}

/// A whole show with its faults; the status of a node that is left.
async fn show_behind(mut broker: Broker, dialects: &[Dialect]) -> StatusView {
    let _turn = heavy();
    let mut random = random();
    let flags = broker.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let first = Single::start(&flags);
    let mut nodes: Vec<Single> = (1..NODE_COUNT).map(|_| first.start_beside(&flags)).collect();
    nodes.insert(0, first);
    wait_shared(&nodes);
    let show = nodes[0].show(&sums(FAULTS.len() as u32, OPEN_MS));
    let pin = show.imported.pin.clone();
    let ids = (0..PLAYERS).map(|_| player_id(&mut random));
    let players: Vec<BrokerPlayer> = ids
        .enumerate()
        .map(|(index, id)| {
            let dialect = dialects[index % dialects.len()];
            BrokerPlayer::start(broker.address, dialect, &pin, id, &format!("Player {index}"))
        })
        .collect();
    for player in &players {
        player.wait("the join", |told| told.inbox.is_some()).await;
    }
    reactions_count(&broker, &nodes[0], &show, &players);
    for (fault, instance) in FAULTS.into_iter().zip(1..) {
        question(&mut broker, &mut nodes, &show, &players, (instance, fault)).await;
    }
    judge(&nodes, &show, &players);
    nodes[0].get("/api/v1/status").json()
}

/// Everybody applauds once: the host sees each of them. Where slots move just then, a broker without
/// shared subscriptions brings a reaction to the old and to the new node.
fn reactions_count(broker: &Broker, node: &Single, show: &SingleShow, players: &[BrokerPlayer]) {
    let (mut raw, said) = Raw::connect(broker.address, false, "applause", None);
    assert_eq!(said.reason, 0, "{said:?}");
    for player in players {
        let react = json!({ "token": player.told().token, "kind": "clap" });
        raw.publish(&format!("react/{:02x}", player.id.slot()), &react);
    }
    eventually_ok("the applause of everybody", WAIT_MAX, || {
        let crowd = node.host_view(show).and_then(|view| view.live.crowd);
        let claps = crowd.and_then(|crowd| crowd.reactions.get("clap").copied());
        let all = PLAYERS as u64;
        let heard = claps.is_some_and(|claps| (all..=2 * all).contains(&claps));
        heard.then_some(()).ok_or_else(|| format!("{claps:?}"))
    });
}

/// Waits until every slot is held, by all nodes together, once.
fn wait_shared<N: Borrow<Single>>(nodes: &[N]) {
    eventually_ok("all slots shared out", WAIT_MAX, || {
        let brokers: Vec<BrokerView> = nodes
            .iter()
            .map(|node| node.borrow().get("/api/v1/status").json::<StatusView>())
            .map(|status| status.broker.expect("it stands behind a broker"))
            .collect();
        let held = brokers.iter().map(|broker| broker.slots);
        let shared = held.clone().sum::<usize>() == 256 && held.min() > Some(0);
        shared.then_some(()).ok_or_else(|| format!("{brokers:?}"))
    });
}

/// One question: half of the players answer before the fault, half while it lasts.
async fn question(
    broker: &mut Broker,
    nodes: &mut Vec<Single>,
    show: &SingleShow,
    players: &[BrokerPlayer],
    (instance, fault): (u32, Fault),
) {
    nodes[0].step(show, Command::Next);
    nodes[0].step(show, Command::Open);
    let open = StageView { instance, phase: PhaseView::Open };
    for player in players {
        player.wait("the question", |told| told.stage >= Some(open)).await;
    }
    let (early, late) = players.split_at(players.len() / 2);
    early.iter().for_each(|player| player.answer(instance, choice(player.id)));
    match fault {
        Fault::Nothing | Fault::NodeComesLate => {}
        Fault::BrokerEnds => broker.restart(libc::SIGTERM),
        Fault::BrokerKilled => broker.restart(libc::SIGKILL),
        Fault::NodeComes => {
            come(nodes, broker);
            // Half of the rest answer while slots move to it, half once it has them.
            let (meanwhile, _) = late.split_at(late.len() / 2);
            meanwhile.iter().for_each(|player| player.answer(instance, choice(player.id)));
            wait_shared(nodes);
        }
        Fault::NodeKilled => drop(nodes.pop()),
    }
    late.iter().for_each(|player| player.answer(instance, choice(player.id)));
    for player in players {
        let what = format!("a firm receipt of {instance} after {fault:?}");
        let told = player.wait(&what, |told| told.firm.contains_key(&instance)).await;
        assert_eq!(told.firm[&instance], [choice(player.id)], "{fault:?}");
    }
    // The state is renewed each second while a question is open, whatever has happened.
    let opens = players[0].told().opens[&instance];
    players[0].wait("renewed states", |told| told.opens[&instance] >= opens + 3).await;
    for command in [Command::Close, Command::Tallies] {
        nodes[0].step(show, command);
    }
    if let Fault::NodeComesLate = fault {
        come(nodes, broker);
    }
    nodes[0].step(show, Command::Reveal);
    for player in players {
        player.wait("the result", |told| told.results.contains_key(&instance)).await;
    }
    nodes[0].step(show, Command::Leaderboard);
    if let Fault::NodeComesLate = fault {
        wait_shared(nodes);
    }
}

/// One more node; slots go to it from now on.
fn come(nodes: &mut Vec<Single>, broker: &Broker) {
    let flags = broker.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    nodes.insert(1, nodes[0].start_beside(&flags));
}

/// Any choice, as long as it never changes.
fn choice(player: PlayerId) -> u8 {
    (player.0 >> 8) as u8 % 4
}

/// What every player was promised is in the exports of all nodes that are left, once.
fn judge(nodes: &[Single], show: &SingleShow, players: &[BrokerPlayer]) {
    let path = format!("/api/v1/events/{}/export", show.imported.event);
    let export = |node: &Single| node.get(&path).body;
    let text = eventually_ok("equal exports of two nodes", WAIT_MAX, || {
        agreed(export(&nodes[0]), &export(&nodes[1]))
    });
    let export = Export::parse(&text).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(export.faults(), Vec::<String>::new());
    let known: BTreeSet<PlayerId> = export.players.keys().copied().collect();
    assert_eq!(known, players.iter().map(|player| player.id).collect());
    for player in players {
        let told = player.told();
        for (instance, choices) in &told.firm {
            let held = &export.answers[&(*instance, player.id)];
            assert_eq!(&held.choices, choices, "{} in {instance}", player.id);
        }
        assert_eq!(told.firm.len(), FAULTS.len(), "{}", player.id);
        let points: i64 = told.results.values().sum();
        assert_eq!(points, export.players[&player.id].points as i64, "{}", player.id);
    }
}

#[test]
fn a_node_without_its_broker_runs_and_says_so() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = port.local_addr().expect("it is bound");
    drop(port);
    let url = format!("mqtt://{address}");
    let node = Single::start(&["--edge", "broker", "--broker", &url]);
    let view = refused(&node);
    assert!(!view.connected && view.url == url, "{view:?}");
    assert!(view.last_error.expect("it failed").contains("check --broker"));
    let metrics = node.get("/metrics").body;
    assert!(metrics.contains("starling_broker_connected 0"), "{metrics}");
    // It ends when it is told to, in the middle of an attempt.
    node.stop();
}

/// How a node stands with a broker that it does not reach.
fn refused(node: &Single) -> BrokerView {
    eventually("a failed attempt", WAIT_MAX, || {
        let status: StatusView = node.get("/api/v1/status").json();
        status.broker.filter(|broker| broker.last_error.is_some())
    })
}

/// What operators get wrong first, and the flag that each is told to look at.
#[test]
fn a_wrong_password_or_certificate_is_named_with_its_flag() {
    let Some(broker) = Broker::start(Kind::Mosquitto) else { return };
    let secure = broker.secure.expect("Mosquitto listens under TLS");
    let (plain_url, secure_url) =
        (format!("mqtt://{}", broker.address), format!("mqtts://{secure}"));
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let wrong = folder.path().join("password");
    std::fs::write(&wrong, "not this one").expect("the folder is writable");
    let (wrong, ca) = (wrong.display().to_string(), broker.file("cert.pem"));
    let password = broker.file("password");
    let identity = |file| ["--broker-user", NODES.0, "--broker-password-file", file];
    let crossed = format!("mqtts://{}", broker.address);
    let cases: [(&str, Vec<&str>, &str); 4] = [
        (&plain_url, identity(&wrong).to_vec(), "--broker-password-file"),
        (&secure_url, identity(&password).to_vec(), "--broker-ca"),
        (
            &format!("mqtts://localhost:{}", secure.port()),
            [&identity(&password)[..], &["--broker-ca", &ca]].concat(),
            "name that",
        ),
        (&crossed, [&identity(&password)[..], &["--broker-ca", &ca]].concat(), "TLS"),
    ];
    for (url, flags, word) in cases {
        let node = Single::start(&[&["--edge", "broker", "--broker", url], &flags[..]].concat());
        let error = refused(&node).last_error.unwrap_or_default();
        assert!(error.contains(word), "{url} {flags:?}: {error}");
    }
}

/// Two nodes behind a broker, and a show on both.
fn two_behind(broker: &Broker) -> (Single, Single, SingleShow) {
    let flags = broker.flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let first = Single::start(&flags);
    let second = first.start_beside(&flags);
    let nodes = [first, second];
    wait_shared(&nodes);
    let show = nodes[0].show(&sums(1, OPEN_MS));
    eventually("the show on both nodes", WAIT_MAX, || nodes[1].host_view(&show));
    let [first, second] = nodes;
    (first, second, show)
}

/// Who comes is heard of before it is heard: nobody takes its session for that of a node that has died.
#[test]
fn a_node_that_comes_is_left_its_session() {
    let Some(broker) = Broker::start(Kind::Mosquitto) else { return };
    let _turn = heavy();
    let (first, second, _) = two_behind(&broker);
    for node in [&first, &second] {
        let metrics = node.get("/metrics").body;
        let losses = metrics.lines().find(|line| line.starts_with("starling_broker_losses_total "));
        let losses = losses.and_then(|line| line.rsplit(' ').next());
        assert_eq!(losses, Some("0.0"));
    }
}

/// Where the player of this number joins, and what it says.
fn join(show: &SingleShow, number: usize) -> (String, serde_json::Value) {
    let (player, name) = (format!("{:032x}", number + 1), format!("Wren {number}"));
    let pin = &show.imported.pin;
    let join = json!({ "pin": pin, "player": player, "name": name, "reply": "reply/flock" });
    (slotted("connect", &player), join)
}

fn wait_adopted(node: &Single, times: u32) {
    const NAME: &str = "starling_broker_sessions_adopted_total ";
    eventually_ok("the session's end", WAIT_MAX, || {
        let metrics = node.get("/metrics").body;
        let value = metrics.lines().find_map(|line| line.strip_prefix(NAME)?.parse::<f64>().ok());
        (value == Some(times.into())).then_some(()).ok_or_else(|| format!("{value:?}"))
    });
}

/// Whoever speaks to a slot whose node has just died is heard without saying it again, before the
/// others have noticed and while they take over: what the broker keeps in the dead node's session is
/// taken by one who lives, who then ends that session.
#[test]
fn what_waits_in_a_dead_nodes_session_is_taken_by_one_who_lives() {
    let Some(broker) = Broker::start(Kind::Mosquitto) else { return };
    joins_outlive_a_node(&broker);
}

/// Without shared subscriptions the dead node's session alone has what was said to its slots.
#[test]
fn what_waits_at_rabbitmq_for_a_dead_node_is_taken_by_one_who_lives() {
    let Some(broker) = Broker::start(Kind::RabbitMq) else { return };
    joins_outlive_a_node(&broker);
}

/// Who joins does so once: whoever repeated it would hide what is lost.
fn joins_outlive_a_node(broker: &Broker) {
    let _turn = heavy();
    let (first, dies, show) = two_behind(broker);
    let (mut raw, said) = Raw::connect(broker.address, false, "flock", None);
    assert_eq!(said.reason, 0, "{said:?}");
    drop(dies);
    let mut joins = 0;
    let started = Instant::now();
    while joins < 64 || (started.elapsed() < TAKE_OVER_MAX && joins < 1_024) {
        let (topic, join) = join(&show, joins * 5);
        raw.publish(&topic, &join);
        joins += 1;
        if joins >= 64 {
            std::thread::sleep(Duration::from_millis(15));
        }
    }
    eventually_ok("everybody being in", WAIT_MAX, || {
        let players = first.host_view(&show).map(|view| view.live.players);
        (players == Some(joins as u64))
            .then_some(())
            .ok_or_else(|| format!("{players:?} of {joins}"))
    });
    wait_adopted(&first, 1);
}

/// The same for answers, each said once; and for a node that was given up before and came back.
#[test]
fn an_answer_that_waits_in_a_dead_nodes_session_counts() {
    let Some(broker) = Broker::start(Kind::Mosquitto) else { return };
    answers_outlive_a_node(&broker);
}

#[test]
fn an_answer_that_waits_at_rabbitmq_for_a_dead_node_counts() {
    let Some(broker) = Broker::start(Kind::RabbitMq) else { return };
    answers_outlive_a_node(&broker);
}

fn answers_outlive_a_node(broker: &Broker) {
    let _turn = heavy();
    let (first, dies, show) = two_behind(broker);
    let (mut raw, said) = Raw::connect(broker.address, false, "flock", None);
    assert_eq!(said.reason, 0, "{said:?}");
    raw.subscribe("reply/flock");
    let tokens: Vec<(String, serde_json::Value)> = (0..64)
        .map(|number| {
            let (topic, join) = join(&show, number * 4);
            raw.publish(&topic, &join);
            let joined = raw.message("the join", |it| it["player"] == join["player"]);
            (topic.replace("connect", "answer"), joined["token"].clone())
        })
        .collect();
    first.step(&show, Command::Next);
    first.step(&show, Command::Open);

    // It stands still until it is given up, and goes on.
    dies.signal(libc::SIGSTOP);
    wait_adopted(&first, 1);
    dies.signal(libc::SIGCONT);
    wait_shared(&[&first, &dies]);

    drop(dies);
    for (topic, token) in &tokens {
        raw.publish(topic, &json!({ "token": token, "instance": 1, "choices": [1] }));
    }
    eventually_ok("every answer", WAIT_MAX, || {
        let answered = first.host_view(&show).and_then(|view| view.live.answered);
        (answered == Some(64)).then_some(()).ok_or_else(|| format!("{answered:?} of 64"))
    });
    wait_adopted(&first, 2);
}

/// Who is there behind a broker is what players say, and their wills when they go without a word.
#[test]
fn the_host_sees_who_is_there_behind_mosquitto() {
    let Some(broker) = Broker::start(Kind::Mosquitto) else { return };
    presence_behind(&broker, &[false, true], true);
}

#[test]
fn the_host_sees_who_is_there_behind_rabbitmq() {
    let Some(broker) = Broker::start(Kind::RabbitMq) else { return };
    presence_behind(&broker, &[false], false);
}

/// Asks each second until there is an answer, as players do; gives the answer back.
fn asked(raw: &mut Raw, topic: &str, ask: &serde_json::Value) -> serde_json::Value {
    let mut asked_at: Option<Instant> = None;
    eventually("an answer to who joins", WAIT_MAX, || {
        if asked_at.is_none_or(|at| at.elapsed() > Duration::from_secs(1)) {
            raw.publish(topic, ask);
            asked_at = Some(Instant::now());
        }
        // Whatever has come by then is taken in.
        assert!(raw.pings(), "the broker answers");
        let found = raw.inbox.iter().position(|(_, message)| message["type"] == "joined");
        found.map(|at| raw.inbox.remove(at).1)
    })
}

/// A player who has come under its inbox's name: the connection, and what it says there.
struct Attending {
    raw: Raw,
    topic: String,
    token: serde_json::Value,
}

impl Attending {
    /// Joins, comes back under the inbox's name with a will, and says that it is there on `connection`.
    fn come(
        broker: &Broker,
        show: &SingleShow,
        (number, v5): (usize, bool),
        connection: &str,
    ) -> Self {
        let (topic, mut ask) = join(show, number);
        let first = format!("guest-{number}");
        let (mut raw, said) = Raw::connect(broker.address, v5, &first, None);
        assert_eq!(said.reason, 0, "{said:?}");
        raw.subscribe(&format!("reply/{first}"));
        ask["reply"] = json!(format!("reply/{first}"));
        let joined = asked(&mut raw, &topic, &ask);
        let inbox = joined["inbox"].as_str().expect("a broker stands before the nodes");
        let name = inbox.strip_prefix("inbox/").expect("it is an inbox").to_owned();
        let token = joined["token"].clone();
        let will = json!({ "token": token, "gone": connection });
        let (mut raw, said) = Raw::connect_with_will(broker.address, v5, &name, (&topic, &will));
        assert_eq!(said.reason, 0, "{said:?}");
        raw.subscribe(inbox);
        asked(&mut raw, &topic, &json!({ "token": token, "here": connection }));
        Attending { raw, topic, token }
    }

    fn says(&mut self, word: &str, connection: &str) {
        let (topic, said) = (self.topic.clone(), json!({ "token": self.token, word: connection }));
        self.raw.publish(&topic, &said);
    }
}

/// RabbitMQ 3.10 ends a connection that takes another one over, since the other one's queue is still there: its client
/// has to come again.
fn presence_behind(broker: &Broker, versions: &[bool], takes_over: bool) {
    let _turn = heavy();
    let (first, second, show) = two_behind(broker);
    let wait_present = |nodes: &[&Single], wanted: u64, what: &str| {
        eventually_ok(what, WAIT_MAX, || {
            let seen: Vec<Option<u64>> =
                nodes.iter().map(|node| node.host_view(&show).map(|view| view.present)).collect();
            let as_wanted = seen.iter().all(|present| *present == Some(wanted));
            as_wanted.then_some(()).ok_or_else(|| format!("{seen:?} in place of {wanted}"))
        });
    };
    // Over slots of both nodes.
    let comes = |number: usize, connection: &str| {
        let version = versions[number % versions.len()];
        Attending::come(broker, &show, (number * 37, version), connection)
    };
    let mut players: Vec<Attending> = (0..6).map(|number| comes(number, "one")).collect();
    let both = [&first, &second];
    wait_present(&both, 6, "everybody being there");
    drop(players.pop());
    wait_present(&both, 5, "one having gone without a word");
    let mut goes = players.pop().expect("there are five");
    goes.says("gone", "one");
    wait_present(&both, 4, "one having gone with a word");
    drop(goes);
    // It comes back before its old connection is gone, if it may, whose will the broker publishes then.
    let old = Some(players.remove(0)).filter(|_| takes_over);
    if old.is_none() {
        wait_present(&both, 3, "the old connection's will");
    }
    let mut back = comes(0, "two");
    back.says("gone", "one");
    drop((old, players.pop()));
    wait_present(&both, 3, "another one having gone, and not the one who came back");
    drop(second);
    wait_adopted(&first, 1);
    // Who takes the slots over counts their players again as soon as they speak.
    eventually_ok("those being there who say so", WAIT_MAX, || {
        back.says("here", "two");
        players.iter_mut().for_each(|player| player.says("here", "one"));
        let present = first.host_view(&show).map(|view| view.present);
        (present == Some(3)).then_some(()).ok_or_else(|| format!("{present:?}"))
    });
    eventually_ok("the one who came back having gone", WAIT_MAX, || {
        back.says("gone", "two");
        let present = first.host_view(&show).map(|view| view.present);
        (present == Some(2)).then_some(()).ok_or_else(|| format!("{present:?}"))
    });
}
