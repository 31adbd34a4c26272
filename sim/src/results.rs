//! What a node says of the completeness of the result that it shows, and what it does not count; read in the
//! same way in both fidelities.

use std::collections::BTreeMap;

use crdt_state::{Mono, PlayerId};
use node::engine::EventCore;
use node::service::view::StageView;

use crate::mix::fold;
use crate::quiz::host::is_over;

/// Of which run a node that shows this stage shows a result, and what it calls it: `final`, `settled` or
/// `partial`.
pub(crate) fn told(core: &EventCore, now: Mono, shown: StageView) -> Option<(u32, String)> {
    let result = core.shown_result(now)?;
    let last = || core.state().instances().last().map_or(0, |(instance, _)| instance);
    let instance = if is_over(shown) { last() } else { shown.instance };
    Some((instance, result.status))
}

/// Those of the players of whom a node holds no answer in a run.
pub(crate) fn uncounted(
    core: &EventCore,
    instance: u32,
    players: impl IntoIterator<Item = PlayerId>,
) -> Vec<PlayerId> {
    let state = core.state();
    let is_held = |player: PlayerId| state.held(instance, state.players.rows_of(player)).is_some();
    players.into_iter().filter(|player| !is_held(*player)).collect()
}

/// A word for what a node holds of whom in a run: the same wherever the same is held, in whatever order it came and
/// whoever took it. One that came back may write down again what its disk holds.
pub(crate) fn held(core: &EventCore, instance: u32) -> u64 {
    let state = core.state();
    let word = |player: PlayerId| {
        let (question, cell) = state.held(instance, state.players.rows_of(player))?;
        let when = u64::from(cell.elapsed_ms()) << 16 | u64::from(question);
        let of = [(player.0 >> 64) as u64, player.0 as u64, when, cell.value().into()];
        Some(of.into_iter().fold(0, fold))
    };
    state.players.ids().filter_map(word).fold(0, u64::wrapping_add)
}

/// The same of every run.
pub(crate) fn all_held(core: &EventCore) -> BTreeMap<u32, u64> {
    core.state().instances().map(|(instance, _)| (instance, held(core, instance))).collect()
}
