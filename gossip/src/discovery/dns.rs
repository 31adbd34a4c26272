//! `dns` and `srv`: names whose addresses are nodes, asked anew at every look.
//!
//! The system's resolver, or a server of one's own. A name that exists and has no addresses is an
//! empty answer; one that does not exist is an error, since it may be misspelt. Neither changes
//! anything for whoever was found before.

use super::{Discovery, DiscoveryError, Found};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{RData, RecordType};
use std::net::SocketAddr;
use std::time::Duration;

/// How long one server may take over one question.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Question {
    /// Addresses, A and AAAA, which all listen on one port.
    Addresses { name: String, port: u16 },
    /// Services (RFC 2782), each a host and a port.
    Services { name: String },
}

/// A name in the DNS.
pub(super) struct Dns {
    question: Question,
    server: Option<SocketAddr>,
    resolver: Option<TokioResolver>,
}

impl Dns {
    pub(super) fn new(question: Question, server: Option<SocketAddr>) -> Self {
        Dns { question, server, resolver: None }
    }

    fn resolver(&self) -> Result<TokioResolver, DiscoveryError> {
        let unusable = |error: NetError| {
            DiscoveryError::Other(format!("the resolver cannot be set up: {error}"))
        };
        let mut builder = match self.server {
            None => TokioResolver::builder_tokio().map_err(unusable)?,
            Some(server) => {
                let mut config = NameServerConfig::udp_and_tcp(server.ip());
                config.connections.iter_mut().for_each(|way| way.port = server.port());
                let config = ResolverConfig::from_parts(None, Vec::new(), vec![config]);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let options = builder.options_mut();
        options.timeout = PATIENCE;
        options.attempts = 1;
        // Every look is meant to be one.
        options.cache_size = 0;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        if self.server.is_some() {
            options.use_hosts_file = ResolveHosts::Never;
        }
        builder.build().map_err(unusable)
    }
}

#[async_trait::async_trait]
impl Discovery for Dns {
    fn name(&self) -> String {
        match &self.question {
            Question::Addresses { name, port } => format!("dns://{name}:{port}"),
            Question::Services { name } => format!("srv://{name}"),
        }
    }

    async fn look(&mut self, found: &mut Found) -> Result<(), DiscoveryError> {
        let resolver = match self.resolver.take() {
            Some(resolver) => resolver,
            None => self.resolver()?,
        };
        match &self.question {
            Question::Addresses { name, port } => addresses(&resolver, name, *port, found).await?,
            Question::Services { name } => services(&resolver, name, found).await?,
        }
        // After an error it is set up anew: the system's servers may have changed.
        self.resolver = Some(resolver);
        Ok(())
    }
}

async fn addresses(
    resolver: &TokioResolver,
    name: &str,
    port: u16,
    found: &mut Found,
) -> Result<(), DiscoveryError> {
    match resolver.lookup_ip(name).await {
        Ok(addresses) => found.extend(addresses.iter().map(|ip| SocketAddr::new(ip, port))),
        Err(error) => empty_or(name, &error)?,
    }
    Ok(())
}

/// Every service's host is looked up; those that lead nowhere do not hide the others.
async fn services(
    resolver: &TokioResolver,
    name: &str,
    found: &mut Found,
) -> Result<(), DiscoveryError> {
    let services = match resolver.lookup(name, RecordType::SRV).await {
        Ok(services) => services,
        Err(error) => return empty_or(name, &error),
    };
    let mut first = Ok(());
    for record in services.answers() {
        if let RData::SRV(service) = &record.data {
            let host = service.target.to_utf8();
            first = first.and(addresses(resolver, &host, service.port, found).await);
        }
    }
    first
}

/// An empty answer is an answer; a name that does not exist is not.
fn empty_or(name: &str, error: &NetError) -> Result<(), DiscoveryError> {
    let failed = |why: String| Err(DiscoveryError::Name { name: name.to_owned(), why });
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NoError => Ok(()),
            ResponseCode::NXDomain => failed("there is no such name".to_owned()),
            code => failed(format!("the server says {code}")),
        },
        error => failed(error.to_string()),
    }
}
