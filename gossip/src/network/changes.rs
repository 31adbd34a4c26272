//! What becomes of members, told from one look at all of them to the next.
//!
//! A pure state machine: it compares whole lists, so whatever was missed in between is made up for
//! by the next look, and nobody stays alive whom the list does not have. *Suspect* is a member
//! whose direct link fell silent or ended without a goodbye while gossip still hears of it; gossip
//! decides.

use super::membership::Member;
use super::standing::Standing;
use crdt_state::{NodeId, Origin};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

/// Something that became of another member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberEvent {
    /// What.
    pub change: MemberChange,
    /// The node.
    pub node: NodeId,
    /// The incarnation that it is about.
    pub origin: Origin,
    /// For people.
    pub name: String,
    /// Where it is reached.
    pub addr: SocketAddr,
}

/// What may become of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemberChange {
    /// A node that was not known to be alive is.
    Joined,
    /// It takes players.
    Ready,
    /// It takes nobody new.
    Draining,
    /// It said goodbye, or an operator gave it up.
    Left,
    /// Its direct link is silent, or ended without a goodbye.
    Suspect,
    /// Its heartbeats arrive no more, or its next life has begun.
    Died,
    /// It was suspect, dead or had left, and is back; perhaps in its next life.
    Returned,
}

impl MemberChange {
    /// Every change.
    pub const ALL: [MemberChange; 7] = [
        MemberChange::Joined,
        MemberChange::Ready,
        MemberChange::Draining,
        MemberChange::Left,
        MemberChange::Suspect,
        MemberChange::Died,
        MemberChange::Returned,
    ];

    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            MemberChange::Joined => "joined",
            MemberChange::Ready => "ready",
            MemberChange::Draining => "draining",
            MemberChange::Left => "left",
            MemberChange::Suspect => "suspect",
            MemberChange::Died => "died",
            MemberChange::Returned => "returned",
        }
    }
}

impl fmt::Display for MemberChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// How a member is, as far as this node can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Alive,
    Suspect,
    Dead,
    Left,
}

/// A member at the last look.
#[derive(Debug, Clone)]
struct Seen {
    member: Member,
    health: Health,
    /// Whether this incarnation was ever linked: who never was cannot have lost its link.
    linked: bool,
    /// The incarnation that was last told to be there, and what it said then; nothing before: a node's state may
    /// arrive some time before its heartbeats do, or after they have ceased.
    told: Option<(Origin, Standing)>,
}

/// Compares each look at the members with the one before.
#[derive(Debug, Default)]
pub(super) struct MemberWatch(BTreeMap<NodeId, Seen>);

impl MemberWatch {
    /// What became of everybody but `own` since the last look, each node's story in order.
    pub(super) fn observe(
        &mut self,
        own: NodeId,
        members: &[Member],
        linked: impl Fn(Origin) -> bool,
    ) -> Vec<MemberEvent> {
        let mut events = Vec::new();
        for member in members.iter().filter(|member| member.node != own) {
            let before = self.0.get(&member.node);
            let same = before.filter(|before| before.member.origin == member.origin);
            let is_linked = linked(member.origin);
            let was_linked = same.is_some_and(|before| before.linked);
            let health = health(member, was_linked && !is_linked);
            let linked = is_linked || was_linked;
            let is_there = matches!(health, Health::Alive | Health::Suspect);
            let told = is_there.then_some((member.origin, member.standing));
            let told = told.or(before.and_then(|before| before.told));
            let now = Seen { member: member.clone(), health, linked, told };
            tell(&mut events, before, &now);
            self.0.insert(member.node, now);
        }
        self.0.retain(|node, seen| {
            let stays = members.iter().any(|member| member.node == *node);
            if !stays && matches!(seen.health, Health::Alive | Health::Suspect) {
                events.push(event(MemberChange::Died, &seen.member));
            }
            stays
        });
        events
    }
}

fn health(member: &Member, lost_its_link: bool) -> Health {
    match (member.left, member.live, lost_its_link) {
        (true, _, _) => Health::Left,
        (_, false, _) => Health::Dead,
        (_, _, true) => Health::Suspect,
        _ => Health::Alive,
    }
}

/// Tells how one node came from `before` to `now`.
fn tell(events: &mut Vec<MemberEvent>, before: Option<&Seen>, now: &Seen) {
    let mut say = |change, member: &Member| events.push(event(change, member));
    let member = &now.member;
    let Some(before) = before.filter(|before| before.told.is_some()) else {
        if now.told.is_some() {
            say(MemberChange::Joined, member);
            say_standing(&mut say, member);
        }
        return;
    };
    let next_life = before.member.origin != member.origin;
    if next_life && matches!(before.health, Health::Alive | Health::Suspect) {
        say(MemberChange::Died, &before.member);
    }
    let change = match (before.health, now.health) {
        (from, to) if from == to && !next_life => None,
        (_, Health::Alive) => Some(MemberChange::Returned),
        (_, Health::Suspect) => Some(MemberChange::Suspect),
        (Health::Left, Health::Dead) => None,
        (_, Health::Dead) if !next_life => Some(MemberChange::Died),
        (_, Health::Left) if !next_life => Some(MemberChange::Left),
        _ => None,
    };
    if let Some(change) = change {
        say(change, member);
    }
    if before.told != now.told {
        say_standing(&mut say, member);
    }
}

fn say_standing(say: &mut impl FnMut(MemberChange, &Member), member: &Member) {
    match member.standing {
        Standing::Ready => say(MemberChange::Ready, member),
        Standing::Draining => say(MemberChange::Draining, member),
        Standing::Starting | Standing::Left => {}
    }
}

fn event(change: MemberChange, member: &Member) -> MemberEvent {
    MemberEvent {
        change,
        node: member.node,
        origin: member.origin,
        name: member.name.clone(),
        addr: member.addr,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use MemberChange::*;

    fn member(standing: Standing, live: bool) -> Member {
        Member {
            node: NodeId(2),
            origin: Origin(20),
            name: "two".into(),
            addr: "127.0.0.1:2".parse().unwrap(),
            generation: 1,
            live,
            left: standing == Standing::Left,
            standing,
            kvs: BTreeMap::new(),
        }
    }

    fn alive() -> Member {
        member(Standing::Ready, true)
    }

    /// Looks at one member, or at nobody, and returns what is told.
    fn look(watch: &mut MemberWatch, member: Option<Member>, linked: bool) -> Vec<MemberChange> {
        let members: Vec<_> = member.into_iter().collect();
        let events = watch.observe(NodeId(1), &members, |_| linked);
        events.into_iter().map(|event| event.change).collect()
    }

    #[test]
    fn a_node_joins_gets_ready_drains_changes_its_mind_and_leaves() {
        let watch = &mut MemberWatch::default();
        assert_eq!(look(watch, Some(member(Standing::Starting, true)), true), [Joined]);
        assert_eq!(look(watch, Some(alive()), true), [Ready]);
        assert_eq!(look(watch, Some(member(Standing::Draining, true)), true), [Draining]);
        assert_eq!(look(watch, Some(alive()), true), [Ready]);
        assert_eq!(look(watch, Some(member(Standing::Left, false)), false), [Left]);
        assert_eq!(look(watch, None, false), []);
        assert_eq!(look(watch, Some(alive()), true), [Joined, Ready]);
    }

    #[test]
    fn a_lost_link_is_a_suspicion_that_gossip_confirms_or_a_new_link_ends() {
        let watch = &mut MemberWatch::default();
        assert_eq!(look(watch, Some(alive()), false), [Joined, Ready], "never linked: no suspect");
        assert_eq!(look(watch, Some(alive()), true), []);
        assert_eq!(look(watch, Some(alive()), false), [Suspect]);
        assert_eq!(look(watch, Some(alive()), true), [Returned]);
        assert_eq!(look(watch, Some(alive()), false), [Suspect]);
        assert_eq!(look(watch, Some(member(Standing::Ready, false)), false), [Died]);
        assert_eq!(look(watch, Some(alive()), true), [Returned]);
    }

    #[test]
    fn a_next_life_ends_the_former_one_first() {
        let watch = &mut MemberWatch::default();
        look(watch, Some(alive()), true);
        let next = Member { origin: Origin(21), generation: 2, ..alive() };
        assert_eq!(look(watch, Some(next), true), [Died, Returned, Ready]);
    }

    #[test]
    fn whoever_is_learnt_of_as_dead_is_no_news_and_whoever_vanishes_is() {
        let watch = &mut MemberWatch::default();
        assert_eq!(look(watch, Some(member(Standing::Ready, false)), false), []);
        assert_eq!(look(watch, Some(member(Standing::Left, false)), false), []);
        assert!(!watch.0.is_empty());
        assert_eq!(look(watch, None, false), []);
        look(watch, Some(alive()), true);
        assert_eq!(look(watch, None, false), [Died]);
        assert!(watch.0.is_empty());
    }

    #[test]
    fn a_newcomer_whose_state_precedes_its_heartbeats_has_joined_and_not_returned() {
        let watch = &mut MemberWatch::default();
        assert_eq!(look(watch, Some(member(Standing::Starting, false)), true), []);
        assert_eq!(look(watch, Some(alive()), true), [Joined, Ready]);
        let dead = member(Standing::Ready, false);
        assert_eq!(look(watch, Some(dead.clone()), true), [Died]);
        assert_eq!(look(watch, Some(alive()), true), [Returned]);
        let next = Member { origin: Origin(21), generation: 2, ..dead };
        assert_eq!(look(watch, Some(next.clone()), true), [Died]);
        assert_eq!(look(watch, Some(Member { live: true, ..next }), true), [Returned, Ready]);
    }
}
