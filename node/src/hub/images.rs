//! Pictures of questions: a node fetches each once, and serves it to all its players.
//!
//! A show names a picture by its address. Were every player to fetch it there, a crowd would do so in one
//! second, and whoever serves it would learn who plays. So each node fetches it when somebody first asks,
//! while all others who ask wait for the same fetch, and keeps it. It is served under a name that is made with
//! the question's salt, so that nobody sees the picture of a question that was not shown yet.
//!
//! A fetch is bounded in time, size and redirects, and what comes has to begin as a picture does, whatever it
//! says to be. SVG is none of these: it can hold scripts, which would run as this node's own. All that is kept
//! together is bounded too: the pictures that came first make room.

use super::Hub;
use crate::api::metrics::Sample;
use crate::env::Blocking;
use crate::service::Image;
use crate::service::view::Refusal;
use bytes::Bytes;
use crdt_state::EventId;
use std::collections::{BTreeMap, VecDeque};
use std::io::Read;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tracing::warn;

/// The largest picture: 8 MiB, far more than a screen can show. Arbitrary.
const IMAGE_BYTES_MAX: usize = 8 << 20;
/// All that a node keeps: 128 MiB, the pictures of a few shows. Arbitrary.
const KEPT_BYTES_MAX: usize = 128 << 20;
/// Addresses that a node remembers, those without a picture included.
const KEPT_MAX: usize = 4_096;
/// After a fetch that failed the next one waits: 5 s, arbitrary; players ask all the time.
const AGAIN: Duration = Duration::from_secs(5);
/// A server that takes longer is down.
const FETCH_TIMEOUT: Duration = Duration::from_secs(8);
const REDIRECTS_MAX: u32 = 3;

/// The pictures that a node keeps.
pub(super) struct Images {
    blocking: Arc<dyn Blocking>,
    kept: Mutex<Kept>,
    fetches: AtomicU64,
    failures: AtomicU64,
}

#[derive(Default)]
struct Kept {
    by_address: BTreeMap<String, Arc<Place>>,
    /// Addresses in the order in which they came.
    order: VecDeque<String>,
    bytes: usize,
}

/// What became of an address; whoever fetches holds it.
type Place = tokio::sync::Mutex<Option<(Instant, Result<Image, Refusal>)>>;

impl Kept {
    fn place(&mut self, address: &str) -> Arc<Place> {
        if let Some(place) = self.by_address.get(address) {
            return Arc::clone(place);
        }
        if self.order.len() >= KEPT_MAX {
            self.drop_oldest();
        }
        let place = Arc::<Place>::default();
        self.by_address.insert(address.to_owned(), Arc::clone(&place));
        self.order.push_back(address.to_owned());
        place
    }

    /// Accounts for a picture that has come.
    fn grow(&mut self, bytes: usize) {
        self.bytes += bytes;
        while self.bytes > KEPT_BYTES_MAX && self.order.len() > 1 {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let place = self.order.pop_front().and_then(|address| self.by_address.remove(&address));
        let Some(place) = place else { return };
        // Of one that is being fetched nothing is counted yet.
        let held = place.try_lock();
        if let Ok(held) = held
            && let Some((_, Ok(image))) = &*held
        {
            self.bytes = self.bytes.saturating_sub(image.bytes.len());
        }
    }
}

impl Images {
    pub(super) fn new(blocking: Arc<dyn Blocking>) -> Self {
        let (fetches, failures) = (AtomicU64::new(0), AtomicU64::new(0));
        Images { blocking, kept: Mutex::default(), fetches, failures }
    }

    /// The picture at an address.
    ///
    /// # Errors
    /// `image_unavailable`.
    async fn at(&self, address: &str) -> Result<Image, Refusal> {
        let place = self.kept().place(address);
        let mut held = place.lock().await;
        if let Some((at, outcome)) = &*held
            && (outcome.is_ok() || at.elapsed() < AGAIN)
        {
            return outcome.clone();
        }
        let outcome = self.fetch(address).await;
        *held = Some((Instant::now(), outcome.clone()));
        drop(held);
        if let Ok(image) = &outcome {
            self.kept().grow(image.bytes.len());
        }
        outcome
    }

    async fn fetch(&self, address: &str) -> Result<Image, Refusal> {
        self.fetches.fetch_add(1, Relaxed);
        let source = address.to_owned();
        let fetched = self.blocking.result_of(move || load(&source)).await;
        let outcome = fetched.unwrap_or_else(|| Err("the work was given up".to_owned()));
        outcome.map_err(|reason| {
            self.failures.fetch_add(1, Relaxed);
            warn!(address, reason, "a picture cannot be had");
            let message = format!("the picture cannot be had: {reason}");
            Refusal::new("image_unavailable", message).hint("try again in some seconds")
        })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Blocks, at most [`FETCH_TIMEOUT`].
fn load(address: &str) -> Result<Image, String> {
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(FETCH_TIMEOUT))
        .max_redirects(REDIRECTS_MAX);
    let agent: ureq::Agent = config.build().into();
    let mut response = agent.get(address).call().map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    let mut body = response.body_mut().as_reader().take(IMAGE_BYTES_MAX as u64 + 1);
    body.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() > IMAGE_BYTES_MAX {
        return Err(format!("it has more than {IMAGE_BYTES_MAX} bytes"));
    }
    let kind = kind_of(&bytes).ok_or("it is no PNG, JPEG, GIF, WebP or AVIF")?;
    Ok(Image { kind, bytes: Bytes::from(bytes) })
}

/// What a picture is, by how it begins.
fn kind_of(bytes: &[u8]) -> Option<&'static str> {
    let at =
        |from: usize, magic: &[u8]| bytes.get(from..).is_some_and(|rest| rest.starts_with(magic));
    let kinds = [
        (at(0, b"\x89PNG\r\n\x1a\n"), "image/png"),
        (at(0, b"\xff\xd8\xff"), "image/jpeg"),
        (at(0, b"GIF87a") || at(0, b"GIF89a"), "image/gif"),
        (at(0, b"RIFF") && at(8, b"WEBP"), "image/webp"),
        (at(4, b"ftypavif") || at(4, b"ftypavis"), "image/avif"),
    ];
    kinds.iter().find_map(|(is, kind)| is.then_some(*kind))
}

impl Images {
    pub(super) fn samples(&self) -> Vec<Sample> {
        let sample = |name, help, value: u64| Sample::new(name, help, value as f64);
        let bytes = self.kept().bytes as u64;
        let (fetches, failures) = (self.fetches.load(Relaxed), self.failures.load(Relaxed));
        vec![
            sample("starling_image_bytes", "Pictures that are kept, in bytes.", bytes),
            sample("starling_image_fetches_total", "How often one was fetched.", fetches),
            sample("starling_image_fetch_failures_total", "How often that failed.", failures),
        ]
    }
}

impl Hub {
    /// The picture of an event that nodes serve under a name.
    pub(super) async fn picture(&self, event: EventId, name: &str) -> Result<Image, Refusal> {
        let (owner, wanted) = (self.owner(event).await?, name.to_owned());
        let address = owner.read(move |core, _, _| core.image_of(&wanted)).await.flatten();
        let address = address.ok_or_else(|| {
            Refusal::new("image_unknown", "no question that was shown has this picture")
                .hint("take the path from the live state, as `question.image_path`")
        })?;
        self.images.at(&address).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Env;
    use std::io::Write;
    use std::net::{SocketAddr, TcpListener};
    use std::sync::atomic::AtomicUsize;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\nand so on";

    /// A server that answers every request with this, and counts them.
    fn server(answer: Vec<u8>) -> (SocketAddr, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has room");
        let (addr, asked) =
            (listener.local_addr().expect("it is bound"), Arc::<AtomicUsize>::default());
        let count = Arc::clone(&asked);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                count.fetch_add(1, Relaxed);
                let mut head = [0; 1_024];
                let _ = stream.read(&mut head);
                let _ = stream.write_all(&answer);
            }
        });
        (addr, asked)
    }

    fn ok(body: &[u8]) -> Vec<u8> {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    }

    fn images() -> Images {
        Images::new(Env::system().expect("there is entropy").blocking)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_crowd_that_asks_at_once_is_one_fetch() {
        let (addr, asked) = server(ok(PNG));
        let (images, address) = (Arc::new(images()), format!("http://{addr}/a.png"));
        let asking = (0..100).map(|_| {
            let (images, address) = (Arc::clone(&images), address.clone());
            tokio::spawn(async move { images.at(&address).await })
        });
        for asking in asking.collect::<Vec<_>>() {
            let image = asking.await.expect("nobody panics").expect("it is there");
            assert_eq!((image.kind, &image.bytes[..]), ("image/png", PNG));
        }
        assert_eq!(asked.load(Relaxed), 1);
        assert_eq!(images.kept().bytes, PNG.len());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_no_picture_is_refused_and_not_asked_for_again_at_once() {
        let script = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>";
        let (addr, asked) = server(ok(script));
        let (images, address) = (images(), format!("http://{addr}/a.svg"));
        for _ in 0..3 {
            let refusal = images.at(&address).await.expect_err("it is a script");
            assert_eq!(refusal.code, "image_unavailable");
            assert!(refusal.message.contains("it is no PNG"), "{}", refusal.message);
        }
        assert_eq!(asked.load(Relaxed), 1);
        assert_eq!(images.failures.load(Relaxed), 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_picture_that_is_too_large_is_not_read_to_its_end() {
        let mut body = PNG.to_vec();
        body.resize(IMAGE_BYTES_MAX + 1, 0);
        let (addr, _) = server(ok(&body));
        let refusal = images().at(&format!("http://{addr}/")).await.expect_err("it is too large");
        assert!(refusal.message.contains("more than"), "{}", refusal.message);
    }

    #[test]
    fn the_pictures_that_came_first_make_room() {
        let mut kept = Kept::default();
        for number in 0..3 {
            let place = kept.place(&number.to_string());
            let image =
                Image { kind: "image/png", bytes: Bytes::from(vec![0; KEPT_BYTES_MAX / 2]) };
            *place.try_lock().expect("nobody else has it") = Some((Instant::now(), Ok(image)));
            kept.grow(KEPT_BYTES_MAX / 2);
        }
        assert_eq!(kept.by_address.keys().collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(kept.bytes, KEPT_BYTES_MAX / 2 * 2);
    }

    #[test]
    fn a_picture_is_known_by_how_it_begins() {
        assert_eq!(kind_of(b"\xff\xd8\xff\xe0"), Some("image/jpeg"));
        assert_eq!(kind_of(b"RIFF....WEBPVP8 "), Some("image/webp"));
        assert_eq!(kind_of(b"....ftypavif"), Some("image/avif"));
        assert_eq!(kind_of(b"GIF89a"), Some("image/gif"));
        for none in [&b""[..], b"<svg>", b"RIFF....WAVE", b"<html>"] {
            assert_eq!(kind_of(none), None);
        }
    }
}
