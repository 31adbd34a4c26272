//! Players' reactions, by MQTT and by HTTP.

use super::payload::{React, read};
use super::players::{check_slot, engine_claim, refused};
use super::{Hub, stopping};
use crate::engine::{Input, Reply};
use crate::service::view::Refusal;
use crate::token::PlayerClaim;

impl Hub {
    /// Takes what was published to `react/<slot>`. Of a reaction that is refused no inbox is told, for it is worth
    /// nothing a moment later, but for one that went to another slot: where MQTT 3.1.1 acknowledges it without a
    /// word, its sender would never learn the right one.
    pub(super) async fn react_by_topic(
        &self,
        edge: &'static str,
        slot: &str,
        payload: &[u8],
    ) -> Result<(), Refusal> {
        let reacted = self.try_react_by_topic(slot, payload).await;
        reacted.inspect_err(|refusal| self.count_refusal(edge, refusal))
    }

    async fn try_react_by_topic(&self, slot: &str, payload: &[u8]) -> Result<(), Refusal> {
        let react: React = read(payload, r#"{"token":"...","kind":"heart"}"#)?;
        let claim = self.claim(&react.token)?;
        if let Err(refusal) = check_slot("react", slot, claim.player) {
            self.meter(claim.player)?;
            self.inboxes.deliver(claim.player, &refused(&format!("react/{slot}"), &refusal));
            return Err(refusal);
        }
        self.count_reaction(claim, react.kind).await
    }

    /// Has the event's owner count a reaction.
    pub(super) async fn count_reaction(
        &self,
        claim: PlayerClaim,
        kind: String,
    ) -> Result<(), Refusal> {
        self.meter(claim.player)?;
        let owner = self.owner(claim.event).await?;
        let claim = engine_claim(claim);
        let asked = owner.ask(move |ticket| Input::React { ticket, claim, kind }).await;
        match asked.ok_or_else(stopping)? {
            Reply::Reacted => Ok(()),
            Reply::Refused(refusal) => Err(refusal),
            other => unreachable!("a reaction is not answered with {other:?}"),
        }
    }
}
