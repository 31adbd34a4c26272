//! The pages and what they load, embedded in the binary.
//!
//! [`PAGES`] is the whole list; a file that is not in it does not exist. Every answer carries a hash
//! of its content as ETag, so that a browser asks each time and downloads once, and a node of a new
//! version never serves pages of the old one.

use super::{Api, ApiError, request};
use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use ring::digest;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Own scripts and styles only; connections to any node, whose addresses are known only at run time.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data: http: https:; media-src 'self' blob: http: https:; font-src 'self'; connect-src 'self' http: https: ws: wss:; \
    manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";

/// Content types by the end of a file's name.
const CONTENT_TYPES: [(&str, &str); 6] = [
    (".html", "text/html; charset=utf-8"),
    (".js", "text/javascript; charset=utf-8"),
    (".mjs", "text/javascript; charset=utf-8"),
    (".css", "text/css; charset=utf-8"),
    (".svg", "image/svg+xml"),
    ("LICENSE", "text/plain; charset=utf-8"),
];

macro_rules! embed {
    ($($path:literal => $file:literal),* $(,)?) => {
        &[$(($path, $file, include_bytes!(concat!("../../web/", $file)))),*]
    };
}

/// Path, file in `node/web`, content.
static PAGES: &[(&str, &str, &[u8])] = embed![
    "/" => "index.html",
    "/host" => "host.html",
    "/screen" => "screen.html",
    "/verify" => "verify.html",
    "/watch" => "watch.html",
    "/assets/app.css" => "app.css",
    "/assets/broker-link.js" => "broker-link.js",
    "/assets/common.js" => "common.js",
    "/assets/frame.js" => "frame.js",
    "/assets/host.js" => "host.js",
    "/assets/host-nodes.js" => "host-nodes.js",
    "/assets/host-people.js" => "host-people.js",
    "/assets/host-results.js" => "host-results.js",
    "/assets/host-rulings.js" => "host-rulings.js",
    "/assets/host-script.js" => "host-script.js",
    "/assets/host-trail.js" => "host-trail.js",
    "/assets/host-words.js" => "host-words.js",
    "/assets/icon.svg" => "icon.svg",
    "/assets/link.js" => "link.js",
    "/assets/media.js" => "media.js",
    "/assets/mqtt.js" => "mqtt.js",
    "/assets/nodes.js" => "nodes.js",
    "/assets/player-friends.js" => "player-friends.js",
    "/assets/player-state.js" => "player-state.js",
    "/assets/player-view.js" => "player-view.js",
    "/assets/player.js" => "player.js",
    "/assets/proof.js" => "proof.js",
    "/assets/screen.js" => "screen.js",
    "/assets/verify.js" => "verify.js",
    "/assets/watch.js" => "watch.js",
    "/assets/engagement/kinds.js" => "engagement/kinds.js",
    "/assets/engagement/options.js" => "engagement/options.js",
    "/assets/engagement/parts.js" => "engagement/parts.js",
    "/assets/engagement/picture.js" => "engagement/picture.js",
    "/assets/engagement/revised.js" => "engagement/revised.js",
    "/assets/vendor/hls-1.7.4.light.min.mjs" => "vendor/hls-1.7.4.light.min.mjs",
    "/assets/vendor/u8-mqtt-0.6.7-v5.min.js" => "vendor/u8-mqtt-0.6.7-v5.min.js",
];

macro_rules! embed_kinds {
    ($($module:ident $variant:ident ($path:path)),* $(,)?) => {
        &[$((
            concat!("/assets/engagement/", stringify!($module), ".js"),
            concat!("engagement/", stringify!($module), ".js"),
            include_bytes!(concat!("../../web/engagement/", stringify!($module), ".js")),
        )),*]
    };
}

/// The script of every kind of engagement, after the table of kinds.
static KIND_PAGES: &[(&str, &str, &[u8])] = crdt_state::for_each_kind!(embed_kinds);

fn all_pages() -> impl Iterator<Item = &'static (&'static str, &'static str, &'static [u8])> {
    PAGES.iter().chain(KIND_PAGES)
}

/// A file as it is served.
struct Page {
    content_type: &'static str,
    etag: HeaderValue,
    content: &'static [u8],
}

static BY_PATH: LazyLock<BTreeMap<&str, Page>> = LazyLock::new(|| {
    let page = |&(path, file, content)| {
        let (content_type, etag) = (content_type(file), etag(content));
        (path, Page { content_type, etag, content })
    };
    all_pages().map(page).collect()
});

/// A route per page.
pub(super) fn routes() -> Router<Api> {
    all_pages().fold(Router::new(), |router, (path, ..)| router.route(path, get(serve)))
}

async fn serve(uri: Uri, headers: HeaderMap) -> Result<Response, ApiError> {
    let Some(page) = BY_PATH.get(uri.path()) else {
        return Err(request::unknown_route(uri).await);
    };
    let fixed: [(HeaderName, &'static str); 4] = [
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Addresses of pages hold tokens.
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    let etag = [(header::ETAG, page.etag.clone())];
    if is_fresh(&headers, &page.etag) {
        return Ok((StatusCode::NOT_MODIFIED, fixed, etag).into_response());
    }
    let content_type = [(header::CONTENT_TYPE, page.content_type)];
    Ok((fixed, etag, content_type, page.content).into_response())
}

/// Whether the browser has this content already (RFC 9110, section 13.1.2).
fn is_fresh(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    let same = |tag: &str| tag.trim().trim_start_matches("W/").as_bytes() == etag.as_bytes();
    known.is_some_and(|known| known.trim() == "*" || known.split(',').any(same))
}

fn content_type(file: &str) -> &'static str {
    let of = CONTENT_TYPES.iter().find(|(end, _)| file.ends_with(end));
    of.expect("every embedded file has a content type").1
}

fn etag(content: &[u8]) -> HeaderValue {
    let hash = digest::digest(&digest::SHA256, content);
    let hex: String = hash.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    HeaderValue::from_str(&format!("\"{hex}\"")).expect("hexadecimal digits in quotes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_pages_is_embedded() {
        let web = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("web");
        let served: Vec<_> = all_pages().map(|(_, file, _)| web.join(file)).collect();
        let mut folders = vec![web];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                let ends = |end: &str| entry.to_string_lossy().ends_with(end);
                if entry.is_dir() {
                    folders.push(entry);
                } else if ends(".html")
                    || ends(".js")
                    || ends(".mjs")
                    || ends(".css")
                    || ends(".svg")
                {
                    assert!(served.contains(&entry), "{} is not in the table", entry.display());
                }
            }
        }
    }

    #[test]
    fn every_page_has_a_type_and_a_tag() {
        assert_eq!(BY_PATH.len(), all_pages().count());
        assert_eq!(BY_PATH["/"].content_type, "text/html; charset=utf-8");
        assert_ne!(BY_PATH["/"].etag, BY_PATH["/host"].etag);
    }

    #[test]
    fn a_tag_among_several_is_fresh() {
        let etag = etag(b"content");
        let asked = |known: &str| {
            let known = HeaderValue::from_str(known).unwrap();
            is_fresh(&HeaderMap::from_iter([(header::IF_NONE_MATCH, known)]), &etag)
        };
        let own = etag.to_str().unwrap();
        assert!(asked(own) && asked("*") && asked(&format!("\"x\", W/{own}")));
        assert!(!asked("\"x\""));
        assert!(!is_fresh(&HeaderMap::new(), &etag));
    }
}
