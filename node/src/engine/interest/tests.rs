//! Nodes that tell each other what they carry, over a wire that delays, loses and doubles.

use super::word::CHANGES_MAX;
use super::*;
use proptest::prelude::*;
use std::fmt::Write;

mod dialogues;

const MS: Duration = Duration::from_millis(1);
const SHOW: EventId = EventId(0xe);

/// Some nodes, all linked; the origin of node `n` is `n`.
#[derive(Default)]
struct Net {
    now: Mono,
    nodes: BTreeMap<u64, Interest>,
    wire: VecDeque<(u64, u64, Word)>,
    lossy: bool,
    /// Whether there are too many events to look at all of them after each step.
    crowded: bool,
    said: String,
    /// Words of news that were told so far, their bytes, and the changes in them.
    words: usize,
    bytes: usize,
    changes: usize,
}

impl Net {
    /// So many nodes, which are no longer young.
    fn new(nodes: u64) -> Self {
        let mut net = Net { now: YOUNG, ..Net::default() };
        for node in 1..=nodes {
            net.nodes.insert(node, Interest::new(NodeId(node), []));
        }
        for node in 1..=nodes {
            for peer in (1..=nodes).filter(|peer| *peer != node) {
                net.heed(node, Heed::PeerUp { peer: Origin(peer), node: NodeId(peer) });
            }
            net.see(node);
        }
        net.settle();
        net.said.clear();
        net
    }

    /// A node learns who lives.
    fn see(&mut self, node: u64) {
        let living: BTreeSet<NodeId> = self.nodes.keys().map(|node| NodeId(*node)).collect();
        self.heed(node, Heed::Seen { staying: living.clone(), living });
    }

    /// An event is made at the node that is best for it, and listed.
    fn list(&mut self, event: EventId) {
        let best =
            self.nodes.keys().copied().min_by_key(|node| rendezvous(event.0, 0, NodeId(*node)));
        self.heed(best.unwrap_or_default(), Heed::Wanted { event });
        for node in self.nodes.keys().copied().collect::<Vec<_>>() {
            let live = BTreeSet::from([event]);
            self.heed(node, Heed::Listed { live, archived: BTreeSet::new() });
        }
    }

    fn heed(&mut self, node: u64, heed: Heed) {
        let now = self.now;
        let Some(interest) = self.nodes.get_mut(&node) else { return };
        interest.handle(now, heed);
        if !self.crowded {
            interest.check_invariants();
        }
        let due = interest.poll_timeout();
        assert!(due.is_none_or(|due| due > now), "woken at {now:?} and again at {due:?}");
        while let Some(turn) = self.nodes.get_mut(&node).and_then(Interest::poll_turn) {
            self.carry_out(node, turn);
        }
    }

    fn carry_out(&mut self, node: u64, turn: Turn) {
        let said = &mut self.said;
        match turn {
            Turn::Begin { event } => writeln!(said, "{node} begins {:x}", event.0),
            Turn::End { event } => writeln!(said, "{node} drops {:x}", event.0),
            Turn::LetGo { event } => writeln!(said, "{node} leaves {:x}", event.0),
            Turn::Renew { event } => writeln!(said, "{node} carries {:x} on", event.0),
            Turn::Up { event, peer, period } => {
                writeln!(said, "{node} has {} for {:x}{}", peer.0, event.0, nth(period))
            }
            Turn::Down { event, peer, period } => {
                writeln!(said, "{node} lost {} for {:x}{}", peer.0, event.0, nth(period))
            }
            Turn::Abandon { event } => writeln!(said, "{node} abandons {:x}", event.0),
            Turn::Forget { event, node: gone } => {
                writeln!(said, "{node} forgets {} in {:x}", gone.0, event.0)
            }
            Turn::Tell { to, word } => {
                let Word { revision, heard, news } = &word;
                let ids = |events: &[EventId]| -> String {
                    events.iter().map(|event| format!(" {:x}", event.0)).collect()
                };
                let mut what = String::new();
                if let Some(News { since, begun, again, ended, awaited, .. }) = news {
                    self.words += 1;
                    self.bytes += word.encode().len();
                    self.changes += begun.len() + again.len() + ended.len();
                    what = format!("{since} to {revision}:{}", ids(begun));
                    for (event, period) in again {
                        write!(what, " {:x}{}", event.0, nth(*period)).expect("text fits");
                    }
                    what += &if ended.is_empty() {
                        String::new()
                    } else {
                        format!(" not{}", ids(ended))
                    };
                    what += if awaited.is_empty() { "" } else { " awaits you," };
                }
                let told = writeln!(said, "{node} to {}: {what} heard {heard}", to.0);
                self.wire.push_back((node, to.0, word));
                told
            }
        }
        .expect("text fits into memory");
    }

    /// Delivers all that is under way.
    fn deliver(&mut self) {
        let mut nth = 0;
        while let Some((from, to, word)) = self.wire.pop_front() {
            nth += 1;
            if self.lossy && nth % 3 == 0 {
                continue;
            }
            let from = Origin(from);
            if self.lossy && nth % 5 == 0 {
                self.heed(to, Heed::Word { from, word: word.clone() });
            }
            self.heed(to, Heed::Word { from, word });
        }
    }

    /// Lets time pass until nobody has anything to say.
    fn settle(&mut self) {
        for _ in 0..40 {
            self.deliver();
            self.now += 100 * MS;
            for node in self.nodes.keys().copied().collect::<Vec<_>>() {
                self.heed(node, Heed::Timeout);
            }
        }
        assert!(self.wire.is_empty(), "all is said");
    }

    fn carriers(&self) -> Vec<u64> {
        let carries = |(_, interest): &(&u64, &Interest)| interest.carries(SHOW);
        self.nodes.iter().filter(carries).map(|(node, _)| *node).collect()
    }

    /// Whether everybody knows exactly who else carries the event, in which period.
    fn all_know(&self) -> bool {
        self.nodes.iter().all(|(node, interest)| {
            let period = |peer: &Origin| interest.peer_period(*peer, SHOW);
            let known = interest.carriers(SHOW).map(|peer| (peer.0, period(&peer)));
            let others = self.carriers().into_iter().filter(|other| other != node);
            known.eq(others.map(|other| (other, Some(self.nodes[&other].period(SHOW)))))
        })
    }

    /// A node that carries the event and need not, of six of which three others do.
    fn with_spare(lossy: bool) -> (Self, u64) {
        let mut net = Net::new(6);
        net.lossy = lossy;
        net.list(SHOW);
        net.settle();
        let aside = *net.nodes.keys().find(|node| !net.carriers().contains(node)).unwrap();
        net.heed(aside, Heed::Wanted { event: SHOW });
        net.settle();
        net.said.clear();
        (net, aside)
    }

    fn spare(&self, node: u64) -> Vec<EventId> {
        self.nodes[&node].spare(self.now).collect()
    }

    fn die(&mut self, node: u64) {
        self.nodes.remove(&node);
        for other in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.heed(other, Heed::PeerDown { peer: Origin(node) });
            self.see(other);
        }
    }
}

/// A period, where it is not the first.
fn nth(period: Period) -> String {
    if period == 0 { String::new() } else { format!(" in period {period}") }
}

/// What a peer says that carries events since a list of its.
fn changed(since: u64, events: impl IntoIterator<Item = EventId>) -> News {
    News { since, begun: events.into_iter().collect(), ..News::default() }
}

/// A peer that is there since long tells a node that it carries the event, and that there are many.
fn meet_a_carrier(young: &mut Interest, now: Mono) {
    let (peer, node) = (Origin(9), NodeId(9));
    young.handle(now, Heed::PeerUp { peer, node });
    let word = Word { revision: 2, heard: 1, news: Some(changed(0, [SHOW])) };
    young.handle(now, Heed::Word { from: peer, word });
}

#[test]
fn below_four_nodes_each_carries_every_event_and_above_three_do() {
    for nodes in 1..=9 {
        let mut net = Net::new(nodes);
        net.list(SHOW);
        net.settle();
        assert_eq!(net.carriers().len() as u64, nodes.min(3), "{nodes} nodes");
        assert!(net.all_know());
    }
}

#[test]
fn a_carrier_that_dies_is_replaced_and_below_four_all_carry() {
    let mut net = Net::new(6);
    net.list(SHOW);
    net.settle();
    let first = net.carriers();
    net.die(first[0]);
    net.settle();
    assert_eq!(net.carriers().len(), 3);
    assert!(net.carriers().iter().filter(|node| first.contains(node)).count() == 2);
    for _ in 0..2 {
        let spare = *net.nodes.keys().find(|node| !net.carriers().contains(node)).unwrap();
        net.die(spare);
    }
    net.settle();
    assert_eq!(net.nodes.len(), 3);
    assert_eq!(net.carriers().len(), 3);
    assert!(net.all_know());
}

/// Four nodes. The three best carry the event; somebody comes to the fourth.
#[test]
fn whoever_is_come_to_begins_and_its_list_leaves_before_it_meets_the_others() {
    let mut net = Net::new(4);
    net.list(SHOW);
    net.settle();
    let fourth = *net.nodes.keys().find(|node| !net.carriers().contains(node)).unwrap();
    let others = net.carriers();
    net.said.clear();
    net.heed(fourth, Heed::Wanted { event: SHOW });
    net.deliver();
    let mut golden = format!("{fourth} begins e\n");
    for other in &others {
        writeln!(golden, "{fourth} to {other}: 1 to 2: e heard 2").unwrap();
    }
    for other in &others {
        writeln!(golden, "{fourth} has {other} for e").unwrap();
    }
    for other in &others {
        writeln!(golden, "{other} has {fourth} for e").unwrap();
        writeln!(golden, "{other} to {fourth}:  heard 2").unwrap();
    }
    assert_eq!(net.said, golden);
    net.said.clear();
    net.heed(fourth, Heed::Wanted { event: SHOW });
    assert_eq!(net.said, "", "it carries the event already");
}

#[test]
fn words_that_are_lost_and_doubled_are_told_again_until_they_are_heard() {
    let mut net = Net::new(5);
    net.lossy = true;
    net.list(SHOW);
    for node in 1..=5 {
        net.heed(node, Heed::Wanted { event: EventId(node) });
    }
    net.settle();
    assert!(net.all_know());
    assert!(net.nodes[&1].carriers(EventId(2)).eq([Origin(2)]));
}

/// A former life of it took part, and may have more to give than anybody knows.
#[test]
fn who_has_lost_its_store_begins_where_it_is_awaited() {
    let mut net = Net::new(6);
    net.list(SHOW);
    net.settle();
    let carrier = net.carriers()[0];
    let spare = *net.nodes.keys().find(|node| !net.carriers().contains(node)).unwrap();
    let nodes = net.carriers().into_iter().chain([spare]).map(NodeId).collect();
    net.lossy = true;
    net.heed(carrier, Heed::Awaited { event: SHOW, nodes });
    net.settle();
    assert!(net.carriers().contains(&spare));
    assert!(net.all_know());
    let strange = News { awaited: vec![EventId(99)], ..News::default() };
    let strange = Word { revision: 9, heard: 0, news: Some(strange) };
    net.heed(spare, Heed::Word { from: Origin(carrier), word: strange });
    assert!(!net.nodes[&spare].carries(EventId(99)), "nobody has heard of that event");
}

#[test]
fn over_a_new_link_a_carrier_is_met_anew_even_if_only_one_side_noticed() {
    let mut net = Net::new(3);
    net.list(SHOW);
    net.settle();
    net.said.clear();
    net.heed(1, Heed::PeerUp { peer: Origin(2), node: NodeId(2) });
    assert!(net.said.contains("1 has 2 for e"), "{}", net.said);
    net.heed(1, Heed::PeerDown { peer: Origin(3) });
    net.heed(1, Heed::PeerUp { peer: Origin(3), node: NodeId(3) });
    assert_eq!(net.nodes[&1].carriers(SHOW).count(), 1);
    net.settle();
    assert!(net.all_know(), "node 3 hears that it was forgotten, and tells again");
}

#[test]
fn a_young_node_waits_until_its_view_of_the_members_has_settled() {
    let mut net = Net::new(6);
    net.list(SHOW);
    net.settle();
    let spare = *net.nodes.keys().find(|node| !net.carriers().contains(node)).unwrap();
    let mut young = Interest::new(NodeId(spare), []);
    let live = BTreeSet::from([SHOW]);
    young.handle(100 * MS, Heed::Listed { live, archived: BTreeSet::new() });
    meet_a_carrier(&mut young, 100 * MS);
    let mut living = BTreeSet::from([NodeId(spare)]);
    for (step, node) in (1..).zip(1..=6) {
        living.insert(NodeId(node));
        let seen = Heed::Seen { staying: living.clone(), living: living.clone() };
        young.handle((100 + step * 300) * MS, seen);
    }
    young.handle(4_000 * MS, Heed::Timeout);
    young.check_invariants();
    assert!(!young.carries(SHOW), "it never took the few that it had found for all");
    let pair = BTreeSet::from([NodeId(spare), NodeId(9)]);
    young.handle(YOUNG, Heed::Seen { living: pair, staying: living });
    assert!(young.carries(SHOW), "with one other it carries what that one carries");
}

/// Power comes back: none of ten nodes has seen more than one other when they tell each other what they carry.
#[test]
fn a_whole_cluster_that_starts_again_carries_what_it_carried() {
    let mut net = Net::new(0);
    for node in 1..=10 {
        let kept: &[EventId] = if node <= 3 { &[SHOW, EventId(1)] } else { &[EventId(1)] };
        net.nodes.insert(node, Interest::new(NodeId(node), kept.iter().copied()));
    }
    net.now = Mono::ZERO;
    for node in 1..=10 {
        let live = BTreeSet::from([SHOW, EventId(1)]);
        net.heed(node, Heed::Listed { live, archived: BTreeSet::new() });
    }
    for node in 1..=10 {
        for peer in (1..=10).filter(|peer| *peer != node) {
            net.heed(node, Heed::PeerUp { peer: Origin(peer), node: NodeId(peer) });
        }
        net.deliver();
    }
    for seen in 2..=10_u64 {
        net.now += 100 * MS;
        for node in 1..=10 {
            let living: BTreeSet<NodeId> = (1..=seen).chain([node]).map(NodeId).collect();
            net.heed(node, Heed::Seen { staying: living.clone(), living });
        }
        net.deliver();
    }
    net.settle();
    let best = net.carriers().len();
    assert!((3..=6).contains(&best), "those that had it, and the best three: {best}");
}

#[test]
fn who_is_cut_off_for_a_while_begins_nothing_for_want_of_others() {
    let mut net = Net::new(6);
    net.list(SHOW);
    net.settle();
    let spare = *net.nodes.keys().find(|node| !net.carriers().contains(node)).unwrap();
    for peer in (1..=6).filter(|peer| *peer != spare) {
        net.heed(spare, Heed::PeerDown { peer: Origin(peer) });
    }
    let alone = BTreeSet::from([NodeId(spare)]);
    net.heed(spare, Heed::Seen { living: alone.clone(), staying: alone });
    net.settle();
    assert!(!net.carriers().contains(&spare));
    net.see(spare);
    for peer in (1..=6).filter(|peer| *peer != spare) {
        net.heed(spare, Heed::PeerUp { peer: Origin(peer), node: NodeId(peer) });
        net.heed(peer, Heed::PeerUp { peer: Origin(spare), node: NodeId(spare) });
    }
    net.settle();
    assert_eq!(net.carriers().len(), 3);
    assert!(net.all_know());
}

#[test]
fn behind_a_broker_every_node_carries_every_event() {
    let mut net = Net::new(9);
    for interest in net.nodes.values_mut() {
        interest.carry_all();
    }
    net.list(SHOW);
    net.settle();
    assert_eq!(net.carriers().len(), 9);
    assert!(net.all_know());
    let mut young = Interest::new(NodeId(3), []);
    young.carry_all();
    let live = BTreeSet::from([SHOW]);
    young.handle(100 * MS, Heed::Listed { live, archived: BTreeSet::new() });
    assert!(young.carries(SHOW), "who else lives makes no difference");
}

#[test]
fn a_young_node_begins_at_once_where_a_peer_says_that_they_are_few() {
    let mut young = Interest::new(NodeId(3), []);
    let live = BTreeSet::from([SHOW]);
    young.handle(100 * MS, Heed::Listed { live, archived: BTreeSet::new() });
    young.handle(100 * MS, Heed::PeerUp { peer: Origin(1), node: NodeId(1) });
    assert!(!young.carries(SHOW));
    let mut old = Interest::new(NodeId(1), [SHOW]);
    old.handle(YOUNG, Heed::PeerUp { peer: Origin(3), node: NodeId(3) });
    let Some(Turn::Tell { word, .. }) = old.poll_turn() else { panic!("it tells what it carries") };
    young.handle(110 * MS, Heed::Word { from: Origin(1), word });
    assert!(young.carries(SHOW));
}

#[test]
fn what_is_archived_is_dropped_and_not_begun_again() {
    let mut net = Net::new(3);
    net.list(SHOW);
    net.settle();
    net.said.clear();
    for node in 1..=3 {
        let archived = BTreeSet::from([SHOW]);
        net.heed(node, Heed::Listed { live: BTreeSet::new(), archived });
    }
    net.settle();
    assert!(net.said.contains("2 drops e"), "{}", net.said);
    assert!(net.carriers().is_empty() && net.all_know());
}

#[test]
fn a_node_that_drains_is_not_chosen_but_goes_on() {
    let mut net = Net::new(5);
    net.list(SHOW);
    net.settle();
    let first = net.carriers();
    let living: BTreeSet<NodeId> = (1..=5).map(NodeId).collect();
    let staying: BTreeSet<NodeId> =
        living.iter().copied().filter(|node| node.0 != first[0]).collect();
    for node in 1..=5 {
        let (living, staying) = (living.clone(), staying.clone());
        net.heed(node, Heed::Seen { living, staying });
    }
    net.settle();
    assert_eq!(net.carriers().len(), 4, "another one is chosen in its place");
    assert!(net.carriers().contains(&first[0]));
}

/// Not for the members' sake, not for a player's, and not because others wait for it.
#[test]
fn a_node_that_leaves_begins_nothing_and_goes_on_with_the_rest() {
    let mut net = Net::new(3);
    net.heed(1, Heed::Wanted { event: EventId(5) });
    net.settle();
    net.heed(3, Heed::Leaving);
    net.said.clear();
    net.list(SHOW);
    net.heed(3, Heed::Wanted { event: SHOW });
    let nodes = (1..=3).map(NodeId).collect();
    net.heed(1, Heed::Awaited { event: SHOW, nodes });
    for _ in 0..20 {
        net.deliver();
        net.now += 100 * MS;
    }
    assert_eq!(net.carriers(), [1, 2]);
    assert!(net.nodes[&1].carries(EventId(5)));
    assert!(!net.said.contains("3 begins"), "{}", net.said);
    assert_eq!(net.nodes[&3].poll_timeout(), None, "it waits for nothing to choose");
}

/// Somebody came for it, and it was archived before the wish was looked at.
#[test]
fn what_is_archived_is_not_begun_again_by_whoever_comes() {
    let mut net = Net::new(3);
    net.list(SHOW);
    net.settle();
    let (live, archived) = (BTreeSet::new(), BTreeSet::from([SHOW]));
    net.heed(1, Heed::Listed { live, archived });
    net.said.clear();
    net.heed(1, Heed::Wanted { event: SHOW });
    assert_eq!(net.said, "");
    assert_eq!(net.nodes[&1].why_not(SHOW), Some(WhyNot::Archived));
    assert_eq!(net.nodes[&2].why_not(SHOW), None);
}

/// Who hears of it later, or of one more event, says so too; who is here after all is not forgotten.
#[test]
fn who_is_given_up_is_forgotten_wherever_it_is_waited_for() {
    let mut net = Net::new(3);
    net.list(SHOW);
    net.settle();
    net.said.clear();
    let gone = NodeId(9);
    let await_it = |net: &mut Net, event| {
        net.heed(1, Heed::Awaited { event, nodes: [NodeId(1), gone].into() });
    };
    await_it(&mut net, SHOW);
    for _ in 0..2 {
        net.heed(1, Heed::GivenUp { nodes: [gone].into() });
    }
    assert_eq!(net.said, "1 forgets 9 in e\n", "once is enough");
    net.said.clear();
    let other = EventId(0xf);
    net.heed(1, Heed::Wanted { event: other });
    net.settle();
    net.said.clear();
    await_it(&mut net, other);
    assert_eq!(net.said, "1 forgets 9 in f\n");
    net.said.clear();
    net.heed(1, Heed::PeerUp { peer: Origin(99), node: gone });
    net.said.clear();
    net.heed(1, Heed::PeerDown { peer: Origin(99) });
    assert_eq!(net.said, "1 forgets 9 in e\n1 forgets 9 in f\n");
    net.heed(1, Heed::GivenUp { nodes: BTreeSet::new() });
    net.said.clear();
    net.heed(1, Heed::Awaited { event: SHOW, nodes: [gone].into() });
    assert_eq!(net.said, "", "it is back");
}

/// The others see that it is not there; another takes its place.
#[test]
fn what_cannot_be_kept_up_ends_here_and_is_not_begun_again() {
    let mut net = Net::new(6);
    net.list(SHOW);
    net.settle();
    let first = net.carriers();
    net.said.clear();
    net.heed(first[0], Heed::Broken { event: SHOW });
    net.settle();
    assert!(net.said.contains(&format!("{} abandons e", first[0])));
    assert!(net.said.contains(&format!("{} lost {} for e", first[1], first[0])));
    assert_eq!(net.carriers(), first[1..], "it would be chosen as before, and is not");
    net.said.clear();
    net.heed(first[0], Heed::Wanted { event: SHOW });
    assert_eq!(net.said, "");
    assert_eq!(net.nodes[&first[0]].why_not(SHOW), Some(WhyNot::Broken));
    assert!(net.all_know());
}

/// Nodes whose catalogue has so many events, each of which somebody makes at a node of his choice.
fn crowd(nodes: u64, events: u64) -> Net {
    let mut net = Net::new(nodes);
    net.crowded = true;
    for number in 1..=events {
        let event = EventId(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        net.heed(1 + number % nodes, Heed::Wanted { event });
        for node in 1..=nodes {
            let live = BTreeSet::from([event]);
            net.heed(node, Heed::Listed { live, archived: BTreeSet::new() });
        }
        if number % 50 == 0 {
            net.deliver();
        }
    }
    net.settle();
    net.nodes.values().for_each(Interest::check_invariants);
    net
}

fn work(net: &Net) -> u64 {
    net.nodes.values().map(Interest::work).sum()
}

#[test]
fn what_is_told_and_looked_at_is_what_has_changed() {
    const EVENTS: u64 = 10_000;
    let mut net = crowd(10, EVENTS);
    // Some four nodes carry each event, and each of nine others hears of each of these once.
    let carried: usize = net.nodes.values().map(|interest| interest.carried().len()).sum();
    assert!((3 * EVENTS as usize..=4 * EVENTS as usize).contains(&carried), "{carried}");
    assert_eq!(net.changes, 9 * carried, "everything is told each once");
    assert!(net.bytes < 12 * net.changes, "{} bytes", net.bytes);
    assert!(work(&net) < 120 * EVENTS, "{} steps", work(&net));
    let before = work(&net);
    let nodes: BTreeSet<NodeId> = (1..=10).map(NodeId).collect();
    for node in 1..=10 {
        for event in net.nodes[&node].carried().clone() {
            net.heed(node, Heed::Awaited { event, nodes: BTreeSet::new() });
        }
        net.heed(node, Heed::Seen { living: nodes.clone(), staying: nodes.clone() });
        let carried = net.nodes[&node].carried().clone();
        net.heed(node, Heed::Listed { live: carried, archived: BTreeSet::new() });
        net.heed(node, Heed::Timeout);
    }
    assert!(work(&net) - before <= 9 * carried as u64, "for whom it waits is told once");
    let before = work(&net);
    for node in 1..=10 {
        for event in net.nodes[&node].carried().clone() {
            net.heed(node, Heed::Awaited { event, nodes: BTreeSet::new() });
        }
    }
    assert_eq!(work(&net), before, "what is no news costs nothing");
}

#[test]
fn events_that_come_one_by_one_share_words_and_bytes() {
    let net = crowd(3, 1_000);
    let carried = |interest: &Interest| interest.carried().len();
    assert!(net.nodes.values().all(|interest| carried(interest) == 1_000));
    assert_eq!(net.changes, 3 * 2 * 1_000);
    assert!(net.words <= 400, "one word is under way at a time: {}", net.words);
}

#[test]
fn a_long_list_comes_in_parts_and_none_is_larger_than_a_word_may_be() {
    let events = 2 * CHANGES_MAX as u64 + 5;
    let mut net = Net::new(0);
    net.crowded = true;
    net.now = YOUNG;
    net.nodes.insert(1, Interest::new(NodeId(1), (0..events).map(EventId)));
    net.nodes.insert(2, Interest::new(NodeId(2), []));
    for (node, peer) in [(1, 2), (2, 1)] {
        net.heed(node, Heed::PeerUp { peer: Origin(peer), node: NodeId(peer) });
    }
    let sizes = |net: &Net| -> Vec<usize> {
        let words = net.wire.iter().filter_map(|(.., word)| word.news.as_ref());
        words.map(|news| news.begun.len()).collect()
    };
    assert_eq!(sizes(&net), [CHANGES_MAX, 0], "the rest waits until this is heard");
    net.settle();
    assert_eq!(net.changes as u64, events);
    assert!(net.nodes[&2].carriers(EventId(events - 1)).eq([Origin(1)]));
    let lines = net.said.lines().filter(|line| line.starts_with("1 to 2: "));
    assert_eq!(lines.filter(|line| !line.contains(":  heard")).count(), 3);
}

#[test]
fn a_node_that_is_full_begins_nothing_and_says_why() {
    let mut full = Interest::new(NodeId(1), (0..CARRIED_MAX as u64).map(EventId));
    let one_more = EventId(u64::MAX - 1);
    full.handle(YOUNG, Heed::Wanted { event: one_more });
    full.handle(YOUNG, Heed::PeerUp { peer: Origin(2), node: NodeId(2) });
    let word = Word { revision: 2, heard: 0, news: Some(changed(0, [one_more])) };
    full.handle(YOUNG, Heed::Word { from: Origin(2), word });
    let live = BTreeSet::from([one_more]);
    full.handle(YOUNG, Heed::Listed { live, archived: BTreeSet::new() });
    full.check_invariants();
    assert!(!full.carries(one_more));
    assert_eq!(full.why_not(one_more), Some(WhyNot::Full));
    assert!(
        full.poll_timeout().is_some_and(|due| due > YOUNG),
        "it waits for room, and not busily"
    );
    full.handle(YOUNG, Heed::Listed { live: BTreeSet::new(), archived: [EventId(3)].into() });
    assert!(full.carries(one_more), "there is room now, and it is one of few nodes");
}

/// It may never be able to: its catalogue may not have the event.
#[test]
fn who_does_not_begin_what_it_is_awaited_in_is_told_ever_less_often() {
    let mut net = Net::new(2);
    net.heed(1, Heed::Wanted { event: SHOW });
    net.settle();
    net.said.clear();
    net.heed(1, Heed::Awaited { event: SHOW, nodes: [NodeId(2)].into() });
    for _ in 0..600 {
        net.deliver();
        net.now += 100 * MS;
        net.heed(1, Heed::Timeout);
    }
    let told = net.said.lines().filter(|line| line.contains("awaits you")).count();
    assert!((12..=20).contains(&told), "told {told} times in a minute");
}

#[test]
fn a_word_survives_its_bytes_and_nonsense_is_none() {
    let (begun, ended) = (vec![SHOW, EventId(u64::MAX - 1)], vec![EventId(4)]);
    let again = vec![(EventId(5), 1), (EventId(6), Period::MAX)];
    let news = News { since: 1, begun, again, ended, awaited: vec![SHOW], few: true };
    let word = Word { revision: 3, heard: 2, news: Some(news) };
    assert_eq!(Word::decode(&word.encode()), Some(word.clone()));
    assert_eq!(Word::decode(&[]), None);
    assert_eq!(Word::decode(&[word::PROTOCOL + 1, 3, 2, 0]), None);
    let many = (0..=CHANGES_MAX as u64).map(EventId);
    let many = Word { revision: 3, heard: 2, news: Some(changed(0, many)) };
    assert_eq!(Word::decode(&many.encode()), None, "beyond what one word brings");
    let mut long = word.encode();
    long.push(0);
    assert_eq!(Word::decode(&long), None);
    let unnumbered = Word { revision: 0, ..word };
    assert_eq!(Word::decode(&unnumbered.encode()), None);
}

/// It is carried until others have all of it, then by nobody but them; whoever comes makes it begin as somebody new.
#[test]
fn what_is_spare_is_let_go_of_and_begun_again_in_another_period() {
    for lossy in [false, true] {
        let (mut net, aside) = Net::with_spare(lossy);
        let best: Vec<u64> = net.carriers().into_iter().filter(|node| *node != aside).collect();
        assert_eq!(net.spare(aside), [SHOW]);
        assert!(best.iter().all(|node| net.spare(*node).is_empty()), "they carry it in any case");
        net.heed(aside, Heed::LetGo { event: SHOW });
        assert_eq!(net.said, format!("{aside} leaves e\n"));
        assert!(net.nodes[&aside].carries(SHOW) && net.spare(aside).is_empty());
        net.settle();
        net.said.clear();
        net.heed(aside, Heed::Left { event: SHOW, period: 0 });
        assert!(net.said.starts_with(&format!("{aside} drops e\n")), "{}", net.said);
        net.settle();
        assert_eq!(net.carriers(), best);
        assert!(net.all_know());
        net.heed(aside, Heed::Wanted { event: SHOW });
        net.settle();
        assert_eq!((net.carriers().len(), net.nodes[&aside].period(SHOW)), (4, 1));
        assert!(net.all_know());
        assert!(net.said.contains(&format!("{} has {aside} for e in period 1", best[0])));
    }
}

/// Nobody hears that it was away: that it carries the event in another period says so.
#[test]
fn who_is_back_before_the_others_have_heard_that_it_let_go_is_met_anew() {
    let (mut net, aside) = Net::with_spare(false);
    let first = *net.carriers().iter().find(|node| **node != aside).unwrap();
    let word = net.nodes[&aside].list.since(0);
    net.heed(aside, Heed::LetGo { event: SHOW });
    net.heed(aside, Heed::Left { event: SHOW, period: 0 });
    net.wire.clear();
    net.heed(aside, Heed::Wanted { event: SHOW });
    net.said.clear();
    net.settle();
    let met = net.said.lines().filter(|line| line.starts_with(&format!("{first} ")));
    let met: Vec<&str> = met.filter(|line| line.contains(&format!(" {aside} for e"))).collect();
    let anew =
        [format!("{first} lost {aside} for e"), format!("{first} has {aside} for e in period 1")];
    assert_eq!(met, anew);
    assert!(net.all_know());
    let (revision, news) = word;
    let old = Word { revision, heard: 1, news: Some(news) };
    net.heed(first, Heed::Word { from: Origin(aside), word: old });
    assert!(net.all_know(), "an old word takes nothing back");
}

#[test]
fn what_is_going_is_carried_on_if_it_is_wanted_or_needed_or_nobody_has_confirmed_it() {
    let (mut net, aside) = Net::with_spare(false);
    let on = format!("{aside} carries e on\n");
    net.heed(aside, Heed::LetGo { event: SHOW });
    net.said.clear();
    net.heed(aside, Heed::Wanted { event: SHOW });
    assert!(net.said.starts_with(&on), "{}", net.said);
    assert_eq!(net.said.matches("has").count(), 3, "it hears of the others anew");
    net.said.clear();
    for heed in [Heed::Left { event: SHOW, period: 0 }, Heed::Unheard { event: SHOW, period: 0 }] {
        net.heed(aside, heed);
    }
    assert_eq!(net.said, "", "what came of another period is no news");
    net.settle();
    assert!(net.all_know());
    net.heed(aside, Heed::LetGo { event: SHOW });
    net.said.clear();
    net.heed(aside, Heed::Unheard { event: SHOW, period: 1 });
    assert!(net.said.starts_with(&on), "{}", net.said);
    net.settle();
    net.heed(aside, Heed::LetGo { event: SHOW });
    net.said.clear();
    let carrier = *net.carriers().iter().find(|node| **node != aside).unwrap();
    net.die(carrier);
    assert!(net.said.contains(&on), "{}", net.said);
    assert_eq!(net.nodes[&aside].period(SHOW), 3);
    net.settle();
    assert!(net.all_know() && net.carriers().contains(&aside));
}

/// What an event waits for is told once a second: the word that its carrier lets go overtakes that of its goodbye.
#[test]
fn who_let_go_does_not_begin_for_those_who_have_not_heard_its_goodbye() {
    let (mut net, aside) = Net::with_spare(false);
    let best: Vec<u64> = net.carriers().into_iter().filter(|node| *node != aside).collect();
    let nodes: BTreeSet<NodeId> = net.carriers().into_iter().map(NodeId).collect();
    for node in net.carriers() {
        net.heed(node, Heed::Awaited { event: SHOW, nodes: nodes.clone() });
    }
    net.heed(aside, Heed::LetGo { event: SHOW });
    net.heed(aside, Heed::Left { event: SHOW, period: 0 });
    net.said.clear();
    for _ in 0..10 {
        net.deliver();
        net.now += 100 * MS;
        best.iter().for_each(|node| net.heed(*node, Heed::Timeout));
    }
    assert!(net.said.contains("awaits you"), "{}", net.said);
    assert_eq!(net.carriers(), best);
    for node in &best {
        let nodes = best.iter().copied().map(NodeId).collect();
        net.heed(*node, Heed::Awaited { event: SHOW, nodes });
    }
    net.settle();
    assert_eq!(net.carriers(), best);
    assert!(net.all_know());
}

#[test]
fn nobody_lets_go_of_what_it_is_to_carry() {
    let (mut net, aside) = Net::with_spare(false);
    let best: Vec<u64> = net.carriers().into_iter().filter(|node| *node != aside).collect();
    net.said.clear();
    net.heed(best[0], Heed::LetGo { event: SHOW });
    net.heed(aside, Heed::LetGo { event: EventId(9) });
    assert_eq!(net.said, "");
    let living: BTreeSet<NodeId> = net.nodes.keys().map(|node| NodeId(*node)).collect();
    let staying: BTreeSet<NodeId> = living.iter().copied().filter(|it| it.0 != best[0]).collect();
    net.heed(aside, Heed::Seen { living: living.clone(), staying: staying.clone() });
    assert!(
        net.spare(aside).is_empty(),
        "one of the best is about to go, and another one is to begin"
    );
    net.heed(aside, Heed::Seen { living: living.clone(), staying: living.clone() });
    assert_eq!(net.spare(aside), [SHOW]);
    let few: BTreeSet<NodeId> = living.iter().copied().take(3).collect();
    net.heed(aside, Heed::Seen { living: few.clone(), staying: few });
    assert!(net.spare(aside).is_empty(), "they are few");
    net.heed(aside, Heed::Seen { living: living.clone(), staying: living });
    net.heed(aside, Heed::PeerDown { peer: Origin(best[1]) });
    assert!(net.spare(aside).is_empty(), "only two others are known to carry it");
    let (mut net, aside) = Net::with_spare(false);
    net.nodes.get_mut(&aside).unwrap().carry_all();
    assert!(net.spare(aside).is_empty(), "behind a broker all carry it");
    let (mut net, aside) = Net::with_spare(false);
    net.heed(aside, Heed::Leaving);
    assert!(net.spare(aside).is_empty(), "it leaves all of them");
}

#[test]
fn what_is_archived_while_it_is_going_is_dropped_once() {
    let (mut net, aside) = Net::with_spare(false);
    net.heed(aside, Heed::LetGo { event: SHOW });
    net.said.clear();
    let (live, archived) = (BTreeSet::new(), BTreeSet::from([SHOW]));
    net.heed(aside, Heed::Listed { live, archived });
    net.heed(aside, Heed::Left { event: SHOW, period: 0 });
    net.heed(aside, Heed::Wanted { event: SHOW });
    assert_eq!(net.said.matches("drops e").count(), 1, "{}", net.said);
    assert!(!net.nodes[&aside].carries(SHOW));
}

/// Six nodes do for a while what comes to their minds, and words are lost and doubled.
#[test]
fn whoever_comes_and_goes_all_know_in_the_end_who_carries_the_event_in_which_period() {
    for seed in 0..40 {
        let (mut net, _) = Net::with_spare(true);
        let mut dice = seed;
        let mut roll = |sides: u64| {
            dice += 1;
            rendezvous(dice, 0, NodeId(seed)) % sides
        };
        for _ in 0..200 {
            let node = 1 + roll(6);
            let period = net.nodes[&node].period(SHOW);
            let (event, peer) = (SHOW, Origin(1 + roll(6)));
            match roll(8) {
                0 => net.heed(node, Heed::Wanted { event }),
                1..4 => net.heed(node, Heed::LetGo { event }),
                4..6 => net.heed(node, Heed::Left { event, period }),
                6 => net.heed(node, Heed::Unheard { event, period }),
                _ if peer.0 != node => {
                    net.heed(node, Heed::PeerDown { peer });
                    net.heed(node, Heed::PeerUp { peer, node: NodeId(peer.0) });
                }
                _ => {}
            }
            if roll(3) == 0 {
                net.deliver();
                net.now += 100 * MS;
                (1..=6).for_each(|node| net.heed(node, Heed::Timeout));
            }
        }
        net.settle();
        assert!(net.all_know(), "seed {seed}");
        assert!(net.carriers().len() >= 3, "seed {seed}");
    }
}

/// What is read is heeded, and told back as it was.
fn read(bytes: &[u8]) {
    let Some(word) = Word::decode(bytes) else { return };
    assert_eq!(Word::decode(&word.encode()).as_ref(), Some(&word));
    let mut net = Net::new(3);
    net.list(SHOW);
    net.heed(1, Heed::Word { from: Origin(2), word });
    net.settle();
}

proptest! {
    #[test]
    fn a_damaged_or_arbitrary_word_never_panics(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        read(&bytes);
        read(&[&[word::PROTOCOL], &bytes[..]].concat());
        let again = vec![(EventId(5), 1)];
        let (ended, awaited) = (vec![EventId(4)], vec![SHOW]);
        let news = News { since: 1, begun: vec![SHOW], again, ended, awaited, few: true };
        let mut wire = Word { revision: 300, heard: 2, news: Some(news) }.encode();
        read(&wire[..cut.index(wire.len())]);
        for (at, with) in damage {
            let at = at.index(wire.len());
            wire[at] = with;
        }
        read(&wire);
    }
}
