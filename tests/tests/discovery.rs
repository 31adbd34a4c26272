//! Nodes that find each other, each way for real.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tests::binary::starling_path;
use tests::lab::{eventually, heavy, need, skip};
use tests::solo::{Solo, new_key, ops_token};

/// A DNS server on loopback that knows what its hosts file says.
struct Dnsmasq {
    child: Child,
    port: u16,
}

impl Dnsmasq {
    fn start(program: &Path, hosts: &Path, more: &[String]) -> Self {
        let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(program);
        command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--pid-file="]);
        command.args(["--no-resolv", "--no-hosts", "--bind-interfaces", "--local=/test/"]);
        command.args(["--listen-address=127.0.0.1", "--user=root"]);
        command.arg(format!("--port={port}")).arg(format!("--addn-hosts={}", hosts.display()));
        command.args(more).stdin(Stdio::null()).stdout(Stdio::null());
        Dnsmasq { child: command.spawn().unwrap(), port }
    }

    /// Reads the hosts file again.
    fn reload(&self) {
        let pid = i32::try_from(self.child.id()).unwrap();
        // SAFETY: kill takes two integers and touches no memory of ours.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGHUP) }, 0);
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn has_ipv6() -> bool {
    UdpSocket::bind("[::1]:0").is_ok()
}

#[test]
fn a_dns_server_leads_to_nodes_and_its_empty_answers_change_nothing() {
    let Some(dnsmasq) = need("dnsmasq") else { return };
    let _turn = heavy();
    let (folder, key) = (tempfile::tempdir().unwrap(), new_key());
    let one = Solo::start(folder.path(), "n1", &key, &[]);
    let port = one.bound.peer.port();
    let hosts = folder.path().join("hosts");
    fs::write(&hosts, "127.0.0.1 nodes.test\n127.0.0.1 n1.test\n").unwrap();
    let service = format!("--srv-host=_starling._udp.test,n1.test,{port}");
    let dns = Dnsmasq::start(&dnsmasq, &hosts, &[service]);

    let by_address = format!("dns://nodes.test:{port}?server=127.0.0.1:{}", dns.port);
    let two = Solo::start(folder.path(), "n2", &key, &["--discover", &by_address]);
    two.wait_members(2);
    let by_service = format!("srv://_starling._udp.test?server=127.0.0.1:{}", dns.port);
    let three = Solo::start(folder.path(), "n3", &key, &["--discover", &by_service]);
    three.wait_members(3);
    assert_eq!(
        three.metric("starling_discovery_found{strategy=\"srv://_starling._udp.test\"}"),
        Some(1.0)
    );

    // An empty answer: the name stays, its address goes.
    let found = format!("starling_discovery_found{{strategy=\"dns://nodes.test:{port}\"}}");
    fs::write(&hosts, "127.0.0.1 n1.test\n::1 other.test\n").unwrap();
    dns.reload();
    two.wait_metric(&found, |found| found == 0.0);
    two.wait_members(3);

    // A server that is gone is an error, counted, and nothing else.
    let failures =
        format!("starling_discovery_failures_total{{strategy=\"dns://nodes.test:{port}\"}}");
    let before = two.metric(&failures).unwrap();
    drop(dns);
    two.wait_metric(&failures, |failures| failures > before);
    two.wait_members(3);
}

#[test]
fn an_ipv6_address_of_a_name_leads_to_a_node() {
    let Some(dnsmasq) = need("dnsmasq") else { return };
    if !has_ipv6() {
        return skip("IPv6");
    }
    let _turn = heavy();
    let (folder, key) = (tempfile::tempdir().unwrap(), new_key());
    let one = Solo::start_at(folder.path(), "n1", &key, "[::1]:0", &[]);
    let hosts = folder.path().join("hosts");
    fs::write(&hosts, "::1 nodes.test\n").unwrap();
    let dns = Dnsmasq::start(&dnsmasq, &hosts, &[]);
    let port = one.bound.peer.port();
    let by_address = format!("dns://nodes.test:{port}?server=127.0.0.1:{}", dns.port);
    let two = Solo::start_at(folder.path(), "n2", &key, "[::1]:0", &["--discover", &by_address]);
    two.wait_members(2);
    one.wait_members(2);
}

#[test]
fn a_file_is_followed_and_its_errors_are_told() {
    let _turn = heavy();
    let (folder, key) = (tempfile::tempdir().unwrap(), new_key());
    let list = folder.path().join("nodes");
    let how = format!("file:{}", list.display());
    let one = Solo::start(folder.path(), "n1", &key, &["--discover", &how]);
    let failures = format!("starling_discovery_failures_total{{strategy=\"{how}\"}}");
    one.wait_metric(&failures, |failures| failures > 0.0);
    let log = fs::read_to_string(folder.path().join("n1.log")).unwrap();
    assert!(log.contains("cannot be used"), "{log}");

    let two = Solo::start(folder.path(), "n2", &key, &[]);
    fs::write(&list, format!("# the others\n{}\n", two.bound.peer)).unwrap();
    one.wait_members(2);
    let three = Solo::start(folder.path(), "n3", &key, &[]);
    fs::write(&list, format!("{}\n", three.bound.peer)).unwrap();
    one.wait_members(3);
}

#[test]
fn a_command_is_asked_and_hears_no_secret() {
    let _turn = heavy();
    let (folder, key) = (tempfile::tempdir().unwrap(), new_key());
    let one = Solo::start(folder.path(), "n1", &key, &[]);
    let heard = folder.path().join("heard");
    let how = format!("exec:env > {}; echo {} # the only one", heard.display(), one.bound.peer);
    let two = Solo::start(folder.path(), "n2", &key, &["--discover", &how]);
    two.wait_members(2);
    assert!(!fs::read_to_string(&heard).unwrap().contains(&key));
}

#[test]
fn nodes_of_one_machine_find_each_other_by_a_name() {
    let _turn = heavy();
    let (folder, key) = (tempfile::tempdir().unwrap(), new_key());
    let how = format!("local:test-{}", std::process::id());
    let nodes = ["n1", "n2", "n3"]
        .map(|name| Solo::start(folder.path(), name, &key, &["--discover", &how]));
    nodes.iter().for_each(|node| node.wait_members(3));
}

#[test]
fn a_peer_is_named_before_it_exists() {
    let _turn = heavy();
    let (folder, key) = (tempfile::tempdir().unwrap(), new_key());
    let free = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let one = Solo::start(
        folder.path(),
        "n1",
        &key,
        &["--join", "nowhere.invalid:7946", "--join", &free],
    );
    let failures = "starling_discovery_failures_total{strategy=\"static://nowhere.invalid:7946\"}";
    one.wait_metric(failures, |failures| failures > 0.0);
    let two = Solo::start_at(folder.path(), "n2", &key, &free, &[]);
    one.wait_members(2);
    two.wait_members(2);
}

/// Two hosts on one segment, each in a network of its own; prints the members once they are two.
const SEGMENT: &str = r#"
set -eu
mount -t tmpfs none /run && mkdir /run/netns
for host in a b; do ip netns add $host; ip -n $host link set lo up; done
ip link add va netns a type veth peer name vb netns b
ip -n a addr add 10.9.0.1/24 dev va && ip -n a link set va up
ip -n b addr add 10.9.0.2/24 dev vb && ip -n b link set vb up
serve() {
    ip netns exec $1 "$STARLING" serve --name $1 --peer $2:7946 --http $2:8080 --mqtt $2:1883 \
        --discover "multicast://239.255.77.7:7947?interface=$2" >"$FOLDER/$1.log" 2>&1 &
}
serve a 10.9.0.1; serve b 10.9.0.2
for second in $(seq 60); do
    members=$(ip netns exec a "$STARLING" members --json --node http://10.9.0.1:8080 2>/dev/null || true)
    case "$members" in *'"name":"a"'*'"linked":true'*'"name":"b"'*'"linked":true'* |\
        *'"name":"b"'*'"linked":true'*'"name":"a"'*'"linked":true'*) echo "$members"; exit 0 ;; esac
    sleep 1
done
cat "$FOLDER/a.log" >&2
exit 1
"#;

#[test]
fn hosts_of_one_segment_call_each_other() {
    let (Some(unshare), Some(_)) = (need("unshare"), need("ip")) else { return };
    let may = Command::new(&unshare).args(["-Urnm", "true"]).status();
    if !may.is_ok_and(|status| status.success()) {
        return skip("the right to make namespaces");
    }
    let _turn = heavy();
    let (folder, key) = (tempfile::tempdir().unwrap(), new_key());
    // The processes end with their namespace.
    let mut command = Command::new(unshare);
    command.args(["-Urnmpf", "--kill-child", "--mount-proc", "sh", "-c", SEGMENT]);
    command.env("STARLING", starling_path()).env("FOLDER", folder.path());
    command.env("STARLING_TOKEN", ops_token(&key)).env("STARLING_KEY", &key);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("10.9.0.2:7946"));
}

#[test]
fn a_strategy_that_cannot_be_is_refused_at_the_start() {
    let output = Command::new(starling_path())
        .args(["serve", "--discover", "carrier-pigeon:coop"])
        .env("STARLING_KEY", new_key())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("--discover") && told.contains("dns://NAME:PORT"), "{told}");
}

#[test]
fn a_restarted_node_finds_its_cluster_without_being_told_again() {
    let _turn = heavy();
    let (folder, key) = (tempfile::tempdir().unwrap(), new_key());
    let one = Solo::start(folder.path(), "n1", &key, &[]);
    let data = folder.path().join("data");
    let keep = ["--data", data.to_str().unwrap()];
    let peer = one.bound.peer.to_string();
    let join = [&keep[..], &["--join", &peer]].concat();
    let two = Solo::start(folder.path(), "n2", &key, &join);
    two.wait_members(2);
    two.wait_metric("starling_store_commits_total", |commits| commits > 1.0);
    // What it remembers is written within a few seconds.
    let kept = || fs::read(data.join("starling.redb")).ok();
    let address = {
        let text = one.bound.peer;
        let std::net::IpAddr::V4(ip) = text.ip() else { unreachable!("it is loopback") };
        ip.octets()
    };
    eventually("the address on disk", std::time::Duration::from_secs(30), || {
        let file = kept()?;
        let name = file.windows(9).any(|bytes| bytes == b"addresses");
        (name && file.windows(4).any(|bytes| bytes == address)).then_some(())
    });
    drop(two);
    let two = Solo::start(folder.path(), "n2", &key, &keep);
    two.wait_members(2);
}
