//! How large an event can become: no peer and no player makes a node hold more than its caps, however far out the rows
//! lie that they name.
//!
//! | what grows | cap | bytes at most | beyond it |
//! |---|---|---|---|
//! | blocks that one entry makes | [`ENTRY_BLOCKS_MAX`](caps::ENTRY_BLOCKS_MAX), 1,024 | 40 MiB of cells, or 80 MiB of rows | no node reads the entry |
//! | answers, and where there is room for one | [`CELLS_MAX`](caps::CELLS_MAX) | 8 GiB | the entry is refused |
//! | players | [`ROW_BLOCKS_MAX`](caps::ROW_BLOCKS_MAX) blocks | 660 MB, and names: 96 B each with their index | the entry is refused |
//! | typed answers, beside their cells | [`TEXTS_MAX`](caps::TEXTS_MAX) | 60 B each, and the text: 17 GiB | the entry is refused |
//! | posts | [`POSTS_MAX`](caps::POSTS_MAX) | 130 B each, and the text: 350 MB | the smallest stay |
//! | votes | [`VOTES_MAX`](caps::VOTES_MAX) | 30 B each, of a lone one 250 B: 1 GiB | the smallest stay |
//! | the script | [`CREATE_BYTES_MAX`](caps::CREATE_BYTES_MAX) | some times 32 MiB | no node reads it |
//! | parts of creations | [`DRAFTS_BYTES_MAX`](caps::DRAFTS_BYTES_MAX) | 64 MiB | the entry is refused |
//! | what hosts, nodes and operators say: rounds, seals, fences, who takes part, is known, vouches or was forgotten, rulings, names, marks of players, the trail | [`SAID_BYTES_MAX`](caps::SAID_BYTES_MAX) in a snapshot | 64 MiB as it is written, in memory mostly five times that; up to eighty times, 5 GiB, where all is fences or seals of one each | the entry is refused |
//!
//! Many of the last have caps of their own, lower and by number: see [`caps`]. The catalogue's bans and fates have
//! ([`REVOKED_MAX`](caps::REVOKED_MAX), [`GIVEN_UP_MAX`](caps::GIVEN_UP_MAX)); of its events none is ever dropped,
//! at most 1.3 KB each.
//!
//! **What is refused.** An entry that is refused has changed nothing, is counted, and ends its lane here with an alarm, as
//! one that cannot be read: content stays what the heads say. What players send a node refuses at half of a cap, with
//! a reason, so that two sides of a cluster that do not hear each other stay within it together; what hosts say has
//! lower limits of its own, by number. Where sides are beyond a cap together even so,
//! which takes a peer that keeps to no rule or a cluster in three, either refuses the other's lanes from where its own
//! caps are reached: they hold different heads and say so, and never different content under the same.
//!
//! **What is joined.** A join is total: two states within their caps become one that holds all of both, twice as much at
//! most, which then takes in nothing that adds to what is beyond. Posts and votes stay within theirs even so: the smallest
//! of all are the smallest of every part that has them, and all nodes keep the same ones.
//!
//! What an entry takes at most is told by its frames, without a look at what is held. Only when all that was told since
//! the last count would be too much is there another count, and only if there is no room then is it worked out what the
//! entry adds to the columns.

use super::EventState;
use super::drafts::DRAFT_BYTES;
use crate::caps;
use crate::column::{BLOCK, BLOCK_CELLS, COLUMN_CELLS, Column};
use crate::delta::{DecodeError, Delta, Frame};
use crate::id::Origin;
use crate::named::Change;
use postcard::ser_flavors::Size;

/// What stays within its cap by keeping the smallest: of events posts, votes, names, marks of players and notes of the
/// trail; of the catalogue bans and nodes that are given up.
pub const BEYOND: [&str; 7] = ["posts", "votes", "names", "marks", "notes", "bans", "given_up"];

/// How much of each was not kept.
pub type Beyond = [u64; BEYOND.len()];

/// What is held at most, and as much as may be before it is counted. Of what two states differ in it says nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    cells: usize,
    texts: usize,
    drafts: usize,
    said: usize,
}

impl Default for Held {
    fn default() -> Self {
        Held {
            cells: caps::CELLS_MAX,
            texts: caps::TEXTS_MAX,
            drafts: caps::DRAFTS_BYTES_MAX,
            said: caps::SAID_BYTES_MAX,
        }
    }
}

impl PartialEq for Held {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Held {}

/// How much of each there may be.
#[derive(Debug, Clone, Copy)]
struct Caps {
    cells: usize,
    row_blocks: usize,
    texts: usize,
    drafts: usize,
    said: usize,
}

const CAPS: Caps = Caps {
    cells: caps::CELLS_MAX,
    row_blocks: caps::ROW_BLOCKS_MAX,
    texts: caps::TEXTS_MAX,
    drafts: caps::DRAFTS_BYTES_MAX,
    said: caps::SAID_BYTES_MAX,
};

/// Blocks of a column, at most.
const ROW_BLOCKS: usize = caps::ROWS_MAX as usize / BLOCK;

/// How much more a change takes in a snapshot than in its entry, at most: its writer's id is written with it.
const SAID_TIMES: usize = 4;

const fn full(what: &'static str) -> DecodeError {
    DecodeError::Malformed { what }
}

const TOO_MANY_ROWS: DecodeError = full("the event has as many rows as it may");
const TOO_MANY_ANSWERS: DecodeError = full("the event has as many answers as it may");
const TOO_MANY_TEXTS: DecodeError = full("the event has as many typed answers as it may");
const TOO_MANY_PARTS: DecodeError = full("the event has as many parts of creations as it may");
const TOO_MUCH_SAID: DecodeError = full("as much was said of the event as may be");

impl EventState {
    /// Makes room for an entry of so many bytes.
    pub(super) fn make_room(
        &mut self,
        frames: &[Frame<'_>],
        bytes: usize,
    ) -> Result<(), DecodeError> {
        self.make_room_within(frames, bytes, CAPS)
    }

    fn make_room_within(
        &mut self,
        frames: &[Frame<'_>],
        bytes: usize,
        most: Caps,
    ) -> Result<(), DecodeError> {
        let joins = frames.iter().filter_map(|frame| match frame {
            Frame::Delta(Delta::Joins(joins)) => Some(joins),
            _ => None,
        });
        let rows = || joins.clone().flatten().map(|join| join.row);
        let held = self.players.row_blocks_held();
        if held + rows().count() > most.row_blocks
            && held + self.players.new_blocks(rows()) > most.row_blocks
        {
            return Err(TOO_MANY_ROWS);
        }
        self.make_room_for_the_rest(frames, bytes, most)?;
        let at_most = frames.iter().map(cells_at_most).sum();
        self.make_room_for_cells(at_most, most.cells).or_else(|_| {
            let new = frames.iter().map(|frame| self.new_cells(frame)).sum();
            self.make_room_for_cells(new, most.cells)
        })
    }

    /// Makes room for what an entry brings beside rows and cells.
    fn make_room_for_the_rest(
        &mut self,
        frames: &[Frame<'_>],
        bytes: usize,
        most: Caps,
    ) -> Result<(), DecodeError> {
        let mut held = self.held;
        let [texts, drafts, said] = rest_at_most(frames, bytes);
        if !has_room(&mut held.texts, texts, most.texts, || self.sides.typed()) {
            return Err(TOO_MANY_TEXTS);
        }
        if !has_room(&mut held.drafts, drafts, most.drafts, || self.drafts.bytes()) {
            return Err(TOO_MANY_PARTS);
        }
        if !has_room(&mut held.said, said, most.said, || self.said_bytes()) {
            return Err(TOO_MUCH_SAID);
        }
        self.held = held;
        Ok(())
    }

    /// Makes room for a piece of another state.
    pub(super) fn make_room_for_piece(
        &mut self,
        row_blocks: usize,
        cells: usize,
    ) -> Result<(), DecodeError> {
        if self.players.row_blocks_held() + row_blocks > caps::ROW_BLOCKS_MAX {
            return Err(TOO_MANY_ROWS);
        }
        self.make_room_for_cells(cells, caps::CELLS_MAX)
    }

    fn make_room_for_cells(&mut self, cells: usize, max: usize) -> Result<(), DecodeError> {
        let mut held = self.held.cells;
        let is_room = has_room(&mut held, cells, max, || self.cells());
        self.held.cells = held;
        if is_room { Ok(()) } else { Err(TOO_MANY_ANSWERS) }
    }

    /// Has everything counted before anything is taken in again.
    pub(super) fn forget_count(&mut self) {
        self.held = Held::default();
    }

    /// Whether honest nodes take no more answers: at half of what there may be, as if every player who has a row
    /// answered in every run so far.
    #[must_use]
    pub fn is_full_of_answers(&self) -> bool {
        self.players.row_blocks_held() * BLOCK * self.sheets.0.len() >= caps::CELLS_MAX / 2
    }

    /// What was not kept for want of room, in the order of [`BEYOND`], each as often as it came.
    #[must_use]
    pub fn beyond(&self) -> Beyond {
        let [posts, votes] = self.sides.beyond();
        let [names, marks, notes] = self.named.beyond();
        [posts, votes, names, marks, notes, 0, 0]
    }

    /// As [`EventState::is_full_of_answers`], of players.
    #[must_use]
    pub fn is_full_of_players(&self) -> bool {
        self.players.row_blocks_held() >= caps::ROW_BLOCKS_MAX / 2
    }

    /// As [`EventState::is_full_of_answers`], of typed ones.
    #[must_use]
    pub fn is_full_of_texts(&self) -> bool {
        self.sides.typed() >= caps::TEXTS_MAX / 2
    }

    /// What hosts, nodes and operators said, in bytes of a snapshot.
    fn said_bytes(&self) -> usize {
        let parties = (&self.enrolled, &self.vouching, &self.forgotten);
        let said = (parties, &self.rounds, &self.named, &self.rulings);
        postcard::serialize_with_flavor(&said, Size::default())
            .expect("our own types always encode")
    }

    /// What a frame adds to the columns, in cells.
    fn new_cells(&self, frame: &Frame<'_>) -> usize {
        match frame {
            Frame::Answers(answers) => {
                let of = (answers.instance, answers.question, answers.rows_of);
                self.new_cells_of(of, answers.rows().map(|(row, ..)| row))
            }
            Frame::Delta(Delta::Texts(texts)) => {
                let of = (texts.instance, texts.question, texts.rows_of);
                self.new_cells_of(of, texts.rows.iter().map(|(row, ..)| *row))
            }
            Frame::Delta(_) => 0,
        }
    }

    fn new_cells_of(
        &self,
        (instance, question, rows_of): (u32, u16, Origin),
        rows: impl Iterator<Item = u32>,
    ) -> usize {
        let sheet = self.sheets.0.get(&(instance, question));
        match sheet.and_then(|sheet| sheet.0.get(&rows_of)) {
            Some(column) => column.new_cells(rows),
            None => Column::default().new_cells(rows),
        }
    }

    /// What all columns take, in cells.
    fn cells(&self) -> usize {
        let columns = self.sheets.0.values().flat_map(|sheet| sheet.0.values());
        columns.map(Column::held).sum()
    }
}

/// What a frame can add to the columns, in cells: whole blocks, and a place for each before them.
fn cells_at_most(frame: &Frame<'_>) -> usize {
    match frame {
        Frame::Answers(answers) => answers.blocks_at_most() * FULL_BLOCK + COLUMN,
        Frame::Delta(Delta::Texts(texts)) => texts.rows.len().min(ROW_BLOCKS) * FULL_BLOCK + COLUMN,
        Frame::Delta(_) => 0,
    }
}

/// What a full block takes, and a column that has room for all of them, in cells.
const FULL_BLOCK: usize = BLOCK + BLOCK_CELLS;
const COLUMN: usize = ROW_BLOCKS + COLUMN_CELLS;

/// What the frames of an entry of so many bytes add at most: typed answers, bytes of drafts, bytes of what is said.
fn rest_at_most(frames: &[Frame<'_>], bytes: usize) -> [usize; 3] {
    let of = |frame: &Frame<'_>| match frame {
        Frame::Answers(_) => [0; 3],
        Frame::Delta(delta) => match delta {
            Delta::Joins(_) | Delta::Answers(_) | Delta::Posts(_) | Delta::Votes(_) => [0; 3],
            Delta::Create(_) => [0; 3],
            Delta::Texts(texts) => [texts.rows.len(), 0, 0],
            Delta::CreatePart(part) => [0, 2 * DRAFT_BYTES + part.bytes.len(), 0],
            // One kind that comes with players' answers, again and again.
            Delta::Named(Change::Total(total)) => [0, 0, SAID_TIMES * (16 + total.name.len())],
            _ => [0, 0, SAID_TIMES * bytes],
        },
    };
    let mut sum = [0; 3];
    for more in frames.iter().map(of) {
        sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
    }
    // Whatever was said of it in one frame or in many, it is not more than the entry.
    sum[2] = sum[2].min(SAID_TIMES * bytes);
    sum
}

/// Whether there is room for more of what has a cap; what is held is counted only if there may be none.
fn has_room(held: &mut usize, more: usize, max: usize, count: impl FnOnce() -> usize) -> bool {
    if more > 0 && *held + more > max {
        *held = count();
    }
    let has_room = more == 0 || *held + more <= max;
    if has_room {
        *held += more;
    }
    has_room
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta::{self, Answers, CreatePart, Fence, Join, Posts, Texts, Votes, encode};
    use crate::id::{Lane, LaneId, NodeId, PlayerId, Row};
    use crdts::CvRDT;

    fn answers(rows_of: u64, rows: impl IntoIterator<Item = u32>) -> Vec<u8> {
        let rows = rows.into_iter().map(|row| (row, 1, 1)).collect();
        let rows_of = Origin(rows_of);
        encode(&[Delta::Answers(Answers { instance: 1, question: 0, rows_of, rows })])
    }

    fn joins(rows: impl IntoIterator<Item = u32>) -> Vec<u8> {
        let join = |number| Join {
            row: Row { origin: Origin(1), number },
            player: PlayerId(number.into()),
            name: "Ada".into(),
        };
        encode(&[Delta::Joins(rows.into_iter().map(join).collect())])
    }

    fn take(state: &mut EventState, entry: &[u8], cells_max: usize, blocks_max: usize) -> bool {
        let frames = delta::frames(entry).unwrap();
        let most = Caps { cells: cells_max, row_blocks: blocks_max, ..CAPS };
        let is_room = state.make_room_within(&frames, entry.len(), most).is_ok();
        if is_room {
            state.apply(LaneId::bulk(Origin(9)), entry).unwrap();
        }
        is_room
    }

    #[test]
    fn rows_far_out_take_no_more_than_an_event_may() {
        let (mut state, most) = (EventState::default(), 40 * BLOCK);
        let far = |origin| answers(origin, [caps::ROWS_MAX - 1]);
        let taken = (0..2_000).filter(|origin| take(&mut state, &far(*origin), most, 9)).count();
        assert!((20..40).contains(&taken), "{taken}");
        assert!(state.cells() <= most, "{} cells", state.cells());
        let before = state.clone();
        assert!(!take(&mut state, &answers(5_000, (0..100).map(|n| n * BLOCK as u32)), most, 9));
        assert!(state == before, "an entry is taken whole or not at all");
    }

    #[test]
    fn a_crowd_that_answers_again_and_again_is_counted_once() {
        let mut state = EventState::default();
        for _ in 0..100 {
            assert!(take(&mut state, &answers(1, 0..10_000), 4 * BLOCK, 9));
        }
        assert!(take(&mut state, &joins(0..3 * BLOCK as u32), 4 * BLOCK, 3));
        assert!(take(&mut state, &joins(0..3 * BLOCK as u32), 4 * BLOCK, 3));
        assert!(!take(&mut state, &joins([3 * BLOCK as u32]), 4 * BLOCK, 3));
    }

    const ME: LaneId = LaneId { origin: Origin(9), lane: Lane::Control };

    /// Answers as far apart as can be, in so many columns: one at the end of every block.
    fn widest(columns: u64) -> Vec<u8> {
        let rows =
            || (1..=ROW_BLOCKS as u32).map(|block| (block * BLOCK as u32 - 1, 1, 1)).collect();
        let answers = |rows_of| {
            let answers =
                Answers { instance: 1, question: 0, rows_of: Origin(rows_of), rows: rows() };
            encode(&[Delta::Answers(answers)])
        };
        (1..=columns).flat_map(answers).collect()
    }

    #[test]
    fn an_entry_makes_no_more_than_forty_mib_of_cells() {
        let mut state = EventState::default();
        state.apply(ME, &widest(1)).expect("as many blocks as may be");
        assert_eq!(state.cells(), 1_024 * (4_096 + 16 + 1) + 64);
        assert!(state.cells() * 8 < 40 << 20);
        let entry = widest(40);
        assert!(entry.len() <= caps::ENTRY_BYTES_MAX);
        let before = state.clone();
        state.apply(ME, &entry).expect_err("no entry makes 1.3 GB");
        state.apply(ME, &widest(2)).expect_err("nor twice as much as one may");
        assert!(state == before);
        // Columns are the dearest where each holds one cell at its end.
        let lone = |rows_of| answers(rows_of, [caps::ROWS_MAX - 1]);
        let mut state = EventState::default();
        state
            .apply(ME, &(1..=1_024).flat_map(lone).collect::<Vec<u8>>())
            .expect("as many as may be");
        assert!(state.cells() * 8 <= 41 << 20, "{}", state.cells());
        state
            .apply(ME, &(1..=1_025).flat_map(lone).collect::<Vec<u8>>())
            .expect_err("one too many");
    }

    #[test]
    fn rows_and_texts_lie_in_as_many_blocks_as_answers() {
        let far = |block: u32| block * BLOCK as u32 % caps::ROWS_MAX;
        let join = |number: u32| Join {
            row: Row { origin: Origin((number / 1_000).into()), number: far(number % 1_000) },
            player: PlayerId(number.into()),
            name: "Ada".into(),
        };
        let joined = Delta::Joins((0..1_025).map(join).collect());
        assert!(delta::frames(&encode(std::slice::from_ref(&joined))).is_err());
        let texts = |rows_of| {
            let rows = (0..1_024).map(|block| (far(block), 1, 1, 0)).collect();
            let (instance, question, texts) = (1, 0, vec!["yes".to_owned()]);
            Delta::Texts(Texts { instance, question, rows_of: Origin(rows_of), texts, rows })
        };
        let typed = [texts(1), texts(2)];
        assert!(delta::frames(&encode(&typed)).is_err());
        let entries = delta::encode_all(&[joined, typed[0].clone(), typed[1].clone()]);
        assert_eq!(entries.len(), 4, "a writer begins another one");
        assert!(entries.iter().all(|entry| delta::frames(entry).is_ok()));
    }

    fn room(state: &mut EventState, deltas: &[Delta], most: Caps) -> Result<(), DecodeError> {
        let entry = encode(deltas);
        let frames = delta::frames(&entry).unwrap();
        state.make_room_within(&frames, entry.len(), most)?;
        state.apply(ME, &entry).map(drop)
    }

    #[test]
    fn what_is_said_of_an_event_ends_at_its_cap() {
        let fence = |origin| {
            Delta::Fence(Fence { instance: 1, node: NodeId(1), origin: Origin(origin), head: 1 })
        };
        let mut state = EventState::default();
        let most = Caps { said: 10_000, ..CAPS };
        let mut taken = 0;
        while room(&mut state, &[fence(taken)], most).is_ok() {
            taken += 1;
            assert!(state.said_bytes() <= 10_000);
        }
        assert!((1_000..5_000).contains(&taken), "{taken}");
        let before = state.clone();
        for origin in [taken, 1 << 40] {
            assert_eq!(room(&mut state, &[fence(origin)], most), Err(TOO_MUCH_SAID));
        }
        assert!(state == before);
        assert!(
            take(&mut state, &answers(1, [1]), CAPS.cells, 9),
            "answers have a cap of their own"
        );
    }

    #[test]
    fn parts_of_creations_and_typed_answers_end_at_their_caps() {
        let most = Caps { drafts: 100_000, texts: 100, ..CAPS };
        let part = |lamport| {
            Delta::CreatePart(CreatePart { lamport, index: 0, of: 2, bytes: vec![1; 1_000] })
        };
        let mut state = EventState::default();
        let taken = (0..1_000).take_while(|hint| room(&mut state, &[part(*hint)], most).is_ok());
        assert!((40..100).contains(&taken.count()), "{} bytes", state.drafts.bytes());
        let texts = |row| {
            let (instance, question, rows_of) = (1, 0, Origin(1));
            let (texts, rows) = (vec!["yes".to_owned()], vec![(row, 1, 1, 0)]);
            Delta::Texts(Texts { instance, question, rows_of, texts, rows })
        };
        for again in 0..1_000 {
            assert_eq!(room(&mut state, &[texts(again % 99)], most), Ok(()), "it is the same one");
        }
        assert_eq!(room(&mut state, &[texts(99)], most), Ok(()));
        assert_eq!(room(&mut state, &[texts(100)], most), Err(TOO_MANY_TEXTS));
    }

    #[test]
    fn two_sides_that_are_too_much_together_become_one() {
        let posts = |instance: u32, from: u64| {
            let post = |id| (id, 1, PlayerId(1), "why?".to_owned());
            Delta::Posts(Posts { instance, posts: (from..from + 4_000).map(post).collect() })
        };
        let votes = |instance: u32, from: u64| {
            let row = Row { origin: Origin(1), number: 1 };
            Delta::Votes(Votes {
                instance,
                votes: (from..from + 4_000).map(|id| (id, row)).collect(),
            })
        };
        let side = |instance: u32| {
            let mut state = EventState::default();
            // More than half of the posts that there may be.
            for from in (0..600_000).step_by(4_000) {
                state.take(Origin(1), posts(instance, from));
            }
            state.take(Origin(1), votes(instance, 0));
            assert!(state.sides.is_full_of_posts() && !state.sides.is_full_of_votes());
            state
        };
        let (one, other) = (side(1), side(2));
        let (mut ours, mut theirs) = (one.clone(), other.clone());
        ours.merge(other);
        theirs.merge(one);
        assert!(ours == theirs && ours.digest() == theirs.digest());
        let held = |instance| ours.sides.posts(instance).count();
        assert_eq!((held(1), held(2)), (600_000, caps::POSTS_MAX - 600_000), "the smallest stay");
        let beyond = 1_200_000 - caps::POSTS_MAX as u64;
        assert_eq!(ours.beyond()[..2], [beyond, 0], "what is not kept is counted");
        assert!(ours.apply(ME, &encode(&[posts(3, 0)])).is_ok(), "the lane goes on");
        assert_eq!(ours.beyond()[..2], [beyond + 4_000, 0]);
        assert!(ours == theirs, "without what there is no room for");
    }
}
