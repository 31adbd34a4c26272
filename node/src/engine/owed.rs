//! What becomes of receipts: replies that wait for their level, and receipts that another node's answer may
//! overrule.
//!
//! A receipt that was given keeps its word: it becomes firm, or its player is told what counts instead.

use super::bulk::{BulkVerdict, reply_to_all};
use super::carried::Joined;
use super::core::EventCore;
use super::io::{Output, Reply};
use super::receipts::{Receipts, is_same};
use crate::service::view::InboxMessage;
use crdt_state::engagement::{Gave, TEAM_INSTANCE, superseded_name};
use crdt_state::{Cell, Mono, Origin, PlayerId, Row, Stage};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

/// A request whose receipt is not firm yet.
#[derive(Debug, Clone)]
pub enum Waiting {
    /// See [`Reply::Created`].
    Create,
    /// See [`Reply::Joined`].
    Join { player: PlayerId, row: Row, name: String },
    /// See [`Reply::Answered`].
    Answer { player: PlayerId, instance: u32, cell: Cell, status: &'static str },
    /// See [`Reply::AnsweredAll`].
    Bulk { instance: u32, players: Arc<[PlayerId]>, verdicts: Arc<[BulkVerdict]> },
    /// See [`Reply::Commanded`].
    Command { outcome: &'static str, stage: Stage },
    /// See [`Reply::Forgot`].
    Forget { origins: usize },
}

/// Receipts of one player for one answer that wait, at most: one that is repeated waits with those that wait already.
const EACH_MAX: usize = 4;

/// In place of a run, that of whatever belongs to none: no run has this number, and no fence.
pub(super) const NO_RUN: u32 = u32::MAX - 1;

impl Waiting {
    /// What waits of a single player: the run of an answer, or [`NO_RUN`] of a join.
    fn of_one(&self) -> Option<(u32, PlayerId)> {
        match self {
            Waiting::Answer { player, instance, .. } => Some((*instance, *player)),
            Waiting::Join { player, .. } => Some((NO_RUN, *player)),
            _ => None,
        }
    }

    /// Whether as many wait as the player likes to ask, and not as often as the answer changes.
    fn is_of_repeated(&self) -> bool {
        matches!(self, Waiting::Join { .. } | Waiting::Answer { status: "duplicate", .. })
    }

    /// The run of what others may have taken in this node's place: of an answer, a choice, or [`NO_RUN`].
    pub(super) fn of_run(&self) -> Option<u32> {
        match self {
            Waiting::Bulk { instance, .. } => Some(*instance),
            _ => self.of_one().map(|(run, _)| run),
        }
    }

    /// The run of an answer for which a result waits.
    pub(super) fn instance(&self) -> Option<u32> {
        match self {
            // No result waits for the choice of a team.
            Waiting::Answer { instance: TEAM_INSTANCE, .. } => None,
            Waiting::Answer { instance, .. } | Waiting::Bulk { instance, .. } => Some(*instance),
            _ => None,
        }
    }

    /// The players whom, or whose answers, others than `me` may have taken.
    pub(super) fn others(&self, me: Origin) -> impl Iterator<Item = PlayerId> {
        let alone = match self {
            Waiting::Answer { player, status: "duplicate", .. } => Some(*player),
            Waiting::Join { player, row, .. } if row.origin != me => Some(*player),
            _ => None,
        };
        let bulk = match self {
            Waiting::Bulk { players, verdicts, .. } => Some(players.iter().zip(verdicts.iter())),
            _ => None,
        };
        let repeated = bulk.into_iter().flatten().filter_map(|(player, verdict)| {
            matches!(verdict, BulkVerdict::Duplicate(_)).then_some(*player)
        });
        alone.into_iter().chain(repeated)
    }
}

/// What this node owes: replies that wait, and receipts that another node's answer may overrule.
#[derive(Debug, Default)]
pub struct Held {
    waiting: BTreeMap<u64, (Waiting, bool)>,
    /// How many of those that wait are receipts for a player's answer to an instance, or for a join.
    unfirm: BTreeMap<(u32, PlayerId), usize>,
    /// The batches among those that have not been replied to.
    unfirm_bulk: BTreeMap<u64, (u32, Arc<[PlayerId]>)>,
    /// Who has repeated what is promised or will be without one more that waits, and is told at the end of the turn.
    repeated: Vec<(u64, u32, PlayerId, Cell, bool)>,
    pub(super) receipts: Receipts,
}

impl Held {
    /// The creation waits for its receipt.
    pub fn created(&mut self, ticket: u64) {
        self.wait(ticket, Waiting::Create);
    }

    /// A player was told something that is not firm yet.
    pub fn told(&mut self, ticket: u64, waiting: Waiting) {
        self.wait(ticket, waiting);
        if let Some((_, replied)) = self.waiting.get_mut(&ticket) {
            *replied = true;
        }
    }

    /// A request waits for its receipt.
    pub fn wait(&mut self, ticket: u64, waiting: Waiting) {
        if let Some(of) = waiting.of_one() {
            let count = self.unfirm.entry(of).or_default();
            *count += 1;
            if waiting.is_of_repeated() {
                crdt_state::bounded!(Repeats, *count, EACH_MAX);
            }
        }
        if let Waiting::Bulk { players, instance, .. } = &waiting {
            self.unfirm_bulk.insert(ticket, (*instance, Arc::clone(players)));
        }
        self.waiting.insert(ticket, (waiting, false));
    }

    /// Whether a receipt for this answer still waits for its level.
    pub fn is_unfirm(&self, instance: u32, player: PlayerId) -> bool {
        let in_bulk =
            |(of, players): &(u32, Arc<[PlayerId]>)| *of == instance && players.contains(&player);
        self.unfirm.contains_key(&(instance, player)) || self.unfirm_bulk.values().any(in_bulk)
    }

    /// Whether so many receipts for this wait already that their player hears from them when it is firm.
    pub fn has_enough(&self, instance: u32, player: PlayerId) -> bool {
        let count = self.unfirm.get(&(instance, player)).copied().unwrap_or(0);
        count >= EACH_MAX && !crdt_state::planted!(RepeatsUnbounded)
    }

    /// Somebody has repeated what is promised, or what enough receipts wait for.
    pub fn repeat(
        &mut self,
        ticket: u64,
        (instance, player): (u32, PlayerId),
        cell: Cell,
        promised: bool,
    ) {
        self.repeated.push((ticket, instance, player, cell, promised));
    }

    /// A batch has waited for its level in vain: its answers may wait for long, so they are found one by
    /// one from now on.
    fn told_provisionally(&mut self, ticket: u64) {
        if let Some((instance, players)) = self.unfirm_bulk.remove(&ticket) {
            for player in players.iter() {
                *self.unfirm.entry((instance, *player)).or_default() += 1;
            }
        }
    }

    fn settled(&mut self, ticket: u64) {
        let was_found_whole = self.unfirm_bulk.remove(&ticket).is_some();
        let Some((waiting, _)) = self.waiting.remove(&ticket) else { return };
        if let Some((instance, player)) = waiting.of_one() {
            self.is_firm(instance, player);
        }
        if let Waiting::Bulk { instance, players, .. } = waiting
            && !was_found_whole
        {
            players.iter().for_each(|player| self.is_firm(instance, *player));
        }
    }

    fn is_firm(&mut self, instance: u32, player: PlayerId) {
        if let Entry::Occupied(mut count) = self.unfirm.entry((instance, player)) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl EventCore {
    /// A receipt has reached its level, or has waited long enough.
    pub(super) fn on_receipt(&mut self, ticket: u64, firm: bool) {
        let Some((waiting, replied)) = self.held.waiting.get(&ticket) else { return };
        let (waiting, replied) = (waiting.clone(), *replied);
        match firm && self.stands(ticket, &waiting) {
            true => self.on_firm_receipt(ticket),
            false if !replied => self.tell_receipt(ticket, false),
            false => {}
        }
    }

    /// There is no room to wait for a receipt's level: an answer's waits until every node has it, and who asked for
    /// anything else need not hear of it twice.
    pub(super) fn on_no_room(&mut self, ticket: u64) {
        let is_answer = |(waiting, _): &(Waiting, bool)| {
            matches!(waiting, Waiting::Answer { .. } | Waiting::Bulk { .. })
        };
        self.tell_receipt(ticket, false);
        match self.held.waiting.get(&ticket).is_some_and(is_answer) {
            true => self.wait_for_all(ticket),
            false => self.held.settled(ticket),
        }
    }

    /// Tells those who have repeated an answer in this turn what is held: firmly if that was promised before, or has been in
    /// the same turn, of which a player may hear first: then nothing waits any more.
    pub(super) fn tell_repeated(&mut self) {
        for (ticket, instance, player, cell, promised) in std::mem::take(&mut self.held.repeated) {
            let firm = promised || !self.held.is_unfirm(instance, player);
            let told = self.as_it_stands(instance, player, ("duplicate", cell), firm);
            let (status, cell, firm) = told;
            let message = self.receipt(instance, player, (status, firm), cell);
            let told = Output::Inbox { player, message: message.clone(), ticket: Some(ticket) };
            self.outputs.push_back(told);
            self.reply(ticket, Reply::Answered(message));
        }
    }

    /// A receipt is firm.
    pub(super) fn on_firm_receipt(&mut self, ticket: u64) {
        self.tell_receipt(ticket, true);
    }

    fn tell_receipt(&mut self, ticket: u64, firm: bool) {
        let Some((waiting, replied)) = self.held.waiting.get_mut(&ticket) else { return };
        let first = !std::mem::replace(replied, true);
        let waiting = waiting.clone();
        let firm = firm || self.was_promised(&waiting);
        crdt_state::sometimes!(ReceiptProvisional, !firm);
        crdt_state::sometimes!(ReceiptUpgraded, firm && !first);
        if firm {
            self.held.settled(ticket);
        } else {
            self.held.told_provisionally(ticket);
        }
        if let Waiting::Bulk { instance, players, verdicts } = &waiting
            && firm
        {
            self.promise_bulk(first, *instance, players, verdicts);
            if !first {
                self.upgrade_bulk(*instance, players, verdicts);
            }
        }
        let receipt = match waiting {
            Waiting::Answer { player, instance, cell, .. }
                if !first && self.is_overruled(instance, player, cell) =>
            {
                None
            }
            Waiting::Answer { player, instance, cell, status } => {
                let told = self.as_it_stands(instance, player, (status, cell), firm);
                let (status, cell, firm) = told;
                if firm {
                    self.promise(instance, player, cell);
                }
                let message = self.receipt(instance, player, (status, firm), cell);
                let ticket = first.then_some(ticket);
                self.outputs.push_back(Output::Inbox { player, message: message.clone(), ticket });
                Some(message)
            }
            _ => None,
        };
        if first {
            let reply = receipt.map_or_else(|| reply_to(waiting, firm), Reply::Answered);
            self.reply(ticket, reply);
        }
    }

    /// Whether another choice is held by now in place of the one that was taken: its player is told so at
    /// once, and nothing more of the one that does not count.
    pub(super) fn is_overruled(&self, instance: u32, player: PlayerId, cell: Cell) -> bool {
        self.overruling(instance, player, cell).is_some()
    }

    /// The other choice that is held by now in place of the one that was taken.
    pub(super) fn overruling(&self, instance: u32, player: PlayerId, cell: Cell) -> Option<Cell> {
        let held = self.carried.state.held(instance, self.carried.state.players.rows_of(player));
        held.map(|(_, held)| held).filter(|held| held.value() != cell.value())
    }

    /// What a first receipt says, and whether it is firm: of an answer that was overruled while it waited, what counts.
    /// That was taken elsewhere, so that others hold what this node has taken does not make it firm; if it is not, the
    /// player is told once it is, as everybody is who was told of it.
    pub(super) fn as_it_stands(
        &self,
        instance: u32,
        player: PlayerId,
        (status, cell): (&'static str, Cell),
        firm: bool,
    ) -> (&'static str, Cell, bool) {
        let is_as_sent = crdt_state::planted!(DuplicateAsSent) && status == "duplicate";
        match self.overruling(instance, player, cell).filter(|_| !is_as_sent) {
            Some(held) => ("superseded", held, self.is_firm_by_now(instance, player, held)),
            None => (status, cell, firm || self.has_promised(instance, player, cell)),
        }
    }

    /// Whether a player who has not asked is told firmly what is held.
    pub(super) fn is_firm_by_now(&self, instance: u32, player: PlayerId, held: Cell) -> bool {
        let is_within = || !self.rests_here_alone() && self.is_within(instance, player);
        self.has_promised(instance, player, held) || is_within()
    }

    /// Notes what this node tells a player to be held, whoever took it: the player hears of it here when
    /// another answer takes its place, wherever the first receipt came from.
    pub(super) fn note_told(&mut self, instance: u32, player: PlayerId, cell: Cell) {
        let mut rows = self.carried.state.players.rows_of(player).peekable();
        let first = rows.peek().copied();
        let noted = rows.find(|row| self.held.receipts.get(instance, *row).is_some());
        if let Some(row) = noted.or(first) {
            self.held.receipts.put(instance, row, cell);
        }
    }

    /// Notes that a player was told firmly what is held: the player hears the same whenever that is asked for again,
    /// however much this node has taken since that nobody else has yet.
    /// Says whether it is.
    pub(super) fn promise(&mut self, instance: u32, player: PlayerId, cell: Cell) -> bool {
        let mut rows = self.carried.state.players.rows_of(player);
        let told = |row: &Row| self.held.receipts.get(instance, *row);
        let row = rows.find(|row| told(row).is_some_and(|told| is_same(told, cell)));
        if let Some(row) = row {
            self.held.receipts.promise(instance, row);
        }
        row.is_some()
    }

    /// Whether a player was told firmly just what is held. What others hold of a lane with two histories may be
    /// the other one, so nothing is said again as it was before while there is one.
    pub(super) fn has_promised(&self, instance: u32, player: PlayerId, cell: Cell) -> bool {
        let mut rows = self.carried.state.players.rows_of(player);
        rows.any(|row| self.held.receipts.has_promised(instance, row, cell))
            && self.replica.quarantined().next().is_none()
            && !crdt_state::planted!(PromiseForgotten)
    }

    /// The same of what waits for its level: an earlier receipt for the same has reached it meanwhile.
    fn was_promised(&self, waiting: &Waiting) -> bool {
        matches!(waiting, Waiting::Answer { player, instance, cell, .. }
            if self.has_promised(*instance, *player, *cell))
    }

    /// Tells players whose receipted answer was overruled by another one from elsewhere: by an earlier one to the
    /// same row, by one to another row of theirs that has only now come, or by one to the question that the run turns
    /// out to ask.
    pub(super) fn check_superseded(&mut self, now: Mono) {
        for (instance, row) in self.carried.take_contested() {
            if let Some(player) = self.carried.state.players.get(row).map(|player| player.id) {
                self.check_receipt(now, instance, player);
            }
        }
        let asking_another = self.carried.take_asking_another();
        if !asking_another.is_empty() {
            for (instance, player) in
                self.receipts_of(|instance| asking_another.contains(&instance))
            {
                self.check_receipt(now, instance, player);
            }
        }
        for (instance, player) in self.receipts_joined() {
            self.check_receipt(now, instance, player);
        }
    }

    /// Who was told a receipt in these runs.
    fn receipts_of(&self, is_wanted: impl Fn(u32) -> bool) -> Vec<(u32, PlayerId)> {
        let rows = self.held.receipts.rows().filter(|(instance, _)| is_wanted(*instance));
        let player = |(instance, row)| Some((instance, self.state().players.get(row)?.id));
        rows.filter_map(player).collect()
    }

    /// The receipts of players of whom others brought a further row.
    fn receipts_joined(&mut self) -> Vec<(u32, PlayerId)> {
        let receipts = &self.held.receipts;
        let of = |player: PlayerId| receipts.instances().map(move |instance| (instance, player));
        match self.carried.take_joined() {
            Joined::Players(players) => players.into_iter().flat_map(of).collect(),
            Joined::Anybody => self.receipts_of(|_| true),
        }
    }

    fn check_receipt(&mut self, now: Mono, instance: u32, player: PlayerId) {
        let rows: Vec<Row> = self.carried.state.players.rows_of(player).collect();
        let receipted =
            rows.iter().find_map(|row| Some((*row, self.held.receipts.get(instance, *row)?)));
        let Some((row, own)) = receipted else { return };
        let Some((_, cell)) = self.carried.state.held(instance, rows) else { return };
        if cell == own {
            return;
        }
        self.held.receipts.put(instance, row, cell);
        if cell.value() != own.value() {
            crdt_state::sometimes!(ReceiptSuperseded);
            self.count_superseded(now, instance);
            let firm = self.is_within_or_will_be((instance, player), "superseded", cell);
            if firm {
                self.promise(instance, player, cell);
            }
            let message = self.receipt(instance, player, ("superseded", firm), cell);
            self.tell_inbox(player, message);
        }
    }

    /// Counts a receipt that was overruled, for whoever reads the result: of the answer that does not count nothing is
    /// left. Whoever has left writes no more.
    fn count_superseded(&mut self, now: Mono, instance: u32) {
        self.outputs.push_back(Output::Superseded);
        if self.leaving.is_none() {
            self.reactions.count(now, superseded_name(instance));
        }
    }

    /// The receipt of an answer that is held.
    pub(super) fn receipt(
        &self,
        instance: u32,
        player: PlayerId,
        (status, firm): (&str, bool),
        cell: Cell,
    ) -> InboxMessage {
        let state = &self.carried.state;
        // The answer may be to another question than the one that is shown, or that one not be known yet.
        let held = state.held(instance, state.players.rows_of(player));
        let same = held.filter(|(_, held)| *held == cell).map(|(number, _)| number);
        let shown = || state.question_of(instance).map(|(number, _)| number);
        let number = same.or_else(shown).or(held.map(|(number, _)| number));
        let question = number.and_then(|at| state.script()?.questions.get(usize::from(at)));
        let text = number.and_then(|number| self.held_text(instance, number, player));
        let (gave, elapsed_ms) = match question {
            // Of a team's cell the time only says which choice it is.
            _ if instance == TEAM_INSTANCE => (Gave::choices(vec![cell.value() as u8], &[]), 0),
            Some(question) => {
                (question.task.given(cell.value(), text.as_deref()), cell.elapsed_ms())
            }
            None => (Gave::text(text.as_deref()), cell.elapsed_ms()),
        };
        InboxMessage::Receipt {
            event: self.identity.event,
            instance,
            status: status.to_owned(),
            level: level(firm),
            choices: gave.choices,
            elapsed_ms,
            text: gave.text,
            number: gave.number,
            stake: gave.stake,
        }
    }

    /// Forgets receipts of rounds that nobody can overrule any more. Who is cut off may, however many
    /// rounds later, and after the show's end.
    pub(super) fn forget_receipts(&mut self) {
        let state = &self.carried.state;
        let (shown, heads) = (state.stage().instance, self.carried.heads());
        let is_awaited = |instance| state.unsealed(instance, heads).next().is_some();
        self.held.receipts.keep(|instance| {
            instance == shown || is_awaited(instance) || state.has_orphans(instance)
        });
    }
}

/// A receipt's level in words.
pub(crate) fn level(firm: bool) -> String {
    if firm { "firm" } else { "provisional" }.to_owned()
}

fn reply_to(waiting: Waiting, firm: bool) -> Reply {
    match waiting {
        Waiting::Create => Reply::Created { firm },
        Waiting::Forget { origins } => Reply::Forgot { origins, firm },
        Waiting::Join { row, name, .. } => Reply::Joined { row, name, firm },
        Waiting::Answer { .. } => unreachable!("an answer is replied to with its receipt"),
        Waiting::Bulk { verdicts, .. } => reply_to_all(&verdicts, firm),
        Waiting::Command { outcome, stage } => {
            Reply::Commanded(crate::service::view::CommandReply {
                outcome: outcome.to_owned(),
                stage: super::views::stage_view(stage),
                level: level(firm),
                token: None,
            })
        }
    }
}
