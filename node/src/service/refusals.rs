//! How often which refusal was given, counted without a lock that all connections share.
//!
//! Each thread counts in a place of its own, so that a crowd that is refused does not queue up for it; a
//! scrape adds the places up. Codes are the node's own words, so there are few; were there more after all, those
//! beyond a bound go together.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// More than a node has threads that serve connections, mostly; two that share a place lose nothing but time.
const PLACES: usize = 32;

/// Different codes of an edge that are counted apart; those beyond go together as `other`.
const CODES_MAX: usize = 64;

/// By edge and code.
pub(crate) type Counts = BTreeMap<&'static str, BTreeMap<String, u64>>;

/// Alone in its cache lines, two of which processors fetch together.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Place(Mutex<Counts>);

/// The counts, by edge and code.
#[derive(Debug)]
pub(crate) struct Refusals {
    places: Vec<Place>,
}

impl Default for Refusals {
    fn default() -> Self {
        Refusals { places: (0..PLACES).map(|_| Place::default()).collect() }
    }
}

impl Refusals {
    /// Counts one.
    pub(crate) fn count(&self, edge: &'static str, code: &str) {
        let mut counts = lock(&self.places[own_place()]);
        let codes = counts.entry(edge).or_default();
        match codes.get_mut(code) {
            Some(count) => *count += 1,
            None => {
                let code = if codes.len() < CODES_MAX { code } else { OTHER };
                *codes.entry(code.to_owned()).or_default() += 1;
            }
        }
    }

    /// All of them, of all threads.
    pub(crate) fn sum(&self) -> Counts {
        let mut sum = Counts::new();
        for place in &self.places {
            for (edge, codes) in &*lock(place) {
                let all = sum.entry(edge).or_default();
                for (code, count) in codes {
                    *all.entry(code.clone()).or_default() += count;
                }
            }
        }
        sum
    }
}

/// Stands for all codes beyond the bound.
const OTHER: &str = "other";

fn lock(place: &Place) -> MutexGuard<'_, Counts> {
    place.0.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where this thread counts: threads take places in turn, each for its life.
fn own_place() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: Cell<Option<usize>> = const { Cell::new(None) };
    }
    OWN.with(|own| {
        own.get().unwrap_or_else(|| {
            let place = NEXT.fetch_add(1, Relaxed) % PLACES;
            own.set(Some(place));
            place
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::sync::mpsc;
    use std::thread;

    #[test]
    fn what_many_threads_count_is_summed_by_edge_and_code() {
        let refusals = Refusals::default();
        thread::scope(|scope| {
            for _ in 0..2 * PLACES {
                scope.spawn(|| {
                    (0..100).for_each(|_| refusals.count("mqtt", "late"));
                    refusals.count("broker", "late");
                    refusals.count("mqtt", "flooded");
                });
            }
        });
        let threads = 2 * PLACES as u64;
        let sum = refusals.sum();
        assert_eq!(sum["mqtt"]["late"], 100 * threads);
        assert_eq!(sum["mqtt"]["flooded"], threads);
        assert_eq!(sum["broker"], BTreeMap::from([("late".to_owned(), threads)]));
    }

    #[test]
    fn the_number_of_codes_is_bounded() {
        let refusals = Refusals::default();
        (0..200).for_each(|code| refusals.count("http", &format!("code_{code}")));
        let codes = refusals.sum().remove("http").unwrap();
        assert_eq!((codes.len(), codes[OTHER]), (CODES_MAX + 1, 200 - CODES_MAX as u64));
    }

    #[test]
    fn each_thread_counts_in_a_place_of_its_own() {
        let (tell, told) = mpsc::channel();
        thread::scope(|scope| {
            for _ in 0..8 {
                let tell = tell.clone();
                scope.spawn(move || {
                    let place = own_place();
                    assert_eq!(own_place(), place, "it stays");
                    tell.send(place).unwrap();
                });
            }
        });
        drop(tell);
        let places: BTreeSet<usize> = told.iter().collect();
        assert!(places.len() > 1, "{places:?}");
    }
}
