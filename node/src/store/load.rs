//! Opening a store, and reading back what it keeps.

use super::tables::{CUTS, ENTRIES, EntryKey, MEMORY, QUARANTINED, lane_of};
use bytes::Bytes;
use crdt_state::{EventId, Heads, LaneId, Origin};
use redb::{Builder, Database, ReadableDatabase, ReadableTable, StorageBackend, TableError};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use tracing::error;

/// What the store keeps of one event.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The snapshot that the entries build on.
    pub cut: Option<(Heads, Vec<Bytes>)>,
    /// By lane, the number of the first entry and the entries from there on, without a gap.
    pub logs: BTreeMap<LaneId, (u64, Vec<Bytes>)>,
    /// Lanes that have two histories.
    pub quarantined: BTreeSet<LaneId>,
}

/// Opens a store again whose writes have failed: redb takes nothing more after the first failure.
pub type Reopen = Box<dyn Fn() -> Result<Database, redb::Error> + Send + Sync>;

/// A store that is open.
pub struct Opened {
    /// For the writer.
    pub database: Database,
    /// For the writer, after a failure.
    pub reopen: Reopen,
    /// Every event in it; the catalogue is one of them.
    pub events: BTreeMap<EventId, Kept>,
    /// What the node remembered of itself.
    pub memory: BTreeMap<String, Vec<u8>>,
    /// Where an unreadable file was moved to, if there was one.
    pub moved_aside: Option<PathBuf>,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Opened { events, moved_aside, .. } = self;
        let mut opened = f.debug_struct("Opened");
        opened.field("events", events).field("moved_aside", moved_aside).finish_non_exhaustive()
    }
}

/// A store that cannot be opened, with a way out.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be made or used.
    #[error(
        "the data directory {path} cannot be used: {source}; give one that this user can write to \
         with --data"
    )]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has it open.
    #[error(
        "the data directory {path} is in use by another node; give each node its own with --data"
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// It could not even be made anew.
    #[error("the store cannot be opened: {0}")]
    Other(#[from] redb::Error),
}

/// What the file's owner may do with it, and nobody else anything.
const PRIVATE: u32 = 0o600;

/// The name of the file in the data directory.
const FILE: &str = "starling.redb";

/// Opens the store in `directory`, which is created if it is missing. A file that cannot be read is moved
/// aside, and a new one begun.
///
/// # Errors
/// When the directory cannot be used or the store is in use.
pub fn open_file(directory: &Path) -> Result<Opened, OpenError> {
    let unusable = |source| OpenError::Directory { path: directory.to_owned(), source };
    std::fs::create_dir_all(directory).map_err(unusable)?;
    let path = directory.join(FILE);
    let create = || {
        make_private(&path)?;
        Database::create(&path)
    };
    let again = || -> Reopen {
        let path = path.clone();
        // Never a new file in place of one that is gone: what is owed would begin with a gap.
        Box::new(move || Ok(Database::open(&path)?))
    };
    match open_and_read(create, again()) {
        Ok(opened) => Ok(opened),
        Err(error) => match kind(&error) {
            Kind::InUse => Err(OpenError::InUse { path: directory.to_owned() }),
            Kind::Io(source) => Err(unusable(source)),
            Kind::Corrupt => {
                let aside = move_aside(&path).map_err(unusable)?;
                error!(%error, aside = %aside.display(), "the store is unreadable: moved aside, refilling from peers");
                let opened = open_and_read(create, again())?;
                Ok(Opened { moved_aside: Some(aside), ..opened })
            }
        },
    }
}

/// Makes the file, or finds it, readable by nobody but its owner: the cluster's keys are in it.
fn make_private(path: &Path) -> Result<(), io::Error> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, PRIVATE);
    let file = options.open(path)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let held = file.metadata()?.permissions();
        if held.mode() & !PRIVATE & 0o777 != 0 {
            file.set_permissions(std::fs::Permissions::from_mode(PRIVATE))?;
        }
    }
    Ok(())
}

/// Opens a store on something that is not a file, as the simulator's disks are; `backend` is asked again
/// after a failure.
///
/// # Errors
/// When redb refuses it.
pub fn open_with<B: StorageBackend>(
    backend: impl Fn() -> B + Send + Sync + 'static,
) -> Result<Opened, OpenError> {
    let first = backend();
    let reopen = Box::new(move || Ok(Builder::new().create_with_backend(backend())?));
    Ok(open_and_read(|| Builder::new().create_with_backend(first), reopen)?)
}

enum Kind {
    InUse,
    Io(io::Error),
    Corrupt,
}

fn kind(error: &redb::Error) -> Kind {
    match error {
        redb::Error::DatabaseAlreadyOpen => Kind::InUse,
        redb::Error::Io(io) if io.kind() != io::ErrorKind::InvalidData => {
            Kind::Io(io::Error::new(io.kind(), io.to_string()))
        }
        _ => Kind::Corrupt,
    }
}

/// The first free name beside the file.
fn move_aside(path: &Path) -> io::Result<PathBuf> {
    let names = (1..).map(|number| path.with_extension(format!("redb.unreadable-{number}")));
    let aside = names.into_iter().find(|name| !name.exists()).expect("numbers do not end");
    std::fs::rename(path, &aside)?;
    Ok(aside)
}

fn open_and_read(
    open: impl FnOnce() -> Result<Database, redb::DatabaseError>,
    reopen: Reopen,
) -> Result<Opened, redb::Error> {
    let database = open()?;
    let (events, memory) = (read_events(&database)?, read_memory(&database)?);
    Ok(Opened { database, reopen, events, memory, moved_aside: None })
}

fn read_events(database: &Database) -> Result<BTreeMap<EventId, Kept>, redb::Error> {
    let mut events: BTreeMap<EventId, Kept> = BTreeMap::new();
    let read = database.begin_read()?;
    if let Some(cuts) = present(read.open_table(CUTS))? {
        for row in cuts.iter()? {
            let (event, cut) = row?;
            let cut = read_cut(cut.value())?;
            events.entry(EventId(event.value())).or_default().cut = Some(cut);
        }
    }
    if let Some(entries) = present(read.open_table(ENTRIES))? {
        for row in entries.iter()? {
            let (key, entry) = row?;
            keep(&mut events, key.value(), Bytes::copy_from_slice(entry.value()));
        }
    }
    if let Some(quarantined) = present(read.open_table(QUARANTINED))? {
        for row in quarantined.iter()? {
            quarantine(&mut events, row?.0.value());
        }
    }
    Ok(events)
}

/// What the store keeps of one event.
pub(super) fn read_event(database: &Database, event: EventId) -> Result<Kept, redb::Error> {
    let mut events = BTreeMap::from([(event, Kept::default())]);
    let read = database.begin_read()?;
    if let Some(cuts) = present(read.open_table(CUTS))?
        && let Some(cut) = cuts.get(event.0)?
    {
        events.entry(event).or_default().cut = Some(read_cut(cut.value())?);
    }
    if let Some(entries) = present(read.open_table(ENTRIES))? {
        for row in entries.range((event.0, 0, 0, 0)..=(event.0, u64::MAX, u8::MAX, u64::MAX))? {
            let (key, entry) = row?;
            keep(&mut events, key.value(), Bytes::copy_from_slice(entry.value()));
        }
    }
    if let Some(quarantined) = present(read.open_table(QUARANTINED))? {
        for row in quarantined.range((event.0, 0, 0)..=(event.0, u64::MAX, u8::MAX))? {
            quarantine(&mut events, row?.0.value());
        }
    }
    Ok(events.remove(&event).unwrap_or_default())
}

fn read_cut(bytes: &[u8]) -> Result<(Heads, Vec<Bytes>), redb::Error> {
    postcard::from_bytes(bytes)
        .map_err(|error| redb::Error::Corrupted(format!("a snapshot: {error}")))
}

/// Takes an entry in if it follows the one before; what lies beyond a gap is left to the peers.
fn keep(events: &mut BTreeMap<EventId, Kept>, key: EntryKey, entry: Bytes) {
    let (event, origin, lane, seq) = key;
    let Some(lane) = lane_of(lane) else { return };
    let id = LaneId { origin: Origin(origin), lane };
    let kept = events.entry(EventId(event)).or_default();
    let cut = kept.cut.as_ref().map_or(0, |(heads, _)| heads.get(&id));
    let (first, entries) = kept.logs.entry(id).or_insert_with(|| (cut + 1, Vec::new()));
    if seq == *first + entries.len() as u64 {
        entries.push(entry);
    }
}

fn quarantine(events: &mut BTreeMap<EventId, Kept>, (event, origin, lane): (u64, u64, u8)) {
    let Some(lane) = lane_of(lane) else { return };
    let id = LaneId { origin: Origin(origin), lane };
    if let Some(kept) = events.get_mut(&EventId(event)) {
        kept.quarantined.insert(id);
    }
}

fn read_memory(database: &Database) -> Result<BTreeMap<String, Vec<u8>>, redb::Error> {
    let read = database.begin_read()?;
    let Some(memory) = present(read.open_table(MEMORY))? else { return Ok(BTreeMap::new()) };
    let pair = |row: Result<(redb::AccessGuard<'_, &str>, redb::AccessGuard<'_, &[u8]>), _>| {
        let (name, value) = row?;
        Ok((name.value().to_owned(), value.value().to_vec()))
    };
    memory.iter()?.map(pair).collect()
}

/// A table that nobody has written to yet does not exist.
fn present<T>(table: Result<T, TableError>) -> Result<Option<T>, redb::Error> {
    match table {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crdts::CmRDT;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn arbitrary_bytes_are_a_cut_or_not_and_never_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            match read_cut(&bytes) {
                Ok((heads, _)) => prop_assert!(heads.dots.len() <= bytes.len()),
                Err(error) => prop_assert!(matches!(error, redb::Error::Corrupted(_))),
            }
        }

        #[test]
        fn a_damaged_cut_never_panics(
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            end in any::<prop::sample::Index>(),
        ) {
            let mut heads = Heads::new();
            heads.apply(heads.inc(LaneId::bulk(Origin(7))));
            let parts = vec![Bytes::from_static(b"front"), Bytes::from_static(b"a slice")];
            let mut cut = postcard::to_stdvec(&(heads, parts)).unwrap();
            prop_assert!(read_cut(&cut[..end.index(cut.len())]).is_err());
            for (at, with) in damage {
                let at = at.index(cut.len());
                cut[at] = with;
            }
            let _ = read_cut(&cut);
        }
    }
}
