//! Rows in blocks: ids side by side, names in one text per block.

use super::Player;
use crate::caps;
use crate::column::BLOCK;
use crate::id::{Origin, PlayerId};
use crate::name::{folded_ascii, is_plain, skeleton};
use std::ops::Range;
use std::sync::OnceLock;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes before the bitmap.
const HEAD: usize = 8 + 2 + 2 + 4;

/// Rows that one origin numbered, from `base` on.
#[derive(Clone)]
pub(super) struct Rows {
    pub(super) origin: Origin,
    pub(super) base: u32,
    ids: Vec<PlayerId>,
    /// Where in `text` the name is, and in the low byte how long; 0 where there is no row.
    names: Vec<u32>,
    text: String,
    digest: OnceLock<u64>,
}

impl Rows {
    pub(super) fn new(origin: Origin, base: u32) -> Self {
        let digest = OnceLock::new();
        Rows { origin, base, ids: Vec::new(), names: Vec::new(), text: String::new(), digest }
    }

    /// One more than the last place that has a row.
    pub(super) fn len(&self) -> usize {
        self.names.iter().rposition(|name| *name != 0).map_or(0, |at| at + 1)
    }

    pub(super) fn is_present(&self, at: usize) -> bool {
        self.names.get(at).is_some_and(|name| *name != 0)
    }

    /// Of each of these places, all before [`Rows::len`], whether there is a row.
    pub(super) fn present(&self, places: Range<usize>) -> impl Iterator<Item = bool> {
        self.names[places].iter().map(|name| *name != 0)
    }

    pub(super) fn get(&self, at: usize) -> Option<Player<'_>> {
        let name = *self.names.get(at).filter(|name| **name != 0)?;
        let from = (name >> 8) as usize;
        Some(Player { id: self.ids[at], name: &self.text[from..from + (name & 0xff) as usize] })
    }

    /// Whether a place has a row of this player, without a look at its name.
    pub(super) fn is_of(&self, at: usize, id: PlayerId) -> bool {
        self.ids.get(at) == Some(&id) && self.names[at] != 0
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, Player<'_>)> {
        (0..self.names.len()).filter_map(|at| Some((at, self.get(at)?)))
    }

    /// Writes a row. The text of one that was there before is let go.
    pub(super) fn set(&mut self, at: usize, player: Player<'_>) {
        self.digest.take();
        if at >= self.ids.len() {
            let grown = (at + 1).next_power_of_two().clamp(16, BLOCK);
            self.ids.reserve_exact(grown - self.ids.len());
            self.ids.resize(grown, PlayerId(0));
            self.names.reserve_exact(grown - self.names.len());
            self.names.resize(grown, 0);
        }
        if self.names[at] != 0 {
            self.names[at] = 0;
            self.compact();
        }
        self.ids[at] = player.id;
        self.names[at] = (self.text.len() as u32) << 8 | player.name.len() as u32;
        self.text.push_str(player.name);
    }

    fn compact(&mut self) {
        let old = std::mem::take(&mut self.text);
        for name in self.names.iter_mut().filter(|name| **name != 0) {
            let (from, length) = ((*name >> 8) as usize, *name & 0xff);
            *name = (self.text.len() as u32) << 8 | length;
            self.text.push_str(&old[from..from + length as usize]);
        }
    }

    /// Bytes that ids take, names' texts, and where names are.
    pub(super) fn bytes(&self) -> [usize; 3] {
        let ids = self.ids.capacity() * size_of::<PlayerId>();
        [ids, self.text.capacity(), self.names.capacity() * size_of::<u32>()]
    }

    /// Whether two blocks say the same, without a look at them where their digests are known.
    pub(super) fn seems_same(&self, other: &Rows) -> bool {
        match (self.digest.get(), other.digest.get()) {
            (Some(ours), Some(theirs)) => ours == theirs,
            _ => self.is_same(other),
        }
    }

    /// Whether two blocks say the same.
    pub(super) fn is_same(&self, other: &Rows) -> bool {
        let laid_out_alike =
            self.ids == other.ids && self.names == other.names && self.text == other.text;
        laid_out_alike || self.iter().eq(other.iter())
    }

    /// The digest of the rows: a sum, so that neither order nor layout matters.
    pub(super) fn digest(&self) -> u64 {
        *self.digest.get_or_init(|| {
            let mut bytes = [0; 16 + caps::NAME_BYTES_MAX];
            let hash = |(at, player): (usize, Player<'_>)| {
                let end = 16 + player.name.len();
                bytes[..16].copy_from_slice(&player.id.0.to_le_bytes());
                bytes[16..end].copy_from_slice(player.name.as_bytes());
                xxh3_64_with_seed(&bytes[..end], at as u64)
            };
            self.iter().map(hash).fold(0, u64::wrapping_add)
        })
    }

    /// The most bytes that the block takes in a snapshot.
    pub(super) fn written_bytes(&self) -> usize {
        let length = self.len();
        HEAD + length.div_ceil(8) + length * (size_of::<PlayerId>() + 1) + self.text.len()
    }

    /// Appends the block to a snapshot: whose, which, how many, which are there, ids, lengths, names.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let length = self.len();
        let text: usize = self.names.iter().map(|name| (name & 0xff) as usize).sum();
        out.extend(self.origin.0.to_le_bytes());
        out.extend(((self.base as usize / BLOCK) as u16).to_le_bytes());
        out.extend((length as u16).to_le_bytes());
        out.extend((text as u32).to_le_bytes());
        for eight in self.names[..length].chunks(8) {
            let present = |(bit, name): (usize, &u32)| u8::from(*name != 0) << bit;
            out.push(eight.iter().enumerate().map(present).sum());
        }
        self.iter().for_each(|(_, player)| out.extend(player.id.0.to_le_bytes()));
        self.iter().for_each(|(_, player)| out.push(player.name.len() as u8));
        self.iter().for_each(|(_, player)| out.extend(player.name.as_bytes()));
    }

    /// Reads one block off the front of `bytes`; nothing if it is not one.
    pub(super) fn read(bytes: &mut &[u8]) -> Option<Rows> {
        let head = bytes.split_off(..HEAD)?;
        let origin = Origin(u64::from_le_bytes(head[..8].try_into().ok()?));
        let [number, length] = [8, 10].map(|at| u16::from_le_bytes([head[at], head[at + 1]]));
        let text = u32::from_le_bytes(head[12..].try_into().ok()?) as usize;
        let (base, length) = (usize::from(number) * BLOCK, usize::from(length));
        if length == 0 || length > BLOCK || base >= caps::ROWS_MAX as usize {
            return None;
        }
        let bitmap = bytes.split_off(..length.div_ceil(8))?;
        let present: Vec<usize> =
            (0..bitmap.len() * 8).filter(|at| bitmap[at / 8] >> (at % 8) & 1 == 1).collect();
        if present.last() != Some(&(length - 1)) {
            return None;
        }
        let ids = bytes.split_off(..present.len() * 16)?;
        let lengths = bytes.split_off(..present.len())?;
        let text = std::str::from_utf8(bytes.split_off(..text)?).ok()?;
        let mut rows = Rows::new(origin, base as u32);
        rows.fill(length, &present, ids, lengths, text)?;
        // Wanted by the next audit anyhow, and by whoever joins them to what it has; they are at hand now.
        rows.digest();
        Some(rows)
    }

    fn fill(
        &mut self,
        length: usize,
        present: &[usize],
        ids: &[u8],
        lengths: &[u8],
        text: &str,
    ) -> Option<()> {
        self.ids = vec![PlayerId(0); length];
        self.names = vec![0; length];
        let mut from = 0;
        for ((at, id), bytes) in present.iter().zip(ids.chunks_exact(16)).zip(lengths) {
            let bytes = usize::from(*bytes);
            let fits = (1..=caps::NAME_BYTES_MAX).contains(&bytes);
            text.get(from..from + bytes).filter(|_| fits)?;
            self.ids[*at] = PlayerId(u128::from_le_bytes(id.try_into().ok()?));
            self.names[*at] = (from as u32) << 8 | bytes as u32;
            from += bytes;
        }
        self.text = text.to_owned();
        (from == text.len()).then_some(())
    }
}

/// A hash of a name that is equal for all that a person would call the same name: that of its skeleton,
/// made in place where the name is as plain as most.
pub(super) fn name_tag(name: &str) -> u32 {
    let is_short = |byte: u8| is_plain(byte) || byte == b' ';
    if name.len() > caps::NAME_BYTES_MAX || !name.bytes().all(is_short) {
        return xxh3_64_with_seed(skeleton(name).as_bytes(), 0) as u32;
    }
    let (mut buffer, mut length) = ([0u8; 2 * caps::NAME_BYTES_MAX + 1], 0);
    for word in name.split_ascii_whitespace() {
        let space = if length > 0 { Some(b' ') } else { None };
        for byte in space.into_iter().chain(word.bytes().flat_map(folded_ascii)) {
            buffer[length] = byte;
            length += 1;
        }
    }
    xxh3_64_with_seed(&buffer[..length], 0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn blocks_seem_the_same_when_they_are() {
        let block = |name| {
            let mut rows = Rows::new(Origin(1), 0);
            rows.set(3, Player { id: PlayerId(7), name });
            rows
        };
        for (other, same) in [("Ada", true), ("Bob", false)] {
            let (ours, theirs) = (block("Ada"), block(other));
            assert_eq!(ours.seems_same(&theirs), same);
            let digests = [ours.digest(), theirs.digest()];
            assert_eq!((ours.seems_same(&theirs), digests[0] == digests[1]), (same, same));
        }
    }

    proptest! {
        #[test]
        fn spellings_of_one_name_have_one_tag(name in "[ -~äÄ]{0,20}") {
            let tag = |name: &str| name_tag(name);
            prop_assert_eq!(tag(&name), xxh3_64_with_seed(skeleton(&name).as_bytes(), 0) as u32);
            prop_assert_eq!(tag(&format!("  {} ", name.to_ascii_uppercase())), tag(&name));
        }

        #[test]
        fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = Rows::read(&mut bytes.as_slice());
        }

        #[test]
        fn a_damaged_block_never_panics(at in 0..200usize, with in any::<u8>()) {
            let mut rows = Rows::new(Origin(3), 0);
            for at in [0, 1, 5] {
                rows.set(at, Player { id: PlayerId(at as u128), name: "Zoë" });
            }
            let mut bytes = Vec::new();
            rows.write(&mut bytes);
            let at = at % bytes.len();
            bytes[at] = with;
            if let Some(read) = Rows::read(&mut bytes.as_slice()) {
                let _ = (read.digest(), read.iter().count());
            }
        }
    }

    #[test]
    fn a_row_that_changes_leaves_no_text_behind() {
        let mut rows = Rows::new(Origin(3), 0);
        rows.set(0, Player { id: PlayerId(1), name: "Ada" });
        rows.set(1, Player { id: PlayerId(2), name: "Bob" });
        rows.set(0, Player { id: PlayerId(1), name: "Abe" });
        assert_eq!(rows.text, "BobAbe");
        let names: Vec<_> = rows.iter().map(|(at, player)| (at, player.name)).collect();
        assert_eq!(names, [(0, "Abe"), (1, "Bob")]);
    }
}
