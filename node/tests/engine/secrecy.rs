//! What is secret before the reveal cannot be told from anything that players are sent.
//!
//! One seed is played twice, and the two runs differ in a single thing: the key of one question (of a raffle
//! the salt, of a prediction what the host says came true). Everything that leaves for players is recorded as
//! bytes: live states and the retained one that a late subscriber gets, private inboxes, replies to what they
//! publish, refusals among them, and what the public screen shows over HTTP. Up to the reveal the two records
//! must be equal to the byte, published commitments aside. From the reveal on they must differ, and what the
//! host sees must differ before it, so that the comparison is known to see keys.
//!
//! Kinds come from the sample show: one whose key this test does not know how to change fails it.

use crate::asks::name;
use crate::world::{Weather, World};
use bytes::Bytes;
use crdt_state::engagement::quiz::Quiz;
use crdt_state::engagement::script::Salt;
use crdt_state::engagement::{Given, Key, Question, Script, Task, commitment};
use crdt_state::{Phase, PlayerId};
use node::engine::{Claim, Inboxes, Input, Publisher, Reply, Views, stage_view};
use node::service::view::{Command, CommandRequest};
use node::service::{Alias, Form};
use node::service::{Frame, Inbox};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::watch;

const NODES: usize = 2;
const PLAYERS: u128 = 5;
const PIN: &str = "123456";
const OPEN_MS: u32 = 4_000;
/// The second round is the one whose key differs.
const SECRET: u32 = 2;

/// Who looks: a player reads what players are sent, a host the host's page as well.
#[derive(Clone, Copy, PartialEq)]
enum Eye {
    Player,
    Host,
}

/// One message: where it came from, its bytes, and how far the round in question was.
#[derive(Debug, Clone, PartialEq)]
struct Sent {
    from: String,
    bytes: Bytes,
    revealed: bool,
}

/// A run: nodes, all that leaves them for people, and what was recorded so far.
struct Run {
    world: World,
    eye: Eye,
    shown: Vec<(Publisher, Views, Watched, Inboxes)>,
    queues: Vec<(String, Inbox)>,
    record: Vec<Sent>,
    /// Whether the secret is out though there is no reveal to come.
    told: bool,
}

/// What one who watches the live state is shown.
type Watched = watch::Receiver<Option<Arc<Frame>>>;

impl Run {
    /// The event is made and its lobby is open on all nodes.
    fn new(script: Script, eye: Eye) -> Self {
        let mut world = World::new(77, NODES, Weather::default());
        let ticket = world.ask(0, |ticket| Input::Create { ticket, script });
        assert!(matches!(world.reply(ticket), Reply::Created { .. }));
        world.until("all know the show", 5_000, |world| {
            world.cores().all(|core| core.state().script().is_some()).then_some(())
        });
        let show = |at: usize| {
            let (core, now) = (world.core(at), world.mono(at));
            let (_, present) = watch::channel(Arc::default());
            let (publisher, views) = Publisher::new(core, now, PIN.to_owned(), present);
            let live = views.live.watch();
            (publisher, views, live, Inboxes::default())
        };
        let shown: Vec<_> = (0..NODES).map(show).collect();
        let open = |(at, player): (usize, u128)| {
            let queue = shown[at].3.open(PlayerId(player), None);
            (format!("inbox of {player} at node {at}"), queue)
        };
        let all = (0..NODES).flat_map(|at| (1..=PLAYERS).map(move |player| (at, player)));
        let queues = all.map(open).collect();
        let mut run = Run { world, eye, shown, queues, record: Vec::new(), told: false };
        run.press(Command::Lobby);
        run
    }

    /// Lets a millisecond pass and records what was sent in it.
    fn turn(&mut self) {
        self.world.run_ms(1);
        for (at, player, message) in self.world.inbox.split_off(0) {
            self.shown[at].3.deliver(player, &message);
        }
        let mut sent = Vec::new();
        for (at, (publisher, views, live, inboxes)) in self.shown.iter_mut().enumerate() {
            let (core, now) = (self.world.core(at), self.world.mono(at));
            publisher.publish(core, now, inboxes);
            if live.has_changed().expect("the publisher is there") {
                let live = live.borrow_and_update().clone().expect("it was shown");
                sent.push((format!("live state of node {at}"), packet(&live)));
                let retained = publisher.live_frame(core, now);
                sent.push((format!("retained state of node {at}"), packet(&retained)));
            }
            if views.screen.has_changed().expect("the publisher is there") {
                let view = views.screen.borrow_and_update().clone();
                sent.push((format!("screen of node {at}"), json(&*view)));
            }
            if views.host.has_changed().expect("the publisher is there") && self.eye == Eye::Host {
                let view = views.host.borrow_and_update().clone();
                sent.push((format!("host of node {at}"), json(&*view)));
            }
        }
        for (from, queue) in &mut self.queues {
            while let Ok(frame) = queue.try_recv() {
                sent.push((from.clone(), packet(&frame)));
            }
        }
        for (from, bytes) in sent {
            self.note(from, bytes);
        }
    }

    fn note(&mut self, from: String, bytes: Bytes) {
        let revealed =
            self.told || self.world.cores().any(|core| core.state().stage().has_revealed(SECRET));
        self.record.push(Sent { from, bytes, revealed });
    }

    fn turns(&mut self, count: u32) {
        (0..count).for_each(|_| self.turn());
    }

    /// Waits for a reply, and records it if it goes to a player.
    fn reply(&mut self, ticket: u64, to: Option<u128>) -> Reply {
        let reply = (0..3_000).find_map(|_| {
            self.turn();
            self.world.take_reply(ticket)
        });
        let reply = reply.expect("a reply comes in time");
        let bytes = match (&reply, to) {
            (Reply::Answered(message), Some(_)) => json(message),
            (Reply::Refused(refusal), Some(_)) => json(refusal),
            (other, Some(_)) => Bytes::from(format!("{other:?}")),
            (_, None) => return reply,
        };
        self.note(format!("reply to {}", to.expect("it goes to a player")), bytes);
        reply
    }

    fn join(&mut self, player: u128) -> Claim {
        let (at, player, name) = (node_of(player), PlayerId(player), name(player));
        let ticket = self.world.ask(at, |ticket| Input::Join { ticket, player, name, abuse: None });
        match self.reply(ticket, Some(player.0)) {
            Reply::Joined { row, name, .. } => Claim { player, row, name },
            other => panic!("player {player} is not let in: {other:?}"),
        }
    }

    fn give(&mut self, claim: &Claim, instance: u32, given: Given) {
        let (at, player, claim) = (node_of(claim.player.0), claim.player.0, claim.clone());
        let ticket = self.world.ask(at, |ticket| Input::Answer { ticket, claim, instance, given });
        self.reply(ticket, Some(player));
    }

    fn press(&mut self, command: Command) {
        self.say(command, |_| {});
    }

    /// A host acts, and all nodes follow.
    fn say(&mut self, command: Command, with: impl FnOnce(&mut CommandRequest)) {
        let expected = stage_view(self.world.core(0).state().stage());
        let mut request = CommandRequest::new(command, expected);
        with(&mut request);
        let request = Box::new(request);
        let ticket = self.world.ask(0, |ticket| Input::Command { ticket, request });
        let reply = self.reply(ticket, None);
        assert!(matches!(reply, Reply::Commanded(_)), "{command:?} is refused: {reply:?}");
        self.turns(150);
    }

    /// One round: everybody answers in their own way, and it is closed.
    fn round(&mut self, claims: &[Claim], task: &Task) {
        self.press(Command::Next);
        self.press(Command::Open);
        let instance = self.world.core(0).state().stage().instance;
        for claim in claims {
            let given = given(task, claim.player.0);
            self.give(claim, instance, given.clone());
            if claim.player.0 == 2 {
                self.give(claim, instance, given);
            }
        }
        let nonsense = Given { choices: vec![200], ..Given::default() };
        self.give(&claims[4], instance, nonsense);
        self.turns(1_100);
        self.press(Command::Close);
        self.give(&claims[4], instance, Given::choices(&[0]));
    }
}

/// What differs between two runs beside their scripts.
#[derive(Clone)]
enum Ruling {
    None,
    /// A host puts another key in place, while the round is closed and nothing is shown.
    Rescore(Key),
    /// A host says what came true at that time.
    Resolve(Key),
}

/// Plays three rounds, the second of which is the one in question, and returns what was sent.
fn play(question: &Question, ruling: &Ruling, eye: Eye) -> Vec<Sent> {
    let plain = || {
        let options = ["a", "b", "c"].map(str::to_owned).to_vec();
        Question::choice("A plain one", options, 0b10).open_ms(OPEN_MS)
    };
    let questions = vec![plain(), question.clone().open_ms(OPEN_MS), plain()];
    let mut script = Script::new("a show", questions);
    script.teams.names = vec!["red".into(), "blue".into()];
    let mut run = Run::new(script, eye);
    let claims: Vec<Claim> = (1..=PLAYERS).map(|player| run.join(player)).collect();
    run.round(&claims, &plain().task);
    for command in [Command::Tallies, Command::Reveal, Command::Leaderboard] {
        run.press(command);
    }
    run.round(&claims, &question.task);
    let with_key = |key: &Key| {
        let key = key.clone();
        move |request: &mut CommandRequest| {
            (request.instance, request.key) = (Some(SECRET), Some(key));
        }
    };
    match ruling {
        Ruling::None => {}
        Ruling::Rescore(key) => run.say(Command::Rescore, with_key(key)),
        Ruling::Resolve(key) => run.say(Command::Resolve, with_key(key)),
    }
    // Of a prediction that is resolved already, tallies tell what came true.
    run.told = matches!(ruling, Ruling::Resolve(_));
    run.press(Command::Tallies);
    // Somebody who comes back and who subscribes anew is told what is held.
    for claim in claims.iter().take(2).cloned() {
        let player = claim.player;
        let ticket = run.world.ask(1, |ticket| Input::Resume { ticket, claim });
        run.reply(ticket, Some(player.0));
        run.world.ask(1, |_| Input::Project { player });
        run.turns(20);
    }
    if question.task.phases().contains(&Phase::Reveal) {
        run.press(Command::Reveal);
        run.press(Command::Leaderboard);
    }
    run.turns(1_200);
    run.record
}

/// What a player gives: the first three something else each, the fourth what the first gives, the fifth nothing
/// that can be taken.
fn given(task: &Task, player: u128) -> Given {
    let at = match player {
        4 => 0,
        5 => return Given::default(),
        player => player as u8 - 1,
    };
    let options = task.options().len().max(1) as u8;
    let mut given = Given::choices(&[at % options]);
    match task {
        Task::Quiz(Quiz::Typed { .. }) => {
            given = Given {
                text: Some(["Lima", "Limma", "Quito"][usize::from(at)].into()),
                ..Given::default()
            };
        }
        Task::Quiz(Quiz::Estimate(_)) => {
            given = Given { number: Some(1_000.0 * f64::from(at + 1)), ..Given::default() };
        }
        Task::Quiz(Quiz::Order { .. }) => {
            given.choices = (0..options).map(|place| (place + at) % options).collect();
        }
        Task::Prediction(_) => given.stake = Some(10 + u32::from(at)),
        _ => {}
    }
    given
}

/// The same question with something else as its secret.
fn other(question: &Question) -> Question {
    let mut other = question.clone();
    match &mut other.task {
        Task::Quiz(Quiz::Choice { options, correct, .. }) => {
            *correct = rotated(*correct, options.len());
        }
        Task::Quiz(Quiz::Typed { accepted, .. }) => *accepted = vec!["Quito".to_owned()],
        Task::Quiz(Quiz::Estimate(estimate)) => estimate.correct = 7_000_000,
        Task::Quiz(Quiz::Order { correct, .. }) => correct.reverse(),
        Task::Elimination(elimination) => {
            elimination.correct = rotated(elimination.correct, elimination.options.len());
        }
        Task::Raffle(_) => other.salt = Salt([9; 16]),
        task => panic!("a {} has a key, and this test does not know another one", task.name()),
    }
    other
}

fn rotated(mask: u32, options: usize) -> u32 {
    let all = (1 << options) - 1;
    (mask << 1 | mask >> (options - 1)) & all
}

/// The questions of the sample show that have a key.
fn with_keys() -> Vec<Question> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/shows/kinds.json");
    let file = std::fs::read_to_string(path).unwrap();
    let show = node::show::parse(&file).unwrap();
    let all = show.questions.into_iter().filter(|question| question.task.key().is_some());
    all.map(|question| Question { salt: Salt([5; 16]), points: 1_000, ..question }).collect()
}

/// What two runs have in common is cut off at the reveal, commitments are made the same.
fn before_reveal(record: &[Sent], commitments: &[Option<String>; 2]) -> Vec<(String, String)> {
    let before = record.iter().take_while(|sent| !sent.revealed);
    before.map(|sent| (sent.from.clone(), masked(sent, commitments))).collect()
}

fn masked(sent: &Sent, commitments: &[Option<String>; 2]) -> String {
    let text = String::from_utf8_lossy(&sent.bytes).into_owned();
    commitments.iter().flatten().fold(text, |text, hash| text.replace(hash, "(commitment)"))
}

/// The first place at which two records differ.
fn difference<T: PartialEq + std::fmt::Debug>(one: &[T], two: &[T]) -> Option<String> {
    let differs = one.iter().zip(two).find(|(one, two)| one != two);
    let differs = differs.map(|(one, two)| format!("{one:?}\nand\n{two:?}"));
    differs.or_else(|| {
        (one.len() != two.len()).then(|| format!("{} messages and {}", one.len(), two.len()))
    })
}

/// The run of which the secret is tried: the second question's.
const RUN: u32 = 2;

/// Plays both and compares; `what` is for people.
fn check(what: &str, questions: [&Question; 2], rulings: [&Ruling; 2]) {
    let commitments = questions.map(|question| commitment(question, RUN));
    let play = |eye| [0, 1].map(|at: usize| play(questions[at], rulings[at], eye));
    let [one, two] = play(Eye::Player);
    let cut = [before_reveal(&one, &commitments), before_reveal(&two, &commitments)];
    if let Some(difference) = difference(&cut[0], &cut[1]) {
        panic!("{what}: players could tell the key before the reveal:\n{difference}");
    }
    let kinds: BTreeSet<_> = cut[0].iter().map(|(from, _)| from.split(' ').next()).collect();
    let all = ["inbox", "live", "reply", "retained", "screen"].map(Some);
    assert_eq!(kinds, BTreeSet::from(all), "{what}: something was not recorded");
    let after = [&one[cut[0].len()..], &two[cut[1].len()..]];
    assert!(difference(after[0], after[1]).is_some(), "{what}: the reveal tells nothing");
    if questions[0] != questions[1] {
        assert!(
            one.iter().take(cut[0].len()).any(|sent| {
                let hash = commitments[0].as_ref().expect("it has a key");
                String::from_utf8_lossy(&sent.bytes).contains(hash)
            }),
            "{what}: no commitment was published before the reveal"
        );
    }
}

#[test]
fn nothing_that_players_are_sent_before_the_reveal_depends_on_the_key() {
    let questions = with_keys();
    let forms: BTreeSet<String> = questions.iter().map(form).collect();
    let all = ["choice", "elimination", "estimate", "multiple", "order", "raffle", "typed"];
    assert_eq!(forms, BTreeSet::from(all.map(str::to_owned)));
    for question in &questions {
        let none = &Ruling::None;
        check(&form(question), [question, &other(question)], [none, none]);
    }
}

#[test]
fn a_key_that_a_host_puts_in_place_before_the_reveal_stays_as_secret() {
    let question = with_keys().remove(1);
    let rulings = [vec![0], vec![1, 2]].map(|key| Ruling::Rescore(Key::Choices(key)));
    check("rescored", [&question, &question], [&rulings[0], &rulings[1]]);
}

#[test]
fn what_came_true_of_a_prediction_is_secret_until_its_tallies() {
    let options = ["home", "away"].map(str::to_owned).to_vec();
    let task =
        crdt_state::engagement::prediction::Prediction { options, stake_max: 500, credit: 100 };
    let question = Question::new("Who wins?", Task::Prediction(task));
    let rulings = [vec![0], vec![1]].map(|key| Ruling::Resolve(Key::Choices(key)));
    check("resolved", [&question, &question], [&rulings[0], &rulings[1]]);
}

#[test]
fn a_host_who_looked_on_would_be_noticed() {
    for question in with_keys().iter().filter(|question| form(question) != "raffle") {
        let questions = [question, &other(question)];
        let commitments = questions.map(|question| commitment(question, RUN));
        let records = questions.map(|question| play(question, &Ruling::None, Eye::Host));
        let cut = records.each_ref().map(|record| before_reveal(record, &commitments));
        let seen = difference(&cut[0], &cut[1]).expect("a host's page shows the key");
        assert!(seen.starts_with("(\"host of node"), "{seen}");
    }
}

/// The kind and form of a question, in a word.
fn form(question: &Question) -> String {
    let word = match &question.task {
        Task::Quiz(Quiz::Choice { multiple: true, .. }) => "multiple",
        Task::Quiz(Quiz::Choice { .. }) => "choice",
        Task::Quiz(Quiz::Typed { .. }) => "typed",
        Task::Quiz(Quiz::Estimate(_)) => "estimate",
        Task::Quiz(Quiz::Order { .. }) => "order",
        task => task.name(),
    };
    word.to_owned()
}

fn node_of(player: u128) -> usize {
    player as usize % NODES
}

fn packet(frame: &Frame) -> Bytes {
    frame.bytes(Form { v5: true, retain: false, alias: Alias::None }).clone()
}

fn json(value: &impl serde::Serialize) -> Bytes {
    serde_json::to_vec(value).expect("our own views encode").into()
}
