//! Which nodes are gone, as far as one of the others can tell. Pure: time is an argument.
//!
//! A node that has just come is heard of before its heartbeats are: it does not count as alive yet, and is not dead
//! either. Who takes it for dead takes the session over that it is using.

use crdt_state::NodeId;
use gossip::network::Member;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// A node's life: the node, and its generation.
pub type Life = (NodeId, u64);

/// How long a life that was never seen alive may take to begin: 5 s, twenty rounds of gossip. One that was over when this
/// node came to know of it waits so long for whoever looks after it.
const BEGINNING_MAX: Duration = Duration::from_secs(5);

/// What was seen of the lives of other nodes.
#[derive(Debug, Default)]
pub struct Watch(BTreeMap<Life, Seen>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// It was alive.
    Alive,
    /// It was heard of, at first then.
    Told(Instant),
}

impl Watch {
    /// Takes in the members as they are, and tells which of their lives are over.
    pub fn gone<'a>(
        &mut self,
        members: impl Iterator<Item = &'a Member>,
        now: Instant,
    ) -> BTreeMap<Life, &'a Member> {
        let mut gone: BTreeMap<Life, &Member> =
            members.map(|member| ((member.node, member.generation), member)).collect();
        self.0.retain(|life, _| gone.contains_key(life));
        gone.retain(|life, member| self.is_gone(*life, member, now));
        gone
    }

    fn is_gone(&mut self, life: Life, member: &Member, now: Instant) -> bool {
        let seen = self.0.entry(life).or_insert(Seen::Told(now));
        if member.live {
            *seen = Seen::Alive;
        }
        let has_begun = match *seen {
            Seen::Alive => true,
            Seen::Told(since) => now >= since + BEGINNING_MAX,
        };
        member.left || (has_begun && !member.live)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crdt_state::Origin;
    use gossip::network::Standing;

    fn member(generation: u64, live: bool, left: bool) -> Member {
        Member {
            node: NodeId(7),
            origin: Origin(generation),
            name: "n7".to_owned(),
            addr: "127.0.0.1:7946".parse().unwrap(),
            generation,
            live,
            left,
            standing: Standing::Ready,
            kvs: BTreeMap::new(),
        }
    }

    fn is_gone(watch: &mut Watch, member: &Member, now: Instant) -> bool {
        !watch.gone(std::iter::once(member), now).is_empty()
    }

    #[test]
    fn who_has_just_come_is_not_gone_before_it_is_heard() {
        let (mut watch, now) = (Watch::default(), Instant::now());
        let (told, alive, dead) =
            (member(1, false, false), member(1, true, false), member(1, false, false));
        assert!(!is_gone(&mut watch, &told, now));
        assert!(!is_gone(&mut watch, &told, now + BEGINNING_MAX / 2));
        assert!(!is_gone(&mut watch, &alive, now + BEGINNING_MAX * 2));
        assert!(is_gone(&mut watch, &dead, now + BEGINNING_MAX * 2), "it was there");
        let again = member(2, false, false);
        assert!(!is_gone(&mut watch, &again, now + BEGINNING_MAX * 2), "its next life begins");
    }

    #[test]
    fn who_was_never_heard_is_gone_after_a_while_and_who_said_goodbye_at_once() {
        let (mut watch, now) = (Watch::default(), Instant::now());
        assert!(!is_gone(&mut watch, &member(1, false, false), now));
        assert!(is_gone(&mut watch, &member(1, false, false), now + BEGINNING_MAX));
        assert!(is_gone(&mut watch, &member(2, false, true), now), "it has left");
    }
}
