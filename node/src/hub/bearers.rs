//! Who bears which token, and who is turned away.

use super::{Hub, Listings};
use crate::identity::bearer::{player_of, token_of};
use crate::identity::{Bearer, Events, IdentityError, Role, keys};
use crate::service::view::{Refusal, RevocationView, RevokeAction, RevokeRequest, Whom};
use crate::token::{KeyMark, PlayerClaim, TokenError, TokenKeys};
use crdt_state::EventId;
use crdt_state::catalogue::{Ban, Revoke, Suspect};
use crdt_state::engagement::script::Entry;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tracing::debug;

/// Why a token is no good, whichever kind it is of.
pub(super) enum Unproven {
    /// Whether it is good cannot be told here just now.
    Untold(Refusal),
    /// One of the platform's.
    Vouched(IdentityError),
    /// One of the cluster's own.
    Own(TokenError),
}

impl From<Unproven> for Refusal {
    fn from(unproven: Unproven) -> Self {
        match unproven {
            Unproven::Vouched(error) => refusal(error),
            Unproven::Untold(refusal) => refusal,
            Unproven::Own(error) => Refusal::new("token_unknown", error.to_string()),
        }
    }
}

/// A platform's token that is no good, in words.
pub(super) fn refusal(error: IdentityError) -> Refusal {
    Refusal::new(error.code(), error.to_string()).hint(error.hint())
}

/// How long a player who comes with a token waits for all of a show that has just arrived: 2 s, what a show of a hundred
/// thousand takes.
const FILLING_PATIENCE: Duration = Duration::from_secs(2);

impl Hub {
    /// Who bears a token, whoever made it.
    pub(super) async fn bearer_of(&self, token: &str) -> Result<Bearer, Unproven> {
        let bearer = match token.get(..4) {
            Some("slo_") => self.tokens.check_ops(token).map(operator),
            Some("slh_") => self.tokens.check_host(token).map(|(event, key)| host_of(event, key)),
            Some("slc_") => match self.tokens.check_co_host(token) {
                Ok(((event, invitation), key)) => {
                    let name = Some(self.invited(event, invitation.clone()).await?);
                    let co_host = Some(invitation);
                    return Ok(Bearer { name, co_host, ..host_of(event, key) });
                }
                Err(error) => Err(error),
            },
            Some("slp_") => self.tokens.check_player(token).map(|claim| player(&claim)),
            _ if keys::looks_like(token) => Ok(self.vouched(token).await?),
            _ => Err(TokenError::Malformed),
        };
        let bearer = bearer.map_err(Unproven::Own)?;
        if self.listings.is_revoked(&bearer) {
            return Err(Unproven::Vouched(IdentityError::Revoked));
        }
        Ok(bearer)
    }

    /// The name of the co-host who was invited so and has not been dismissed since.
    async fn invited(&self, event: EventId, invitation: String) -> Result<String, Unproven> {
        let dismissed = || Unproven::Vouched(IdentityError::Revoked);
        let owner = self.owner(event).await.map_err(Unproven::Untold)?;
        let name = owner.read(move |core, _, _| core.co_host(&invitation)).await;
        let name = name.ok_or_else(|| Unproven::Untold(super::stopping()))?;
        name.ok_or_else(dismissed)
    }

    /// Whether who drives by an older connection still may: a co-host was not dismissed since, and the
    /// cluster key that a token rests on was not removed.
    pub(super) async fn check_invited(&self, by: &Bearer, event: EventId) -> Result<(), Refusal> {
        if self.is_taken_back(by) {
            return Err(Unproven::Vouched(IdentityError::Revoked).into());
        }
        if let Some(invitation) = &by.co_host {
            self.invited(event, invitation.clone()).await?;
        }
        Ok(())
    }

    /// Whether what somebody has proven is void by now.
    pub(super) fn is_taken_back(&self, bearer: &Bearer) -> bool {
        is_void(&self.listings, &self.tokens, bearer)
    }

    async fn vouched(&self, token: &str) -> Result<Bearer, Unproven> {
        let checked = match &self.identities {
            Some(identities) => identities.check(token).await,
            None => Err(IdentityError::Unconfigured),
        };
        checked.map_err(Unproven::Vouched)
    }

    /// Who connects with a password. What is no token at all is passed over where no platform is
    /// configured, since clients send all kinds of passwords there.
    pub(super) async fn bearer_by_password(
        &self,
        password: &[u8],
    ) -> Result<Option<Arc<Bearer>>, IdentityError> {
        let token = std::str::from_utf8(password).unwrap_or_default();
        let is_token = token.starts_with("sl") || keys::looks_like(token);
        if password.is_empty() || !is_token && self.identities.is_none() {
            return Ok(None);
        }
        let proven = self.bearer_of(token).await.map_err(|unproven| match unproven {
            Unproven::Vouched(error) => error,
            Unproven::Untold(_) => IdentityError::Arriving,
            Unproven::Own(TokenError::Forged) => IdentityError::Forged,
            Unproven::Own(_) => IdentityError::Malformed,
        });
        match proven {
            Ok(bearer) => {
                if token.starts_with("slp_") {
                    self.have_shows_arrive(&bearer.events).await;
                }
                Ok(Some(Arc::new(bearer)))
            }
            Err(error) => {
                self.count_refusal("mqtt", &refusal(error));
                Err(error)
            }
        }
    }

    /// Has the show of a player's token of our own arrive, so that the player's session and inbox are found here as where
    /// the player was before. One that does not in time is said to whoever asks for it.
    async fn have_shows_arrive(&self, shows: &Events) {
        let Events::These(shows) = shows else { return };
        for event in shows {
            let is_new = self.owners.get(*event).is_none();
            match self.owner(*event).await {
                // Who plays comes in other lanes than what the show is.
                Ok(owner) if is_new => _ = owner.filled(FILLING_PATIENCE).await,
                Ok(_) => {}
                Err(refusal) => {
                    let code = refusal.code;
                    debug!(%event, code, "a player comes to a show that is not here");
                }
            }
        }
    }

    /// Lets those see a closed show who may.
    pub(super) fn check_watch(&self, by: Option<&Bearer>, event: EventId) -> Result<(), Refusal> {
        let open = self.listings.entry(event) == Entry::Open;
        if open || by.is_some_and(|bearer| bearer.may_watch(event)) {
            return Ok(());
        }
        Err(match by {
            None => identity_needed(),
            Some(_) => other_event(event),
        })
    }

    /// Ends when somebody's token or somebody is taken back.
    pub(super) fn until_revoked(&self, bearer: Arc<Bearer>) -> BoxFuture<'static, ()> {
        let (listings, tokens) = (self.listings.clone(), self.tokens.clone());
        let (mut known, mut ring) = (listings.watch(), tokens.watch());
        let wait = async move {
            while !is_void(&listings, &tokens, &bearer) {
                let goes_on = tokio::select! {
                    changed = known.changed() => changed.is_ok(),
                    changed = ring.changed() => changed.is_ok(),
                };
                if !goes_on {
                    return;
                }
            }
        };
        wait.boxed()
    }

    pub(super) async fn take_back(
        &self,
        request: &RevokeRequest,
    ) -> Result<RevocationView, Refusal> {
        let ban = match request.action {
            RevokeAction::Revoke => Ban::Holds,
            RevokeAction::Restore => Ban::Lifted,
        };
        if ban == Ban::Holds && self.listings.watch().borrow().is_full_of_bans() {
            return Err(Refusal::new("revocations_full", "no more can be revoked in this cluster")
                .hint("have the platform change its key instead"));
        }
        let suspect = self.suspect(&request.whom)?;
        self.listings.note(Revoke { lamport: 0, suspect, ban }).await;
        Ok(view(suspect))
    }

    fn suspect(&self, whom: &Whom) -> Result<Suspect, Refusal> {
        let configured = || self.identities.as_ref().and_then(|it| it.issuer());
        // A token's own issuer is part of whom it names, so that a guess would turn nobody away.
        let issuer = |given: &Option<String>| {
            given.clone().or_else(configured).ok_or_else(|| {
                Refusal::new("issuer_needed", "this node does not know who issues the tokens")
                    .hint("name it with --issuer as in the tokens' `iss`; \"\" if they have none")
            })
        };
        Ok(match whom {
            Whom::Player { player } => Suspect::Player(*player),
            Whom::Subject { subject, issuer: by } => {
                Suspect::Player(player_of(&issuer(by)?, subject))
            }
            Whom::Token { token_id, issuer: by } => {
                Suspect::Token(token_of(&issuer(by)?, token_id))
            }
        })
    }

    pub(super) fn taken_back(&self) -> Vec<RevocationView> {
        self.listings.watch().borrow().banned().map(view).collect()
    }
}

fn view(suspect: Suspect) -> RevocationView {
    match suspect {
        Suspect::Player(player) => RevocationView { player: Some(player), token: None },
        Suspect::Token(token) => RevocationView { player: None, token: Some(token) },
    }
}

/// Whether a bearer is banned, or bears what rests on a cluster key that was removed.
fn is_void(listings: &Listings, tokens: &TokenKeys, bearer: &Bearer) -> bool {
    listings.is_revoked(bearer) || bearer.key.is_some_and(|key| !tokens.honours(key))
}

fn operator(key: KeyMark) -> Bearer {
    Bearer {
        role: Role::Ops,
        player: None,
        name: None,
        events: Events::All,
        token: None,
        co_host: None,
        key: Some(key),
    }
}

fn host_of(event: EventId, key: KeyMark) -> Bearer {
    Bearer { role: Role::Host, events: Events::These(vec![event]), ..operator(key) }
}

/// Whom a player's own token of this cluster makes.
pub(super) fn player(claim: &PlayerClaim) -> Bearer {
    let events = Events::These(vec![claim.event]);
    let (player, name) = (Some(claim.player), Some(claim.name.clone()));
    // A player's stands for the event's life, whatever becomes of the key.
    Bearer { role: Role::Player, player, name, events, token: None, co_host: None, key: None }
}

/// The no to somebody who has not proven who it is.
pub(super) fn identity_needed() -> Refusal {
    Refusal::new("identity_needed", "this is only for whom the show's platform vouches")
        .hint("send the platform's token as the password of the connection, or with the join")
}

/// The no to somebody whose token is for something else.
pub(super) fn other_event(event: EventId) -> Refusal {
    Refusal::new("token_event", format!("the token is not good for the event {event}"))
        .hint("have the platform name the event in the claim event or events")
}
