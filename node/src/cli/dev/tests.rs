//! The fleet with real processes that only pretend to be nodes: a shell script writes the ready
//! file, says which ports it was given, and waits.

use super::cluster::Cluster;
use super::fleet::Fleet;
use super::launch::Launcher;
use crate::api::tests::fake::{FakeNode, HOST_TOKEN, PIN};
use crate::api::{Settings, router};
use crate::cli::{Exit, Failure};
use crate::token::TokenKeys;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;

/// Says that it listens on port `10 * N` of 127.0.0.N when it may choose, or where the file `nN.http`
/// says; leaves when a file `leave` appears.
const NODE: &str = r#"
while [ $# -gt 0 ]; do
    case "$1" in
        --name) name=$2 ;; --ready-file) ready=$2 ;; --http) http=$2 ;; --join) join=$2 ;;
    esac
    shift
done
number=${name#n}
[ -e "$(dirname "$ready")/$name.http" ] && http=$(cat "$(dirname "$ready")/$name.http")
[ "$http" = 127.0.0.1:0 ] && http=127.0.0.$number:${number}0
echo "joins $join"
echo "listens on $http"
printf '{"peer":"127.0.0.%s:1","http":"%s","mqtt":"127.0.0.1:3"}' "$number" "$http" > "$ready.part"
mv "$ready.part" "$ready"
while [ ! -e "$(dirname "$ready")/leave" ]; do sleep 0.02; done
echo "the disk is on fire"
exit 3
"#;

fn fleet(dir: &TempDir, script: &str, nodes: u16) -> Fleet {
    let file = dir.path().join("node.sh");
    fs::write(&file, script).unwrap();
    Fleet::new(Launcher::new("/bin/sh".into(), dir.path()).with_lead(file), nodes)
}

fn log(dir: &TempDir, name: &str) -> String {
    fs::read_to_string(dir.path().join(format!("{name}.log"))).unwrap()
}

fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn nodes_are_started_and_told_of_each_other() {
    let dir = TempDir::new().unwrap();
    let mut fleet = fleet(&dir, NODE, 3);
    fleet.start().await.unwrap();
    let ports: Vec<_> =
        fleet.seats().iter().map(|seat| seat.bound.as_ref().unwrap().http.port()).collect();
    assert_eq!(ports, [10, 20, 30]);
    assert!(log(&dir, "n1").starts_with("joins \n"));
    assert!(log(&dir, "n3").starts_with("joins 127.0.0.1:1\n"));
    fleet.stop().await;
}

#[tokio::test]
async fn a_killed_node_comes_back_on_its_ports() {
    let dir = TempDir::new().unwrap();
    let mut fleet = fleet(&dir, NODE, 2);
    fleet.start().await.unwrap();
    let (before, bound) = (fleet.seats()[0].pid, fleet.seats()[0].bound.clone());
    fleet.kill(1).await.unwrap();
    assert!(!lives(before));
    assert_eq!(fleet.running(), 1);
    fleet.restart(1).await.unwrap();
    assert_ne!(fleet.seats()[0].pid, before);
    assert_eq!(fleet.seats()[0].bound, bound);
    assert!(log(&dir, "n1").ends_with("joins 127.0.0.2:1\nlistens on 127.0.0.1:10\n"));
    fleet.stop().await;
}

#[tokio::test]
async fn an_order_that_makes_no_sense_is_answered() {
    let dir = TempDir::new().unwrap();
    let mut fleet = fleet(&dir, NODE, 1);
    fleet.start().await.unwrap();
    let refused = |error: Failure| error.message;
    assert!(refused(fleet.restart(1).await.unwrap_err()).contains("n1 is running; `k 1`"));
    assert!(refused(fleet.kill(0).await.unwrap_err()).contains("no node 0"));
    assert!(refused(fleet.kill(2).await.unwrap_err()).contains("no node 2"));
    fleet.kill(1).await.unwrap();
    assert!(refused(fleet.kill(1).await.unwrap_err()).contains("n1 is not running; `r 1`"));
}

#[tokio::test]
async fn a_node_that_ends_by_itself_is_reported_with_its_last_words() {
    let dir = TempDir::new().unwrap();
    let mut fleet = fleet(&dir, NODE, 1);
    fleet.start().await.unwrap();
    fs::write(dir.path().join("leave"), "").unwrap();
    let text = fleet.next_death().await;
    assert!(text.contains("n1 ended by itself (exit status: 3)"), "{text}");
    assert!(text.contains("    the disk is on fire"), "{text}");
    assert_eq!(fleet.running(), 0);
}

#[tokio::test]
async fn a_node_that_never_listens_is_an_error_with_its_log() {
    let dir = TempDir::new().unwrap();
    let mut fleet = fleet(&dir, "echo 'port in use'; exit 1", 2);
    let error = fleet.start().await.unwrap_err();
    assert!(error.to_string().contains("port in use"), "{error}");
}

#[tokio::test]
async fn a_stopped_fleet_leaves_no_process() {
    let dir = TempDir::new().unwrap();
    let mut fleet = fleet(&dir, NODE, 2);
    fleet.start().await.unwrap();
    let pids: Vec<_> = fleet.seats().iter().map(|seat| seat.pid).collect();
    assert!(pids.iter().all(|pid| lives(*pid)));
    fleet.stop().await;
    assert!(pids.iter().all(|pid| !lives(*pid)));
}

/// A fleet of two behind whose addresses the real API answers for a pretended node.
async fn answering_fleet(dir: &TempDir, keys: &TokenKeys) -> Fleet {
    for name in ["n1", "n2"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        fs::write(dir.path().join(format!("{name}.http")), addr.to_string()).unwrap();
        let node = Arc::new(FakeNode::trusting(keys.ops()));
        let app = router(node, Settings::new(format!("http://{addr}")));
        tokio::spawn(async move { axum::serve(listener, app).await });
    }
    let mut fleet = fleet(dir, NODE, 2);
    fleet.start().await.unwrap();
    fleet
}

#[tokio::test]
async fn a_cluster_is_told_to_programs_and_to_people() {
    let (dir, keys) = (TempDir::new().unwrap(), TokenKeys::new(&[[7; 32]]));
    let mut fleet = answering_fleet(&dir, &keys).await;
    let cluster = Cluster::found(&fleet, "a good show", &keys).await.unwrap();
    cluster.write(dir.path()).unwrap();
    let file = dir.path().join("cluster.json");
    let told: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let http = fleet.seats()[1].bound.as_ref().unwrap().http;
    assert_eq!(told["nodes"][1]["ws"], format!("ws://{http}/mqtt"));
    assert_eq!(told["nodes"][1]["peer"], "127.0.0.2:1");
    assert_eq!(told["nodes"][1]["pid"], fleet.seats()[1].pid);
    assert_eq!(told["event"]["pin"], PIN);
    assert_eq!(told["ops_token"], keys.ops());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let table = cluster.describe(&"DIR");
    assert!(table.contains(&format!("/?pin={PIN}")) && table.contains(HOST_TOKEN), "{table}");
    assert!(table.contains("STARLING_KEY_FILE=DIR/cluster.key"), "{table}");
    fleet.stop().await;
}

#[tokio::test]
async fn a_restarted_node_is_told_under_its_new_pid() {
    let (dir, keys) = (TempDir::new().unwrap(), TokenKeys::new(&[[7; 32]]));
    let mut fleet = answering_fleet(&dir, &keys).await;
    let mut cluster = Cluster::found(&fleet, "a good show", &keys).await.unwrap();
    fleet.kill(2).await.unwrap();
    super::restart(&mut fleet, &mut cluster, 2).await.unwrap();
    let told = fs::read(dir.path().join("cluster.json")).unwrap();
    let told: Value = serde_json::from_slice(&told).unwrap();
    assert_eq!(told["nodes"][1]["pid"], fleet.seats()[1].pid);
    fleet.stop().await;
}

#[tokio::test]
async fn a_bad_show_ends_with_its_problems() {
    let (dir, keys) = (TempDir::new().unwrap(), TokenKeys::new(&[[7; 32]]));
    let mut fleet = answering_fleet(&dir, &keys).await;
    let failure = Cluster::found(&fleet, "a bad show", &keys).await.unwrap_err();
    assert_eq!(failure.exit, Exit::Invalid);
    assert!(failure.message.contains(":7:3: questions[2].correct: "), "{failure}");
    fleet.stop().await;
}

/// The kernel ties a child to the thread that made it, which is how it outlives no `kill -9`.
#[cfg(target_os = "linux")]
#[test]
fn nodes_die_with_the_thread_that_started_them() {
    let dir = TempDir::new().unwrap();
    let mut fleet = fleet(&dir, NODE, 1);
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(fleet.start()).unwrap();
        let pid = fleet.seats()[0].pid;
        assert!(lives(pid));
        pid
    });
    let pid = thread.join().unwrap();
    let late = std::time::Instant::now() + Duration::from_secs(5);
    while lives(pid) {
        assert!(std::time::Instant::now() < late, "pid {pid} has outlived its parent");
        std::thread::yield_now();
    }
}
