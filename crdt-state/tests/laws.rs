//! The laws of the state: whatever the order between lanes, however entries are regrouped into
//! snapshots and joined, the result is the fold over all entries.
//!
//! A history is written by three origins that exchange entries at random while they write, so that
//! concurrent and causally ordered changes both occur.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use crdt_state::delta::{
    Advance, Answers, Create, CreatePart, Delta, Enrol, Extend, Fence, Forget, Join, Seal, encode,
};
use crdt_state::engagement::Scoreboard;
use crdt_state::engagement::{Question, Script, Standing, outcome_alone, standings};
use crdt_state::{EventState, Lane, LaneId, NodeId, Origin, Phase, PlayerId, Row, Stage};
use crdts::CvRDT;
use proptest::prelude::*;

mod changes;

const ORIGINS: usize = 3;

/// What a writer does in one step; the numbers are free choices within each kind.
#[derive(Debug, Clone)]
enum Act {
    Join(u8),
    Answer {
        player: u8,
        instance: u8,
        elapsed: u16,
        choice: u8,
    },
    Advance {
        instance: u8,
        phase: u8,
        question: u8,
    },
    Extend(u8, u16),
    /// A change of something named: its kind and its value.
    Change(u8, u8),
    Seal(u8),
    Forget(u8),
    /// Fences another origin off in a run.
    Fence(u8, u8),
    Vouch,
    /// One part of a creation.
    Part(u8),
    /// Takes in the next few entries of another origin.
    Hear(u8, u8),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        1 => any::<u8>().prop_map(Act::Join),
        1 => (any::<u8>(), 1..4u8, any::<u16>(), any::<u8>()).prop_map(
            |(player, instance, elapsed, choice)| Act::Answer { player, instance, elapsed, choice }
        ),
        1 => (1..4u8, 2..8u8, any::<u8>()).prop_map(|(instance, phase, question)| Act::Advance {
            instance,
            phase,
            question
        }),
        1 => (1..4u8, any::<u16>()).prop_map(|(i, ms)| Act::Extend(i, ms)),
        4 => (0..changes::KINDS, any::<u8>()).prop_map(|(kind, value)| Act::Change(kind, value)),
        1 => (1..4u8).prop_map(Act::Seal),
        1 => (0..ORIGINS as u8).prop_map(Act::Forget),
        1 => (1..4u8, 0..ORIGINS as u8).prop_map(|(i, who)| Act::Fence(i, who)),
        1 => Just(Act::Vouch),
        1 => (0..3u8).prop_map(Act::Part),
        2 => (any::<u8>(), 1..6u8).prop_map(|(from, n)| Act::Hear(from % ORIGINS as u8, n)),
    ]
}

/// The lanes that a history left behind, in the order in which each was written.
type Lanes = Vec<(LaneId, Vec<Vec<u8>>)>;

struct Writer {
    origin: Origin,
    state: EventState,
    lanes: [Vec<Vec<u8>>; 2],
    heard: [[usize; 2]; ORIGINS],
    totals: changes::Totals,
}

impl Writer {
    fn new(index: usize) -> Self {
        Writer {
            origin: Origin((index as u64 + 1) << 48),
            state: EventState::default(),
            lanes: Default::default(),
            heard: Default::default(),
            totals: changes::Totals::default(),
        }
    }

    fn write(&mut self, lane: Lane, delta: Delta) {
        let entry = encode(&[delta]);
        self.state.apply(LaneId { origin: self.origin, lane }, &entry).unwrap();
        self.lanes[lane as usize].push(entry);
    }

    fn act(&mut self, act: &Act) {
        let lamport = self.state.next_lamport();
        match act {
            Act::Join(player) => {
                let row = Row {
                    origin: self.origin,
                    number: self.state.players.next_number(self.origin),
                };
                let join = Join {
                    row,
                    player: PlayerId(u128::from(player % 8)),
                    name: format!("p{}", player % 5),
                };
                self.write(Lane::Bulk, Delta::Joins(vec![join]));
            }
            Act::Answer { player, instance, elapsed, choice } => {
                let Some(row) = self.state.players.row_of(PlayerId(u128::from(player % 8))) else {
                    return;
                };
                let instance = u32::from(*instance);
                let question = self.state.question_of(instance).map_or(0, |(number, _)| number);
                let rows = vec![(row.number, u32::from(*elapsed), 1u32 << (choice % 4))];
                let rows_of = row.origin;
                self.write(
                    Lane::Bulk,
                    Delta::Answers(Answers { instance, question, rows_of, rows }),
                );
            }
            Act::Advance { instance, phase, question } => {
                let phases = [Phase::Intro, Phase::Open, Phase::Closed, Phase::Tallies];
                let to = Stage::new(u32::from(*instance), phases[usize::from(phase % 4)]);
                let question = Some(u16::from(question % 3));
                self.write(
                    Lane::Control,
                    Delta::Advance(Advance { lamport, to, question, open_ms: Some(9_000) }),
                );
            }
            Act::Extend(instance, ms) => self.write(
                Lane::Control,
                Delta::Extend(Extend { instance: u32::from(*instance), open_ms: u32::from(*ms) }),
            ),
            Act::Change(kind, value) => {
                let me = (self.origin, lamport);
                let pick = (*kind, *value);
                let change = changes::pick(&self.state.named, me, &mut self.totals, pick);
                if let Some(change) = change {
                    self.write(Lane::Control, Delta::Named(change));
                }
            }
            Act::Seal(instance) => {
                let seal = Seal {
                    origin: self.origin,
                    instance: u32::from(*instance),
                    head: self.lanes[Lane::Bulk as usize].len() as u64,
                    control: self.lanes[Lane::Control as usize].len() as u64,
                    knows: self.state.enrolled().map(|(origin, ..)| origin).collect(),
                };
                self.write(Lane::Control, Delta::Seal(seal));
            }
            Act::Forget(who) => {
                let origin = Origin((u64::from(*who) + 1) << 48);
                let known = self.state.forgotten().get(origin).map_or(0, |f| f.length);
                let head = self.heard[usize::from(*who)][Lane::Bulk as usize] as u64;
                let (node, length) = (NodeId(u64::from(*who)), known + 1);
                let forget = Forget { origin, node, length, head };
                self.write(Lane::Control, Delta::Forget(forget));
            }
            Act::Fence(instance, who) => {
                let origin = Origin((u64::from(*who) + 1) << 48);
                let head = self.heard[usize::from(*who)][Lane::Bulk as usize] as u64;
                let (node, instance) = (NodeId(u64::from(*who)), u32::from(*instance));
                self.write(Lane::Control, Delta::Fence(Fence { instance, node, origin, head }));
            }
            Act::Vouch => self.write(Lane::Control, Delta::Vouch),
            Act::Part(index) => {
                let (lamport, script, of) = (1, script(), 3);
                let whole = postcard::to_stdvec(&Create { lamport, script }).unwrap();
                let bytes = whole.chunks(whole.len().div_ceil(3)).nth(usize::from(*index)).unwrap();
                let (index, bytes) = (u16::from(*index), bytes.to_vec());
                let part = CreatePart { lamport, index, of, bytes };
                self.write(Lane::Control, Delta::CreatePart(part));
            }
            Act::Hear(..) => unreachable!("hearing is done by the history"),
        }
    }
}

fn script() -> Script {
    let options = || ["a", "b", "c", "d"].map(str::to_owned).to_vec();
    let questions = ["one", "two", "three"].map(|text| Question::choice(text, options(), 1));
    Script::new("Laws", questions.to_vec())
}

fn write_history(acts: &[(u8, Act)]) -> (Lanes, Vec<Writer>) {
    let mut writers: Vec<Writer> = (0..ORIGINS).map(Writer::new).collect();
    writers[0].write(Lane::Control, Delta::Create(Create { lamport: 1, script: script() }));
    for (index, writer) in writers.iter_mut().enumerate() {
        let (node, name) = (NodeId(index as u64), format!("n{index}"));
        writer.write(Lane::Control, Delta::Enrol(Enrol { node, name, reads: 2 }));
    }
    for (who, act) in acts {
        let who = usize::from(*who) % ORIGINS;
        if let Act::Hear(from, count) = act {
            hear(&mut writers, who, usize::from(*from), usize::from(*count));
        } else {
            writers[who].act(act);
        }
    }
    let lane = |w: &Writer, lane: Lane| {
        (LaneId { origin: w.origin, lane }, w.lanes[lane as usize].clone())
    };
    let lanes = writers.iter().flat_map(|w| Lane::ALL.map(|l| lane(w, l))).collect();
    (lanes, writers)
}

fn hear(writers: &mut [Writer], who: usize, from: usize, count: usize) {
    if who == from {
        return;
    }
    for lane in Lane::ALL {
        for _ in 0..count {
            let next = writers[who].heard[from][lane as usize];
            let Some(entry) = writers[from].lanes[lane as usize].get(next).cloned() else { break };
            let id = LaneId { origin: writers[from].origin, lane };
            writers[who].state.apply(id, &entry).unwrap();
            writers[who].heard[from][lane as usize] += 1;
        }
    }
}

/// Applies all lanes, each in its order, interleaved as `picks` say.
fn fold(lanes: &Lanes, picks: &[u8]) -> EventState {
    let mut state = EventState::default();
    let mut next = vec![0; lanes.len()];
    let mut picks = picks.iter().cycle();
    loop {
        let open: Vec<usize> = (0..lanes.len()).filter(|l| next[*l] < lanes[*l].1.len()).collect();
        let Some(pick) = picks.next().filter(|_| !open.is_empty()) else { return state };
        let lane = open[usize::from(*pick) % open.len()];
        state.apply(lanes[lane].0, &lanes[lane].1[next[lane]]).unwrap();
        next[lane] += 1;
    }
}

/// The leaderboard as its definition says: the outcomes and awards of every player who counts summed up,
/// sorted, ranked.
fn defined(state: &EventState, counts: impl Fn(u32) -> bool) -> Vec<Standing> {
    let instances: Vec<u32> = state.instances().map(|(i, _)| i).filter(|i| counts(*i)).collect();
    let awarded = state.named.awarded();
    let mut all: Vec<Standing> = state
        .players
        .ids()
        .filter(|player| state.counts(*player))
        .map(|player| {
            let outcomes = instances.iter().map(|i| outcome_alone(state, *i, player));
            let correct: Vec<_> = outcomes.filter(|outcome| outcome.correct).collect();
            let answered: i64 = correct.iter().map(|outcome| outcome.points).sum();
            let points = (answered + awarded.get(&player).unwrap_or(&0)).max(0) as u64;
            let correct_ms = correct
                .iter()
                .map(|outcome| outcome.answer.map_or(0, |(_, cell)| u64::from(cell.elapsed_ms())))
                .sum();
            Standing { player, points, correct_ms, rank: 0 }
        })
        .collect();
    all.sort_by_key(|s| (std::cmp::Reverse(s.points), s.correct_ms, s.player));
    let key = |s: &Standing| (s.points, s.correct_ms);
    for place in 0..all.len() {
        let equal = place > 0 && key(&all[place - 1]) == key(&all[place]);
        all[place].rank = if equal { all[place - 1].rank } else { place as u32 + 1 };
    }
    all
}

fn joined(mut a: EventState, b: EventState) -> EventState {
    a.merge(b);
    a
}

fn snapshot(state: &EventState) -> EventState {
    postcard::from_bytes(&postcard::to_stdvec(state).unwrap()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_of_lanes_gives_one_state(
        acts in proptest::collection::vec((any::<u8>(), act()), 0..80),
        one in proptest::collection::vec(any::<u8>(), 1..40),
        other in proptest::collection::vec(any::<u8>(), 1..40),
    ) {
        let (lanes, _) = write_history(&acts);
        let (a, b) = (fold(&lanes, &one), fold(&lanes, &other));
        prop_assert_eq!(a.digest(), b.digest());
        prop_assert_eq!(&a, &b);
        prop_assert_eq!(standings(&a, |_| true), standings(&b, |_| true));
        for instance in 1..4 {
            let held = |player| a.held(instance, a.players.rows_of(player));
            let held: Vec<_> = a.counted().filter_map(held).collect();
            prop_assert_eq!(a.answered(instance), held.len() as u64);
            // Answers to another question that a partition had shown are in no tally of this one.
            let shown = a.question_of(instance).map(|(number, _)| number);
            let counted = held.iter().filter(|(question, _)| Some(*question) == shown);
            let counted: Vec<_> = counted.map(|(_, cell)| cell).collect();
            for (option, count) in a.tally(instance).into_iter().enumerate() {
                let chose = counted.iter().filter(|cell| cell.choice() >> option & 1 == 1).count();
                prop_assert_eq!(count, chose as u64);
            }
        }
    }

    #[test]
    fn joining_partial_states_gives_the_fold_of_all_entries(
        acts in proptest::collection::vec((any::<u8>(), act()), 0..80),
        picks in proptest::collection::vec(any::<u8>(), 1..40),
    ) {
        let (lanes, writers) = write_history(&acts);
        let whole = fold(&lanes, &picks);
        let [a, b, c] = [0, 1, 2].map(|i: usize| snapshot(&writers[i].state));
        let left = joined(joined(a.clone(), b.clone()), c.clone());
        let right = joined(a.clone(), joined(c.clone(), b.clone()));
        prop_assert_eq!(left.digest(), whole.digest());
        prop_assert_eq!(&left, &whole);
        prop_assert_eq!(&right, &left);
        prop_assert_eq!(&joined(a.clone(), a.clone()), &a);
        prop_assert_eq!(&joined(left.clone(), b), &left);
    }

    #[test]
    fn a_scoreboard_kept_up_to_date_is_the_fold(
        acts in proptest::collection::vec((any::<u8>(), act()), 0..80),
        picks in proptest::collection::vec(any::<u8>(), 1..40),
        places in 0..9usize,
    ) {
        let (lanes, writers) = write_history(&acts);
        let entries: usize = lanes.iter().map(|(_, entries)| entries.len()).sum();
        let mut board = Scoreboard::default();
        let mut picks = picks.iter().cycle();
        let (mut state, mut next) = (EventState::default(), vec![0; lanes.len()]);
        for step in 0..entries {
            let open: Vec<_> = (0..lanes.len()).filter(|l| next[*l] < lanes[*l].1.len()).collect();
            let lane = open[usize::from(*picks.next().unwrap()) % open.len()];
            state.apply(lanes[lane].0, &lanes[lane].1[next[lane]]).unwrap();
            next[lane] += 1;
            let counts = |instance: u32| instance as usize <= 1 + step / 20;
            board.update(&state, counts);
            let wanted = defined(&state, counts);
            prop_assert_eq!(board.len(), wanted.len());
            prop_assert_eq!(board.top(&state, usize::MAX), wanted.clone());
            prop_assert_eq!(board.top(&state, places), &wanted[..places.min(wanted.len())]);
            for standing in wanted {
                prop_assert_eq!(board.of(&state, standing.player), Some(standing));
            }
        }
        state.merge(snapshot(&writers[0].state));
        board.update(&state, |_| true);
        prop_assert_eq!(board.top(&state, usize::MAX), defined(&state, |_| true));
    }

    #[test]
    fn a_stage_and_a_deadline_only_grow(
        acts in proptest::collection::vec((any::<u8>(), act()), 0..60),
    ) {
        let mut writers: Vec<Writer> = (0..ORIGINS).map(Writer::new).collect();
        for (who, act) in &acts {
            let who = usize::from(*who) % ORIGINS;
            let before = (writers[who].state.stage(), writers[who].state.open_ms(1));
            match act {
                Act::Hear(from, count) => {
                    hear(&mut writers, who, usize::from(*from), usize::from(*count));
                }
                act => writers[who].act(act),
            }
            let after = (writers[who].state.stage(), writers[who].state.open_ms(1));
            prop_assert!(after.0 >= before.0 && after.1 >= before.1);
        }
    }

    #[test]
    fn an_accepted_answer_is_never_lost_or_late(
        cells in proptest::collection::vec((0..3u8, any::<u16>(), 0..4u8), 1..12),
    ) {
        let mut states: Vec<EventState> = vec![EventState::default(); ORIGINS];
        let row = Row { origin: Origin(7 << 48), number: 0 };
        for (who, elapsed, choice) in &cells {
            let rows = vec![(0, u32::from(*elapsed), 1 << choice)];
            let rows_of = row.origin;
            let answers = Answers { instance: 1, question: 0, rows_of, rows };
            let origin = Origin(u64::from(*who) + 1);
            states[usize::from(*who)].take(origin, Delta::Answers(answers));
        }
        let all = states.into_iter().reduce(joined).unwrap();
        let (_, held) = all.held(1, [row]).unwrap();
        let earliest = cells.iter().map(|(_, elapsed, _)| u32::from(*elapsed)).min().unwrap();
        prop_assert_eq!(held.elapsed_ms(), earliest);
    }
}

#[test]
fn a_replayed_question_scores_as_a_new_instance() {
    let (lanes, _) = write_history(&[
        (0, Act::Join(1)),
        (0, Act::Advance { instance: 1, phase: 1, question: 0 }),
        (0, Act::Answer { player: 1, instance: 1, elapsed: 100, choice: 0 }),
        (0, Act::Advance { instance: 2, phase: 1, question: 0 }),
        (0, Act::Answer { player: 1, instance: 2, elapsed: 100, choice: 0 }),
    ]);
    let state = fold(&lanes, &[0]);
    assert_eq!(standings(&state, |_| true)[0].points, 2000);
    assert_eq!(standings(&state, |i| i == 1)[0].points, 1000);
    assert_eq!(state.tally(1), [1, 0, 0, 0]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn a_state_is_the_join_of_its_pieces_in_any_order(
        acts in proptest::collection::vec((any::<u8>(), act()), 0..80),
        picks in proptest::collection::vec(any::<u8>(), 1..40),
        turn in any::<prop::sample::Index>(),
    ) {
        let (lanes, _) = write_history(&acts);
        let state = fold(&lanes, &picks);
        let mut slices = state.slices();
        let turned = if slices.is_empty() { 0 } else { turn.index(slices.len()) };
        slices.rotate_left(turned);
        let mut again = snapshot(&state.without_blocks());
        for slice in &slices {
            let bytes = postcard::to_stdvec(&state.piece(slice)).unwrap();
            again.join_piece(postcard::from_bytes(&bytes).unwrap()).unwrap();
        }
        prop_assert_eq!(again.digest(), state.digest());
        prop_assert_eq!(&again, &state);
    }
}
