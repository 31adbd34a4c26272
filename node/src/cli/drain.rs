//! `starling drain` and `starling undrain`: sending new players elsewhere, and taking them again.

use super::client::{Client, NodeArgs};
use super::out::{say, say_json};
use super::{Exit, Failure};
use crate::service::view::StandingView;
use clap::Args;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Between two questions whether the players are gone: short beside a rolling update.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(super) struct DrainArgs {
    /// Wait until no player is connected any more
    #[arg(long)]
    wait: bool,
    /// Seconds to wait with --wait before giving up with exit code 6
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    wait_max: u64,
    #[command(flatten)]
    node: NodeArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct UndrainArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Has a node take no new players, and send those who are connected to others.
pub(super) fn drain(args: &DrainArgs) -> Result<Exit, Failure> {
    let client = Client::new(&args.node);
    let mut standing: StandingView = client.post("/api/v1/drain", "")?;
    let late = Instant::now() + Duration::from_secs(args.wait_max);
    while args.wait && standing.sessions > 0 {
        if Instant::now() > late {
            let message = format!("{} players are still connected", standing.sessions);
            return Err(Failure::new(Exit::Unreachable, message)
                .hint("they move when the node stops; their answers are safe either way"));
        }
        sleep(LOOK);
        standing = client.get("/api/v1/standing")?;
    }
    tell(&client, &standing, args.json)
}

/// Has a node take players again.
pub(super) fn undrain(args: &UndrainArgs) -> Result<Exit, Failure> {
    let client = Client::new(&args.node);
    let standing: StandingView = client.post("/api/v1/undrain", "")?;
    tell(&client, &standing, args.json)
}

fn tell(client: &Client, standing: &StandingView, json: bool) -> Result<Exit, Failure> {
    if json {
        say_json(standing)?;
    } else {
        let StandingView { standing, sessions } = standing;
        say(&format!("{} is {standing}, {sessions} players connected", client.node()))?;
    }
    Ok(Exit::Done)
}
