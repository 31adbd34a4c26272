//! A player with rumqttc. README.md says what it does and which variables it reads.

use rumqttc::tokio_rustls::rustls;
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, QoS, TlsConfiguration};
use rumqttc::{Transport, v5};
use serde_json::{Value, json};
use std::collections::hash_map::RandomState;
use std::env;
use std::error::Error;
use std::hash::BuildHasher;
use std::process;
use std::sync::Arc;
use std::time::Duration;

type Outcome<T> = Result<T, Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome<()> {
    let pin = env::var("PIN")?;
    let name = env::var("NAME").unwrap_or_else(|_| "Example".to_owned());
    let url = env::var("MQTT_URL").unwrap_or_else(|_| "mqtt://127.0.0.1:1883".to_owned());
    let other = env::var("OTHER_URL").unwrap_or_else(|_| url.clone());
    // Whoever knows it can read this player's inbox.
    let random = |half: u32| RandomState::new().hash_one((half, process::id()));
    let player = format!("{:016x}{:016x}", random(0), random(1));

    let join = json!({ "pin": pin, "player": player, "name": name });
    let mut link = Link::open(&url, &player, &pin, &join).await?;
    let (mut token, mut instance, mut answered) = (None, None, false);
    loop {
        let (is_inbox, heard) = link.next().await?;
        if is_inbox {
            println!("{heard}");
            // Of this show: an inbox tells of every show that its player is in.
            if heard["type"] == "joined" && heard["pin"] == *pin {
                token = heard["token"].as_str().map(str::to_owned);
            }
            if heard["type"] == "receipt" {
                break;
            }
        } else {
            let stage = &heard["stage"];
            instance = (stage["phase"] == "open").then(|| stage["instance"].clone());
        }
        if let (Some(token), Some(instance), false) = (&token, &instance, answered) {
            answered = true;
            let answer = json!({ "token": token, "instance": instance, "choices": [0] });
            link.publish(&format!("answer/{}", slot_of(&player)), &answer).await?;
        }
    }
    drop(link);

    let mut link = Link::open(&other, &player, &pin, &json!({ "token": token })).await?;
    loop {
        let (is_inbox, heard) = link.next().await?;
        if is_inbox {
            println!("{heard}");
            if heard["type"] == "joined" {
                return Ok(());
            }
        }
    }
}

fn slot_of(player: &str) -> String {
    let add = |hash: u32, digit: u8| (hash ^ u32::from(digit)).wrapping_mul(16_777_619);
    let hash = player.bytes().fold(2_166_136_261, add);
    format!("{:02x}", (hash >> 8 ^ hash) & 255)
}

/// A connection in either version.
enum Link {
    V4(AsyncClient, Box<EventLoop>),
    V5(v5::AsyncClient, Box<v5::EventLoop>),
}

impl Link {
    /// Connects, subscribes, and publishes `first`.
    async fn open(url: &str, player: &str, pin: &str, first: &Value) -> Outcome<Self> {
        let (scheme, rest) = url.split_once("://").ok_or("MQTT_URL has no scheme")?;
        let address = rest.split('/').next().unwrap_or_default();
        let (host, port) = address.rsplit_once(':').ok_or("MQTT_URL has no port")?;
        // rumqttc wants the whole URL for WebSocket.
        let host = if scheme.starts_with("ws") { url } else { host };
        let (port, keep_alive) = (port.parse()?, Duration::from_secs(30));
        let client_id = format!("rust-{}", &player[..8]);
        let mut link = if env::var("MQTT_VERSION").is_ok_and(|version| version == "4") {
            let mut options = MqttOptions::new(client_id, host, port);
            options.set_keep_alive(keep_alive).set_transport(transport(scheme)?);
            let (client, events) = AsyncClient::new(options, 10);
            Link::V4(client, Box::new(events))
        } else {
            let mut options = v5::MqttOptions::new(client_id, host, port);
            options.set_keep_alive(keep_alive).set_transport(transport(scheme)?);
            let (client, events) = v5::AsyncClient::new(options, 10);
            Link::V5(client, Box::new(events))
        };
        link.subscribe(&format!("inbox/{player}")).await?;
        link.subscribe(&format!("live/{pin}")).await?;
        link.publish(&format!("connect/{}", slot_of(player)), first).await?;
        Ok(link)
    }

    async fn subscribe(&mut self, topic: &str) -> Outcome<()> {
        match self {
            Link::V4(client, _) => client.subscribe(topic, QoS::AtLeastOnce).await?,
            Link::V5(client, _) => client.subscribe(topic, v5::mqttbytes::QoS::AtLeastOnce).await?,
        }
        Ok(())
    }

    async fn publish(&mut self, topic: &str, payload: &Value) -> Outcome<()> {
        let payload = payload.to_string();
        match self {
            Link::V4(client, _) => {
                client.publish(topic, QoS::AtLeastOnce, false, payload).await?;
            }
            Link::V5(client, _) => {
                client.publish(topic, v5::mqttbytes::QoS::AtLeastOnce, false, payload).await?;
            }
        }
        Ok(())
    }

    /// The next message, and whether it came by the inbox. Nothing moves unless this is awaited.
    async fn next(&mut self) -> Outcome<(bool, Value)> {
        loop {
            let (topic, payload) = match self {
                Link::V4(_, events) => match events.poll().await? {
                    Event::Incoming(Packet::Publish(it)) => (it.topic, it.payload),
                    _ => continue,
                },
                Link::V5(_, events) => match events.poll().await? {
                    v5::Event::Incoming(v5::mqttbytes::v5::Packet::Publish(it)) => {
                        (String::from_utf8_lossy(&it.topic).into_owned(), it.payload)
                    }
                    _ => continue,
                },
            };
            return Ok((topic.starts_with("inbox/"), serde_json::from_slice(&payload)?));
        }
    }
}

fn transport(scheme: &str) -> Outcome<Transport> {
    Ok(match scheme {
        "mqtts" => Transport::Tls(tls()?),
        "wss" => Transport::Wss(tls()?),
        "ws" => Transport::Ws,
        _ => Transport::Tcp,
    })
}

/// Trusts the certificates in CA_FILE and nobody else.
fn tls() -> Outcome<TlsConfiguration> {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let mut trusted = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(env::var("CA_FILE")?)? {
        trusted.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    Ok(TlsConfiguration::Rustls(Arc::new(config)))
}
