//! Golden dialogues of whole events: what people do, what nodes write down because of it, and what they
//! call the result.
//!
//! Each file in `dialogues` is a list of cases: commands, a line `----`, what they caused, a blank line. A
//! node is named by its number, each later life of it by one more stroke: `2'` is node 2 after a crash.
//! Messages are the business of replication and are not shown, nor is the note of the audit trail, and what is
//! observed beside it, that every step carries. `UPDATE=1` writes the files anew, to be
//! read before they are believed.

use crate::golden;
use crate::world::{Weather, World};
use crdt_state::delta::{Delta, Fence, Seal};
use crdt_state::{NodeId, Origin, PlayerId};
use node::engine::{Claim, Input, Reply};
use node::service::view::{Command, InboxMessage};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// How long a command may echo before the next one, in milliseconds.
const ECHO_MS: u64 = 20;

struct Desk {
    world: World,
    claims: BTreeMap<u128, Claim>,
    told: (usize, usize, usize),
    said: String,
}

impl Desk {
    fn new() -> Self {
        let world = World::new(1, 0, Weather::default());
        Desk { world, claims: BTreeMap::new(), told: (0, 0, 0), said: String::new() }
    }

    /// Carries out one command and returns what it caused.
    fn run(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["lobby", nodes, "open", ms] => {
                let nodes = number(nodes);
                self.world = World::lobby(7, nodes, ms.parse().unwrap());
                self.told = (self.world.written.len(), 0, 0);
            }
            ["join", at, player] => {
                let player = player.parse().unwrap();
                let claim = self.world.join(number(at), player);
                self.claims.insert(player, claim);
            }
            ["answer", at, player, choice] => self.answer(number(at), player, choice),
            ["press", at, command] => {
                let command: Command = serde_json::from_str(&format!("{command:?}")).unwrap();
                self.world.ask_command(number(at), command, None);
            }
            ["forget", at, gone] => self.forget(number(at), number(gone)),
            ["isolate", at] => self.world.isolate(number(at)),
            ["cut", a, b] => self.world.cut(number(a), number(b)),
            ["mend", a, b] => self.world.heal_between(number(a), number(b)),
            ["heal"] => self.world.heal(),
            ["leave", at] => self.leave(number(at)),
            ["crash", at] => self.world.crash(number(at)),
            ["wipe", at] => self.world.wipe(number(at)),
            ["start", at] => {
                self.world.start(number(at));
                self.world.relink();
            }
            ["add"] => {
                self.world.add();
                self.world.relink();
            }
            ["wait", ms] => self.world.run_ms(ms.parse().unwrap()),
            ["results"] => self.results(),
            _ => panic!("not a command: {line}"),
        }
        self.world.run_ms(ECHO_MS);
        self.tell();
        std::mem::take(&mut self.said)
    }

    fn answer(&mut self, at: usize, player: &str, choice: &str) {
        let claim = self.claims[&player.parse().unwrap()].clone();
        let instance = self.world.core(at).state().stage().instance;
        match self.world.answer(at, &claim, instance, choice.parse().unwrap()) {
            Ok(_) => {}
            Err(refusal) => writeln!(self.said, "{at} refuses: {}", refusal.code).unwrap(),
        }
    }

    fn forget(&mut self, at: usize, gone: usize) {
        let node = NodeId(0x100 + gone as u64);
        let ticket = self.world.ask(at, |ticket| Input::Forget { ticket, node });
        if let Reply::Refused(refusal) = self.world.reply(ticket) {
            writeln!(self.said, "{at} refuses: {}", refusal.code).unwrap();
        }
    }

    /// A node leaves in order: it goes once another has all that it has.
    fn leave(&mut self, at: usize) {
        let ticket = self.world.ask(at, |ticket| Input::Retire {
            ticket,
            copies: 1,
            going: BTreeSet::new(),
        });
        match self.world.reply(ticket) {
            Reply::Refused(refusal) => {
                writeln!(self.said, "{at} stays: {}", refusal.message).unwrap();
            }
            _ => self.tell(),
        }
        self.world.crash(at);
    }

    fn results(&mut self) {
        for at in self.world.alive() {
            let view = self.world.view(at).live;
            let Some(result) = view.result else {
                writeln!(self.said, "{at} has no result").unwrap();
                continue;
            };
            let answered = view.answered.unwrap_or_default();
            write!(self.said, "{at}: {}, {answered} answers", result.status).unwrap();
            for missing in &result.missing {
                let (name, head) = (self.name(missing.origin), missing.head);
                write!(self.said, ", without {name} beyond {head}").unwrap();
            }
            for gone in &result.forgotten {
                let back = if gone.returned { ", back since" } else { "" };
                write!(self.said, ", forgot {}{back}", self.name(gone.origin)).unwrap();
            }
            writeln!(self.said).unwrap();
        }
    }

    /// Tells what was written and said since the last time.
    fn tell(&mut self) {
        let (written, inbox, late) = self.told;
        for (at, deltas) in &self.world.written[written..] {
            let told = deltas.iter().filter(|delta| !matches!(delta, Delta::Named(_)));
            let texts: Vec<String> = told.map(|delta| self.describe(delta)).collect();
            writeln!(self.said, "{} writes: {}", self.living(*at), texts.join("; ")).unwrap();
        }
        for (at, player, message) in &self.world.inbox[inbox..] {
            let InboxMessage::Receipt { status, level, choices, .. } = message else { continue };
            let PlayerId(player) = player;
            writeln!(self.said, "{at} tells player {player}: {status} {choices:?}, {level}")
                .unwrap();
        }
        for (at, node, entries) in &self.world.late[late..] {
            writeln!(self.said, "{at} ANNOUNCES {entries} late entries of {node}").unwrap();
        }
        self.told = (self.world.written.len(), self.world.inbox.len(), self.world.late.len());
    }

    fn describe(&self, delta: &Delta) -> String {
        match delta {
            Delta::Create(_) => "the event".to_owned(),
            Delta::Enrol(enrol) => format!("{} takes part", enrol.name),
            Delta::Advance(advance) => format!("on to {:?}", advance.to),
            Delta::Seal(seal) => {
                let (of, head) = (self.name(seal.origin), seal.head);
                let named: Vec<String> = seal.knows.iter().map(|o| self.name(*o)).collect();
                let named = named.join(" and ");
                let named = if named.is_empty() { named } else { format!(", with {named}") };
                match seal.instance {
                    Seal::FOR_GOOD => format!("{of} is sealed for good at {head}{named}"),
                    instance => format!("{of} has sealed {instance} at {head}{named}"),
                }
            }
            Delta::Forget(forget) => {
                let (of, head) = (self.name(forget.origin), forget.head);
                let word = if forget.length % 2 == 1 { "is forgotten" } else { "is back" };
                format!("{of} {word} at {head}")
            }
            Delta::Fence(fence) if fence.instance == Fence::FOR_GOOD => {
                format!("it stood behind {} up to {} at most", self.name(fence.origin), fence.head)
            }
            Delta::Fence(fence) => {
                let of = self.name(fence.origin);
                format!("of {of} beyond {} nothing stands in {}", fence.head, fence.instance)
            }
            Delta::Vouch => "its word counts".to_owned(),
            other => format!("{other:?}"),
        }
    }

    fn living(&self, at: usize) -> String {
        let newest = self.world.lives.iter().rfind(|(of, _)| *of == at);
        newest.map_or_else(|| at.to_string(), |(_, origin)| self.name(*origin))
    }

    /// A node's number, and a stroke for each life before this one.
    fn name(&self, origin: Origin) -> String {
        let Some(at) = self.world.lives.iter().find(|(_, of)| *of == origin) else {
            return "nobody".to_owned();
        };
        let lives = self.world.lives.iter().filter(|(of, _)| *of == at.0);
        let before = lives.take_while(|(_, of)| *of != origin).count();
        format!("{}{}", at.0, "'".repeat(before))
    }
}

fn number(text: &str) -> usize {
    text.parse().unwrap()
}

#[test]
fn every_dialogue_reads_as_before() {
    golden::check_all("tests/engine/dialogues", 1, Desk::new, Desk::run);
}
