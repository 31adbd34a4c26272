//! What a node remembers of its cluster from one life to the next.

use crate::store::{StoreHandle, StoreOp};
use crate::token::TokenKeys;
use gossip::network::{ClusterKey, KeyRing, Network};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// Between two looks at what is to be remembered: 2 s, one write to a disk at most.
const LOOK: Duration = Duration::from_secs(2);

/// Where nodes were ever found.
const ADDRESSES: &str = "addresses";
/// Orders the lives of this node.
pub(super) const GENERATION: &str = "generation";

/// Where nodes were in former lives. What cannot be read is as good as forgotten: configuration
/// and discovery lead back to the cluster.
pub(super) fn addresses(memory: &BTreeMap<String, Vec<u8>>) -> Vec<SocketAddr> {
    let known = memory.get(ADDRESSES).and_then(|bytes| postcard::from_bytes(bytes).ok());
    known.unwrap_or_default()
}

/// The cluster's keys.
const RING: &str = "ring";

/// The ring of a former life, with the key that this one is configured with.
pub(super) fn ring(memory: &BTreeMap<String, Vec<u8>>, configured: &ClusterKey) -> KeyRing {
    let kept = memory.get(RING).and_then(|bytes| postcard::from_bytes(bytes).ok());
    match kept {
        Some(kept) => KeyRing::resumed(kept, configured),
        None => KeyRing::new(configured),
    }
}

/// What tokens are signed and accepted under, the key in use first.
pub(super) fn token_keys(ring: &KeyRing) -> Vec<[u8; 32]> {
    ring.keys().iter().map(ClusterKey::bytes).collect()
}

/// Writes every address at which a node was found, and the generation that this node had to rise
/// to, and the ring of keys, which tokens follow, whenever they change, until the node leaves.
pub(super) async fn keep(network: Network, store: StoreHandle, tokens: TokenKeys) {
    let mut ring = network.ring();
    let (mut addresses, mut generation) = (Vec::new(), network.generation());
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = network.leaving() => return,
            Ok(()) = ring.changed() => {
                let ring = ring.borrow_and_update().clone();
                tokens.replace(&token_keys(&ring));
                let value = postcard::to_stdvec(&ring).expect("a ring is made of plain values");
                remember(&store, RING, value).await;
            }
            _ = look.tick() => {}
        }
        let newest = network.generation();
        if newest != generation {
            generation = newest;
            remember(&store, GENERATION, newest.to_be_bytes().to_vec()).await;
        }
        let known = network.addresses();
        if known != addresses {
            addresses = known;
            let value = postcard::to_stdvec(&addresses).expect("addresses are plain values");
            remember(&store, ADDRESSES, value).await;
        }
    }
}

async fn remember(store: &StoreHandle, name: &'static str, value: Vec<u8>) {
    store.put(StoreOp::Remember { name, value }).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn damaged_or_arbitrary_memories_never_panic(
            noise in prop::collection::vec(any::<u8>(), 0..200),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let key = |byte| ClusterKey::from_bytes([byte; 32]);
            let mut ours = KeyRing::new(&key(1));
            ours.install(&key(2)).unwrap();
            let known: Vec<SocketAddr> = vec!["127.0.0.1:7946".parse().unwrap()];
            let mut kept = [postcard::to_stdvec(&ours).unwrap(), postcard::to_stdvec(&known).unwrap()];
            for bytes in &mut kept {
                for (at, with) in &damage {
                    let at = at.index(bytes.len());
                    bytes[at] = *with;
                }
            }
            for bytes in kept.into_iter().chain([noise]) {
                let memory = [RING, ADDRESSES].map(|name| (name.to_owned(), bytes.clone()));
                let memory = BTreeMap::from(memory);
                prop_assert!(ring(&memory, &key(3)).keys().contains(&key(3)));
                let _ = addresses(&memory);
            }
        }
    }

    #[test]
    fn addresses_come_back_and_garbage_is_none() {
        let known: Vec<SocketAddr> = vec!["127.0.0.1:7946".parse().unwrap()];
        let memory = |bytes: Vec<u8>| BTreeMap::from([(ADDRESSES.to_owned(), bytes)]);
        assert_eq!(addresses(&memory(postcard::to_stdvec(&known).unwrap())), known);
        assert_eq!(addresses(&memory(vec![9, 9])), []);
        assert_eq!(addresses(&BTreeMap::new()), []);
    }
}
