//! The one UDP port of a node: its socket and its QUIC settings.
//!
//! One endpoint both dials and accepts, so that a peer sees one address whoever dialled.

use super::config::{NetworkConfig, Ports};
use super::identity::{ClusterKey, IdentityError, tls_configs};
use quinn::{AsyncUdpSocket, Endpoint, Runtime, TokioRuntime, TransportConfig, VarInt};
use quinn_proto::HashedConnectionIdGenerator;
use ring::hmac;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Kernel buffer of the socket, each direction. Measured: with the usual 208 KiB a burst loses 8 %
/// of its datagrams, with 4 MiB none. The kernel may give less (`net.core.rmem_max`).
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// One-way streams a peer may have open: two lanes, the rest gossip messages on their way.
const UNI_STREAMS_MAX: u32 = 64;

/// The UDP port could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process listens there.
    #[error("UDP port {0} is in use by another process")]
    InUse(SocketAddr),
    /// The address is not one of this machine's.
    #[error("{0} is not an address of this machine")]
    NotHere(SocketAddr),
    /// The operating system refused for another cause.
    #[error("UDP port {listen} could not be opened")]
    Io {
        /// What was asked for.
        listen: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Opens the production socket; port 0 takes a free one. Returns it with its actual address.
/// Must be called within a tokio runtime with IO.
///
/// # Errors
/// When the port is in use, the address is not this machine's, or the system refuses otherwise.
pub fn open_socket(listen: SocketAddr) -> Result<(Arc<dyn AsyncUdpSocket>, SocketAddr), OpenError> {
    bind(listen).map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => OpenError::InUse(listen),
        io::ErrorKind::AddrNotAvailable => OpenError::NotHere(listen),
        _ => OpenError::Io { listen, source },
    })
}

fn bind(listen: SocketAddr) -> io::Result<(Arc<dyn AsyncUdpSocket>, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(listen), Type::DGRAM, Some(Protocol::UDP))?;
    if listen.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    for refused in [
        socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES).err(),
        socket.set_send_buffer_size(SOCKET_BUFFER_BYTES).err(),
    ]
    .into_iter()
    .flatten()
    {
        tracing::warn!(%listen, error = %refused, "the socket keeps its smaller buffer");
    }
    socket.bind(&listen.into())?;
    let socket = std::net::UdpSocket::from(socket);
    let actual = socket.local_addr()?;
    Ok((TokioRuntime.wrap_udp_socket(socket)?, actual))
}

/// The endpoint could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The node's identity could not be made.
    #[error("the node's identity could not be made")]
    Identity(#[from] IdentityError),
    /// The socket was not accepted.
    #[error("the socket was not accepted")]
    Socket(#[from] io::Error),
    /// The idle time-out is beyond what QUIC can say.
    #[error("an idle time-out of {0:?} is too long for QUIC")]
    IdleTimeout(Duration),
}

/// Makes the node's only endpoint. `seed` is for QUIC alone.
pub(super) fn open_endpoint(
    config: &NetworkConfig,
    ports: &Ports,
    seed: [u8; 32],
) -> Result<Endpoint, EndpointError> {
    let (server, client) = quic_configs(config, &config.ring.keys())?;
    let mut endpoint = Endpoint::new_with_abstract_socket(
        endpoint_config(config, seed),
        Some(server),
        ports.socket.clone(),
        ports.runtime.clone(),
    )?;
    endpoint.set_default_client_config(client);
    Ok(endpoint)
}

/// How new connections are accepted and made under a ring of keys, the one in use first.
pub(super) fn quic_configs(
    config: &NetworkConfig,
    keys: &[ClusterKey],
) -> Result<(quinn::ServerConfig, quinn::ClientConfig), EndpointError> {
    let tls = tls_configs(keys)?;
    let transport = Arc::new(transport_config(config)?);
    let mut server = quinn::ServerConfig::with_crypto(tls.server);
    server.transport_config(transport.clone());
    let mut client = quinn::ClientConfig::new(tls.client);
    client.transport_config(transport);
    Ok((server, client))
}

/// Keys that outlive the process are derived from cluster key and address, so that a restarted
/// node answers packets for its former connections with a reset that the peer believes at once.
fn endpoint_config(config: &NetworkConfig, seed: [u8; 32]) -> quinn::EndpointConfig {
    let reset = config.ring.keys()[0].derive(&format!("reset/{}", config.advertise));
    let reset = hmac::Key::new(hmac::HMAC_SHA256, &reset);
    let id_key = config.ring.keys()[0].derive(&format!("connection-ids/{}", config.advertise));
    let id_key = u64::from_le_bytes(*id_key.first_chunk().expect("32 bytes hold 8"));
    let mut endpoint = quinn::EndpointConfig::new(Arc::new(reset));
    endpoint.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(id_key)));
    endpoint.rng_seed(Some(seed));
    endpoint
}

fn transport_config(config: &NetworkConfig) -> Result<TransportConfig, EndpointError> {
    let tuning = &config.tuning;
    let idle = tuning.idle_timeout;
    let idle = idle.try_into().map_err(|_| EndpointError::IdleTimeout(idle))?;
    let mut transport = TransportConfig::default();
    transport
        .initial_rtt(tuning.initial_rtt)
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(tuning.keep_alive))
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(UNI_STREAMS_MAX));
    Ok(transport)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_named() {
        let (_held, taken) = open_socket("127.0.0.1:0".parse().unwrap()).unwrap();
        let error = open_socket(taken).unwrap_err();
        assert!(matches!(error, OpenError::InUse(address) if address == taken), "{error}");
    }
}
