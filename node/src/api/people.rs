//! The routes about people: who a token makes somebody, and who is turned away.

use super::auth::Caller;
use super::request::Payload;
use super::{Api, ApiError};
use crate::identity::{Events, Role};
use crate::service::view::{BearerView, RevocationView, RevokeRequest};
use axum::Json;
use axum::extract::State;

/// Who the token of this request makes its bearer.
pub(super) async fn me(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Json<BearerView>, ApiError> {
    let bearer = caller.anybody(&api).await?;
    let role = match bearer.role {
        Role::Player => "player",
        Role::Host => "host",
        Role::Ops => "ops",
    };
    let events = match &bearer.events {
        Events::All => vec!["*".to_owned()],
        Events::These(these) => these.iter().map(ToString::to_string).collect(),
    };
    let slot = bearer.player.map(|player| format!("{:02x}", player.slot()));
    let (player, name) = (bearer.player, bearer.name.clone());
    Ok(Json(BearerView { role: role.to_owned(), player, slot, name, events }))
}

/// Everybody and everything that the cluster turns away.
pub(super) async fn revocations(
    State(api): State<Api>,
    caller: Caller,
) -> Result<Json<Vec<RevocationView>>, ApiError> {
    caller.ops(&api).await?;
    Ok(Json(api.hosts.revocations()))
}

/// Turns somebody away, or no longer.
pub(super) async fn revoke(
    State(api): State<Api>,
    caller: Caller,
    payload: Payload,
) -> Result<Json<RevocationView>, ApiError> {
    caller.ops(&api).await?;
    let request: RevokeRequest = payload.json()?;
    Ok(Json(api.hosts.revoke(&request).await?))
}
