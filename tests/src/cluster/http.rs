//! What hosts, screens and operators ask of a node, over real HTTP.

use super::{Cluster, NodeEntry};
use crate::lab::eventually;
use node::service::view::{
    Command, CommandReply, CommandRequest, HostView, Imported, MemberView, PhaseView, StageView,
    StatusView,
};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// An HTTP client that takes refusals as replies.
#[derive(Debug, Clone)]
pub struct Http {
    agent: ureq::Agent,
}

/// A reply, whatever it says.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
}

impl Reply {
    /// The body as `T`.
    ///
    /// # Panics
    /// If the status is not a success or the body is not a `T`.
    #[must_use]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        let Reply { status, body } = self;
        assert!((200..300).contains(status), "{status}: {body}");
        serde_json::from_str(body).unwrap_or_else(|error| panic!("{error} in {body}"))
    }

    /// The code of a refusal, `""` if there is none.
    #[must_use]
    pub fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        body["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Nothing, if the status is a success.
    #[must_use]
    pub fn ok(&self) -> Option<()> {
        (200..300).contains(&self.status).then_some(())
    }
}

impl Http {
    /// A client.
    #[must_use]
    pub fn new() -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(REPLY_MAX))
            // A kept connection to a node that was killed would fail its first use.
            .max_idle_connections(0)
            .build();
        Http { agent: config.into() }
    }

    /// Gets `url`; status 0 tells that there was no reply.
    #[must_use]
    pub fn get(&self, url: &str, token: &str) -> Reply {
        let bearer = format!("Bearer {token}");
        reply(self.agent.get(url).header("authorization", bearer).call())
    }

    /// Posts `body` to `url`; status 0 tells that there was no reply.
    #[must_use]
    pub fn post(&self, url: &str, token: &str, body: &str) -> Reply {
        let bearer = format!("Bearer {token}");
        let request = self.agent.post(url).header("authorization", bearer);
        reply(request.header("content-type", "application/json").send(body))
    }
}

impl Default for Http {
    fn default() -> Self {
        Http::new()
    }
}

fn reply(outcome: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Reply {
    match outcome {
        Ok(mut response) => {
            let body = response.body_mut().with_config().limit(BODY_MAX).read_to_string();
            Reply { status: response.status().as_u16(), body: body.unwrap_or_default() }
        }
        Err(error) => Reply { status: 0, body: error.to_string() },
    }
}

impl Cluster {
    /// Sends a host's command to a node.
    #[must_use]
    pub fn command(&self, node: usize, command: Command, expected: StageView) -> Reply {
        self.send_command(node, &CommandRequest::new(command, expected))
    }

    /// Sends a host's command with everything that belongs to it to a node.
    ///
    /// # Panics
    /// Never: a command is always JSON.
    #[must_use]
    pub fn send_command(&self, node: usize, request: &CommandRequest) -> Reply {
        let body = serde_json::to_string(request).expect("a command is JSON");
        self.http.post(&self.event_url(node, "/commands"), &self.file.host_token, &body)
    }

    /// Takes a step from a node: waits until its host's page offers it, then presses the button.
    ///
    /// # Panics
    /// If the step is not offered in time or is refused.
    pub fn step(&self, node: usize, command: Command) -> CommandReply {
        let what = format!("{command:?} being offered by node {node}");
        let view = self.wait_host(node, &what, STEP_MAX, |view| view.next.contains(&command));
        self.command(node, command, view.live.stage).json()
    }

    /// Lets players in, unless they are let in already.
    ///
    /// # Panics
    /// If the node does not answer or refuses.
    pub fn open_lobby(&self, node: usize) {
        let answers = |_: &HostView| true;
        let view = self.wait_host(node, "the host's page", STEP_MAX, answers);
        if view.live.stage.phase == PhaseView::Draft {
            self.step(node, Command::Lobby);
        }
    }

    /// What the host sees at a node, if it answers.
    #[must_use]
    pub fn host_view(&self, node: usize) -> Option<HostView> {
        let reply = self.http.get(&self.event_url(node, ""), &self.file.host_token);
        reply.ok().map(|()| reply.json())
    }

    /// Waits until the host's view at a node is as wanted.
    ///
    /// # Panics
    /// If that does not happen in time.
    pub fn wait_host(
        &self,
        node: usize,
        what: &str,
        within: Duration,
        wanted: impl Fn(&HostView) -> bool,
    ) -> HostView {
        eventually(what, within, || self.host_view(node).filter(|view| wanted(view)))
    }

    /// Waits until a node has reached a phase of an instance.
    ///
    /// # Panics
    /// If that does not happen in time.
    pub fn wait_phase(
        &self,
        node: usize,
        instance: u32,
        phase: PhaseView,
        within: Duration,
    ) -> HostView {
        let what = format!("phase {phase:?} of instance {instance} at node {node}");
        let wanted = StageView { instance, phase };
        self.wait_host(node, &what, within, |view| view.live.stage >= wanted)
    }

    /// The export of the event by a node.
    ///
    /// # Panics
    /// If the node refuses.
    #[must_use]
    pub fn export(&self, node: usize) -> String {
        let reply = self.http.get(&self.event_url(node, "/export"), &self.file.host_token);
        assert_eq!(reply.status, 200, "{}", reply.body);
        reply.body
    }

    /// A node in one page, if it answers.
    #[must_use]
    pub fn status(&self, node: usize) -> Option<StatusView> {
        let reply = self.http.get(&self.api(node, "/status"), &self.file.ops_token);
        reply.ok().map(|()| reply.json())
    }

    /// The members that a node sees, if it answers.
    #[must_use]
    pub fn members(&self, node: usize) -> Option<Vec<MemberView>> {
        let reply = self.http.get(&self.api(node, "/members"), &self.file.ops_token);
        reply.ok().map(|()| reply.json())
    }

    /// Waits until every node sees every node alive and linked.
    ///
    /// # Panics
    /// If that does not happen in time.
    pub fn wait_linked(&self, within: Duration) {
        for node in 0..self.size() {
            eventually(&format!("node {node} being linked to all"), within, || {
                let members = self.members(node)?;
                let linked = members.iter().filter(|it| it.linked && it.state == "alive").count();
                (linked == self.size()).then_some(())
            });
        }
    }

    /// Imports another show at a node.
    #[must_use]
    pub fn import(&self, node: usize, show: &str) -> Reply {
        self.http.post(&self.api(node, "/events"), &self.file.ops_token, show)
    }

    /// Imports another show at a node.
    ///
    /// # Panics
    /// If it is refused.
    #[must_use]
    pub fn imported(&self, node: usize, show: &str) -> Imported {
        self.import(node, show).json()
    }

    /// Gets any path of a node with the operator's token.
    #[must_use]
    pub fn get(&self, node: usize, path: &str) -> Reply {
        self.http.get(&format!("{}{path}", self.node(node).http), &self.file.ops_token)
    }

    /// The sum of a node's counters with `word` in a name or label.
    #[must_use]
    pub fn counted(&self, node: usize, word: &str) -> f64 {
        counted(&self.get(node, "/metrics").body, word)
    }

    fn node(&self, node: usize) -> &NodeEntry {
        &self.file.nodes[node]
    }

    fn api(&self, node: usize, path: &str) -> String {
        format!("{}/api/v1{path}", self.node(node).http)
    }

    fn event_url(&self, node: usize, path: &str) -> String {
        self.api(node, &format!("/events/{}{path}", self.file.event.id))
    }
}

/// The sum of the counters of a metrics page with `word` in a name or label.
#[must_use]
pub fn counted(metrics: &str, word: &str) -> f64 {
    let samples = metrics.lines().filter(|line| !line.starts_with('#'));
    let counters = samples.filter(|line| {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        name.ends_with("_total") && line.contains(word)
    });
    counters.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// No reply takes longer, not even one that waits for a majority.
const REPLY_MAX: Duration = Duration::from_secs(10);

/// The largest export of a test is a few megabytes.
const BODY_MAX: u64 = 64 * 1024 * 1024;

/// How long a step may take to become possible, the wait for seals included.
const STEP_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_summed_by_a_word_in_their_name_or_labels() {
        let page = "# TYPE starling_refusals counter\n\
            starling_refusals_total{code=\"late\"} 2\nstarling_refusals_total{code=\"ended\"} 4\n\
            starling_lateness_seconds{le=\"0.1\"} 100\nstarling_late_total 1\n";
        assert!((counted(page, "late") - 3.0).abs() < f64::EPSILON);
        assert!(counted(page, "flooded").abs() < f64::EPSILON);
    }
}
