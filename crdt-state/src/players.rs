//! The players of an event: rows, numbered by the origin that first took the player.
//!
//! A player id exists before its row, and rows with the same id are aliases: two nodes that took one
//! player before they met gave it two rows, and every fold reads both as one player. A row never
//! changes once it is there, so the join of two row tables is their union.
//!
//! Rows lie in copy-on-write blocks, some 20 bytes a player beside id and name. Everything else (who has
//! which rows, who bears which name) is derived: each node numbers its blocks as they come, and a row's
//! *handle*, its place among them, is the dense index that folds use. Handles mean nothing elsewhere.

mod aliases;
mod index;
mod rows;

use crate::caps;
use crate::column::BLOCK;
use crate::id::{Origin, PlayerId, Row};
use crate::name::skeleton;
use aliases::Aliases;
use crdts::CvRDT;
use index::Index;
use rows::{Rows, name_tag};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// What a row says of its player.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Player<'a> {
    /// Who it is.
    pub id: PlayerId,
    /// The name as the player typed it, trimmed; 1 to [`caps::NAME_BYTES_MAX`] bytes.
    pub name: &'a str,
}

/// A row's place here: `block * BLOCK + at`.
pub(crate) type Handle = u32;

/// The blocks of one origin.
#[derive(Debug, Clone, Default)]
struct Numbered {
    /// In row order; [`NONE`] where no row has come yet.
    blocks: Vec<u32>,
    /// One more than the largest number.
    next: u32,
}

const NONE: u32 = u32::MAX;

/// Bytes that players take here, by what they are spent on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Ids.
    pub ids: usize,
    /// Names as they were typed.
    pub names: usize,
    /// Who bears which name.
    pub name_index: usize,
    /// Who has which row, and where each row's name is.
    pub rows: usize,
}

/// All rows, with derived indexes.
#[derive(Clone, Default)]
pub struct Players {
    /// In the order in which they came.
    blocks: Vec<Arc<Rows>>,
    origins: BTreeMap<Origin, Numbered>,
    /// Of every player the smallest row.
    by_id: Index<Handle>,
    /// Every row, with its name's tag.
    by_name: Index<(u32, Handle)>,
    aliases: Arc<Aliases>,
    count: usize,
}

impl Players {
    /// Takes in a row; tells whether its player has another one too. Where a row is already held with
    /// another content, the smaller content stays.
    ///
    /// # Panics
    /// If the row is beyond [`caps::ROWS_MAX`] or the name beyond its cap: decoding refuses both.
    pub fn insert(&mut self, row: Row, player: Player<'_>) -> bool {
        assert!(row.number < caps::ROWS_MAX, "{row:?} is within the cap that decoding enforces");
        let bytes = player.name.len();
        assert!((1..=caps::NAME_BYTES_MAX).contains(&bytes), "a name of {bytes} bytes");
        let handle = self.place(row);
        if let Some(held) = self.at(handle) {
            if held <= player {
                return self.aliases.is_aliased(handle);
            }
            self.unlink(handle);
        }
        Arc::make_mut(&mut self.blocks[handle as usize / BLOCK]).set(at(handle), player);
        self.link(handle);
        self.aliases.is_aliased(handle)
    }

    /// The place of a row, made if it is new.
    fn place(&mut self, row: Row) -> Handle {
        let numbered = self.origins.entry(row.origin).or_default();
        numbered.next = numbered.next.max(row.number + 1);
        let number = row.number as usize / BLOCK;
        if number >= numbered.blocks.len() {
            numbered.blocks.resize(number + 1, NONE);
        }
        let block = &mut numbered.blocks[number];
        if *block == NONE {
            *block = self.blocks.len() as u32;
            self.blocks.push(Arc::new(Rows::new(row.origin, (number * BLOCK) as u32)));
        }
        *block * BLOCK as u32 + row.number % BLOCK as u32
    }

    /// Brings a row that has just been written into the indexes.
    fn link(&mut self, handle: Handle) {
        let player = self.at(handle).expect("it was just written");
        let (id, tag) = (player.id, name_tag(player.name));
        self.by_name.insert(spread(tag), (tag, handle), |(tag, _)| spread(*tag));
        let Some(first) = self.handle_of(id) else {
            self.count += 1;
            return self.speak(id, handle);
        };
        let mut rows = self.aliases.rows_of(first);
        rows.push(handle);
        rows.sort_unstable_by_key(|handle| self.row_at(*handle));
        self.regroup(id, first, rows);
    }

    /// Takes a row that is about to change out of the indexes.
    fn unlink(&mut self, handle: Handle) {
        let player = self.at(handle).expect("only rows that are there change");
        let (id, tag) = (player.id, name_tag(player.name));
        self.by_name.remove(spread(tag), (tag, handle));
        let first = self.handle_of(id).expect("every row's player is known");
        let mut rows = self.aliases.rows_of(first);
        rows.retain(|row| *row != handle);
        if rows.is_empty() {
            self.count -= 1;
            return self.by_id.remove(id_hash(id), first);
        }
        self.regroup(id, first, rows);
    }

    /// Has the rows of a player, of which `first` was the smallest, be these.
    fn regroup(&mut self, id: PlayerId, first: Handle, rows: Vec<Handle>) {
        let speaker = rows[0];
        Arc::make_mut(&mut self.aliases).set(first, rows);
        if speaker != first {
            self.by_id.remove(id_hash(id), first);
            self.speak(id, speaker);
        }
    }

    fn speak(&mut self, id: PlayerId, handle: Handle) {
        let blocks = &self.blocks;
        self.by_id.insert(id_hash(id), handle, |handle| {
            id_hash(player_at(blocks, *handle).expect("an indexed row is there").id)
        });
    }

    /// What a row says.
    #[must_use]
    pub fn get(&self, row: Row) -> Option<Player<'_>> {
        self.at(self.handle(row)?)
    }

    /// How many players there are, aliases counted once.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Every player, in the order of their ids.
    pub fn ids(&self) -> impl Iterator<Item = PlayerId> + use<> {
        let speaks = |handle: Handle| self.aliases.speaker(handle) == handle;
        let mut ids: Vec<PlayerId> = self
            .handles()
            .filter(|(handle, _)| speaks(*handle))
            .map(|(_, player)| player.id)
            .collect();
        ids.sort_unstable();
        ids.into_iter()
    }

    /// All rows of a player, in their order; nothing for an unknown one.
    pub fn rows_of(&self, id: PlayerId) -> impl Iterator<Item = Row> + '_ {
        let rows = self.handle_of(id).map(|first| self.aliases.rows_of(first));
        rows.into_iter().flatten().map(|handle| self.row_at(handle))
    }

    /// The row that speaks for a player: the smallest.
    #[must_use]
    pub fn row_of(&self, id: PlayerId) -> Option<Row> {
        Some(self.row_at(self.handle_of(id)?))
    }

    /// Whether any player has several rows.
    #[must_use]
    pub fn has_aliases(&self) -> bool {
        !self.aliases.is_empty()
    }

    /// Whether a row is one of several of its player.
    #[must_use]
    pub fn is_aliased(&self, row: Row) -> bool {
        self.handle(row).is_some_and(|handle| self.aliases.is_aliased(handle))
    }

    /// Whether somebody else already bears this name, or one that looks the same.
    #[must_use]
    pub fn is_taken(&self, name: &str, by_other_than: PlayerId) -> bool {
        self.named(name).any(|(_, player)| player.id != by_other_than)
    }

    /// The name as it is shown: bare for the smallest row that bears it, with a suffix for a player
    /// who took it on another node at the same time. A suffix never goes away again.
    #[must_use]
    pub fn shown_name(&self, id: PlayerId) -> Option<String> {
        let name = self.at(self.handle_of(id)?)?.name;
        let first = self.named(name).min_by_key(|(handle, _)| self.row_at(*handle));
        match first {
            Some((_, first)) if first.id != id => Some(format!("{name} ({:04x})", id.0 as u16)),
            _ => Some(name.to_owned()),
        }
    }

    /// Every row that bears a name, or one that looks the same.
    fn named(&self, name: &str) -> impl Iterator<Item = (Handle, Player<'_>)> {
        let (tag, wanted) = (name_tag(name), skeleton(name));
        let tagged = self.by_name.all(spread(tag)).filter(move |(held, _)| *held == tag);
        tagged
            .filter_map(|(_, handle)| Some((handle, self.at(handle)?)))
            .filter(move |(_, player)| skeleton(player.name) == wanted)
    }

    /// Every player who joined under a name, or under one that looks the same.
    pub fn called(&self, name: &str) -> impl Iterator<Item = PlayerId> {
        self.named(name).map(|(_, player)| player.id)
    }

    /// The next free row number of `origin`.
    #[must_use]
    pub fn next_number(&self, origin: Origin) -> u32 {
        self.origins.get(&origin).map_or(0, |numbered| numbered.next)
    }

    /// Every row in order, for exports.
    pub fn rows(&self) -> impl Iterator<Item = (Row, Player<'_>)> {
        self.in_order().flat_map(|rows| {
            let row = |at| Row { origin: rows.origin, number: rows.base + at as u32 };
            rows.iter().map(move |(at, player)| (row(at), player))
        })
    }

    /// Every block's origin, first row and digest, in row order: canonical, whatever came first.
    pub(crate) fn digests(&self) -> impl Iterator<Item = (Origin, u32, u64)> + '_ {
        self.in_order().map(|rows| (rows.origin, rows.base, rows.digest()))
    }

    fn in_order(&self) -> impl Iterator<Item = &Rows> {
        let blocks = self.origins.values().flat_map(|numbered| &numbered.blocks);
        blocks.filter(|block| **block != NONE).map(|block| &*self.blocks[*block as usize])
    }

    /// Every block in which there is a row, by its number here, with the most bytes that it takes in a
    /// snapshot.
    pub(crate) fn written(&self) -> impl Iterator<Item = (u32, usize)> + '_ {
        let filled = self.blocks.iter().enumerate().filter(|(_, rows)| rows.len() > 0);
        filled.map(|(number, rows)| (number as u32, rows.written_bytes()))
    }

    /// Some blocks, by their numbers here, shared with them.
    pub(crate) fn row_blocks(&self, numbers: &[u32]) -> RowBlocks {
        let block = |number: &u32| self.blocks.get(*number as usize).map(Arc::clone);
        RowBlocks(numbers.iter().filter_map(block).collect())
    }

    /// Joins whole blocks of rows.
    pub(crate) fn join_blocks(&mut self, blocks: &RowBlocks) {
        blocks.0.iter().for_each(|rows| self.insert_block(rows));
    }

    /// The blocks by handle: the first one holds handles from 0, the next from [`BLOCK`], and so on.
    pub(crate) fn blocks(&self) -> impl ExactSizeIterator<Item = PlayersBlock<'_>> {
        let aliases = &*self.aliases;
        self.blocks.iter().enumerate().map(move |(number, rows)| PlayersBlock {
            first: (number * BLOCK) as Handle,
            rows,
            aliases,
        })
    }

    /// How many blocks there are.
    pub(crate) fn row_blocks_held(&self) -> usize {
        self.blocks.len()
    }

    /// How many blocks would be new for these rows.
    pub(crate) fn new_blocks(&self, rows: impl Iterator<Item = Row>) -> usize {
        let block = |row: Row| Row { number: row.number - row.number % BLOCK as u32, ..row };
        let new = rows.map(block).filter(|first| self.handle(*first).is_none());
        new.collect::<BTreeSet<Row>>().len()
    }

    /// Every player with several rows, the smallest first.
    pub(crate) fn aliased(&self) -> impl Iterator<Item = &[Handle]> {
        self.aliases.groups()
    }

    /// The row that a handle stands for.
    pub(crate) fn row_at(&self, handle: Handle) -> Row {
        let block = &self.blocks[handle as usize / BLOCK];
        Row { origin: block.origin, number: block.base + handle % BLOCK as u32 }
    }

    /// The handle of the row that speaks for a player.
    pub(crate) fn handle_of(&self, id: PlayerId) -> Option<Handle> {
        let is = |handle: Handle| self.blocks[handle as usize / BLOCK].is_of(at(handle), id);
        self.by_id.find(id_hash(id), is)
    }

    /// Every row's handle and what it says.
    fn handles(&self) -> impl Iterator<Item = (Handle, Player<'_>)> {
        self.blocks().flat_map(|block| {
            block.rows.iter().map(move |(at, player)| (block.first + at as u32, player))
        })
    }

    /// Who a handle's row is.
    pub(crate) fn id_at(&self, handle: Handle) -> PlayerId {
        self.at(handle).expect("a handle stands for a row").id
    }

    /// What the players take in memory, aliases aside.
    #[must_use]
    pub fn footprint(&self) -> Footprint {
        let name_index = self.by_name.bytes();
        let start = Footprint { name_index, rows: self.by_id.bytes(), ..Footprint::default() };
        self.blocks.iter().map(|rows| rows.bytes()).fold(start, |sum, [ids, names, places]| {
            let (ids, names) = (sum.ids + ids, sum.names + names);
            Footprint { ids, names, rows: sum.rows + places, ..sum }
        })
    }

    fn handle(&self, row: Row) -> Option<Handle> {
        let block = *self.origins.get(&row.origin)?.blocks.get(row.number as usize / BLOCK)?;
        (block != NONE).then(|| block * BLOCK as u32 + row.number % BLOCK as u32)
    }

    fn at(&self, handle: Handle) -> Option<Player<'_>> {
        player_at(&self.blocks, handle)
    }

    /// Takes in a whole block of rows.
    fn insert_block(&mut self, theirs: &Arc<Rows>) {
        let (origin, base) = (theirs.origin, theirs.base);
        let held = self.handle(Row { origin, number: base });
        match held.map(|first| &self.blocks[first as usize / BLOCK]) {
            Some(ours) if Arc::ptr_eq(ours, theirs) || ours.seems_same(theirs) => {}
            Some(_) => {
                for (at, player) in theirs.iter() {
                    self.insert(Row { origin, number: base + at as u32 }, player);
                }
            }
            None => {
                let last = base + theirs.len().max(1) as u32 - 1;
                let block = self.place(Row { origin, number: last }) as usize / BLOCK;
                self.blocks[block] = Arc::clone(theirs);
                for (at, _) in theirs.iter() {
                    self.link((block * BLOCK + at) as Handle);
                }
            }
        }
    }

    fn decode(mut bytes: &[u8]) -> Result<Self, &'static str> {
        let (mut players, mut blocks) = (Players::default(), Vec::new());
        while !bytes.is_empty() {
            blocks.push(Rows::read(&mut bytes).ok_or("a block of rows cannot be read")?);
        }
        let rows = blocks.iter().map(Rows::len).sum();
        players.by_id.reserve(rows, |_| unreachable!("there is nothing to move"));
        players.by_name.reserve(rows, |(tag, _)| spread(*tag));
        for rows in blocks {
            players.insert_block(&Arc::new(rows));
        }
        Ok(players)
    }
}

/// Whole blocks of rows, without an index over them: a part of [`Players`] on its way.
#[derive(Clone, Default)]
pub(crate) struct RowBlocks(Vec<Arc<Rows>>);

impl RowBlocks {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Debug for RowBlocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} blocks of rows", self.0.len())
    }
}

impl Serialize for RowBlocks {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut out = Vec::new();
        self.0.iter().for_each(|rows| rows.write(&mut out));
        to.serialize_bytes(&out)
    }
}

impl<'de> Deserialize<'de> for RowBlocks {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut bytes = <&[u8]>::deserialize(from)?;
        let mut blocks = Vec::new();
        while !bytes.is_empty() {
            let rows = Rows::read(&mut bytes).ok_or("a block of rows cannot be read");
            blocks.push(Arc::new(rows.map_err(serde::de::Error::custom)?));
        }
        Ok(RowBlocks(blocks))
    }
}

/// The rows of a block, as folds walk them.
pub(crate) struct PlayersBlock<'a> {
    /// The handle of its first row.
    pub(crate) first: Handle,
    rows: &'a Rows,
    aliases: &'a Aliases,
}

impl PlayersBlock<'_> {
    /// Who numbered its rows.
    pub(crate) fn origin(&self) -> Origin {
        self.rows.origin
    }

    /// Which block of its origin's it is.
    pub(crate) fn number(&self) -> usize {
        self.rows.base as usize / BLOCK
    }

    /// How many places it has.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn digest(&self) -> u64 {
        self.rows.digest()
    }

    /// Whether there is a row.
    pub(crate) fn is_present(&self, at: usize) -> bool {
        self.rows.is_present(at)
    }

    /// Of each of these places, whether there is a row.
    pub(crate) fn present(&self, places: Range<usize>) -> impl Iterator<Item = bool> {
        self.rows.present(places)
    }

    /// The places between rows that are aliases: what a fold can take one by one.
    pub(crate) fn alone(&self) -> impl Iterator<Item = Range<usize>> {
        let aliased = self.aliases.within(self.first..self.first + BLOCK as u32);
        let ends = aliased.map(at).chain([self.len()]);
        ends.scan(0, |from, end| Some(std::mem::replace(from, end + 1)..end))
    }
}

fn at(handle: Handle) -> usize {
    handle as usize % BLOCK
}

fn player_at(blocks: &[Arc<Rows>], handle: Handle) -> Option<Player<'_>> {
    blocks[handle as usize / BLOCK].get(at(handle))
}

fn id_hash(id: PlayerId) -> u64 {
    xxh3_64(&id.0.to_le_bytes())
}

/// A tag's bits, spread over all that an index looks at.
fn spread(tag: u32) -> u64 {
    u64::from(tag).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl PartialEq for Players {
    fn eq(&self, other: &Self) -> bool {
        let blocks = |players: &Self| players.blocks.iter().filter(|b| b.len() > 0).count();
        let same =
            |(a, b): (&Rows, &Rows)| (a.origin, a.base) == (b.origin, b.base) && a.is_same(b);
        let filled = |rows: &&Rows| rows.len() > 0;
        blocks(self) == blocks(other)
            && self.in_order().filter(filled).zip(other.in_order().filter(filled)).all(same)
    }
}

impl Eq for Players {}

impl fmt::Debug for Players {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.rows()).finish()
    }
}

impl Serialize for Players {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut out = Vec::new();
        self.in_order().filter(|rows| rows.len() > 0).for_each(|rows| rows.write(&mut out));
        to.serialize_bytes(&out)
    }
}

impl<'de> Deserialize<'de> for Players {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Players::decode(<&[u8]>::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

impl CvRDT for Players {
    type Validation = Infallible;

    fn validate_merge(&self, _: &Self) -> Result<(), Infallible> {
        Ok(())
    }

    fn merge(&mut self, other: Self) {
        if self.count == 0 {
            *self = other;
            return;
        }
        for rows in &other.blocks {
            self.insert_block(rows);
        }
    }
}

#[cfg(test)]
mod tests;
