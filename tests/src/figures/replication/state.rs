//! The state layer alone: what a player and an answer cost in memory and time, beside the `crdts` crate.
//!
//! Times are those that the thread spent on a core, so that a busy machine tells the same; but for those of
//! what uses all cores, the fold and the ranks. Memory is what
//! the process holds more afterwards (RSS), less what the state itself says it spends on ids, names and
//! the index of names.

use super::cpu;
use crate::figures::timings::hundredths;
use crdt_state::delta::{Answers, Create, Delta, Enrol, Join, encode};
use crdt_state::engagement::{Scoreboard, Script};
use crdt_state::{EventState, LaneId, NodeId, Origin, PlayerId, Row, Stage};
use crdts::{CmRDT, CvRDT, Map, PNCounter};
use hashbrown::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Origins that numbered rows and took answers.
const ORIGINS: usize = 3;

/// Answers in one entry, as an engine writes them.
const ENTRY_ROWS: usize = 4_096;

/// What uses all cores is measured so often, and the best is kept: others use them too.
const ROUNDS: usize = 5;

/// What was measured.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) apply_per_s: f64,
    pub(super) crdts_apply_per_s: f64,
    pub(super) hashbrown_per_s: f64,
    pub(super) bytes_per_player: f64,
    pub(super) named_bytes_per_player: f64,
    pub(super) bytes_per_answer: f64,
    pub(super) join_ms: f64,
    pub(super) crdts_join_ms: f64,
    /// All sums of all players from nothing, on all cores, in time that passed.
    pub(super) fold_ms: f64,
    /// All ranks after one late answer, likewise.
    pub(super) rank_ms: f64,
    pub(super) digest_ms: f64,
    pub(super) digest_again_ms: f64,
    pub(super) snapshot_ms: f64,
    pub(super) snapshot_bytes_per_answer: f64,
    pub(super) restore_ms: f64,
}

/// Measures with so many players and the questions of `script`.
pub(super) fn measure(players: usize, script: &Script) -> Result<State, String> {
    let mut measured = State::default();
    let one_core = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let one_core = one_core.map_err(|error| error.to_string())?;
    drop(entries(players, 0, 0)); // what making entries takes is the allocator's from here on
    let questions = script.questions.len();
    let mut state = program(script)?;
    let before = cpu::resident();
    join(&mut state, players)?;
    let (mut joined, mut board) = (state.clone(), Scoreboard::default());
    board.update(&state, |_| true);
    let held = cpu::resident().saturating_sub(before) as f64;
    let footprint = state.players.footprint();
    let named = (footprint.ids + footprint.names + footprint.name_index) as f64;
    measured.named_bytes_per_player = named / players as f64;
    measured.bytes_per_player = (held - named) / players as f64;

    let before = cpu::resident();
    let (mut apply, mut answers) = (Duration::ZERO, 0);
    for question in 0..questions {
        let entries = entries(players, question, 0);
        let began = cpu::thread();
        for (from, entry) in &entries {
            state.apply(*from, entry).map_err(|error| error.to_string())?;
        }
        apply += cpu::thread() - began;
        answers += players;
    }
    let held = cpu::resident().saturating_sub(before) as f64;
    measured.bytes_per_answer = held / answers as f64;
    let fold = one_core.install(|| time(|| board.update(&state, |_| true)));
    measured.apply_per_s = answers as f64 / (apply + fold).as_secs_f64();
    let mut folds = Vec::new();
    for _ in 0..ROUNDS {
        board = Scoreboard::default();
        folds.push(wall(|| board.update(&state, |_| true)));
    }
    let mut ranks = Vec::new();
    for round in 0..ROUNDS {
        late_answer(&mut state, questions, ROUNDS - round)?;
        ranks.push(wall(|| board.update(&state, |_| true)));
    }
    measured.rank_ms = ms(*ranks.iter().min().expect("there are rounds"));
    measured.fold_ms = ms(*folds.iter().min().expect("there are rounds")) - measured.rank_ms;

    for question in 0..questions {
        for (from, entry) in &entries(players, question, 7) {
            joined.apply(*from, entry).map_err(|error| error.to_string())?;
        }
    }
    measured.digest_ms = ms(time(|| black_box(joined.digest())));
    measured.digest_again_ms = ms(time(|| black_box(joined.digest())));
    let (mut cut, mut read) = (Vec::new(), EventState::default());
    let encoded = || postcard::to_stdvec(&joined).map(|bytes| cut = bytes);
    measured.snapshot_ms = ms(time(encoded));
    measured.snapshot_bytes_per_answer = cut.len() as f64 / answers as f64;
    let decoded = || postcard::from_bytes(&cut).map(|state| read = state);
    measured.restore_ms = ms(time(decoded));
    if read != joined {
        return Err("a snapshot is not what it was cut from".to_owned());
    }
    drop(cut);
    measured.join_ms = ms(time(|| state.merge(read)));
    if state.answered(1) != players as u64 {
        return Err("a join has lost answers".to_owned());
    }
    drop((state, joined, board));
    peers(players, &mut measured);
    Ok(measured)
}

/// A show that runs all its questions.
pub(in crate::figures) fn program(script: &Script) -> Result<EventState, String> {
    let mut state = EventState::default();
    let control = LaneId::control(origin(0));
    let mut deltas = vec![Delta::Create(Create { lamport: 1, script: script.clone() })];
    deltas.push(Delta::Enrol(Enrol { node: NodeId(1), name: "n1".to_owned(), reads: 2 }));
    for question in 0..script.questions.len() {
        let to = Stage::new(question as u32 + 1, crdt_state::Phase::Open);
        deltas.push(Delta::Advance(crdt_state::delta::Advance {
            lamport: question as u64 + 2,
            to,
            question: Some(question as u16),
            open_ms: Some(30_000),
        }));
    }
    state.apply(control, &encode(&deltas)).map_err(|error| error.to_string())?;
    Ok(state)
}

fn origin(index: usize) -> Origin {
    Origin((index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn mixed(number: usize) -> u64 {
    let number = number as u64 ^ (number as u64) << 29;
    number.wrapping_mul(0xbf58_476d_1ce4_e5b9).rotate_left(31).wrapping_mul(0x94d0_49bb_1331_11eb)
}

fn row(player: usize) -> Row {
    Row { origin: origin(player % ORIGINS), number: (player / ORIGINS) as u32 }
}

pub(in crate::figures) fn join(state: &mut EventState, players: usize) -> Result<(), String> {
    for first in (0..players).step_by(ENTRY_ROWS) {
        let join = |player| Join {
            row: row(player),
            player: PlayerId(u128::from(mixed(player)) << 64 | u128::from(mixed(player + players))),
            name: format!("player {player}"),
        };
        let joins = (first..players.min(first + ENTRY_ROWS)).map(join).collect();
        let entry = encode(&[Delta::Joins(joins)]);
        let from = LaneId::bulk(origin(first / ENTRY_ROWS % ORIGINS));
        state.apply(from, &entry).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Everybody answers within so many milliseconds.
pub(in crate::figures) const ANSWERED_MS: u64 = 20_000;

/// Everybody's answer to a question within [`ANSWERED_MS`], in a random order, in the entries of all origins.
pub(in crate::figures) fn entries(
    players: usize,
    question: usize,
    salt: usize,
) -> Vec<(LaneId, Vec<u8>)> {
    entries_within(ANSWERED_MS, players, question, salt)
}

/// The same, each answer after less than so many milliseconds.
pub(in crate::figures) fn entries_within(
    ms: u64,
    players: usize,
    question: usize,
    salt: usize,
) -> Vec<(LaneId, Vec<u8>)> {
    let mut order: Vec<u32> = (0..players as u32).collect();
    order.sort_unstable_by_key(|player| mixed(*player as usize + (question + salt) * players));
    let entry = |(index, players): (usize, &[u32])| {
        let answers = |of: usize| {
            let of_origin = players.iter().filter(|player| **player as usize % ORIGINS == of);
            let answer = |player: &u32| {
                let random = mixed(*player as usize * 31 + question + salt);
                (row(*player as usize).number, (random % ms) as u32, 1 << (random >> 40 & 3))
            };
            let (instance, question) = (question as u32 + 1, question as u16);
            let rows = of_origin.map(answer).collect();
            Delta::Answers(Answers { instance, question, rows_of: origin(of), rows })
        };
        let deltas: Vec<Delta> = (0..ORIGINS).map(answers).collect();
        (LaneId::bulk(origin(index % ORIGINS)), encode(&deltas))
    };
    order.chunks(ENTRY_ROWS).enumerate().map(entry).collect()
}

/// One answer that is earlier than the one held.
fn late_answer(state: &mut EventState, questions: usize, elapsed_ms: usize) -> Result<(), String> {
    let (instance, question) = (questions as u32, questions as u16 - 1);
    let answers =
        Answers { instance, question, rows_of: origin(0), rows: vec![(0, elapsed_ms as u32, 1)] };
    let entry = encode(&[Delta::Answers(answers)]);
    state.apply(LaneId::bulk(origin(1)), &entry).map(drop).map_err(|error| error.to_string())
}

/// The same with what is at hand: a map of counters, and a hash map as the limit of any map.
fn peers(players: usize, measured: &mut State) {
    let key = mixed;
    let ops: Vec<_> = {
        let mut writer: Map<u64, PNCounter<u64>, u64> = Map::new();
        let op = |player| {
            let ctx = writer.read_ctx().derive_add_ctx(1);
            let op = writer.update(key(player), ctx, |counter, ctx| counter.inc(ctx.dot.actor));
            writer.apply(op.clone());
            op
        };
        (0..players).map(op).collect()
    };
    let mut map: Map<u64, PNCounter<u64>, u64> = Map::new();
    let apply = time(|| ops.into_iter().for_each(|op| map.apply(op)));
    measured.crdts_apply_per_s = players as f64 / apply.as_secs_f64();
    let mut other = map.clone();
    for player in (0..players).step_by(2) {
        let ctx = other.read_ctx().derive_add_ctx(2);
        let op = other.update(key(player), ctx, |counter, ctx| counter.inc(ctx.dot.actor));
        other.apply(op);
    }
    measured.crdts_join_ms = ms(time(|| map.merge(other)));
    let mut table: HashMap<u64, u64, Multiply> =
        (0..players).map(|player| (key(player), u64::MAX)).collect();
    let update = time(|| {
        for player in 0..players {
            let cell = table.entry(key(player)).or_insert(u64::MAX);
            *cell = (*cell).min(mixed(player));
        }
    });
    black_box(table.len());
    measured.hashbrown_per_s = players as f64 / update.as_secs_f64();
}

/// About the fastest that a hash can be.
#[derive(Debug, Clone, Copy, Default)]
struct Multiply(u64);

impl BuildHasher for Multiply {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        *self
    }
}

impl Hasher for Multiply {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(26);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

fn time<T>(work: impl FnOnce() -> T) -> Duration {
    let began = cpu::thread();
    black_box(work());
    cpu::thread() - began
}

/// Time that passes until it is done, on however many cores.
fn wall<T>(work: impl FnOnce() -> T) -> Duration {
    let began = Instant::now();
    black_box(work());
    began.elapsed()
}

fn ms(time: Duration) -> f64 {
    hundredths(time.as_secs_f64() * 1_000.0)
}
