//! What a shard hands over, and what stays of it when it panics.

use super::*;
use crate::supervise::Supervisor;
use crdt_state::engagement::Question;
use crdt_state::{Origin, Row};
use gossip::network::Spawn;
use std::pin::Pin;
use tokio::task::JoinSet;

struct Runtime;

impl Spawn for Runtime {
    fn spawn(&self, _name: &'static str, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        tokio::spawn(task);
    }
}

/// A shard's surroundings.
struct World {
    door: mpsc::Sender<Slipped>,
    mail: mpsc::Receiver<Mail>,
    shard: Option<Shard>,
    asked: watch::Sender<Option<Arc<Asked>>>,
}

impl World {
    fn new(mailbox: usize, judge: Judge) -> Self {
        let (mail, received) = mpsc::channel(mailbox);
        let options = vec!["a".to_owned(), "b".to_owned()];
        let task = Question::choice("?", options, 1).task;
        let (asked, watched) =
            watch::channel(Some(Arc::new(Asked { instance: 1, question: 3, task })));
        let (door, slips) = mpsc::channel(QUEUE);
        let shard = Some(Shard::new(slips, mail, watched, judge));
        World { door, mail: received, shard, asked }
    }

    fn start(&mut self) {
        let shard = self.shard.take().unwrap();
        Supervisor::root(Arc::new(Runtime))
            .keep_with("shard", "shard", shard, |shard| Box::pin(shard.run()));
    }

    async fn handed_over(&mut self) -> Vec<Slip> {
        match self.mail.recv().await {
            Some(Mail::Answers(slips)) => slips,
            _ => panic!("a shard hands over answers only"),
        }
    }
}

fn slip(number: u32, instance: u32, choice: u8) -> (Slipped, oneshot::Receiver<Reply>) {
    let row = Row { origin: Origin(1), number };
    let claim = Claim { player: PlayerId(number.into()), row, name: String::new() };
    let given = Given { choices: vec![choice], ..Given::default() };
    let (reply, replied) = oneshot::channel();
    (Slipped::Answer(Slip { claim, instance, given, packed: None, asker: reply.into() }), replied)
}

#[tokio::test]
async fn a_crowds_answers_leave_as_one_batch_in_order_and_packed() {
    let mut world = World::new(8, Task::take);
    world.start();
    let mut crowd = JoinSet::new();
    for number in 0..200 {
        let door = world.door.clone();
        crowd.spawn(async move { door.send(slip(number, 1, 1).0).await.unwrap() });
    }
    crowd.join_all().await;
    let (mut handed_over, mut batches) = (Vec::new(), 0);
    while handed_over.len() < 200 {
        handed_over.extend(world.handed_over().await);
        batches += 1;
    }
    assert!(batches <= 2, "the crowd's answers are {batches} batches");
    let numbers: Vec<u32> = handed_over.iter().map(|slip| slip.claim.row.number).collect();
    assert_eq!(numbers, (0..200).collect::<Vec<_>>());
    let packed = Some(Packed { question: 3, value: 0b10 });
    assert!(handed_over.iter().all(|slip| slip.packed == packed), "{handed_over:?}");
}

#[tokio::test]
async fn what_only_the_state_can_judge_goes_unpacked() {
    let mut world = World::new(8, Task::take);
    world.start();
    for (number, (instance, choice)) in [(2, 0), (1, 7), (1, 0)].into_iter().enumerate() {
        world.door.send(slip(number as u32, instance, choice).0).await.unwrap();
    }
    let handed_over = world.handed_over().await;
    let packed: Vec<bool> = handed_over.iter().map(|slip| slip.packed.is_some()).collect();
    assert_eq!(packed, [false, false, true], "another run, no such option, an answer");
    world.asked.send_replace(None);
    world.door.send(slip(4, 1, 0).0).await.unwrap();
    assert_eq!(world.handed_over().await[0].packed, None, "no round is open");
}

#[tokio::test]
async fn words_are_looked_at_on_their_way_and_those_that_are_judged_are_not() {
    let show = r#"{"format": "starling-show/1", "title": "T", "questions": [{"kind": "word_cloud", "text": "?"},
        {"text": "?", "accepted": ["yes"]}]}"#;
    let script = crate::show::parse(show).expect("it is a show");
    let mut world = World::new(8, Task::take);
    world.start();
    for (task, wanted) in script.questions.iter().zip([Some([true, false]), None]) {
        let asked = Asked { instance: 1, question: 3, task: task.task.clone() };
        world.asked.send_replace(Some(Arc::new(asked)));
        for (at, text) in ["fuck", "duck"].into_iter().enumerate() {
            let (Slipped::Answer(mut slip), _) = slip(at as u32, 1, 0) else { unreachable!() };
            slip.given = Given { text: Some(text.to_owned()), ..Given::default() };
            world.door.send(Slipped::Answer(slip)).await.unwrap();
            let found = world.handed_over().await.remove(0).given.abuse;
            assert_eq!(found, wanted.map(|wanted| wanted[at]), "{text}");
        }
    }
}

#[tokio::test]
async fn a_panic_costs_the_answer_that_was_being_judged_and_no_other() {
    fn judge(task: &Task, given: &Given) -> Result<Taken, Invalid> {
        assert_ne!(given.choices, [9], "the shard panics");
        task.take(given)
    }
    let mut world = World::new(8, judge);
    let mut replies = Vec::new();
    for (number, choice) in [1, 9, 0, 9, 1].into_iter().enumerate() {
        let (slip, replied) = slip(number as u32, 1, choice);
        world.door.send(slip).await.unwrap();
        replies.push(replied);
    }
    world.start();
    let handed_over = world.handed_over().await;
    let numbers: Vec<u32> = handed_over.iter().map(|slip| slip.claim.row.number).collect();
    assert_eq!(numbers, [0, 2, 4]);
    let is_lost = |replied: &mut oneshot::Receiver<Reply>| {
        replied.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    };
    let lost: Vec<bool> = replies.iter_mut().map(is_lost).collect();
    assert_eq!(lost, [false, true, false, true, false], "whoever lost an answer is told at once");
}

#[tokio::test]
async fn a_full_mailbox_stalls_the_door_and_nothing_grows() {
    let mut world = World::new(1, Task::take);
    world.start();
    let mut taken = 0;
    let mut quiet = 0;
    while quiet < 10 {
        match world.door.try_send(slip(taken, 1, 0).0) {
            Ok(()) => (taken, quiet) = (taken + 1, 0),
            Err(_) => {
                quiet += 1;
                yield_now().await;
            }
        }
    }
    assert!(taken as usize <= QUEUE + 3 * BATCH, "{taken} answers wait");
    let mut handed_over = 0;
    while handed_over < taken as usize {
        handed_over += world.handed_over().await.len();
    }
    assert_eq!(handed_over, taken as usize, "none of them is lost");
}
