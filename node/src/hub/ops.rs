//! What operators do to the node.

use super::Hub;
use crate::config::{ParseSecretError, Secret};
use crate::service::Ops;
use crate::service::view::{KeyChange, KeyView, MemberEventView, Refusal, StandingView};
use gossip::network::{ClusterKey, KEYS, RingError, Standing};
use std::sync::Arc;
use tokio::sync::broadcast;
use tracing::info;

impl Ops for Hub {
    fn drain(&self, draining: bool) -> StandingView {
        let wanted = if draining { Standing::Draining } else { Standing::Ready };
        // A node that leaves does not come back.
        if self.network.standing() != wanted && self.network.standing() != Standing::Left {
            info!(standing = wanted.word(), "as an operator wants it");
            self.network.stand(wanted);
            self.moving.send_replace(draining);
        }
        self.standing()
    }

    fn standing(&self) -> StandingView {
        let standing = self.network.standing().word().to_owned();
        StandingView { standing, sessions: (self.sessions)() }
    }

    fn keys(&self) -> Vec<KeyView> {
        let members = self.network.members();
        let members = members.borrow();
        let living: Vec<_> = members
            .iter()
            .filter(|member| member.live && member.node != self.facts.node)
            .map(|member| member.kvs.get(KEYS).map_or("", String::as_str))
            .collect();
        let keys = self.network.ring().borrow().keys();
        let view = |(index, key): (usize, &ClusterKey)| {
            let (fingerprint, in_use) = (key.fingerprint(), index == 0);
            let held = living.iter().filter(|keys| keys.split('+').any(|id| id == fingerprint));
            let used = living.iter().filter(|keys| keys.split('+').next() == Some(&fingerprint));
            let (held_by, used_by) = (1 + held.count(), usize::from(in_use) + used.count());
            KeyView { fingerprint, in_use, held_by, used_by, of: 1 + living.len() }
        };
        keys.iter().enumerate().map(view).collect()
    }

    fn change_keys(&self, change: &KeyChange) -> Result<Vec<KeyView>, Refusal> {
        check_change(change, &self.keys())?;
        let changed = match change {
            KeyChange::Install { key } => {
                let key: Secret = key.parse().map_err(|error: ParseSecretError| {
                    Refusal::new("key_invalid", error.to_string())
                })?;
                let key = ClusterKey::from_bytes(*key.bytes());
                self.network.change_ring(|ring| ring.install(&key))
            }
            KeyChange::Use { fingerprint, .. } => {
                self.network.change_ring(|ring| ring.use_key(fingerprint))
            }
            KeyChange::Remove { fingerprint, .. } => {
                self.network.change_ring(|ring| ring.remove(fingerprint))
            }
        };
        changed.map_err(|error| refusal(&error))?;
        Ok(self.keys())
    }

    fn member_events(&self) -> broadcast::Receiver<Arc<MemberEventView>> {
        self.member_events.feed()
    }
}

/// Refuses a step that would shut living members out.
fn check_change(change: &KeyChange, keys: &[KeyView]) -> Result<(), Refusal> {
    let find = |wanted: &String| keys.iter().find(|key| key.fingerprint == *wanted);
    match change {
        KeyChange::Use { fingerprint, force: false } => match find(fingerprint) {
            Some(KeyView { held_by, of, .. }) if held_by < of => {
                let message = format!("{held_by} of {of} living members hold {fingerprint}");
                Err(Refusal::new("key_not_everywhere", message)
                    .hint("wait a moment, look with `starling key list`, or use --force"))
            }
            _ => Ok(()),
        },
        KeyChange::Remove { fingerprint, force: false } => match find(fingerprint) {
            Some(KeyView { used_by, .. }) if *used_by > 0 => {
                let message = format!("{used_by} living members still use {fingerprint}");
                Err(Refusal::new("key_in_use", message)
                    .hint("have another key used first with `starling key use`"))
            }
            _ => Ok(()),
        },
        _ => Ok(()),
    }
}

fn refusal(error: &RingError) -> Refusal {
    let (code, hint) = match error {
        RingError::Unknown { .. } => ("key_unknown", "`starling key list` names them all"),
        RingError::InUse { .. } => ("key_in_use", "have another one used first"),
        RingError::Full => ("keys_full", "remove one that is no longer used"),
    };
    Refusal::new(code, error.to_string()).hint(hint)
}
