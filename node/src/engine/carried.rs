//! An event's state as this node carries it: what is replicated, and when its rounds opened here.
//!
//! The state itself knows no clock. When a round opened is each node's own knowledge: the moment at which it
//! applied the opening, set back by the age that travelled with it. Wall clocks play no part, so a node
//! whose calendar is ten minutes off changes no result.

use bytes::Bytes;
use crdt_state::delta::{DecodeError, Delta, Join};
use crdt_state::{EventState, Heads, Lane, LaneId, Mono, Origin, Phase, PlayerId};
use crdts::CmRDT;
use gossip::replication::{AGE_UNKNOWN, ApplyError, PART_BYTES_MAX, Replicated};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// When a round opened, in milliseconds on this node's monotonic clock; negative before its start.
pub type Zero = i64;

/// The state, its account of what was applied, and the zeros of its rounds.
#[derive(Debug, Default)]
pub struct Carried {
    /// What is replicated.
    pub state: EventState,
    content: Heads,
    zeros: BTreeMap<u32, Zero>,
    /// Openings whose age nobody has told yet, by the entry that brought them.
    unaged: BTreeMap<(LaneId, u64), u32>,
    /// Players whose answers others brought, since they were last asked for.
    touched: Vec<(u32, PlayerId)>,
    /// Whose rows others brought, since they were last asked for.
    joined: Joined,
    /// Whether anything was taken in since this was last asked.
    changed: bool,
    /// Counts what can change a score that is shown.
    scored_revision: u64,
}

/// Whose rows others brought. Lanes are independent: an answer may be here before its row.
#[derive(Debug, Default)]
pub enum Joined {
    /// Nobody's.
    #[default]
    Nobody,
    /// These players'.
    Players(BTreeSet<PlayerId>),
    /// A snapshot's, which does not say.
    Anybody,
}

/// What a snapshot starts with: everything that the state does not hold itself.
type Envelope = (Heads, Vec<(u32, u64)>);

impl Carried {
    /// Takes in one's own change before it is committed.
    pub fn take(&mut self, now: Mono, me: Origin, delta: Delta) {
        self.open(now, Duration::ZERO, &delta);
        self.score(&delta);
        self.state.take(me, delta);
        self.changed = true;
    }

    /// Accounts for an own entry that was committed.
    pub fn committed(&mut self, me: Origin, lane: Lane) {
        let dot = self.content.inc(LaneId { origin: me, lane });
        self.content.apply(dot);
    }

    /// What has been applied.
    pub fn heads(&self) -> &Heads {
        &self.content
    }

    /// When `instance` opened, if this node knows.
    pub fn zero(&self, instance: u32) -> Option<Zero> {
        self.zeros.get(&instance).copied()
    }

    /// For how long `instance` has been open, in milliseconds.
    pub fn elapsed_ms(&self, now: Mono, instance: u32) -> Option<u64> {
        self.zero(instance).map(|zero| (millis(now) - zero).max(0) as u64)
    }

    /// Whether anything was taken in since the last call.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// The players whose answers others brought since the last call, with the instance.
    pub fn take_touched(&mut self) -> Vec<(u32, PlayerId)> {
        std::mem::take(&mut self.touched)
    }

    /// Whose rows others brought since the last call.
    pub fn take_joined(&mut self) -> Joined {
        std::mem::take(&mut self.joined)
    }

    /// Learns when a round opened: the earliest that anybody tells.
    fn set_zero(&mut self, now: Mono, age: Duration, instance: u32) {
        let zero = millis(now) - millis(age);
        self.zeros.entry(instance).and_modify(|held| *held = zero.min(*held)).or_insert(zero);
    }

    fn open(&mut self, now: Mono, age: Duration, delta: &Delta) {
        if let Some(instance) = opened_by(delta) {
            self.set_zero(now, age, instance);
        }
    }

    /// A number that grows whenever a score that is shown may have changed. Answers to the open round do
    /// not: they score when it is revealed.
    pub fn scored_revision(&self) -> u64 {
        self.scored_revision
    }

    fn score(&mut self, delta: &Delta) {
        let scores = match delta {
            Delta::Answers(answers) => !self.state.is_open(answers.instance),
            Delta::Joins(_) | Delta::Advance(_) | Delta::Extend(_) | Delta::Create(_) => true,
            _ => false,
        };
        self.scored_revision += u64::from(scores);
    }

    /// Remembers whose rows and answers came from elsewhere.
    fn touch(&mut self, delta: &Delta) {
        if let Delta::Joins(joins) = delta {
            self.join(joins);
        }
        let Delta::Answers(answers) = delta else { return };
        for (number, _, _) in &answers.rows {
            let row = crdt_state::Row { origin: answers.rows_of, number: *number };
            if let Some(player) = self.state.players.get(row) {
                self.touched.push((answers.instance, player.id));
            }
        }
    }

    fn join(&mut self, joins: &[Join]) {
        let players = joins.iter().map(|join| join.player);
        match &mut self.joined {
            Joined::Nobody => self.joined = Joined::Players(players.collect()),
            Joined::Players(known) => known.extend(players),
            Joined::Anybody => {}
        }
    }
}

fn opened_by(delta: &Delta) -> Option<u32> {
    match delta {
        Delta::Advance(advance) if advance.to.phase == Phase::Open => Some(advance.to.instance),
        _ => None,
    }
}

pub(super) fn millis(time: Duration) -> i64 {
    time.as_millis() as i64
}

impl Replicated for Carried {
    fn apply(
        &mut self,
        from: LaneId,
        seq: u64,
        age: Duration,
        now: Mono,
        entry: &[u8],
    ) -> Result<(), ApplyError> {
        let deltas = self.state.apply(from, entry).map_err(|error| refused(&error))?;
        for delta in &deltas {
            self.score(delta);
            match opened_by(delta) {
                Some(instance) if age >= AGE_UNKNOWN => {
                    self.unaged.insert((from, seq), instance);
                }
                Some(instance) => self.set_zero(now, age, instance),
                None => self.touch(delta),
            }
        }
        self.content.apply(crdt_state::Dot::new(from, seq));
        self.changed = true;
        Ok(())
    }

    fn aged(&mut self, from: LaneId, seq: u64, age: Duration, now: Mono) {
        if let Some(instance) = self.unaged.remove(&(from, seq)) {
            self.set_zero(now, age, instance);
            self.changed = true;
        }
    }

    fn cut(&self, now: Mono) -> Vec<Bytes> {
        let ages =
            |(instance, zero): (&u32, &Zero)| (*instance, (millis(now) - zero).max(0) as u64);
        let envelope: Envelope = (self.content.clone(), self.zeros.iter().map(ages).collect());
        let whole = postcard::to_stdvec(&(envelope, &self.state))
            .expect("our own types always encode into memory");
        let whole = Bytes::from(whole);
        (0..whole.len())
            .step_by(PART_BYTES_MAX)
            .map(|at| whole.slice(at..whole.len().min(at + PART_BYTES_MAX)))
            .collect()
    }

    fn restore(&mut self, now: Mono, age: Duration, parts: &[Bytes]) -> Result<(), ApplyError> {
        use crdts::CvRDT;
        let (envelope, state) = read_cut(parts)?;
        let (heads, ages) = envelope;
        self.state.merge(state);
        self.content.merge(heads);
        self.scored_revision += 1;
        self.joined = Joined::Anybody;
        if age < AGE_UNKNOWN {
            for (instance, open) in ages {
                self.set_zero(now, age + Duration::from_millis(open), instance);
            }
        }
        self.changed = true;
        Ok(())
    }

    fn digest(&self) -> u64 {
        self.state.digest()
    }

    fn content(&self) -> Option<Heads> {
        Some(self.content.clone())
    }
}

fn read_cut(parts: &[Bytes]) -> Result<(Envelope, EventState), ApplyError> {
    let whole: Vec<u8> = parts.concat();
    postcard::from_bytes(&whole)
        .map_err(|error| ApplyError::Malformed { reason: format!("a snapshot: {error}") })
}

pub(super) fn refused(error: &DecodeError) -> ApplyError {
    match *error {
        DecodeError::Unsupported { kind, version } => ApplyError::Unsupported {
            kind: kind.try_into().unwrap_or(u16::MAX),
            version: version.try_into().unwrap_or(u16::MAX),
        },
        DecodeError::Malformed { what } => ApplyError::Malformed { reason: what.to_owned() },
    }
}
