//! The knobs of a replica, each with where its default comes from.
//!
//! None of them has to match between nodes: they pace and bound one node's own behaviour.

use super::message::PULL_BYTES_MAX;
use std::time::Duration;

/// How a replica paces and bounds itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// A push that finds nothing in flight still waits this long after the one before it.
    /// 1 ms, measured: without it loopback sends a packet per answer and burns two cores.
    pub flush_gap: Duration,
    /// A push that finds something in flight waits at most this long. Larger than `flush_gap`.
    /// 5 ms, measured: the p99 of a receipt stays under 5 ms.
    pub flush_delay: Duration,
    /// A push leaves at once when this many bytes wait. 64 KiB, measured: one GSO burst.
    pub flush_bytes: usize,
    /// Bytes pushed to one peer on one lane and not acknowledged; beyond it the peer is a puller.
    /// 1 MiB: a round trip of 100 ms at 10 MB/s.
    pub window_bytes: usize,
    /// How often heads are told to every peer. 250 ms: a lost message is repaired within about
    /// one of it. Arbitrary, in the range that Corrosion and chitchat use.
    pub heads_interval: Duration,
    /// How often peers with equal heads compare digests. A multiple of `heads_interval`.
    /// 5 s, arbitrary: a digest reads all content once.
    pub audit_interval: Duration,
    /// How long a lack that the origin's own push may still fill is left alone. 25 ms: five
    /// times `flush_delay`. The link's round trip is added.
    pub pull_patience: Duration,
    /// A pull not answered for so long goes to another peer. 1 s: many round trips of any link.
    pub pull_timeout: Duration,
    /// Bytes asked for by one pull. At most 256 KiB: a reply is one message.
    pub pull_bytes: usize,
    /// Pulls in flight per kind of lane; times `pull_bytes` it is the byte budget of repair.
    /// 4, arbitrary: 1 MiB for each kind.
    pub pulls_max: usize,
    /// Entries that came before their turn, in bytes over all lanes; what does not fit is
    /// dropped and pulled later. 4 MiB: a few windows.
    pub stash_bytes_max: usize,
    /// Entries kept for others, in bytes over all lanes. 64 MiB: about ten bursts of 100,000
    /// answers a second.
    pub tail_bytes_max: usize,
    /// Of answers that every enrolled node is known to hold, so many bytes are kept all the same, so
    /// that a link which fails for a moment costs a pull and no snapshot. 4 MiB: a few windows.
    pub tail_stable_bytes: usize,
    /// A newcomer with nothing takes a snapshot from a peer whose tail is larger than this.
    /// 1 MiB, a guess: a handful of pulls cost no more than a cut.
    pub snapshot_above_bytes: u64,
    /// A snapshot's next part not received for so long is asked for again. 1 s, as a pull.
    pub snapshot_timeout: Duration,
    /// How often a part is asked for before another source is tried. 3, arbitrary.
    pub snapshot_tries: u32,
    /// Snapshots held for newcomers at once; others are refused. 4, arbitrary: each is a cut in
    /// memory.
    pub snapshots_served_max: usize,
    /// A held snapshot of which no part was asked for so long is let go. 10 s, arbitrary.
    pub snapshot_idle: Duration,
    /// A receipt that has not reached its level after so long leaves as provisional. 250 ms: what
    /// a player takes for an answer at once.
    pub receipt_patience: Duration,
    /// Receipts that wait for their level or their upgrade. When full, further ones leave as
    /// provisional at once and are never upgraded. 1,000,000: about 60 MB.
    pub receipts_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            flush_gap: Duration::from_millis(1),
            flush_delay: Duration::from_millis(5),
            flush_bytes: 64 << 10,
            window_bytes: 1 << 20,
            heads_interval: Duration::from_millis(250),
            audit_interval: Duration::from_secs(5),
            pull_patience: Duration::from_millis(25),
            pull_timeout: Duration::from_secs(1),
            pull_bytes: PULL_BYTES_MAX,
            pulls_max: 4,
            stash_bytes_max: 4 << 20,
            tail_bytes_max: 64 << 20,
            tail_stable_bytes: 4 << 20,
            snapshot_above_bytes: 1 << 20,
            snapshot_timeout: Duration::from_secs(1),
            snapshot_tries: 3,
            snapshots_served_max: 4,
            snapshot_idle: Duration::from_secs(10),
            receipt_patience: Duration::from_millis(250),
            receipts_max: 1_000_000,
        }
    }
}

/// A value with which a replica could not make progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("replication: {field} {rule}")]
pub struct ConfigError {
    /// The field of [`Config`].
    pub field: &'static str,
    /// What it has to be.
    pub rule: &'static str,
}

impl Config {
    /// Checks every value against what it must be smaller or larger than.
    ///
    /// # Errors
    /// Names the first field that breaks its rule.
    pub fn check(&self) -> Result<(), ConfigError> {
        let rules = [
            (self.flush_gap > Duration::ZERO, "flush_gap", "must not be zero"),
            (self.flush_gap <= self.flush_delay, "flush_delay", "must be at least flush_gap"),
            (self.flush_bytes > 0, "flush_bytes", "must not be zero"),
            (self.flush_bytes <= PULL_BYTES_MAX, "flush_bytes", "must be at most 256 KiB"),
            (self.window_bytes > 0, "window_bytes", "must not be zero"),
            (self.heads_interval > Duration::ZERO, "heads_interval", "must not be zero"),
            (self.pull_timeout > Duration::ZERO, "pull_timeout", "must not be zero"),
            (self.pull_bytes > 0, "pull_bytes", "must not be zero"),
            (self.pull_bytes <= PULL_BYTES_MAX, "pull_bytes", "must be at most 256 KiB"),
            (self.pulls_max > 0, "pulls_max", "must not be zero"),
            (self.snapshot_timeout > Duration::ZERO, "snapshot_timeout", "must not be zero"),
            (self.snapshot_tries > 0, "snapshot_tries", "must not be zero"),
            (self.snapshots_served_max > 0, "snapshots_served_max", "must not be zero"),
        ];
        match rules.into_iter().find(|(holds, ..)| !holds) {
            Some((_, field, rule)) => Err(ConfigError { field, rule }),
            None => Ok(()),
        }
    }
}
