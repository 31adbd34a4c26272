//! Seed sweeps: a safety phase with faults, then a liveness phase without.

use crate::cluster::{Bug, Cluster};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Says which seed failed when a run panics.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failing seed: {}", self.0);
        }
    }
}

fn run(seed: u64, bug: Bug) -> Cluster {
    let _named = Named(seed);
    let mut cluster = Cluster::new(seed, bug);
    for _ in 0..150 {
        cluster.step();
    }
    cluster.heal();
    cluster.judge();
    cluster
}

fn sweep(seeds: std::ops::Range<u64>) -> (u64, u64) {
    let runs = seeds.map(|seed| run(seed, Bug::None));
    runs.fold((0, 0), |(pulls, snapshots), run| (pulls + run.pulls, snapshots + run.snapshots))
}

#[test]
fn faulty_clusters_converge_and_keep_their_receipts() {
    let (pulls, snapshots) = sweep(0..120);
    assert!(pulls > 1000 && snapshots > 100, "the sweep was too kind: {pulls}, {snapshots}");
}

#[test]
fn faulty_clusters_converge_and_keep_their_receipts_again() {
    sweep(1000..1120);
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..5 {
        assert_eq!(run(seed, Bug::None).trace(), run(seed, Bug::None).trace());
    }
    assert_ne!(run(1, Bug::None).trace(), run(2, Bug::None).trace());
}

/// The message of the first seed at which a planted bug is found.
fn found(bug: Bug) -> String {
    let failure = |seed| catch_unwind(AssertUnwindSafe(|| run(seed, bug))).err();
    let failure = (0..20).find_map(failure).expect("twenty seeds find a planted bug");
    failure.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[test]
fn an_entry_applied_over_a_gap_is_found() {
    let text = found(Bug::ApplyOverGap);
    assert!(text.contains("content is exactly what the heads say"), "{text}");
}

#[test]
fn a_receipt_that_nobody_backs_is_found() {
    let text = found(Bug::AckUnseen);
    assert!(text.contains("is firm"), "{text}");
}
