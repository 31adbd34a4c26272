//! Members of a real cluster: starting, draining, leaving, dying, coming back, and being told of it.
//!
//! How fast a death is told is proven on virtual time, beside the full cluster and its alarm; here it is proven that
//! real processes tell the same story, in order.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use node::service::view::{MemberEventView, StatusView};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;
use tests::cluster::Http;
use tests::lab::{eventually, eventually_ok, heavy};
use tests::solo::{Solo, new_key, output};

const WAIT_MAX: Duration = Duration::from_secs(60);

/// What a node tells of members, from now on. The command does not outlive its test.
struct Follower {
    child: Child,
    events: Receiver<MemberEventView>,
}

impl Follower {
    fn of(node: &Solo) -> Self {
        let mut watch = node.ask(&["members", "--watch", "--json"]);
        let mut child = watch.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (told, events) = channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let event = serde_json::from_str(&line).expect("an event");
                // Whoever followed may have gone.
                let _ = told.send(event);
            }
        });
        // The stream begins when the node has answered; what happens before would not be in it.
        node.wait_metric("starling_http_streams", |streams| streams >= 1.0);
        Follower { child, events }
    }

    /// What is told of a member from here on, up to and with `last`.
    fn story(&self, name: &str, last: &str) -> Vec<MemberEventView> {
        let mut story: Vec<MemberEventView> = Vec::new();
        while story.last().is_none_or(|event| event.event != last) {
            let event = self.events.recv_timeout(WAIT_MAX);
            let event =
                event.unwrap_or_else(|_| panic!("{name} was never told as {last}: {story:?}"));
            if event.name == name {
                story.push(event);
            }
        }
        story
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A story without what a loaded machine may add: links that were silent for a moment.
fn words(story: &[MemberEventView]) -> Vec<&str> {
    let mut words: Vec<&str> = Vec::new();
    for event in story {
        let is_back = event.event == "returned" && words.last() == Some(&"suspect");
        match is_back {
            true => drop(words.pop()),
            false => words.push(&event.event),
        }
    }
    words
}

fn state(node: &Solo, name: &str) -> Option<String> {
    node.members().into_iter().find(|member| member.name == name).map(|member| member.state)
}

fn signal(node: &Solo, signal: i32) {
    let pid = i32::try_from(node.pid()).unwrap();
    // SAFETY: kill takes two integers and touches no memory of ours.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

#[test]
fn what_becomes_of_a_member_is_told_in_every_way() {
    let _turn = heavy();
    let (folder, key) = (tempfile::tempdir().unwrap(), new_key());
    let told = folder.path().join("told");
    let hook = format!("cat >> {}", told.display());
    let one = Solo::start(folder.path(), "n1", &key, &["--on-member-event", &hook]);
    let watch = Follower::of(&one);
    let join = one.bound.peer.to_string();
    let two = Solo::start(folder.path(), "n2", &key, &["--join", &join]);
    assert_eq!(words(&watch.story("n2", "ready")), ["joined", "ready"]);
    let said = output(&mut two.ask(&["drain"]));
    assert_eq!(said, format!("{} is draining, 0 players connected", two.url()));
    assert_eq!(words(&watch.story("n2", "draining")), ["draining"]);
    eventually("a draining member", WAIT_MAX, || (state(&one, "n2")? == "draining").then_some(()));
    output(&mut two.ask(&["undrain", "--json"]));
    assert_eq!(words(&watch.story("n2", "ready")), ["ready"]);
    signal(&two, libc::SIGTERM);
    assert_eq!(words(&watch.story("n2", "left")), ["draining", "left"]);
    eventually("a member that left", WAIT_MAX, || (state(&one, "n2")? == "left").then_some(()));
    for word in ["joined", "ready", "draining", "left"] {
        let metric = format!("starling_member_events_total{{event=\"{word}\"}}");
        assert!(one.metric(&metric).unwrap() >= 1.0, "{word}");
        eventually(&format!("the hook's {word}"), WAIT_MAX, || {
            let hooked = fs::read_to_string(&told).ok()?;
            hooked.contains(&format!("\"event\":\"{word}\"")).then_some(())
        });
    }
}

#[test]
fn a_started_node_is_seen_by_all_and_a_killed_one_dies_and_returns_as_another_life() {
    let _turn = heavy();
    let (folder, key) = (tempfile::tempdir().unwrap(), new_key());
    let data = folder.path().join("d3").display().to_string();
    let one = Solo::start(folder.path(), "n1", &key, &[]);
    let join = one.bound.peer.to_string();
    let two = Solo::start(folder.path(), "n2", &key, &["--join", &join]);
    two.wait_members(2);
    let watches = [Follower::of(&one), Follower::of(&two)];
    let start = || Solo::start(folder.path(), "n3", &key, &["--join", &join, "--data", &data]);
    let three = start();
    let first = watches.each_ref().map(|watch| watch.story("n3", "ready"));
    for story in &first {
        assert_eq!(words(story), ["joined", "ready"]);
    }
    signal(&three, libc::SIGKILL);
    for watch in &watches {
        let story = watch.story("n3", "died");
        assert_eq!(story.last().map(|event| event.origin), Some(first[0][0].origin));
    }
    eventually("a dead member", WAIT_MAX, || (state(&one, "n3")? == "dead").then_some(()));
    drop(three);
    let again = start();
    for watch in &watches {
        let story = watch.story("n3", "ready");
        assert_eq!(story[0].event, "returned", "{story:?}");
        assert_eq!(story[0].node, first[0][0].node, "its id is in its store");
        assert_ne!(story[0].origin, first[0][0].origin, "it is another life");
    }
    again.wait_members(3);
    for node in [&one, &two, &again] {
        let of = node.members().into_iter().filter(|member| member.name == "n3");
        assert_eq!(of.count(), 1, "a node is one member, whatever its lives");
    }
}

#[test]
fn a_draining_node_is_not_ready() {
    let _turn = heavy();
    let (folder, key) = (tempfile::tempdir().unwrap(), new_key());
    let one = Solo::start(folder.path(), "n1", &key, &[]);
    let ready = || Http::new().get(&format!("{}/readyz", one.url()), "").status;
    assert_eq!(ready(), 200);
    output(&mut one.ask(&["drain", "--wait"]));
    assert_eq!(ready(), 503);
    output(&mut one.ask(&["undrain"]));
    assert_eq!(ready(), 200);
}

/// What `/readyz` and `status` say of a node.
fn judged(node: &Solo) -> (u16, StatusView) {
    let ready = Http::new().get(&format!("{}/readyz", node.url()), "").status;
    (ready, node.get("/api/v1/status"))
}

#[test]
fn a_copied_data_directory_displaces_the_older_process_which_says_so_as_do_the_others() {
    let _turn = heavy();
    let (folder, key) = (tempfile::tempdir().unwrap(), new_key());
    let (data, copied) = (folder.path().join("d3"), folder.path().join("copied"));
    let one = Solo::start(folder.path(), "n1", &key, &[]);
    let join = one.bound.peer.to_string();
    let two = Solo::start(folder.path(), "n2", &key, &["--join", &join]);
    let start = |name: &str, data: &Path| {
        let data = data.display().to_string();
        Solo::start(folder.path(), name, &key, &["--join", &join, "--data", &data])
    };
    let three = start("n3", &data);
    three.wait_members(3);
    // It stands still while it is copied, as for a snapshot of its machine.
    signal(&three, libc::SIGSTOP);
    fs::create_dir(&copied).unwrap();
    for file in fs::read_dir(&data).unwrap().map(Result::unwrap) {
        if file.file_type().unwrap().is_file() {
            fs::copy(file.path(), copied.join(file.file_name())).unwrap();
        }
    }
    signal(&three, libc::SIGCONT);
    let copy = start("n4", &copied);
    copy.wait_members(3);
    let displaced = eventually_ok("the older one's word", WAIT_MAX, || {
        let (ready, status) = judged(&three);
        let is_told = ready == 503 && status.verdict == "isolated";
        if is_told { Ok(status) } else { Err(format!("{ready} {status:?}")) }
    });
    assert!(displaced.reasons[0].contains("another process has this node's id"), "{displaced:?}");
    assert!(displaced.reasons.iter().all(|reason| !reason.contains("forget")), "{displaced:?}");
    assert_eq!(three.metric("starling_peer_displaced"), Some(1.0));
    let log = fs::read_to_string(folder.path().join("n3.log")).unwrap();
    assert!(log.contains("another process has this node's id and is newer"), "{log}");
    for node in [&one, &two] {
        let is_alarm =
            |reason: &String| reason.contains("two processes have the id") && reason.contains("n4");
        eventually_ok("the others' alarm", WAIT_MAX, || {
            let ((ready, status), twins) = (judged(node), node.metric("starling_peer_twins"));
            let is_told = status.verdict == "degraded" && status.reasons.iter().any(is_alarm);
            let is_all = is_told && ready == 200 && twins == Some(1.0);
            is_all.then_some(()).ok_or_else(|| format!("{ready}, {twins:?}: {:?}", status.reasons))
        });
    }
    assert_eq!(judged(&copy).0, 200, "the newer one serves");
    drop(copy);
    three.wait_members(3);
    eventually("a node that is itself again", WAIT_MAX, || {
        let (ready, status) = judged(&three);
        (ready == 200 && status.verdict == "healthy").then_some(())
    });
}
