//! A small workload that proves the simulator without a node: three processes that number
//! messages to each other over QUIC and store what they hear, and players who play echo.
//!
//! It meets everything a node meets: TLS handshakes and resumption, loss, a machine without power
//! and its return, a partition, streams that break, a store that must open again. What it asserts
//! is left to its caller: it reports.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::link::Link;
use crate::machine::{Crash, Life, Machine};
use crate::spawn::Spawn;
use crate::tcp::SimStream;
use crate::world::World;

/// The nodes of the mesh.
pub const NODES: [u8; 3] = [1, 2, 3];
/// The players; each begins at the node of its number.
pub const PLAYERS: [u16; 3] = [1, 2, 3];

const QUIC_PORT: u16 = 4433;
const ECHO_PORT: u16 = 1883;
/// The name in the certificate.
pub const NAME: &str = "node";
const SEND_EVERY: Duration = Duration::from_millis(100);
const REDIAL_AFTER: Duration = Duration::from_millis(300);
const IDLE_MAX: Duration = Duration::from_secs(2);
const KEEP_ALIVE: Duration = Duration::from_millis(500);
/// From sender to the highest number heard from it.
const HEARD: TableDefinition<'_, u8, u64> = TableDefinition::new("heard");

/// Fails with whatever failed: the workload has nothing to recover from.
pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What the mesh came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The highest number that a node stored, by (node, sender).
    pub heard: BTreeMap<(u8, u8), u64>,
    /// The same, as node 2's disk held it after the power came back.
    pub recovered: BTreeMap<(u8, u8), u64>,
    /// Echoes that each player heard.
    pub echoes: BTreeMap<u16, u64>,
}

/// A key and certificate that all nodes of a run share.
pub struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
}

/// Runs the mesh through its faults: node 2 loses power from 5 to 8 s, node 3 is cut off from 11
/// to 16 s, and all ends at 20 s.
///
/// # Errors
/// If a certificate, socket or store cannot be made, which no fault should cause.
pub async fn mesh(world: World) -> Result<Report> {
    let identity = Arc::new(Identity::generate()?);
    world.net().set_between_nodes(Link {
        loss: 0.02,
        duplication: 0.01,
        reordering: 0.02,
        ..Link::DATA_CENTRE
    });
    world.net().set_stream_patience(Duration::from_secs(3));
    for number in NODES {
        start_node(&world.node(number).boot(), number, &identity)?;
    }
    PLAYERS.into_iter().for_each(|number| start_player(&world.player(number).boot(), number));
    let recovered = faults(&world, &identity).await?;
    let mut heard = BTreeMap::new();
    for number in NODES {
        heard.extend(stop_and_read(&world.node(number), number)?);
    }
    let echoes = PLAYERS.map(|number| (number, read_echoes(&world.player(number))));
    Ok(Report { heard, recovered, echoes: echoes.into_iter().collect() })
}

async fn faults(world: &World, identity: &Arc<Identity>) -> Result<BTreeMap<(u8, u8), u64>> {
    let at =
        |seconds: u64| world.sleep(Duration::from_secs(seconds).saturating_sub(world.elapsed()));
    let second = world.node(2);
    let [first, third] = [1, 3].map(|number| world.node(number).ip());
    at(5).await;
    second.crash(Crash::Power);
    at(8).await;
    let life = second.boot();
    let recovered = read_store(&open_store(&life)?, 2)?;
    start_node(&life, 2, identity)?;
    at(11).await;
    world.net().partition(&[third], &[first, second.ip()]);
    at(16).await;
    world.net().heal();
    at(20).await;
    Ok(recovered)
}

impl Identity {
    /// A fresh Ed25519 key and its certificate.
    ///
    /// # Errors
    /// If no key or certificate can be made.
    pub fn generate() -> Result<Self> {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519)?;
        let parameters = rcgen::CertificateParams::new([NAME.to_owned()])?;
        let certificate = parameters.self_signed(&key)?.der().clone();
        Ok(Self { certificate, key: PrivatePkcs8KeyDer::from(key.serialize_der()) })
    }

    /// How a node answers; made anew for each life, for it holds session keys.
    ///
    /// # Errors
    /// If TLS refuses the certificate.
    pub fn server(&self) -> Result<quinn::ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::Pkcs8(self.key.clone_key());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key)?;
        let tls = QuicServerConfig::try_from(tls)?;
        let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
        config.transport_config(transport()?);
        Ok(config)
    }

    /// How a node dials; made anew for each life, for it holds session tickets.
    ///
    /// # Errors
    /// If TLS refuses the certificate.
    pub fn client(&self) -> Result<quinn::ClientConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone())?;
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
        config.transport_config(transport()?);
        Ok(config)
    }
}

fn transport() -> Result<Arc<quinn::TransportConfig>> {
    let mut transport = quinn::TransportConfig::default();
    transport.keep_alive_interval(Some(KEEP_ALIVE));
    transport.max_idle_timeout(Some(IDLE_MAX.try_into()?));
    Ok(Arc::new(transport))
}

fn start_node(life: &Life, number: u8, identity: &Identity) -> Result<()> {
    let store = Arc::new(open_store(life)?);
    let server = Some(identity.server()?);
    let endpoint = life.endpoint(QUIC_PORT, quinn::EndpointConfig::default(), server)?;
    let heard = hear(life.clone(), endpoint.clone(), store);
    life.spawner().spawn("hear", Box::pin(heard));
    let client = identity.client()?;
    for peer in NODES.into_iter().filter(|peer| *peer != number) {
        let to = SocketAddr::new([10, 0, 0, peer].into(), QUIC_PORT);
        let telling = tell(life.clone(), endpoint.clone(), client.clone(), (number, to));
        life.spawner().spawn("tell", Box::pin(telling));
    }
    let mut listener = life.listen(ECHO_PORT)?;
    let listening = life.clone();
    life.spawner().spawn(
        "listen",
        Box::pin(async move {
            while let Ok((stream, _)) = listener.accept().await {
                listening.spawner().spawn("echo", Box::pin(echo(stream)));
            }
        }),
    );
    Ok(())
}

/// Accepts connections and stores the numbers they bring.
async fn hear(life: Life, endpoint: quinn::Endpoint, store: Arc<Database>) {
    while let Some(incoming) = endpoint.accept().await {
        let (inner, store) = (life.clone(), store.clone());
        life.spawner().spawn(
            "heard",
            Box::pin(async move {
                let Ok(connection) = incoming.await else { return };
                while let Ok(mut stream) = connection.accept_uni().await {
                    let mut message = [0; 9];
                    while stream.read_exact(&mut message).await.is_ok() {
                        if let Err(error) = remember(&store, message) {
                            return inner.note(&format!("store failed: {error}"), 0);
                        }
                    }
                }
            }),
        );
    }
}

/// Sends one number after the other to a peer, over a new connection when the old one breaks.
async fn tell(
    life: Life,
    endpoint: quinn::Endpoint,
    client: quinn::ClientConfig,
    (number, to): (u8, SocketAddr),
) {
    let mut sent = 0_u64;
    loop {
        let telling = async {
            let connection = endpoint.connect_with(client.clone(), to, NAME)?.await?;
            let mut stream = connection.open_uni().await?;
            loop {
                sent += 1;
                let mut message = vec![number];
                message.extend(sent.to_be_bytes());
                stream.write_all(&message).await?;
                tokio::time::sleep(SEND_EVERY).await;
            }
        };
        let broken: Result<()> = telling.await;
        life.note(&format!("telling {to} ended: {broken:?}"), sent);
        tokio::time::sleep(REDIAL_AFTER).await;
    }
}

async fn echo(mut stream: SimStream) {
    let mut word = [0; 8];
    while stream.read_exact(&mut word).await.is_ok() && stream.write_all(&word).await.is_ok() {}
}

/// A player keeps shouting at a node, and goes to the next one when the stream breaks.
fn start_player(life: &Life, number: u16) {
    let player = life.clone();
    life.spawner().spawn(
        "player",
        Box::pin(async move {
            let mut node = usize::from(number);
            let mut heard = 0_u64;
            loop {
                let at = NODES[node % NODES.len()];
                let to = SocketAddr::new([10, 0, 0, at].into(), ECHO_PORT);
                let ended = shout(&player, to, &mut heard).await;
                player.note(
                    &format!("player left {to}: {:?}", ended.map_err(|why| why.kind())),
                    heard,
                );
                node += 1;
                tokio::time::sleep(REDIAL_AFTER).await;
            }
        }),
    );
}

async fn shout(player: &Life, to: SocketAddr, heard: &mut u64) -> std::io::Result<()> {
    let mut stream = player.connect(to).await?;
    loop {
        stream.write_all(&heard.to_be_bytes()).await?;
        let mut word = [0; 8];
        stream.read_exact(&mut word).await?;
        *heard = u64::from_be_bytes(word) + 1;
        redb::StorageBackend::write(&player.open_file("echoes"), 0, &heard.to_be_bytes())?;
        tokio::time::sleep(SEND_EVERY).await;
    }
}

fn read_echoes(player: &Machine) -> u64 {
    player.crash(Crash::Process);
    let mut word = [0; 8];
    let read = redb::StorageBackend::read(&player.boot().open_file("echoes"), 0, &mut word);
    read.map_or(0, |()| u64::from_be_bytes(word))
}

fn open_store(life: &Life) -> Result<Database> {
    Ok(Database::builder().create_with_backend(life.open_file("store"))?)
}

fn remember(store: &Database, message: [u8; 9]) -> Result<()> {
    let [sender, number @ ..] = message;
    let transaction = store.begin_write()?;
    transaction.open_table(HEARD)?.insert(sender, u64::from_be_bytes(number))?;
    Ok(transaction.commit()?)
}

fn stop_and_read(machine: &Machine, number: u8) -> Result<BTreeMap<(u8, u8), u64>> {
    machine.crash(Crash::Process);
    read_store(&open_store(&machine.boot())?, number)
}

fn read_store(store: &Database, number: u8) -> Result<BTreeMap<(u8, u8), u64>> {
    let transaction = store.begin_read()?;
    let table = match transaction.open_table(HEARD) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(BTreeMap::new()),
        table => table?,
    };
    let entries = table.iter()?.map(|entry| {
        let (sender, highest) = entry?;
        Ok(((number, sender.value()), highest.value()))
    });
    entries.collect()
}
