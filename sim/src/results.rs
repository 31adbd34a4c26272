//! What a node says of the completeness of the result that it shows, and what it does not count; read in the
//! same way in both fidelities.

use crdt_state::{Mono, PlayerId};
use node::engine::EventCore;
use node::service::view::StageView;

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
