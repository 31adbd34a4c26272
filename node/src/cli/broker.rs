//! The flags of `starling serve --edge broker`.

use super::{Exit, Failure};
use crate::broker::{BrokerConfig, BrokerUrl, Password};
use clap::Args;
use std::fmt::Display;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

/// Longest name of a session, in bytes: what every broker of MQTT 3.1.1 and 5 takes.
const CLIENT_ID_BYTES_MAX: usize = 64;

#[derive(Debug, Args)]
pub(super) struct BrokerArgs {
    /// With --edge broker: where the broker is, mqtt://HOST:PORT or mqtts://HOST:PORT; several, of one
    /// cluster of brokers, are tried in turn
    #[arg(long, value_name = "URL", env = "STARLING_BROKER", value_delimiter = ',')]
    broker: Vec<String>,
    /// User to sign in to the broker as
    #[arg(long, value_name = "NAME", env = "STARLING_BROKER_USER")]
    broker_user: Option<String>,
    /// File with the user's password; or give it in the variable STARLING_BROKER_PASSWORD
    #[arg(long, value_name = "FILE", env = "STARLING_BROKER_PASSWORD_FILE")]
    broker_password_file: Option<PathBuf>,
    /// Name of this node's session at the broker, another one for every node [default: starling-
    /// and the node's id]
    #[arg(long, value_name = "ID", env = "STARLING_BROKER_CLIENT_ID")]
    broker_client_id: Option<String>,
    /// PEM file with the authorities that may vouch for the broker [default: the system's]
    #[arg(long, value_name = "FILE", env = "STARLING_BROKER_CA")]
    broker_ca: Option<PathBuf>,
    /// Send players' pages to the broker: where it takes MQTT 5 over WebSocket, wss://HOST:PORT/PATH;
    /// several are tried in turn [default: pages connect to the nodes]
    #[arg(long, value_name = "URL", env = "STARLING_BROKER_PAGES", value_delimiter = ',')]
    broker_pages: Vec<String>,
}

impl BrokerArgs {
    /// The configuration that the flags and the environment make.
    pub(super) fn config(&self) -> Result<BrokerConfig, Failure> {
        let urls: Vec<BrokerUrl> = parsed(&self.broker)?;
        if urls.is_empty() {
            let message = "--edge broker needs the broker's address";
            return Err(Failure::new(Exit::Invalid, message.to_owned())
                .hint("give --broker mqtts://HOST:PORT"));
        }
        Ok(BrokerConfig {
            urls,
            user: given(&self.broker_user),
            password: self.password()?,
            client_id: given(&self.broker_client_id).map(check_client_id).transpose()?,
            ca: self.broker_ca.clone(),
            pages: parsed(&self.broker_pages)?,
        })
    }

    fn password(&self) -> Result<Option<Password>, Failure> {
        let Some(file) = &self.broker_password_file else {
            return Ok(std::env::var("STARLING_BROKER_PASSWORD").ok().map(Password));
        };
        let text = fs::read_to_string(file).map_err(|error| {
            let message = format!("cannot read --broker-password-file {}: {error}", file.display());
            Failure::new(Exit::Invalid, message)
        })?;
        Ok(Some(Password(text.trim_end_matches(['\r', '\n']).to_owned())))
    }
}

/// What each text says; an empty one, as an empty variable in the environment gives, says nothing.
fn parsed<T: FromStr<Err: Display>>(texts: &[String]) -> Result<Vec<T>, Failure> {
    let texts = texts.iter().map(|text| text.trim()).filter(|text| !text.is_empty());
    let all: Result<Vec<T>, _> = texts.map(str::parse).collect();
    all.map_err(|error| Failure::new(Exit::Invalid, error.to_string()))
}

/// An empty variable in the environment means none.
fn given(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| !text.is_empty())
}

fn check_client_id(id: String) -> Result<String, Failure> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if id.len() <= CLIENT_ID_BYTES_MAX && id.chars().all(fits) {
        return Ok(id);
    }
    let message = format!(
        "--broker-client-id {id:?}: a session's name has 1 to {CLIENT_ID_BYTES_MAX} letters, digits, \
         '-', '_' or '.'"
    );
    Err(Failure::new(Exit::Invalid, message))
}
