//! Orders as numbers: a permutation's rank among all of its length (Lehmer's code).

/// Most options of an order: 10! still fits the 24 bits of a cell's value.
pub const ORDER_MAX: usize = 10;

/// The number of an order of `count` options; nothing if it is not one.
#[must_use]
pub fn rank_of(order: &[u8], count: usize) -> Option<u32> {
    let mut left: Vec<u8> = (0..count as u8).collect();
    if order.len() != count || count > ORDER_MAX {
        return None;
    }
    order.iter().try_fold(0, |rank, option| {
        let place = left.iter().position(|other| other == option)?;
        let base = left.len() as u32;
        left.remove(place);
        Some(rank * base + place as u32)
    })
}

/// The order with this number.
#[must_use]
pub fn unrank(mut rank: u32, count: usize) -> Vec<u8> {
    let count = count.min(ORDER_MAX);
    let mut places = Vec::with_capacity(count);
    for base in 1..=count as u32 {
        places.push((rank % base) as usize);
        rank /= base;
    }
    let mut left: Vec<u8> = (0..count as u8).collect();
    places.iter().rev().map(|place| left.remove(*place)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_survives_its_number() {
        for rank in 0..120 {
            assert_eq!(rank_of(&unrank(rank, 5), 5), Some(rank));
        }
        assert_eq!(unrank(0, 3), [0, 1, 2]);
        assert_eq!(rank_of(&[9, 8, 7, 6, 5, 4, 3, 2, 1, 0], 10), Some(3_628_799));
    }

    #[test]
    fn what_is_no_order_has_no_number() {
        for wrong in [&[0, 0, 1][..], &[0, 1], &[0, 1, 3], &[]] {
            assert_eq!(rank_of(wrong, 3), None);
        }
    }
}
