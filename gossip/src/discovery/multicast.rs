//! `multicast`: nodes of one network segment call out their addresses.
//!
//! A call is signed under the cluster's key, so that strangers cannot make a node dial whatever
//! they like; a call that is heard again says nothing new. Calls go no further than the segment
//! (TTL 1). Clouds seldom carry multicast: this is for halls and labs.

use super::strategy::Surroundings;
use super::{Discovery, DiscoveryError, Found};
use ring::hmac;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

/// Between two calls: 2 s, so that a node that missed some is found in a few.
const EVERY: Duration = Duration::from_secs(2);

/// First bytes of a call: what it is, and its version.
const MAGIC: &[u8; 9] = b"starling\x01";

/// HMAC-SHA256's.
const TAG_BYTES: usize = 32;

/// Longer than any call.
const CALL_BYTES_MAX: usize = 256;

/// A group that nodes call and listen in.
pub(super) struct Multicast {
    group: SocketAddr,
    /// The address of the interface to use; the system chooses without.
    interface: Option<Ipv4Addr>,
    surroundings: Surroundings,
    /// Opened at the first look, and again after an error.
    socket: Option<UdpSocket>,
}

impl Multicast {
    pub(super) fn new(
        group: SocketAddr,
        interface: Option<Ipv4Addr>,
        surroundings: Surroundings,
    ) -> Self {
        Multicast { group, interface, surroundings, socket: None }
    }

    fn open(&self) -> io::Result<UdpSocket> {
        let socket =
            Socket::new(Domain::for_address(self.group), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        // Bound to the group itself, the socket hears nothing else.
        socket.bind(&self.group.into())?;
        match self.group.ip() {
            IpAddr::V4(group) => {
                let interface = self.interface.unwrap_or(Ipv4Addr::UNSPECIFIED);
                socket.join_multicast_v4(&group, &interface)?;
                socket.set_multicast_if_v4(&interface)?;
                socket.set_multicast_ttl_v4(1)?;
                socket.set_multicast_loop_v4(true)?;
            }
            IpAddr::V6(group) => {
                socket.join_multicast_v6(&group, 0)?;
                socket.set_multicast_hops_v6(1)?;
                socket.set_multicast_loop_v6(true)?;
            }
        }
        UdpSocket::from_std(socket.into())
    }

    /// Calls once and listens until it is time for the next call, or somebody was heard.
    async fn call_and_listen(&self, socket: &UdpSocket, found: &mut Found) -> io::Result<()> {
        let keys = (self.surroundings.keys)();
        let signing = keys.first().copied().unwrap_or_default();
        socket.send_to(&call(self.surroundings.own, &signing), self.group).await?;
        let until = Instant::now() + EVERY;
        let mut heard = [0; CALL_BYTES_MAX];
        loop {
            let Ok(received) = timeout_at(until, socket.recv_from(&mut heard)).await else {
                return Ok(());
            };
            let (bytes, _) = received?;
            if let Some(address) = read_call(&heard[..bytes], &keys)
                && address != self.surroundings.own
            {
                found.add(address);
            }
        }
    }
}

#[async_trait::async_trait]
impl Discovery for Multicast {
    fn name(&self) -> String {
        format!("multicast://{}", self.group)
    }

    async fn look(&mut self, found: &mut Found) -> Result<(), DiscoveryError> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => self.open().map_err(|source| DiscoveryError::Socket {
                doing: "the multicast group cannot be joined",
                source,
            })?,
        };
        self.call_and_listen(&socket, found).await.map_err(|source| DiscoveryError::Socket {
            doing: "the multicast group cannot be called",
            source,
        })?;
        self.socket = Some(socket);
        Ok(())
    }

    /// It rests while it listens.
    fn rest(&self) -> Duration {
        Duration::ZERO
    }
}

fn signer(key: &[u8; 32]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, key)
}

/// A signed call of the node at `own`.
fn call(own: SocketAddr, key: &[u8; 32]) -> Vec<u8> {
    let mut call = [MAGIC, own.to_string().as_bytes()].concat();
    let tag = hmac::sign(&signer(key), &call);
    call.extend_from_slice(tag.as_ref());
    call
}

/// Who calls, if it is one of us.
fn read_call(call: &[u8], keys: &[[u8; 32]]) -> Option<SocketAddr> {
    let (signed, tag) = call.split_at_checked(call.len().checked_sub(TAG_BYTES)?)?;
    let address = signed.strip_prefix(MAGIC)?;
    keys.iter().find(|key| hmac::verify(&signer(key), signed, tag).is_ok())?;
    std::str::from_utf8(address).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn own() -> SocketAddr {
        "127.0.0.1:7946".parse().unwrap()
    }

    #[test]
    fn a_call_is_believed_under_any_key_of_the_ring_and_no_other() {
        let call = call(own(), &[1; 32]);
        assert_eq!(read_call(&call, &[[2; 32], [1; 32]]), Some(own()));
        assert_eq!(read_call(&call, &[[2; 32]]), None);
    }

    proptest! {
        #[test]
        fn a_changed_or_arbitrary_call_is_nobodys(at in any::<prop::sample::Index>(), flip in 1u8..,
                                                   noise in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut call = call(own(), &[1; 32]);
            let at = at.index(call.len());
            call[at] ^= flip;
            prop_assert_eq!(read_call(&call, &[[1; 32]]), None);
            prop_assert_eq!(read_call(&noise, &[[1; 32]]), None);
        }
    }
}
