//! What operators do to a node itself, beside looking at it.

use super::view::{KeyChange, KeyView, MemberEventView, Refusal, StandingView};
use std::sync::Arc;
use tokio::sync::broadcast;

/// The node as its operators handle it. Who may ask is checked before the call.
pub trait Ops: Send + Sync + 'static {
    /// Sends new players elsewhere from now on, or takes them again.
    fn drain(&self, draining: bool) -> StandingView;

    /// What this node says of itself.
    fn standing(&self) -> StandingView;

    /// The cluster's keys, the one in use first.
    fn keys(&self) -> Vec<KeyView>;

    /// Changes the ring of keys everywhere.
    ///
    /// # Errors
    /// `key_invalid`, `key_unknown`, `keys_full`, `key_in_use`, `key_not_everywhere`.
    fn change_keys(&self, change: &KeyChange) -> Result<Vec<KeyView>, Refusal>;

    /// What becomes of other members, from now on. Whoever is too slow loses the oldest events and
    /// is told how many.
    fn member_events(&self) -> broadcast::Receiver<Arc<MemberEventView>>;
}
