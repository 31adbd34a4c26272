//! Golden dialogues of who carries what: what happens, a line `----`, what nodes do and tell each other because of it, a
//! blank line. They teach how a show finds its carriers; `UPDATE=1` writes them anew, to be read before they are believed.
//!
//! Nodes are numbers, events hexadecimal digits. Of a word stands there from which list to which it leads and what is new
//! in it, and the newest list of the other's that its sender has heard.

use super::*;

// That of the tests beside the library.
#[path = "../../../../tests/golden/mod.rs"]
mod golden;

/// What has happened to the members so far.
#[derive(Default)]
struct Desk {
    net: Net,
    draining: BTreeSet<NodeId>,
}

impl Desk {
    /// Carries out one command and returns what it caused.
    fn run(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["nodes", count] => self.net = Net::new(number(count)),
            ["list", event] => self.net.list(id(event)),
            ["come", node, event] => self.heed(node, Heed::Wanted { event: id(event) }),
            ["wait"] => self.net.settle(),
            ["lose", "words"] => self.net.lossy = true,
            ["die", node] => self.net.die(number(node)),
            ["drain", node] => {
                self.draining.insert(NodeId(number(node)));
                self.all_see();
            }
            ["archive", event] => {
                let archived = BTreeSet::from([id(event)]);
                let heed = Heed::Listed { live: BTreeSet::new(), archived };
                self.all(&heed);
            }
            ["await", at, event, nodes @ ..] => {
                let nodes = nodes.iter().map(|node| NodeId(number(node))).collect();
                self.heed(at, Heed::Awaited { event: id(event), nodes });
            }
            ["give", "up", gone] => {
                let nodes = BTreeSet::from([NodeId(number(gone))]);
                self.all(&Heed::GivenUp { nodes });
            }
            ["let", "go", node, event] => self.heed(node, Heed::LetGo { event: id(event) }),
            ["left", node, event, period] => {
                let period = number(period) as Period;
                self.heed(node, Heed::Left { event: id(event), period });
            }
            ["unheard", node, event, period] => {
                let period = number(period) as Period;
                self.heed(node, Heed::Unheard { event: id(event), period });
            }
            ["carriers", event] => {
                let carries = |(_, interest): &(&u64, &Interest)| interest.carries(id(event));
                let all = self.net.nodes.iter().filter(carries);
                let all: Vec<String> = all.map(|(node, _)| node.to_string()).collect();
                let all = if all.is_empty() { "nobody".to_owned() } else { all.join(", ") };
                writeln!(self.net.said, "{event} is carried by {all}").unwrap();
            }
            _ => panic!("not a command: {line}"),
        }
        std::mem::take(&mut self.net.said)
    }

    fn heed(&mut self, node: &str, heed: Heed) {
        self.net.heed(number(node), heed);
    }

    fn all(&mut self, heed: &Heed) {
        for node in self.net.nodes.keys().copied().collect::<Vec<_>>() {
            self.net.heed(node, heed.clone());
        }
    }

    fn all_see(&mut self) {
        let living: BTreeSet<NodeId> = self.net.nodes.keys().map(|node| NodeId(*node)).collect();
        let staying = living.difference(&self.draining).copied().collect();
        self.all(&Heed::Seen { living, staying });
    }
}

fn number(word: &str) -> u64 {
    word.parse().unwrap()
}

fn id(word: &str) -> EventId {
    EventId(u64::from_str_radix(word, 16).unwrap())
}

#[test]
fn every_dialogue_reads_as_before() {
    golden::check_all("src/engine/interest/dialogues", 6, Desk::default, Desk::run);
}
