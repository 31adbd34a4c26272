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
    let options = ["Yes", "No"].map(str::to_owned).to_vec();
    let mut question = Question::choice("Will she score?", options, 1).open_ms(300_000);
    (question.media_ms, question.media_window_ms) = (Some(MEDIA_S * 1_000), 120_000);
    let show = node.show(&node::show::to_json(&Script::new("Match", vec![question])));
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

/// When the answer was given, as its receipt says.
async fn elapsed_ms(page: &Page) -> u64 {
    let receipt = format!("{}[data-status=accepted]", selector("receipt"));
    page.attribute(&receipt, "data-elapsed").await.parse().expect("a receipt tells the time")
}

/// Serves a file of silence to whoever asks; returns its address.
fn serve_silence() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        let file = silence();
        for stream in listener.incoming().flatten() {
            // A browser that goes away in the middle asks again for what it still wants.
            let _ = answer(stream, &file);
        }
    });
    format!("http://{address}/match.wav")
}

fn answer(mut stream: TcpStream, file: &[u8]) -> std::io::Result<()> {
    let mut first = 0;
    for line in BufReader::new(stream.try_clone()?).lines() {
        let line = line?.to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            first = range.split('-').next().and_then(|first| first.parse().ok()).unwrap_or(0);
        }
    }
    let (last, length) = (file.len() - 1, file.len());
    let first: usize = first.min(last);
    let head = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Type: audio/wav\r\nAccept-Ranges: bytes\r\n\
         Content-Range: bytes {first}-{last}/{length}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
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

fn block_on<T>(play: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().expect("a runtime can be made").block_on(play)
}

/// The clocks of streams by themselves, under Node.js, with a browser and an hls.js that are played to them.
#[test]
fn a_page_knows_where_its_stream_is_with_hls_js_and_without() {
    let Some(node) = need("node") else { return };
    run_with_pages(&node, "media.mjs", pages().path());
}
