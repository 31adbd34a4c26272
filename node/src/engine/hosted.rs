//! What hosts see of an event beside what the screen sees: the keys, posts that wait, who carries it.

use super::core::EventCore;
use super::views::correct_of;
use crate::service::view::{Autopilot, CarrierView, HostQuestion, HostView, LiveView};
use crdt_state::NodeId;
use crdt_state::engagement::qa::{PostView, posts};
use crdt_state::engagement::{Facts, Question, Script};
use crdt_state::event::Fate;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A script, and its questions as hosts see them.
pub(super) type HostScript = Option<(Arc<Script>, Arc<Vec<HostQuestion>>)>;

impl EventCore {
    /// What the host sees: what the screen sees, and the tallies as soon as the round is closed.
    #[must_use]
    pub fn host_view(&self, mut live: LiveView) -> HostView {
        if live.tallies.is_none() {
            let closed = self.shown_instance().filter(|i| self.newest_closed() >= *i);
            live.tallies = closed.map(|i| self.state().tally(i));
        }
        HostView {
            live,
            node: self.identity.name.clone(),
            next: self.possible(),
            autopilot: self.autopilot(),
            questions: Some(self.host_questions()),
            rounds: Some(self.newest_rounds()),
            posts_waiting: self.posts_waiting(),
            enrolled: self.carriers(),
            present: 0,
            desk: self.desk(),
        }
    }

    fn autopilot(&self) -> Autopilot {
        let Some(script) = self.state().script() else { return Autopilot::Off };
        match (script.autopilot_ms, script.lobby_ms) {
            (None, _) => Autopilot::Off,
            (Some(_), None) => Autopilot::Rounds,
            (Some(_), Some(_)) => Autopilot::Whole,
        }
    }

    /// The whole script, made ready once: a long one is not copied for every view of every host.
    fn host_questions(&self) -> Arc<Vec<HostQuestion>> {
        let Some(script) = self.state().script() else { return Arc::default() };
        let mut made = self.host_script.borrow_mut();
        match &*made {
            Some((of, questions)) if Arc::ptr_eq(of, script) => Arc::clone(questions),
            _ => {
                let questions = Arc::new(questions_of(script));
                *made = Some((Arc::clone(script), Arc::clone(&questions)));
                questions
            }
        }
    }

    /// What a host has yet to let through.
    fn posts_waiting(&self) -> Vec<PostView> {
        let facts = self.shown_instance().and_then(|instance| Facts::of(self.state(), instance));
        let facts = facts.filter(|facts| facts.question.task.is_moderated());
        facts.map(|facts| posts(&facts, |fate| fate == Fate::Waiting)).unwrap_or_default()
    }

    /// The nodes that take part, as hosts are shown them.
    #[must_use]
    pub fn carriers(&self) -> Vec<CarrierView> {
        let (closed, heads) = (self.newest_closed(), self.heads());
        let mut newest: BTreeMap<NodeId, CarrierView> = BTreeMap::new();
        for (origin, node, name) in self.state().enrolled() {
            let reachable = origin == self.identity.origin || self.connected.contains_key(&origin);
            let sealed = closed > 0 && self.state().is_sealed(origin, closed, heads);
            let view = CarrierView { node: name.to_owned(), origin, sealed, reachable };
            let held = newest.entry(node).or_insert_with(|| view.clone());
            if reachable && !held.reachable {
                *held = view;
            }
        }
        newest.into_values().collect()
    }
}

fn questions_of(script: &Script) -> Vec<HostQuestion> {
    let host = |(index, question): (usize, &Question)| {
        let key = question.task.key();
        HostQuestion {
            number: index as u32 + 1,
            text: question.text.clone(),
            options: question.task.options().to_vec(),
            correct: key.as_ref().map(correct_of).unwrap_or_default(),
            kind: question.task.name().to_owned(),
            answer: key.map(|key| question.in_words(&key)).unwrap_or_default(),
        }
    };
    script.questions.iter().enumerate().map(host).collect()
}
