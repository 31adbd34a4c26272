//! A disk in memory that survives its machine's crash, and forgets what was not yet synced.
//!
//! Invariants: what was synced is never lost; of what was written since, each write is kept, lost
//! or torn by the seed when the power goes, in any combination, as a disk with a cache may do;
//! when only the process dies, the kernel still writes everything. A file opened before a crash
//! is dead after it, so the destructor of a crashed store cannot tidy up. Virtual time does not
//! pass while a disk works, because the store calls it without awaiting: whoever does the store's
//! work waits before it for as long as a slow disk would take.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redb::StorageBackend;

use crate::chance;
use crate::clock;
use crate::mix::Draw;
use crate::trace::{Crossing, Trace, address_word};

/// One file of one machine; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Disk(Arc<Mutex<Platter>>);

#[derive(Debug)]
struct Platter {
    name: Name,
    trace: Trace,
    /// What survives anything.
    durable: Vec<u8>,
    /// What the machine reads: durable with the journal applied.
    cached: Vec<u8>,
    journal: Vec<Change>,
    trouble: DiskTrouble,
    /// Copies of what was durable, where they are made: one that is old enough to come back, and one that will be.
    copies: Option<[Copied; 2]>,
    /// Counts crashes; a file opened before the last one is dead.
    crashes: u64,
}

/// What was durable at a time, in virtual nanoseconds.
#[derive(Clone, Debug, Default)]
struct Copied {
    at_ns: u64,
    bytes: Vec<u8>,
}

/// How old a copy is at least that comes back, in both fidelities.
pub(crate) const STALE: Duration = Duration::from_secs(4);
/// What a commit takes on a slow disk, in both fidelities.
pub(crate) const COMMIT_SLOWLY: Duration = Duration::from_secs(2);

/// Whose disk it is, for the dice and the trace.
#[derive(Clone, Copy, Debug)]
struct Name {
    seed: u64,
    ip: IpAddr,
    file: u64,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    SetLen(usize),
}

/// What a disk does wrong while its machine runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiskTrouble {
    /// Nothing.
    #[default]
    None,
    /// It cannot grow.
    Full,
    /// Every write and sync fails.
    Failing,
    /// Every commit takes seconds.
    Slow,
}

/// The chance that an unsynced write is lost when the power goes (arbitrary: all mixtures occur).
const LOST: f64 = 0.4;
/// The chance that it is torn, its beginning kept (arbitrary).
const TORN: f64 = 0.1;

impl Disk {
    pub(crate) fn new(seed: u64, ip: IpAddr, file: &str, trace: Trace) -> Self {
        let file = xxhash_rust::xxh3::xxh3_64(file.as_bytes());
        Self(Arc::new(Mutex::new(Platter {
            name: Name { seed, ip, file },
            trace,
            durable: Vec::new(),
            cached: Vec::new(),
            journal: Vec::new(),
            trouble: DiskTrouble::None,
            copies: None,
            crashes: 0,
        })))
    }

    /// A file handle for the present life of the machine.
    pub(crate) fn open(&self) -> DiskFile {
        DiskFile { crashes: self.lock().crashes, disk: self.clone() }
    }

    pub(crate) fn set_trouble(&self, trouble: DiskTrouble) {
        self.lock().trouble = trouble;
    }

    pub(crate) fn trouble(&self) -> DiskTrouble {
        self.lock().trouble
    }

    /// The process is gone: its handles are dead, the kernel keeps what was written.
    pub(crate) fn lose_process(&self) {
        self.lock().crashes += 1;
    }

    /// The power is gone: unsynced changes meet their dice.
    pub(crate) fn lose_power(&self) {
        self.lock().lose_power();
    }

    /// From now on copies are made, for [`Disk::rewind`].
    pub(crate) fn make_copies(&self) {
        self.lock().copies.get_or_insert_default();
    }

    /// The disk was replaced by an empty one.
    pub(crate) fn erase(&self) {
        self.lock().replace_by(Vec::new());
    }

    /// The disk was replaced by a copy of it that is some seconds old, or by an empty one where there is none.
    pub(crate) fn rewind(&self) {
        let mut platter = self.lock();
        let now_ns = clock::virtual_ns();
        let is_old = |copied: &&Copied| copied.at_ns + STALE.as_nanos() as u64 <= now_ns;
        let copies = platter.copies.iter().flatten().filter(is_old);
        let newest = copies.max_by_key(|copied| copied.at_ns).map(|copied| copied.bytes.clone());
        platter.replace_by(newest.unwrap_or_default());
    }

    fn lock(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Platter {
    fn replace_by(&mut self, bytes: Vec<u8>) {
        self.crashes += 1;
        self.durable.clone_from(&bytes);
        self.cached = bytes;
        self.journal.clear();
    }

    fn copy_if_due(&mut self) {
        let now_ns = clock::virtual_ns();
        let Some([old, newer]) = &mut self.copies else { return };
        if now_ns >= newer.at_ns + STALE.as_nanos() as u64 {
            let fresh = Copied { at_ns: now_ns, bytes: self.durable.clone() };
            *old = std::mem::replace(newer, fresh);
        }
    }

    fn lose_power(&mut self) {
        self.crashes += 1;
        let Name { seed, ip, file } = self.name;
        for (index, change) in std::mem::take(&mut self.journal).iter().enumerate() {
            let draw =
                Draw::new(chance::of(seed), &[address_word(ip), file, self.crashes, index as u64]);
            let die = draw.unit(0);
            match change {
                _ if die < LOST => {}
                Change::Write { offset, bytes } if die < LOST + TORN => {
                    let kept = draw.up_to(1, bytes.len() as u64) as usize;
                    write_at(&mut self.durable, *offset, &bytes[..kept]);
                }
                change => change.apply(&mut self.durable),
            }
        }
        self.cached.clone_from(&self.durable);
    }

    fn sync(&mut self) {
        self.copy_if_due();
        let from = SocketAddr::new(self.name.ip, 0);
        for change in std::mem::take(&mut self.journal) {
            if let Change::Write { bytes, .. } = &change {
                self.trace.crossing(&Crossing { what: "disk sync", from, to: from, bytes });
            }
            change.apply(&mut self.durable);
        }
    }

    fn change(&mut self, change: Change) -> io::Result<()> {
        let end = match &change {
            Change::Write { offset, bytes } => offset + bytes.len(),
            Change::SetLen(len) => *len,
        };
        match self.trouble {
            DiskTrouble::Failing => return Err(failing()),
            DiskTrouble::Full if end > self.cached.len() => {
                return Err(io::ErrorKind::StorageFull.into());
            }
            _ => {}
        }
        change.apply(&mut self.cached);
        self.journal.push(change);
        Ok(())
    }
}

impl Change {
    fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => write_at(file, *offset, bytes),
            Self::SetLen(len) => file.resize(*len, 0),
        }
    }
}

/// A write beyond the end fills the gap with zeros, as in a sparse file.
fn write_at(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if file.len() < end {
        file.resize(end, 0);
    }
    file[offset..end].copy_from_slice(bytes);
}

/// An open file: the storage under a real redb database.
#[derive(Debug)]
pub struct DiskFile {
    disk: Disk,
    crashes: u64,
}

impl DiskFile {
    fn platter(&self) -> io::Result<MutexGuard<'_, Platter>> {
        let platter = self.disk.lock();
        if platter.crashes != self.crashes {
            return Err(io::Error::new(io::ErrorKind::NotConnected, "the machine has crashed"));
        }
        Ok(platter)
    }
}

impl StorageBackend for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.platter()?.cached.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let platter = self.platter()?;
        let offset = offset as usize;
        let bytes = platter.cached.get(offset..offset + out.len());
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.platter()?.change(Change::SetLen(len as usize))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut platter = self.platter()?;
        if platter.trouble == DiskTrouble::Failing {
            return Err(failing());
        }
        platter.sync();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let bytes = data.to_vec();
        self.platter()?.change(Change::Write { offset: offset as usize, bytes })
    }
}

fn failing() -> io::Error {
    io::Error::other("the disk fails")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(seed: u64) -> Disk {
        Disk::new(seed, IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), "store", Trace::new(None))
    }

    fn contents(disk: &Disk) -> Vec<u8> {
        let file = disk.open();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read(0, &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn synced_writes_survive_and_unsynced_ones_meet_the_dice() {
        let mut outcomes = std::collections::BTreeMap::<Vec<u8>, u32>::new();
        for seed in 0..200 {
            let disk = disk(seed);
            let file = disk.open();
            file.set_len(8).unwrap();
            file.write(0, b"safe").unwrap();
            file.sync_data().unwrap();
            file.write(4, b"risk").unwrap();
            disk.lose_power();
            let bytes = contents(&disk);
            assert_eq!(&bytes[..4], b"safe");
            *outcomes.entry(bytes[4..].to_vec()).or_default() += 1;
        }
        assert!((60..110).contains(&outcomes[&b"risk"[..]]), "kept or not: {outcomes:?}");
        assert!((60..110).contains(&outcomes[&[0; 4][..]]), "lost or not: {outcomes:?}");
        assert!(outcomes.len() > 2, "no write was ever torn: {outcomes:?}");
    }

    #[test]
    fn a_killed_process_loses_no_write() {
        let disk = disk(1);
        disk.open().write(0, b"written").unwrap();
        disk.lose_process();
        assert_eq!(contents(&disk), b"written");
    }

    #[test]
    fn a_file_opened_before_the_crash_is_dead() {
        let disk = disk(1);
        let file = disk.open();
        file.write(0, b"before").unwrap();
        disk.lose_power();
        assert_eq!(file.write(0, b"after!").unwrap_err().kind(), io::ErrorKind::NotConnected);
        assert_eq!(file.sync_data().unwrap_err().kind(), io::ErrorKind::NotConnected);
    }

    #[test]
    fn an_old_copy_lacks_what_was_synced_in_the_last_seconds() {
        let disk = disk(1);
        disk.make_copies();
        let at = |second: u64| clock::drive(Some(second * 1_000_000_000));
        for second in 0..=20 {
            at(second);
            let file = disk.open();
            file.write(second, &[second as u8 + 1]).unwrap();
            file.sync_data().unwrap();
        }
        disk.rewind();
        let left = contents(&disk).len();
        assert!((12..=17).contains(&left), "{left} seconds are left of 20");
        at(21);
        disk.rewind();
        assert_eq!(contents(&disk).len(), left, "the same copy");
        clock::drive(None);
    }

    #[test]
    fn a_disk_without_copies_comes_back_empty() {
        let disk = disk(1);
        disk.open().write(0, b"1234").unwrap();
        disk.rewind();
        assert_eq!(contents(&disk), b"");
    }

    /// A build that checks more must not write something else: its runs would have other hashes.
    #[test]
    fn a_store_writes_the_same_in_every_profile() {
        let disk = disk(1);
        let store = redb::Database::builder().create_with_backend(disk.open()).unwrap();
        let table = redb::TableDefinition::<&str, u64>::new("numbers");
        let transaction = store.begin_write().unwrap();
        transaction.open_table(table).unwrap().insert("one", 1).unwrap();
        transaction.commit().unwrap();
        let poison = [0xff; 1_024];
        let is_poisoned = contents(&disk).windows(poison.len()).any(|bytes| bytes == poison);
        assert!(!is_poisoned, "fresh pages are filled with what only this profile fills them with");
    }

    #[test]
    fn a_full_disk_refuses_growth_and_a_failing_one_everything() {
        let disk = disk(1);
        let file = disk.open();
        file.write(0, b"1234").unwrap();
        disk.set_trouble(DiskTrouble::Full);
        file.write(0, b"abcd").unwrap();
        assert_eq!(file.write(2, b"abcd").unwrap_err().kind(), io::ErrorKind::StorageFull);
        disk.set_trouble(DiskTrouble::Failing);
        assert!(file.write(0, b"1").is_err() && file.sync_data().is_err());
    }
}
