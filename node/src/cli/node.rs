//! `starling node forget`: what an operator says about a node that is no more.

use super::client::{Client, NodeArgs};
use super::out::{say, say_json};
use super::{Exit, Failure};
use crate::service::view::{ForgetView, MemberView};
use clap::{Args, Subcommand};
use crdt_state::NodeId;

#[derive(Debug, Subcommand)]
pub(super) enum NodeCommand {
    /// Give up a node that is gone for good, so that no result waits for it
    ///
    /// Every result names it from then on. If it returns all the same, its late answers are merged and
    /// announced, and it counts again. Events that the asked node does not carry are left alone.
    Forget(ForgetArgs),
}

#[derive(Debug, Args)]
pub(super) struct ForgetArgs {
    /// The node's id, or its name
    #[arg(value_name = "NODE")]
    gone: String,
    #[command(flatten)]
    node: NodeArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Carries out one of them.
pub(super) fn run(NodeCommand::Forget(args): &NodeCommand) -> Result<Exit, Failure> {
    let client = Client::new(&args.node);
    let node = match args.gone.parse() {
        Ok(node) => node,
        Err(_) => node_named(&client, &args.gone)?,
    };
    let view: ForgetView = client.post(&format!("/api/v1/nodes/{node}/forget"), "")?;
    if args.json {
        say_json(&view)?;
    } else {
        say(&describe(&view))?;
    }
    Ok(Exit::Done)
}

fn node_named(client: &Client, name: &str) -> Result<NodeId, Failure> {
    let members: Vec<MemberView> = client.get("/api/v1/members")?;
    let named: Vec<NodeId> =
        members.iter().filter(|member| member.name == name).map(|member| member.node).collect();
    match named[..] {
        [node] => Ok(node),
        [] => Err(Failure::new(Exit::NotFound, format!("no member is called {name}"))
            .hint("`starling members` lists the nodes; a node that left long ago goes by its id")),
        _ => Err(Failure::new(Exit::Failed, format!("{} members are called {name}", named.len()))
            .hint("give the id of the one that is gone")),
    }
}

fn describe(view: &ForgetView) -> String {
    let ForgetView { node, events, origins, firm } = view;
    let known = if *firm { "" } else { "; not enough nodes know it yet: repeat it in a while" };
    let count = |count: usize, word: &str| match count {
        1 => format!("1 {word}"),
        _ => format!("{count} {word}s"),
    };
    let (events, origins) = (count(*events, "event"), count(*origins, "incarnation"));
    format!("the node {node} is forgotten, here in {events} ({origins}){known}")
}
