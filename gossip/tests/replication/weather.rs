//! Chance, and how harsh a run is: all of it is drawn from the seed.

use gossip::replication::Config;
use std::time::Duration;

/// A small generator (SplitMix64): all chance of a run comes from its seed.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % sides
    }

    pub fn percent(&mut self, chance: u64) -> bool {
        self.roll(100) < chance
    }

    pub fn micros(&mut self, below: u64) -> Duration {
        Duration::from_micros(self.roll(below))
    }
}

/// How harsh a run is, drawn from its seed.
pub struct Weather {
    pub nodes: u64,
    pub loss: u64,
    pub doubled: u64,
    pub delay_us: u64,
    pub crashes: u64,
    pub cuts: u64,
    pub config: Config,
}

/// Fault rates and bounds are part of what a seed decides.
pub fn weather(dice: &mut Dice) -> Weather {
    let mut any = |choices: &[u64]| choices[dice.roll(choices.len() as u64) as usize];
    let bytes = |n: u64| usize::try_from(n).expect("small");
    let config = Config {
        flush_bytes: bytes(any(&[100, 1000, 64 << 10])),
        window_bytes: bytes(any(&[300, 3000, 1 << 20])),
        pull_bytes: bytes(any(&[1, 200, 256 << 10])),
        pulls_max: bytes(any(&[1, 4])),
        stash_bytes_max: bytes(any(&[0, 500, 4 << 20])),
        tail_bytes_max: bytes(any(&[1000, 4000, 64 << 20])),
        tail_stable_bytes: bytes(any(&[0, 500, 4 << 20])),
        snapshot_above_bytes: any(&[500, 2000, 1 << 20]),
        snapshots_served_max: bytes(any(&[1, 4])),
        pull_timeout: Duration::from_millis(any(&[100, 1000])),
        snapshot_timeout: Duration::from_millis(any(&[100, 1000])),
        audit_interval: Duration::from_millis(any(&[250, 1000])),
        ..Config::default()
    };
    Weather {
        nodes: any(&[3, 4, 5]),
        loss: any(&[0, 0, 5, 30]),
        doubled: any(&[0, 10]),
        delay_us: any(&[500, 5_000, 30_000]),
        crashes: any(&[0, 10, 40]),
        cuts: any(&[0, 20, 60]),
        config,
    }
}
