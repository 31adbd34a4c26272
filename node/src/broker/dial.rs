//! A stream to the broker: TCP, or TLS 1.3 over it.

use super::settings::{BrokerConfig, BrokerUrl};
use crate::edge::Stream;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// From the first packet to the end of the handshake. Arbitrary: several bad round trips.
const DIAL_MAX: Duration = Duration::from_secs(10);
/// Where Debian, Fedora and Alpine keep the authorities that the system trusts.
const SYSTEM_BUNDLES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// Why a broker under TLS cannot be trusted.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The file cannot be read, or is not PEM.
    #[error("{file}: {error}; --broker-ca takes a PEM file")]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        error: rustls::pki_types::pem::Error,
    },
    /// There is nobody to trust.
    #[error("no certificate authority in {file}; name the broker's with --broker-ca FILE")]
    Nobody {
        /// Where they were looked for.
        file: PathBuf,
    },
    /// TLS cannot be set up.
    #[error("TLS towards the broker cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// Opens streams to a broker.
#[derive(Clone)]
pub struct Dialler {
    tls: Option<TlsConnector>,
}

impl Dialler {
    /// A dialler for what `config` names.
    ///
    /// # Errors
    /// [`AuthorityError`], when a broker is to be reached under TLS.
    pub fn new(config: &BrokerConfig) -> Result<Self, AuthorityError> {
        if !config.urls.iter().any(|url| url.is_secure) {
            return Ok(Dialler { tls: None });
        }
        let system = || {
            let there = SYSTEM_BUNDLES.iter().map(Path::new).find(|path| path.is_file());
            there.unwrap_or(Path::new(SYSTEM_BUNDLES[0])).to_owned()
        };
        let roots = authorities(&config.ca.clone().unwrap_or_else(system))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Dialler { tls: Some(TlsConnector::from(Arc::new(tls))) })
    }

    /// A stream to one node of the broker.
    ///
    /// # Errors
    /// What the network or TLS says.
    pub async fn dial(&self, url: &BrokerUrl) -> io::Result<Box<dyn Stream>> {
        let dialling = async {
            let tcp = TcpStream::connect((url.host.as_str(), url.port)).await?;
            tcp.set_nodelay(true)?;
            match self.tls.as_ref().filter(|_| url.is_secure) {
                None => Ok(Box::new(tcp) as Box<dyn Stream>),
                Some(tls) => {
                    let name = ServerName::try_from(url.host.clone()).map_err(io::Error::other)?;
                    Ok(Box::new(tls.connect(name, tcp).await?) as Box<dyn Stream>)
                }
            }
        };
        timeout(DIAL_MAX, dialling).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

fn authorities(file: &Path) -> Result<RootCertStore, AuthorityError> {
    let unreadable = |error| AuthorityError::File { file: file.to_owned(), error };
    let certificates = CertificateDer::pem_file_iter(file).map_err(unreadable)?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        // A system's bundle may hold some that nobody can use.
        let _ = roots.add(certificate.map_err(unreadable)?);
    }
    if roots.is_empty() {
        return Err(AuthorityError::Nobody { file: file.to_owned() });
    }
    Ok(roots)
}
