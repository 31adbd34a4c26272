//! The broker's decisions on time that tests say.

use super::core::{Comer, Core, Seat, Subscribed};
use super::message::Message;
use super::session::Next;
use super::{Broker, Full, OpenLimits};
use crate::edge::packet::{Acknowledge, Publish, Replay, Wish};
use bytes::Bytes;
use mqtt_protocol_core::mqtt::packet::{Property, UserProperty};
use proptest::prelude::*;
use std::sync::{Arc, Mutex};

const FOR_EVER: u32 = u32::MAX;

fn core() -> Core {
    Core::new(OpenLimits::default(), Arc::default())
}

fn comer(client_id: &str) -> Comer {
    Comer {
        client_id: client_id.to_owned(),
        clean: true,
        expiry_s: 0,
        receive_maximum: 10,
        will: None,
        will_delay_s: 0,
    }
}

/// One whose session stays for `expiry_s`.
fn keeper(client_id: &str, expiry_s: u32) -> Comer {
    Comer { clean: false, expiry_s, ..comer(client_id) }
}

fn with_will(comer: Comer, will_delay_s: u32) -> Comer {
    Comer { will: Some(Box::new(publish("will", "gone", 1))), will_delay_s, ..comer }
}

fn publish(topic: &str, payload: &str, qos: u8) -> Publish {
    Publish {
        topic: topic.to_owned(),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        acknowledge: Acknowledge::Not,
        request: None,
        qos,
        retain: false,
        expiry_s: None,
        passed: Vec::new(),
    }
}

fn retained(topic: &str, payload: &str) -> Publish {
    Publish { retain: true, ..publish(topic, payload, 1) }
}

fn wish(filter: &str, qos: u8) -> Wish {
    Wish {
        filter: filter.to_owned(),
        qos,
        retain_as_published: false,
        replay: Replay::Always,
        no_local: false,
        id: None,
        has_options: false,
    }
}

fn come(core: &mut Core, now: u64, comer: Comer) -> (Seat, bool) {
    core.advance(now);
    core.connect(now, comer).unwrap()
}

fn listen(core: &mut Core, now: u64, seat: Seat, filter: &str, qos: u8) {
    assert_eq!(core.subscribe(now, seat, &wish(filter, qos)), Subscribed::Granted(qos));
}

fn say(core: &mut Core, now: u64, from: Seat, publish: Publish) {
    core.advance(now);
    let message = Message { from: from.session, ..Message::new(publish, now) };
    core.publish(now, message).unwrap();
}

/// What a client is sent, each acknowledged at once.
fn heard(core: &mut Core, now: u64, seat: Seat) -> Vec<String> {
    core.advance(now);
    let mut heard = Vec::new();
    while let Some(next) = core.next(now, seat) {
        let Next::Publish(delivery) = next else { panic!("{next:?}") };
        let payload = String::from_utf8_lossy(&delivery.message.payload).into_owned();
        if let Some(id) = delivery.packet_id {
            core.received(seat, id, false);
            core.completed(seat, id);
            core.acknowledged(seat, id);
        }
        let retain = if delivery.retain { " retained" } else { "" };
        heard.push(format!("{payload} at {}{retain}", delivery.qos));
    }
    heard
}

#[test]
fn a_message_comes_once_with_the_largest_quality_and_all_numbers_of_its_filters() {
    let mut core = core();
    let (ada, _) = come(&mut core, 0, comer("ada"));
    for (filter, qos, id) in [("a/+", 0, Some(7)), ("a/#", 2, None), ("a/b", 1, Some(9))] {
        core.subscribe(0, ada, &Wish { id, ..wish(filter, qos) });
    }
    say(&mut core, 0, ada, publish("a/b", "x", 2));
    let Some(Next::Publish(delivery)) = core.next(0, ada) else { panic!("nothing came") };
    let mut ids = delivery.ids.clone();
    ids.sort_unstable();
    assert_eq!((delivery.qos, ids), (2, vec![7, 9]));
    assert_eq!(core.next(0, ada), None);
    // At most as it was published.
    say(&mut core, 0, ada, publish("a/b", "y", 0));
    assert_eq!(heard(&mut core, 0, ada), ["y at 0"]);
}

#[test]
fn who_wants_nothing_of_its_own_hears_the_others() {
    let mut core = core();
    let ((ada, _), (bob, _)) = (come(&mut core, 0, comer("ada")), come(&mut core, 0, comer("bob")));
    core.subscribe(0, ada, &Wish { no_local: true, ..wish("a", 1) });
    say(&mut core, 0, ada, publish("a", "own", 1));
    say(&mut core, 0, bob, publish("a", "other", 1));
    assert_eq!(heard(&mut core, 0, ada), ["other at 1"]);
    // Neither what is retained of it, whether it has that session still or comes afresh.
    say(&mut core, 0, ada, retained("r/ada", "own"));
    say(&mut core, 0, bob, retained("r/bob", "other"));
    let no_local = Wish { no_local: true, ..wish("r/+", 1) };
    core.subscribe(0, ada, &no_local);
    assert_eq!(heard(&mut core, 0, ada), ["other at 1 retained"]);
    core.disconnect(0, ada, false, None);
    let (ada, _) = come(&mut core, 0, comer("ada"));
    core.subscribe(0, ada, &no_local);
    assert_eq!(heard(&mut core, 0, ada), ["other at 1 retained"]);
    core.subscribe(0, bob, &wish("r/+", 1));
    assert_eq!(heard(&mut core, 0, bob).len(), 2, "who does not mind hears its own");
    core.check_invariants();
}

#[test]
fn what_is_retained_is_sent_as_the_subscription_says_and_removed_by_nothing() {
    let mut core = core();
    let (ada, _) = come(&mut core, 0, comer("ada"));
    say(&mut core, 0, ada, retained("a/1", "one"));
    say(&mut core, 0, ada, retained("a/2", "two"));
    say(&mut core, 0, ada, retained("a/1", "newer"));
    listen(&mut core, 0, ada, "a/+", 2);
    assert_eq!(heard(&mut core, 0, ada), ["newer at 1 retained", "two at 1 retained"]);
    core.subscribe(0, ada, &Wish { replay: Replay::IfNew, ..wish("a/+", 0) });
    core.subscribe(0, ada, &Wish { replay: Replay::Never, ..wish("a/1", 0) });
    assert_eq!(heard(&mut core, 0, ada), [""; 0]);
    say(&mut core, 0, ada, retained("a/2", "three"));
    assert_eq!(heard(&mut core, 0, ada), ["three at 0"], "later ones have no flag");
    core.subscribe(0, ada, &Wish { retain_as_published: true, ..wish("a/2", 1) });
    assert_eq!(heard(&mut core, 0, ada), ["three at 1 retained"]);
    say(&mut core, 0, ada, retained("a/2", ""));
    assert_eq!(heard(&mut core, 0, ada), [" at 1 retained"], "or have it, if so wished");
    listen(&mut core, 0, ada, "#", 0);
    assert_eq!(heard(&mut core, 0, ada), ["newer at 0 retained"]);
}

#[test]
fn all_that_is_retained_comes_and_takes_no_room_from_what_is_said() {
    let limits = OpenLimits { queue_max: 3, retained_max: 9, ..OpenLimits::default() };
    let mut core = Core::new(limits, Arc::default());
    let (ada, _) = come(&mut core, 0, comer("ada"));
    let (bob, _) = come(&mut core, 0, keeper("bob", FOR_EVER));
    (0..9).for_each(|it| say(&mut core, 0, ada, retained(&format!("r/{it}"), "old")));
    listen(&mut core, 0, bob, "#", 1);
    listen(&mut core, 0, bob, "r/+", 1);
    assert_eq!(core.take_dropped(), 9, "asked for twice it comes once");
    (0..5).for_each(|_| say(&mut core, 0, ada, publish("new", "new", 1)));
    assert_eq!(core.take_dropped(), 2, "as many wait as may");
    core.check_invariants();
    let heard = heard(&mut core, 0, bob);
    let retained = heard.iter().filter(|it| *it == "old at 1 retained").count();
    assert_eq!((retained, heard.len()), (9, 12), "{heard:?}");
    // What is of QoS 0 does not wait for who is away.
    listen(&mut core, 0, bob, "r/+", 0);
    core.disconnect(0, bob, false, None);
    core.check_invariants();
}

#[test]
fn what_has_expired_is_sent_to_nobody() {
    let mut core = core();
    let (ada, _) = come(&mut core, 0, keeper("ada", FOR_EVER));
    let (bob, _) = come(&mut core, 0, comer("bob"));
    listen(&mut core, 0, ada, "a", 1);
    core.disconnect(0, ada, false, None);
    say(&mut core, 0, bob, Publish { expiry_s: Some(2), ..retained("a", "short") });
    say(&mut core, 0, bob, Publish { expiry_s: Some(9), ..publish("a", "long", 1) });
    let (ada, present) = come(&mut core, 2_000, keeper("ada", FOR_EVER));
    assert!(present);
    assert_eq!(heard(&mut core, 2_000, ada), ["long at 1"]);
    listen(&mut core, 2_000, bob, "a", 1);
    assert_eq!(heard(&mut core, 2_000, bob), [""; 0], "neither from what is retained");
}

#[test]
fn a_group_shares_in_turn_among_those_who_are_there() {
    let mut core = core();
    let seats = ["ada", "bob", "eve"].map(|name| {
        let (seat, _) = come(&mut core, 0, keeper(name, FOR_EVER));
        listen(&mut core, 0, seat, "$share/team/a/+", 1);
        seat
    });
    let (all, _) = come(&mut core, 0, comer("all"));
    listen(&mut core, 0, all, "$share/others/a/1", 1);
    core.disconnect(0, seats[1], false, None);
    for number in 0..4 {
        say(&mut core, 0, all, publish("a/1", &number.to_string(), 1));
    }
    assert_eq!(heard(&mut core, 0, seats[0]), ["0 at 1", "2 at 1"]);
    assert_eq!(heard(&mut core, 0, seats[2]), ["1 at 1", "3 at 1"]);
    assert_eq!(heard(&mut core, 0, all).len(), 4, "each group has its own");
    core.disconnect(0, seats[0], false, None);
    core.disconnect(0, seats[2], false, None);
    say(&mut core, 0, all, publish("a/1", "kept", 1));
    let back = ["ada", "bob", "eve"].map(|name| come(&mut core, 0, keeper(name, FOR_EVER)).0);
    let kept: Vec<_> = back.into_iter().flat_map(|seat| heard(&mut core, 0, seat)).collect();
    assert_eq!(kept, ["kept at 1"], "where nobody is there it waits for one of them");
}

#[test]
fn shared_filters_have_a_name_and_are_sent_nothing_retained() {
    let mut core = core();
    let (ada, _) = come(&mut core, 0, comer("ada"));
    say(&mut core, 0, ada, retained("a", "x"));
    listen(&mut core, 0, ada, "$share/team/a", 1);
    assert_eq!(heard(&mut core, 0, ada), [""; 0]);
    for malformed in ["$share/team", "$share//a", "$share/+/a", "$share/t#/a", "$share/team/"] {
        let said = core.subscribe(0, ada, &wish(malformed, 1));
        assert_eq!(said, Subscribed::Malformed, "{malformed}");
    }
    assert!(core.unsubscribe(ada, "$share/team/a") && !core.unsubscribe(ada, "$share/team/a"));
    say(&mut core, 0, ada, publish("a", "y", 1));
    assert_eq!(heard(&mut core, 0, ada), [""; 0]);
    listen(&mut core, 0, ada, "$share/team/b", 0);
    say(&mut core, 0, ada, publish("b", "z", 2));
    assert_eq!(heard(&mut core, 0, ada), ["z at 0"]);
}

#[test]
fn a_shared_message_stays_with_whom_it_was_given_to() {
    let mut core = core();
    let [ada, bob] = ["ada", "bob"].map(|name| {
        let (seat, _) = come(&mut core, 0, keeper(name, 60));
        listen(&mut core, 0, seat, "$share/team/a", 2);
        seat
    });
    let (eve, _) = come(&mut core, 0, comer("eve"));
    say(&mut core, 0, eve, publish("a", "x", 2));
    let Some(Next::Publish(given)) = core.next(0, ada) else { panic!("ada comes first") };
    core.disconnect(0, ada, false, None);
    assert_eq!(heard(&mut core, 0, bob), [""; 0]);
    let (ada, _) = come(&mut core, 1, keeper("ada", 60));
    let again = core.next(1, ada);
    assert_eq!(again, Some(Next::Publish(super::Delivery { again: true, ..given.clone() })));
    // Refused it is nobody's.
    assert_eq!(core.received(ada, given.packet_id.unwrap(), true), None);
    assert_eq!((heard(&mut core, 1, ada), heard(&mut core, 1, bob)), (vec![], vec![]));
    say(&mut core, 1, eve, publish("a", "y", 2));
    assert!(core.next(1, bob).is_some());
    core.disconnect(1, bob, false, Some(0));
    assert_eq!(heard(&mut core, 1, ada), [""; 0], "it ended with its session");
}

#[test]
fn what_is_under_way_expires_no_more() {
    let mut core = core();
    let (ada, _) = come(&mut core, 0, keeper("ada", 60));
    listen(&mut core, 0, ada, "a", 2);
    say(&mut core, 0, ada, Publish { expiry_s: Some(1), ..publish("a", "x", 2) });
    assert!(core.next(0, ada).is_some());
    core.disconnect(0, ada, false, None);
    let (ada, _) = come(&mut core, 9_000, keeper("ada", 60));
    assert_eq!(heard(&mut core, 9_000, ada), ["x at 2"]);
}

#[test]
fn who_comes_back_has_the_rest_in_order_and_what_was_under_way_again() {
    let mut core = core();
    let (ada, present) = come(&mut core, 0, keeper("ada", FOR_EVER));
    assert!(!present);
    listen(&mut core, 0, ada, "a", 2);
    for (payload, qos) in [("1", 1), ("2", 2), ("3", 1), ("4", 0)] {
        say(&mut core, 0, ada, publish("a", payload, qos));
    }
    let sent: Vec<_> = (0..2).filter_map(|_| core.next(0, ada)).collect();
    let [Next::Publish(one), Next::Publish(two)] = &sent[..] else { panic!("{sent:?}") };
    let (one, two) = (one.packet_id.unwrap(), two.packet_id.unwrap());
    assert_eq!(core.received(ada, two, false), Some(true));
    core.disconnect(0, ada, false, None);
    say(&mut core, 0, ada, publish("a", "5", 1));
    say(&mut core, 0, ada, publish("a", "6", 0));

    let (back, present) = come(&mut core, 5, Comer { receive_maximum: 1, ..keeper("ada", 9) });
    assert!(present);
    let Some(Next::Publish(again)) = core.next(5, back) else { panic!("nothing is sent again") };
    assert_eq!((again.packet_id, again.again), (Some(one), true));
    assert_eq!(core.next(5, back), None, "one at once");
    core.acknowledged(back, one);
    assert_eq!(core.next(5, back), Some(Next::Release(two)));
    core.completed(back, two);
    assert_eq!(heard(&mut core, 5, back), ["3 at 1", "5 at 1"], "what is of QoS 0 is not kept");
}

#[test]
fn the_window_holds_back_what_is_to_be_acknowledged() {
    let mut core = core();
    let (ada, _) = come(&mut core, 0, Comer { receive_maximum: 2, ..comer("ada") });
    listen(&mut core, 0, ada, "a", 1);
    for payload in ["1", "2", "3"] {
        say(&mut core, 0, ada, publish("a", payload, 1));
    }
    let first = core.next(0, ada).unwrap();
    assert!(core.next(0, ada).is_some() && core.next(0, ada).is_none());
    let Next::Publish(first) = first else { panic!("{first:?}") };
    let id = first.packet_id.unwrap();
    assert_eq!(core.received(ada, id, false), Some(false), "a PUBREC is none for QoS 1");
    assert!(core.next(0, ada).is_none());
    core.acknowledged(ada, id);
    assert!(core.next(0, ada).is_some());
}

#[test]
fn a_session_ends_when_it_was_to_and_not_before() {
    let mut core = core();
    let (ada, _) = come(&mut core, 0, keeper("ada", 10));
    listen(&mut core, 0, ada, "a", 1);
    core.disconnect(1_000, ada, false, None);
    let (ada, present) = come(&mut core, 10_999, keeper("ada", 10));
    assert!(present);
    // The last word decides.
    core.disconnect(20_000, ada, false, Some(1));
    assert!(!come(&mut core, 21_000, keeper("ada", 10)).1);
    let (ada, present) = come(&mut core, 21_000, keeper("ada", 0));
    assert!(present, "a living connection's session is there");
    core.disconnect(21_000, ada, false, None);
    assert!(!come(&mut core, 21_000, keeper("ada", FOR_EVER)).1, "it was to end at once");
    let (ada, _) = come(&mut core, 21_000, keeper("ada", FOR_EVER));
    core.disconnect(21_000, ada, false, None);
    let (_, present) = come(&mut core, u64::from(FOR_EVER) * 2_000, comer("ada"));
    assert!(!present, "who starts afresh finds none");
}

#[test]
fn a_clean_start_drops_the_session_for_good() {
    let mut core = core();
    let (ada, _) = come(&mut core, 0, keeper("ada", FOR_EVER));
    listen(&mut core, 0, ada, "a", 1);
    core.disconnect(0, ada, false, None);
    let (ada, present) = come(&mut core, 0, Comer { clean: true, ..keeper("ada", FOR_EVER) });
    assert!(!present);
    core.disconnect(0, ada, false, None);
    let (ada, present) = come(&mut core, 0, keeper("ada", FOR_EVER));
    assert!(present, "the one that was begun afresh");
    let (bob, _) = come(&mut core, 0, comer("bob"));
    say(&mut core, 0, bob, publish("a", "1", 1));
    assert_eq!(heard(&mut core, 0, ada), [""; 0], "nothing of the former one");
}

#[test]
fn a_will_speaks_after_its_delay_unless_its_client_is_back() {
    let mut core = core();
    let (eve, _) = come(&mut core, 0, comer("eve"));
    listen(&mut core, 0, eve, "will", 1);
    let (ada, _) = come(&mut core, 0, with_will(keeper("ada", 60), 5));
    core.disconnect(0, ada, true, None);
    let (ada, _) = come(&mut core, 4_999, with_will(keeper("ada", 60), 5));
    assert_eq!(heard(&mut core, 9_000, eve), [""; 0], "back in time");
    core.disconnect(10_000, ada, true, None);
    assert_eq!(core.next_due(), Some(15_000));
    assert_eq!(heard(&mut core, 14_999, eve), [""; 0]);
    assert_eq!(heard(&mut core, 15_000, eve), ["gone at 1"]);

    let (ada, _) = come(&mut core, 20_000, with_will(keeper("ada", 3), 5));
    core.disconnect(20_000, ada, true, None);
    assert_eq!(heard(&mut core, 23_000, eve), ["gone at 1"], "the session's end is the latest");

    let (ada, _) = come(&mut core, 30_000, with_will(keeper("ada", 60), 0));
    core.disconnect(30_000, ada, true, None);
    assert_eq!(heard(&mut core, 30_000, eve), ["gone at 1"]);
    let (ada, _) = come(&mut core, 31_000, with_will(comer("ada"), 0));
    core.disconnect(31_000, ada, false, None);
    assert_eq!(heard(&mut core, 99_000, eve), [""; 0], "not after a goodbye");
}

#[test]
fn a_takeover_has_the_will_speak_unless_it_was_to_wait_for_just_that() {
    let mut core = core();
    let (eve, _) = come(&mut core, 0, comer("eve"));
    listen(&mut core, 0, eve, "will", 1);
    let (old, _) = come(&mut core, 0, with_will(keeper("ada", 60), 0));
    let (new, present) = come(&mut core, 0, with_will(keeper("ada", 60), 5));
    assert!(present && core.next(0, old).is_none());
    assert_eq!(heard(&mut core, 0, eve), ["gone at 1"]);
    core.disconnect(0, old, true, Some(0));
    let (_, present) = come(&mut core, 0, with_will(keeper("ada", 60), 5));
    assert!(present, "who was taken over ends nothing");
    assert_eq!(heard(&mut core, 0, eve), [""; 0], "its client is back");
    assert!(!come(&mut core, 0, comer("ada")).1);
    assert_eq!(heard(&mut core, 0, eve), ["gone at 1"], "its session has ended");
    core.disconnect(0, new, true, None);
    assert_eq!(heard(&mut core, 99_000, eve), [""; 0]);
}

#[test]
fn a_wills_own_time_runs_from_when_it_speaks() {
    let mut core = core();
    let (eve, _) = come(&mut core, 0, comer("eve"));
    listen(&mut core, 0, eve, "will", 1);
    let will = Some(Box::new(Publish { expiry_s: Some(2), ..publish("will", "gone", 1) }));
    let (ada, _) = come(&mut core, 0, Comer { will, ..comer("ada") });
    core.disconnect(60_000, ada, true, None);
    assert_eq!(heard(&mut core, 61_999, eve), ["gone at 1"]);
}

#[test]
fn every_store_has_its_end_and_says_so() {
    let limits = OpenLimits {
        sessions_max: 2,
        session_filters_max: 2,
        queue_max: 3,
        retained_max: 2,
        bytes_max: 10_000,
    };
    let mut core = Core::new(limits, Arc::default());
    let (ada, _) = come(&mut core, 0, keeper("ada", FOR_EVER));
    let (bob, _) = come(&mut core, 0, comer("bob"));
    let full = core.connect(0, comer("eve")).unwrap_err();
    assert!(full.to_string().contains("sessions"), "{full}");
    listen(&mut core, 0, ada, "a", 1);
    listen(&mut core, 0, ada, "b", 1);
    assert!(matches!(core.subscribe(0, ada, &wish("c", 1)), Subscribed::Full(Full(_))));
    listen(&mut core, 0, ada, "a", 1);
    core.disconnect(0, ada, false, None);
    (0..5).for_each(|_| say(&mut core, 0, bob, publish("a", "x", 1)));
    assert_eq!(core.take_dropped(), 2);
    say(&mut core, 0, bob, Publish { expiry_s: Some(1), ..retained("r/1", "x") });
    say(&mut core, 0, bob, retained("r/2", "x"));
    say(&mut core, 0, bob, retained("r/2", "y"));
    let third = |now| Message::new(retained("r/3", "x"), now);
    assert!(core.publish(500, third(500)).is_err());
    assert_eq!(core.publish(1_000, third(1_000)), Ok(()), "one has expired");
    let large = "x".repeat(20_000);
    assert!(core.publish(1_000, Message::new(retained("r/3", &large), 1_000)).is_err());
    listen(&mut core, 1_000, bob, "r/3", 1);
    assert_eq!(heard(&mut core, 1_000, bob), ["x at 1 retained"], "the former one stays");
    let will = Some(Box::new(publish("will", &large, 0)));
    core.disconnect(1_000, bob, false, None);
    assert!(core.connect(1_000, Comer { will, ..comer("eve") }).is_err());
    let (_, present) = come(&mut core, 1_000, comer("eve"));
    assert!(!present, "whoever was refused holds no place");
}

#[test]
fn what_has_expired_makes_room() {
    let limits = OpenLimits { queue_max: 2, bytes_max: 10_000, ..OpenLimits::default() };
    let mut core = Core::new(limits, Arc::default());
    let (eve, _) = come(&mut core, 0, comer("eve"));
    let large = "x".repeat(2_500);
    for topic in ["r/1", "r/2", "r/3"] {
        say(&mut core, 0, eve, Publish { expiry_s: Some(1), ..retained(topic, &large) });
    }
    let another = |now| Message::new(retained("r/4", &large), now);
    assert!(core.publish(900, another(900)).is_err());
    // Not looked for again at once: each time is a walk over everything.
    assert!(core.publish(1_000, another(1_000)).is_err());
    assert_eq!(core.publish(1_900, another(1_900)), Ok(()));
    core.check_invariants();
    let (ada, _) = come(&mut core, 1_900, keeper("ada", FOR_EVER));
    listen(&mut core, 1_900, ada, "a", 1);
    core.disconnect(1_900, ada, false, None);
    let brief = |payload| Publish { expiry_s: Some(1), ..publish("a", payload, 1) };
    (0..2).for_each(|_| say(&mut core, 1_900, eve, brief("old")));
    say(&mut core, 2_900, eve, publish("a", "new", 1));
    assert_eq!(core.take_dropped(), 0);
    let (ada, _) = come(&mut core, 2_900, keeper("ada", FOR_EVER));
    assert_eq!(heard(&mut core, 2_900, ada), ["new at 1"]);
    core.check_invariants();
}

#[test]
fn a_retained_message_gives_its_room_to_its_successor() {
    let limits = OpenLimits { bytes_max: 6_000, ..OpenLimits::default() };
    let mut core = Core::new(limits, Arc::default());
    let (eve, _) = come(&mut core, 0, comer("eve"));
    say(&mut core, 0, eve, retained("r", &"x".repeat(4_500)));
    say(&mut core, 0, eve, retained("r", &"y".repeat(4_000)));
    let larger = Message::new(retained("r", &"z".repeat(9_000)), 0);
    assert!(core.publish(0, larger).is_err());
    core.check_invariants();
    listen(&mut core, 0, eve, "other", 1);
}

#[test]
fn empty_properties_and_long_names_are_paid_for() {
    let pair = UserProperty::new("", "").unwrap();
    let mut many = publish("a", "", 0);
    many.passed = vec![Property::from(pair); 1_000];
    assert!(Message::new(many, 0).cost() >= 1_000 * size_of::<Property>());
    let limits = OpenLimits { bytes_max: 500_000, ..OpenLimits::default() };
    let mut core = Core::new(limits, Arc::default());
    let long = |index: usize| keeper(&format!("{index}{}", "n".repeat(60_000)), FOR_EVER);
    let taken = (0..10).take_while(|index| core.connect(0, long(*index)).is_ok()).count();
    assert_eq!(taken, 4);
    core.check_invariants();
}

#[test]
fn whoever_has_lost_its_seat_says_nothing_more() {
    let mut core = core();
    let (ada, _) = come(&mut core, 0, keeper("ada", 10));
    listen(&mut core, 0, ada, "a", 2);
    let (again, _) = come(&mut core, 0, keeper("ada", 10));
    let message = || Message::new(publish("a", "x", 2), 0);
    assert_eq!(core.publish_by(0, ada, Some(1), message()), None);
    assert_eq!(core.subscribe(0, ada, &wish("b", 1)), Subscribed::Unseated);
    assert_eq!(core.publish_by(0, again, Some(1), message()), Some(Ok(())));
    assert_eq!(core.unreleased(again), [1]);
    assert_eq!(heard(&mut core, 0, again), ["x at 2"]);
}

#[test]
fn of_many_who_come_by_one_name_at_once_the_last_to_begin_has_the_seat() {
    let broker = Broker::new(OpenLimits::default(), Arc::default(), Arc::default());
    let (broker, begun) = (Arc::new(broker), Mutex::new(0));
    let begin = || {
        let mut begun = begun.lock().unwrap();
        *begun += 1;
        *begun
    };
    let come = || {
        let come = || broker.connect(keeper("ada", 10), begin).unwrap();
        (0..200).map(|_| come()).collect::<Vec<_>>()
    };
    let members: Vec<_> = std::thread::scope(|scope| {
        let threads = [(); 4].map(|()| scope.spawn(come));
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    for (member, _, number) in members {
        let message = |now| Message::new(publish("a", "x", 0), now);
        assert_eq!(member.publish(None, message).is_some(), number == 800, "{number}");
    }
}

#[test]
fn a_group_passes_over_members_that_may_not_hear() {
    let acl = "deny client:bob subscribe a/secret".parse().unwrap();
    let mut core = Core::new(OpenLimits::default(), Arc::new(acl));
    let [bob, ada] = ["bob", "ada"].map(|name| {
        let (seat, _) = come(&mut core, 0, keeper(name, FOR_EVER));
        listen(&mut core, 0, seat, "$share/team/a/#", 1);
        seat
    });
    for topic in ["a/secret", "a/secret", "a/b", "a/b"] {
        say(&mut core, 0, ada, publish(topic, topic, 1));
    }
    assert_eq!(heard(&mut core, 0, bob), ["a/b at 1"]);
    assert_eq!(heard(&mut core, 0, ada), ["a/secret at 1", "a/secret at 1", "a/b at 1"]);
    core.disconnect(0, ada, false, Some(0));
    say(&mut core, 0, bob, publish("a/secret", "nobody's", 1));
    assert_eq!(heard(&mut core, 0, bob), [""; 0]);
    core.check_invariants();
}

#[test]
fn who_is_refused_for_a_will_leaves_the_session_as_it_was() {
    let limits = OpenLimits { bytes_max: 10_000, ..OpenLimits::default() };
    let mut core = Core::new(limits, Arc::default());
    let (eve, _) = come(&mut core, 0, comer("eve"));
    listen(&mut core, 0, eve, "will", 1);
    let (ada, _) = come(&mut core, 0, with_will(keeper("ada", 10), 0));
    listen(&mut core, 0, ada, "a", 1);
    let large = || Some(Box::new(publish("will", &"x".repeat(20_000), 0)));
    assert!(core.connect(0, Comer { will: large(), ..keeper("ada", 10) }).is_err());
    core.check_invariants();
    say(&mut core, 0, eve, publish("a", "still here", 1));
    assert_eq!(heard(&mut core, 0, ada), ["still here at 1"]);
    assert_eq!(heard(&mut core, 0, eve), [""; 0], "its will has not spoken");
    core.disconnect(1_000, ada, true, None);
    assert_eq!(heard(&mut core, 1_000, eve), ["gone at 1"]);
    assert!(core.connect(2_000, Comer { will: large(), ..keeper("ada", 10) }).is_err());
    core.check_invariants();
    core.disconnect(2_000, eve, false, None);
    core.advance(11_000);
    assert!(core.is_empty(), "it ends when it was to");
}

#[derive(Debug, Clone)]
enum Act {
    Come { who: u8, clean: bool, expiry_s: u32, delay_s: Option<u32> },
    Go { who: u8, with_will: bool },
    Subscribe { who: u8, filter: u8, qos: u8 },
    Unsubscribe { who: u8, filter: u8 },
    Publish { who: u8, topic: u8, qos: u8, retain: bool, payload: bool, expiry_s: Option<u32> },
    Hear { who: u8, most: u8, answers: bool },
    Wait { ms: u64 },
}

fn act() -> impl Strategy<Value = Act> {
    let (who, some) = (0..4_u8, 0..6_u8);
    prop_oneof![
        (who.clone(), any::<bool>(), 0..3_u32, proptest::option::of(0..3_u32)).prop_map(
            |(who, clean, expiry_s, delay_s)| Act::Come { who, clean, expiry_s, delay_s }
        ),
        (who.clone(), any::<bool>()).prop_map(|(who, with_will)| Act::Go { who, with_will }),
        (who.clone(), some.clone(), 0..3_u8).prop_map(|(who, filter, qos)| Act::Subscribe {
            who,
            filter,
            qos
        }),
        (who.clone(), some.clone()).prop_map(|(who, filter)| Act::Unsubscribe { who, filter }),
        (
            (who.clone(), some, 0..3_u8),
            (any::<bool>(), any::<bool>(), proptest::option::of(0..3_u32))
        )
            .prop_map(|((who, topic, qos), (retain, payload, expiry_s))| Act::Publish {
                who,
                topic,
                qos,
                retain,
                payload,
                expiry_s
            }),
        (who, 0..9_u8, any::<bool>()).prop_map(|(who, most, answers)| Act::Hear {
            who,
            most,
            answers
        }),
        (0..2_000_u64).prop_map(|ms| Act::Wait { ms }),
    ]
}

const FILTERS: [&str; 6] = ["t/0", "t/+", "#", "$share/g/t/1", "$share/g/#", "t/2/#"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
    #[test]
    fn whatever_clients_do_all_is_accounted_for_and_given_back(
        acts in proptest::collection::vec(act(), 1..120)
    ) {
        let limits = OpenLimits {
            sessions_max: 3,
            session_filters_max: 3,
            queue_max: 8,
            retained_max: 4,
            bytes_max: 6_000,
        };
        let mut core = Core::new(limits, Arc::default());
        let (mut now, mut seats) = (0, [None; 4]);
        for act in acts {
            core.advance(now);
            match act {
                Act::Come { who, clean, expiry_s, delay_s } => {
                    let comer = Comer { clean, expiry_s, receive_maximum: 2, ..comer(&who.to_string()) };
                    let comer = delay_s.map_or(comer, |delay_s| with_will(keeper(&who.to_string(), expiry_s), delay_s));
                    // Whoever is refused changes nothing for who was there.
                    if let Ok((seat, _)) = core.connect(now, comer) {
                        seats[usize::from(who)] = Some(seat);
                    }
                }
                Act::Go { who, with_will } => {
                    if let Some(seat) = seats[usize::from(who)].take() {
                        core.disconnect(now, seat, with_will, None);
                    }
                }
                Act::Subscribe { who, filter, qos } => {
                    if let Some(seat) = seats[usize::from(who)] {
                        core.subscribe(now, seat, &wish(FILTERS[usize::from(filter)], qos));
                    }
                }
                Act::Unsubscribe { who, filter } => {
                    if let Some(seat) = seats[usize::from(who)] {
                        core.unsubscribe(seat, FILTERS[usize::from(filter)]);
                    }
                }
                Act::Publish { who, topic, qos, retain, payload, expiry_s } => {
                    let payload = if payload { "x" } else { "" };
                    let publish = Publish { retain, expiry_s, ..publish(&format!("t/{topic}"), payload, qos) };
                    let message = Message { from: who.into(), ..Message::new(publish, now) };
                    // Full is an answer, too.
                    let _ = core.publish(now, message);
                }
                Act::Hear { who, most, answers } => {
                    let Some(seat) = seats[usize::from(who)] else { continue };
                    for _ in 0..most {
                        let Some(next) = core.next(now, seat) else { break };
                        let id = match next {
                            Next::Publish(delivery) => {
                                prop_assert!(!delivery.message.is_expired(now) || delivery.again);
                                delivery.packet_id
                            }
                            Next::Release(id) => Some(id),
                        };
                        if let Some(id) = id.filter(|_| answers) {
                            core.acknowledged(seat, id);
                            core.received(seat, id, false);
                            core.completed(seat, id);
                        }
                    }
                }
                Act::Wait { ms } => now += ms,
            }
            core.check_invariants();
        }
        core.advance(now);
        for who in 0..4_u8 {
            // Who has no session may find no place for one.
            if let Ok((seat, _)) = core.connect(now, comer(&who.to_string())) {
                core.disconnect(now, seat, false, None);
            }
        }
        for topic in 0..6 {
            core.publish(now, Message::new(retained(&format!("t/{topic}"), ""), now)).unwrap();
        }
        core.check_invariants();
        prop_assert!(core.is_empty());
    }
}
