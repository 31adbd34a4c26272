//! What each named type costs, measured, and held against the table in its documentation.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use crdt_state::lattice::{Max, Min};
use crdt_state::named::{
    Award, DisableWins, EnableWins, FirstWrite, GrowOnly, Members, MultiValue, Names, Register,
    Toggle,
};
use crdt_state::{Origin, PlayerId};
use crdts::{CmRDT, CvRDT, Dot, GCounter, PNCounter, pncounter};
use serde::Serialize;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, which counts what this thread holds.
struct Counting;

// SAFETY: every call is the system allocator's own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.with(|live| live.set(live.get() + layout.size() as isize));
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.with(|live| live.set(live.get() - layout.size() as isize));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const WRITERS: [Origin; 3] =
    [Origin(0xa1b2_c3d4_e5f6_0718), Origin(0xb1b2_c3d4_e5f6_0718), Origin(0xc1b2_c3d4_e5f6_0718)];
const TEXT: &str = "hello";

/// Bytes of one value: encoded, and on the heap.
type Cost = (usize, usize);

fn cost<T: Serialize>(make: impl Fn() -> T) -> Cost {
    let before = LIVE.with(Cell::get);
    let value = make();
    let heap = LIVE.with(Cell::get) - before;
    (postcard::to_stdvec(&value).unwrap().len(), heap as usize)
}

fn written<T: CmRDT + Default>(op: impl Fn(&T, Origin) -> Option<T::Op>) -> T {
    let mut value = T::default();
    for origin in WRITERS {
        if let Some(op) = op(&value, origin) {
            value.apply(op);
        }
    }
    value
}

/// Three flags set apart and then met, so that each writer's is there.
fn met<T: CmRDT + CvRDT + Default>(op: impl Fn(&T, Origin) -> T::Op) -> T {
    WRITERS.into_iter().fold(T::default(), |mut all, origin| {
        let mut apart = T::default();
        apart.apply(op(&apart, origin));
        all.merge(apart);
        all
    })
}

fn award(of: Origin) -> Award {
    Award { id: TEXT.into(), player: PlayerId(u128::from(of.0) << 64), points: 100 }
}

fn members() -> Members {
    let mut members = Members::default();
    let flag = members.at(TEXT.into()).unwrap();
    *flag = met(|flag: &EnableWins, origin| flag.set(origin, true).unwrap());
    members
}

fn names() -> Names<Max<u64>> {
    let mut names = Names::default();
    names.at(TEXT.into()).map(|max: &mut Max<u64>| max.apply(1_000)).unwrap();
    names
}

fn measured() -> BTreeMap<&'static str, Cost> {
    let mark = |origin| (TEXT.to_owned(), (40_000, origin));
    let counted = |value: &PNCounter<Origin>, origin| {
        let _ = value;
        Some(pncounter::Op { dot: Dot::new(origin, 1_000), dir: pncounter::Dir::Pos })
    };
    BTreeMap::from([
        (
            "flag, enable wins",
            cost(|| met(|flag: &EnableWins, origin| flag.set(origin, true).unwrap())),
        ),
        (
            "flag, disable wins",
            cost(|| met(|flag: &DisableWins, origin| flag.set(origin, false).unwrap())),
        ),
        ("flag, toggle", cost(|| written(|_: &Toggle, _| Some(200)))),
        (
            "counter, grow-only",
            cost(|| written(|_: &GCounter<Origin>, origin| Some(Dot::new(origin, 1_000)))),
        ),
        ("counter, both ways", cost(|| written(counted))),
        ("set, grow-only", cost(|| written(|_: &GrowOnly<Award, 64>, of| Some(award(of))))),
        ("set, observed-remove", cost(members)),
        ("register, last write", cost(|| written(|_: &Register, of| Some(mark(of))))),
        ("register, first write", cost(|| written(|_: &FirstWrite<String>, of| Some(mark(of))))),
        (
            "register, multi-value",
            cost(|| met(|text: &MultiValue, origin| text.write(origin, TEXT.into()))),
        ),
        ("maximum", cost(|| written(|_: &Max<u64>, _| Some(1_000)))),
        ("minimum", cost(|| written(|_: &Min<u64>, _| Some(1_000)))),
        ("map", cost(names)),
    ])
}

/// The figures of the table, by kind.
fn documented() -> BTreeMap<String, Cost> {
    let text = include_str!("../src/named/mod.rs");
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | ")).skip(1);
    rows.filter_map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        Some((cells[0].to_owned(), (cells.get(4)?.parse().ok()?, cells.get(5)?.parse().ok()?)))
    })
    .collect()
}

#[test]
fn the_documented_costs_are_the_measured_ones() {
    let (measured, documented) = (measured(), documented());
    eprintln!("measured (encoded, heap): {measured:#?}");
    assert_eq!(measured.len(), documented.len(), "every kind has a row: {documented:?}");
    let near = |a: usize, b: usize| a.abs_diff(b) * 4 <= a.max(b);
    for (kind, (encoded, heap)) in &measured {
        let told = documented[*kind];
        assert!(near(*encoded, told.0), "{kind}: {encoded} bytes encoded, the table says {told:?}");
        assert!(near(*heap, told.1), "{kind}: {heap} bytes of heap, the table says {told:?}");
    }
}
