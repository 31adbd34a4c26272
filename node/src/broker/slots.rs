//! Who takes which slot: rendezvous hashing over the members that reach the broker.
//!
//! Every node works it out for itself from what the members announce; nobody assigns anything. The
//! rule of handing over is one line: *a slot is let go only once the member that it now belongs to
//! has announced that it holds it*. So a slot always has a subscriber while its old owner lives; two
//! at once are harmless, since an answer taken twice is the same answer. Pure: no clock, no IO.
//!
//! Thaler and Ravishankar, *Using name-based mappings to increase hit rates*, 1998: each slot goes to
//! the member with the highest hash of both, so that a member who comes or goes moves only its own.

use crate::engine::Slots;
use crdt_state::NodeId;
use std::collections::BTreeMap;
use xxhash_rust::xxh3::xxh3_64;

/// The members that may take slots, each with those that it says it holds.
pub type Members = BTreeMap<NodeId, Slots>;

/// Whose a slot is; nobody's without members.
#[must_use]
pub fn owner(slot: u8, members: &Members) -> Option<NodeId> {
    members.keys().copied().max_by_key(|node| (weight(slot, *node), *node))
}

/// The slots that belong to `node`.
#[must_use]
pub fn belonging(node: NodeId, members: &Members) -> Slots {
    (0..=u8::MAX).filter(|slot| owner(*slot, members) == Some(node)).collect()
}

/// The slots that `node`, which holds `held`, may let go: those whose owner has said that it holds
/// them.
#[must_use]
pub fn released(node: NodeId, held: Slots, members: &Members) -> Slots {
    let is_kept = |slot: &u8| {
        owner(*slot, members).is_none_or(|owner| owner == node || !members[&owner].has(*slot))
    };
    held.iter().filter(|slot| !is_kept(slot)).collect()
}

fn weight(slot: u8, node: NodeId) -> u64 {
    let mut input = [0; 9];
    input[0] = slot;
    input[1..].copy_from_slice(&node.0.to_be_bytes());
    xxh3_64(&input)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::SLOTS;
    use proptest::prelude::*;

    fn members(nodes: impl IntoIterator<Item = u64>) -> Members {
        nodes.into_iter().map(|node| (NodeId(node), Slots::NONE)).collect()
    }

    fn owners(members: &Members) -> Vec<Option<NodeId>> {
        (0..=u8::MAX).map(|slot| owner(slot, members)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn whoever_comes_or_goes_moves_only_its_own_slots(
            nodes in prop::collection::btree_set(any::<u64>(), 2..12)
        ) {
            let all = members(nodes.iter().copied());
            let gone = NodeId(*nodes.first().expect("there are two"));
            let mut rest = all.clone();
            rest.remove(&gone);
            for (before, after) in owners(&all).into_iter().zip(owners(&rest)) {
                prop_assert!(before == after || before == Some(gone));
            }
        }

        #[test]
        fn slots_are_spread_evenly(nodes in prop::collection::btree_set(any::<u64>(), 1..9)) {
            let all = members(nodes.iter().copied());
            let fair = SLOTS / nodes.len();
            let spread: Vec<usize> =
                all.keys().map(|node| belonging(*node, &all).len()).collect();
            prop_assert_eq!(spread.iter().sum::<usize>(), SLOTS);
            // Beyond six standard deviations of a fair draw, for the smallest share here.
            prop_assert!(spread.iter().all(|share| *share > fair / 4 && *share < fair * 3 + 1),
                "{:?}", spread);
        }

        /// Members come and drain in any order, and each acts whenever it likes.
        #[test]
        fn a_slot_that_was_once_held_is_always_held(
            steps in prop::collection::vec((0_u64..5, 0..3), 1..60)
        ) {
            let mut world = World::default();
            for (node, step) in steps {
                world.step(NodeId(node), step);
                let held = world.held.values();
                let covered: Slots = held.flat_map(Slots::iter).collect();
                prop_assert_eq!(world.once.without(&covered), Slots::NONE);
                world.once = covered.iter().chain(world.once.iter()).collect();
            }
        }
    }

    /// Nodes that plan, and what each has announced.
    #[derive(Default)]
    struct World {
        ready: Members,
        held: Members,
        once: Slots,
    }

    impl World {
        fn step(&mut self, node: NodeId, step: i32) {
            match step {
                // It becomes ready, or drains unless it is the last.
                0 if self.ready.contains_key(&node) => {
                    if self.ready.len() > 1 {
                        self.ready.remove(&node);
                    }
                }
                0 => {
                    let held = self.held.get(&node).copied().unwrap_or_default();
                    self.ready.insert(node, held);
                }
                // It plans: subscribes, announces, lets go.
                _ => {
                    let held = self.held.entry(node).or_default();
                    let wanted = belonging(node, &self.ready);
                    wanted.iter().for_each(|slot| held.insert(slot));
                    let gone = released(node, *held, &self.ready);
                    gone.iter().for_each(|slot| held.remove(slot));
                    let held = *held;
                    self.ready.entry(node).and_modify(|announced| *announced = held);
                }
            }
        }
    }

    #[test]
    fn a_slot_is_kept_until_its_owner_says_that_it_holds_it() {
        let (old, new) = (NodeId(1), NodeId(2));
        let mut members = members([2]);
        assert_eq!(released(old, Slots::ALL, &members), Slots::NONE);
        members.insert(new, Slots::from_iter([7]));
        assert_eq!(released(old, Slots::ALL, &members), Slots::from_iter([7]));
        assert_eq!(released(old, Slots::ALL, &Members::new()), Slots::NONE);
    }
}
