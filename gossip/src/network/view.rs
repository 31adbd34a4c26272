//! One look at all that chitchat knows.

use super::config::{KEYS, RESERVED_KEYS};
use super::membership::Member;
use super::slander::Slander;
use super::standing::{Said, Standing};
use chitchat::{Chitchat, ChitchatId, NodeState};
use crdt_state::{NodeId, Origin};
use std::collections::{BTreeMap, BTreeSet};

/// All that chitchat knows at one moment.
pub(super) struct View {
    /// The newest incarnation of each node, in the order of node ids.
    pub(super) members: Vec<Member>,
    /// What each of them says of itself.
    pub(super) said: BTreeMap<Origin, Said>,
    /// The highest generation of this very node's id beside the one that gossips here.
    pub(super) rival: Option<u64>,
    /// Whether others know this life by more than it ever said.
    pub(super) slandered: bool,
    /// Every incarnation, and all keys that it has, deleted ones included.
    pub(super) known: BTreeMap<ChitchatId, BTreeSet<String>>,
}

impl View {
    pub(super) fn of(chitchat: &Chitchat, own: NodeId, slander: &Slander) -> Self {
        let live: BTreeSet<&ChitchatId> = chitchat.live_nodes().collect();
        let me = chitchat.self_chitchat_id();
        let (mut members, mut said, mut rival) = (BTreeMap::new(), BTreeMap::new(), None);
        // Within a node the ids are in the order of generations: the newest comes last and stays.
        for (id, state) in chitchat.node_states() {
            let Ok(node) = id.node_id.parse::<NodeId>() else { continue };
            if let Some(mut member) = describe_member(node, id, state, live.contains(id)) {
                if node == own && id != me {
                    rival = rival.max(Some(id.generation_id));
                }
                said.insert(member.origin, state.get("state").map_or(Said::FIRST, Said::read));
                let before = members.get(&node);
                // A process whose gossip began anew goes on: its former gossip is heard of for a while.
                member.live |=
                    before.is_some_and(|it: &Member| it.origin == member.origin && it.live);
                members.insert(node, member);
            }
        }
        let keys = |state: &NodeState| {
            state.key_values_including_deleted().map(|(key, _)| key.to_owned()).collect()
        };
        let known = chitchat.node_states().iter().map(|(id, state)| (id.clone(), keys(state)));
        let known = known.collect();
        let slandered = chitchat.node_state(me).is_some_and(|own| slander.is_beyond(own));
        View { members: members.into_values().collect(), said, rival, slandered, known }
    }
}

/// A member, once its keys have arrived.
fn describe_member(node: NodeId, id: &ChitchatId, state: &NodeState, live: bool) -> Option<Member> {
    let hidden = |key: &str| key != KEYS && RESERVED_KEYS.contains(&key);
    let kvs = state.key_values().filter(|(key, _)| !hidden(key));
    Some(Member {
        node,
        origin: state.get("origin")?.parse().ok()?,
        name: state.get("name")?.to_owned(),
        addr: id.gossip_advertise_addr,
        generation: id.generation_id,
        live,
        left: false,
        standing: Standing::Starting,
        kvs: kvs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
    })
}
