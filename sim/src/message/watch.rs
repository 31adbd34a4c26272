//! Watching nodes: the stages they show, what their players are shown with it, what they say of
//! results, what they keep; and at the end whether all agree.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ::node::engine::CARRIERS;
use ::node::service::view::{LiveView, PhaseView, ResultView, StageView};
use crdt_state::PlayerId;

use super::queue::{Event, Tick};
use super::world::{PIN, World, ip};
use crate::limits;
use crate::mix::Draw;
use crate::quiz::evidence::{End, PlayerEvidence, ResultSeen, Sighting, all_entries};
use crate::quiz::host::is_over;
use crate::quiz::leaks;
use crate::recording::Sample;
use crate::results;
use crate::schedule::secrets_in;

/// How often everything is looked at.
const WATCH_EVERY: Tick = 250;
/// Digests are compared once in so many of these.
const DIGEST_EVERY: Tick = 1_000;
/// How often nodes are compared at the end.
const COMPARE_EVERY: Tick = 100;
/// How long all may take to agree once everything is mended: three times the longest redial.
const AGREE_MAX: Tick = 15_000;
/// How long players may take after that: as on the wire.
const SETTLE_MAX: Tick = crate::quiz::SETTLE_MAX.as_millis() as Tick;

impl World {
    /// Notices what a node shows after a turn.
    pub(super) fn show(&mut self, number: u8) {
        let (now, at) = (self.now, self.at());
        let Some(life) = &mut self.nodes[usize::from(number)].life else { return };
        let stage = ::node::engine::stage_view(life.core.state().stage());
        if life.core.state().script().is_none() || life.shown == Some(stage) {
            return;
        }
        life.shown = Some(stage);
        let mono = life.mono(now);
        let screen = life.core.screen_view(mono, PIN);
        let live = life.core.player_view(screen);
        let left = live.remaining_ms.unwrap_or_default();
        let is_open = stage.phase == PhaseView::Open;
        life.open = is_open.then_some((stage.instance, now + left));
        let (life, age_ms) = (life.chapter(), live.age_ms);
        let question = live.question.as_ref().map(|question| question.number);
        let seen = Sighting { at, node: number, life, stage, question, age_ms };
        self.evidence.sightings.push(seen);
        let word = u64::from(stage.instance) << 8 | stage.phase as u64;
        self.trace.note("stage", ip(number), word);
        self.show_players(number, &live);
    }

    /// All players of a node are shown the same.
    fn show_players(&mut self, number: u8, live: &LiveView) {
        let at = self.at();
        let players = self.nodes[usize::from(number)].players.clone();
        if let Some(first) = players.first() {
            let seen = &mut self.seen[*first as usize - 1];
            seen.leaks.extend(leaks(live));
            note_secrets(seen, live, at);
        }
        if live.stage.phase == PhaseView::Open {
            for player in players {
                self.look(player);
            }
        }
    }

    pub(super) fn watch(&mut self) {
        for number in self.alive() {
            self.watch_result(number);
            self.watch_bounds(number);
            self.record_sample(number);
        }
        if self.now % DIGEST_EVERY < WATCH_EVERY {
            self.watch_digests();
        }
        self.queue.push(self.now + WATCH_EVERY, Event::Watch);
    }

    fn record_sample(&self, number: u8) {
        let node = &self.nodes[usize::from(number)];
        let life = node.life.as_ref().filter(|_| node.carries());
        if let (Some(recorder), Some(life)) = (&self.recorder, life) {
            recorder.sample(Sample::of(&life.core, number));
        }
    }

    /// Nodes that have applied the same hold the same. One that was stopped may be in the middle of a
    /// turn, in which content is ahead of heads.
    fn watch_digests(&mut self) {
        let at = self.at();
        let up = self.alive().into_iter().filter(|n| self.nodes[usize::from(*n)].is_up());
        for number in up.collect::<Vec<_>>() {
            let Some(life) = &self.nodes[usize::from(number)].life else { continue };
            let digest = life.core.digest();
            self.evidence.note_digest(number, at, life.core.heads(), digest);
            self.trace.note("digest", ip(number), digest);
        }
    }

    fn watch_bounds(&mut self, number: u8) {
        let Some(life) = &self.nodes[usize::from(number)].life else { return };
        for what in limits::of_replica(life.core.replica(), self.schedule.knobs) {
            let grown = format!("node {number} holds {what} at {:?}", self.at());
            self.evidence.overgrown.push(grown);
        }
    }

    /// Notices what a node's queues have held beyond their bounds, even for a moment.
    pub(super) fn watch_queues(&mut self, number: u8) {
        for what in limits::of_queues() {
            let grown = format!("node {number} has held {what} by {:?}", self.at());
            self.evidence.overgrown.push(grown);
        }
    }

    /// Notes how complete a node calls the newest result, when that changes or is not true any more.
    fn watch_result(&mut self, number: u8) {
        let (now, at) = (self.now, self.at());
        let Some(life) = &self.nodes[usize::from(number)].life else { return };
        let Some(shown) = life.shown.filter(|shown| {
            shown.phase > PhaseView::Open
                && life.result.as_ref().is_none_or(|(instance, status)| {
                    *instance != shown.instance || status != "final"
                })
        }) else {
            return;
        };
        let Some((instance, status)) = results::told(&life.core, life.mono(now), shown) else {
            return;
        };
        let told = Some((shown.instance, status.clone()));
        let promised = self.promised.get(&instance).map_or(0, Vec::len);
        let as_of = Some((instance, life.core.revision(), promised));
        let missing = match status.as_str() {
            // What was counted is counted until something changes here or more is promised.
            "settled" | "final" if life.counted_at != as_of => self.uncounted(number, instance),
            _ => Vec::new(),
        };
        let (is_told, is_whole) = (life.result == told, missing.is_empty());
        if let Some(life) = &mut self.nodes[usize::from(number)].life {
            life.counted_at = as_of.filter(|_| is_whole && status != "partial");
        }
        // What is settled stays so: it is looked at again for as long as it is said.
        if is_told && is_whole {
            return;
        }
        let Some(life) = &self.nodes[usize::from(number)].life else { return };
        let answered = life.core.state().answered(instance);
        let is_final = status == "final" && self.crowd.is_none();
        let held = is_final.then(|| results::held(&life.core, instance));
        self.evidence.results.push(ResultSeen {
            at,
            node: number,
            instance,
            status,
            answered,
            held,
            missing,
        });
        if let Some(life) = &mut self.nodes[usize::from(number)].life {
            life.result = told;
        }
    }

    /// The players whose firm receipts a node does not count.
    fn uncounted(&self, number: u8, instance: u32) -> Vec<PlayerId> {
        let Some(life) = &self.nodes[usize::from(number)].life else { return Vec::new() };
        let promised = self.promised.get(&instance).into_iter().flatten();
        let players = promised.map(|number| self.players[*number as usize - 1].id);
        let mut missing = results::uncounted(&life.core, instance, players);
        missing.sort_by_key(|player| player.0 as u32);
        missing
    }

    /// Whether all nodes are at the end and hold the same; after long enough it is written down in
    /// any case.
    pub(super) fn compare(&mut self) {
        let ended = self.ended_at.unwrap_or_default();
        let agreed = self.do_agree();
        let is_settled = || self.is_settled() || self.now >= ended + AGREE_MAX + SETTLE_MAX;
        if agreed && is_settled() || !agreed && self.now >= ended + AGREE_MAX {
            self.tell(if agreed { "all nodes agree" } else { "the nodes do not agree" });
            self.write_ends(agreed);
            self.is_over = true;
        } else {
            self.queue.push(self.now + COMPARE_EVERY, Event::Compare);
        }
    }

    /// Whether all players have been let in and told what became of their answers.
    fn is_settled(&self) -> bool {
        let settled = |seen: &PlayerEvidence| self.evidence.unsettled_of(seen).is_empty();
        self.crowd.is_some() || self.seen.iter().all(settled)
    }

    fn do_agree(&self) -> bool {
        let carriers = self.carriers();
        let mut first = None;
        let enough = carriers.len() >= self.alive().len().min(CARRIERS);
        enough
            && carriers.iter().all(|number| {
                let Some(life) = &self.nodes[usize::from(*number)].life else { return false };
                // A node that has come back may hold the same before it knows that a majority reckons with it.
                let result = life.core.shown_result(life.mono(self.now));
                let held = (life.core.heads(), result.as_ref().map(coverage));
                let same = *first.get_or_insert_with(|| held.clone()) == held;
                let over = life.shown.is_some_and(is_over);
                same && over && self.is_complete(result.as_ref()) && self.ghosts(*number).is_empty()
            })
    }

    /// A result is final, or as good as it gets once a node has left for good without a goodbye.
    fn is_complete(&self, result: Option<&ResultView>) -> bool {
        let left = self.nodes.iter().any(|node| node.is_gone && !node.has_retired);
        result.is_none_or(|result| left || result.status == "final")
    }

    pub(super) fn write_ends(&mut self, agreed: bool) {
        let carriers = self.carriers();
        let aside = self.alive().into_iter().filter(|number| !carriers.contains(number));
        // Whoever was to join in a question that was never asked has not.
        let never = (1..).zip(&self.nodes[1..]).filter(|(_, node)| node.lives == 0);
        self.evidence.aside = aside.chain(never.map(|(number, _)| number)).collect();
        let drawn = self.draw_exporter(&carriers);
        for number in carriers {
            let Some(life) = &self.nodes[usize::from(number)].life else { continue };
            let digest = life.core.digest();
            let first = self.evidence.ends.values().next().filter(|end| end.digest == digest);
            let held = match (&self.crowd, first) {
                (Some(_), _) => BTreeMap::new(),
                (None, Some(first)) => first.held.clone(),
                (None, None) => results::all_held(&life.core),
            };
            let mut export = match (&self.crowd, first) {
                // Of a crowd it would be gigabytes, and nobody reads them.
                (Some(_), _) => bytes::Bytes::new(),
                (None, Some(first)) if drawn != Some(number) => first.export.clone(),
                (None, _) => life.core.export(PIN),
            };
            let trail = life.core.log().into_iter().map(|line| line.by).collect();
            let stage: StageView = ::node::engine::stage_view(life.core.state().stage());
            if !agreed {
                let heads = life.core.heads().dots.values().sum::<u64>();
                self.evidence.stuck.push(format!(
                    "node {number} is at {stage:?} with digest {digest:016x} and {heads} entries \
                     {AGREE_MAX} ms after all was mended"
                ));
            }
            self.trace.note("digest", ip(number), digest);
            // Equal exports are one: whoever reads them reads them once.
            let same = self.evidence.ends.values().find(|end| end.export == export);
            if let Some(same) = same {
                export = same.export.clone();
            }
            self.evidence.ends.insert(number, End { digest, export, trail, held });
            if agreed && self.evidence.entries.is_empty() && self.keeps_entries() {
                let node = &self.nodes[usize::from(number)];
                let heads = node.life.as_ref().map(|life| life.core.heads());
                self.evidence.entries = heads
                    .and_then(|heads| all_entries(node.disk.read(), heads))
                    .unwrap_or_default();
            }
            let ghosts = self.ghosts(number);
            self.evidence.ghosts.extend(ghosts);
        }
    }

    /// Who exports beside the first. An export reads all that is held: those who hold
    /// the same are asked for one in turn, over seeds.
    fn draw_exporter(&self, carriers: &[u8]) -> Option<u8> {
        let last = carriers.len().checked_sub(2)? as u64;
        let draw = Draw::new(self.schedule.seed, &[EXPORTER]);
        carriers.get(1 + draw.up_to(0, last) as usize).copied()
    }

    /// Whom a node calls reachable at the end, and who is there.
    fn ghosts(&self, number: u8) -> Vec<String> {
        let Some(life) = &self.nodes[usize::from(number)].life else { return Vec::new() };
        let carriers = life.core.carriers();
        let writes_as = |n: u8| self.nodes[usize::from(n)].life.as_ref().map(|life| life.writes_as);
        let alive: Vec<_> = self.carriers().into_iter().filter_map(writes_as).collect();
        let reachable = carriers.iter().filter(|carrier| carrier.reachable);
        let ghosts = reachable.filter(|carrier| !alive.contains(&carrier.origin));
        let called = |ghost: &::node::service::view::CarrierView| {
            format!("node {number} calls {} ({}) reachable", ghost.node, ghost.origin)
        };
        ghosts.map(called).collect()
    }
}

/// The name of the die that says who exports.
const EXPORTER: u64 = u64::from_be_bytes(*b"exporter");

/// How complete a result is called, and for whom it waits.
fn coverage(result: &ResultView) -> (String, BTreeSet<String>) {
    let missing = result.missing.iter().map(|missing| missing.node.clone());
    (result.status.clone(), missing.collect())
}

/// Whatever holds the word that gives an answer away.
fn note_secrets(seen: &mut PlayerEvidence, live: &LiveView, at: Duration) {
    let text = serde_json::to_string(live).unwrap_or_default();
    for instance in secrets_in(&text) {
        seen.secrets.entry(instance).or_insert(at);
    }
}
