//! An event's state as this node carries it: what is replicated, and when its rounds opened here.
//!
//! The state itself knows no clock. When a round opened is each node's own knowledge: the moment at which it
//! applied the opening, set back by the age that travelled with it. Wall clocks play no part, so a node
//! whose calendar is ten minutes off changes no result.

use super::cut::{Envelope, EventCut, age_ms, read_cut};
use bytes::Bytes;
use crdt_state::delta::{DecodeError, Delta, Frame, Seal, frames, newer_than};
use crdt_state::engagement::counter_run;
use crdt_state::event::{Round, Rule, Ruling, Rulings, Taken};
use crdt_state::named::{Change, NumberChange};
use crdt_state::{
    Cell, EventState, Heads, Lane, LaneId, Mono, Origin, Phase, PlayerId, Row, Versions, caps,
};
use crdts::CmRDT;
use gossip::replication::{AGE_UNKNOWN, ApplyError, Cut, Replicated};
use std::collections::BTreeMap;
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
    /// When a run was paused (odd) and resumed (even), by run and number.
    pauses: BTreeMap<(u32, u32), Zero>,
    /// The newest pause whose beginning only the entry that brought it has told.
    hearsay: Option<(u32, u32)>,
    /// What happened nobody has told when yet, by the entry that brought it.
    unaged: BTreeMap<(LaneId, u64), Moment>,
    /// Rows whose held answers others may have replaced, since they were last asked for.
    contested: Vec<(u32, Row)>,
    /// Which question each run asked when that was last looked at, and the runs that ask another one since they
    /// were last asked for.
    asked: BTreeMap<u32, u16>,
    asking_another: Vec<u32>,
    /// Players of whom others brought a further row, since they were last asked for.
    joined: Joined,
    /// The answers that others brought since they were last asked for, while somebody follows them.
    followed: Option<Vec<(u32, PlayerId)>>,
    /// Whether anything was taken in since this was last asked.
    changed: bool,
    /// Whether anything was said of a player since this was last asked.
    marked: bool,
    /// Counts what can change a score that is shown.
    scored_revision: u64,
    /// The runs that the stage has passed, as of the last step, and of each whether what came of it is known.
    passed: Vec<(u32, bool)>,
    /// Counts what can change who takes part, who stands behind receipts, and who is gone for good.
    parties_revision: u64,
    /// The newest version that the program reads, where that is not all there is.
    reads: Option<u16>,
}

/// Something that happened at a moment which every node's own clock has to know.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// A run opened.
    Opened(u32),
    /// A run was paused or resumed, by its number.
    Paused((u32, u32)),
}

impl Moment {
    fn of(delta: &Delta) -> Option<Self> {
        opened_by(delta).map(Moment::Opened).or_else(|| paused_by(delta).map(Moment::Paused))
    }
}

/// How a run's time has gone here so far.
#[derive(Debug, Clone, Copy)]
struct Course {
    zero: Zero,
    /// For how long it stood still, pauses that are over only.
    held_ms: i64,
    /// Since when it stands still.
    since: Option<Zero>,
}

/// What a peer's clock knows of a run: how long ago it opened, and each pause and resumption by its number,
/// in milliseconds.
type Told = (u32, u64, Vec<(u32, u64)>);

/// Of whom others brought a further row, so that answers which were two players' are one's now. Lanes are
/// independent: an answer may be here before its row.
#[derive(Debug)]
pub enum Joined {
    /// These players.
    Players(Vec<PlayerId>),
    /// A snapshot does not say.
    Anybody,
}

impl Default for Joined {
    fn default() -> Self {
        Joined::Players(Vec::new())
    }
}

impl Carried {
    /// Reads as a program does whose newest version this is.
    pub fn read_up_to(&mut self, newest: u16) {
        self.reads = (newest < Versions::THIS.newest).then_some(newest);
    }

    /// Refuses what an older program could not read.
    fn check_version(&self, entry: &[u8]) -> Result<(), ApplyError> {
        let Some(newest) = self.reads else { return Ok(()) };
        match newer_than(newest, entry).map_err(|error| refused(&error))? {
            Some((kind, version)) => {
                Err(ApplyError::Unsupported { kind: kind.try_into().unwrap_or(u16::MAX), version })
            }
            None => Ok(()),
        }
    }

    /// Takes in one's own change before it is committed.
    pub fn take(&mut self, now: Mono, me: Origin, delta: Delta) {
        self.open(now, Duration::ZERO, &delta);
        self.note(&delta);
        let step = stepped(&delta);
        self.state.take(me, delta);
        self.note_step(step);
        self.changed = true;
    }

    /// Takes in one's own answer before it is committed, unless its player has given one; what is held
    /// already.
    pub fn offer(&mut self, instance: u32, question: u16, row: Row, cell: Cell) -> Option<Cell> {
        let held = self.state.offer(instance, question, row, cell);
        if held.is_none() {
            self.score_answers(instance);
            self.changed = true;
        }
        held
    }

    /// Accounts for an own entry that was committed.
    pub fn committed(&mut self, me: Origin, lane: Lane) {
        let dot = self.content.inc(LaneId { origin: me, lane });
        self.content.apply(dot);
    }

    /// The same state and its clocks as they are now, whatever comes after. Blocks are shared until one of the two
    /// writes to them.
    pub fn frozen(&self) -> Self {
        Carried {
            state: self.state.clone(),
            content: self.content.clone(),
            zeros: self.zeros.clone(),
            pauses: self.pauses.clone(),
            reads: self.reads,
            ..Carried::default()
        }
    }

    /// What has been applied.
    pub fn heads(&self) -> &Heads {
        &self.content
    }

    /// When `instance` opened, if this node knows that, and of every pause when it was: a zero alone would
    /// count time that stood still.
    pub fn zero(&self, instance: u32) -> Option<Zero> {
        self.course(instance).map(|course| course.zero)
    }

    /// For how long `instance` has been open, in milliseconds.
    pub fn elapsed_ms(&self, now: Mono, instance: u32) -> Option<u64> {
        let Course { zero, held_ms, since } = self.course(instance)?;
        Some((since.unwrap_or(millis(now)) - zero - held_ms).max(0) as u64)
    }

    /// For how long `instance` has been paused since it opened, in milliseconds, pauses that are over only.
    pub fn held_ms(&self, instance: u32) -> i64 {
        self.course(instance).map_or(0, |course| course.held_ms)
    }

    /// For how long `instance` has stood still since it opened, in milliseconds, a pause that goes on included, as
    /// far as this node knows.
    pub fn stood_still_ms(&self, now: Mono, instance: u32) -> u32 {
        let Some(Course { held_ms, since, .. }) = self.course(instance) else { return 0 };
        let going_on = since.map_or(0, |since| (millis(now) - since).max(0));
        u32::try_from(held_ms + going_on).unwrap_or(u32::MAX)
    }

    /// For how long a run (0 for the lobby) has stood still since a moment, in pauses that are over. Of a pause
    /// whose beginning this node does not know it counts what it saw.
    pub fn held_since(&self, instance: u32, since: Mono) -> Duration {
        let epochs = self.state.rulings.of(instance).map_or(0, Ruling::pauses);
        let at = |epoch: u32| self.pauses.get(&(instance, epoch)).copied();
        let held = |epoch: u32| {
            let paused = at(epoch).unwrap_or(Zero::MIN).max(millis(since));
            at(epoch + 1).map_or(0, |resumed| (resumed - paused).max(0))
        };
        let held: i64 = (1..epochs).step_by(2).map(held).sum();
        Duration::from_millis(held.max(0) as u64)
    }

    /// What every answer asks: one walk over the pauses of a run, and nothing of it where there are none.
    fn course(&self, instance: u32) -> Option<Course> {
        let zero = self.zeros.get(&instance).copied()?;
        let Some(ruling) = self.state.rulings.of(instance).filter(|ruling| ruling.pauses() > 0)
        else {
            return Some(Course { zero, held_ms: 0, since: None });
        };
        let newest = ruling.pauses();
        let (mut seen_ms, mut since) = (0, None::<(u32, Zero)>);
        for ((_, epoch), at) in self.pauses.range((instance, 1)..=(instance, newest)) {
            if let Some((_, from)) = since.take_if(|(paused, _)| *paused + 1 == *epoch) {
                seen_ms += (at - from).max(0);
            }
            if epoch % 2 == 1 {
                since = Some((*epoch, (*at).max(zero)));
            }
        }
        // Whoever ended a pause may have known its beginning better: the word of it may not be here yet, or it
        // waited in a queue and its age was told too small.
        let held_ms = i64::max(seen_ms, ruling.held_ms().into());
        let since = since.filter(|(epoch, _)| *epoch == newest).map(|(_, from)| from);
        (since.is_some() || newest % 2 == 0).then_some(Course { zero, held_ms, since })
    }

    /// Learns when something happened.
    fn set_moment(&mut self, now: Mono, age: Duration, moment: Moment) {
        match moment {
            Moment::Opened(instance) => self.set_zero(now, age, instance),
            Moment::Paused(key) => self.set_pause(now, age, key),
        }
    }

    /// Remembers of which pause an entry alone has told when it began. An entry's age counts no time in queues
    /// between two nodes; of what opens or ends that makes a node late, of a pause's beginning early.
    fn hear(&mut self, moment: Moment) {
        if let Moment::Paused(key) = moment
            && key.1 % 2 == 1
        {
            self.hearsay = self.hearsay.max(Some(key));
        }
    }

    /// Learns when a run was paused or resumed: the earliest that anybody tells.
    fn set_pause(&mut self, now: Mono, age: Duration, key: (u32, u32)) {
        let at = millis(now) - millis(age);
        self.pauses.entry(key).and_modify(|held| *held = at.min(*held)).or_insert(at);
    }

    /// Whether anything was taken in since the last call.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// Whether anything was said of a player since the last call.
    pub fn take_marked(&mut self) -> bool {
        std::mem::take(&mut self.marked)
    }

    /// The rows whose held answers others may have replaced since the last call, with the instance.
    pub fn take_contested(&mut self) -> Vec<(u32, Row)> {
        std::mem::take(&mut self.contested)
    }

    /// The runs that ask another question than before since the last call: of a player who has answered both, another
    /// answer is held by that.
    pub fn take_asking_another(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.asking_another)
    }

    /// Looks which question a run asks.
    fn note_asked(&mut self, instance: u32) {
        let Some(question) = self.state.round(instance).and_then(Round::question) else { return };
        if self.asked.insert(instance, question).is_some_and(|before| before != question) {
            self.asking_another.push(instance);
        }
    }

    /// Whether it remembers whose answers others bring.
    pub fn is_followed(&self) -> bool {
        self.followed.is_some()
    }

    /// Starts or stops to remember whose answers others bring: it costs a lookup for each.
    pub fn follow(&mut self, follow: bool) {
        if follow != self.followed.is_some() {
            self.followed = follow.then(Vec::new);
        }
    }

    /// The players whose answers others brought since the last call, with the instance.
    pub fn take_followed(&mut self) -> Vec<(u32, PlayerId)> {
        self.followed.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Of whom others brought a further row since the last call.
    pub fn take_joined(&mut self) -> Joined {
        std::mem::take(&mut self.joined)
    }

    /// Learns when a round opened: the earliest that anybody tells.
    fn set_zero(&mut self, now: Mono, age: Duration, instance: u32) {
        let zero = millis(now) - millis(age);
        self.zeros.entry(instance).and_modify(|held| *held = zero.min(*held)).or_insert(zero);
    }

    fn open(&mut self, now: Mono, age: Duration, delta: &Delta) {
        if let Some(moment) = Moment::of(delta) {
            self.set_moment(now, age, moment);
        }
    }

    /// A number that grows whenever a score that is shown may have changed. Answers to the open round do
    /// not: they score when it is revealed.
    pub fn scored_revision(&self) -> u64 {
        self.scored_revision
    }

    /// A number that grows whenever it may be others who take part, stand behind receipts, or are gone for good.
    pub fn parties_revision(&self) -> u64 {
        self.parties_revision
    }

    fn note(&mut self, delta: &Delta) {
        let is_of_parties = match delta {
            Delta::Enrol(_) | Delta::Vouch => true,
            Delta::Seal(seal) => seal.instance == Seal::FOR_GOOD,
            _ => false,
        };
        self.parties_revision += u64::from(is_of_parties);
        self.score(delta);
    }

    fn score(&mut self, delta: &Delta) {
        match delta {
            Delta::Answers(answers) => self.score_answers(answers.instance),
            Delta::Texts(texts) => self.score_answers(texts.instance),
            Delta::Ruling(_)
            | Delta::Joins(_)
            | Delta::Create(_)
            | Delta::CreatePart(_)
            | Delta::Named(Change::Award(_)) => {
                self.scored_revision += 1;
            }
            Delta::Named(Change::Total(NumberChange { name, .. })) => {
                if let Some(instance) = counter_run(name) {
                    self.score_answers(instance);
                }
            }
            Delta::Named(Change::Player(_)) => {
                self.marked = true;
                self.scored_revision += 1;
            }
            _ => {}
        }
    }

    /// Looks what a step has changed that was taken.
    fn note_step(&mut self, step: Option<u32>) {
        if let Some(instance) = step {
            self.note_asked(instance);
            self.score_step(instance);
        }
    }

    /// A step changes what is shown of a run that is revealed, or which runs are: to ask the next question does not.
    fn score_step(&mut self, instance: u32) {
        let state = &self.state;
        let runs = state.instances().map(|(instance, _)| instance);
        let passed = runs.filter(|instance| state.has_told(*instance));
        let passed: Vec<_> = passed.map(|it| (it, state.has_revealed(it))).collect();
        let is_news = passed != self.passed || state.has_told(instance);
        self.passed = passed;
        self.scored_revision += u64::from(is_news);
    }

    fn score_answers(&mut self, instance: u32) {
        self.scored_revision += u64::from(!self.state.is_open(instance));
    }

    /// Reacts to what another origin's entry brought.
    fn brought(&mut self, (from, seq): (LaneId, u64), age: Duration, now: Mono, taken: Taken) {
        match taken {
            Taken::Joins { aliased } => {
                self.scored_revision += 1;
                if let Joined::Players(players) = &mut self.joined {
                    players.extend(aliased);
                }
            }
            Taken::Answers { instance, contested } => {
                self.score_answers(instance);
                self.contested.extend(contested.into_iter().map(|row| (instance, row)));
            }
            Taken::Other(delta) => {
                self.note(&delta);
                self.note_step(stepped(&delta));
                match Moment::of(&delta) {
                    Some(moment) if age >= AGE_UNKNOWN => {
                        self.unaged.insert((from, seq), moment);
                    }
                    Some(moment) => {
                        self.set_moment(now, age, moment);
                        self.hear(moment);
                    }
                    None => {}
                }
            }
        }
    }

    /// Remembers whose answers an entry brought that has just been applied.
    fn note_followed(&mut self, entry: &[u8]) {
        let Some(followed) = &mut self.followed else { return };
        let answers = frames(entry).into_iter().flatten().filter_map(|frame| match frame {
            Frame::Answers(answers) => Some(answers),
            Frame::Delta(_) => None,
        });
        for answers in answers {
            let player = |(number, ..): (u32, u32, u32)| {
                let row = Row { origin: answers.rows_of, number };
                Some((answers.instance, self.state.players.get(row)?.id))
            };
            followed.extend(answers.rows().filter_map(player));
        }
    }
}

/// Of which run a change moves the stage, or the length.
fn stepped(delta: &Delta) -> Option<u32> {
    match delta {
        Delta::Advance(advance) => Some(advance.to.instance),
        Delta::Extend(extend) => Some(extend.instance),
        _ => None,
    }
}

fn opened_by(delta: &Delta) -> Option<u32> {
    match delta {
        Delta::Advance(advance) if advance.to.phase == Phase::Open => Some(advance.to.instance),
        _ => None,
    }
}

fn paused_by(delta: &Delta) -> Option<(u32, u32)> {
    match delta {
        Delta::Ruling(change) => match change.rule {
            Rule::Pause { epoch, .. } => Some((change.instance, epoch)),
            _ => None,
        },
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
        self.check_version(entry)?;
        for taken in self.state.apply(from, entry).map_err(|error| refused(&error))? {
            self.brought((from, seq), age, now, taken);
        }
        self.note_followed(entry);
        self.content.apply(crdt_state::Dot::new(from, seq));
        self.changed = true;
        Ok(())
    }

    fn aged(&mut self, from: LaneId, seq: u64, age: Duration, now: Mono) {
        if let Some(moment) = self.unaged.remove(&(from, seq)) {
            self.set_moment(now, age, moment);
            self.changed = true;
        }
    }

    fn cut(&self, now: Mono) -> Box<dyn Cut> {
        let age = |zero: &Zero| age_ms(millis(now), *zero);
        let zeros = self.zeros.iter().map(|(instance, zero)| (*instance, age(zero)));
        let pauses = self.pauses.iter().map(|(key, at)| (*key, age(at)));
        let envelope: Envelope = (self.content.clone(), zeros.collect(), pauses.collect());
        Box::new(EventCut::of(&envelope, &self.state))
    }

    fn restore(
        &mut self,
        now: Mono,
        age: Duration,
        claimed: Option<&Heads>,
        parts: &[Bytes],
    ) -> Result<(), ApplyError> {
        use crdts::CvRDT;
        let (envelope, state) = read_cut(claimed, parts)?;
        let (heads, ages, pauses) = envelope;
        // An older program would not find its way in a snapshot that has what it does not know.
        if self.reads.is_some_and(|newest| newest < Rulings::SINCE) && !state.rulings.is_empty() {
            let (kind, version) = (Rulings::KIND, Rulings::SINCE);
            return Err(ApplyError::Unsupported { kind, version });
        }
        self.state.merge(state);
        self.content.merge(heads);
        let instances: Vec<u32> = self.state.instances().map(|(instance, _)| instance).collect();
        instances.into_iter().for_each(|instance| self.note_asked(instance));
        self.scored_revision += 1;
        self.parties_revision += 1;
        self.joined = Joined::Anybody;
        self.marked = true;
        if age < AGE_UNKNOWN {
            for (instance, open) in ages {
                self.set_zero(now, age + Duration::from_millis(open), instance);
            }
            for (key, since) in pauses {
                self.set_pause(now, age + Duration::from_millis(since), key);
            }
        }
        self.changed = true;
        Ok(())
    }

    fn digest(&self) -> u64 {
        self.state.digest()
    }

    /// The open round counts from its opening; of all others the length does not matter any more.
    fn lacks_ages(&self) -> bool {
        let stage = self.state.stage();
        let newest = self.state.rulings.of(stage.instance).map_or(0, Ruling::pauses);
        stage.phase == Phase::Open
            && (self.zero(stage.instance).is_none()
                || self.hearsay == Some((stage.instance, newest)))
    }

    fn ages(&self, now: Mono) -> Bytes {
        let stage = self.state.stage();
        let zero = (stage.phase == Phase::Open).then(|| self.zero(stage.instance)).flatten();
        let Some(zero) = zero else { return Bytes::new() };
        let age = |at: Zero| (millis(now) - at).max(0) as u64;
        let pauses = self.pauses.range((stage.instance, 0)..=(stage.instance, u32::MAX));
        let pauses = pauses.map(|((_, epoch), at)| (*epoch, age(*at))).collect();
        let told: Told = (stage.instance, age(zero), pauses);
        postcard::to_stdvec(&told).expect("our own types always encode into memory").into()
    }

    fn learn_ages(&mut self, now: Mono, age: Duration, ages: &Bytes) -> Result<(), ApplyError> {
        let (instance, open, pauses): Told = postcard::from_bytes(ages)
            .map_err(|error| ApplyError::Malformed { reason: format!("ages: {error}") })?;
        if self.state.is_open(instance) {
            self.set_zero(now, age + Duration::from_millis(open), instance);
            self.hearsay.take_if(|(run, epoch)| {
                *run == instance && pauses.iter().any(|(told, _)| told == epoch)
            });
            for (epoch, since) in pauses.into_iter().take(caps::INSTANCES_MAX as usize) {
                self.set_pause(now, age + Duration::from_millis(since), (instance, epoch));
            }
            self.changed = true;
        }
        Ok(())
    }

    fn content(&self) -> Option<Heads> {
        Some(self.content.clone())
    }

    fn applied(&self, id: LaneId) -> Option<u64> {
        Some(self.content.get(&id))
    }
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
