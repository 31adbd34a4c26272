//! A real redb database on a simulated disk: what was synced survives a loss of power, the rest
//! may be lost in any mixture, and the database opens again.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use crdt_state::Versions;
use node::config::Ack;
use node::store::StoreOp;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};
use sim::cluster::{STORE, Start, boot};
use sim::disk::DiskTrouble;
use sim::machine::{Crash, Life};
use sim::run::{Options, run};
use sim::world::World;

const NUMBERS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("numbers");

fn open(life: &Life) -> Database {
    Database::builder().create_with_backend(life.open_file("store")).unwrap()
}

fn write(store: &Database, number: u64, durability: Durability) {
    let mut transaction = store.begin_write().unwrap();
    transaction.set_durability(durability).unwrap();
    let value = vec![number as u8; 700];
    transaction.open_table(NUMBERS).unwrap().insert(number, &value[..]).unwrap();
    transaction.commit().unwrap();
}

fn numbers(store: &Database) -> Vec<u64> {
    let table = store.begin_read().unwrap().open_table(NUMBERS).unwrap();
    let entry = |entry: Result<(redb::AccessGuard<'_, u64>, redb::AccessGuard<'_, &[u8]>), _>| {
        let (number, value) = entry.unwrap();
        let number = number.value();
        assert_eq!(value.value(), vec![number as u8; 700], "the value of {number} is torn");
        number
    };
    table.iter().unwrap().map(entry).collect()
}

/// Writes 20 numbers durably and 20 not, loses power, and reads what is left.
async fn lose_power(world: World) -> Vec<u64> {
    let machine = world.node(1);
    let life = machine.boot();
    let store = open(&life);
    (0..20).for_each(|number| write(&store, number, Durability::Immediate));
    (20..40).for_each(|number| write(&store, number, Durability::None));
    machine.crash(Crash::Power);
    drop(store);
    world.sleep(Duration::from_secs(1)).await;
    numbers(&open(&machine.boot()))
}

#[test]
fn synced_transactions_survive_a_power_loss_and_the_store_opens() {
    for seed in 0..60 {
        let left = run(seed, Options::default(), lose_power).unwrap().value;
        assert_eq!(left[..20], (0..20).collect::<Vec<_>>(), "seed {seed}");
        assert_eq!(left.len(), 20, "seed {seed}: unsynced transactions came back: {left:?}");
    }
}

#[test]
fn a_store_in_the_middle_of_a_sync_opens_again() {
    let scenario = |world: World| async move {
        let machine = world.node(1);
        for round in 0..10 {
            let life = machine.boot();
            let store = open(&life);
            write(&store, round, Durability::Immediate);
            machine.set_disk_trouble("store", DiskTrouble::Failing);
            let mut transaction = store.begin_write().unwrap();
            transaction.set_durability(Durability::Immediate).unwrap();
            let value = vec![0; 700];
            let inserted =
                transaction.open_table(NUMBERS).unwrap().insert(100 + round, &value[..]).map(drop);
            let committed =
                inserted.map_err(drop).and_then(|()| transaction.commit().map_err(drop));
            assert!(committed.is_err(), "a failing disk took a commit");
            machine.crash(Crash::Power);
            machine.set_disk_trouble("store", DiskTrouble::None);
        }
        numbers(&open(&machine.boot()))
    };
    for seed in 0..20 {
        let left = run(seed, Options::default(), scenario).unwrap().value;
        assert_eq!(left, (0..10).collect::<Vec<_>>(), "seed {seed}");
    }
}

#[test]
fn an_erased_disk_is_an_empty_store() {
    let scenario = |world: World| async move {
        let machine = world.node(1);
        let store = open(&machine.boot());
        write(&store, 1, Durability::Immediate);
        machine.crash(Crash::Power);
        machine.erase_disks();
        let store = open(&machine.boot());
        let transaction = store.begin_read().unwrap();
        matches!(transaction.open_table(NUMBERS), Err(redb::TableError::TableDoesNotExist(_)))
    };
    assert!(run(1, Options::default(), scenario).unwrap().value);
}

#[test]
fn a_node_waits_for_a_slow_disk_and_not_for_one_that_was_slow() {
    let scenario = |world: World| async move {
        let machine = world.node(1);
        let (program, ack) = (Versions::THIS, Ack::default());
        let start = Start { seeds: &[], program, ack, let_go_after: None };
        let running = boot(&world, 1, start).await.unwrap();
        let store = running.node.store.clone();
        let took = async |value: u8| {
            let begun = tokio::time::Instant::now();
            store.put(StoreOp::Remember { name: "test", value: vec![value] }).await;
            store.flush().await;
            begun.elapsed()
        };
        let quick = took(1).await;
        machine.set_disk_trouble(STORE, DiskTrouble::Slow);
        let slow = took(2).await;
        store.put(StoreOp::Remember { name: "test", value: vec![4] }).await;
        let late = store.flush_within(Duration::from_millis(100)).await;
        late.expect_err("it is not there yet").await.unwrap();
        machine.set_disk_trouble(STORE, DiskTrouble::None);
        (quick, slow, took(3).await)
    };
    let (quick, slow, again) = run(1, Options::default(), scenario).unwrap().value;
    let second = Duration::from_secs(1);
    assert!(quick < second && slow > second && again < second, "{quick:?}, {slow:?}, {again:?}");
}
