//! What raw streams of quinn carry: the same batches between as many processes' worth of endpoints, without a word of
//! protocol. It is the limit of the network on this machine; nobody decodes, applies or acknowledges anything.

use super::NODES;
use super::state;
use bytes::Bytes;
use quinn::{Connection, Endpoint, EndpointConfig, TokioRuntime};
use sim::mesh::{Identity, NAME};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Instant;
use tokio::task::JoinSet;

/// A burst of everybody's answers, a share from each endpoint to all others; answers per second.
pub(super) async fn measure(players: usize) -> Result<f64, String> {
    let identity = Identity::generate().map_err(text)?;
    let endpoints: Vec<Endpoint> =
        (0..NODES).map(|_| open(&identity)).collect::<Result<_, String>>()?;
    let mut shares: Vec<Vec<Bytes>> = vec![Vec::new(); NODES];
    for (index, (_, entry)) in state::entries(players, 0, 0).into_iter().enumerate() {
        shares[index % NODES].push(entry.into());
    }
    let mut ways = Vec::new();
    for from in 0..NODES {
        for to in (0..NODES).filter(|to| *to != from) {
            ways.push((from, connect(&endpoints[from], &endpoints[to]).await?));
        }
    }
    let (mut work, began) = (JoinSet::new(), Instant::now());
    for (from, (sender, receiver)) in ways {
        let batches = shares[from].clone();
        let wanted: usize = batches.iter().map(Bytes::len).sum();
        work.spawn(async move {
            let ((), read) = tokio::try_join!(send(&sender, batches), receive(&receiver))?;
            if read == wanted { Ok(()) } else { Err(format!("{read} of {wanted} bytes came")) }
        });
    }
    while let Some(done) = work.join_next().await {
        done.map_err(text)??;
    }
    Ok(players as f64 / began.elapsed().as_secs_f64())
}

fn open(identity: &Identity) -> Result<Endpoint, String> {
    let (socket, _) = gossip::network::open_socket(([127, 0, 0, 1], 0).into()).map_err(text)?;
    let (server, runtime) = (identity.server().map_err(text)?, Arc::new(TokioRuntime));
    let settings = EndpointConfig::default();
    let mut endpoint = Endpoint::new_with_abstract_socket(settings, Some(server), socket, runtime)
        .map_err(text)?;
    endpoint.set_default_client_config(identity.client().map_err(text)?);
    Ok(endpoint)
}

async fn connect(from: &Endpoint, to: &Endpoint) -> Result<(Connection, Connection), String> {
    let address = to.local_addr().map_err(text)?;
    let dialling = from.connect(address, NAME).map_err(text)?;
    let accepting = async { to.accept().await.ok_or("an endpoint is closed")?.await.map_err(text) };
    tokio::try_join!(async { dialling.await.map_err(text) }, accepting)
}

async fn send(over: &Connection, batches: Vec<Bytes>) -> Result<(), String> {
    let mut stream = over.open_uni().await.map_err(text)?;
    for batch in batches {
        stream.write_chunk(batch).await.map_err(text)?;
    }
    stream.finish().map_err(text)
}

async fn receive(over: &Connection) -> Result<usize, String> {
    let mut stream = over.accept_uni().await.map_err(text)?;
    let mut read = 0;
    while let Some(chunk) = stream.read_chunk(usize::MAX, true).await.map_err(text)? {
        read += chunk.bytes.len();
    }
    Ok(read)
}

fn text(error: impl Display) -> String {
    error.to_string()
}
