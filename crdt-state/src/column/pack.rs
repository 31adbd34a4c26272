//! How a block of cells travels inside a snapshot: which cells there are, then their fields packed to as
//! few bits as the block needs.
//!
//! An answer takes some three bytes instead of eight, at two nanoseconds each way. A block is
//! `length, elapsed base, elapsed bits, value bits, tags, presence bitmap, packed fields`; reading believes
//! none of it.

use super::{BLOCK, Cell};

/// Bytes before the tags.
const HEAD: usize = 2 + 4 + 1 + 1 + 2;
/// Bits of the largest field.
const FIELD_BITS: u32 = 24;

/// What the fields of a block have in common.
#[derive(Debug, Default, PartialEq, Eq)]
struct Frame {
    base: u32,
    elapsed_bits: u32,
    value_bits: u32,
    /// The tags that occur, in order.
    tags: Vec<u16>,
}

impl Frame {
    fn of(cells: &[Cell]) -> Self {
        let (mut low, mut high, mut values, mut tags) = (u32::MAX, 0, 0, Vec::new());
        for cell in cells.iter().filter(|cell| !cell.is_empty()) {
            low = low.min(cell.elapsed_ms());
            high = high.max(cell.elapsed_ms());
            values |= cell.value();
            if tags.last() != Some(&cell.tag()) && !tags.contains(&cell.tag()) {
                tags.push(cell.tag());
            }
        }
        tags.sort_unstable();
        let bits = |largest: u32| u32::BITS - largest.leading_zeros();
        let elapsed_bits = bits(high.saturating_sub(low));
        Frame { base: low.min(high), elapsed_bits, value_bits: bits(values), tags }
    }

    fn tag_bits(&self) -> u32 {
        usize::BITS - self.tags.len().saturating_sub(1).leading_zeros()
    }

    fn width(&self) -> u32 {
        self.elapsed_bits + self.tag_bits() + self.value_bits
    }
}

/// The most bytes that a block of so many cells takes.
pub(super) fn bytes_max(cells: usize) -> usize {
    let fields = cells * 3 * FIELD_BITS as usize;
    HEAD + cells * size_of::<u16>() + cells.div_ceil(8) + fields.div_ceil(8) + size_of::<u64>()
}

/// Appends a block, given up to its last answer.
pub(super) fn write(cells: &[Cell], out: &mut Vec<u8>) {
    let frame = Frame::of(cells);
    out.extend((cells.len() as u16).to_le_bytes());
    out.extend(frame.base.to_le_bytes());
    out.extend([frame.elapsed_bits as u8, frame.value_bits as u8]);
    out.extend((frame.tags.len() as u16).to_le_bytes());
    frame.tags.iter().for_each(|tag| out.extend(tag.to_le_bytes()));
    for eight in cells.chunks(8) {
        let present = |(bit, cell): (usize, &Cell)| u8::from(!cell.is_empty()) << bit;
        out.push(eight.iter().enumerate().map(present).sum());
    }
    pack(cells, &frame, out);
}

fn pack(cells: &[Cell], frame: &Frame, out: &mut Vec<u8>) {
    let (tag_bits, width) = (frame.tag_bits(), frame.width());
    let (mut packed, mut bits, mut last) = (0u128, 0, (frame.tags.first().copied(), 0));
    for cell in cells.iter().filter(|cell| !cell.is_empty()) {
        if last.0 != Some(cell.tag()) {
            let place = frame.tags.partition_point(|tag| *tag < cell.tag());
            last = (Some(cell.tag()), place as u64);
        }
        let elapsed = u64::from(cell.elapsed_ms() - frame.base);
        let field = (elapsed << tag_bits | last.1) << frame.value_bits | u64::from(cell.value());
        packed |= u128::from(field) << bits;
        bits += width;
        if bits >= u64::BITS {
            out.extend((packed as u64).to_le_bytes());
            packed >>= u64::BITS;
            bits -= u64::BITS;
        }
    }
    out.extend(&packed.to_le_bytes()[..bits.div_ceil(8) as usize]);
}

/// Reads one block off the front of `bytes`; nothing if it is not one.
pub(super) fn read(bytes: &mut &[u8]) -> Option<Vec<Cell>> {
    let (length, frame) = read_frame(bytes)?;
    let bitmap = bytes.split_off(..length.div_ceil(8))?;
    let count: u32 = bitmap.iter().map(|byte| byte.count_ones()).sum();
    let width = frame.width();
    let packed = bytes.split_off(..(count as usize * width as usize).div_ceil(8))?;
    let mut fields = Fields { packed, acc: 0, bits: 0 };
    let mut cells = vec![Cell::EMPTY; length];
    for (at, cell) in cells.iter_mut().enumerate() {
        if bitmap[at / 8] >> (at % 8) & 1 == 1 {
            *cell = unpack(&frame, fields.next(width))?;
        }
    }
    // A canonical block ends with an answer and has no bit beyond it.
    let ends = cells.last().is_some_and(|cell| !cell.is_empty());
    let strays = bitmap.last().is_some_and(|last| u32::from(*last) >> ((length - 1) % 8 + 1) != 0);
    (ends && !strays).then_some(cells)
}

fn read_frame(bytes: &mut &[u8]) -> Option<(usize, Frame)> {
    let head = bytes.split_off(..HEAD)?;
    let length = usize::from(u16::from_le_bytes([head[0], head[1]]));
    let base = u32::from_le_bytes([head[2], head[3], head[4], head[5]]);
    let (elapsed_bits, value_bits) = (u32::from(head[6]), u32::from(head[7]));
    let tags = usize::from(u16::from_le_bytes([head[8], head[9]]));
    let fits = (1..=BLOCK).contains(&length)
        && base <= Cell::ELAPSED_MS_MAX
        && elapsed_bits.max(value_bits) <= FIELD_BITS
        && (1..=length).contains(&tags);
    let tags = bytes.split_off(..tags * 2).filter(|_| fits)?;
    let tags = tags.chunks(2).map(|two| u16::from_le_bytes([two[0], two[1]])).collect();
    Some((length, Frame { base, elapsed_bits, value_bits, tags }))
}

fn unpack(frame: &Frame, field: u64) -> Option<Cell> {
    let value = field & ((1 << frame.value_bits) - 1);
    let rest = field >> frame.value_bits;
    let tag = *frame.tags.get((rest & ((1 << frame.tag_bits()) - 1)) as usize)?;
    let elapsed_ms = frame.base + (rest >> frame.tag_bits()) as u32;
    (elapsed_ms <= Cell::ELAPSED_MS_MAX).then(|| Cell::pack(elapsed_ms, tag, value as u32))
}

/// Fields of one width, lowest bit first.
struct Fields<'a> {
    packed: &'a [u8],
    acc: u128,
    bits: u32,
}

impl Fields<'_> {
    fn next(&mut self, width: u32) -> u64 {
        if self.bits < width {
            let mut word = [0; 8];
            let taken = self.packed.len().min(8);
            word[..taken].copy_from_slice(&self.packed[..taken]);
            self.packed = &self.packed[taken..];
            self.acc |= u128::from(u64::from_le_bytes(word)) << self.bits;
            self.bits += u64::BITS;
        }
        let field = self.acc as u64 & (u64::MAX >> (u64::BITS - width.max(1)));
        self.acc >>= width;
        self.bits -= width;
        if width == 0 { 0 } else { field }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Origin;
    use proptest::prelude::*;

    fn cell() -> impl Strategy<Value = Cell> {
        let some = (any::<u32>(), 0..600u64, 0..=Cell::VALUE_MAX);
        prop_oneof![
            1 => Just(Cell::EMPTY),
            2 => some.prop_map(|(elapsed, tag, value)| Cell::new(elapsed, Origin(tag << 48), value)),
            2 => (0..9_000u32, 0..3u64, 0..4u32)
                .prop_map(|(elapsed, tag, value)| Cell::new(elapsed, Origin(tag << 48), 1 << value)),
        ]
    }

    proptest! {
        #[test]
        fn a_block_survives_its_bytes(
            mut cells in proptest::collection::vec(cell(), 0..700),
            last in cell(),
        ) {
            cells.push(if last.is_empty() { Cell::new(0, Origin(0), 0) } else { last });
            let mut bytes = Vec::new();
            write(&cells, &mut bytes);
            bytes.push(7);
            let mut rest = bytes.as_slice();
            prop_assert_eq!(read(&mut rest), Some(cells));
            prop_assert_eq!(rest, [7]);
        }

        #[test]
        fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = read(&mut bytes.as_slice());
        }
    }

    #[test]
    fn an_honest_answer_takes_three_bytes() {
        let cells: Vec<Cell> = (0..BLOCK as u32)
            .map(|n| Cell::new(n * 7 % 20_000, Origin(u64::from(n % 3) << 50), 1 << (n % 4)))
            .collect();
        let mut bytes = Vec::new();
        write(&cells, &mut bytes);
        assert!(bytes.len() <= 3 * BLOCK, "{} bytes", bytes.len());
    }
}
