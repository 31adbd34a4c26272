//! Letting go of the show where nobody wants it: what a switchboard does around the node's own decision, and what is
//! to hold whenever a node has done it.

use std::collections::BTreeSet;
use std::time::Duration;

use ::node::engine::{CARRIERS, Heed, Input, Reply};
use crdt_state::{NodeId, Origin, Period};

use super::disk::Write;
use super::node::{Node, node_id};
use super::player::About;
use super::queue::{Event, Tick};
use super::world::{EVENT, World, ip};
use crate::quiz::evidence::{LetGo, Parting};

/// How often a node looks for what nobody wants, as whole nodes do.
const LOOK_EVERY: Tick = 1_000;
/// How long others may take to hold all that is left.
const GOODBYE_PATIENCE: Tick = 30_000;
/// So often the time is doubled for which nobody must have wanted the show.
const DOUBLINGS: Period = 6;

impl World {
    /// A life begins to look for what nobody wants, if this schedule has nodes let go of anything.
    pub(super) fn begin_looking(&mut self, number: u8) {
        if let Some(life) = self.life_number(number).filter(|_| self.let_go_after().is_some()) {
            self.queue.push(self.now + LOOK_EVERY, Event::Look { node: number, life });
        }
    }

    /// Lets go of the show if nobody has wanted it here for long, and others carry it.
    pub(super) fn look_for_spare(&mut self, number: u8, of: u32) {
        let Some(after) = self.let_go_after().filter(|_| self.life_number(number) == Some(of))
        else {
            return;
        };
        self.queue.push(self.now + LOOK_EVERY, Event::Look { node: number, life: of });
        let (now, going) = (self.now, self.leaving(number));
        let Node { life: Some(life), players, .. } = self.node(number) else { return };
        let patience = after << life.interest.period(EVENT).min(DOUBLINGS);
        let is_spare = life.interest.spare(life.mono(now)).any(|event| event == EVENT);
        if life.stopped.is_some() || !is_spare || life.wanted_at + patience > now {
            return;
        }
        if players.is_empty() && life.core.may_leave(CARRIERS, &going) {
            self.heed(number, Heed::LetGo { event: EVENT });
        } else {
            life.wanted_at = now;
        }
    }

    /// Leaves the show in order.
    pub(super) fn say_goodbye_to_show(&mut self, number: u8) {
        let ticket = self.ticket(About::LetGo(number));
        let (now, going) = (self.now, self.leaving(number));
        let Some(life) = &mut self.node(number).life else { return };
        let (of, period) = (life.number, life.interest.period(EVENT));
        (life.goodbye, life.goodbye_at) = (Some(ticket), now);
        life.core.handle_input(life.mono(now), Input::Retire { ticket, copies: CARRIERS, going });
        self.touch(number);
        let unheard = Event::Goodbye { node: number, life: of, period, said: false };
        self.queue.push(now + GOODBYE_PATIENCE, unheard);
    }

    /// The core has left the show, or cannot: the switchboard hears of it in a moment.
    pub(super) fn on_goodbye_reply(&mut self, number: u8, ticket: u64, reply: &Reply) {
        let Some(life) = &mut self.node(number).life else { return };
        if life.goodbye == Some(ticket) {
            let (of, period) = (life.number, life.interest.period(EVENT));
            let said = matches!(reply, Reply::Retired);
            let told = Event::Goodbye { node: number, life: of, period, said };
            self.queue.push(self.now + 1, told);
        }
    }

    pub(super) fn on_goodbye(&mut self, number: u8, of: u32, period: Period, said: bool) {
        if self.life_number(number) == Some(of) {
            let event = EVENT;
            self.heed(
                number,
                if said { Heed::Left { event, period } } else { Heed::Unheard { event, period } },
            );
        }
    }

    /// The show is dropped as one, in memory and on disk. Who comes back to it is somebody new.
    pub(super) fn drop_show(&mut self, number: u8) {
        self.note_let_go(number);
        self.note_parting(number);
        let now = self.now;
        self.node(number).disk.write(now, Write::Drop);
        let config = self.replication();
        let Some(life) = &mut self.node(number).life else { return };
        life.begin_period(now, config, None);
        self.note_origin(number);
    }

    /// The show is carried on that was about to be dropped, over what is here of it.
    pub(super) fn renew_show(&mut self, number: u8) {
        self.note_parting(number);
        let (now, config) = (self.now, self.replication());
        let Some(life) = &mut self.node(number).life else { return };
        let kept = life.core.kept(life.mono(now));
        life.begin_period(now, config, Some(kept));
        self.note_origin(number);
        self.touch(number);
    }

    fn note_origin(&self, number: u8) {
        let life = self.nodes[usize::from(number)].life.as_ref();
        let origin = life.map_or(Origin::default(), |life| life.writes_as);
        self.trace.note("origin", ip(number), origin.0);
    }

    fn note_parting(&mut self, number: u8) {
        let Some(life) = &self.nodes[usize::from(number)].life else { return };
        let from = Duration::from_millis(life.goodbye_at);
        self.evidence.partings.push(Parting { node: number, from, to: self.at() });
    }

    /// Who else has all that is dropped here, now that it is.
    fn note_let_go(&mut self, number: u8) {
        let Some(life) = &self.nodes[usize::from(number)].life else { return };
        let mine = life.core.heads();
        let holds = |other: &u8| {
            let node = &self.nodes[usize::from(*other)];
            node.carries() && node.life.as_ref().is_some_and(|life| life.core.heads() >= mine)
        };
        let holders = self.alive().into_iter().filter(|other| *other != number).filter(holds);
        let let_go = LetGo { at: self.at(), node: number, holders: holders.collect() };
        self.tell(format!("node {number} lets go of the show"));
        self.evidence.let_go.push(let_go);
    }

    fn let_go_after(&self) -> Option<Tick> {
        self.schedule.let_go_after_ms
    }

    fn life_number(&self, number: u8) -> Option<u32> {
        Some(self.nodes[usize::from(number)].life.as_ref()?.number)
    }

    /// The others that are about to go away: what they hold does not stay.
    pub(super) fn leaving(&self, number: u8) -> BTreeSet<NodeId> {
        let leaves = |other: &u8| *other != number && self.nodes[usize::from(*other)].is_leaving;
        self.alive().into_iter().filter(leaves).map(node_id).collect()
    }
}
