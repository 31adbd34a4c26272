//! Nodes that tell each other what they carry, over a wire that delays, loses and doubles.

use super::*;
use std::fmt::Write;

const MS: Duration = Duration::from_millis(1);
const SHOW: EventId = EventId(0xe);

/// Some nodes, all linked; the origin of node `n` is `n`.
#[derive(Default)]
struct Net {
    now: Mono,
    nodes: BTreeMap<u64, Interest>,
    wire: VecDeque<(u64, u64, Word)>,
    lossy: bool,
    said: String,
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
        interest.check_invariants();
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
            Turn::Up { event, peer } => writeln!(said, "{node} has {} for {:x}", peer.0, event.0),
            Turn::Down { event, peer } => {
                writeln!(said, "{node} lost {} for {:x}", peer.0, event.0)
            }
            Turn::Tell { to, word } => {
                let Word { revision, heard, events, awaited, .. } = &word;
                let list = events.iter().flatten().map(|event| format!(" {:x}", event.0));
                let list: String = list.collect();
                let what = if events.is_some() {
                    format!("list {revision}:{list}")
                } else {
                    String::new()
                };
                let what = if awaited.is_empty() { what } else { format!("{what} awaits you,") };
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

    /// Whether everybody knows exactly who else carries the event.
    fn all_know(&self) -> bool {
        self.nodes.iter().all(|(node, interest)| {
            let known: Vec<u64> = interest.carriers(SHOW).map(|peer| peer.0).collect();
            let others = self.carriers().into_iter().filter(|other| other != node);
            known == others.collect::<Vec<_>>()
        })
    }

    fn die(&mut self, node: u64) {
        self.nodes.remove(&node);
        for other in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.heed(other, Heed::PeerDown { peer: Origin(node) });
            self.see(other);
        }
    }
}

/// A peer that is there since long tells a node that it carries the event, and that there are many.
fn meet_a_carrier(young: &mut Interest, now: Mono) {
    let (peer, node) = (Origin(9), NodeId(9));
    young.handle(now, Heed::PeerUp { peer, node });
    let (events, awaited) = (Some(vec![SHOW]), Vec::new());
    let word = Word { revision: 2, heard: 1, events, awaited, few: false };
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
        writeln!(golden, "{fourth} to {other}: list 2: e heard 2").unwrap();
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
    let strange = Word {
        revision: 9,
        heard: 0,
        events: Some(Vec::new()),
        awaited: vec![EventId(99)],
        few: false,
    };
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

/// It is told of every event each second.
#[test]
fn for_whom_an_event_waits_is_no_reason_to_choose() {
    let mut young = Interest::new(NodeId(1), [EventId(5)]);
    young.handle(MS, Heed::Listed { live: BTreeSet::from([SHOW]), archived: BTreeSet::new() });
    let nodes = BTreeSet::from([NodeId(1)]);
    meet_a_carrier(&mut young, MS);
    while young.poll_turn().is_some() {}
    for _ in 0..2 {
        young.handle(YOUNG, Heed::Awaited { event: EventId(5), nodes: nodes.clone() });
    }
    assert!(!young.carries(SHOW) && young.poll_turn().is_none());
    young.handle(YOUNG, Heed::Timeout);
    assert!(young.carries(SHOW));
}

#[test]
fn a_word_survives_its_bytes_and_nonsense_is_none() {
    let word = Word {
        revision: 3,
        heard: 2,
        events: Some(vec![SHOW, EventId(u64::MAX - 1)]),
        awaited: vec![SHOW],
        few: true,
    };
    assert_eq!(Word::decode(&word.encode()), Some(word.clone()));
    assert_eq!(Word::decode(&[]), None);
    assert_eq!(Word::decode(&[PROTOCOL + 1, 3, 2, 0]), None);
    let mut long = word.encode();
    long.push(0);
    assert_eq!(Word::decode(&long), None);
    let unnumbered = Word { revision: 0, ..word };
    assert_eq!(Word::decode(&unnumbered.encode()), None);
}
