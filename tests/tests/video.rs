//! A question that is tied to a stream's time, beside a stream that a real browser plays.
//!
//! The stream is silence in a file of its own server: what matters is its time.

use crdt_state::engagement::{Question, Script};
use node::service::view::Command;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};
use tests::browser::{Browsers, Page, selector};
use tests::javascript::{pages, run_with_pages};
use tests::lab::{self, eventually, need};
use tests::single::Single;

/// The question comes with this second of the stream.
const MEDIA_S: u32 = 20;
const STREAM_S: u32 = 60;

#[test]
fn a_question_waits_for_the_stream_and_its_time_counts_from_then() {
    let Some(browsers) = Browsers::start() else { return };
    let _turn = lab::heavy();
    let node = Single::start(&[]);
    let stream = serve_silence();
    let show = node.show(&with_the_stream());
    let (base, pin) = (format!("http://{}", node.bound.http), &show.imported.pin);
    block_on(async {
        let page = browsers.open(&format!("{base}/watch?pin={pin}&src={stream}")).await;
        let plain = browsers.open(&format!("{base}/?pin={pin}")).await;
        for (page, name) in [(&page, "Ada"), (&plain, "Ben")] {
            page.write("name", name).await;
            page.click("join").await;
            page.see(&selector("joined")).await;
        }
        page.run("const v = document.querySelector('video'); v.pause(); v.currentTime = 1").await;
        let opened = Instant::now();
        node.step(&show, Command::Open);
        page.see(&selector("waiting-stream")).await;
        // Without a stream there is nothing to wait for.
        plain.see(&selector("option-0")).await;
        eventually("the question being open for a while", Duration::from_secs(60), || {
            let age = node.host_view(&show)?.live.age_ms?;
            (age > 3_000).then_some(())
        });
        page.see(&selector("waiting-stream")).await;
        assert_eq!(page.count(&selector("option-0")).await, 0);

        let before = Instant::now();
        page.run(&format!("document.querySelector('video').currentTime = {}", MEDIA_S - 1)).await;
        page.run("document.querySelector('video').play()").await;
        page.see(&selector("option-0")).await;
        let at = page.run("return document.querySelector('video').currentTime").await;
        assert!(at.as_f64().unwrap() >= f64::from(MEDIA_S), "shown at {at}");
        page.click("option-0").await;
        let elapsed = elapsed_ms(&page).await;
        let (own, all) = (before.elapsed().as_millis() as u64, opened.elapsed().as_millis() as u64);
        assert!(elapsed <= own && own + 2_000 < all, "{elapsed} ms of {own}, opened {all} ms ago");

        plain.click("option-0").await;
        let elapsed = elapsed_ms(&plain).await;
        assert!(elapsed > 3_000, "without a stream time counts from the opening: {elapsed}");
    });
    drop(browsers);
}

/// A show whose question waits for the stream.
fn with_the_stream() -> String {
    let options = ["Yes", "No"].map(str::to_owned).to_vec();
    let mut question = Question::choice("Will she score?", options, 1).open_ms(300_000);
    (question.media_ms, question.media_window_ms) = (Some(MEDIA_S * 1_000), 120_000);
    node::show::to_json(&Script::new("Match", vec![question]))
}

/// When the answer was given, as its receipt says.
async fn elapsed_ms(page: &Page) -> u64 {
    let receipt = format!("{}[data-status=accepted]", selector("receipt"));
    page.attribute(&receipt, "data-elapsed").await.parse().expect("a receipt tells the time")
}

/// Chromium plays HLS and does not say which moment it shows: hls.js, which nodes serve, does both.
#[test]
fn a_live_stream_with_program_dates_has_a_clock_and_one_that_is_not_there_holds_nothing_back() {
    let Some(browsers) = Browsers::start() else { return };
    let _turn = lab::heavy();
    let node = Single::start(&[]);
    let stream = serve(hls());
    let show = node.show(&with_the_stream());
    let (base, pin) = (format!("http://{}", node.bound.http), &show.imported.pin);
    block_on(async {
        let watch = |file: &str| format!("{base}/watch?pin={pin}&start=1000&src={stream}{file}");
        let page = browsers.open(&watch("live.m3u8")).await;
        let lost = browsers.open(&watch("lost.m3u8")).await;
        for (page, name) in [(&page, "Ada"), (&lost, "Ben")] {
            page.write("name", name).await;
            page.click("join").await;
            page.see(&selector("joined")).await;
        }
        page.see("#stream-note[hidden]").await;
        plays(&page).await;
        lost.see("#stream-note:not([hidden])").await;
        assert!(lost.text("stream-note").await.contains("questions come as they open"));
        page.run("const v = document.querySelector('video'); v.pause(); v.currentTime = 1").await;
        node.step(&show, Command::Open);
        lost.see(&selector("option-0")).await;
        page.see(&selector("waiting-stream")).await;
        let to = MEDIA_S - 1;
        page.run(&format!("document.querySelector('video').currentTime = {to}")).await;
        page.run("document.querySelector('video').play()").await;
        page.see(&selector("option-0")).await;
        let at = page.run("return document.querySelector('video').currentTime").await;
        assert!(at.as_f64().unwrap() >= f64::from(MEDIA_S) - 0.5, "shown at {at}");
        page.click("option-0").await;
        elapsed_ms(&page).await;
    });
    drop(browsers);
}

/// Waits until the page's video plays.
async fn plays(page: &Page) {
    let plays = "const v = document.querySelector('video'); v.play().catch(() => {}); return v.currentTime > 0.2";
    let deadline = Instant::now() + Duration::from_secs(60);
    while page.run(plays).await != true {
        let why =
            "const v = document.querySelector('video'); return [v.readyState, v.error?.message]";
        assert!(Instant::now() < deadline, "it does not play: {}", page.run(why).await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A file that a server has: its name, its media type and its bytes.
type File = (&'static str, &'static str, Vec<u8>);

/// Serves a file of silence to whoever asks; returns its address.
fn serve_silence() -> String {
    format!("{}match.wav", serve(vec![("match.wav", "audio/wav", silence())]))
}

/// Serves files to pages of any origin; returns the address of their folder.
fn serve(files: Vec<File>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A browser that goes away in the middle asks again for what it still wants.
            let _ = answer(stream, &files);
        }
    });
    format!("http://{address}/")
}

fn answer(mut stream: TcpStream, files: &[File]) -> std::io::Result<()> {
    let (mut first, mut asked) = (0, String::new());
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?.to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(path) = line.strip_prefix("get /") {
            asked = path.split([' ', '?']).next().unwrap_or_default().to_owned();
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            first = range.split('-').next().and_then(|first| first.parse().ok()).unwrap_or(0);
        }
    }
    let Some((_, kind, file)) = files.iter().find(|(name, ..)| *name == asked) else {
        let head =
            "HTTP/1.1 404 Not Found\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: 0\r\n";
        return stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes());
    };
    let (last, length) = (file.len() - 1, file.len());
    let first: usize = first.min(last);
    let status = if asked.ends_with(".wav") { "206 Partial Content" } else { "200 OK" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nAccess-Control-Allow-Origin: *\r\n\
         Accept-Ranges: bytes\r\nContent-Range: bytes {first}-{last}/{length}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        length - first
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(&file[first..])
}

/// A minute of nothing, 8,000 samples a second of 8 bits each (RIFF WAVE, PCM, mono).
fn silence() -> Vec<u8> {
    const RATE: u32 = 8_000;
    let samples = RATE * STREAM_S;
    let mut file = b"RIFF".to_vec();
    file.extend((36 + samples).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    file.extend([1, 0, 1, 0]);
    file.extend(RATE.to_le_bytes());
    file.extend(RATE.to_le_bytes());
    file.extend([1, 0, 8, 0]);
    file.extend(b"data");
    file.extend(samples.to_le_bytes());
    file.resize(file.len() + samples as usize, 128);
    file
}

/// A minute of the same as HLS: pieces of MP3 without a container (RFC 8216, section 3.4), the first of them at the
/// program date 1 s after the epoch.
fn hls() -> Vec<File> {
    // MPEG-1 layer III, 128 kbit/s, 48 kHz, mono: 24 ms a frame, all of whose granules are empty.
    let mut frame = vec![0xff, 0xfb, 0x94, 0xc4];
    frame.resize(384, 0);
    let mut list = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:5\n".to_owned();
    list.push_str("#EXT-X-PROGRAM-DATE-TIME:1970-01-01T00:00:01.000Z\n");
    for number in 0..13 {
        list.push_str(&format!("#EXTINF:4.8,\npiece.mp3?{number}\n"));
    }
    list.push_str("#EXT-X-ENDLIST\n");
    let list = ("live.m3u8", "application/vnd.apple.mpegurl", list.into_bytes());
    vec![list, ("piece.mp3", "audio/mpeg", frame.repeat(200))]
}

fn block_on<T>(play: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().expect("a runtime can be made").block_on(play)
}

/// The clocks of streams by themselves, under Node.js, with a browser and an hls.js that are played to them.
#[test]
fn a_page_knows_where_its_stream_is_with_hls_js_and_without() {
    let Some(node) = need("node") else { return };
    run_with_pages(&node, "media.mjs", pages().path());
}
