//! Many players at once, of both dialects and transports, spread over the nodes.

use crate::cluster::Cluster;
use crate::export::Export;
use crate::player::{Dialect, Player, PlayerOptions, Transport};
use crdt_state::PlayerId;
use node::service::view::{PhaseView, StageView};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use std::time::Duration;

/// The players of a test.
#[derive(Debug)]
pub struct Crowd {
    /// In the order in which they joined.
    pub players: Vec<Player>,
}

impl Crowd {
    /// Lets `count` players join, one after the other around the nodes, and waits for them.
    ///
    /// # Panics
    /// If one of them is not in, firmly, in time.
    pub async fn join(cluster: &Cluster, count: usize, random: &mut ChaCha8Rng) -> Self {
        let players = (0..count).map(|index| {
            let options = options(cluster, index, random);
            Player::start(options, cluster.directory())
        });
        let crowd = Crowd { players: players.collect() };
        for player in &crowd.players {
            player.wait_joined(WAIT_MAX).await;
        }
        crowd
    }

    /// Waits until every player sees a stage, or a later one.
    ///
    /// # Panics
    /// If one of them does not in time.
    pub async fn wait_stage(&self, instance: u32, phase: PhaseView, within: Duration) {
        let stage = StageView { instance, phase };
        for player in &self.players {
            let what = format!("{phase:?} of {instance}");
            player.wait(&what, within, |record| record.seen(stage).is_some()).await;
        }
    }

    /// Waits until every player was told the result of an instance.
    ///
    /// # Panics
    /// If one of them is not in time.
    pub async fn wait_results(&self, instance: u32) {
        for player in &self.players {
            let told = |record: &crate::player::Record| record.result(instance).is_some();
            player.wait(&format!("the result of {instance}"), WAIT_MAX, told).await;
        }
    }

    /// Everything in which an export contradicts itself or what the players wrote down.
    #[must_use]
    pub fn faults(&self, export: &Export) -> Vec<String> {
        let mut faults = export.faults();
        for player in &self.players {
            let PlayerOptions { id, name, .. } = &player.options;
            faults.extend(export.faults_of(*id, name, &player.record()));
        }
        faults
    }
}

/// The `index`th of a crowd: the dialects and transports take turns, each on every node.
fn options(cluster: &Cluster, index: usize, random: &mut ChaCha8Rng) -> PlayerOptions {
    let turn = index / cluster.size();
    let dialect = if turn.is_multiple_of(2) { Dialect::V311 } else { Dialect::V5 };
    let over_tcp = (turn / 2).is_multiple_of(2);
    PlayerOptions {
        pin: cluster.pin().to_owned(),
        id: player_id(random),
        name: format!("Player {index}"),
        node: index % cluster.size(),
        dialect,
        transport: if over_tcp { Transport::Tcp } else { Transport::WebSocket },
    }
}

/// A random player id.
#[must_use]
pub fn player_id(random: &mut ChaCha8Rng) -> PlayerId {
    PlayerId(u128::from(random.next_u64()) << 64 | u128::from(random.next_u64()))
}

/// How long a join or a result may take.
const WAIT_MAX: Duration = Duration::from_secs(10);
