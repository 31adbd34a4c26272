//! Asking a running node over HTTP, and what its refusals mean for a script.

use super::key::KeySource;
use super::progress::Progress;
use super::{Exit, Failure};
use crate::service::view::Refusal;
use crate::token::TokenKeys;
use clap::Args;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::io::{self, Read};
use std::time::Duration;
use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body, RequestBuilder, SendBody};

/// Which node is asked, and as whom.
#[derive(Debug, Clone, Args)]
pub(super) struct NodeArgs {
    /// Base URL of any node of the cluster
    #[arg(
        long,
        value_name = "URL",
        env = "STARLING_NODE",
        default_value = "http://127.0.0.1:8080"
    )]
    pub(super) node: String,
    /// Token that gives the role this needs; without it the operator's, made from the cluster key if there is one
    #[arg(long, env = "STARLING_TOKEN", hide_env_values = true)]
    pub(super) token: Option<String>,
    #[command(flatten)]
    pub(super) key: KeySource,
    /// Seconds to wait for the node
    #[arg(long, value_name = "SECONDS", env = "STARLING_TIMEOUT", default_value_t = 10)]
    pub(super) timeout: u64,
}

/// A request that did not get what it asked for.
#[derive(Debug)]
pub(super) enum ClientError {
    /// The node said no.
    Refused { status: StatusCode, refusal: Box<Refusal> },
    /// Nobody said anything that makes sense.
    Failed(Failure),
}

/// One node, asked as one caller.
#[derive(Debug, Clone)]
pub(super) struct Client {
    agent: Agent,
    node: String,
    token: Option<String>,
    /// Why there is no token although one was to be made.
    keyless: Option<String>,
}

#[derive(Deserialize)]
struct ErrorBody {
    error: Refusal,
}

impl Client {
    pub(super) fn new(args: &NodeArgs) -> Self {
        let timeout = Duration::from_secs(args.timeout);
        let (token, keyless) = match &args.token {
            Some(token) => (Some(token.clone()), None),
            None => match args.key.read_if_given() {
                Ok(key) => (key.map(|key| TokenKeys::new(&[*key.bytes()]).ops()), None),
                Err(failure) => (None, Some(failure.message)),
            },
        };
        Client { keyless, ..Self::at(&args.node, token, timeout) }
    }

    pub(super) fn at(node: &str, token: Option<String>, timeout: Duration) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(timeout))
            .timeout_recv_response(Some(timeout))
            .proxy(None)
            .build();
        let node = node.trim_end_matches('/').to_owned();
        Client { agent: config.into(), node, token, keyless: None }
    }

    /// The base URL of the node.
    pub(super) fn node(&self) -> &str {
        &self.node
    }

    /// JSON from the node.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.read(self.ask(path)?)
    }

    /// Sends a text and takes JSON.
    pub(super) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &str,
    ) -> Result<T, ClientError> {
        let request = self.signed(self.agent.post(self.url(path)))?;
        let answer = request.content_type("application/json").send(body);
        self.read(self.judge(answer)?)
    }

    /// Sends a text of any length and takes JSON. The bar says how much of it is away; when all is, the node has
    /// to read it and to have another node hold it.
    pub(super) fn upload<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &str,
    ) -> Result<T, ClientError> {
        let mut body =
            Upload { body: body.as_bytes(), progress: Progress::bytes("sending", 0), at: 0 };
        let request = self.signed(self.agent.post(self.url(path)))?;
        let request = request.header(header::CONTENT_LENGTH, body.body.len());
        let answer =
            request.content_type("application/json").send(SendBody::from_reader(&mut body));
        self.read(self.judge(answer)?)
    }

    /// A body of any length.
    pub(super) fn download(&self, path: &str) -> Result<impl Read + use<>, ClientError> {
        Ok(self.ask(path)?.into_body().into_reader())
    }

    fn ask(&self, path: &str) -> Result<Response<Body>, ClientError> {
        self.judge(self.signed(self.agent.get(self.url(path)))?.call())
    }

    /// A request that says who asks.
    fn signed<B>(&self, request: RequestBuilder<B>) -> Result<RequestBuilder<B>, ClientError> {
        match (&self.token, &self.keyless) {
            (Some(token), _) => {
                Ok(request.header(header::AUTHORIZATION, format!("Bearer {token}")))
            }
            (None, Some(why)) => Err(ClientError::Failed(Failure::new(Exit::Invalid, why.clone()))),
            (None, None) => Ok(request),
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.node)
    }

    fn judge(
        &self,
        answer: Result<Response<Body>, ureq::Error>,
    ) -> Result<Response<Body>, ClientError> {
        let mut response = answer.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        match response.body_mut().read_json::<ErrorBody>() {
            Ok(body) => Err(ClientError::Refused { status, refusal: Box::new(body.error) }),
            Err(_) => Err(self.foreign(&format!("status {status} without a word"))),
        }
    }

    fn read<T: DeserializeOwned>(&self, response: Response<Body>) -> Result<T, ClientError> {
        let body = response.into_body().into_with_config().limit(64 << 20).read_json();
        body.map_err(|error| self.foreign(&error.to_string()))
    }

    fn unreachable(&self, error: &ureq::Error) -> ClientError {
        let message = format!("{} does not answer: {error}", self.node);
        let hint =
            "is the node running, and is its --http address the one in --node (STARLING_NODE)?";
        ClientError::Failed(Failure::new(Exit::Unreachable, message).hint(hint))
    }

    fn foreign(&self, what: &str) -> ClientError {
        let message = format!("{} answers with something else than a node: {what}", self.node);
        ClientError::Failed(Failure::new(Exit::Failed, message))
    }
}

/// A body on its way.
struct Upload<'a> {
    body: &'a [u8],
    progress: Progress,
    at: usize,
}

impl Read for Upload<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut rest = &self.body[self.at..];
        let read = rest.read(into)?;
        self.at += read;
        self.progress.set(self.at as u64, self.body.len() as u64);
        if self.at == self.body.len() {
            self.progress.wait("the node reads it");
        }
        Ok(read)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Failed(failure) => failure,
            ClientError::Refused { status, refusal } => {
                let message = format!("{} ({})", refusal.message, refusal.code);
                Failure { exit: exit_of(status), message, hint: refusal.hint }
            }
        }
    }
}

/// What a refusal's status means for a script.
fn exit_of(status: StatusCode) -> Exit {
    match status {
        StatusCode::NOT_FOUND => Exit::NotFound,
        StatusCode::UNPROCESSABLE_ENTITY => Exit::Invalid,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Exit::Refused,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => Exit::Unreachable,
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Asked {
        #[command(flatten)]
        node: NodeArgs,
    }

    fn asked(args: &[&str]) -> Client {
        Client::new(
            &Asked::parse_from([&["x", "--node", "http://127.0.0.1:1"], args].concat()).node,
        )
    }

    #[test]
    fn who_gives_the_cluster_key_asks_as_an_operator_unless_a_token_is_given() {
        let folder = tempfile::tempdir().expect("there is room");
        let file = folder.path().join("cluster.key");
        std::fs::write(&file, "5a".repeat(32)).expect("it can be written");
        let file = file.to_str().expect("it is text");
        let ops = TokenKeys::new(&[[0x5a; 32]]).ops();
        assert_eq!(asked(&["--key-file", file]).token, Some(ops));
        let both = asked(&["--key-file", file, "--token", "mine"]);
        assert_eq!(both.token.as_deref(), Some("mine"));
        let missing = asked(&["--key-file", "/nowhere/cluster.key"]).get::<()>("/");
        let Err(ClientError::Failed(failure)) = missing else { panic!("{missing:?}") };
        assert!(failure.message.contains("--key-file /nowhere/cluster.key"), "{failure:?}");
    }

    #[test]
    fn a_body_on_its_way_is_followed_to_its_last_byte() {
        let body = "x".repeat(100_000);
        let progress = Progress::bytes("sending", 0);
        let mut upload = Upload { body: body.as_bytes(), progress, at: 0 };
        let (mut sent, mut part) = (Vec::new(), [0; 30_000]);
        for told in [30_000, 60_000, 90_000, 100_000] {
            let read = upload.read(&mut part).expect("it is in memory");
            sent.extend_from_slice(&part[..read]);
            assert_eq!((upload.progress.done(), sent.len()), (told, told as usize));
        }
        assert_eq!(upload.read(&mut part).expect("it is in memory"), 0);
        assert_eq!(sent, body.as_bytes());
    }
}
