//! What hosts have said, as hosts, screens and the command line see it.

use super::core::EventCore;
use super::facts::co_host_name;
use super::reactions::KINDS;
use super::views::stage_view;
use crate::service::view::{
    CoHostView, ControlsView, CrowdView, DeskView, FastestView, MarkedView, StateView,
};
use crdt_state::PlayerId;
use crdt_state::engagement::{Outcome, fold};
use crdt_state::lattice::Min;
use crdt_state::named::{
    ANNOUNCEMENT, CO_HOSTS, CURTAIN, GrowOnly, LOBBY_LOCK, MOOD, Named, Names, PLAYERS_MAX,
    REACTIONS, Register, SHOW_NAMES, SOUND, TITLE,
};
use std::collections::BTreeMap;

/// Players that a search finds.
const FOUND_SHOWN: usize = 50;
/// Marked players that a host's page is sent; the state view has all of them.
const MARKED_SHOWN: usize = 200;

impl EventCore {
    /// The title: as a host has set it, or else the script's.
    #[must_use]
    pub fn title(&self) -> Option<String> {
        let set = self.state().named.setting(TITLE).map(str::to_owned);
        set.or_else(|| self.state().script().map(|script| script.title.clone()))
    }

    /// Whether names are on the big screen.
    pub(super) fn shows_names(&self) -> bool {
        self.state().named.setting(SHOW_NAMES) != Some("off")
    }

    /// How many players may be in.
    pub(super) fn players_max(&self) -> u64 {
        let set = self.state().named.setting(PLAYERS_MAX);
        set.and_then(|text| text.parse().ok()).unwrap_or(u64::MAX)
    }

    pub(super) fn controls(&self) -> ControlsView {
        let named = &self.state().named;
        ControlsView {
            announcement: named.texts(ANNOUNCEMENT).next().map(str::to_owned),
            reactions: named.permits(REACTIONS),
            sound: named.permits(SOUND),
            curtain: named.is_toggled(CURTAIN),
        }
    }

    pub(super) fn crowd(&self) -> CrowdView {
        let named = &self.state().named;
        let all = KINDS.iter().map(|kind| ((*kind).to_owned(), named.total(kind)));
        let reactions = all.filter(|(_, total)| *total > 0).collect();
        CrowdView { reactions, mood: named.count(MOOD) }
    }

    pub(super) fn desk(&self) -> DeskView {
        let named = &self.state().named;
        let co_host =
            |id: &str| CoHostView { id: id.to_owned(), name: co_host_name(id).to_owned() };
        DeskView {
            owner: self.show_owner().map(str::to_owned),
            announcements: named.texts(ANNOUNCEMENT).map(str::to_owned).collect(),
            co_hosts: named.members(CO_HOSTS).map(co_host).collect(),
            marked: self.marked_views().take(MARKED_SHOWN).collect(),
            settings: settings(named),
        }
    }

    fn marked_views(&self) -> impl Iterator<Item = MarkedView> {
        let named = &self.state().named;
        let awarded = named.awarded();
        let mut players: Vec<PlayerId> = self.marked_players().collect();
        players.extend(awarded.keys().copied());
        players.sort_unstable();
        players.dedup();
        players.into_iter().map(move |player| self.marked_view(player, &awarded))
    }

    fn marked_view(&self, player: PlayerId, awarded: &BTreeMap<PlayerId, i64>) -> MarkedView {
        let people = &self.state().named.people;
        MarkedView {
            player,
            name: self.state().shown_name(player).unwrap_or_default(),
            kicked: people.is_kicked(player),
            muted: people.is_muted(player),
            extra_ms: people.extra_ms(player),
            renamed: people.name(player).is_some(),
            awarded: awarded.get(&player).copied().unwrap_or(0),
        }
    }

    /// Players whose names have `words` in them, whatever the case, or whose id they are: the first few in
    /// the order of rows. A walk over all names, at a host's wish only.
    #[must_use]
    pub fn players_like(&self, words: &str) -> Vec<MarkedView> {
        let (state, wanted) = (self.state(), words.trim().to_lowercase());
        let has = |name: &str| name.to_lowercase().contains(&wanted);
        let by_id = words.trim().parse::<PlayerId>().ok();
        let given = state.named.people.names().filter(|(_, name)| has(name));
        let own = state.players.rows().filter(|(_, player)| has(player.name));
        let mut found: Vec<PlayerId> = Vec::new();
        // Whole names first, so that many who bear it in part do not push them out.
        let whole = by_id.into_iter().chain(state.players.called(words));
        let all = whole.chain(given.map(|(id, _)| id)).chain(own.map(|(_, p)| p.id));
        for player in all.filter(|player| state.players.row_of(*player).is_some()) {
            if found.len() >= FOUND_SHOWN {
                break;
            }
            if !found.contains(&player) {
                found.push(player);
            }
        }
        let awarded = state.named.awarded();
        found.into_iter().map(|player| self.marked_view(player, &awarded)).collect()
    }

    /// The fastest correct answer of every revealed round: a minimum over all that is held.
    fn fastest(&self) -> Vec<FastestView> {
        let (state, mut all) = (self.state(), Vec::new());
        let visit = |instance: u32, outcomes: &[(PlayerId, Outcome)]| {
            let is_timed =
                state.question_of(instance).is_some_and(|(_, question)| question.task.is_timed());
            let correct = outcomes.iter().filter(|(_, outcome)| outcome.correct && is_timed);
            let timed = correct.filter_map(|(player, outcome)| Some((outcome.answer?.1, *player)));
            let mut least: Min<(u32, PlayerId)> = Min::default();
            for (cell, player) in timed {
                least.observe((cell.elapsed_ms(), player));
            }
            all.extend(least.0.map(|(elapsed_ms, player)| {
                let name = state.shown_name(player).unwrap_or_default();
                FastestView { instance, elapsed_ms, player, name }
            }));
        };
        fold(state, |instance| state.has_told(instance), visit);
        all
    }

    /// The named state, kind by kind; what the product names is there before anybody touched it.
    #[must_use]
    pub fn state_view(&self) -> StateView {
        let named = &self.state().named;
        let members = |set: &str| named.members(set).map(str::to_owned).collect();
        let awards = |name: &str| named.awards.get(name).into_iter().flat_map(GrowOnly::iter);
        StateView {
            event: self.identity.event,
            node: self.identity.name.clone(),
            stage: stage_view(self.stage()),
            digest: format!("{:016x}", self.digest()),
            players: self.state().head_count(),
            flags: read(&named.flags, &[LOBBY_LOCK], |name| named.is_on(name)),
            permits: read(&named.permits, &[REACTIONS, SOUND], |name| named.permits(name)),
            toggles: read(&named.toggles, &[CURTAIN], |name| named.is_toggled(name)),
            totals: read(&named.totals, &KINDS, |name| named.total(name)),
            counts: read(&named.counts, &[MOOD], |name| named.count(name)),
            awards: read(&named.awards, &[], |name| awards(name).cloned().collect()),
            sets: read(&named.sets, &[CO_HOSTS], members),
            settings: settings(named),
            firsts: firsts(named),
            multis: read(&named.multis, &[ANNOUNCEMENT], |name| {
                named.texts(name).map(str::to_owned).collect()
            }),
            most: named.most.iter().map(|(name, most)| (name.clone(), most.0)).collect(),
            least: named
                .least
                .iter()
                .filter_map(|(n, least)| Some((n.clone(), least.0?)))
                .collect(),
            fastest: self.fastest(),
            marked: self.marked_views().collect(),
        }
    }
}

/// Reads every name that is held, and those that are known anyway.
fn read<V, T>(held: &Names<V>, known: &[&str], read: impl Fn(&str) -> T) -> BTreeMap<String, T> {
    let known = known.iter().copied();
    let all = held.iter().map(|(name, _)| name.as_str()).chain(known);
    all.map(|name| (name.to_owned(), read(name))).collect()
}

fn settings(named: &Named) -> BTreeMap<String, String> {
    let value =
        |(name, register): (&String, &Register)| Some((name.clone(), register.value()?.to_owned()));
    named.settings.iter().filter_map(value).collect()
}

fn firsts(named: &Named) -> BTreeMap<String, String> {
    named
        .firsts
        .iter()
        .filter_map(|(name, first)| Some((name.clone(), first.get()?.clone())))
        .collect()
}
