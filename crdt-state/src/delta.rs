//! Deltas: what an entry of a lane says, in versioned frames.
//!
//! An entry is a sequence of frames `kind version length payload` (the first three as postcard
//! varints, the payload in postcard). A reader that meets a kind or version that it does not know
//! refuses the entry as a whole and says which it was; it never skips. A relay forwards the origin's
//! own bytes. Every cap is checked here, before anything reaches the state.

use crate::caps;
use crate::column::Cell;
use crate::engagement::script::caps::ANSWER_BYTES_MAX;
use crate::engagement::{Key, PostId, Script};
use crate::event::{Rule, Rulings};
use crate::id::{Lamport, NodeId, Origin, PlayerId, Row};
use crate::named::Change;
use crate::stage::Stage;
use postcard::ser_flavors::Size;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

mod rows;
mod spread;

pub use rows::AnswersFrame;

/// One change of an event's state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Delta {
    /// The event exists and follows this script.
    Create(Create),
    /// One part of a creation that is too large for one entry.
    CreatePart(CreatePart),
    /// The writing origin takes part.
    Enrol(Enrol),
    /// The show moves on.
    Advance(Advance),
    /// The round stays open for longer.
    Extend(Extend),
    /// An origin takes no more answers for a round.
    Seal(Seal),
    /// An operator gives an origin up, or it is back.
    Forget(Forget),
    /// Something that the event names changes, or a player is marked; each in a kind of its own.
    Named(Change),
    /// Players are taken.
    Joins(Vec<Join>),
    /// Answers are taken.
    Answers(Answers),
    /// Typed answers are taken.
    Texts(Texts),
    /// Posts are taken.
    Posts(Posts),
    /// Votes for posts are taken.
    Votes(Votes),
    /// A host ruled on a run.
    Ruling(RulingChange),
    /// A node stands behind no more of what another has taken in a run.
    Fence(Fence),
    /// The writing origin may stand behind what others take.
    Vouch,
}

/// See [`Delta::Create`]. Of several, the smallest (Lamport, origin) holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Create {
    /// Order hint of the writer.
    pub lamport: Lamport,
    /// What will be played.
    pub script: Script,
}

/// See [`Delta::CreatePart`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatePart {
    /// Order hint of the writer, as in the creation.
    pub lamport: Lamport,
    /// Which part, from 0.
    pub index: u16,
    /// Of how many.
    pub of: u16,
    /// Its share of the creation's payload.
    pub bytes: Vec<u8>,
}

impl Create {
    /// Bytes that the creation of a show takes at most, whatever its order hint and its salts.
    #[must_use]
    pub fn bytes_of(script: &Script) -> usize {
        // The hint is a varint of a number up to `LAMPORT_MAX`.
        let hint = 8;
        let size = postcard::serialize_with_flavor(script, Size::default());
        hint + size.expect("our own types always encode")
    }

    /// The creation as deltas, each for an entry of its own: one, or as many parts as it takes.
    #[must_use]
    pub fn into_entries(self) -> Vec<Delta> {
        let lamport = self.lamport;
        let create = Delta::Create(self);
        let payload = create.payload();
        if payload.len() <= caps::CREATE_PART_BYTES_MAX {
            return vec![create];
        }
        let of = payload.len().div_ceil(caps::CREATE_PART_BYTES_MAX) as u16;
        let parts = payload.chunks(caps::CREATE_PART_BYTES_MAX).zip(0..);
        let part = |(bytes, index): (&[u8], u16)| {
            Delta::CreatePart(CreatePart { lamport, index, of, bytes: bytes.to_vec() })
        };
        parts.map(part).collect()
    }
}

/// See [`Delta::Enrol`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrol {
    /// The node that the writing origin is an incarnation of.
    pub node: NodeId,
    /// Its name, for people.
    pub name: String,
    /// The newest [version](crate::version) of kinds that it reads.
    pub reads: u16,
}

/// See [`Delta::Advance`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advance {
    /// Order hint of the writer.
    pub lamport: Lamport,
    /// Where to.
    pub to: Stage,
    /// Which question the instance runs; of several, the smallest (Lamport, origin, question) holds.
    pub question: Option<u16>,
    /// How long the round is open, in milliseconds; the largest holds.
    pub open_ms: Option<u32>,
}

/// See [`Delta::Extend`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extend {
    /// Which run.
    pub instance: u32,
    /// The whole length that is wanted, in milliseconds; the largest holds.
    pub open_ms: u32,
}

/// See [`Delta::Seal`]. It says: below and at `instance`, the bulk lane of `origin` holds no answer
/// beyond `head`, and its control lane nothing that changes what they give beyond `control`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// Whose lanes: the writer's own, or those of a former incarnation of its node.
    pub origin: Origin,
    /// The newest run that is sealed; all before it are too.
    pub instance: u32,
    /// The bulk head; the seal holds only where that head has been applied.
    pub head: u64,
    /// The control head, likewise. A seal in the origin's own lane follows what it names; one that a
    /// later incarnation wrote may arrive before.
    pub control: u64,
    /// Enrolled origins that the writer's lane has not named before. A result waits for them too, wherever
    /// their own enrolment has not arrived.
    pub knows: Vec<Origin>,
}

impl Seal {
    /// The instance of an origin's last seal: it never writes again, so that no later round waits for it.
    pub const FOR_GOOD: u32 = u32::MAX;
}

/// See [`Delta::Fence`]. It says: of what the incarnations of `node` took in `instance`, the writer's node
/// makes no receipt firm beyond what its fences name, `head` of `origin`'s bulk lane and nothing of lanes
/// that none of them names. A node's last word of another is a fence for [`Fence::FOR_GOOD`]: it left the event
/// in order, and until then it may have stood behind what the lane holds up to `head`, in whatever run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fence {
    /// Which run.
    pub instance: u32,
    /// The node that is out of the writer's reach.
    pub node: NodeId,
    /// Which incarnation of it.
    pub origin: Origin,
    /// The bulk head of it that the writer had applied.
    pub head: u64,
}

impl Fence {
    /// The run of a last word: every one.
    pub const FOR_GOOD: u32 = Seal::FOR_GOOD;
}

/// See [`Delta::Forget`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forget {
    /// Which incarnation.
    pub origin: Origin,
    /// Of which node.
    pub node: NodeId,
    /// How often it was forgotten and came back in all, this time counted: odd if it is forgotten now.
    pub length: u32,
    /// The bulk head that is known of it.
    pub head: u64,
}

/// A player is taken, or a join that was proven by a token is written down again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// The player's row.
    pub row: Row,
    /// Who it is.
    pub player: PlayerId,
    /// The name.
    pub name: String,
}

/// Answers that one origin took, for rows that another may have numbered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    /// Which run.
    pub instance: u32,
    /// Which question was shown where the answers were taken.
    pub question: u16,
    /// Who numbered the rows.
    pub rows_of: Origin,
    /// Row number, elapsed milliseconds, value; each within what a [`Cell`] holds.
    pub rows: Vec<(u32, u32, u32)>,
}

/// See [`Delta::Texts`]. Each text is named once, however many typed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Texts {
    /// Which run.
    pub instance: u32,
    /// Which question was shown where the answers were taken.
    pub question: u16,
    /// Who numbered the rows.
    pub rows_of: Origin,
    /// What was typed.
    pub texts: Vec<String>,
    /// Row number, elapsed milliseconds, value, index into `texts`.
    pub rows: Vec<(u32, u32, u32, u32)>,
}

impl Texts {
    /// Of the texts that its rows were said to name, those that they do name.
    fn keep_texts_of(&mut self, all: &[String]) {
        let mut places = BTreeMap::new();
        for (.., index) in &mut self.rows {
            *index = *places.entry(*index).or_insert_with(|| {
                self.texts.push(all[*index as usize].clone());
                self.texts.len() as u32 - 1
            });
        }
    }
}

/// See [`Delta::Posts`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posts {
    /// Which run.
    pub instance: u32,
    /// Id, elapsed milliseconds, whose, text.
    pub posts: Vec<(PostId, u32, PlayerId, String)>,
}

/// See [`Delta::Votes`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Votes {
    /// Which run.
    pub instance: u32,
    /// For which post, whose row.
    pub votes: Vec<(PostId, Row)>,
}

/// See [`Delta::Ruling`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulingChange {
    /// Order hint of the writer.
    pub lamport: Lamport,
    /// Which run.
    pub instance: u32,
    /// What was ruled.
    pub rule: Rule,
}

/// An entry that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It needs a newer node.
    #[error("delta kind {kind} version {version} is unknown here: a newer version is needed")]
    Unsupported {
        /// The frame's kind.
        kind: u32,
        /// The frame's version.
        version: u32,
    },
    /// It is not what it says to be.
    #[error("malformed entry: {what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
    },
}

fn malformed(what: &'static str) -> DecodeError {
    DecodeError::Malformed { what }
}

/// The kind of [`Delta::Answers`].
const ANSWERS: u32 = 65;

/// Every delta so far is of the first version of its kind.
const VERSION: u32 = 1;

impl Delta {
    /// The frame's kind; below 64 belongs to the control lane.
    fn kind(&self) -> u32 {
        match self {
            Delta::Create(_) => 1,
            Delta::CreatePart(_) => 34,
            Delta::Enrol(_) => 2,
            Delta::Advance(_) => 3,
            Delta::Extend(_) => 4,
            Delta::Seal(_) => 5,
            Delta::Forget(_) => 32,
            Delta::Named(change) => change.kind(),
            Delta::Joins(_) => 64,
            Delta::Answers(_) => ANSWERS,
            Delta::Texts(_) => 66,
            Delta::Posts(_) => 67,
            Delta::Votes(_) => 68,
            Delta::Ruling(_) => Rulings::KIND.into(),
            Delta::Fence(_) => 35,
            Delta::Vouch => 36,
        }
    }

    /// The [version](crate::version) that brought this kind: it is written only once all read that.
    #[must_use]
    pub fn since(&self) -> u16 {
        match self {
            Delta::Ruling(_) => Rulings::SINCE,
            _ => 1,
        }
    }

    fn payload(&self) -> Vec<u8> {
        let encoded = match self {
            Delta::Create(x) => postcard::to_stdvec(x),
            Delta::CreatePart(x) => postcard::to_stdvec(x),
            Delta::Enrol(x) => postcard::to_stdvec(x),
            Delta::Advance(x) => postcard::to_stdvec(x),
            Delta::Extend(x) => postcard::to_stdvec(x),
            Delta::Seal(x) => postcard::to_stdvec(x),
            Delta::Forget(x) => postcard::to_stdvec(x),
            Delta::Named(x) => x.payload(),
            Delta::Joins(x) => postcard::to_stdvec(x),
            Delta::Answers(x) => Ok(rows::write(x)),
            Delta::Texts(x) => postcard::to_stdvec(x),
            Delta::Posts(x) => postcard::to_stdvec(x),
            Delta::Votes(x) => postcard::to_stdvec(x),
            Delta::Ruling(x) => postcard::to_stdvec(x),
            Delta::Fence(x) => postcard::to_stdvec(x),
            Delta::Vouch => Ok(Vec::new()),
        };
        encoded.expect("our own types always encode into memory")
    }

    fn read(kind: u32, payload: &[u8]) -> Result<Delta, DecodeError> {
        Ok(match kind {
            1 => Delta::Create(whole(payload)?),
            2 => Delta::Enrol(whole(payload)?),
            3 => Delta::Advance(whole(payload)?),
            4 => Delta::Extend(whole(payload)?),
            5 => Delta::Seal(whole(payload)?),
            32 => Delta::Forget(whole(payload)?),
            34 => Delta::CreatePart(whole(payload)?),
            64 => Delta::Joins(whole(payload)?),
            ANSWERS => Delta::Answers(AnswersFrame::read(payload)?.to_answers()),
            66 => Delta::Texts(whole(payload)?),
            67 => Delta::Posts(whole(payload)?),
            68 => Delta::Votes(whole(payload)?),
            33 => Delta::Ruling(whole(payload)?),
            35 => Delta::Fence(whole(payload)?),
            36 => whole(payload).map(|()| Delta::Vouch)?,
            _ => match Change::read(kind, payload) {
                Some(change) => Delta::Named(change?),
                None => return Err(DecodeError::Unsupported { kind, version: VERSION }),
            },
        })
    }

    /// The same change in two parts, if it is of several rows.
    fn halves(self) -> Option<[Delta; 2]> {
        fn halves<T>(mut rows: Vec<T>) -> Option<[Vec<T>; 2]> {
            let second = rows.split_off(rows.len() / 2);
            (!rows.is_empty()).then_some([rows, second])
        }
        match self {
            Delta::Joins(joins) => Some(halves(joins)?.map(Delta::Joins)),
            Delta::Answers(Answers { instance, question, rows_of, rows }) => {
                let part = |rows| Delta::Answers(Answers { instance, question, rows_of, rows });
                Some(halves(rows)?.map(part))
            }
            Delta::Texts(texts) => {
                let Texts { instance, question, rows_of, .. } = texts;
                let part = |rows: Vec<(u32, u32, u32, u32)>| {
                    let mut part = Texts { instance, question, rows_of, texts: Vec::new(), rows };
                    part.keep_texts_of(&texts.texts);
                    Delta::Texts(part)
                };
                Some(halves(texts.rows)?.map(part))
            }
            Delta::Posts(Posts { instance, posts }) => {
                Some(halves(posts)?.map(|posts| Delta::Posts(Posts { instance, posts })))
            }
            Delta::Votes(Votes { instance, votes }) => {
                Some(halves(votes)?.map(|votes| Delta::Votes(Votes { instance, votes })))
            }
            _ => None,
        }
    }

    /// Whether `origin` can have written it.
    #[must_use]
    pub fn is_by(&self, origin: Origin) -> bool {
        match self {
            Delta::Named(change) => change.is_by(origin),
            _ => true,
        }
    }

    /// A creation out of its joined parts; nothing if they are not one.
    pub(crate) fn read_create(payload: &[u8]) -> Option<Create> {
        let create = Delta::Create(whole(payload).ok()?);
        match (create.check(), create) {
            (Ok(()), Delta::Create(create)) => Some(create),
            _ => None,
        }
    }

    /// What a delta must keep, whoever wrote it.
    ///
    /// # Errors
    /// Says what it breaks: no node would read it.
    pub fn check(&self) -> Result<(), DecodeError> {
        let ok = match self {
            Delta::Create(create) => {
                !create.script.questions.is_empty() && create.lamport <= caps::LAMPORT_MAX
            }
            Delta::CreatePart(part) => {
                part.lamport <= caps::LAMPORT_MAX
                    && part.index < part.of
                    && part.of <= caps::CREATE_PARTS_MAX
                    && part.bytes.len() <= caps::CREATE_PART_BYTES_MAX
            }
            Delta::Enrol(enrol) => enrol.name.len() <= caps::KEY_BYTES_MAX,
            Delta::Advance(advance) => {
                let instance = advance.to.instance;
                advance.to.is_valid()
                    && advance.lamport <= caps::LAMPORT_MAX
                    && (advance.to.is_over() || instance <= caps::INSTANCES_MAX)
            }
            Delta::Extend(extend) => extend.instance <= caps::INSTANCES_MAX,
            Delta::Seal(seal) => {
                let known = seal.instance <= caps::INSTANCES_MAX || seal.instance == Seal::FOR_GOOD;
                known && seal.knows.len() <= caps::ORIGINS_MAX
            }
            Delta::Fence(Fence { instance, .. }) => {
                *instance <= caps::INSTANCES_MAX || *instance == Fence::FOR_GOOD
            }
            Delta::Vouch => true,
            Delta::Forget(forget) => (1..=caps::FORGETS_MAX).contains(&forget.length),
            Delta::Named(change) => change.is_within_caps(),
            Delta::Joins(joins) => {
                joins.len() <= caps::DELTA_ROWS_MAX && joins.iter().all(is_possible_join)
            }
            Delta::Answers(answers) => {
                answers.instance <= caps::INSTANCES_MAX
                    && answers.rows.len() <= caps::DELTA_ROWS_MAX
                    && answers.rows.iter().all(is_possible_answer)
            }
            Delta::Texts(texts) => {
                texts.instance <= caps::INSTANCES_MAX
                    && texts.rows.len() <= caps::DELTA_ROWS_MAX
                    && texts.texts.iter().all(|text| is_possible_text(text))
                    && texts.rows.iter().all(|(row, elapsed_ms, value, index)| {
                        is_possible_answer(&(*row, *elapsed_ms, *value))
                            && (*index as usize) < texts.texts.len()
                    })
            }
            Delta::Posts(posts) => {
                posts.instance <= caps::INSTANCES_MAX
                    && posts.posts.len() <= caps::DELTA_ROWS_MAX
                    && posts.posts.iter().all(|(_, _, _, text)| is_possible_text(text))
            }
            Delta::Votes(votes) => {
                votes.instance <= caps::INSTANCES_MAX
                    && votes.votes.len() <= caps::DELTA_ROWS_MAX
                    && votes.votes.iter().all(|(_, row)| row.number < caps::ROWS_MAX)
            }
            Delta::Ruling(change) => {
                change.instance <= caps::INSTANCES_MAX
                    && change.lamport <= caps::LAMPORT_MAX
                    && is_possible_rule(&change.rule)
            }
        };
        if ok { Ok(()) } else { Err(malformed("a value is beyond its cap")) }
    }
}

fn is_possible_answer(&(row, elapsed_ms, value): &(u32, u32, u32)) -> bool {
    row < caps::ROWS_MAX && elapsed_ms <= Cell::ELAPSED_MS_MAX && value <= Cell::VALUE_MAX
}

pub(crate) fn is_possible_text(text: &str) -> bool {
    !text.is_empty() && text.len() <= ANSWER_BYTES_MAX
}

fn is_possible_rule(rule: &Rule) -> bool {
    match rule {
        Rule::Accept(text) => is_possible_text(text),
        Rule::Key(Key::Texts(texts)) => {
            texts.len() <= caps::KEYS_MAX && texts.iter().all(|text| is_possible_text(text))
        }
        Rule::Key(Key::Choices(choices) | Key::Order(choices)) => {
            choices.len() <= 24 && choices.iter().all(|choice| *choice < 24)
        }
        Rule::Pause { epoch, .. } => *epoch <= caps::INSTANCES_MAX,
        _ => true,
    }
}

fn is_possible_join(join: &Join) -> bool {
    join.row.number < caps::ROWS_MAX
        && !join.name.is_empty()
        && join.name.len() <= caps::NAME_BYTES_MAX
}

/// Reads a payload that must be used up.
pub(crate) fn whole<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, DecodeError> {
    match postcard::take_from_bytes(payload) {
        Ok((value, [])) => Ok(value),
        Ok(_) => Err(malformed("a payload is longer than its content")),
        Err(_) => Err(malformed("a payload does not decode")),
    }
}

/// Writes an entry.
///
/// # Panics
/// If a delta breaks a cap: what a node writes it has checked before.
#[must_use]
pub fn encode(deltas: &[Delta]) -> Vec<u8> {
    let mut out = Vec::new();
    for delta in deltas {
        delta.check().expect("a node writes only what every node can read");
        let payload = delta.payload();
        for number in [delta.kind(), VERSION, payload.len() as u32] {
            out.extend(postcard::to_stdvec(&number).expect("an integer encodes into memory"));
        }
        out.extend(payload);
    }
    out
}

/// Writes as many entries as changes take that no single one may hold: each of at most
/// [`ENTRY_BYTES_MAX`](caps::ENTRY_BYTES_MAX) bytes, all changes in their order.
///
/// # Panics
/// As [`encode`]; and if what cannot be split is longer than an entry, which no cap allows.
#[must_use]
pub fn encode_all(deltas: &[Delta]) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    deltas.iter().for_each(|delta| append(&mut entries, delta));
    entries.into_iter().map(|(entry, _)| entry).collect()
}

/// Writes a change behind others, in two parts if no entry holds it whole. With each entry goes in how many blocks
/// its rows lie.
fn append(entries: &mut Vec<(Vec<u8>, usize)>, delta: &Delta) {
    let (frame, blocks) = (encode(std::slice::from_ref(delta)), spread::blocks(delta));
    if frame.len() > caps::ENTRY_BYTES_MAX || blocks > caps::ENTRY_BLOCKS_MAX {
        let halves = delta.clone().halves().expect("a single change fits an entry");
        return halves.iter().for_each(|half| append(entries, half));
    }
    match entries.last_mut() {
        Some((entry, more))
            if entry.len() + frame.len() <= caps::ENTRY_BYTES_MAX
                && *more + blocks <= caps::ENTRY_BLOCKS_MAX =>
        {
            entry.extend(frame);
            *more += blocks;
        }
        _ => entries.push((frame, blocks)),
    }
}

/// One frame of an entry, read and checked.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame<'a> {
    /// Answers, as they lie in the entry: there are too many to copy them twice.
    Answers(AnswersFrame<'a>),
    /// Anything else.
    Delta(Delta),
}

impl Frame<'_> {
    /// See [`Delta::is_by`]. Anybody may write down anybody's answers.
    pub(crate) fn is_by(&self, origin: Origin) -> bool {
        match self {
            Frame::Answers(_) => true,
            Frame::Delta(delta) => delta.is_by(origin),
        }
    }
}

/// Reads an entry whole, or not at all, and leaves answers where they are.
///
/// # Errors
/// When a frame is unknown here, malformed or beyond a cap, or the rows of all lie in more blocks than one entry may make.
pub fn frames(entry: &[u8]) -> Result<Vec<Frame<'_>>, DecodeError> {
    if entry.len() > caps::ENTRY_BYTES_MAX {
        return Err(malformed("an entry is longer than the cap"));
    }
    let mut frames = Vec::new();
    let mut rest = entry;
    while !rest.is_empty() {
        let (kind, version, length);
        (kind, rest) = number(rest)?;
        (version, rest) = number(rest)?;
        (length, rest) = number(rest)?;
        let (payload, after) =
            rest.split_at_checked(length as usize).ok_or(malformed("a frame is cut short"))?;
        if version != VERSION {
            return Err(DecodeError::Unsupported { kind, version });
        }
        frames.push(if kind == ANSWERS {
            Frame::Answers(AnswersFrame::read(payload)?)
        } else {
            let delta = Delta::read(kind, payload)?;
            delta.check()?;
            Frame::Delta(delta)
        });
        rest = after;
    }
    spread::check(&frames)?;
    Ok(frames)
}

/// The first kind of an entry that a program does not know which reads versions up to this one, and the
/// version that brought it.
///
/// # Errors
/// As [`frames`].
pub fn newer_than(newest: u16, entry: &[u8]) -> Result<Option<(u32, u16)>, DecodeError> {
    let newer = |frame: Frame<'_>| match frame {
        Frame::Answers(_) => None,
        Frame::Delta(delta) => (delta.since() > newest).then(|| (delta.kind(), delta.since())),
    };
    Ok(frames(entry)?.into_iter().find_map(newer))
}

/// Reads an entry whole, or not at all.
///
/// # Errors
/// As [`frames`].
pub fn decode(entry: &[u8]) -> Result<Vec<Delta>, DecodeError> {
    let owned = |frame| match frame {
        Frame::Answers(answers) => Delta::Answers(answers.to_answers()),
        Frame::Delta(delta) => delta,
    };
    Ok(frames(entry)?.into_iter().map(owned).collect())
}

fn number(bytes: &[u8]) -> Result<(u32, &[u8]), DecodeError> {
    postcard::take_from_bytes(bytes).map_err(|_| malformed("a frame's head is cut short"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engagement::Question;
    use crate::event::EventState;
    use crate::id::LaneId;
    use proptest::prelude::*;

    fn answers() -> Delta {
        let rows = vec![(3, 1_200, 0b10), (4, 900, 0b1)];
        Delta::Answers(Answers { instance: 2, question: 1, rows_of: Origin(7), rows })
    }

    #[test]
    fn an_entry_survives_its_bytes() {
        let deltas = vec![answers(), Delta::Extend(Extend { instance: 1, open_ms: 9_000 })];
        assert_eq!(decode(&encode(&deltas)), Ok(deltas));
    }

    /// What a busy turn may bring: far more than one entry holds.
    fn busy() -> Vec<Delta> {
        let long = |number: u32, bytes: usize| format!("{number:0>bytes$}");
        let name = |number| long(number, caps::NAME_BYTES_MAX);
        let row = |number| Row { origin: Origin(u64::MAX), number };
        let (instance, question, rows_of) = (7, 3, Origin(9));
        let cell = |number| (caps::ROWS_MAX - number - 1, Cell::ELAPSED_MS_MAX, Cell::VALUE_MAX);
        let join =
            |n| Join { row: row(n), player: PlayerId(u128::MAX - u128::from(n)), name: name(n) };
        // Two rows each name a text.
        let typed = |n| (n, 1_000, 5, n / 2);
        let texts = (0..1_000).map(|n| long(n, ANSWER_BYTES_MAX)).collect();
        let post = |n: u32| (PostId::from(n), 3, PlayerId(n.into()), long(n, ANSWER_BYTES_MAX));
        let rows = (0..40_000).rev().map(cell).collect();
        vec![
            Delta::Joins((0..4_096).map(join).collect()),
            Delta::Answers(Answers { instance, question, rows_of, rows }),
            Delta::Extend(Extend { instance: 1, open_ms: 9_000 }),
            Delta::Texts(Texts {
                instance,
                question,
                rows_of,
                texts,
                rows: (0..2_000).map(typed).collect(),
            }),
            Delta::Posts(Posts { instance, posts: (0..2_000).map(post).collect() }),
            Delta::Votes(Votes {
                instance,
                votes: (0..30_000).map(|n| (PostId::MAX, row(n))).collect(),
            }),
            Delta::Vouch,
        ]
    }

    #[test]
    fn what_no_entry_holds_is_written_in_several() {
        let origin = Origin(5);
        let mut at_once = EventState::default();
        busy().into_iter().for_each(|delta| at_once.take(origin, delta));
        let mut one_by_one = EventState::default();
        let entries = encode_all(&busy());
        let sum: usize = entries.iter().map(Vec::len).sum();
        assert!(entries.iter().all(|entry| entry.len() <= caps::ENTRY_BYTES_MAX));
        assert!(entries.len() < 3 * sum.div_ceil(caps::ENTRY_BYTES_MAX), "{}", entries.len());
        for entry in &entries {
            one_by_one.apply(LaneId::bulk(origin), entry).expect("every node reads it");
        }
        assert!(one_by_one == at_once);
        assert_eq!(encode_all(&[answers()]), [encode(&[answers()])]);
        assert!(encode_all(&[]).is_empty());
    }

    #[test]
    fn a_creation_takes_no_more_than_is_said_of_its_show() {
        let options = vec!["yes".to_owned(), "no".to_owned()];
        let question = |number| Question::choice(format!("Question {number}?"), options.clone(), 0);
        let script = Script::new("a show", (0..5_000).map(question).collect());
        let said = Create::bytes_of(&script);
        for lamport in [0, 300, caps::LAMPORT_MAX] {
            let parts = Create { lamport, script: script.clone() }.into_entries();
            assert!(parts.len() > 1, "it is large enough to go in parts");
            assert!(parts.iter().all(|part| part.check() == Ok(())));
            let bytes = |part: &Delta| match part {
                Delta::CreatePart(part) => part.bytes.len(),
                other => panic!("not a part: {other:?}"),
            };
            let taken: usize = parts.iter().map(bytes).sum();
            assert!((said - 8..=said).contains(&taken), "{said}, {taken}");
        }
    }

    #[test]
    fn an_answer_beyond_a_cap_is_refused() {
        let payload = |row, elapsed_ms, value| {
            let mut payload = postcard::to_stdvec(&(1u32, 1u16, Origin(7), 1u32)).unwrap();
            payload.extend(postcard::to_stdvec(&(row, elapsed_ms, value)).unwrap());
            AnswersFrame::read(&payload).is_ok()
        };
        assert!(payload(caps::ROWS_MAX - 1, Cell::ELAPSED_MS_MAX, Cell::VALUE_MAX));
        assert!(!payload(caps::ROWS_MAX, 0, 0));
        assert!(!payload(0, Cell::ELAPSED_MS_MAX + 1, 0));
        assert!(!payload(0, 0, Cell::VALUE_MAX + 1));
    }

    #[test]
    fn an_older_program_is_told_what_it_would_have_to_read() {
        let rule = Rule::Void(true);
        let ruling = Delta::Ruling(RulingChange { lamport: 1, instance: 1, rule });
        let entry = encode(&[answers(), ruling]);
        assert_eq!(newer_than(2, &entry), Ok(None));
        assert_eq!(newer_than(1, &entry), Ok(Some((33, 2))));
    }

    #[test]
    fn an_unknown_kind_is_named_and_never_skipped() {
        let mut entry = encode(&[answers()]);
        entry.extend([40, 1, 0]);
        assert_eq!(decode(&entry), Err(DecodeError::Unsupported { kind: 40, version: 1 }));
        assert_eq!(decode(&[3, 2, 0]), Err(DecodeError::Unsupported { kind: 3, version: 2 }));
    }

    proptest! {
        #[test]
        fn no_bytes_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn a_damaged_entry_never_panics(at in 0usize..60, with in any::<u8>()) {
            let mut entry = encode(&[answers(), answers()]);
            let at = at % entry.len();
            entry[at] = with;
            let _ = decode(&entry);
        }

        #[test]
        fn answers_survive_their_bytes_but_for_their_order(
            mut rows in proptest::collection::vec(
                (0..caps::ROWS_MAX, 0..=Cell::ELAPSED_MS_MAX, 0..=Cell::VALUE_MAX), 0..20
            ),
            cut in 0..40usize,
        ) {
            let answers = |rows: &[(u32, u32, u32)]| {
                let rows = rows.to_vec();
                Answers { instance: 3, question: 1, rows_of: Origin(u64::MAX / 3), rows }
            };
            let mut payload = rows::write(&answers(&rows));
            rows.sort_unstable();
            prop_assert_eq!(
                AnswersFrame::read(&payload).map(|frame| frame.to_answers()),
                Ok(answers(&rows))
            );
            if cut > 0 {
                payload.truncate(payload.len().saturating_sub(cut));
                prop_assert!(AnswersFrame::read(&payload).is_err());
            }
        }

        #[test]
        fn a_varint_is_read_as_postcard_reads_it(bytes in proptest::collection::vec(any::<u8>(), 0..8)) {
            let theirs = postcard::take_from_bytes::<u32>(&bytes).ok();
            prop_assert_eq!(rows::varint_of(&bytes), theirs);
        }
    }
}
