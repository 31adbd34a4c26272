//! Answers that an edge shard hands over by the batch.

use crate::asks::Receipt;
use crate::world::World;
use crdt_state::{Cell, PlayerId, Row};
use node::engine::{Bulk, BulkAnswer, BulkVerdict, Claim, Input, Reply};

fn bulk(instance: u32, claims: &[Claim], value: u32) -> Bulk {
    let answer =
        |claim: &Claim| BulkAnswer { player: claim.player, row: claim.row, value, credit_ms: 0 };
    Bulk { instance, question: 0, answers: claims.iter().map(answer).collect() }
}

fn take(world: &mut World, at: usize, bulk: Bulk) -> (Vec<BulkVerdict>, bool) {
    let ticket = world.ask(at, |ticket| Input::AnswerAll { ticket, bulk });
    match world.reply(ticket) {
        Reply::AnsweredAll { verdicts, firm } => (verdicts.to_vec(), firm),
        other => panic!("not a reply to a batch: {other:?}"),
    }
}

fn are_accepted(verdicts: &[BulkVerdict]) -> bool {
    verdicts.iter().all(|verdict| matches!(verdict, BulkVerdict::Accepted(_)))
}

#[test]
fn a_batch_is_taken_once_and_counts_on_every_core() {
    let mut world = World::lobby(71, 3, 5_000);
    let claims: Vec<_> = (0..30).map(|n| world.join(n as usize % 3, n)).collect();
    world.run_ms(300);
    let instance = world.open(0);
    let (verdicts, firm) = take(&mut world, 1, bulk(instance, &claims[..20], 0b10));
    assert!(firm && are_accepted(&verdicts), "{verdicts:?}");
    // Again, elsewhere, with another choice: what is held stays and is told.
    world.run_ms(300);
    let (again, firm) = take(&mut world, 2, bulk(instance, &claims, 0b100));
    let held = |verdict: &BulkVerdict| match *verdict {
        BulkVerdict::Duplicate(cell) => cell,
        other => panic!("{other:?}"),
    };
    assert!(firm && again[..20].iter().all(|verdict| held(verdict).choice() == 0b10));
    assert!(are_accepted(&again[20..]), "{again:?}");
    // One alone, after a batch.
    let alone = world.answer(0, &claims[3], instance, 3).unwrap();
    assert_eq!((alone.status.as_str(), alone.choice), ("duplicate", 1));
    world.finish_round(0);
    world.all_equal();
    assert_eq!(world.core(0).state().tally(instance), [0, 20, 10, 0]);
}

#[test]
fn a_batch_names_rows_that_are_not_known_and_takes_the_others() {
    let mut world = World::lobby(72, 3, 5_000);
    let claim = world.join(0, 1);
    let instance = world.open(0);
    let mut batch = bulk(instance, &[claim.clone(), claim.clone(), claim.clone()], 1);
    batch.answers[0].row = Row { number: 77, ..claim.row };
    batch.answers[1].player = PlayerId(99);
    let (verdicts, _) = take(&mut world, 0, batch);
    assert_eq!(verdicts[..2], [BulkVerdict::Unknown, BulkVerdict::Unknown]);
    assert!(are_accepted(&verdicts[2..]));
    let too_large = bulk(instance, &[claim], Cell::VALUE_MAX + 1);
    assert_eq!(take(&mut world, 0, too_large).0, [BulkVerdict::Unknown]);
}

#[test]
fn a_batch_for_a_closed_round_is_refused_as_one() {
    let mut world = World::lobby(73, 3, 5_000);
    let claim = world.join(0, 1);
    let instance = world.open(0);
    world.finish_round(0);
    let bulk = bulk(instance, &[claim], 1);
    let ticket = world.ask(0, |ticket| Input::AnswerAll { ticket, bulk });
    assert!(matches!(world.reply(ticket), Reply::Refused(refusal) if refusal.code == "late"));
    assert_eq!(world.core(0).state().answered(instance), 0);
}

#[test]
fn a_batch_taken_alone_is_provisional_first_and_each_player_hears_when_it_is_firm() {
    let mut world = World::lobby(74, 3, 60_000);
    let claims: Vec<_> = (0..4).map(|n| world.join(0, n)).collect();
    let instance = world.open(0);
    world.run_ms(300);
    world.isolate(0);
    let (verdicts, firm) = take(&mut world, 0, bulk(instance, &claims, 0b1));
    assert!(!firm && are_accepted(&verdicts));
    world.heal();
    world.run_ms(2_000);
    for claim in &claims {
        let told = world.receipts(claim.player, instance);
        let firm = |(at, receipt): &&(usize, Receipt)| {
            *at == 0 && receipt.firm && receipt.status == "accepted"
        };
        assert_eq!(told.iter().filter(firm).count(), 1, "{told:?}");
    }
}

/// A node that came back writes what only its disk holds down again: exactly what it holds.
#[test]
fn a_batch_sent_again_to_a_node_that_came_back_says_what_it_holds() {
    for seed in 0..20 {
        let mut world = World::lobby(780 + seed, 3, 60_000);
        let claims: Vec<_> = (0..4).map(|n| world.join(2, n)).collect();
        world.all_equal();
        let instance = world.open(0);
        world.isolate(2);
        world.run_ms(500);
        take(&mut world, 2, bulk(instance, &claims, 0b10));
        world.run_ms(3_000);
        world.crash(2);
        world.start(2);
        world.heal();
        // As soon as it knows the time again, and perhaps before others have what its disk holds.
        let again = world.until("the batch is taken", 5_000, |world| {
            let bulk = bulk(instance, &claims, 0b100);
            let ticket = world.ask(2, |ticket| Input::AnswerAll { ticket, bulk });
            match world.reply(ticket) {
                Reply::AnsweredAll { verdicts, .. } => Some(verdicts.to_vec()),
                Reply::Refused(refusal) if refusal.code == "overloaded" => None,
                other => panic!("not a reply to a batch: {other:?}"),
            }
        });
        assert!(again.iter().all(|verdict| matches!(verdict, BulkVerdict::Duplicate(_))));
        world.run_ms(2_000);
        world.all_equal();
        assert_eq!(world.core(0).state().tally(instance), [0, 4, 0, 0]);
        assert!(world.alarms.is_empty(), "{:?}", world.alarms);
    }
}

#[test]
fn a_batch_takes_every_players_own_line_off_their_time() {
    let mut world = World::lobby(97, 2, 5_000);
    let claims: Vec<_> = (0..3).map(|player| world.join(0, player)).collect();
    world.all_equal();
    let instance = world.open(0);
    world.run_ms(1_000);
    let mut bulk = bulk(instance, &claims, 2);
    for (answer, credit_ms) in bulk.answers.iter_mut().zip([0, 100, 60_000]) {
        answer.credit_ms = credit_ms;
    }
    let (verdicts, _) = take(&mut world, 0, bulk);
    let elapsed: Vec<u32> = verdicts
        .iter()
        .map(|verdict| match verdict {
            BulkVerdict::Accepted(cell) => cell.elapsed_ms(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!((elapsed[0] - elapsed[1], elapsed[0] - elapsed[2]), (100, 250));
}
