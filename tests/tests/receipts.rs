//! Where a player hears of what became of an answer.

use node::service::view::Command;
use serde_json::{Value, json};
use tests::lab;
use tests::raw::{Raw, slotted};
use tests::shows::sums;
use tests::single::Single;

/// Until it is closed.
const OPEN_MS: u32 = 600_000;
/// The option of a subscription.
const NO_LOCAL: u8 = 0x04;

/// A page has its acknowledgements; the other devices of its player have their inboxes.
#[test]
fn a_connection_that_wants_nothing_of_its_own_is_told_a_receipt_once_and_others_are_told_it() {
    let _turn = lab::heavy();
    let node = Single::start(&["--ack", "local"]);
    let show = node.show(&sums(1, OPEN_MS));
    let player = format!("{:032x}", 0xe);
    let inbox = format!("inbox/{player}");
    let come = |v5: bool, options: u8| {
        let (mut client, _) = Raw::connect(node.bound.mqtt, v5, "", None);
        assert_eq!(client.subscribe_with(&inbox, options).reason, 0);
        client
    };
    let mut phone = come(true, NO_LOCAL);
    let join = json!({ "pin": show.imported.pin, "player": player, "name": "Eve" });
    phone.publish(&slotted("connect", &player), &join);
    let joined = phone.message("the join", |message| message["type"] == "joined");
    let (mut laptop, mut plain, mut old) = (come(true, NO_LOCAL), come(true, 0), come(false, 0));
    node.step(&show, Command::Open);
    let answer =
        |choice: u8| json!({ "token": joined["token"], "instance": 1, "choices": [choice] });
    let topic = slotted("answer", &player);

    // The first by the batch, the second alone.
    for (choice, status) in [(1, "accepted"), (0, "duplicate")] {
        let said = phone.publish(&topic, &answer(choice));
        assert_eq!((said.reason, said.receipt()["status"].as_str()), (0, Some(status)));
        for client in [&mut laptop, &mut plain, &mut old] {
            assert_eq!(next_receipt(client)["status"], status);
        }
    }
    // What the phone hears first is what it has not said.
    laptop.publish(&topic, &answer(1));
    assert_eq!(next_receipt(&mut phone)["status"], "duplicate");
    assert_eq!(next_receipt(&mut plain)["status"], "duplicate");
    plain.publish(&topic, &answer(1));
    for client in [&mut plain, &mut laptop] {
        assert_eq!(next_receipt(client)["status"], "duplicate");
    }
}

fn next_receipt(client: &mut Raw) -> Value {
    client.message("a receipt", |message| message["type"] == "receipt")
}
