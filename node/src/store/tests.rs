//! What the store keeps, and what it says of what it cannot keep.

use super::{Kept, OpenError, Opened, StoreHandle, StoreOp, open_file, open_with, start};
use crate::env::Env;
use bytes::Bytes;
use crdt_state::{Dot, EventId, Heads, LaneId, Origin};
use crdts::CmRDT;
use redb::StorageBackend;
use redb::backends::InMemoryBackend;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::time::Duration;
use tempfile::TempDir;

const EVENT: EventId = EventId(7);

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn bulk(origin: u64) -> LaneId {
    LaneId::bulk(Origin(origin))
}

fn entry(id: LaneId, seq: u64) -> StoreOp {
    StoreOp::Entry { event: EVENT, id, seq, entry: bytes(seq) }
}

fn bytes(seq: u64) -> Bytes {
    Bytes::from(format!("entry {seq}"))
}

fn heads(lanes: &[(LaneId, u64)]) -> Heads {
    let mut heads = Heads::new();
    lanes.iter().for_each(|(id, head)| heads.apply(Dot::new(*id, *head)));
    heads
}

/// Opens a store, writes, and waits until all of it is on disk.
async fn write(directory: &Path, ops: Vec<StoreOp>) {
    let store = start_over(open_file(directory).unwrap());
    for op in ops {
        store.put(op).await;
    }
    store.flush().await;
    assert_eq!(store.counters().failures.load(std::sync::atomic::Ordering::Relaxed), 0);
}

fn start_over(opened: Opened) -> StoreHandle {
    start(Some((opened.database, opened.reopen)), &Env::system().unwrap())
}

/// Opens a store again; its former writer may still hold it for a moment.
async fn reopen(directory: &Path) -> Opened {
    loop {
        match open_file(directory) {
            Err(OpenError::InUse { .. }) => tokio::task::yield_now().await,
            opened => return opened.unwrap(),
        }
    }
}

async fn kept(directory: &Path) -> Kept {
    reopen(directory).await.events.remove(&EVENT).unwrap_or_default()
}

#[tokio::test]
async fn entries_cuts_and_memory_survive_a_restart() {
    let folder = folder();
    let cut = heads(&[(bulk(1), 5)]);
    let parts = vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")];
    let ops = vec![
        StoreOp::Cut { event: EVENT, heads: cut.clone(), parts: parts.clone() },
        entry(bulk(1), 6),
        entry(LaneId::control(Origin(2)), 1),
        entry(LaneId::control(Origin(2)), 2),
        StoreOp::Remember { name: "node", value: vec![1, 2] },
    ];
    write(folder.path(), ops).await;
    let mut opened = reopen(folder.path()).await;
    let kept = opened.events.remove(&EVENT).unwrap();
    assert_eq!(kept.cut, Some((cut, parts)));
    assert_eq!(kept.logs[&bulk(1)], (6, vec![bytes(6)]));
    assert_eq!(kept.logs[&LaneId::control(Origin(2))], (1, vec![bytes(1), bytes(2)]));
    assert_eq!(opened.memory["node"], [1, 2]);
    assert!(opened.events.is_empty() && opened.moved_aside.is_none());
}

#[tokio::test]
async fn a_quarantine_survives_a_restart_and_a_cut_and_goes_with_its_event() {
    let folder = folder();
    let (quarantine, cut) =
        (StoreOp::Quarantine { event: EVENT, id: bulk(1) }, heads(&[(bulk(1), 5)]));
    let ops = vec![
        entry(bulk(1), 1),
        quarantine,
        StoreOp::Cut { event: EVENT, heads: cut, parts: vec![bytes(0)] },
        // Of an event of which nothing else is kept there is nothing to distrust.
        StoreOp::Quarantine { event: EventId(8), id: bulk(1) },
    ];
    write(folder.path(), ops).await;
    let opened = reopen(folder.path()).await;
    assert_eq!(opened.events.keys().collect::<Vec<_>>(), [&EVENT]);
    assert_eq!(opened.events[&EVENT].quarantined, [bulk(1)].into());
    drop(opened);
    write(folder.path(), vec![StoreOp::Drop { event: EVENT }, entry(bulk(1), 1)]).await;
    assert!(kept(folder.path()).await.quarantined.is_empty());
}

#[tokio::test]
async fn a_lane_ends_at_its_first_gap() {
    let folder = folder();
    let ops = [1, 2, 4, 5].map(|seq| entry(bulk(1), seq)).into_iter();
    write(folder.path(), ops.chain([entry(bulk(2), 2)]).collect()).await;
    let kept = kept(folder.path()).await;
    assert_eq!(kept.logs[&bulk(1)], (1, vec![bytes(1), bytes(2)]));
    assert!(kept.logs[&bulk(2)].1.is_empty(), "its first entry is missing");
}

#[tokio::test]
async fn a_cut_removes_what_it_covers_and_nothing_else() {
    let folder = folder();
    let other = EventId(8);
    let mut ops: Vec<StoreOp> = (1..=4).map(|seq| entry(bulk(1), seq)).collect();
    ops.push(entry(bulk(2), 1));
    ops.push(StoreOp::Entry { event: other, id: bulk(1), seq: 1, entry: bytes(1) });
    let cut = heads(&[(bulk(1), 3)]);
    ops.push(StoreOp::Cut { event: EVENT, heads: cut, parts: vec![bytes(0)] });
    write(folder.path(), ops).await;
    let opened = reopen(folder.path()).await;
    let kept = &opened.events[&EVENT];
    assert_eq!(kept.logs[&bulk(1)], (4, vec![bytes(4)]));
    assert_eq!(kept.logs[&bulk(2)], (1, vec![bytes(1)]));
    assert_eq!(opened.events[&other].logs[&bulk(1)], (1, vec![bytes(1)]));
    assert_eq!(entries(&opened), 3, "what is covered is gone from the file");
}

#[tokio::test]
async fn an_event_goes_as_one_and_leaves_the_others() {
    let folder = folder();
    let other = EventId(8);
    let mut ops: Vec<StoreOp> = (4..=6).map(|seq| entry(bulk(1), seq)).collect();
    let cut = heads(&[(bulk(1), 3)]);
    ops.push(StoreOp::Cut { event: EVENT, heads: cut, parts: vec![bytes(0)] });
    ops.push(StoreOp::Entry { event: other, id: bulk(1), seq: 1, entry: bytes(1) });
    ops.push(StoreOp::Drop { event: EVENT });
    write(folder.path(), ops).await;
    let opened = reopen(folder.path()).await;
    assert_eq!(opened.events.keys().collect::<Vec<_>>(), [&other]);
    assert_eq!(entries(&opened), 1);
}

fn entries(opened: &Opened) -> u64 {
    use redb::{ReadableDatabase, ReadableTableMetadata};
    let read = opened.database.begin_read().unwrap();
    read.open_table(super::tables::ENTRIES).unwrap().len().unwrap()
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_with_the_keys_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let file = folder.path().join("starling.redb");
    let mode = || fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    write(folder.path(), vec![entry(bulk(1), 1)]).await;
    assert_eq!(mode(), 0o600);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).unwrap();
    assert_eq!(reopen(folder.path()).await.events.len(), 1);
    assert_eq!(mode(), 0o600, "one of a former version is closed too");
}

#[tokio::test]
async fn an_unreadable_file_is_moved_aside_and_reported() {
    let folder = folder();
    let file = folder.path().join("starling.redb");
    for number in 1..=2 {
        fs::write(&file, b"this is no store, and long enough to be looked at").unwrap();
        let opened = open_file(folder.path()).unwrap();
        let aside = opened.moved_aside.unwrap();
        let name = aside.file_name().unwrap().to_string_lossy().into_owned();
        assert_eq!(name, format!("starling.redb.unreadable-{number}"), "nothing is overwritten");
        assert!(fs::read(&aside).unwrap().starts_with(b"this is no store"));
        assert!(opened.events.is_empty());
    }
    write(folder.path(), vec![entry(bulk(1), 1)]).await;
    assert_eq!(kept(folder.path()).await.logs[&bulk(1)].1, [bytes(1)], "the new file is used");
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_read_counts_as_an_unreadable_file() {
    let folder = folder();
    {
        let opened = open_file(folder.path()).unwrap();
        let transaction = opened.database.begin_write().unwrap();
        let mut cuts = transaction.open_table(super::tables::CUTS).unwrap();
        cuts.insert(EVENT.0, &[0xff; 3][..]).unwrap();
        drop(cuts);
        transaction.commit().unwrap();
    }
    let opened = open_file(folder.path()).unwrap();
    assert!(opened.moved_aside.is_some() && opened.events.is_empty());
}

#[test]
fn a_directory_in_use_is_named_with_a_way_out() {
    let folder = folder();
    let first = open_file(folder.path()).unwrap();
    let error = open_file(folder.path()).unwrap_err();
    assert!(matches!(&error, OpenError::InUse { path } if path == folder.path()), "{error}");
    assert!(error.to_string().contains("--data"), "{error}");
    drop(first);
    assert!(open_file(folder.path()).unwrap().moved_aside.is_none(), "nothing was harmed");
}

#[test]
fn a_directory_that_cannot_be_used_is_named_with_a_way_out() {
    let folder = folder();
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let below = file.join("data");
    let error = open_file(&below).unwrap_err();
    assert!(matches!(&error, OpenError::Directory { path, .. } if *path == below), "{error}");
    assert!(error.to_string().contains("--data"), "{error}");
}

#[tokio::test]
async fn a_node_without_a_store_flushes_at_once() {
    let store = start(None, &Env::system().unwrap());
    store.put(entry(bulk(1), 1)).await;
    store.flush().await;
    assert_eq!(store.counters().commits.load(std::sync::atomic::Ordering::Relaxed), 0);
}

const WELL: u8 = 0;
const FULL: u8 = 1;

/// A disk that fails as it is told; clones are the same disk.
#[derive(Debug, Clone, Default)]
struct Fickle(Arc<(InMemoryBackend, AtomicU8)>);

impl Fickle {
    fn set(&self, how: u8) {
        self.0.1.store(how, SeqCst);
    }

    fn check(&self) -> io::Result<()> {
        match self.0.1.load(SeqCst) {
            FULL => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }
}

impl StorageBackend for Fickle {
    fn len(&self) -> io::Result<u64> {
        self.0.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check()?;
        self.0.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check()?;
        self.0.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check()?;
        self.0.0.write(offset, data)
    }
}

/// Writes through a disk that fails in between, and looks at what a later life finds.
async fn through_a_failure(how: u8) {
    let disk = Fickle::default();
    let backend = disk.clone();
    let store = start_over(open_with(move || backend.clone()).unwrap());
    let mut trouble = store.trouble();
    store.put(entry(bulk(1), 1)).await;
    store.flush().await;
    disk.set(how);
    store.put(entry(bulk(1), 2)).await;
    let flushed = store.flush_or_trouble().await.expect_err("nothing is on this disk");
    store.put(entry(bulk(1), 3)).await;
    let mut later = Box::pin(store.flush());
    let early = tokio::time::timeout(Duration::from_millis(100), &mut later).await;
    assert!(early.is_err(), "a flush returns while the disk fails");
    assert!(store.trouble().borrow().is_some());
    assert!(store.counters().failures.load(SeqCst) > 0);

    disk.set(WELL);
    flushed.await.expect("what was owed is written");
    later.await;
    trouble.wait_for(Option::is_none).await.expect("it is over");
    let kept = store.read(EVENT).await.expect("it is read again");
    assert_eq!(kept.logs[&bulk(1)], (1, vec![bytes(1), bytes(2), bytes(3)]), "a gap");
    let found = open_with(move || disk.clone()).unwrap();
    assert_eq!(found.events[&EVENT], kept, "another life finds the same");
}

#[tokio::test]
async fn a_full_disk_is_owed_everything_until_it_has_room() {
    through_a_failure(FULL).await;
}
