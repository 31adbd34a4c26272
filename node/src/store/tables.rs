//! The tables of the file, and one group of writes as one transaction.

use super::StoreOp;
use bytes::Bytes;
use crdt_state::{EventId, Heads, Lane, LaneId, Origin};
use redb::{Database, TableDefinition, WriteTransaction};

/// (event, origin, lane, number).
pub(super) type EntryKey = (u64, u64, u8, u64);

/// Entries by their key.
pub(super) const ENTRIES: TableDefinition<EntryKey, &[u8]> = TableDefinition::new("entries");
/// By event: heads and parts of the snapshot that everything after it builds on, in postcard.
pub(super) const CUTS: TableDefinition<u64, &[u8]> = TableDefinition::new("cuts");
/// (event, origin, lane) of lanes that have two histories.
pub(super) const QUARANTINED: TableDefinition<(u64, u64, u8), ()> =
    TableDefinition::new("quarantined");
/// What the node remembers of itself.
pub(super) const MEMORY: TableDefinition<&str, &[u8]> = TableDefinition::new("memory");

pub(super) fn lane_number(lane: Lane) -> u8 {
    match lane {
        Lane::Control => 0,
        Lane::Bulk => 1,
    }
}

pub(super) fn lane_of(number: u8) -> Option<Lane> {
    match number {
        0 => Some(Lane::Control),
        1 => Some(Lane::Bulk),
        _ => None,
    }
}

/// Writes a group as one transaction, flushed to disk.
pub(super) fn write(database: &Database, group: &[StoreOp]) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    let is_entry = |op: &StoreOp| matches!(op, StoreOp::Entry { .. });
    for ops in group.chunk_by(|one, next| is_entry(one) && is_entry(next)) {
        match &ops[0] {
            StoreOp::Entry { .. } => write_entries(&transaction, ops)?,
            StoreOp::Cut { event, heads, parts } => write_cut(&transaction, *event, heads, parts)?,
            StoreOp::Quarantine { event, id } => {
                let key = (event.0, id.origin.0, lane_number(id.lane));
                transaction.open_table(QUARANTINED)?.insert(key, ())?;
            }
            StoreOp::Drop { event } => drop_event(&transaction, *event)?,
            StoreOp::Remember { name, value } => {
                transaction.open_table(MEMORY)?.insert(*name, &value[..])?;
            }
            StoreOp::Flush(_) | StoreOp::Read { .. } => {}
        }
    }
    transaction.commit()?;
    Ok(())
}

/// Nearly all that is written; the table is opened once for all that follow each other.
fn write_entries(transaction: &WriteTransaction, ops: &[StoreOp]) -> Result<(), redb::Error> {
    let mut entries = transaction.open_table(ENTRIES)?;
    for op in ops {
        if let StoreOp::Entry { event, id, seq, entry } = op {
            entries.insert(key(*event, *id, *seq), &entry[..])?;
        }
    }
    Ok(())
}

fn write_cut(
    transaction: &WriteTransaction,
    event: EventId,
    heads: &Heads,
    parts: &[Bytes],
) -> Result<(), redb::Error> {
    let cut = postcard::to_stdvec(&(heads, parts)).expect("our own types encode into memory");
    transaction.open_table(CUTS)?.insert(event.0, &cut[..])?;
    let mut entries = transaction.open_table(ENTRIES)?;
    for dot in heads.iter() {
        let covered = key(event, *dot.actor, 0)..=key(event, *dot.actor, dot.counter);
        entries.retain_in(covered, |_, _| false)?;
    }
    Ok(())
}

fn drop_event(transaction: &WriteTransaction, event: EventId) -> Result<(), redb::Error> {
    transaction.open_table(CUTS)?.remove(event.0)?;
    let all = (event.0, 0, 0, 0)..=(event.0, u64::MAX, u8::MAX, u64::MAX);
    transaction.open_table(ENTRIES)?.retain_in(all, |_, _| false)?;
    let all = (event.0, 0, 0)..=(event.0, u64::MAX, u8::MAX);
    transaction.open_table(QUARANTINED)?.retain_in(all, |_, ()| false)?;
    Ok(())
}

fn key(event: EventId, id: LaneId, seq: u64) -> EntryKey {
    let LaneId { origin: Origin(origin), lane } = id;
    (event.0, origin, lane_number(lane), seq)
}
