//! `starling revoke`: turning somebody away on every node, and taking that back.

use super::client::{Client, NodeArgs};
use super::out::{say, say_json};
use super::{Exit, Failure};
use crate::service::view::{RevocationView, RevokeAction, RevokeRequest, Whom};
use clap::Args;
use crdt_state::PlayerId;

#[derive(Debug, Args)]
pub(super) struct RevokeArgs {
    /// Whom the operator's own platform means by this `sub`; their connections end
    #[arg(long, value_name = "SUB", conflicts_with_all = ["token_id", "player"])]
    subject: Option<String>,
    /// The one token with this `jti`; connections that came with it end
    #[arg(long, value_name = "JTI", conflicts_with = "player")]
    token_id: Option<String>,
    /// A player by id
    #[arg(long, value_name = "ID")]
    player: Option<PlayerId>,
    /// The `iss` of the subject or token [default: the one that the node demands]
    #[arg(long, value_name = "ISS")]
    issuer: Option<String>,
    /// Take the revocation back
    #[arg(long)]
    restore: bool,
    #[command(flatten)]
    node: NodeArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Revokes or restores what is named, or lists everything that is revoked.
pub(super) fn run(args: &RevokeArgs) -> Result<Exit, Failure> {
    let client = Client::new(&args.node);
    let Some(whom) = args.whom() else {
        let all: Vec<RevocationView> = client.get("/api/v1/revocations")?;
        let lines: Vec<String> = all.iter().map(describe).collect();
        return if args.json { say_json(&all) } else { say(&lines.join("\n")) }
            .map(|()| Exit::Done);
    };
    let action = if args.restore { RevokeAction::Restore } else { RevokeAction::Revoke };
    let request = RevokeRequest { action, whom };
    let body = serde_json::to_string(&request).expect("a request has text keys only");
    let view: RevocationView = client.post("/api/v1/revocations", &body)?;
    if args.json {
        say_json(&view)?;
    } else {
        let done = if args.restore { "restored" } else { "revoked" };
        say(&format!("{done} {}", describe(&view)))?;
    }
    Ok(Exit::Done)
}

impl RevokeArgs {
    fn whom(&self) -> Option<Whom> {
        let issuer = self.issuer.clone();
        match (&self.subject, &self.token_id, self.player) {
            (Some(subject), ..) => Some(Whom::Subject { subject: subject.clone(), issuer }),
            (_, Some(token_id), _) => Some(Whom::Token { token_id: token_id.clone(), issuer }),
            (.., Some(player)) => Some(Whom::Player { player }),
            _ => None,
        }
    }
}

fn describe(view: &RevocationView) -> String {
    match (view.player, view.token) {
        (Some(player), _) => format!("player {player}"),
        (_, Some(token)) => format!("token {token}"),
        _ => "nothing".to_owned(),
    }
}
