//! What clients were told, and whether the nodes' final reads agree with it.
//!
//! An operation is `ok` once its receipt is firm, `fail` if no node took it, and otherwise nobody
//! knows: it may be in a read or not. That is how Jepsen counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::Workload;
use super::content::Op;

/// How an operation ended for its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It holds.
    Ok(u64),
    /// It does not.
    Fail,
    /// Nobody knows.
    Info,
    /// It was acknowledged, and then more nodes went down at once than a receipt promises to outlive.
    Excused,
}

/// One operation of a client.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) op: Op,
    pub(super) sent_ms: u64,
    pub(super) ended: Ended,
    /// The nodes that have it, as bits.
    pub(super) nodes: u128,
    /// When all nodes that were up had it.
    pub(super) stable_ms: Option<u64>,
}

/// What a node reads at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) set: BTreeSet<u64>,
    pub(super) value: i64,
}

/// What came of a workload, in Maelstrom's words.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Results {
    /// The workload.
    pub workload: String,
    /// Whether all is as it should be.
    pub valid: bool,
    /// Operations that were asked for.
    pub ops: usize,
    /// Operations that hold.
    pub ok: usize,
    /// Operations that nobody took.
    pub fail: usize,
    /// Operations of which nobody knows.
    pub info: usize,
    /// Messages between nodes for each operation.
    pub msgs_per_op: f64,
    /// Milliseconds from asking until all nodes that were up had it: p50, p95, p99, the longest.
    pub stable_latencies_ms: [u64; 4],
    /// Elements that were acknowledged and are not in every final read.
    pub lost: Vec<u64>,
    /// Elements that are in a final read and that nobody added.
    pub unexpected: Vec<u64>,
    /// The final reads of a counter, by node.
    pub reads: BTreeMap<u8, i64>,
    /// What a counter may be: the least and the most.
    pub acceptable: Option<(i64, i64)>,
    /// Nodes whose final reads differ from the first.
    pub diverged: Vec<u8>,
    /// The same run has the same one.
    pub hash: String,
}

pub(super) struct History {
    pub(super) workload: Workload,
    pub(super) operations: Vec<Operation>,
    pub(super) reads: BTreeMap<u8, Read>,
    pub(super) messages: u64,
    pub(super) hash: u64,
}

impl History {
    /// Judges what was read at the end.
    pub(super) fn judge(&self) -> Results {
        let count = |what: fn(&Ended) -> bool| {
            self.operations.iter().filter(|operation| what(&operation.ended)).count()
        };
        let first = self.reads.values().next();
        let diverged = self.reads.iter().filter(|(_, read)| Some(*read) != first);
        let diverged: Vec<u8> = diverged.map(|(node, _)| *node).collect();
        let (lost, unexpected) = self.elements();
        let acceptable = self.workload.counts().then(|| self.acceptable());
        let within = |read: &Read| {
            acceptable.is_none_or(|(least, most)| (least..=most).contains(&read.value))
        };
        let valid = lost.is_empty()
            && unexpected.is_empty()
            && diverged.is_empty()
            && !self.reads.is_empty()
            && self.reads.values().all(within);
        let reads = self.reads.iter().map(|(node, read)| (*node, read.value));
        Results {
            workload: self.workload.name().to_owned(),
            valid,
            ops: self.operations.len(),
            ok: count(|ended| matches!(ended, Ended::Ok(_))),
            fail: count(|ended| *ended == Ended::Fail),
            info: count(|ended| matches!(ended, Ended::Info | Ended::Excused)),
            msgs_per_op: self.messages as f64 / self.operations.len().max(1) as f64,
            stable_latencies_ms: self.latencies(),
            lost,
            unexpected,
            reads: if self.workload.counts() { reads.collect() } else { BTreeMap::new() },
            acceptable,
            diverged,
            hash: format!("{:016x}", self.hash),
        }
    }

    fn elements(&self) -> (Vec<u64>, Vec<u64>) {
        let element = |operation: &&Operation| match operation.op {
            Op::Add(element) => Some(element),
            _ => None,
        };
        let acknowledged = |operation: &&Operation| matches!(operation.ended, Ended::Ok(_));
        let added: BTreeSet<u64> =
            self.operations.iter().filter_map(|operation| element(&operation)).collect();
        let owed = self.operations.iter().filter(acknowledged);
        let owed: BTreeSet<u64> = owed.filter_map(|operation| element(&operation)).collect();
        let missing = self.reads.values().flat_map(|read| owed.difference(&read.set));
        let lost: BTreeSet<u64> = missing.copied().collect();
        let strange = self.reads.values().flat_map(|read| read.set.difference(&added));
        let unexpected: BTreeSet<u64> = strange.copied().collect();
        (lost.into_iter().collect(), unexpected.into_iter().collect())
    }

    /// The sum of all that holds, less and more whatever may hold.
    fn acceptable(&self) -> (i64, i64) {
        let (mut least, mut most) = (0, 0);
        for operation in &self.operations {
            let by = match operation.op {
                Op::Grow(by) => i64::from(by),
                Op::Step(by) => i64::from(by),
                Op::Enrol | Op::Add(_) => 0,
            };
            match operation.ended {
                Ended::Fail => {}
                Ended::Ok(_) => (least, most) = (least + by, most + by),
                Ended::Info | Ended::Excused => {
                    (least, most) = (least + by.min(0), most + by.max(0));
                }
            }
        }
        (least, most)
    }

    fn latencies(&self) -> [u64; 4] {
        let took = |operation: &Operation| Some(operation.stable_ms? - operation.sent_ms);
        let mut all: Vec<u64> = self.operations.iter().filter_map(took).collect();
        all.sort_unstable();
        let at = |share: f64| {
            let index = (share * all.len() as f64).ceil() as usize;
            all.get(index.saturating_sub(1)).copied().unwrap_or_default()
        };
        [at(0.5), at(0.95), at(0.99), at(1.0)]
    }
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workload, ops, ok, fail, info, msgs_per_op, hash, .. } = self;
        let [p50, p95, p99, most] = self.stable_latencies_ms;
        let valid = if self.valid { "valid" } else { "INVALID" };
        write!(
            f,
            "{workload}: {valid}, {ops} ops ({ok} ok, {fail} fail, {info} info), \
             {msgs_per_op:.1} messages per op, hash {hash}"
        )?;
        if self.acceptable.is_none() {
            write!(f, "\n  stable after {p50} ms (p95 {p95}, p99 {p99}, longest {most})")?;
        }
        if let Some((least, most)) = self.acceptable {
            write!(f, "\n  reads {:?}, acceptable {least} to {most}", self.reads)?;
        }
        for (what, list) in [("lost", &self.lost), ("unexpected", &self.unexpected)] {
            if !list.is_empty() {
                write!(f, "\n  {what}: {list:?}")?;
            }
        }
        if self.diverged.is_empty() {
            Ok(())
        } else {
            write!(f, "\n  diverged: {:?}", self.diverged)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(op: Op, ended: Ended) -> Operation {
        Operation { op, sent_ms: 10, ended, nodes: 0, stable_ms: Some(30) }
    }

    fn judged(workload: Workload, operations: &[(Op, Ended)], reads: &[(&[u64], i64)]) -> Results {
        let operations = operations.iter().map(|(op, ended)| operation(*op, *ended)).collect();
        let read = |(set, value): &(&[u64], i64)| Read {
            set: set.iter().copied().collect(),
            value: *value,
        };
        let reads = (1..).zip(reads.iter().map(read)).collect();
        History { workload, operations, reads, messages: 6, hash: 1 }.judge()
    }

    #[test]
    fn what_was_acknowledged_must_be_read_everywhere_and_nothing_else() {
        let ops =
            [(Op::Add(1), Ended::Ok(20)), (Op::Add(2), Ended::Info), (Op::Add(3), Ended::Fail)];
        assert!(judged(Workload::Broadcast, &ops, &[(&[1], 0), (&[1], 0)]).valid);
        assert!(judged(Workload::Broadcast, &ops, &[(&[1, 2], 0), (&[1, 2], 0)]).valid);
        let lost = judged(Workload::GSet, &ops, &[(&[2], 0), (&[1, 2], 0)]);
        assert_eq!((lost.valid, lost.lost, lost.diverged), (false, vec![1], vec![2]));
        let strange = judged(Workload::GSet, &ops, &[(&[1, 9], 0)]);
        assert_eq!((strange.valid, strange.unexpected), (false, vec![9]));
        assert!(!judged(Workload::GSet, &ops, &[]).valid, "somebody reads at the end");
    }

    #[test]
    fn a_counter_is_within_what_nobody_knows() {
        let ops = [
            (Op::Step(5), Ended::Ok(20)),
            (Op::Step(-2), Ended::Info),
            (Op::Step(3), Ended::Info),
            (Op::Step(9), Ended::Fail),
        ];
        for (value, valid) in [(2, false), (3, true), (5, true), (8, true), (9, false)] {
            let results = judged(Workload::PnCounter, &ops, &[(&[], value)]);
            assert_eq!(results.acceptable, Some((3, 8)));
            assert_eq!(results.valid, valid, "{value}");
        }
    }
}
