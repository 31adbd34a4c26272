//! Results behind a broker when a node's connection to it breaks while they are shown.

use node::service::view::{BrokerView, Command, StatusView};
use serde_json::json;
use std::time::Duration;
use tests::broker::{Broker, Kind};
use tests::lab::eventually;
use tests::raw::{Raw, slotted};
use tests::shows::sums;
use tests::single::Single;

const PLAYER: &str = "0000000000000000000000000000000a";
const WAIT_MAX: Duration = Duration::from_secs(60);

/// What a node had said to the broker last may be lost with its connection. The player hears the result once more,
/// without a word.
#[test]
fn who_may_not_have_heard_a_result_is_told_again() {
    let Some(broker) = Broker::start(Kind::Mosquitto) else { return };
    let flags = broker.flags();
    let node = Single::start(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    wait_all_slots(&node);
    let show = node.show(&sums(1, 300_000));
    let (mut raw, said) = Raw::connect(broker.address, false, "guest", None);
    assert_eq!(said.reason, 0, "{said:?}");
    raw.subscribe("reply/guest");
    let pin = &show.imported.pin;
    let join = json!({ "pin": pin, "player": PLAYER, "name": "Ada", "reply": "reply/guest" });
    raw.publish(&slotted("connect", PLAYER), &join);
    let joined = raw.message("the join", |it| it["type"] == "joined");
    let inbox = joined["inbox"].as_str().expect("a broker stands before the node").to_owned();
    let name = inbox.strip_prefix("inbox/").expect("it is an inbox");
    let (mut raw, said) = Raw::connect(broker.address, false, name, None);
    assert_eq!(said.reason, 0, "{said:?}");
    raw.subscribe(&inbox);
    let steps = [Command::Next, Command::Open, Command::Close, Command::Tallies, Command::Reveal];
    steps.into_iter().for_each(|command| node.step(&show, command));
    let told = raw.message("the result", |it| it["type"] == "result");

    // Whoever connects under the node's name ends the node's connection.
    let before = broker_view(&node);
    drop(Raw::connect(broker.address, false, &before.client_id, None));
    let again = raw.message("the result again", |it| it["type"] == "result");
    assert_eq!(again["instance"], told["instance"]);
    wait_all_slots(&node);
}

fn broker_view(node: &Single) -> BrokerView {
    let status: StatusView = node.get("/api/v1/status").json();
    status.broker.expect("it stands behind a broker")
}

fn wait_all_slots(node: &Single) {
    eventually("all slots", WAIT_MAX, || (broker_view(node).slots == 256).then_some(()));
}
